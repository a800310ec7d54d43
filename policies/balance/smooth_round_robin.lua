--- Round robin with weights, the smooth way: every backend that may be picked gains its weight, the one that has most
-- is picked and pays what all gained. With weights 5, 1, 1 the first comes five times in seven, and not in a row.
-- The twin of native:round_robin, which "round_robin" names: start from this file to make one of your own.
-- Parameters: none. Cost: one look at each backend.
local policy = require "neap.policy"

local smooth = policy.balance { name = "smooth_round_robin" }

local gained = {} -- by backend; of this worker, since the policy was loaded

function smooth.pick(_, pool)
  local total, best = 0, nil
  for i = 1, pool.count do
    local backend = pool[i]
    if backend.up then
      local weight = backend.weight
      total = total + weight
      gained[i] = (gained[i] or 0) + weight
      if not best or gained[i] > gained[best] then best = i end
    end
  end
  if best then gained[best] = gained[best] - total end
  return best
end

return smooth
