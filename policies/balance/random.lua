--- A backend at random, weights aside; where it may not be picked, the next one that may.
-- Parameters: none. Cost: constant.
local policy = require "neap.policy"

local random = policy.balance { name = "random" }

function random.pick(_, pool)
  local count = pool.count
  local i = pool.random1
  for _ = 1, count do
    if pool[i].up then return i end
    i = i % count + 1
  end
end

return random
