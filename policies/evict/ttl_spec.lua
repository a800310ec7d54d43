local cache_of = dofile("tests/lua/cache.lua").new

describe("ttl", function()
  it("evicts what would expire soonest", function()
    local cache = cache_of("ttl", 3)
    cache:put("a", { expires_ms = 3000 })
    cache:put("b", { expires_ms = 1000 })
    cache:put("c", { expires_ms = 2000 })
    assert.equal("b", cache:put("d", { expires_ms = 9000 }))
    assert.equal("c a d", cache:drain())
  end)

  it("makes room though nothing ever expires: the oldest goes", function()
    local cache = cache_of("ttl", 3)
    cache:put "a b c"
    cache:get "a"
    assert.equal("a", cache:put "d")
  end)

  it("sees a new time that a key was given", function()
    local cache = cache_of("ttl", 2)
    cache:put("a", { expires_ms = 1000 })
    cache:put("b", { expires_ms = 2000 })
    cache:touch("a", 5000)
    assert.equal("b a", cache:drain())
  end)
end)
