local world_of = dofile("tests/lua/prefetch.lua").new

describe("stride", function()
  it("wishes for what comes next, further ahead the longer the run", function()
    local world = world_of "stride"
    assert.equal("", world:tell("want", "page:1 page:2 page:3"))
    assert.equal("page:5 page:6 page:7 page:8 page:9 page:10", world:tell("want", "page:4"))
    assert.equal("page:11 page:12 page:13", world:tell("want", "page:5"))
  end)

  it("follows any distance, and runs that are mixed", function()
    local world = world_of("stride", { depth = 1 })
    world:tell("want", "a100 b7 a228 b6 a356 b5")
    assert.equal("a612", world:tell("want", "a484"))
    assert.equal("b3", world:tell("want", "b4"))
  end)

  it("keeps to its depth", function()
    local world = world_of("stride", { depth = 2 })
    world:tell("want", "p1 p2 p3 p4 p5 p6 p7")
    assert.equal("p10", world:tell("want", "p8"))
  end)

  it("leaves out what would come too late", function()
    local world = world_of("stride", { depth = 4 })
    world:tell("late", "p p p p p p p p p p p p")
    world:tell("want", "q1 q2 q3")
    assert.equal("q7 q8", world:tell("want", "q4"))
    for _ = 1, 100 do world:tell("used", "q7") end
    world:tell("want", "r1 r2 r3")
    assert.equal("r5 r6 r7 r8", world:tell("want", "r4"))
  end)

  it("wishes for no more than there is room for", function()
    local world = world_of "stride"
    world.board.room = 2
    world:tell("want", "p1 p2 p3")
    assert.equal("p5 p6", world:tell("want", "p4"))
    assert.equal("p7 p8", world:tell("want", "p5"))
    world.board.room = 0
    assert.equal("", world:tell("want", "p6"))
  end)

  it("finds no run where there is none", function()
    local world = world_of "stride"
    assert.equal("", world:tell("want", "a1 a5000 a20000 a7 a90000 alpha beta gamma"))
  end)

  it("refuses parameters that are none", function()
    assert.matches("depth", world_of("stride", { depth = 0 }).problem)
    assert.matches("unknown parameter 'deep'", world_of("stride", { deep = 3 }).problem)
  end)
end)
