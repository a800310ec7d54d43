local pools = dofile "tests/lua/pool.lua"
local pool_of = pools.new

-- The next picks as text; the policy starts anew each time.
local function picks(backends, count)
  local smooth, out = pools.load "smooth_round_robin", {}
  for i = 1, count do out[i] = tostring(smooth.pick(nil, pool_of(backends))) end
  return table.concat(out, " ")
end

describe("smooth_round_robin", function()
  it("takes turns", function()
    assert.equal("1 2 3 1 2 3 1", picks({ {}, {}, {} }, 7))
  end)

  it("spreads the turns of heavy ones", function()
    assert.equal("1 1 2 1 3 1 1", picks({ { weight = 5 }, {}, {} }, 7))
  end)

  it("leaves out those that may not be picked", function()
    assert.equal("2 4 2 4", picks({ { up = false }, {}, { up = false }, {} }, 4))
    assert.equal("nil nil", picks({ { up = false } }, 2))
  end)
end)
