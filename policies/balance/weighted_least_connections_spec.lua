local pools = dofile "tests/lua/pool.lua"
local pool_of = pools.new
local least = pools.load "weighted_least_connections"

describe("weighted_least_connections", function()
  it("compares fractions: 3 of weight 4 is less than 1 of weight 1", function()
    assert.equal(1, least.pick(nil, pool_of { { in_flight = 3, weight = 4 }, { in_flight = 1 } }))
    assert.equal(2, least.pick(nil, pool_of { { in_flight = 8, weight = 4 }, { in_flight = 1 } }))
  end)

  it("prefers the heavier of idle ones", function()
    assert.equal(2, least.pick(nil, pool_of({ {}, { weight = 3 }, { weight = 2 } }, 3)))
  end)

  it("begins at the drawn one, so that ties spread", function()
    for i = 1, 4 do assert.equal(i, least.pick(nil, pool_of({ {}, {}, {}, {} }, i))) end
  end)

  it("leaves out those that may not be picked", function()
    assert.equal(2, least.pick(nil, pool_of { { up = false, weight = 9 }, { in_flight = 99 } }))
    assert.is_nil(least.pick(nil, pool_of { { up = false } }))
  end)
end)
