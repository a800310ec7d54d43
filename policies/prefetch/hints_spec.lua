local world_of = dofile("tests/lua/prefetch.lua").new

describe("hints", function()
  it("wishes for what is hinted", function()
    local world = world_of "hints"
    assert.equal("style script", world:tell("hint", "style script", { like = "page" }))
    assert.equal("next", world:tell("hint", "next"))
  end)

  it("takes so many of one key, and again of another", function()
    local world = world_of("hints", { most = 2 })
    assert.equal("a b", world:tell("hint", "a b c d", { like = "page" }))
    assert.equal("e f", world:tell("hint", "e f g", { like = "other" }))
  end)

  it("does not mind what is asked for", function()
    assert.equal("", world_of("hints"):tell("want", "a b c a b c"))
  end)
end)
