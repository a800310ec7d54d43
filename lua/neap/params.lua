--- Parameters of policies: declared with type, range, default, unit and a line of documentation; checked whole.
local core = require "neap.core"

local M = {}

local error, type, pairs, tostring, format, concat = error, type, pairs, tostring, string.format, table.concat
local sort, floor = table.sort, math.floor

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

-- Level 5 is the policy's line: fail <- check_spec <- read <- evict.declare <- the policy.
local function check_spec(name, spec)
  local function fail(text) error(format("params.%s: %s", tostring(name), text), 5) end
  if type(name) ~= "string" or type(spec) ~= "table" then fail("must be a table of default, min, max, doc") end
  for field in pairs(spec) do
    if not FIELDS[field] then fail(M.unknown("field", field, FIELDS)) end
  end
  local kind = spec.type or "number"
  if kind ~= "number" and kind ~= "integer" and kind ~= "text" then fail("type must be number, integer or text") end
  if spec.default == nil then fail("needs a default") end
  if wrong(spec, spec.default) then fail("the default must be " .. wrong(spec, spec.default)) end
end

--- Reads `given` by `specs`: the values, and a text that names everything that is wrong (with defaults in its place).
---@param specs table<string, neap.ParamSpec>
---@param given table<string, number|string>
---@return table<string, number|string> values, string? problem
function M.read(specs, given, policy)
  local values, problems = {}, {}
  for name, spec in pairs(specs) do
    check_spec(name, spec)
    values[name] = spec.default
  end
  for _, name in ipairs(sorted_names(given)) do
    local spec, value = specs[name], given[name]
    if not spec then
      problems[#problems + 1] = format("%s: %s", policy, M.unknown("parameter", name, specs))
    elseif wrong(spec, value) then
      problems[#problems + 1] = format("%s: '%s' must be %s%s", policy, name, wrong(spec, value),
                                       spec.unit and " (" .. spec.unit .. ")" or "")
    else
      values[name] = value
    end
  end
  return values, problems[1] and concat(problems, "; ")
end

return M
