--- Checks a table against a description of it, whole: every problem is told, none ends the check.
--
-- A *kind* is a function (value, scope) that returns the checked value (units converted, names in their one
-- spelling) or nil and what would have been right. Kinds of kinds (list, map, record) report problems of their
-- elements at once and leave those out. A *scope* is a place: a declaration ({ name, file, line }) or an element
-- of what is in another scope.
local units = require "neap.units"
local json = require "neap.json"

local M = {}

local format, match, find, lower = string.format, string.match, string.find, string.lower
local show = units.show

-- --- scopes and problems ---

---@class neap.Scope
---@field up? neap.Scope
---@field key? string|integer
---@field declaration { name: string, file: string, line: integer }
---@field report { problems: table[], nearest: fun(word: string, words: string[]): string? }

--- The scope of one element.
---@param scope neap.Scope
---@return neap.Scope
function M.inside(scope, key)
  return { up = scope, key = key, declaration = scope.declaration, report = scope.report }
end

local function label(scope)
  if not scope.up then return scope.declaration.name end
  local key = scope.key
  if type(key) == "number" then return format("%s[%d]", label(scope.up), key) end
  if find(key, "^[%a_][%w_]*$") then return label(scope.up) .. "." .. key end
  return format("%s[%s]", label(scope.up), show(key))
end

local function path_of(scope)
  if not scope.up then return {} end
  local path = path_of(scope.up)
  path[#path + 1] = scope.key
  return path
end

--- Tells a problem of what is in `scope`. `severity` is "error" unless given.
---@param scope neap.Scope
---@param text string
function M.problem(scope, text, severity)
  local problems = scope.report.problems
  problems[#problems + 1] = { declaration = scope.declaration, path = path_of(scope),
                              severity = severity or "error", text = label(scope) .. ": " .. text }
end

--- " (did you mean ...?)", or "" where nothing is near.
---@return string
function M.suggest(scope, word, words)
  local near = type(word) == "string" and scope.report.nearest(word, words)
  return near and format("; did you mean %s?", show(near)) or ""
end

-- Checks one element and reports what its kind says. `variable` names the environment's, where it is from there.
local function element(kind, value, scope, variable)
  local checked, hint = kind(value, scope)
  if checked ~= nil or not hint then return checked end
  if type(value) == "table" then return M.problem(scope, hint) end
  if variable then
    local outside = { declaration = { name = variable, file = "environment" }, report = scope.report }
    M.problem(outside, show(value) .. ": " .. hint)
  else
    M.problem(scope, show(value) .. ": " .. hint)
  end
end

-- --- plain kinds ---

local function bounded(parse, least, most, unit)
  return function(value)
    local number, hint = parse(value)
    if not number then return nil, hint end
    if least and number < least then return nil, format("must be at least %s%s", least, unit) end
    if most and number > most then return nil, format("must be at most %s%s", most, unit) end
    return number
  end
end

function M.duration(least, most) return bounded(units.duration, least, most, " ms") end
function M.size(least, most) return bounded(units.size, least, most, " bytes") end
function M.integer(least, most) return bounded(units.integer, least, most, "") end
function M.boolean(value) return units.boolean(value) end

local function plain_number(value)
  local number = value
  if type(value) == "string" then number = match(value, "^%-?%d*%.?%d+$") and tonumber(value) end -- no 0x10, no 1e3
  if type(number) ~= "number" or number ~= number then return nil, "write a number" end
  return number
end

--- A number with a fraction, such as a share.
function M.number(least, most) return bounded(plain_number, least, most, "") end

function M.func(value)
  if type(value) ~= "function" then return nil, "write a function" end
  return value
end

--- Text of `least` (1) to `most` bytes (none too, where `empty`), which matches `pattern` where there is one.
function M.text(options)
  local most, pattern, hint = options.most or 4096, options.pattern, options.hint or "write a text"
  return function(value)
    if type(value) ~= "string" then return nil, hint end
    if value == "" and not options.empty then return nil, "must not be empty" end
    if #value > most then return nil, format("must be at most %d bytes", most) end
    if #value < (options.least or 0) then return nil, format("must be at least %d bytes", options.least) end
    if not json.is_text(value) then return nil, "must be UTF-8 without NUL" end
    if pattern and not find(value, pattern) then return nil, hint end
    return value
  end
end

--- A guide's feature that this version does not have: refused, unless it is switched off.
function M.unsupported(value)
  if value == false then return false end
  return nil, "this version cannot do that yet; leave it out"
end

-- --- kinds of kinds ---

--- A list, of at least `least` elements; a single element may stand without braces.
function M.list(kind, least)
  return function(value, scope)
    local list = (type(value) ~= "table" or (value[1] == nil and next(value) ~= nil)) and { value } or value
    local out = {}
    for i = 1, #list do
      out[#out + 1] = element(kind, list[i], M.inside(scope, i))
    end
    for key in pairs(list) do
      if type(key) ~= "number" then M.problem(scope, "is a list, where " .. show(key) .. " means nothing") end
    end
    if #list < (least or 0) then return nil, "must not be empty" end
    return out
  end
end

--- Any names, each checked by `name` and its value by `kind`; comes out as a list of { name, value }, sorted.
function M.map(name, kind)
  return function(value, scope)
    if type(value) ~= "table" then return nil, "write a table of names and values" end
    local out = {}
    for key, element_value in pairs(value) do
      local at = M.inside(scope, type(key) == "number" and key or tostring(key))
      local good, hint = name(key, at)
      if good == nil then
        M.problem(scope, show(key) .. ": " .. hint)
      else
        out[#out + 1] = { name = good, value = element(kind, element_value, at) }
      end
    end
    table.sort(out, function(a, b) return a.name < b.name end)
    return out
  end
end

-- A field's value: from the environment, else from the table under its name or an older spelling of it.
local function field_value(field, value, scope, overrides)
  local override = overrides and overrides[field.name]
  if override then return override.text, override.variable end
  local found, from
  for _, name in ipairs(field.names) do
    if value[name] ~= nil then
      if from then M.problem(M.inside(scope, name), "is the same as " .. from) end
      found, from = value[name], name
    end
  end
  return found, nil, from
end

--- Named fields: { name, kind, default?, required?, also? = { other names }, text }. Unknown ones are problems.
function M.record(fields)
  local known, words = {}, {}
  for _, field in ipairs(fields) do
    field.names = { field.name, unpack(field.also or {}) }
    for _, name in ipairs(field.names) do known[name], words[#words + 1] = true, name end
  end
  return function(value, scope, overrides)
    if type(value) ~= "table" then return nil, "write a table" end
    for key in pairs(value) do
      if not known[key] then
        local at = type(key) == "number" and scope or M.inside(scope, tostring(key))
        M.problem(at, "there is no such key" .. M.suggest(scope, key, words))
      end
    end
    local out = {}
    for _, field in ipairs(fields) do
      local found, variable, name = field_value(field, value, scope, overrides)
      if found == nil then
        out[field.name] = field.default
        if field.required then M.problem(scope, "needs " .. field.name) end
      else
        out[field.name] = element(field.kind, found, M.inside(scope, name or field.name), variable)
      end
    end
    return out
  end
end

--- `kind`, of what `convert` makes of the value: a table of a shorter spelling.
function M.shorthand(convert, kind)
  return function(value, scope)
    return kind(convert(value), scope)
  end
end

--- Lower-case tokens of HTTP: names of headers.
function M.token(value)
  if type(value) ~= "string" or not match(value, "^[%w!#$%%&'*+.^_`|~-]+$") or #value > 128 then
    return nil, "is not a name of a header"
  end
  return lower(value)
end

return M
