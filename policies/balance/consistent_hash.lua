--- Rendezvous hashing: requests with the same key (pool.key: the client, a header, a cookie, ...) go to the same
-- backend, on every gateway, and when a backend goes only its own requests move. Weights count in proportion.
-- Parameters: none. Cost: one hash and one logarithm per backend.
-- Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998; weights by Schindelhauer
-- and Schomaker, "Weighted distributed hash tables", 2005.
local policy = require "neap.policy"

local hash = policy.balance { name = "consistent_hash" }

local log = math.log

function hash.pick(_, pool)
  local best, highest = nil, -1
  for i = 1, pool.count do
    local backend = pool[i]
    if backend.up then
      local score = backend.weight / -log(backend.affinity)
      if score > highest then best, highest = i, score end
    end
  end
  return best
end

return hash
