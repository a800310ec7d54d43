--- Power of two choices: of two backends drawn at random, the one with less to do for its share. Nearly as even as
-- looking at all of them, and without the herd that runs to the one that looks idle. The twin of native:p2c.
-- Parameters: none. Cost: constant.
-- Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
local policy = require "neap.policy"

local p2c = policy.balance { name = "p2c" }

-- The backend at `i`, or the next one that may be picked. The draws are up wherever two are.
local function usable(pool, i)
  local count = pool.count
  for _ = 1, count do
    local backend = pool[i]
    if backend.up then return backend end
    i = i % count + 1
  end
end

function p2c.pick(_, pool)
  local a, b = usable(pool, pool.random1), usable(pool, pool.random2)
  if not a then return nil end
  if (a.in_flight + 1) * b.share <= (b.in_flight + 1) * a.share then return a.index end
  return b.index
end

return p2c
