local pools = dofile "tests/lua/pool.lua"
local pool_of = pools.new

describe("estimated_wait", function()
  local estimated
  before_each(function() estimated = pools.load "estimated_wait" end)

  it("picks where the request would be done soonest", function()
    assert.equal(2, estimated.pick(nil, pool_of { { in_flight = 9 }, { in_flight = 3 }, { in_flight = 5 } }))
    assert.equal(1, estimated.pick(nil, pool_of { { in_flight = 5 }, { in_flight = 3, slowness = 2 } }))
    assert.equal(2, estimated.pick(nil, pool_of { { in_flight = 9 }, { in_flight = 3, slowness = 2 } }))
  end)

  it("takes fewer for less, among those that would work on it at once", function()
    assert.equal(2, estimated.pick(nil, pool_of { { in_flight = 1 }, {}, { in_flight = 1 } }))
  end)

  it("goes by how many a backend works on at once", function()
    local wide = pools.load("estimated_wait", { concurrency = 64 })
    assert.equal(1, wide.pick(nil, pool_of { { in_flight = 40 }, { in_flight = 3, slowness = 2 } }))
  end)

  it("lets equals take turns, and begins anywhere", function()
    local pool, picked = pool_of({ {}, { slowness = 3 }, {}, {} }, { random = { 0.3 } }), {}
    for i = 1, 6 do picked[i] = estimated.pick(nil, pool) end
    assert.same({ 3, 4, 1, 3, 4, 1 }, picked)
  end)

  it("leaves out those that may not be picked", function()
    assert.equal(2, estimated.pick(nil, pool_of { { up = false }, { slowness = 9 } }))
    assert.is_nil(estimated.pick(nil, pool_of { { up = false } }))
    assert.is_nil(estimated.pick(nil, pool_of {}))
  end)
end)
