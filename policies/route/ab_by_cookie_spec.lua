local fake = dofile "tests/lua/request.lua"
local ab_by_cookie = dofile "policies/route/ab_by_cookie.lua"

local function decide(options, request)
  local res = fake.response()
  ab_by_cookie(options)(fake.request(request), res)
  return res.told
end

describe("A/B by cookie", function()
  local options = { groups = { a = 80, b = 20 }, pools = { b = "beta" }, days = 1 }

  it("keeps who has a group, and tells backend, log and pool", function()
    local told = decide(options, { cookies = { group = "b" } })
    assert.same({ "b", "b", "beta" }, { told.tag, told.request["x-group"], told.pool })
    assert.is_nil(told.added["set-cookie"])
    assert.is_nil(decide(options, { cookies = { group = "a" } }).pool)
  end)

  it("draws the others by weight, always the same, and sets a cookie", function()
    local counts = { a = 0, b = 0 }
    for i = 1, 2000 do
      local client = { client = "10.1." .. i % 250 .. "." .. i }
      local told = decide(options, client)
      counts[told.tag] = counts[told.tag] + 1
      assert.equal("group=" .. told.tag .. "; Path=/; Max-Age=86400; SameSite=Lax", told.added["set-cookie"])
      assert.equal(told.tag, decide(options, client).tag)
    end
    assert.is_near(400, counts.b, 100)
  end)

  it("draws anew who brings a group that is none", function()
    assert.is_string(decide(options, { cookies = { group = "evil; Domain=x" } }).added["set-cookie"])
  end)

  it("refuses options that mean nothing", function()
    assert.has_error(function() ab_by_cookie {} end)
    assert.has_error(function() ab_by_cookie { groups = { a = 0 } } end)
    assert.has_error(function() ab_by_cookie { groups = { a = -1, b = 2 } } end)
    assert.has_error(function() ab_by_cookie { groups = { a = 1 }, pools = { c = "x" } } end)
    assert.has_error(function() ab_by_cookie { groups = { a = 1 }, coookie = "x" } end)
  end)
end)
