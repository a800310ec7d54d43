local tiers = require "neap.tiers"

local function check(kind, value)
  local scope = { declaration = { name = "tiers" }, report = { problems = {}, nearest = function() return nil end } }
  local rules, hint = kind(value, scope)
  return rules, hint or scope.report.problems[1] and scope.report.problems[1].text, scope.report.problems
end

local function redis(value)
  local rules, hint, problems = check(tiers.redis, value)
  assert.same({}, problems)
  assert.is_nil(hint)
  return rules
end

local function refused(kind, value)
  local rules, hint, problems = check(kind, value)
  return rules == nil and hint ~= nil or #problems > 0
end

describe("the URL of Redis", function()
  it("may leave out everything but the host", function()
    local rules = redis "redis://cache"
    assert.same({ "cache:6379" }, rules.addresses)
    assert.equal(0, rules.database)
    assert.is_false(rules.tls)
    assert.is_nil(rules.user)
    assert.is_nil(rules.password)
  end)

  it("holds user, password, port and database, and what is escaped in it", function()
    local rules = redis "rediss://me:a%3Ab%40c@10.0.0.1:7000/12"
    assert.same({ "10.0.0.1:7000" }, rules.addresses)
    assert.equal("me", rules.user)
    assert.equal("a:b@c", rules.password)
    assert.equal(12, rules.database)
    assert.is_true(rules.tls)
    assert.is_nil(redis("redis://:secret@h").user)
    assert.equal("secret", redis("redis://:secret@h").password)
  end)

  it("may be IPv6, a path, or one of several", function()
    assert.same({ "[::1]:6379" }, redis("redis://[::1]").addresses)
    assert.same({ "[fe80::1]:7" }, redis("redis://[fe80::1]:7/").addresses)
    assert.same({ "unix:/run/redis.sock" }, redis("unix:/run/redis.sock").addresses)
    assert.same({ "a:1", "b:2" },
                redis({ url = { "redis://a:1", "redis://b:2" }, layout = "cluster" }).addresses)
  end)

  it("is refused where it is none", function()
    for _, wrong in ipairs { "", "cache", "http://h", "redis://", "redis://h:0", "redis://h:65536", "redis://h:x",
                             "redis://h/x", "redis://h/99999999", "redis://a b", "redis://user@h", "redis://h/1/2",
                             "redis://[::1", "redis://h\n", "redis://u:%00@h", "unix:run", 5, false,
                             "redis://" .. string.rep("h", 2000) } do
      assert.is_true(refused(tiers.redis, wrong), tostring(wrong))
    end
  end)
end)

describe("a tier", function()
  it("has the defaults that the reference names", function()
    local rules = redis "redis://h"
    assert.equal(100, rules.timeout)
    assert.equal(2 ^ 20, rules.max_object)
    assert.equal("neap:http:", rules.prefix)
    assert.same({ min_requests = 20, rate = 0.5, window = 10000, open = 2000, max_open = 30000 }, rules.breaker)
    local cdn = check(tiers.cdn, "http://edge")
    assert.equal(500, cdn.timeout)
    assert.equal("DELETE", cdn.purge_method)
  end)

  it("is refused where its parts do not go together", function()
    local url = "redis://h"
    for _, wrong in ipairs {
      { url = { url, "redis://i" } }, { url = { url, "redis://:x@i" }, layout = "cluster" },
      { url = "redis://h/1", layout = "cluster" }, { url = url, layout = "sentinel" }, { url = url, group = "g" },
      { url = url, ca_file = "/x" }, { url = "rediss://h", key_file = "/x" }, { layout = "single" },
      { url = url, layout = "ring" }, { url = url, timeout = 0 }, { url = url, connections = 17 },
      { url = url, prefix = "a b" }, { url = url, colour = 1 }, { url = url, breaker = { rate = 2 } }, {},
    } do
      assert.is_true(refused(tiers.redis, wrong))
    end
    for _, wrong in ipairs { "edge", "ftp://edge", "http://", "http://edge?x", { url = "http://e", header = "x" },
                             { url = "http://e", bearer = "a\nb" }, { url = "http://e", surrogate = "a b" }, 1 } do
      assert.is_true(refused(tiers.cdn, wrong))
    end
  end)
end)

describe("a route", function()
  it("names tiers, all or none", function()
    assert.same({ all = true, names = {} }, check(tiers.of_route, true))
    assert.same({ all = false, names = {} }, check(tiers.of_route, false))
    assert.same({ all = false, names = { "redis" } }, check(tiers.of_route, "redis"))
    assert.is_true(refused(tiers.of_route, "memcached"))
    assert.is_true(refused(tiers.of_route, {}))
  end)
end)

describe("the keys of RESP ports", function()
  local BELOW = { enabled = true, redis = { prefix = "neap:http:" }, cdn = {} }

  local function flags(keys, below)
    local scope = { declaration = { name = "keys" }, report = { problems = {} } }
    keys.prefix = keys.prefix or "neap:keys:"
    local found = tiers.flags_of_keys(keys, below or BELOW, scope)
    return found, scope.report.problems
  end
  local all, none, cdn = { all = true, names = {} }, { all = false, names = {} }, { all = false, names = { "cdn" } }

  it("lie in all tiers where there is a Redis, or in those that are named", function()
    assert.equal(3, (flags {}))
    assert.equal(3, (flags { tiers = all }))
    assert.equal(0, (flags { tiers = none }))
    assert.equal(1, (flags { tiers = { all = false, names = { "redis" } } }))
    assert.same({}, select(2, flags {}))
  end)

  it("lie in memory alone where there is none", function()
    for _, below in ipairs { { enabled = false }, { enabled = true, cdn = {} } } do
      local found, problems = flags({}, below)
      assert.equal(0, found)
      assert.same({}, problems)
    end
  end)

  it("are refused where they cannot be told apart, or where two settings contradict", function()
    local function contradicts(keys, below)
      local _, problems = flags(keys, below)
      assert.equal(1, #problems)
    end
    contradicts { tiers = cdn }
    contradicts({ tiers = all }, { enabled = false })
    contradicts({ tiers = all }, { enabled = true, cdn = {} })
    contradicts { prefix = "neap:http:" }
    contradicts { mode = "behind", consistency = "strong" }
  end)

  it("have words of their own", function()
    for _, word in ipairs { "through", "behind", "around" } do assert.equal(word, tiers.keys_mode(word)) end
    for _, word in ipairs { "local", "eventual", "strong" } do assert.equal(word, tiers.keys_consistency(word)) end
    for _, word in ipairs { "miss", "error" } do assert.equal(word, tiers.keys_failure(word)) end
    for _, kind in ipairs { tiers.keys_mode, tiers.keys_consistency, tiers.keys_failure } do
      assert.is_nil((kind "best"))
      assert.is_nil((kind(5)))
    end
  end)
end)
