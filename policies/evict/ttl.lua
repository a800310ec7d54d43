--- TTL: evicts what would expire soonest, and among what never expires, or expires together, the oldest. It makes room
-- whether or not anything has expired.
--
-- Idea       a heap by (time of expiry, order of arrival); a hit looks whether the entry was given a new time
-- Parameters none
-- Cost       O(log n) per entry put or evicted, two look-ups per hit; 28 bytes per entry
-- Source     the "volatile-ttl" of Redis, exact instead of sampled
local policy = require "neap.policy"

local ttl = policy.evict { name = "ttl", state = { order = "double" } }
local heap, state, cache = ttl:heap(), ttl.state, ttl.cache

local function put(s)
  state.order = state.order + 1
  heap:put(s, cache:expires_ms(s), state.order)
end

function ttl.insert(s) put(s) end

function ttl.update(s)
  if heap:key(s) then put(s) end
end

function ttl.hit(s)
  local expires = heap:key(s)
  if expires and expires ~= cache:expires_ms(s) then put(s) end
end

function ttl.remove(s) heap:remove(s) end

function ttl.step()
  local s = heap:min()
  if not s then return false end
  heap:remove(s)
  return s
end

return ttl
