local cache_of = dofile("tests/lua/cache.lua").new

describe("sieve", function()
  it("evicts the oldest that was not used since the hand came by", function()
    local cache = cache_of("sieve", 4)
    cache:put "a b c d"
    cache:get "a b"
    assert.equal("c", cache:put "e")
    assert.equal("d", cache:put "f")
  end)

  it("reaches the new ones in the same round, and starts over behind them", function()
    local cache = cache_of("sieve", 3)
    cache:put "a b c"
    cache:get "a b c"
    assert.equal("a", cache:put "d")
    assert.equal("b", cache:put "e")
  end)

  it("keeps its hand when the entry below it is removed", function()
    local cache = cache_of("sieve", 4)
    cache:put "a b c d"
    cache:get "a"
    assert.equal("b", cache:put "e")
    cache:remove "c"
    assert.equal("d e a", cache:drain())
  end)

  it("lets a scan pass through", function()
    local cache = cache_of("sieve", 4)
    cache:put "a b"
    cache:get "a b"
    cache:put "1 2 3 4 5 6 7 8"
    assert.is_true(cache:get "a" or cache:get "b")
  end)

  it("gives one victim at a time near the newest entry, as if others had come meanwhile", function()
    local cache = cache_of("sieve", 64)
    for i = 1, 64 do cache:put("k" .. i) end
    assert.equal(63, #cache:evict(64))
    assert.equal("k64", cache:drain())
  end)
end)
