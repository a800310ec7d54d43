local cache_of = dofile("tests/lua/cache.lua").new

describe("lfu", function()
  it("evicts what was used least", function()
    local cache = cache_of("lfu", 3)
    cache:put "a b c"
    cache:get "a a b c c c"
    assert.equal("b", cache:put "d")
    assert.equal("d a c", cache:drain())
  end)

  it("takes of those with as many uses the one that got there first", function()
    local cache = cache_of("lfu", 3)
    cache:put "a b c"
    cache:get "b a c"
    assert.equal("b a c", cache:drain())
  end)

  it("forgets counts with the entry", function()
    local cache = cache_of("lfu", 2)
    cache:put "a b"
    cache:get "a a a b"
    cache:remove "a"
    cache:put "a"
    assert.equal("a b", cache:drain())
  end)
end)
