--- From the calls that neap.lua made to one checked table, as canonical JSON, and the functions in it.
-- lua/neap/init.lua records the calls; core/script/config.c calls `finish` once the file has run.
local check = require "neap.check"
local schema = require "neap.schema"
local environment = require "neap.environment"
local json = require "neap.json"
local care = require "neap.care"
local locate = require "neap.locate"
local actions = require "neap.actions"
local action = require "neap.action"
local tiers = require "neap.tiers"

local M = {}

local format = string.format
local concat, sort = table.concat, table.sort

-- What the file declared, in order: { name, value, file, line }.
local declarations = {}

--- Records one call of neap.<name>.
function M.declare(name, value, file, line)
  declarations[#declarations + 1] = { name = name, value = value, file = file, line = line }
end

local records = {}
for name, fields in pairs(schema) do records[name] = check.record(fields) end

-- --- each function's calls ---

--- How often neap.<name> was called so far.
local function count(name)
  local found = 0
  for _, declaration in ipairs(declarations) do found = found + (declaration.name == name and 1 or 0) end
  return found
end

M.count = count

-- What is there instead of what the file names: the call that names it is read as if it said so. In the cache (pool
-- "") or in a pool.
local function put_instead(one, report, input)
  local name, field, older = "pool", "balance", "algorithm"
  if one.pool == "" then name, field, older = "cache", "evict", "strategy" end
  if name == "cache" and count "cache" == 0 then M.declare("cache", {}, input.name, 1) end
  for _, declaration in ipairs(declarations) do
    local value = declaration.value
    if declaration.name == name and type(value) == "table" and (name == "cache" or value.name == one.pool) then
      local copy = {}
      for key, field_value in pairs(value) do copy[key] = field_value end
      copy[field], copy[older], copy.params = one.policy, nil, nil
      declaration.value, declaration.instead = copy, field
      return
    end
  end
  check.problem({ declaration = { name = "pool", file = input.name, line = 1 }, report = report },
                format("there is no pool %q", one.pool))
end

-- Nor does the environment have a word in it.
local function overrides_of(declaration, overrides)
  if not overrides or not declaration.instead then return overrides end
  local rest = {}
  for field, override in pairs(overrides) do rest[field] = field ~= declaration.instead and override or nil end
  return rest
end

-- Checks all calls of `name`; each result has its scope beside it.
local function check_all(name, report, overrides)
  local out = {}
  for _, declaration in ipairs(declarations) do
    if declaration.name == name then
      local scope = { declaration = declaration, report = report }
      local value, hint = records[name](declaration.value, scope, overrides_of(declaration, overrides[name]))
      if value then out[#out + 1] = { value = value, scope = scope } else check.problem(scope, hint) end
    end
  end
  return out
end

-- For what is called at most once: its fields, which are the defaults where it was not called.
local function check_once(name, report, overrides)
  local all = check_all(name, report, overrides)
  for i = 2, #all do
    check.problem(all[i].scope, format("is called a second time; the first is on line %d",
                                       all[1].scope.declaration.line))
  end
  if all[1] then return all[1].value, true end
  local declaration = { name = name, file = "environment" }
  return records[name]({}, { declaration = declaration, report = report }, overrides[name]), overrides[name] ~= nil
end

-- --- what only shows between them ---

local function check_unique(all, field, what)
  local first = {}
  for _, one in ipairs(all) do
    local value = one.value[field]
    if value and first[value] then
      check.problem(check.inside(one.scope, field),
                    format("%s %q is already on line %d", what, value, first[value]))
    elseif value then
      first[value] = one.scope.declaration.line
    end
  end
end

local function check_backends(pool)
  local seen = {}
  local given = pool.scope.declaration.value
  if type(given) == "table" and given.backends == nil and given.discover == nil then
    check.problem(pool.scope, "needs backends, or discover")
  end
  for i, backend in ipairs(pool.value.backends or {}) do
    if seen[backend.address] then
      check.problem(check.inside(check.inside(pool.scope, "backends"), i), backend.address .. " is there twice")
    end
    seen[backend.address] = true
  end
end

-- NEAP_LISTEN stands for every address of the file, also where that has none.
local function check_listeners(report, overrides)
  if not (overrides.listen and overrides.listen.http) then return check_all("listen", report, overrides) end
  if count("listen") == 0 then M.declare("listen", {}, "environment") end
  local all = check_all("listen", report, overrides)
  for i = 2, #all do all[i].value.http = nil end
  return all
end

-- What the listeners of one protocol say of their own.
local OF = {
  http = function(from)
    return { header_timeout = from.header_timeout, idle_timeout = from.idle_timeout,
             max_header_size = from.max_header_size }
  end,
  resp = function(from)
    return { resp = true, password = from.password, max_clients = from.max_clients,
             client_timeout = from.client_timeout, stall_timeout = from.stall_timeout,
             client_memory = from.client_memory }
  end,
}

local function flatten_listeners(listens)
  local out, seen = {}, {}
  for _, listen in ipairs(listens) do
    if not (listen.value.http or listen.value.resp) then check.problem(listen.scope, "needs http or resp") end
    for _, protocol in ipairs { "http", "resp" } do
      for i, address in ipairs(listen.value[protocol] or {}) do
        local place = address.host .. "|" .. address.port
        if seen[place] and address.port ~= 0 then
          check.problem(check.inside(check.inside(listen.scope, protocol), i), address.address .. " is there twice")
        end
        seen[place] = true
        local one = OF[protocol](listen.value)
        one.address, one.host, one.port = address.address, address.host, address.port
        out[#out + 1] = one
      end
    end
  end
  return out
end

-- --- routes ---

-- path, prefix and exact to one path and how it is meant.
local function match_path(route, scope)
  local given = 0
  for _, name in ipairs { "path", "prefix", "exact" } do
    if route[name] then given = given + 1 end
  end
  if given > 1 then check.problem(scope, "takes one of path, prefix and exact") end
  if route.exact then return "exact", route.exact end
  local below = route.prefix and string.gsub(route.prefix, "/+$", "")
  if below then return below == "" and "any" or "below", below end
  if not route.path or route.path == "/" or route.path == "/*" then return "any", "" end
  local begin = string.match(route.path, "^(.*)%*$")
  return begin and "prefix" or "exact", begin or route.path
end

local function match_of(route, scope)
  local how, path = match_path(route, scope)
  local methods = route.method or {}
  if route.cors and #methods > 0 then -- preflights are of the route too
    local options = false
    for _, one in ipairs(methods) do options = options or one == "OPTIONS" end
    if not options then methods[#methods + 1] = "OPTIONS" end
  end
  return { host = route.host ~= "*" and route.host or nil, path_how = how, path = path, method = methods,
           header = route.header, query = route.query, conditional = route.when ~= nil }
end

local function name_of(match)
  local path = match.path .. (match.path_how == "prefix" and "*" or match.path_how == "below" and "/" or "")
  local words = { #match.method > 0 and concat(match.method, "|") .. " " or "", match.host or "",
                  path == "" and "/" or path }
  return concat(words)
end

local function action_of(scope)
  local found = {}
  for _, name in ipairs { "pool", "split", "respond", "redirect" } do
    if scope.declaration.value[name] ~= nil then found[#found + 1] = name end
  end
  if #found ~= 1 then check.problem(scope, "takes one of pool, split, respond and redirect") end
  return (found[1] == "split" or not found[1]) and "pool" or found[1]
end

-- The index of a pool by its name; `scope` is where the name stands.
local function pool_finder(pools)
  return function(name, scope)
    local words = {}
    for i, pool in ipairs(pools) do
      if pool.value.name == name then return i - 1 end
      words[#words + 1] = pool.value.name
    end
    check.problem(scope, format("there is no pool %q%s", name, check.suggest(scope, name, words)))
  end
end

-- The same for data tables, by handle or name; the kinds that will do are the last arguments.
local function table_finder(tables)
  return function(handle, scope, ...)
    local words, wanted = {}, { ... }
    for i, one in ipairs(tables) do
      if one.value.name == handle.name or i - 1 == handle.index then
        for _, kind in ipairs(wanted) do
          if one.value.kind == kind then return i - 1, one end
        end
        check.problem(scope, format("has to be a table of kind %s", concat(wanted, " or ")))
        return nil
      end
      words[#words + 1] = one.value.name
    end
    check.problem(scope, format("there is no table %q%s", tostring(handle.name),
                                check.suggest(scope, handle.name, words)))
  end
end

-- The pool of a route that has one.
local function find_target(route, scope, find_pool)
  local indirect = type(route.pool) == "function" or route.split ~= nil and route.split.table ~= nil
  if indirect ~= (route.fallback ~= nil) then
    check.problem(scope, "takes fallback where pool is a function or split a table, and only there")
  end
  local name = indirect and route.fallback or route.pool
  return type(name) == "string" and find_pool(name, check.inside(scope, indirect and "fallback" or "pool")) or nil
end

local function finish_route(route, scope, find_pool, find_table, below)
  local out = { match = match_of(route, scope), action = action_of(scope), cache = route.cache,
                request = route.request_headers, response = route.response_headers }
  out.passes = route.on_fault == "pass"
  out.name = route.name or name_of(out.match)
  out.pool = find_target(route, scope, find_pool)
  local functions
  out.actions, functions = actions.finish(route, scope, out, find_pool, find_table)
  out.pool = out.pool or out.actions and out.actions.split and (out.actions.split.shares[1] or {}).pool
  out.respond = route.respond
  if route.redirect then
    local to = route.redirect.to
    out.redirect = { status = route.redirect.status, to = to and not (out.actions and out.actions.location)
                                                             and (to[1] or {}).text or "" }
  end
  if route.cache and route.cache.enabled then
    if out.action ~= "pool" then check.problem(check.inside(scope, "cache"), "only responses of a pool are cached") end
    route.cache.space = route.cache.space or type(route.pool) == "string" and route.pool or nil
    route.cache.key, route.cache.keep_query, route.cache.drop_query = nil, nil, nil -- they are in the actions
    route.cache.tiers = tiers.flags(route.cache.tiers, below, check.inside(check.inside(scope, "cache"), "tiers"))
  end
  return out, functions
end

-- Two routes that match the same: the second is never reached, unless the first may say no.
local function check_shadowed(routes, finished)
  local first = {}
  for i, route in ipairs(finished) do
    local text = json.encode(route.match)
    if first[text] and not route.match.conditional then
      check.problem(routes[i].scope, format("is never reached: line %d matches the same", first[text]), "warning")
    end
    first[text] = first[text] or routes[i].scope.declaration.line
  end
end

local function finish_routes(routes, pools, tables, below)
  local out, when, act, find_pool, find_table = {}, {}, {}, pool_finder(pools), table_finder(tables)
  for i, route in ipairs(routes) do
    out[i], act[i] = finish_route(route.value, route.scope, find_pool, find_table, below)
    when[i] = route.value.when
  end
  check_shadowed(routes, out)
  return out, when, act
end

-- The guide's switch and session to one.
local function finish_session(value, scope)
  if value.session and value.enable_sticky_sessions == false then
    check.problem(check.inside(scope, "enable_sticky_sessions"), "is false, though there is a session")
  elseif value.enable_sticky_sessions and not value.session then
    value.session = { type = "cookie", secret = {}, secure = false, by = { kind = "client", name = "" } }
  end
  value.enable_sticky_sessions = nil
  if value.session then value.session.cookie = value.session.cookie or "neap_" .. tostring(value.name) end
end

-- Inline policies stay in this VM: the table names the pool instead.
local function finish_pools(pools)
  local out, pick, checks = {}, {}, {}
  for i, pool in ipairs(pools) do
    check_backends(pool)
    local value = pool.value
    checks[i] = care.finish(value)
    if type(value.balance) == "function" then
      value.balance, pick[i] = "inline:" .. tostring(value.name), value.balance
      if value.params[1] then
        check.problem(check.inside(pool.scope, "params"), "a function takes none: let it use local variables")
      end
    end
    value.key = value.key or { kind = "client", name = "" }
    finish_session(value, pool.scope)
    out[i] = value
  end
  return out, pick, checks
end

-- --- the report ---

local function place(problem, input)
  local declaration = problem.declaration
  if not declaration.line then return declaration.file end
  local line = declaration.line
  if declaration.file == input.name then
    line = locate.line(input.text, line, declaration.name, problem.path)
  end
  return format("%s:%d", declaration.file, line), line
end

local function write_report(problems, input)
  local lines, seen, fatal = {}, {}, false
  for _, problem in ipairs(problems) do
    local where, line = place(problem, input)
    local text = format("%s: %s: %s\n", where, problem.severity, problem.text)
    fatal = fatal or problem.severity == "error"
    if not seen[text] then lines[#lines + 1] = { text = text, line = line or 0 } end
    seen[text] = true
  end
  sort(lines, function(a, b)
    if a.line ~= b.line then return a.line < b.line end
    return a.text < b.text
  end)
  for i, line in ipairs(lines) do lines[i] = line.text end
  return concat(lines), fatal
end

local function require_something(report, input, listeners)
  local whole = { declaration = { name = "neap", file = input.name, line = 1 }, report = report }
  if count("listen") == 0 then
    check.problem(whole, 'nothing to listen on: add neap.listen { http = "127.0.0.1:8080" }')
  end
  local serves_http = false
  for _, listener in ipairs(listeners) do serves_http = serves_http or not listener.resp end
  if (serves_http or #listeners == 0) and count("route") == 0 then
    check.problem(whole, 'no route: add neap.route { path = "/", pool = "..." }')
  end
end

-- Whoever reaches the admin interface may stop traffic: beyond this machine only with a token.
local function check_admin(report, overrides)
  local all = check_all("admin", report, overrides)
  for i = 2, #all do
    check.problem(all[i].scope, format("is called a second time; the first is on line %d",
                                       all[1].scope.declaration.line))
  end
  local admin = all[1] and all[1].value or {}
  if not admin.listen then return {} end
  local host = admin.listen.host
  local near = host == "localhost" or host == "::1" or string.match(host, "^127%.%d+%.%d+%.%d+$")
  if not near and not admin.token then
    check.problem(check.inside(all[1].scope, "listen"),
                  format("%s is not a loopback address: a token is needed", admin.listen.address))
  end
  return { address = admin.listen.address, token = admin.token }
end

local function check_tiers(report, overrides)
  local rules, called = check_once("tiers", report, overrides)
  local given = { declaration = { name = "tiers", file = "environment" }, report = report }
  for _, declaration in ipairs(declarations) do
    if declaration.name == "tiers" then given = { declaration = declaration, report = report } end
  end
  return tiers.finish(rules or {}, called, given)
end

local function check_keys(report, overrides, below)
  local keys = check_once("keys", report, overrides) or {}
  local given = { declaration = { name = "keys", file = "environment" }, report = report }
  for _, declaration in ipairs(declarations) do
    if declaration.name == "keys" then given = { declaration = declaration, report = report } end
  end
  keys.tiers = tiers.flags_of_keys(keys, below, given)
  return keys
end

--- Checks everything that was declared.
---@param input table name, text, environment, instead, shipped, files, nearest(word, words), find_policy(domain, name)
---@return string json, string report, boolean fatal, table<integer, function> when, table<integer, function> pick,
--- table<integer, function> checks, table<integer, table> act
function M.finish(input)
  local report = { problems = {}, nearest = input.nearest, shipped = input.shipped, find_policy = input.find_policy }
  local overrides = environment.overrides(input.environment)
  for _, one in ipairs(input.instead or {}) do put_instead(one, report, input) end
  local listens = check_listeners(report, overrides)
  local pools = check_all("pool", report, overrides)
  local routes = check_all("route", report, overrides)
  check_unique(pools, "name", "pool")
  check_unique(routes, "name", "route")
  local tables = check_all("table", report, overrides)
  check_unique(tables, "name", "table")

  local out = {}
  local when, pick, checks, act
  out.listeners = flatten_listeners(listens)
  out.pools, pick, checks = finish_pools(pools)
  out.tiers = check_tiers(report, overrides)
  out.routes, when, act = finish_routes(routes, pools, tables, out.tiers)
  local names = {}
  for i, pool in ipairs(pools) do names[tostring(pool.value.name)] = i - 1 end
  action.pools = names
  out.tables = actions.finish_tables(tables)
  local cached
  out.cache, cached = check_once("cache", report, overrides)
  out.keys = check_keys(report, overrides, out.tiers)
  out.log = check_once("log", report, overrides)
  out.engine = check_once("engine", report, overrides)
  out.control = check_once("control", report, overrides)
  out.admin = check_admin(report, overrides)
  out.reload = check_once("reload", report, overrides)
  for _, route in ipairs(out.routes) do cached = cached or route.cache and route.cache.enabled end
  out.cache.enabled = cached
  out.files = input.files()

  for _, idle in ipairs(environment.idle(input.environment, input.nearest)) do
    check.problem({ declaration = { name = idle.variable, file = "environment" }, report = report }, idle.text,
                  "warning")
  end
  require_something(report, input, out.listeners)
  local text, fatal = write_report(report.problems, input)
  return fatal and "" or json.encode(out), text, fatal, when, pick, checks, act
end

return M
