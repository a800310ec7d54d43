--- Consistent hashing with bounded load: requests with the same key (pool.key: the client, a header, a cookie, ...) go
-- to the same backend, on every gateway, and when a backend goes only its own requests move. Shares count in
-- proportion. A backend that has more than `bound` times its part of the requests in flight is passed over.
-- The twin of native:consistent_hash in pools of up to 64 backends.
-- Parameters: bound (1.25; 0: none). Cost: two looks, one hash and one logarithm per backend.
-- Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998; weights by Schindelhauer
-- and Schomaker, "Weighted distributed hash tables", 2005; bound by Mirrokni, Thorup and Zadimoghaddam, 2018.
local policy = require "neap.policy"

local hash = policy.balance { name = "consistent_hash", params = {
  bound = { default = 1.25, min = 0, max = 1000, doc = "most of its part of the work that a backend takes; 0: any" },
} }
local bound = hash.param.bound
if bound > 0 and bound < 1 then error "bound must be at least 1, or 0" end

local log, ceil = math.log, math.ceil

function hash.pick(_, pool)
  local share, in_flight = 0, 0
  for i = 1, pool.count do
    local backend = pool[i]
    if backend.up then share, in_flight = share + backend.share, in_flight + backend.in_flight end
  end
  local best, highest = nil, -1
  for i = 1, pool.count do
    local backend = pool[i]
    if backend.up and (bound == 0 or backend.in_flight < ceil(bound * (in_flight + 1) * backend.share / share)) then
      local score = backend.share / -log(backend.affinity)
      if score > highest then best, highest = i, score end
    end
  end
  return best
end

return hash
