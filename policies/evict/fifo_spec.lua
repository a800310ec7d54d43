local cache_of = dofile("tests/lua/cache.lua").new

describe("fifo", function()
  it("evicts in the order of arrival, whatever was used", function()
    local cache = cache_of("fifo", 3)
    cache:put "a b c"
    cache:get "a a a b"
    assert.equal("a", cache:put "d")
    assert.equal("b c d", cache:drain())
  end)

  it("forgets what was removed", function()
    local cache = cache_of("fifo", 3)
    cache:put "a b c"
    cache:remove "b"
    assert.equal("a c", cache:drain())
  end)

  it("has nothing to give when it is empty", function()
    assert.same({}, cache_of("fifo", 3):evict(8))
  end)
end)
