--- Parameters of policies: declared with type, range, default, unit and a line of documentation; checked whole.
local core = require "neap.core"

local M = {}

local error, type, pairs, tostring, format, concat = error, type, pairs, tostring, string.format, table.concat
local sort, floor, gsub, getinfo = table.sort, math.floor, string.gsub, debug.getinfo

---@class neap.ParamSpec
---@field type? "number"|"integer"|"text" (number)
---@field default number|string
---@field min? number
---@field max? number
---@field choices? string[] of a text
---@field unit? string
---@field doc? string

local FIELDS = { type = true, default = true, min = true, max = true, choices = true, unit = true, doc = true }

local function sorted_names(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = tostring(name) end
  sort(names)
  return names
end

--- "unknown field 'nmae', did you mean 'name'?"
---@param what string
---@param name any
---@param known table<string, any>
function M.unknown(what, name, known)
  local nearest = type(name) == "string" and core.nearest(name, sorted_names(known))
  local text = format("unknown %s '%s'", what, tostring(name))
  return nearest and format("%s, did you mean '%s'?", text, nearest) or text
end

-- What a value must be, for people; nil where it is.
local function wrong(spec, value)
  local kind = spec.type or "number"
  if kind == "text" then
    if type(value) ~= "string" then return "a text" end
    for _, choice in ipairs(spec.choices or { value }) do
      if choice == value then return nil end
    end
    return "one of " .. concat(spec.choices, ", ")
  end
  local least, most = spec.min or -math.huge, spec.max or math.huge
  if type(value) == "number" and value >= least and value <= most and (kind == "number" or value == floor(value)) then
    return nil
  end
  return format("%s from %s to %s", kind == "integer" and "a whole number" or "a number", tostring(least),
                tostring(most))
end

-- Where the policy calls: place_of_policy <- problems <- evict.declare <- the policy.
local function place_of_policy()
  local info = getinfo(4, "Sl")
  if not info or info.currentline < 1 then return core.place() end -- a tail call
  return format("%s:%d: ", (gsub(info.source, "^[@=]", "")), info.currentline)
end

--- Collects what is wrong with a declaration, to tell all of it at once, at the declaration's line.
---@return fun(text: string) problem, fun() finish ends with an error if there was a problem
function M.problems()
  local place, texts = place_of_policy(), {}
  return function(text) texts[#texts + 1] = place .. text end, function()
    sort(texts) -- tables have no order
    if texts[1] then error(concat(texts, "; "), 0) end
  end
end

local function is_texts(list)
  for _, text in ipairs(type(list) == "table" and list or { false }) do
    if type(text) ~= "string" then return false end
  end
  return true
end

-- Whether values can be checked by `spec`.
local function check_spec(name, spec, problem)
  local good = true
  local function fail(text)
    good = false
    problem(format("params.%s: %s", tostring(name), text))
  end
  if type(name) ~= "string" or type(spec) ~= "table" then
    fail("must be a table of default, min, max, doc")
    return good
  end
  for field in pairs(spec) do
    if not FIELDS[field] then fail(M.unknown("field", field, FIELDS)) end
  end
  local kind = spec.type or "number"
  if kind ~= "number" and kind ~= "integer" and kind ~= "text" then fail("type must be number, integer or text") end
  for _, bound in ipairs { "min", "max" } do
    if spec[bound] ~= nil and type(spec[bound]) ~= "number" then fail(bound .. " must be a number") end
  end
  if spec.choices ~= nil and not is_texts(spec.choices) then fail("choices must be a list of texts") end
  if spec.default == nil then fail("needs a default") end
  if good and wrong(spec, spec.default) then fail("the default must be " .. wrong(spec, spec.default)) end
  return good
end

--- Reads `given` by `specs`: the values, and a text that names everything that is wrong (with defaults in its place).
--- What is wrong with the specs themselves goes to `problem`.
---@param specs table<string, neap.ParamSpec>
---@param given table<string, number|string>
---@param problem fun(text: string)
---@return table<string, number|string> values, string? problem
function M.read(specs, given, policy, problem)
  local values, problems, good = {}, {}, {}
  for name, spec in pairs(specs) do
    good[name] = check_spec(name, spec, problem)
    values[name] = good[name] and spec.default or nil
  end
  for _, name in ipairs(sorted_names(given)) do
    local spec, value = specs[name], given[name]
    if not spec then
      problems[#problems + 1] = format("%s: %s", policy, M.unknown("parameter", name, specs))
    elseif good[name] and wrong(spec, value) then
      problems[#problems + 1] = format("%s: '%s' must be %s%s", policy, name, wrong(spec, value),
                                       spec.unit and " (" .. spec.unit .. ")" or "")
    else
      values[name] = value
    end
  end
  return values, problems[1] and concat(problems, "; ")
end

return M
