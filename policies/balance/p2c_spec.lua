local pools = dofile "tests/lua/pool.lua"
local pool_of = pools.new
local p2c = pools.load "p2c"

describe("p2c", function()
  it("picks the one of the two drawn that has less to do", function()
    local backends = { { in_flight = 5 }, { in_flight = 4 }, { in_flight = 0 } }
    assert.equal(2, p2c.pick(nil, pool_of(backends, 1, 2)))
    assert.equal(3, p2c.pick(nil, pool_of(backends, 3, 1)))
  end)

  it("counts work by share", function()
    assert.equal(1, p2c.pick(nil, pool_of({ { in_flight = 5, share = 4 }, { in_flight = 1 } }, 1, 2)))
  end)

  it("takes the next usable one for a drawn one that is not", function()
    local backends = { { up = false }, { up = false }, { in_flight = 9 }, { in_flight = 1 } }
    assert.equal(3, p2c.pick(nil, pool_of(backends, 1, 2)))
    assert.equal(4, p2c.pick(nil, pool_of(backends, 4, 1)))
  end)

  it("picks none where none may be picked, and the one of one", function()
    assert.is_nil(p2c.pick(nil, pool_of({ { up = false }, { up = false } }, 1, 2)))
    assert.is_nil(p2c.pick(nil, pool_of {}))
    assert.equal(1, p2c.pick(nil, pool_of { {} }))
  end)
end)
