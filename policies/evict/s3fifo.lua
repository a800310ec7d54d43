--- S3-FIFO: newcomers wait in a small queue and move to the main one only if used twice; what the small one dropped is
-- remembered, and goes to main at once when it comes back.
--
-- Idea       two queues and a ghost list. A ghost hit is settled at the miss, before the evictions of that put grow
--            the ghost list. Main gives a victim while it holds more than its share, or small is empty; a sweep of
--            small goes on until it has found a victim or drained small
-- Parameters small  share of what is held that is the small queue's (0.1)
--            ghost  sizes remembered, as a share of the limit (0.9)
-- Cost       one byte per hit, O(1) per entry put, amortised O(1) per entry evicted; 13 bytes per entry and 24 to 32
--            per entry remembered. Objects of a tenth of the cache or more are refused
-- Source     J. Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP 2023; in its details
--            libCacheSim of October 2024
local policy = require "neap.policy"

local s3fifo = policy.evict {
  name = "s3fifo",
  params = {
    small = { default = 0.1, min = 0.001, max = 0.9, unit = "share", doc = "of what is held: the small queue's" },
    ghost = { default = 0.9, min = 0, max = 10, unit = "share", doc = "of the limit: sizes remembered" },
  },
  slot = { size = "int32", freq = "int8", in_main = "int8" },
  state = { small_used = "double", main_used = "double", promised = "double", limit = "double", sweeping = "int8" },
}
local small, main, ghost = s3fifo:list(), s3fifo:list(), s3fifo:ghost(0)
local size, freq, in_main = s3fifo.slot.size, s3fifo.slot.freq, s3fifo.slot.in_main
local state, cache, param = s3fifo.state, s3fifo.cache, s3fifo.param
local floor = math.floor
local small_share = param.small

-- What follows from the limit, which may change while the cache runs.
local function fit()
  local limit = cache:limit()
  if limit == state.limit then return end
  local most = floor(small_share * limit) - 1
  state.limit = limit
  cache:admit_max(most < 1 and -1 or most)
  ghost:resize(floor(param.ghost * limit))
end
fit()

local function to_small(s)
  in_main[s] = 0
  state.small_used = state.small_used + size[s]
  small:push(s)
end

local function to_main(s)
  in_main[s] = 1
  state.main_used = state.main_used + size[s]
  main:push(s)
end

local function release(s)
  if in_main[s] == 0 then
    state.small_used = state.small_used - size[s]
  else
    state.main_used = state.main_used - size[s]
  end
end

function s3fifo.miss(_, hash)
  if ghost:take(hash) then state.promised = hash end
end

function s3fifo.insert(s, bytes, hash)
  size[s], freq[s] = bytes, 0
  if hash == state.promised and hash ~= 0 then
    state.promised = 0
    to_main(s)
  else
    to_small(s)
  end
end

function s3fifo.hit(s)
  local uses = freq[s]
  if uses < 3 then freq[s] = uses + 1 end
end

function s3fifo.update(s, bytes)
  release(s)
  size[s] = bytes
  if in_main[s] == 0 then state.small_used = state.small_used + bytes else state.main_used = state.main_used + bytes end
  s3fifo.hit(s)
end

function s3fifo.remove(s)
  release(s)
  small:remove(s)
end

local function step_main(s)
  local uses = freq[s]
  if uses > 0 then
    freq[s] = uses - 1
    main:push(s)
    return nil
  end
  state.main_used = state.main_used - size[s]
  return s
end

local function step_small(s)
  local bytes = size[s]
  state.small_used = state.small_used - bytes
  if freq[s] >= 2 then
    state.sweeping, freq[s] = 1, 0
    to_main(s)
    return nil
  end
  state.sweeping = 0
  ghost:add(cache:hash(s), bytes)
  return s
end

function s3fifo.ask() fit() end

function s3fifo.step()
  local s, m = small:back(), main:back()
  if not s then
    state.sweeping = 0
    if not m then return false end
    return (step_main(m))
  end
  -- In whole numbers: main holds strictly more than its share.
  local used = state.small_used
  if state.sweeping == 0 and m and used + 1 <= small_share * (used + state.main_used) then return (step_main(m)) end
  return (step_small(s))
end

return s3fifo
