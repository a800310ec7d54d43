--- Round robin with weights, the smooth way: every backend that may be picked gains its share, the one that has most
-- is picked and pays what all gained. With shares 5, 1, 1 the first comes five times in seven, and not in a row. Each
-- begins with a random part of its share, so that many balancers are not in step.
-- The twin of native:weighted_round_robin, which the name stands for: start from this file to make one of your own.
-- Parameters: none. Cost: one look at each backend.
local policy = require "neap.policy"

local smooth = policy.balance { name = "weighted_round_robin" }

local gained, known = {}, 0 -- by place; of this worker, since the policy was loaded

function smooth.joined(backend, pool)
  if backend.index <= known then gained[backend.index] = pool:random() * backend.share end
end

function smooth.pick(_, pool)
  local total, best = 0, nil
  while known < pool.count do
    known = known + 1
    gained[known] = pool:random() * pool[known].share
  end
  for i = 1, pool.count do
    local backend = pool[i]
    if backend.up then
      local share = backend.share
      total = total + share
      gained[i] = gained[i] + share
      if not best or gained[i] > gained[best] then best = i end
    end
  end
  if best then gained[best] = gained[best] - total end
  return best
end

return smooth
