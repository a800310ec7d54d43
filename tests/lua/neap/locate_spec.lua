local locate = require "neap.locate"

local TEXT = [==[
local neap = require "neap"
neap.cache { max = 1, -- evct = 3
  evct = "x", f = function(a, b) if a then return { evil = 1, b } end end,
  sub = {
    1, "x,}", [[ , ]],
    deep = 3, ["odd key"] = 5 } }
neap.pool({ name = "a" }) neap.pool { name = "b",
   later = 1 }
neap.pool { --[[ { nested = 1 } ]] nested
  = 2, eq = a == b, last = 1 }
neap.pool { broken = ]==]

describe("the line of a key", function()
  it("is where the key stands, not where the call began", function()
    assert.equal(3, locate.line(TEXT, 2, "cache", { "evct" }))
    assert.equal(3, locate.line(TEXT, 2, "cache", { "f" }))
    assert.equal(6, locate.line(TEXT, 2, "cache", { "sub", "deep" }))
    assert.equal(6, locate.line(TEXT, 2, "cache", { "sub", "odd key" }))
    assert.equal(10, locate.line(TEXT, 9, "pool", { "last" }))
    assert.equal(9, locate.line(TEXT, 9, "pool", { "nested" }))
  end)

  it("is where an element of a list stands", function()
    assert.equal(5, locate.line(TEXT, 2, "cache", { "sub", 3 }))
  end)

  it("is found in the call that has the key, where a line has several", function()
    assert.equal(8, locate.line(TEXT, 7, "pool", { "later" }))
  end)

  it("is as near as possible where the key is not in the text", function()
    assert.equal(4, locate.line(TEXT, 2, "cache", { "sub", "none" }))
    assert.equal(2, locate.line(TEXT, 2, "cache", { "none" }))
    assert.equal(2, locate.line(TEXT, 2, "cache", {}))
  end)

  it("is given for any text at all", function()
    assert.equal(11, locate.line(TEXT, 11, "pool", { "broken" }))
    assert.equal(99, locate.line(TEXT, 99, "pool", { "x" }))
    for i = 1, #TEXT do
      assert.is_number(locate.line(TEXT:sub(1, i), 2, "cache", { "sub", "deep" }))
    end
  end)
end)
