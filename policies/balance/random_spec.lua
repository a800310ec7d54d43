local pools = dofile "tests/lua/pool.lua"
local pool_of = pools.new
local random = pools.load "random"

describe("random", function()
  it("picks the one that was drawn", function()
    for i = 1, 3 do assert.equal(i, random.pick(nil, pool_of({ {}, {}, {} }, i))) end
  end)

  it("goes on, and round, from one that may not be picked", function()
    assert.equal(1, random.pick(nil, pool_of({ {}, { up = false }, { up = false } }, 2)))
    assert.equal(3, random.pick(nil, pool_of({ {}, { up = false }, {} }, 2)))
  end)

  it("picks none where none may be picked", function()
    assert.is_nil(random.pick(nil, pool_of { { up = false } }))
    assert.is_nil(random.pick(nil, pool_of {}))
  end)
end)
