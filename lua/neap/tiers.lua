--- What neap.tiers may say: where responses lie beside memory. core/script/config_tiers.c reads what comes out.
local check = require "neap.check"
local care = require "neap.care"

local M = {}

local match, gsub, format = string.match, string.gsub, string.format
local record, list, text, integer = check.record, check.list, check.text, check.integer
local duration, size = check.duration, check.size

local DAY = 24 * 3600 * 1000
local LINE = text { most = 1000, pattern = "^[^%c]+$", hint = "write a text of one line" }

-- --- addresses of Redis ---

local URL_HINT = 'write "redis://[user:password@]host[:port][/database]", rediss:// for TLS, or "unix:/path"'

local function unescape(part)
  return part and (gsub(part, "%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

-- "host", "host:port", "[::1]:port" to an address with a port.
local function address_of(place, default_port)
  local host, port = match(place, "^(%[[%x:.]+%])(.*)$")
  if not host then host, port = match(place, "^([%w_.-]+)(.*)$") end
  if not host then return nil end
  port = port == "" and tostring(default_port) or match(port, "^:(%d+)$")
  if not port or #port > 5 or tonumber(port) < 1 or tonumber(port) > 65535 then return nil end
  return host .. ":" .. tonumber(port)
end

-- One URL to { address, tls, user, password, database }.
local function redis_url(value)
  if type(value) ~= "string" or #value > 1000 then return nil, URL_HINT end
  local path = match(value, "^unix:(/[^%c]+)$")
  if path then return { address = "unix:" .. path, tls = false } end
  local scheme, rest = match(value, "^(rediss?)://([^%c%s]+)$")
  if not scheme then return nil, URL_HINT end
  local who, place = match(rest, "^(.*)@([^@]*)$")
  local user, password = match(who or "", "^([^:]*):(.*)$")
  if who and not user then return nil, URL_HINT end
  local host, database = match(place or rest, "^([^/]+)/(%d*)$")
  local out = { tls = scheme == "rediss", user = unescape(user), password = unescape(password),
                address = address_of(host or place or rest, 6379), database = tonumber(database) }
  if not out.address or out.database and out.database > 65535 then return nil, URL_HINT end
  if out.user == "" then out.user = nil end
  if string.find((out.user or "") .. (out.password or ""), "%z") then return nil, URL_HINT end
  return out
end

-- --- what both tiers have ---

local BREAKER = record {
  { name = "min_requests", kind = integer(1, 10 ^ 6), default = 20, text = "calls in a window before its rate counts" },
  { name = "rate", kind = care.share, default = 0.5, text = "failures in a window that open it" },
  { name = "window", kind = duration(100, DAY), default = 10000, text = "over which the rate is taken" },
  { name = "open", kind = duration(1, DAY), default = 2000, text = "how long nothing is asked; doubled each time" },
  { name = "max_open", kind = duration(1, DAY), default = 30000, text = "how long at most" },
}

local function default_of(kind, value)
  return kind(value, { report = { problems = {} }, declaration = { name = "tiers" } })
end

local function with_common(fields, timeout, max_object)
  for _, field in ipairs {
    { name = "timeout", kind = duration(1, 60000), default = timeout, text = "a call that takes longer has failed" },
    { name = "ttl", kind = duration(1, 365 * DAY), text = "what lies here at most; default: as long as it is fresh" },
    { name = "max_object", kind = size(1, 2 ^ 30), default = max_object, text = "largest response that goes there" },
    { name = "breaker", kind = BREAKER, default = default_of(BREAKER, {}),
      text = "when it is left alone: { min_requests, rate, window, open, max_open }" },
  } do fields[#fields + 1] = field end
  return fields
end

-- --- Redis ---

local function layout(value)
  if value == "single" or value == "sentinel" or value == "cluster" then return value end
  return nil, 'write "single", "sentinel" or "cluster"'
end

M.PREFIX = text { most = 100, pattern = "^[%w:_.{}-]+$", hint = "write letters, digits and :_.{}-" }

M.REDIS_FIELDS = with_common({
  { name = "url", kind = list(redis_url, 1), required = true, also = { "redis_url" },
    text = '"redis://[user:password@]host[:port][/database]", "rediss://..." for TLS, "unix:/path"; or a list' },
  { name = "layout", kind = layout, default = "single",
    text = 'what the addresses are: "single", "sentinel" or "cluster"' },
  { name = "group", kind = LINE, text = "the name that Sentinels know the primary by" },
  { name = "sentinel_user", kind = LINE, text = "of the Sentinels" },
  { name = "sentinel_password", kind = LINE, text = "of the Sentinels" },
  { name = "connections", kind = integer(1, 16), default = 2, text = "of each worker to each server" },
  { name = "connect_timeout", kind = duration(1, 60000), default = 1000, text = "for a connection, TLS and AUTH" },
  { name = "ca_file", kind = LINE, text = "authorities that TLS believes; default: the system's" },
  { name = "server_name", kind = LINE, text = "that the certificate must hold; default: the host" },
  { name = "certificate_file", kind = LINE, text = "of this client" },
  { name = "key_file", kind = LINE, text = "of this client" },
  { name = "prefix", kind = M.PREFIX, default = "neap:http:",
    text = "of keys and of the channel; nodes with the same one share" },
}, 100, 2 ^ 20)

local REDIS = record(M.REDIS_FIELDS)

-- What a list of URLs says has to agree: one user, one database, TLS or not.
local function same_of_all(urls, name, scope)
  for i = 2, #urls do
    if urls[i][name] ~= urls[1][name] then
      check.problem(check.inside(scope, "url"), "user, password, database and TLS are those of the first")
      return urls[1][name]
    end
  end
  return urls[1] and urls[1][name]
end

--- A URL, a list of them, or a table.
function M.redis(value, scope)
  if type(value) == "string" or type(value) == "table" and value[1] ~= nil then value = { url = value } end
  local rules, hint = REDIS(value, scope)
  if not rules then return nil, hint and "write a URL or a table" end
  local urls = rules.url or {}
  for _, name in ipairs { "user", "password", "database", "tls" } do rules[name] = same_of_all(urls, name, scope) end
  rules.addresses = {}
  for i, url in ipairs(urls) do rules.addresses[i] = url.address end
  rules.url, rules.database = nil, rules.database or 0
  if #urls > 16 then check.problem(check.inside(scope, "url"), "takes at most 16") end
  if rules.layout == "single" and #urls > 1 then
    check.problem(check.inside(scope, "layout"), "a single server has one URL")
  end
  if rules.layout == "cluster" and rules.database ~= 0 then
    check.problem(check.inside(scope, "url"), "a cluster has no database but 0")
  end
  if (rules.layout == "sentinel") ~= (rules.group ~= nil) then
    check.problem(scope, 'needs group where layout is "sentinel", and only there')
  end
  if not rules.tls and (rules.ca_file or rules.server_name or rules.certificate_file or rules.key_file) then
    check.problem(scope, "certificates are for rediss:// alone")
  end
  if (rules.certificate_file ~= nil) ~= (rules.key_file ~= nil) then
    check.problem(scope, "needs certificate_file and key_file together")
  end
  return rules
end

-- --- the CDN ---

local CDN_URL = text { most = 1900, pattern = "^https?://[^/%c%s?#\\][^%c%s?#\\]*$",
                       hint = 'write "http://host[:port][/path]" or "https://..."' }
local WORD = text { most = 60, pattern = "^[%w!#$%%&'*+.^_`|~-]+$", hint = "write a single word" }

M.CDN_FIELDS = with_common({
  { name = "url", kind = CDN_URL, required = true, also = { "base_url" }, text = "keys lie below url/cache/" },
  { name = "bearer", kind = LINE, text = "a token, sent with every request" },
  { name = "header", kind = text { most = 1000, pattern = "^[%w!#$%%&'*+.^_`|~-]+:[^%c]*$",
    hint = 'write "Name: value"' }, text = 'one more field, "Name: value"' },
  { name = "purge_method", kind = WORD, default = "DELETE", text = 'how a key is deleted: "DELETE" or "PURGE"' },
  { name = "surrogate", kind = WORD, text = "field that carries the encoded key, such as Surrogate-Key" },
}, 500, 16 * 2 ^ 20)

local CDN = record(M.CDN_FIELDS)

--- A URL or a table.
function M.cdn(value, scope)
  local rules, hint = CDN(type(value) == "string" and { url = value } or value, scope)
  if not rules then return nil, hint and "write a URL or a table" end
  rules.secret_header, rules.header = rules.header, nil -- what is called so is not shown
  return rules
end

-- --- all of them ---

function M.mode(value)
  if value == "behind" or value == "through" then return value end
  if value == "around" then
    return nil, 'a response is always stored in memory, too: write "behind" or "through"'
  end
  return nil, 'write "behind" or "through"'
end

function M.consistency(value)
  if value == "eventual" or value == "local" then return value end
  if value == "strong" then
    return nil, 'a response may be served as long as it is fresh: write "eventual" or "local"'
  end
  return nil, 'write "eventual" or "local"'
end

local NAMES = { redis = true, cdn = true }

local function tier_name(value)
  if type(value) == "string" and NAMES[value] then return value end
  return nil, 'write "redis" or "cdn"'
end

local SOME = list(tier_name, 1)

--- Of a route: true, false, or which of them.
function M.of_route(value, scope)
  if type(value) == "boolean" then return { all = value, names = {} } end
  local names, hint = SOME(value, scope)
  if not names then return nil, hint end
  return { all = false, names = names }
end

local function breaker_problem(rules, name, scope)
  local breaker = rules[name] and rules[name].breaker
  if breaker and breaker.open and breaker.max_open and breaker.max_open < breaker.open then
    check.problem(check.inside(check.inside(check.inside(scope, name), "breaker"), "max_open"), "is less than open")
  end
end

local function one_of(words, hint)
  return function(value)
    if type(value) == "string" and words[value] then return value end
    return nil, hint
  end
end

--- Of neap.keys.
M.keys_mode = one_of({ through = true, behind = true, around = true }, 'write "through", "behind" or "around"')
M.keys_consistency = one_of({ ["local"] = true, eventual = true, strong = true },
                            'write "local", "eventual" or "strong"')
M.keys_failure = one_of({ miss = true, error = true }, 'write "miss" or "error"')

--- What only shows between the fields.
---@param rules table a checked neap.tiers
---@param called boolean neap.tiers was called
---@return table
function M.finish(rules, called, scope)
  local out = { enabled = false }
  if not called then return out end
  for name, value in pairs(rules) do out[name] = value end
  out.enabled = out.redis ~= nil or out.cdn ~= nil
  local given = scope.declaration.value
  local meant = type(given) == "table" and (given.redis ~= nil or given.cdn ~= nil)
  if not out.enabled and not meant then check.problem(scope, "needs redis or cdn") end
  breaker_problem(out, "redis", scope)
  breaker_problem(out, "cdn", scope)
  return out
end

--- Which tiers a route uses, as flags: 1 redis, 2 cdn.
---@param wanted table? what of_route has made; nil: all
---@param tiers table what finish has made
function M.flags(wanted, tiers, scope)
  local flags = { redis = tiers.redis and 1 or 0, cdn = tiers.cdn and 2 or 0 }
  if not wanted or wanted.all then
    if wanted and not tiers.enabled then check.problem(scope, "there are none: add neap.tiers { redis = ... }") end
    return tiers.enabled and flags.redis + flags.cdn or 0
  end
  local sum, seen = 0, {}
  for _, name in ipairs(wanted.names) do
    if flags[name] == 0 then check.problem(scope, format("there is no %s in neap.tiers", name)) end
    if not seen[name] then sum = sum + flags[name] end
    seen[name] = true
  end
  return sum
end

--- Which tiers the keys of RESP ports use, as flags.
---@param keys table a checked neap.keys
---@param tiers table what finish has made
function M.flags_of_keys(keys, tiers, scope)
  local said = keys.tiers and (not keys.tiers.all and #keys.tiers.names > 0 or keys.tiers.all)
  if not said and (keys.tiers or not tiers.redis) then return 0 end
  local inside = check.inside(scope, "tiers")
  local flags = M.flags(keys.tiers, tiers, inside)
  if flags % 2 == 0 and tiers.enabled then
    check.problem(inside, "needs redis: a CDN alone has no versions that keys could be told apart by")
  end
  if flags > 0 and tiers.redis and tiers.redis.prefix == keys.prefix then
    check.problem(check.inside(scope, "prefix"), "is that of neap.tiers: keys and responses would mix")
  end
  if flags > 0 and keys.mode == "behind" and keys.consistency == "strong" then
    check.problem(check.inside(scope, "mode"), 'is "through" or "around" where consistency is "strong"')
  end
  return flags
end

return M
