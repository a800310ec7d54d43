--- What neap.lua may say: one table per function of the module, from which configurations are checked and
-- docs/configuration.md is checked in turn. `text` says what a field is for; durations are in ms, sizes in bytes.
local check = require "neap.check"
local address = require "neap.address"
local actions = require "neap.actions"
local access = require "neap.access"
local care = require "neap.care"
local tiers = require "neap.tiers"
local prefetching = require "neap.prefetching"

local M = {}

local lower, match, gsub, format = string.lower, string.match, string.gsub, string.format
local find, gmatch = string.find, string.gmatch
local record, list, map, text, integer = check.record, check.list, check.map, check.text, check.integer
local duration, size, number, boolean = check.duration, check.size, check.number, check.boolean

local DAY = 24 * 3600 * 1000
local NAME = text { most = 64, pattern = "^[%w_][%w_.-]*$", hint = "write letters, digits, _ . -" }

-- --- policies ---

-- "RoundRobin", "round_robin" and "round-robin" are one name. The guide's and other gateways' names that differ in
-- more than that:
local ALIASES = {
  evict = {},
  balance = { leastconn = "least_connections", wrr = "weighted_round_robin",
              poweroftwochoices = "p2c",
              maglev = "consistent_hash", rendezvous = "consistent_hash" },
  prefetch = {},
}

local function plain_name(name) return (gsub(lower(name), "[_-]", "")) end

-- Shipped names are tried as they are spelled for the domain: algorithms of balancing are native where there is a
-- native one, "lua:p2c" is its twin; what evicts is Lua, "native:lru" the twin.
local function shipped_policy(domain, name, scope)
  local words = scope.report.shipped[domain]
  local twin = match(lower(name), "^lua:(.+)$")
  local plain = plain_name(twin or name)
  plain = plain_name(ALIASES[domain][plain] or plain)
  local order = { plain, "native:" .. plain }
  if domain == "balance" and not twin then order = { "native:" .. plain, plain } end
  for i = 1, twin and 1 or 2 do
    for _, word in ipairs(words) do
      if plain_name(word) == order[i] then return word end
    end
  end
  local known = {}
  for i, word in ipairs(words) do known[i] = gsub(word, "^native:", "") end
  return nil, format("there is no such policy to %s%s", domain, check.suggest(scope, name, known))
end

--- A shipped name ("sieve", the guide's "LRU"), "native:name", neap.custom("file"), "file.lua".
local function policy(domain)
  return function(value, scope)
    if type(value) == "function" and domain == "balance" then return value end
    if type(value) ~= "string" or value == "" or #value > 255 then return nil, "write the name of a policy" end
    local custom = match(value, "^[Cc]ustom%((.*)%)$") or match(value, "%.lua$") and value
    if not custom then return shipped_policy(domain, value, scope) end
    return scope.report.find_policy(domain, custom) -- its path, or nil and why not
  end
end

local function param(value)
  if type(value) == "boolean" then return value and 1 or 0 end
  if type(value) == "number" and value == value and value > -math.huge and value < math.huge then return value end
  if type(value) == "string" then return text { empty = true } (value) end
  return nil, "write a number, a text or true or false"
end

local PARAMS = map(NAME, param)

-- --- matchers and edits ---

local function field_value(value)
  if value == true then return true end
  return text { empty = true, pattern = "^[^%c]*$", hint = "write a text, or true for any" } (value)
end

-- What frames a message or belongs to one connection is the engine's.
local FRAMING = { host = true, expect = true, connection = true, ["keep-alive"] = true, ["proxy-connection"] = true,
                  te = true, trailer = true, upgrade = true, ["transfer-encoding"] = true, ["content-length"] = true }

local function header_name(value)
  local name, hint = check.token(value)
  if name and FRAMING[name] then return nil, "is set by the engine alone" end
  return name, hint
end

local HEADER_TEXT = text { empty = true, pattern = "^[^%c]*$", hint = "write a text of one line" }

local EDITS = record {
  { name = "set", kind = map(header_name, HEADER_TEXT), default = {}, text = "headers to set, replacing any" },
  { name = "remove", kind = list(header_name), default = {}, text = "headers to take out, before any are set" },
}

-- Nothing that the engine would have changed in the path of a request before it compares: it would never match.
local function is_normal(value)
  if find(value, "//", 1, true) or find(value, "\\", 1, true) or find(value .. "/", "/%.%.?/") then return false end
  for digits in gmatch(value, "%%(%x%x)") do
    local letter = string.char(tonumber(digits, 16))
    if find(digits, "%l") or find(letter, "^[%w._~/\\-]$") then return false end
  end
  return true
end

local function path(value)
  local hint = 'write a path that begins with "/"'
  local checked, problem = text { most = 4000, pattern = "^/[^%c ?#]*$", hint = hint } (value)
  if checked and match(checked, "%*.") then return nil, 'the only "*" of a path is its last letter' end
  if checked and not is_normal(checked) then
    return nil, 'write it as paths are compared: no "//", "/./", "/../", "\\", no "%" for letters, digits, -._~ and "/"'
  end
  return checked, problem
end

local function host(value)
  if type(value) ~= "string" or #value > 250 then return nil, "write a host" end
  local name = gsub(lower(value), "%.$", "") -- as hosts of requests are compared
  if name == "*" or match(name, "^%*%.[%w_-][%w_.-]*$") or match(name, "^[%w_-][%w_.-]*$")
    or match(name, "^%[[%x:.]+%]$") then return name end
  return nil, 'write a host without port, or "*.example.com" for all below one'
end

local function key(value)
  if type(value) ~= "string" then value = "" end
  if match(value, "^%a+$") and (value == "client" or value == "path" or value == "query" or value == "host") then
    return { kind = value, name = "" }
  end
  local kind, name = match(value, "^(%a+)%s+(%S+)$")
  local named = kind == "query" or (kind == "header" or kind == "cookie") and check.token(name)
  if named then return { kind = kind, name = name } end
  return nil, 'write client, path, query, host, "query NAME", "header NAME" or "cookie NAME"'
end

-- --- what a route does ---

local CACHE_RULE = record {
  { name = "ttl", kind = duration(0, 365 * DAY), default = 0,
    text = "freshness of responses that do not state theirs; 0: those are not stored" },
  { name = "space", kind = NAME, text = "responses are shared between routes of one space; default: the pool's name" },
  { name = "key", kind = actions.key,
    text = 'what they are stored under, or function(req) that makes it; default: { "host", "path", "query" }' },
  { name = "keep_query", kind = actions.PARAMETERS, text = "the only parameters of the query that count" },
  { name = "drop_query", kind = actions.PARAMETERS, text = "parameters of the query that do not count" },
  { name = "prefetch", kind = boolean, default = true,
    text = "whether neap.cache { prefetch } has a part in its responses" },
  { name = "tiers", kind = tiers.of_route,
    text = 'whether they lie in the tiers of neap.tiers, too: true, false, "redis", "cdn"; default: true' },
}

local function cache_rule(value, scope)
  if value == false then return { enabled = false, ttl = 0 } end
  local rule, hint = CACHE_RULE(value == true and {} or value, scope)
  if not rule then return nil, hint and "write true, false or a table" end
  rule.enabled = true
  return rule
end

local function status_alone(value)
  return type(value) == "number" and { status = value } or value
end

local RESPOND = check.shorthand(status_alone, record {
  { name = "status", kind = integer(200, 599), default = 200, text = "status code" },
  { name = "body", kind = text { most = 65536, empty = true }, default = "", text = "body" },
  { name = "content_type", kind = HEADER_TEXT, default = "text/plain; charset=utf-8", text = "its type" },
})

local function redirect_status(value)
  local status = integer(300, 399) (value)
  for _, known in ipairs { 301, 302, 303, 307, 308 } do
    if status == known then return status end
  end
  return nil, "write 301, 302, 303, 307 or 308"
end

local function target_alone(value)
  return type(value) == "string" and { to = value } or value
end

local REDIRECT = check.shorthand(target_alone, record {
  { name = "to", required = true, text = "where to: an absolute URL or a path",
    kind = actions.location },
  { name = "status", kind = redirect_status, default = 302, text = "status code" },
})

-- --- where backends come from ---

local SOURCES = { "^dns:[%w_.-]+:%d+$", "^srv:[%w_.-]+$", "^file:[^%c]+$", "^etcd:https?://[^/%c%s]+/[^%c]+$" }

local function source(value)
  for _, pattern in ipairs(SOURCES) do
    if type(value) == "string" and #value <= 1000 and match(value, pattern) then return value end
  end
  return nil, 'write "dns:name:port", "srv:name", "file:path" or "etcd:http://host:2379/prefix"'
end

local NAME_SERVER = text { pattern = "^[%x.:%[%]]+$", hint = "write an address, with a port or without" }

-- --- how a pool tries again, and keeps clients where they are ---

local function session_type(value)
  if value == "cookie" or value == "table" then return value end
  return nil, 'write "cookie" or "table"'
end

local function type_alone(value)
  return type(value) == "string" and { type = value } or value
end

local COOKIE_NAME = text { most = 64, pattern = "^[%w!#$%%&'*+.^_`|~-]+$", hint = "write a name of a cookie" }

local SESSION = check.shorthand(type_alone, record {
  { name = "type", kind = session_type, default = "cookie", text = "a signed cookie, or a table in memory" },
  { name = "cookie", kind = COOKIE_NAME, text = 'its name; default "neap_" and the name of the pool' },
  { name = "secret", kind = list(text { least = 16, most = 256 }, 1), default = {},
    text = "at least 16 bytes; of several the first signs and all are believed; default: random, until a restart" },
  { name = "secure", kind = boolean, default = false, text = "the cookie is for TLS alone" },
  { name = "by", kind = key, default = { kind = "client", name = "" },
    text = "what the table tells clients apart by, as a pool's key" },
})

local function hedge_delay(value)
  local percent = type(value) == "string" and match(value, "^p(%d%d%.?%d*)$")
  if percent then return { percentile = tonumber(percent) / 100, ms = 0 } end
  local ms, hint = duration(1, DAY)(value)
  if ms then return { percentile = 0, ms = ms } end
  return nil, 'write a percentile of the response times, "p95", or a duration; ' .. hint
end

local function delay_alone(value)
  return type(value) == "table" and value or { delay = value }
end

local HEDGE = check.shorthand(delay_alone, record {
  { name = "delay", kind = hedge_delay, default = { percentile = 0.95, ms = 0 },
    text = 'how long the first may take: "p95" of the pool\'s response times, or a duration' },
  { name = "budget", kind = number(0.001, 1), default = 0.05, text = "second copies, as a share of the requests" },
})

-- --- the functions of the module ---

local function listen_address(value)
  local parsed, hint = address.parse(value, 0)
  if parsed then parsed.address = value end
  return parsed, hint
end

local function file_mode(value)
  local digits = match(tostring(value), "^0?([0-7][0-7][0-7])$")
  if not digits then return nil, 'write three octal digits, such as "660"' end
  if match(digits, "[2367]$") then return nil, "must not let everybody write: that is everybody's to command" end
  return tonumber(digits, 8)
end

M.listen = {
  { name = "http", kind = list(listen_address, 1), words = true,
    text = 'address or addresses for HTTP/1: "127.0.0.1:8080", ":8080", "[::1]:8080"; port 0 takes any free one' },
  { name = "resp", kind = list(listen_address, 1), text = "address or addresses for clients of Redis" },
  { name = "header_timeout", kind = duration(1, DAY), default = 10000, text = "for a whole request head to arrive" },
  { name = "idle_timeout", kind = duration(1, DAY), default = 60000, text = "between two requests of a connection" },
  { name = "max_header_size", kind = size(1024, 2 ^ 20), default = 32768, text = "request line and headers together" },
  { name = "password", kind = text { least = 1, most = 256 }, text = "of the RESP port, for AUTH; default: none" },
  { name = "max_clients", kind = integer(1, 10 ^ 6), default = 10000, text = "of all RESP ports" },
  { name = "client_timeout", kind = duration(0, 365 * DAY), default = 0,
    text = "for RESP clients that ask nothing; 0: they may stay" },
  { name = "stall_timeout", kind = duration(1, DAY), default = 60000,
    text = "for RESP clients that take nothing of what waits for them" },
  { name = "client_memory", kind = size(65536, 2 ^ 36), default = 64 * 2 ^ 20,
    text = "for requests half arrived and replies not taken, of all RESP clients of a worker" },
}

local KEPT = {
  { name = "max_memory", kind = size(65536), default = 64 * 2 ^ 20, text = "most memory, everything included" },
  { name = "max_entries", kind = integer(1, 2 ^ 28 - 17), also = { "max_size" },
    text = "most entries; default: bounded by memory alone" },
  { name = "max_object_size", kind = size(1), text = "largest key and value together; default: max_memory / 20" },
  { name = "default_ttl", kind = duration(1, 100 * 365 * DAY),
    text = "of what is put without a time to live; default: none" },
  { name = "evict", kind = policy "evict", default = "sieve", also = { "strategy" }, text = "policy that evicts" },
  { name = "params", kind = PARAMS, default = {}, text = "parameters of that policy" },
}

M.keys = {
  { name = "tiers", kind = tiers.of_route,
    text = 'whether they lie in the tiers of neap.tiers, too: true, false, "redis", { "redis", "cdn" }; '
      .. "default: true where it has redis" },
  { name = "mode", kind = tiers.keys_mode, default = "through",
    text = 'a write is answered when "through": all tiers have it; "behind": memory has it, tiers get it a moment '
      .. 'later; "around": the tiers below memory have it, which forgets the key' },
  { name = "consistency", kind = tiers.keys_consistency, default = "eventual",
    text = 'of clients that do not say NEAP.CONSISTENCY: "local", "eventual", "strong"' },
  { name = "prefix", kind = tiers.PREFIX, default = "neap:keys:",
    text = "of keys and of the channel in Redis; nodes with the same one share" },
  { name = "tier_timeout", kind = duration(1, 60000), default = 2000,
    text = "a command waits so long for all tiers together" },
  { name = "on_failure", kind = tiers.keys_failure, default = "miss",
    text = 'a read that no tier answers is a "miss" or an "error"; such a write is an error' },
}
for i, field in ipairs(KEPT) do table.insert(M.keys, i, field) end

M.cache = {
  { name = "prefetch", kind = prefetching.kind(policy "prefetch", PARAMS),
    text = 'fetch what is likely to be asked for: true, "default", or a table: see below; default: nothing is' },
  { name = "enable_compression", kind = check.unsupported, text = "not yet: only false is accepted" },
  { name = "enable_encryption", kind = check.unsupported, text = "not yet: only false is accepted" },
}
for i, field in ipairs(KEPT) do table.insert(M.cache, i, field) end

M.tiers = {
  { name = "redis", kind = tiers.redis, text = "a Redis or Valkey: its URL, or a table: see below" },
  { name = "cdn", kind = tiers.cdn, text = "a server with GET, PUT and DELETE: its URL, or a table: see below" },
  { name = "mode", kind = tiers.mode, default = "behind",
    text = '"behind": what is stored is sent a moment later, the last of a key; "through": at once' },
  { name = "consistency", kind = tiers.consistency, default = "eventual",
    text = '"eventual": what other nodes delete leaves memory here, too; "local": it does not' },
  { name = "soft_timeout", kind = duration(1, 60000), default = 250,
    text = "a request waits so long for all tiers together, then its backend is asked" },
  { name = "negative_ttl", kind = duration(0, DAY), default = 1000,
    text = "what no tier has is not asked for again for so long; 0: it is" },
}

M.pool = {
  { name = "name", kind = NAME, required = true, text = "what routes call it" },
  { name = "backends", kind = list(address.backend, 1), default = {},
    text = '"host:port", "host:port weight=2", or a table: see below' },
  { name = "discover", kind = list(source, 1), default = {},
    text = 'more backends: "dns:name:port", "srv:name", "file:path", "etcd:http://host:2379/prefix"' },
  { name = "discover_refresh", kind = duration(1000, DAY), default = 30000,
    text = "between two questions for names whose time to live is not said" },
  { name = "balance", kind = policy "balance", default = "native:adaptive", also = { "algorithm" },
    text = "policy that picks, or function(req, pool)" },
  { name = "params", kind = PARAMS, default = {}, text = "parameters of that policy" },
  { name = "key", kind = key,
    text = 'what hashing goes by: client, path, host, query or "query NAME", "header NAME", "cookie NAME"' },
  { name = "connect_timeout", kind = duration(1, DAY), default = 2000, text = "to reach a backend" },
  { name = "response_timeout", kind = duration(1, DAY), default = 60000,
    text = "for the head of a response, and between parts of a body" },
  { name = "idle_timeout", kind = duration(1, DAY), default = 60000, text = "of a connection kept to a backend" },
  { name = "max_idle", kind = integer(0, 65536), default = 64, text = "connections kept per backend and worker" },
  { name = "max_retries", kind = integer(0, 7), default = 2,
    text = "other backends tried for a request that is safe to repeat" },
  { name = "max_queue", kind = integer(0, 2 ^ 20), default = 1024,
    text = "requests that wait for a backend, on each worker, where all have as many as they may have" },
  { name = "queue_timeout", kind = duration(1, DAY), default = 5000, text = "they wait for so long" },
  { name = "down_time", kind = duration(0, DAY), default = 5000,
    text = "a backend that could not be reached is left alone for so long" },
  { name = "retry_delay", kind = duration(0, 60000), default = 0,
    text = "before another backend is tried, half as much to half more by chance; doubles with each try" },
  { name = "retry_budget", kind = number(0, 1), default = 0.2,
    text = "retries, as a share of the requests, beside ten a second and worker that are always allowed" },
  { name = "hedge", kind = HEDGE,
    text = "send a second copy of a slow request to another backend: { delay, budget }, or the delay" },
  { name = "session", kind = SESSION,
    text = 'keep clients with their backend: "cookie", "table", or { type, cookie, secret, secure, by }' },
  { name = "enable_sticky_sessions", kind = boolean, text = 'true: the same as session = "cookie"' },
  { name = "session_timeout", kind = duration(1000, 365 * DAY), default = 3600000,
    text = "of a session without requests" },
  { name = "health", kind = care.health, text = 'probes: true, a path, "tcp", or a table; default: none' },
  { name = "health_check_interval", kind = duration(10, DAY),
    text = "the guide's name of health.interval; alone it turns probes on" },
  { name = "health_check_timeout", kind = duration(1, DAY), text = "the guide's name of health.timeout, likewise" },
  { name = "eject", kind = care.eject, default = care.DEFAULT_EJECT,
    text = "leave alone for a while what gives errors: true, false or a table" },
  { name = "breaker", kind = care.breaker, default = care.NO_BREAKER,
    text = "a circuit breaker for each backend: true, false or a table" },
  { name = "slow_start", kind = duration(0, DAY), default = 0,
    text = "the share of a backend that has come (back) grows for so long" },
  { name = "panic", kind = care.share, default = 0.5,
    text = "with less of the pool than this well, health is ignored" },
  { name = "dynamic_weight", kind = check.boolean, default = false, text = "shares follow reported utilisation" },
  { name = "load_probes", kind = check.boolean, default = false,
    text = "ask backends for the load that the policy wants to know" },
}

M.route = {
  { name = "name", kind = text { most = 128 }, text = "for logs; default: made of what it matches" },
  { name = "path", kind = path, text = '"/a": this path; "/a*": all that begin so; "/": every path' },
  { name = "prefix", kind = path, text = '"/a": this path and all below it, not "/ab"' },
  { name = "exact", kind = path, text = 'this path, "/" too' },
  { name = "host", kind = host, text = '"example.com", or "*.example.com" for all below it' },
  { name = "method", kind = list(access.method, 1), text = "method or methods" },
  { name = "header", kind = map(check.token, field_value), default = {},
    text = "headers that must be there: name and value, or true for any" },
  { name = "query", kind = map(text {}, field_value), default = {}, text = "parameters of the query, likewise" },
  { name = "when", kind = check.func, text = "function(req) that says true where the route is to be taken" },
  { name = "pool", kind = actions.pool, text = "send it there; or function(req) that names the pool" },
  { name = "fallback", kind = NAME, text = "the pool where that function names none, or fails" },
  { name = "split", kind = actions.split, text = "pools by weight: { app = 95, beta = 5, by = \"cookie id\" }" },
  { name = "respond", kind = RESPOND, text = "answer: { status, body, content_type }, or a status" },
  { name = "redirect", kind = REDIRECT, text = "redirect: a URL or path, or { to, status }" },
  { name = "cache", kind = cache_rule, default = { enabled = false, ttl = 0 },
    text = "true, or { ttl, space, key, keep_query, drop_query, prefetch, tiers }" },
  { name = "rewrite", kind = actions.rewrite,
    text = "what the backend is asked for: a template, { to }, or { strip, prefix }" },
  { name = "limit", kind = actions.limit, text = '"10/s", or { rate, burst, by, rates, name, status }' },
  { name = "cors", kind = access.cors,
    text = "whose pages may: true, or { origins, methods, headers, expose, credentials, max_age }" },
  { name = "auth", kind = access.auth, text = "who may: { basic, realm, user_header, forward }, or with bearer" },
  { name = "action", kind = check.func, text = "function(req, res) that decides about each request" },
  { name = "on_fault", kind = actions.on_fault,
    text = 'where a function fails: "pass", as if it were not there, or "refuse" the request (503); default: pass, '
      .. "but 400 where a value of `action` may not stand where it was put, "
      .. "or `when` wants too many or too long ones" },
  { name = "mirror", kind = actions.mirror, text = "a copy to another pool: its name, or { pool, share, most }" },
  { name = "tag", kind = text { most = 64 }, text = "a word for the access log" },
  { name = "request_headers", kind = EDITS, default = { set = {}, remove = {} },
    text = "{ set, remove }: changes to what the backend gets" },
  { name = "response_headers", kind = EDITS, default = { set = {}, remove = {} },
    text = "{ set, remove }: changes to what the client gets" },
}

M.table = {
  { name = "name", kind = NAME, required = true, text = "what routes call it" },
  { name = "kind", kind = actions.table_kind, default = "map", text = "map, set, prefix, network or weights" },
  { name = "file", kind = text { most = 900, pattern = "^[^%c]+$", hint = "write the path of a file" },
    text = 'its rows, a line each: "key,value"; read again when it changes' },
  { name = "rows", kind = actions.rows, text = "its rows, here: { key = value } or { \"key\" }" },
}

local function log_format(value)
  if value == "json" or value == "combined" then return value end
  return nil, 'write "json" or "combined"'
end

M.log = {
  { name = "access", kind = text {}, default = "stdout", text = 'the access log: a file, "stdout" or "off"' },
  { name = "format", kind = log_format, default = "json", text = 'of its lines: "json" or "combined"' },
}

M.engine = {
  { name = "workers", kind = integer(1, 1024), text = "threads that serve; default: one per core" },
  { name = "grace", kind = duration(0, DAY), default = 30000, text = "for requests in flight when it stops" },
  { name = "name_servers", kind = list(NAME_SERVER), default = {}, words = true,
    text = "that are asked for what pools discover; default: those of the system" },
}

M.control = {
  { name = "socket", kind = text { most = 107 }, default = "auto",
    text = 'where operators reach it: a path, "auto" (beside the configuration, where that can be) or "off"' },
  { name = "mode", kind = file_mode, default = tonumber("600", 8), text = "permissions of that path, in octal" },
}

M.admin = {
  { name = "listen", kind = listen_address, text = 'address of the admin interface over HTTP; default: none' },
  { name = "token",
    kind = text { least = 16, most = 256, pattern = "^[%w._~+/=-]+$", hint = "write letters, digits and ._~+/=-" },
    text = "what clients must send as a bearer token; must be there unless the address is a loopback one" },
}

M.reload = {
  { name = "watch", kind = check.boolean, default = false,
    text = "reload when a file that the configuration is made of changes" },
  { name = "dry_run", kind = check.boolean, default = true,
    text = "try predicates, actions and picks on sample requests first, and refuse what fails" },
  { name = "keep", kind = integer(0, 100), default = 5, text = "earlier texts that `neap rollback` can bring back" },
}

return M
