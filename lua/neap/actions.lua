--- What a route does beside sending requests to a pool: the kinds of its keys (lua/neap/schema.lua) and the form in
-- which core/script/config_actions.c reads them.
local check = require "neap.check"
local access = require "neap.access"

local M = {}

local match, find, sub, gsub, lower, format = string.match, string.find, string.sub, string.gsub, string.lower,
                                              string.format
local gmatch, tonumber = string.gmatch, tonumber
local record, list, text, integer = check.record, check.list, check.text, check.integer

local NAME = text { most = 64, pattern = "^[%w_][%w_.-]*$", hint = "write letters, digits, _ . -" }

-- --- parts of a request ---

local PLAIN = { method = true, target = true, path = true, query = true, host = true, client = true, rest = true }
local NAMED = { header = "header", cookie = "cookie", query = "parameter", parameter = "parameter" }
local PART_HINT = 'write client, host, path, query, method, target, "header NAME", "cookie NAME" or "query NAME"'

--- One part: { kind, text }, or nil and what would have been right.
local function part(value)
  if type(value) ~= "string" or #value > 256 then return nil, PART_HINT end
  if PLAIN[value] then return { kind = value, text = "" } end
  local kind, name = match(value, "^(%a+)%s+([^%s{}]+)$")
  kind = kind and NAMED[kind]
  if not kind then return nil, PART_HINT end
  if kind == "header" then
    if not check.token(name) then return nil, "is not a name of a header" end
    name = lower(name)
  end
  return { kind = kind, text = name }
end

local function no_rest(value)
  if value == "rest" then return nil, PART_HINT end
  return part(value)
end

local PARTS = list(no_rest)

--- "/v2{rest}?id={query id}" to parts; "{{" is a brace. `from` to `to`: what is allowed beside parts.
local function template(value, allowed, hint)
  local parts, at = {}, 1
  local function add(literal)
    local last = parts[#parts]
    if literal == "" then return end
    if last and last.kind == "text" then last.text = last.text .. literal else
      parts[#parts + 1] = { kind = "text", text = literal }
    end
  end
  while at <= #value do
    local open = find(value, "[{}]", at)
    local literal = sub(value, at, (open or #value + 1) - 1)
    if not match(literal, allowed) then return nil, hint end
    add(literal)
    if not open then break end
    local brace = sub(value, open, open)
    if sub(value, open + 1, open + 1) == brace then
      add(brace)
      at = open + 2
    else
      local inside = brace == "{" and match(value, "^([^{}]*)}", open + 1)
      if not inside then return nil, 'a brace does not pair up; "{{" stands for "{"' end
      local one, problem = part(inside)
      if not one then return nil, format("{%s}: %s", inside, problem) end
      parts[#parts + 1] = one
      at = open + #inside + 2
    end
  end
  return parts
end

local TARGET = "^[^%c%s#\128-\255]*$"
local TARGET_HINT = "write a path without spaces, with parts in braces: /v2{rest}"

-- "path?query" to { path, query }.
local function split_target(value)
  local parts, hint = template(value, TARGET, TARGET_HINT)
  if not parts then return nil, hint end
  local path, query = {}, nil
  for _, one in ipairs(parts) do
    local before, after = one.text, nil
    if not query and one.kind == "text" then before, after = match(one.text, "^([^?]*)%??(.*)$") end
    if query then
      query[#query + 1] = one
    elseif one.kind ~= "text" then
      path[#path + 1] = one
    else
      if before ~= "" then path[#path + 1] = { kind = "text", text = before } end
      if find(one.text, "?", 1, true) then query = after ~= "" and { { kind = "text", text = after } } or {} end
    end
  end
  return { path = path, query = query }
end

--- A redirect's target, with parts.
function M.location(value)
  if type(value) ~= "string" or value == "" or #value > 4096 then return nil, "write a URL or a path" end
  return template(value, "^[^%c%s\128-\255]*$", "write a URL without spaces")
end

-- --- rewrite ---

local function target_alone(value)
  return type(value) == "string" and { to = value } or value
end

local PATH_TEXT = text { most = 4000, pattern = "^/[^%c ?#{}]*$", hint = 'write a path that begins with "/"' }

local REWRITE = check.shorthand(target_alone, record {
  { name = "to", kind = function(value)
      if type(value) ~= "string" or #value > 4096 then return nil, TARGET_HINT end
      return split_target(value)
    end, text = "the new path, and query where there is a ?" },
  { name = "strip", kind = PATH_TEXT, text = "taken from the front of the path, where it is whole segments" },
  { name = "prefix", kind = PATH_TEXT, text = "put in front of it" },
})

function M.rewrite(value, scope)
  local rule, hint = REWRITE(value, scope)
  if not rule then return nil, hint and "write a template or a table" end
  local wants_to = type(value) == "string" or value.to ~= nil
  local wants_strip = type(value) == "table" and (value.strip ~= nil or value.prefix ~= nil)
  if wants_to == wants_strip then return nil, "takes to, or strip and prefix" end
  if wants_to then
    return rule.to and { path = rule.to.path, query = rule.to.query or {}, new_query = rule.to.query ~= nil }
  end
  local path = { { kind = "below", text = gsub(rule.strip or "", "/$", "") } }
  if rule.prefix then table.insert(path, 1, { kind = "text", text = (gsub(rule.prefix, "/$", "")) }) end
  return { path = path, query = {}, new_query = false }
end

-- --- data tables ---

local KINDS = { map = true, set = true, prefix = true, network = true, weights = true }

function M.table_kind(value)
  if KINDS[value] then return value end
  return nil, "write map, set, prefix, network or weights"
end

local ROW_TEXT = text { most = 4096, empty = true, pattern = "^[^%c]*$", hint = "write a text of one line" }

local function quoted(value)
  return '"' .. gsub(value, '"', '""') .. '"'
end

--- Rows in the configuration, to lines as in a file. Sorted: the same rows give the same text.
function M.rows(value, scope)
  if type(value) ~= "table" then return nil, "write { key = value }, or { \"key\" } for a set" end
  local lines = {}
  for key, one in pairs(value) do
    local at = check.inside(scope, key)
    local row = type(key) == "number" and { one } or { key, type(one) == "number" and tostring(one) or one }
    for i, field in ipairs(row) do
      local good, hint = ROW_TEXT(field)
      if not good then check.problem(at, hint) end
      row[i] = quoted(good or "")
    end
    lines[#lines + 1] = table.concat(row, ",")
  end
  table.sort(lines)
  return table.concat(lines, "\n")
end

--- Declared tables, as C reads them.
function M.finish_tables(all)
  local out = {}
  for i, one in ipairs(all) do
    local value = one.value
    if (value.file ~= nil) == (value.rows ~= nil) then check.problem(one.scope, "takes one of file and rows") end
    out[i] = { name = value.name, kind = value.kind, file = value.file, rows = value.rows,
               rates = value.rates }
  end
  return out
end

-- --- split ---

local function by(value, scope)
  if value == "random" then return {} end
  return PARTS(value, scope)
end

local WEIGHT = integer(0, 1000000)

--- { app = 95, beta = 5, by = "cookie id" }
function M.split(value, scope)
  if type(value) ~= "table" then return nil, "write pools and their weights: { app = 95, beta = 5 }" end
  local out = { shares = {}, by = {} }
  for key, one in pairs(value) do
    local at = check.inside(scope, tostring(key))
    if key == "by" then
      out.by = by(one, at) or {}
    elseif key == "table" then
      local handle, hint = access.table(one)
      if handle then out.table = handle else check.problem(at, hint) end
    else
      local weight, hint = WEIGHT(one)
      if not NAME(key) then weight, hint = nil, "is not the name of a pool" end
      if weight then out.shares[#out.shares + 1] = { name = key, weight = weight } else check.problem(at, hint) end
    end
  end
  table.sort(out.shares, function(a, b) return a.name < b.name end)
  return out
end

-- --- mirror ---

local function percent(value)
  if type(value) == "number" and value > 0 and value <= 100 then return value end
  return nil, "write percent: above 0, at most 100"
end

M.mirror = check.shorthand(function(value) return type(value) == "string" and { pool = value } or value end, record {
  { name = "pool", kind = NAME, required = true, text = "where copies go" },
  { name = "share", kind = percent, default = 100, text = "percent of the requests" },
  { name = "most", kind = integer(1, 100000), default = 64, text = "copies under way in a worker; more are dropped" },
})

-- --- limit ---

local UNITS = { s = 1, m = 60, h = 3600, d = 86400 }

-- "10/s", "100/m", or a number a second.
local function rate(value)
  if type(value) == "number" and value > 0 and value <= 1e9 then return value end
  local number, unit = match(type(value) == "string" and value or "", "^(%d+%.?%d*)/([smhd])$")
  number = tonumber(number)
  if not number or number <= 0 or number > 1e9 then return nil, 'write "10/s", "600/m", "1000/h" or "1000/d"' end
  return number / UNITS[unit]
end

local function rate_alone(value)
  return type(value) ~= "table" and { rate = value } or value
end

local LIMIT = check.shorthand(rate_alone, record {
  { name = "rate", kind = rate, required = true, text = '"10/s", "600/m"' },
  { name = "burst", kind = integer(1, 1000000000), text = "requests at once; default: those of a second" },
  { name = "by", kind = by, default = { { kind = "client", text = "" } },
    text = "what has a bucket of its own: a part, or a list of them" },
  { name = "name", kind = NAME, text = "limits of one name share their buckets; default: the route's name" },
  { name = "rates", kind = access.table, text = "map of rates by the first part of `by`; others have `rate`" },
  { name = "status", kind = integer(400, 599), default = 429, text = "what is answered" },
})

function M.limit(value, scope)
  local limit, hint = LIMIT(value, scope)
  if not limit then return nil, hint end
  if value.rates and limit.by and not limit.by[1] then return nil, "with rates, by has to name a part" end
  if limit.rate then limit.burst = limit.burst or math.max(1, math.floor(limit.rate)) end
  return limit
end

--- A pool's name, or a function(req) that names one.
function M.pool(value)
  if type(value) == "function" then return value end
  return NAME(value)
end

function M.on_fault(value)
  if value == "pass" or value == "refuse" then return value end
  return nil, 'write "pass" or "refuse"'
end

-- --- the cache key ---

local KEY = list(function(value)
  if value == "rest" or value == "client" then return nil, "is no part of a key" end
  return part(value)
end, 1)

function M.key(value, scope)
  if type(value) == "function" then return value end
  return KEY(value, scope)
end

local PARAMETER = text { most = 256, pattern = "^[^%s&=*]*%*?$", hint = 'write the name of a parameter, or "utm_*"' }
M.PARAMETERS = list(PARAMETER)

-- --- what goes to C ---

local DEFAULT_KEY = { { kind = "host", text = "" }, { kind = "path", text = "" }, { kind = "query", text = "" } }

local function finish_key(cache, scope)
  if not (cache and cache.enabled and (cache.key or cache.keep_query or cache.drop_query)) then return nil end
  if cache.keep_query and cache.drop_query then
    check.problem(check.inside(scope, "cache"), "takes one of keep_query and drop_query")
  end
  return { parts = type(cache.key) == "table" and cache.key or DEFAULT_KEY,
           names = cache.keep_query or cache.drop_query or {},
           query = cache.keep_query and "keep" or cache.drop_query and "drop" or "all" }
end

-- What {rest} follows: all of the path that the route names.
local function fill_rest(parts, path)
  for _, one in ipairs(parts or {}) do
    if one.kind == "rest" then one.text = path end
  end
end

local function finish_split(split, scope, find_pool, find_table)
  if split.table then
    if #split.shares > 0 then check.problem(check.inside(scope, "split"), "takes a table, or pools and weights") end
    return { shares = {}, by = split.by,
             table = find_table(split.table, check.inside(check.inside(scope, "split"), "table"), "weights") }
  end
  local shares, total = {}, 0
  for _, share in ipairs(split.shares) do
    total = total + share.weight
    local pool = find_pool(share.name, check.inside(check.inside(scope, "split"), share.name))
    if pool and share.weight > 0 then shares[#shares + 1] = { pool = pool, upto = total } end
  end
  if total == 0 then check.problem(check.inside(scope, "split"), "needs a weight above 0") end
  return { shares = shares, by = split.by }
end

-- As neap_limit_rate reads them: a number a second, or one with its unit; 0 refuses.
local function is_rate(value)
  local number = tonumber(match(value, "^([^/]*)$") or match(value, "^([^/]*)/[smhd]$"))
  return number ~= nil and number >= 0 and number <= 1e9
end

-- The rates that stand in the configuration. Those of a file are looked at when it is read.
local function check_rates(declared)
  if not declared then return end
  declared.value.rates = true
  for key, value in gmatch(declared.value.rows or "", '"([^\n]*)","([^\n]*)"') do
    if not is_rate(value) then
      check.problem(check.inside(check.inside(declared.scope, "rows"), key),
                    format('%q: write a rate: "10/s", "600/m", "1000/h", "1000/d", or 0', value))
    end
  end
end

local function finish_functions(route)
  local functions = { action = route.action, pool = type(route.pool) == "function" and route.pool or nil,
                      key = route.cache and type(route.cache.key) == "function" and route.cache.key or nil }
  return next(functions) and functions or nil
end

--- The actions of a checked route, or nil where it has none; and its functions, or nil.
---@param find_pool fun(name: string, scope: neap.Scope): integer?
---@param find_table fun(handle: table, scope: neap.Scope, ...: string): integer? of one of these kinds
function M.finish(route, scope, out, find_pool, find_table)
  local location = route.redirect and route.redirect.to
  local templated = location and not (#location == 1 and location[1].kind == "text")
  local actions = { tag = route.tag, rewrite = route.rewrite, limit = route.limit,
                    location = templated and location or nil, key = finish_key(route.cache, scope),
                    cors = route.cors, auth = route.auth }
  local functions = finish_functions(route)
  if functions then
    actions.scripted, actions.scripted_key = true, functions.key ~= nil
    actions.strict = route.on_fault == "refuse"
    -- What is short for a fallback has it; an action that only the client wants left out is not left out.
    actions.refuses = actions.strict or (functions.action ~= nil and route.on_fault == nil)
  elseif route.on_fault and not route.when then
    check.problem(check.inside(scope, "on_fault"), "there is no function that could fail")
  end
  if route.split then actions.split = finish_split(route.split, scope, find_pool, find_table) end
  if route.mirror and route.mirror.pool then
    local mirror = route.mirror
    actions.mirror = { pool = find_pool(mirror.pool, check.inside(check.inside(scope, "mirror"), "pool")),
                       ppm = math.floor((mirror.share or 0) * 10000 + 0.5), most = mirror.most }
  end
  if not next(actions) then return nil end
  if route.rewrite then
    fill_rest(route.rewrite.path, out.match.path)
    fill_rest(route.rewrite.query, out.match.path)
  end
  fill_rest(location, out.match.path)
  if route.limit then
    local limit = route.limit
    limit.name = limit.name or out.name
    if limit.rates then
      local declared
      limit.table, declared = find_table(limit.rates, check.inside(check.inside(scope, "limit"), "rates"), "map")
      check_rates(declared)
    end
    limit.rates = nil
  end
  if route.auth and route.auth.table then
    local basic = route.auth.scheme == "basic"
    route.auth.table = find_table(route.auth.table, check.inside(check.inside(scope, "auth"), route.auth.scheme), "map",
                                  not basic and "set" or nil)
  end
  actions.salt = out.name
  return actions, functions
end

return M
