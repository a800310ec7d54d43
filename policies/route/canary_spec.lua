local canary = dofile "policies/route/canary.lua"

local function value_of(text)
  local sum = 0
  for i = 1, #text do sum = (sum * 31 + text:byte(i)) % 1000003 end
  return { text = text, eq = function(self, other) return self.text == other end,
           hash = function() return sum end }
end

local function request(headers, cookies, client)
  local function finder(list)
    return function(_, name) return list and list[name] and value_of(list[name]) end
  end
  return { client = value_of(client or "10.0.0.1"), header = finder(headers), cookie = finder(cookies) }
end

describe("canary", function()
  it("takes those that ask by a header of a value", function()
    local when = canary { header = "x-version", value = "beta" }
    assert.is_true(when(request { ["x-version"] = "beta" }))
    assert.is_false(when(request { ["x-version"] = "stable" }))
    assert.is_false(when(request {}))
  end)

  it("takes any value where none is named, and cookies", function()
    assert.is_true(canary { header = "x-beta" } (request { ["x-beta"] = "" }))
    assert.is_true(canary { cookie = "group", value = "b" } (request(nil, { group = "b" })))
    assert.is_false(canary { cookie = "group", value = "b" } (request(nil, { group = "a" })))
  end)

  it("takes a share of the others, always the same ones", function()
    local when, taken = canary { share = 20 }, 0
    for i = 1, 2000 do
      local client = "10.0." .. i % 250 .. "." .. math.floor(i / 250)
      local first = when(request(nil, nil, client))
      assert.equal(first, when(request({ other = "x" }, nil, client)))
      taken = taken + (first and 1 or 0)
    end
    assert.is_near(400, taken, 120)
    assert.is_true(canary { share = 100 } (request()))
  end)

  it("draws by who it is, and by the client where that is not told", function()
    local when = canary { share = 50, by = "header:x-user" }
    local by_client = canary { share = 50 }
    for i = 1, 50 do
      local user = "user" .. i
      assert.equal(when(request({ ["x-user"] = user }, nil, "a")), when(request({ ["x-user"] = user }, nil, "b")))
      assert.equal(by_client(request(nil, nil, user)), when(request(nil, nil, user)))
    end
    assert.is_boolean(canary { share = 50, by = "cookie:id" } (request(nil, { id = "7" })))
  end)

  it("refuses options that mean nothing", function()
    assert.has_error(function() canary { sahre = 5 } end)
    assert.has_error(function() canary { share = 101 } end)
    assert.has_error(function() canary { share = "5" } end)
    assert.has_error(function() canary { by = "path" } end)
    assert.has_error(function() canary { header = "a", cookie = "b" } end)
  end)
end)
