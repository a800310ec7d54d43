local address = require "neap.address"

describe("an address to listen on", function()
  it("has a host or none, and a port from 0", function()
    assert.same({ host = "127.0.0.1", port = 8080 }, address.parse("127.0.0.1:8080", 0))
    assert.same({ host = "", port = 0 }, address.parse(":0", 0))
    assert.same({ host = "::1", port = 80 }, address.parse("[::1]:80", 0))
    assert.same({ host = "app.internal", port = 80 }, address.parse("App.Internal:80", 0))
  end)

  it("is refused when it is something else", function()
    local wrong = { "", "8080", "a", "a:", "a:x", "a:99999", "a b:80", "::1:80", "[::1]", "[]:80", "[x]:80",
                    "256.0.0.1:80", "1.2.3:80", "1.2.3.4.5:80", "-a:80", "a..b:80", ("a"):rep(400) .. ":80" }
    for _, value in ipairs(wrong) do assert.is_nil((address.parse(value, 0)), value) end
    assert.is_nil((address.parse(8080, 0)))
  end)
end)

describe("a backend", function()
  it("is text with an optional weight", function()
    local backend = address.backend "10.0.0.1:80 weight=3"
    assert.same({ host = "10.0.0.1", port = 80, address = "10.0.0.1:80", weight = 3, priority = 0, max_connections = 0,
                  id = "" }, backend)
    assert.equal(1, address.backend("[::1]:80").weight)
    assert.equal("[::1]:80", address.backend("[::1]:80").address)
  end)

  it("has a priority, or is a backup behind all of them", function()
    assert.equal(3, address.backend("a:80 priority=3").priority)
    assert.equal(15, address.backend("a:80 weight=2 backup").priority)
    assert.equal(2, address.backend("a:80 weight=2 backup").weight)
    assert.equal(15, address.backend({ "a:80", backup = true }).priority)
    assert.equal(14, address.backend({ "a:80", priority = 14 }).priority)
    for i, value in ipairs { "a:80 priority=15", "a:80 priority=1 backup", { "a:80", priority = -1 },
                             { "a:80", priority = 0.5 }, { "a:80", priority = "x" },
                             { "a:80", priority = 1, backup = true } } do
      assert.is_nil((address.backend(value)), i)
    end
  end)

  it("is a table as the guide has it", function()
    assert.same(address.backend "10.0.0.1:80 weight=2",
                address.backend { address = "10.0.0.1", port = 80, weight = 2 })
    assert.same(address.backend "[::1]:80", address.backend { address = "::1", port = 80 })
    assert.same(address.backend "a:80", address.backend { "a:80" })
  end)

  it("may have a limit and a name of its own", function()
    local id = "01234567-89AB-cdef-0123-456789abcdef"
    local backend = address.backend("a:80 max_connections=100 id=" .. id .. " weight=2")
    assert.same({ host = "a", port = 80, address = "a:80", weight = 2, priority = 0, max_connections = 100,
                  id = string.lower(id) }, backend)
    assert.same(backend, address.backend { "a:80", max_connections = 100, id = id, weight = 2 })
    assert.is_nil((address.backend "a:80 max_connections=-1"))
    assert.is_nil((address.backend "a:80 id=mine"))
  end)

  it("is refused without host or port, with odd weights and with words that mean nothing", function()
    local wrong = { "", ":80", "a:0", "a:80 weight=0", "a:80 weight=1001", "a:80 weight=1.5",
                    "a:80 weight=0x2", "a:80 weight=1e2", "a:80 w=1", "a:80 x",
                    { address = "a" }, { address = "a", port = "x" }, { port = 80 }, { address = "a:80", weight = 0.5 },
                    { address = "a:80", wait = 1 }, { {} } }
    for i, value in ipairs(wrong) do
      local backend, hint = address.backend(value)
      assert.is_nil(backend, i)
      assert.is_string(hint)
    end
    assert.is_nil((address.backend(5)))
  end)
end)
