--- The backend with the least to do for its weight: (requests in flight + 1) / weight, compared as a fraction and
-- never rounded. The search begins at a random place, so that ties spread.
-- Parameters: none. Cost: one look at each backend.
local policy = require "neap.policy"

local least = policy.balance { name = "weighted_least_connections" }

function least.pick(_, pool)
  local count = pool.count
  local i, best, fewest = pool.random1, nil, math.huge
  for _ = 1, count do
    local backend = pool[i]
    if backend.up then
      local work = (backend.in_flight + 1) / backend.weight
      if work < fewest then best, fewest = i, work end
    end
    i = i % count + 1
  end
  return best
end

return least
