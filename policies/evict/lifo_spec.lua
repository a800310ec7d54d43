local cache_of = dofile("tests/lua/cache.lua").new

describe("lifo", function()
  it("evicts what came last", function()
    local cache = cache_of("lifo", 3)
    cache:put "a b c"
    cache:get "c c c"
    assert.equal("c", cache:put "d")
    assert.equal("d b a", cache:drain())
  end)

  it("keeps a loop that is larger than the cache half in", function()
    local cache, hits = cache_of("lifo", 4), 0
    for _ = 1, 10 do
      for key in ("a b c d e f"):gmatch "%S" do
        if cache:get(key) then hits = hits + 1 else cache:put(key) end
      end
    end
    assert.is_true(hits >= 9 * 3)
  end)
end)
