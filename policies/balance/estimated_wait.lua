--- Estimated wait: the backend where this request would be done soonest, by how slow it is beside the rest (learned
-- from outcomes, robust to a few large requests) times how crowded: requests in flight and this one over how many
-- it works on at once. Equals take turns. The twin of native:estimated_wait.
-- Parameters: concurrency (2), a guess of how many requests a backend works on at once: too low costs little, too high
-- lets queues grow unseen. Cost: one look at each backend; one logarithm per answer, in C.
local policy = require "neap.policy"

local estimated = policy.balance { name = "estimated_wait", params = {
  concurrency = { default = 2, min = 1, max = 65536, doc = "requests that a backend works on at once" },
} }
local concurrency = estimated.param.concurrency

local floor, max = math.floor, math.max

local last -- answer; nil before the first

function estimated.pick(_, pool)
  local count = pool.count
  if count == 0 then return nil end
  last = last or floor(pool:random() * count) + 1
  local i, best, least = last % count + 1, nil, 0
  for _ = 1, count do
    local backend = pool[i]
    if backend.up then
      local crowd = (backend.in_flight + 1) / concurrency
      local wait = backend.slowness * (max(1, crowd) + 0.01 * crowd)
      if not best or wait < least then best, least = i, wait end
    end
    i = i % count + 1
  end
  last = best or last
  return best
end

return estimated
