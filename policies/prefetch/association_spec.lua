local world_of = dofile("tests/lua/prefetch.lua").new

describe("association", function()
  it("wishes for what followed the last times, chain and all", function()
    local world = world_of "association"
    world:tell("want", "a b c x a b c y a b c z")
    assert.equal("b c", world:tell("want", "a"))
  end)

  it("does not believe what was seen once", function()
    local world = world_of "association"
    world:tell("want", "a b c x")
    assert.equal("", world:tell("want", "a"))
  end)

  it("does not believe what follows seldom", function()
    local world = world_of "association"
    world:tell("want", "a b a c a d a e a b a f a g")
    assert.equal("", world:tell("want", "a"))
  end)

  it("wishes for two where both are likely", function()
    local world = world_of("association", { confidence = 0.3 })
    world:tell("want", "a b 1 a c 2 a b 3 a c 4 a b 5")
    assert.equal("b c", (world:tell("want", "a"):gsub("^c b$", "b c")))
  end)

  it("leaves out what would come too late, and learns how much that is", function()
    local world = world_of "association"
    for i = 1, 4 do world:tell("want", "a b c d e x stranger" .. i) end
    assert.equal("b c d e x", world:tell("want", "a"))
    world:tell("want", "b c d e x another")
    world:tell("late", "b b b b b b b b")
    assert.equal("d e x", world:tell("want", "a"))
    world:tell("want", "b c d e x another")
    for _ = 1, 100 do world:tell("used", "d") end
    assert.equal("b c d e x", world:tell("want", "a"))
  end)

  it("tells clients apart", function()
    local world = world_of "association"
    for _ = 1, 3 do
      world:tell("want", "a", { stream = 1 })
      world:tell("want", "x", { stream = 2 })
      world:tell("want", "b", { stream = 1 })
      world:tell("want", "y", { stream = 2 })
    end
    assert.equal("b", (world:tell("want", "a", { stream = 1 }):match "^%S+"))
  end)
end)
