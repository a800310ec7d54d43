local pools = dofile "tests/lua/pool.lua"
local pool_of = pools.new
local hash = pools.load "consistent_hash"

-- As the engine's leaf: always the same for a key and a backend, and even.
local function affinity(key, name)
  math.randomseed(key * 131 + name)
  return math.random()
end

-- What each key of 1 to 4000 picks, by name, of backends { name = weight }.
local function picks(names, weights, down)
  local out = {}
  for key = 1, 4000 do
    local backends = {}
    for i, name in ipairs(names) do
      backends[i] = { share = weights[name] or 1, affinity = affinity(key, name), up = name ~= down }
    end
    out[key] = names[hash.pick(nil, pool_of(backends))]
  end
  return out
end

local function share(picked, name)
  local count = 0
  for _, each in ipairs(picked) do count = count + (each == name and 1 or 0) end
  return count / #picked
end

describe("consistent_hash", function()
  it("gives each backend its share", function()
    local picked = picks({ 1, 2, 3, 4 }, {})
    for name = 1, 4 do assert.is_near(0.25, share(picked, name), 0.03) end
  end)

  it("counts shares in proportion", function()
    local picked = picks({ 1, 2, 3 }, { [2] = 3 })
    assert.is_near(0.6, share(picked, 2), 0.03)
    assert.is_near(0.2, share(picked, 3), 0.03)
  end)

  it("moves only the keys of a backend that goes, whatever their places in the pool", function()
    local before, gone, down = picks({ 1, 2, 3, 4 }, {}), picks({ 1, 3, 4 }, {}), picks({ 1, 2, 3, 4 }, {}, 2)
    for key = 1, #before do
      if before[key] ~= 2 then
        assert.equal(before[key], gone[key])
        assert.equal(before[key], down[key])
      end
    end
  end)

  it("passes over a backend that has more than its part", function()
    local loaded, out = pools.load("consistent_hash", { bound = 1.25 }), {}
    for _, in_flight in ipairs { 0, 4, 5, 50 } do
      local backends = { { affinity = 0.9, in_flight = in_flight }, { affinity = 0.5, in_flight = 3 } }
      out[#out + 1] = loaded.pick(nil, pool_of(backends))
    end
    assert.same({ 1, 1, 1, 2 }, out) -- of 8 requests and this one a half is 4.5, and a quarter more 5.6: up to 6
    local unbound = pools.load("consistent_hash", { bound = 0 })
    assert.equal(1, unbound.pick(nil, pool_of { { affinity = 0.9, in_flight = 50 }, { affinity = 0.5 } }))
  end)

  it("picks none where none may be picked", function()
    assert.is_nil(hash.pick(nil, pool_of { { up = false } }))
    assert.is_nil(hash.pick(nil, pool_of {}))
  end)
end)
