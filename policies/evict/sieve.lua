--- SIEVE: evicts, in order of arrival, what was not used since a hand last came by. The default: a hit writes one
-- byte, scans pass through, and on most traces it misses less than LRU.
--
-- Idea       one list in order of arrival and a hand that goes from old to new, round and round; it clears the mark of
--            what was used and evicts what was not
-- Parameters none
-- Cost       one byte per hit, O(1) per entry put, amortised O(1) per entry evicted; 9 bytes per entry
-- Source     Y. Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024
local policy = require "neap.policy"

local sieve = policy.evict { name = "sieve", slot = { visited = "int8" } }
local queue = sieve:list()
local hand = queue:cursor()
local visited = sieve.slot.visited

function sieve.insert(s)
  visited[s] = 0
  queue:push(s)
end

function sieve.hit(s) visited[s] = 1 end

function sieve.update(s) visited[s] = 1 end

function sieve.remove(s) queue:remove(s) end

function sieve.step()
  local s = hand:next()
  if not s then return false end
  if visited[s] == 0 then return s end
  visited[s] = 0
end

return sieve
