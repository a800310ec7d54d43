--- Finds the line of a key in the text of a configuration, so that an error names the line to edit and not the
-- one where the call began. Reads tokens, understands table constructors and skips everything else; where it
-- does not find a key (the table was made elsewhere), the line of the call has to do.
local M = {}

local find, sub, match, byte = string.find, string.sub, string.match, string.byte

-- --- tokens ---

-- The end of a long bracket "[==[" at `at`, or nil.
local function long_end(text, at)
  local level = match(text, "^%[(=*)%[", at)
  if not level then return nil end
  local _, stop = find(text, "]" .. level .. "]", at, true)
  return stop or #text
end

local function quoted_end(text, at)
  local quote, i = sub(text, at, at), at + 1
  while i <= #text do
    local c = sub(text, i, i)
    if c == quote then return i end
    i = i + (c == "\\" and 2 or 1)
  end
  return #text
end

-- Skips spaces and comments.
local function skip(text, at)
  while true do
    at = find(text, "%S", at)
    if not at then return #text + 1 end
    if sub(text, at, at + 1) ~= "--" then return at end
    local stop = long_end(text, at + 2)
    at = (stop or (find(text, "\n", at, true) or #text)) + 1
  end
end

-- The token at `at`: kind ("name", "text", "other", "end"), first and last byte.
local function token(text, at)
  at = skip(text, at)
  if at > #text then return "end", at, at end
  local stop = select(2, find(text, "^[%a_][%w_]*", at))
  if stop then return "name", at, stop end
  local c = sub(text, at, at)
  if c == '"' or c == "'" then return "text", at, quoted_end(text, at) end
  stop = c == "[" and long_end(text, at)
  if stop then return "text", at, stop end
  return "other", at, at
end

-- --- table constructors ---

local OPEN = { ["("] = true, ["{"] = true, ["["] = true, ["function"] = true, ["if"] = true, ["do"] = true,
               ["repeat"] = true }
local CLOSE = { [")"] = true, ["}"] = true, ["]"] = true, ["end"] = true, ["until"] = true }

-- The first byte after the value that begins at `at`: its "," or ";", or the "}" of the table around it.
local function skip_value(text, at)
  local depth = 0
  while true do
    local kind, first, last = token(text, at)
    if kind == "end" then return first end
    local word = kind ~= "text" and sub(text, first, last)
    if depth == 0 and (word == "," or word == ";" or word == "}") then return first end
    if OPEN[word] then depth = depth + 1 elseif CLOSE[word] then depth = depth - 1 end
    at = last + 1
  end
end

-- `name =` or `["name"] =` at `at`: the name and the first byte after "=".
local function read_key(text, at)
  local name, stop = match(text, "^([%a_][%w_]*)%s*=()", at)
  if not name then name, stop = match(text, "^%[%s*[\"']([^\"'\\\n]*)[\"']%s*%]%s*=()", at) end
  if name and byte(text, stop) ~= 61 then return name, stop end
end

-- The elements of the constructor whose "{" is at `at`: key or position -> first byte of key, of value.
local function read_table(text, at)
  local keys, values, position = {}, {}, 0
  at = skip(text, at + 1)
  while at <= #text and sub(text, at, at) ~= "}" do
    local key, value = read_key(text, at)
    if not key then
      position = position + 1
      key, value = position, at
    end
    keys[key], values[key] = at, skip(text, value)
    at = skip_value(text, value)
    if sub(text, at, at) ~= "}" then at = skip(text, at + 1) end
  end
  return keys, values
end

-- The first byte of the element at the end of `path`, or nil; and how many steps of the path were found.
local function follow(text, at, path)
  local found, steps
  for i = 1, #path do
    if sub(text, at, at) ~= "{" then break end
    local keys, values = read_table(text, at)
    if not keys[path[i]] then break end
    found, steps, at = keys[path[i]], i, values[path[i]]
  end
  return found, steps or 0
end

-- --- lines ---

local function line_start(text, line)
  local at = 1
  for _ = 2, line do
    at = (find(text, "\n", at, true) or #text) + 1
  end
  return at
end

local function line_of(text, at)
  local line, stop = 1, 0
  while true do
    stop = find(text, "\n", stop + 1, true)
    if not stop or stop >= at then return line end
    line = line + 1
  end
end

--- The line of the element at `path` in the table given to a call of `name` on `line`.
---@param text string the whole file
---@param line integer where the call is
---@param name string "cache" for neap.cache { ... }
---@param path (string|integer)[] such as { "backends", 2 }
---@return integer
function M.line(text, line, name, path)
  local start, best, best_steps = line_start(text, line), nil, 0
  local stop = find(text, "\n", start, true) or #text
  for at in string.gmatch(sub(text, start, stop), "()%f[%w_]" .. name .. "%f[^%w_]") do
    local open = skip(text, start + at - 1 + #name)
    if sub(text, open, open) == "(" then open = skip(text, open + 1) end
    local found, steps = follow(text, open, path)
    if steps > best_steps then best, best_steps = found, steps end
  end
  return best and line_of(text, best) or line
end

return M
