local make = dofile "policies/health/slow.lua"

local function reply(status, took_ms, said)
  local value = said and { eq = function(_, text) return text == said end }
  return { status = status, took_ms = took_ms, header = function() return value end }
end

describe("slow", function()
  it("wants 2xx within its time", function()
    local check = make { limit_ms = 100 }
    assert.is_true(check(reply(204, 100)))
    assert.is_false(check(reply(200, 101)))
    assert.is_false(check(reply(500, 1)))
    assert.is_true((make {})(reply(200, 250)))
  end)

  it("believes a header that says degraded, where it is asked to", function()
    local check = make { header = "x-health" }
    assert.is_false(check(reply(200, 1, "degraded")))
    assert.is_true(check(reply(200, 1, "fine")))
    assert.is_true(check(reply(200, 1)))
    assert.is_true((make {})(reply(200, 1, "degraded")))
  end)

  it("refuses options that mean nothing", function()
    assert.has_error(function() make { limit_ms = "soon" } end)
    assert.has_error(function() make { limit_ms = 0 } end)
    assert.has_error(function() make { header = 3 } end)
  end)
end)
