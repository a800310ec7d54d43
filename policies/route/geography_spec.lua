local fake = dofile "tests/lua/request.lua"
local geography = dofile "policies/route/geography.lua"

local function decide(options, request)
  local res = fake.response()
  geography(options)(fake.request(request), res)
  return res.told
end

describe("geography", function()
  it("takes the country from the header, in any case, and chooses the pool", function()
    local told = decide({ pools = { de = "europe" } }, { headers = { ["cf-ipcountry"] = "DE" } })
    assert.same({ "europe", "de" }, { told.pool, told.request["x-country"] })
    assert.is_nil(decide({ pools = { de = "europe" } }, { headers = { ["cf-ipcountry"] = "US" } }).pool)
    assert.same({ ["x-country"] = false }, decide({ pools = { de = "europe" } }).request)
  end)

  it("asks the networks where there is no header", function()
    local options = { networks = fake.table { ["10.0.0.1"] = "fr" }, pools = fake.table { fr = "europe" } }
    assert.equal("europe", decide(options).pool)
    assert.is_nil(decide(options, { headers = { ["cf-ipcountry"] = "de" }, client = "10.0.0.2" }).pool)
    options.header = "x-geo"
    assert.is_nil(decide(options, { headers = { ["x-geo"] = "de" } }).pool)
  end)

  it("refuses countries", function()
    assert.equal(451, decide({ refuse = { "xx" } }, { headers = { ["cf-ipcountry"] = "XX" } }).status)
    assert.is_nil(decide({ refuse = { "xx" } }, { headers = { ["cf-ipcountry"] = "de" } }).status)
  end)

  it("tells countries in any case, and lets no client tell its own", function()
    local told = decide({ pools = { De = "europe" }, refuse = { "XX" } }, { headers = { ["cf-ipcountry"] = "dE" } })
    assert.same({ "europe", "de" }, { told.pool, told.request["x-country"] })
    assert.equal(451, decide({ refuse = { "Xx" } }, { headers = { ["cf-ipcountry"] = "xX" } }).status)
    assert.equal(false, decide({ refuse = { "xx" } }, { headers = { ["x-country"] = "de" } }).request["x-country"])
  end)

  it("refuses options that mean nothing", function()
    assert.has_error(function() geography {} end)
    assert.has_error(function() geography { pool = {} } end)
  end)
end)
