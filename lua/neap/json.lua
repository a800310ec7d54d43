--- Canonical JSON: sorted keys, no spaces, whole numbers without exponent. Equal tables give equal texts, which
-- is what makes the tables of all VMs comparable. Writes plain data only: no cycles, no functions.
local M = {}

local format, byte, gsub, find = string.format, string.byte, string.gsub, string.find
local concat, sort, floor = table.concat, table.sort, math.floor

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escape(c)
  return ESCAPES[c] or format("\\u%04x", byte(c))
end

local function text_of(text)
  return '"' .. gsub(text, '[%c"\\]', escape) .. '"'
end

local function number_of(number)
  if floor(number) == number and number > -2 ^ 53 and number <= 2 ^ 53 then return format("%.0f", number) end
  return format("%.17g", number)
end

local write

local function write_list(out, list)
  out[#out + 1] = "["
  for i = 1, #list do
    if i > 1 then out[#out + 1] = "," end
    write(out, list[i])
  end
  out[#out + 1] = "]"
end

local function write_map(out, map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  sort(keys)
  out[#out + 1] = "{"
  for i = 1, #keys do
    out[#out + 1] = (i > 1 and "," or "") .. text_of(keys[i]) .. ":"
    write(out, map[keys[i]])
  end
  out[#out + 1] = "}"
end

function write(out, value)
  local kind = type(value)
  if kind == "string" then out[#out + 1] = text_of(value)
  elseif kind == "number" then out[#out + 1] = number_of(value)
  elseif kind == "boolean" then out[#out + 1] = tostring(value)
  elseif kind ~= "table" then error("cannot write a " .. kind .. " as JSON", 2)
  elseif value[1] ~= nil or next(value) == nil then write_list(out, value)
  else write_map(out, value) end
end

--- The text of `value`. An empty table is a list.
---@return string
function M.encode(value)
  local out = {}
  write(out, value)
  return concat(out)
end

--- Is `text` what JSON and C strings both can hold: UTF-8 without NUL?
---@param text string
---@return boolean
function M.is_text(text)
  if find(text, "%z") then return false end
  if not find(text, "[\128-\255]") then return true end
  local rest = gsub(text, "[\194-\223][\128-\191]", "")
  rest = gsub(rest, "\224[\160-\191][\128-\191]", "")
  rest = gsub(rest, "[\225-\236\238\239][\128-\191][\128-\191]", "")
  rest = gsub(rest, "\237[\128-\159][\128-\191]", "")
  rest = gsub(rest, "\240[\144-\191][\128-\191][\128-\191]", "")
  rest = gsub(rest, "[\241-\243][\128-\191][\128-\191][\128-\191]", "")
  rest = gsub(rest, "\244[\128-\143][\128-\191][\128-\191]", "")
  return not find(rest, "[\128-\255]")
end

return M
