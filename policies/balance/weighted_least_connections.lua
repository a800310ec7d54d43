--- The backend with the least to do for its share: (requests in flight + 1) / share, compared as a fraction and never
-- rounded. Equals take turns: the search begins behind the last answer. The twin of
-- native:weighted_least_connections.
-- Parameters: none. Cost: one look at each backend.
local policy = require "neap.policy"

local least = policy.balance { name = "weighted_least_connections" }

local last -- answer; nil before the first

function least.pick(_, pool)
  local count = pool.count
  if count == 0 then return nil end
  last = last or math.floor(pool:random() * count) + 1
  local i, best = last % count + 1, nil
  local work, share = 0, 1 -- of the best
  for _ = 1, count do
    local backend = pool[i]
    if backend.up and (not best or (backend.in_flight + 1) * share < work * backend.share) then
      best, work, share = i, backend.in_flight + 1, backend.share
    end
    i = i % count + 1
  end
  last = best or last
  return best
end

return least
