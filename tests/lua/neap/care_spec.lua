local care = require "neap.care"

local function scope()
  return { declaration = { name = "pool" },
           report = { problems = {}, nearest = function() return nil end } }
end

local function health(value)
  local at = scope()
  local rules, hint = care.health(value, at)
  return rules, hint, at.report.problems
end

describe("health", function()
  it("asks for /health and wants 2xx unless told otherwise", function()
    local rules = health(true)
    assert.equal("http", rules.kind)
    assert.equal("/health", rules.path)
    assert.same({ { from = 200, to = 299 } }, rules.status)
    assert.equal(5000, rules.interval)
  end)

  it("may be short", function()
    assert.equal("/up", health("/up").path)
    assert.equal("tcp", health("tcp").kind)
    assert.equal("none", health(false).kind)
  end)

  it("takes statuses as numbers, classes and ranges", function()
    assert.same({ { from = 200, to = 200 }, { from = 300, to = 399 }, { from = 401, to = 403 } },
                health({ status = { 200, "3xx", "401-403" } }).status)
    for _, wrong in ipairs { 99, 600, 200.5, "2x", "300-200", "six", true } do
      local _, _, problems = health { status = wrong }
      assert.equal(1, #problems, tostring(wrong))
    end
  end)

  it("refuses what is no health", function()
    for _, wrong in ipairs { 3, "up", function() end } do
      local rules, hint, problems = health(wrong)
      assert(rules == nil and hint or #problems > 0, tostring(wrong))
    end
    local _, _, problems = health { tcp = true, contains = "ok" }
    assert.equal(1, #problems)
    _, _, problems = health { intervall = 3 }
    assert.equal(1, #problems)
  end)
end)

describe("care.finish", function()
  it("turns probes on for the guide's names alone", function()
    local pool = { health_check_interval = 30000, health_check_timeout = 500 }
    assert.is_nil(care.finish(pool))
    assert.equal("http", pool.health.kind)
    assert.equal(30000, pool.health.interval)
    assert.equal(500, pool.health.timeout)
    assert.equal(6000, pool.health.fast_interval)
    assert.is_nil(pool.health_check_interval)
  end)

  it("does not turn on what was switched off", function()
    local pool = { health = { kind = "none" }, health_check_interval = 1000 }
    care.finish(pool)
    assert.equal("none", pool.health.kind)
  end)

  it("hands out the function and leaves a mark", function()
    local check = function() return true end
    local pool = { health = (health { check = check }) }
    assert.equal(check, care.finish(pool))
    assert.is_true(pool.health.scripted)
    assert.is_nil(pool.health.check)
  end)
end)

describe("shares", function()
  it("are numbers up to 1 or percent", function()
    assert.equal(0.5, care.share(0.5))
    assert.equal(0.5, care.share "50%")
    assert.equal(0.125, care.share " 12.5 % ")
    assert.equal(0.25, care.share "0.25")
    assert.is_nil((care.share "0x0.8"))
    assert.is_nil((care.share "1e-1"))
    for _, wrong in ipairs { 2, -1, "150%", "half", 0 / 0, true } do assert.is_nil((care.share(wrong))) end
  end)
end)

describe("eject and breaker", function()
  it("are on, off, or what the table says", function()
    assert.is_true(care.eject(true, scope()).enabled)
    assert.is_false(care.eject(false, scope()).enabled)
    assert.equal(9, care.eject({ errors = 9 }, scope()).errors)
    assert.equal(3, care.breaker(true, scope()).trials)
    assert.is_false(care.NO_BREAKER.enabled)
    assert.is_true(care.DEFAULT_EJECT.enabled)
  end)
end)
