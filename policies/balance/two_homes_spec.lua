local pools = dofile "tests/lua/pool.lua"
local pool_of = pools.new
local homes = pools.load "two_homes"

describe("two_homes", function()
  it("picks the less busy of the two that the key belongs to", function()
    local backends = { { affinity = 0.9, in_flight = 3 }, { affinity = 0.2 }, { affinity = 0.8, in_flight = 2 } }
    assert.equal(3, homes.pick(nil, pool_of(backends)))
    backends[3].in_flight = 4
    assert.equal(1, homes.pick(nil, pool_of(backends)))
  end)

  it("prefers the first home of equals", function()
    assert.equal(2, homes.pick(nil, pool_of { { affinity = 0.5 }, { affinity = 0.9 }, { affinity = 0.1 } }))
  end)

  it("leaves both where they have too much to do", function()
    local backends = { { affinity = 0.9, in_flight = 20 }, { affinity = 0.8, in_flight = 20 }, { affinity = 0.1 } }
    for i = 4, 8 do backends[i] = { affinity = 0.1, in_flight = 1 } end
    assert.equal(3, homes.pick(nil, pool_of(backends)))
  end)

  it("counts shares: a large backend is home to more, and has room for more", function()
    local backends = { { affinity = 0.5, share = 4, in_flight = 6 }, { affinity = 0.5, in_flight = 1 } }
    assert.equal(1, homes.pick(nil, pool_of(backends)))
  end)

  it("makes do with who is up", function()
    assert.equal(2, homes.pick(nil, pool_of { { up = false, affinity = 0.9 }, { affinity = 0.1 } }))
    assert.is_nil(homes.pick(nil, pool_of { { up = false } }))
    assert.is_nil(homes.pick(nil, pool_of {}))
  end)
end)
