--- LFU: evicts what was used least often, and of those with as many uses the one that got there first. Counts are
-- forgotten with the entry and never age, so what was popular once stays: sieve or s3fifo adapt, this does not.
--
-- Idea       a heap by (uses, when they were reached)
-- Parameters none
-- Cost       O(log n) per hit, per entry put or evicted; 28 bytes per entry
-- Source     libCacheSim's LFU, whose order of ties it has
local policy = require "neap.policy"

local lfu = policy.evict { name = "lfu", state = { order = "double" } }
local heap, state = lfu:heap(), lfu.state
local given -- this ask's victim

local function count(s)
  local uses = heap:key(s)
  if uses then
    state.order = state.order + 1
    heap:put(s, uses + 1, state.order)
  end
end

function lfu.insert(s)
  state.order = state.order + 1
  heap:put(s, 1, state.order)
end

function lfu.hit(s) count(s) end

function lfu.update(s) count(s) end

function lfu.remove(s) heap:remove(s) end

-- One victim per ask: mostly it is the newest entry, and a batch would keep that many of them, which changes what LFU
-- is (miss ratios by up to 19 points).
function lfu.ask() given = false end

function lfu.step()
  local s = not given and heap:min()
  if not s then return false end
  heap:remove(s)
  given = true
  return s
end

return lfu
