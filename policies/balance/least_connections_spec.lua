local pools = dofile "tests/lua/pool.lua"
local pool_of = pools.new
local least = pools.load "least_connections"

describe("least_connections", function()
  it("picks the fewest requests in flight, whatever the weight", function()
    assert.equal(2, least.pick(nil, pool_of { { in_flight = 3, weight = 9 }, { in_flight = 1 }, { in_flight = 2 } }))
  end)

  it("begins at the drawn one, so that ties spread", function()
    for i = 1, 4 do assert.equal(i, least.pick(nil, pool_of({ {}, {}, {}, {} }, i))) end
  end)

  it("leaves out those that may not be picked", function()
    assert.equal(3, least.pick(nil, pool_of { { up = false }, { up = false }, { in_flight = 99 } }))
    assert.is_nil(least.pick(nil, pool_of { { up = false } }))
    assert.is_nil(least.pick(nil, pool_of {}))
  end)
end)
