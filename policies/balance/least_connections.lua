--- The backend with the fewest requests in flight, weights aside. Where several have as few, the search begins at a
-- random place, so that not all workers choose the same.
-- Parameters: none. Cost: one look at each backend.
local policy = require "neap.policy"

local least = policy.balance { name = "least_connections" }

function least.pick(_, pool)
  local count = pool.count
  local i, best, fewest = pool.random1, nil, math.huge
  for _ = 1, count do
    local backend = pool[i]
    if backend.up and backend.in_flight < fewest then best, fewest = i, backend.in_flight end
    i = i % count + 1
  end
  return best
end

return least
