local pools = dofile "tests/lua/pool.lua"
local pool_of = pools.new

-- The next picks as text; the policy starts anew each time, with nothing gained.
local function picks(backends, count, start)
  local smooth, out = pools.load "weighted_round_robin", {}
  for i = 1, count do out[i] = tostring(smooth.pick(nil, pool_of(backends, { random = start or { 0 } }))) end
  return table.concat(out, " ")
end

describe("weighted_round_robin", function()
  it("takes turns", function()
    assert.equal("1 2 3 1 2 3 1", picks({ {}, {}, {} }, 7))
  end)

  it("spreads the turns of heavy ones", function()
    assert.equal("1 1 2 1 3 1 1", picks({ { share = 5 }, {}, {} }, 7))
  end)

  it("begins anywhere", function()
    assert.equal("2 3 1 2 3 1", picks({ {}, {}, {} }, 6, { 0.1, 0.9, 0.5 }))
  end)

  it("leaves out those that may not be picked", function()
    assert.equal("2 4 2 4", picks({ { up = false }, {}, { up = false }, {} }, 4))
    assert.equal("nil nil", picks({ { up = false } }, 2))
  end)
end)
