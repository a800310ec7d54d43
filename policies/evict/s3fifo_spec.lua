local cache_of = dofile("tests/lua/cache.lua").new

local function keys(from, to)
  local all = {}
  for i = from, to do all[#all + 1] = "k" .. i end
  return table.concat(all, " ")
end

describe("s3fifo", function()
  it("drops newcomers that were not used, oldest first", function()
    local cache = cache_of("s3fifo", 20)
    cache:put(keys(1, 20))
    assert.equal("k1 k2 k3", cache:put(keys(21, 23)))
  end)

  it("moves what was used twice to main", function()
    local cache = cache_of("s3fifo", 20)
    cache:put(keys(1, 20))
    cache:get "k1 k1 k2"
    assert.equal("k2", cache:put "x")
    assert.is_true(cache:get "k1")
  end)

  it("takes what comes back soon into main, where it outlives newcomers", function()
    local cache = cache_of("s3fifo", 20)
    cache:put(keys(1, 20))
    assert.equal("k1", cache:put "x")
    assert.equal("k2", cache:put "k1")
    cache:put(keys(21, 60))
    assert.is_true(cache:get "k1")
  end)

  it("counts sizes in its queues", function()
    local cache = cache_of("s3fifo", 1000)
    for i = 1, 10 do cache:put("k" .. i, { size = 90 }) end
    cache:update("k1", 99)
    cache:remove "k2"
    cache:put("y", { size = 80 })
    assert.equal(10, select(2, cache:drain():gsub("%S+", "")))
  end)

  it("refuses what is as large as its small queue, and everything below 20 objects", function()
    assert.equal(99, cache_of("s3fifo", 1000).board.admit_max)
    assert.equal(-1, cache_of("s3fifo", 19).board.admit_max)
  end)

  it("says which parameters are wrong", function()
    local cache = cache_of("s3fifo", 100, { small = 2, gohst = 1 })
    assert.matches("unknown parameter 'gohst'", cache.problem)
    assert.matches("'small' must be a number from 0.001 to 0.9", cache.problem)
  end)
end)
