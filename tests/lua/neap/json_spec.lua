local json = require "neap.json"

describe("canonical JSON", function()
  it("is the same for equal tables, whatever the order they were made in", function()
    local a, b = {}, {}
    for i = 1, 50 do a["key" .. i] = i end
    for i = 50, 1, -1 do b["key" .. i] = i end
    assert.equal(json.encode(a), json.encode(b))
    assert.equal('{"a":[1,2,{"c":true}],"b":"x"}', json.encode { b = "x", a = { 1, 2, { c = true } } })
  end)

  it("writes whole numbers whole and others exactly", function()
    assert.equal("9007199254740992", json.encode(2 ^ 53))
    assert.equal("0.10000000000000001", json.encode(0.1))
    assert.equal("-5", json.encode(-5))
  end)

  it("escapes what JSON wants escaped", function()
    assert.equal([["\"\\\n\u0001\u007f/"]], json.encode "\"\\\n\1\127/")
  end)

  it("refuses what is no data", function()
    assert.has_error(function() json.encode { f = print } end)
  end)

  it("knows UTF-8 without NUL", function()
    for _, good in ipairs { "", "plain", "caf\195\169", "\226\130\172", "\240\159\140\138" } do
      assert.is_true(json.is_text(good))
    end
    for _, bad in ipairs { "\0", "a\0b", "\255", "\192\128", "\195", "\237\160\128", "\244\144\128\128",
                           "\224\128\128" } do
      assert.is_false(json.is_text(bad))
    end
  end)
end)
