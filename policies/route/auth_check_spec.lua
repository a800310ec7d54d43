local fake = dofile "tests/lua/request.lua"
local auth_check = dofile "policies/route/auth_check.lua"

describe("auth check", function()
  local keys = fake.table { s3cret = "acme" }

  local function decide(request, options)
    local res = fake.response()
    options = options or {}
    options.keys = keys
    auth_check(options)(fake.request(request), res)
    return res.told
  end

  it("lets known keys through, and tells whose they are but not the key", function()
    local told = decide { headers = { ["x-api-key"] = "s3cret" } }
    assert.same({ "acme", "acme", false }, { told.tag, told.request["x-owner"], told.request["x-api-key"] })
    assert.is_nil(told.status)
  end)

  it("answers the others", function()
    for _, key in ipairs { "wrong", "", "S3CRET" } do
      assert.equal(401, decide { headers = { ["x-api-key"] = key } }.status)
    end
    assert.equal(401, decide {}.status)
  end)

  it("leaves open what is open", function()
    assert.is_nil(decide({ path = "/health" }, { open = { "/health" } }).status)
  end)

  it("takes open paths for whole segments, and lets no client say whose it is there", function()
    local options = { open = { "/health", "/public/" } }
    for path, status in pairs {
      ["/health/x"] = 0, ["/public/"] = 0, ["/public/a"] = 0, ["/healthy"] = 401,
      ["/"] = 401, ["/public"] = 401 } do
      assert.equal(status, decide({ path = path }, options).status or 0, path)
    end
    assert.equal(false, decide({ path = "/health", headers = { ["x-owner"] = "evil" } }, options).request["x-owner"])
    assert.has_error(function() decide({}, { open = { "health" } }) end)
    assert.has_error(function() decide({}, { open = { 7 } }) end)
  end)

  it("refuses options that mean nothing", function()
    assert.has_error(function() auth_check {} end)
    assert.has_error(function() auth_check { keys = keys, key = "x" } end)
  end)
end)
