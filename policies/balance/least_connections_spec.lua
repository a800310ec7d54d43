local pools = dofile "tests/lua/pool.lua"
local pool_of = pools.new
local least

describe("least_connections", function()
  before_each(function() least = pools.load "least_connections" end)

  it("picks the fewest requests in flight, whatever the share", function()
    assert.equal(2, least.pick(nil, pool_of { { in_flight = 3, share = 9 }, { in_flight = 1 }, { in_flight = 2 } }))
  end)

  it("lets equals take turns, and begins anywhere", function()
    local pool, picked = pool_of({ {}, { in_flight = 1 }, {}, {} }, { random = { 0.3 } }), {}
    for i = 1, 6 do picked[i] = least.pick(nil, pool) end
    assert.same({ 3, 4, 1, 3, 4, 1 }, picked)
  end)

  it("leaves out those that may not be picked", function()
    assert.equal(3, least.pick(nil, pool_of { { up = false }, { up = false }, { in_flight = 99 } }))
    assert.is_nil(least.pick(nil, pool_of { { up = false } }))
    assert.is_nil(least.pick(nil, pool_of {}))
  end)
end)
