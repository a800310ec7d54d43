--- A backend at random, in proportion to shares. The twin of native:random.
-- Parameters: none. Cost: constant.
local policy = require "neap.policy"

local random = policy.balance { name = "random" }

function random.pick(_, pool)
  local count = pool.count
  local i = pool.random1
  for _ = 1, count do -- the first look but in odd pools: random1 is up wherever one is
    if pool[i].up then return i end
    i = i % count + 1
  end
end

return random
