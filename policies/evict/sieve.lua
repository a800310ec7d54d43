--- SIEVE: evicts, in order of arrival, what was not used since a hand last came by. The default: a hit writes one
-- byte, scans pass through, and on most traces it misses less than LRU.
--
-- Idea       one list in order of arrival and a hand that goes from old to new, round and round; it clears the mark of
--            what was used and evicts what was not
-- Parameters none
-- Cost       one byte per hit, O(1) per entry put, amortised O(1) per entry evicted; 9 bytes per entry
-- Source     Y. Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024
local policy = require "neap.policy"

-- `count` entries, `ahead` of them from the hand to the newest, as far as removals let one know.
local sieve = policy.evict { name = "sieve", slot = { visited = "int8" }, state = { count = "int32", ahead = "int32" } }
local queue = sieve:list()
local hand = queue:cursor()
local visited, state = sieve.slot.visited, sieve.state
local min = math.min
local first, near -- of an ask: no victim yet; what counts as near the newest

function sieve.insert(s)
  visited[s] = 0
  state.count, state.ahead = state.count + 1, state.ahead + 1
  queue:push(s)
end

function sieve.hit(s) visited[s] = 1 end

function sieve.update(s) visited[s] = 1 end

function sieve.remove(s)
  state.count = state.count - 1
  queue:remove(s)
end

function sieve.ask() first, near = true, min(state.count / 32, 256) end

-- Near the newest entry an ask gets one victim. What is evicted ahead of its time there had hardly the time to be used,
-- and past the newest the hand would start over, where others would have come in front of it.
function sieve.step()
  local ahead = state.ahead
  if not first and ahead < near then return false end
  local s = hand:next()
  if not s then return false end
  state.ahead = ahead > 1 and s ~= queue:front() and ahead - 1 or state.count
  if visited[s] == 0 then
    first = false
    state.count = state.count - 1
    return s
  end
  visited[s] = 0
end

return sieve
