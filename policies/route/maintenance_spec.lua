local fake = dofile "tests/lua/request.lua"
local maintenance = dofile "policies/route/maintenance.lua"

local function decide(options, request)
  local res = fake.response()
  maintenance(options)(fake.request(request), res)
  return res.told
end

describe("maintenance", function()
  it("answers all where nothing is said", function()
    local told = decide({ retry = 60, body = "<p>later</p>" })
    assert.same({ 503, "<p>later</p>", "60", "no-store" },
                { told.status, told.body, told.response["retry-after"], told.response["cache-control"] })
  end)

  it("closes the hosts of a table, or all of them", function()
    assert.is_nil(decide({ closed = fake.table {} }).status)
    assert.equal(503, decide({ closed = fake.table { ["example.com"] = true } }).status)
    assert.is_nil(decide({ closed = fake.table { ["other.com"] = true } }).status)
    assert.equal(503, decide({ closed = fake.table { ["*"] = true } }).status)
  end)

  it("lets those in who may look", function()
    assert.is_nil(decide({ allow = { "10.0.0.1" } }).status)
    assert.equal(503, decide({ allow = { "10.0.0.2" } }).status)
    assert.is_nil(decide({ cookie = "staff" }, { cookies = { staff = "1" } }).status)
    assert.equal(503, decide({ cookie = "staff" }).status)
  end)

  it("refuses options that mean nothing", function()
    assert.has_error(function() maintenance { open = true } end)
  end)
end)
