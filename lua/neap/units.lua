--- Values with units, as people write them: durations in milliseconds, sizes in bytes.
-- Bare numbers are seconds or bytes. Expected failures return nil and what would have been right.
local M = {}

local match, format = string.match, string.format
local floor, huge = math.floor, math.huge

local DURATION = { ms = 1, s = 1000, m = 60 * 1000, h = 3600 * 1000, d = 24 * 3600 * 1000 }
local SIZE = { [""] = 1, b = 1, k = 2 ^ 10, kb = 2 ^ 10, kib = 2 ^ 10, m = 2 ^ 20, mb = 2 ^ 20, mib = 2 ^ 20,
               g = 2 ^ 30, gb = 2 ^ 30, gib = 2 ^ 30, t = 2 ^ 40, tb = 2 ^ 40, tib = 2 ^ 40 }

--- The largest value of both kinds: what a double holds exactly.
M.MAX = 2 ^ 53

local DURATION_HINT = 'write seconds, or ms, s, m, h, d, as in "250ms" or "1h30m"'
local SIZE_HINT = 'write bytes, or KB, MB, GB (powers of 2), as in "256MB"'

local function whole(value, hint)
  if value ~= value or value < 0 or value > M.MAX then return nil, hint end
  return floor(value + 0.5)
end

-- "1h30m": numbers and units in turn. Each round takes at least two bytes off the text.
local function sum_parts(text)
  local total, rest = 0, text
  repeat
    local number, unit, more = match(rest, "^(%d+%.?%d*)%s*(%a+)%s*(.*)$")
    if not number or not DURATION[unit] then return nil end
    total, rest = total + tonumber(number) * DURATION[unit], more
  until rest == ""
  return total
end

--- "250ms", "1h30m", 1.5 (seconds) to milliseconds.
---@param value string|number
---@return integer? ms, string? hint
function M.duration(value)
  if type(value) == "number" then return whole(value * 1000, DURATION_HINT) end
  if type(value) ~= "string" or #value > 64 then return nil, DURATION_HINT end
  local bare = match(value, "^%s*(%d+%.?%d*)%s*$")
  local total = bare and tonumber(bare) * 1000 or sum_parts(match(value, "^%s*(.*)$"))
  if not total then return nil, DURATION_HINT end
  return whole(total, DURATION_HINT)
end

--- "256MB", "1.5GB", 4096 (bytes) to bytes.
---@param value string|number
---@return integer? bytes, string? hint
function M.size(value)
  if type(value) == "number" then
    if floor(value) ~= value then return nil, SIZE_HINT end
    return whole(value, SIZE_HINT)
  end
  if type(value) ~= "string" or #value > 64 then return nil, SIZE_HINT end
  local number, unit = match(value, "^%s*(%d+%.?%d*)%s*(%a*)%s*$")
  local factor = number and SIZE[string.lower(unit)]
  if not factor then return nil, SIZE_HINT end
  return whole(tonumber(number) * factor, SIZE_HINT)
end

--- A whole number, also written as text (from the environment).
---@param value string|number
---@return integer? number, string? hint
function M.integer(value)
  local number = type(value) == "string" and match(value, "^%s*%-?%d+%s*$") and tonumber(value) or value
  if type(number) ~= "number" or floor(number) ~= number or number == huge or number == -huge then
    return nil, "write a whole number"
  end
  return number
end

local WORDS = { ["true"] = true, yes = true, on = true, ["1"] = true,
                ["false"] = false, no = false, off = false, ["0"] = false }

--- true or false, also written as text (from the environment).
---@param value string|boolean
---@return boolean? flag, string? hint
function M.boolean(value)
  if type(value) == "boolean" then return value end
  local flag
  if type(value) == "string" then flag = WORDS[string.lower(value)] end
  if flag == nil then return nil, "write true or false" end
  return flag
end

--- How a problem shows a value: short, on one line, without the credentials of a URL (as base/url.h).
---@return string
function M.show(value)
  local kind = type(value)
  if kind == "string" then
    value = string.gsub(value, "://[^/%s]*@", "://***@")
    local text = #value > 40 and string.sub(value, 1, 37) .. "..." or value
    return (string.gsub(format("%q", text), "[%c]+", " "))
  end
  if kind == "number" or kind == "boolean" or kind == "nil" then return tostring(value) end
  return "a " .. kind
end

return M
