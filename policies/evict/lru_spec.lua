local cache_of = dofile("tests/lua/cache.lua").new

describe("lru", function()
  it("evicts what was used longest ago", function()
    local cache = cache_of("lru", 3)
    cache:put "a b c"
    cache:get "a"
    assert.equal("b", cache:put "d")
    assert.equal("c a d", cache:drain())
  end)

  it("counts a new value as a use", function()
    local cache = cache_of("lru", 3)
    cache:put "a b c"
    cache:update("a", 1)
    assert.equal("b c a", cache:drain())
  end)

  it("forgets what was removed", function()
    local cache = cache_of("lru", 3)
    cache:put "a b c"
    cache:remove "a"
    cache:put "a"
    assert.equal("b c a", cache:drain())
  end)
end)
