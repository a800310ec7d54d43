local units = require "neap.units"

describe("a duration", function()
  it("takes ms, s, m, h, d, and sums them", function()
    assert.equal(250, units.duration "250ms")
    assert.equal(5400000, units.duration "1h30m")
    assert.equal(5400000, units.duration " 1.5h ")
    assert.equal(2 * 86400000, units.duration "2d")
    assert.equal(0, units.duration "0s")
  end)

  it("takes bare numbers as seconds", function()
    assert.equal(1500, units.duration(1.5))
    assert.equal(5000, units.duration "5")
    assert.equal(0, units.duration(0))
  end)

  it("refuses everything else with a hint", function()
    local wrong = { "", "x", "1x", "1h30", "-1s", "1 s s", "1e3s", -1, 0 / 0, math.huge, 2 ^ 60, true, {},
                    ("1h"):rep(100) }
    for _, value in ipairs(wrong) do
      local ms, hint = units.duration(value)
      assert.is_nil(ms)
      assert.matches("write seconds", hint)
    end
    assert.is_nil((units.duration(nil)))
  end)
end)

describe("a size", function()
  it("counts in powers of two, in any case, with or without B", function()
    assert.equal(256 * 1024 * 1024, units.size "256MB")
    assert.equal(256 * 1024 * 1024, units.size "256m")
    assert.equal(1.5 * 2 ^ 30, units.size "1.5 GiB")
    assert.equal(4096, units.size(4096))
    assert.equal(4096, units.size "4096")
  end)

  it("refuses fractions of a byte, negatives and unknown units", function()
    for _, value in ipairs { 1.5, -1, "1XB", "MB", "", "1MB1", 2 ^ 54, 0 / 0, {} } do
      local bytes, hint = units.size(value)
      assert.is_nil(bytes)
      assert.matches("write bytes", hint)
    end
  end)
end)

describe("numbers and flags from the environment", function()
  it("are read from text", function()
    assert.equal(-3, units.integer " -3 ")
    assert.is_true(units.boolean "Yes")
    assert.is_false(units.boolean "0")
    assert.is_false(units.boolean(false))
  end)

  it("are refused when they are something else", function()
    assert.is_nil((units.integer "1.5"))
    assert.is_nil((units.integer "0x10"))
    assert.is_nil((units.integer(math.huge)))
    assert.is_nil((units.boolean "perhaps"))
    assert.is_nil((units.boolean(1)))
  end)
end)

describe("a shown value", function()
  it("is short and on one line", function()
    assert.equal('"a b"', (units.show "a\nb"):gsub("\\ ", " "))
    assert.is_true(#units.show(("x"):rep(1000)) < 50)
    assert.equal("a table", units.show {})
    assert.equal('"etcd:http://***@host/a@b"', units.show "etcd:http://user:p@ss@host/a@b")
  end)
end)
