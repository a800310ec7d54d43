--- The backend with the fewest requests in flight, whatever its share. Equals take turns: the search begins behind the
-- last answer. The twin of native:least_connections.
-- Parameters: none. Cost: one look at each backend.
local policy = require "neap.policy"

local least = policy.balance { name = "least_connections" }

local last -- answer; nil before the first

function least.pick(_, pool)
  local count = pool.count
  if count == 0 then return nil end
  last = last or math.floor(pool:random() * count) + 1
  local i, best, fewest = last % count + 1, nil, math.huge
  for _ = 1, count do
    local backend = pool[i]
    if backend.up and backend.in_flight < fewest then best, fewest = i, backend.in_flight end
    i = i % count + 1
  end
  last = best or last
  return best
end

return least
