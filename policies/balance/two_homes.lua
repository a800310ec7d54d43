--- Two homes: each key (pool.key: a user, a path, ...) has two backends that keep its data warm, and goes to the one
-- with less to do. A popular key does not crush one backend, a restart leaves a warm one, and each cache holds part of
-- the keys. Where both have more than `bound` times the mean to do, the request goes to the freest of all: late is
-- worse than cold. Start from this file for caches, sessions and shards of your own.
-- Parameters: bound (2). Cost: one hash and one look per backend.
-- Source: rendezvous hashing (Thaler and Ravishankar, 1998) with the two choices of Mitzenmacher, 2001.
local policy = require "neap.policy"

local homes = policy.balance { name = "two_homes", params = {
  bound = { default = 2, min = 1, max = 100, doc = "times the mean work, from which on both homes are passed over" },
} }
local bound = homes.param.bound

local log = math.log

-- What a request adds to, for its share.
local function work(backend) return (backend.in_flight + 1) / backend.share end

function homes.pick(_, pool)
  local first, second, high, next_high = nil, nil, -1, -1
  local freest, least, total, share = nil, math.huge, 0, 0
  for i = 1, pool.count do
    local backend = pool[i]
    if backend.up then
      local score, todo = backend.share / -log(backend.affinity), work(backend)
      total, share = total + backend.in_flight, share + backend.share
      if todo < least then freest, least = i, todo end
      if score > high then
        first, second, high, next_high = i, first, score, high
      elseif score > next_high then
        second, next_high = i, score
      end
    end
  end
  if not second then return first end -- one, or none
  local home = work(pool[second]) < work(pool[first]) and second or first
  if work(pool[home]) <= bound * (total + 1) / share + 1 / pool[home].share then return home end
  return freest
end

return homes
