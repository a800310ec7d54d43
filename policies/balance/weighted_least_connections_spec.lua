local pools = dofile "tests/lua/pool.lua"
local pool_of = pools.new
local least

describe("weighted_least_connections", function()
  before_each(function() least = pools.load "weighted_least_connections" end)

  it("compares fractions: 3 of share 4 is less than 1 of share 1", function()
    assert.equal(1, least.pick(nil, pool_of { { in_flight = 3, share = 4 }, { in_flight = 1 } }))
    assert.equal(2, least.pick(nil, pool_of { { in_flight = 8, share = 4 }, { in_flight = 1 } }))
  end)

  it("prefers the heavier of idle ones", function()
    assert.equal(2, least.pick(nil, pool_of({ {}, { share = 3 }, { share = 2 } })))
  end)

  it("lets equals take turns, and begins anywhere", function()
    local pool, picked = pool_of({ {}, { in_flight = 1 }, {}, {} }, { random = { 0.3 } }), {}
    for i = 1, 6 do picked[i] = least.pick(nil, pool) end
    assert.same({ 3, 4, 1, 3, 4, 1 }, picked)
  end)

  it("leaves out those that may not be picked", function()
    assert.equal(2, least.pick(nil, pool_of { { up = false, share = 9 }, { in_flight = 99 } }))
    assert.is_nil(least.pick(nil, pool_of { { up = false } }))
  end)
end)
