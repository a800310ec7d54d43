--- Addresses to listen on and of backends: "127.0.0.1:8080", ":8080", "[::1]:80", "app.internal:80 weight=2".
local M = {}

local match, gmatch, lower, format = string.match, string.gmatch, string.lower, string.format

-- A host name: labels of letters, digits, "-" and "_" (which names inside networks do have).
local function is_name(host)
  if #host > 253 or match(host, "^[%w_.-]+$") == nil then return false end
  return not (match(host, "^[.-]") or match(host, "%.%.") or match(host, "%.%-"))
end

-- All digits and dots: then it has to be an IPv4 address, and not a name that looks like a mistyped one.
local function is_ipv4(host)
  local a, b, c, d = match(host, "^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  for _, part in ipairs { a, b, c, d } do
    if #part > 3 or tonumber(part) > 255 then return false end
  end
  return a ~= nil
end

local function split(text)
  local host, port = match(text, "^%[([%x:.]+)%]:(%d+)$")
  if host then return match(host, ":") and host, port end
  host, port = match(text, "^([^:%s%[%]]*):(%d+)$")
  if not host then return nil end
  if match(host, "^[%d.]+$") then return is_ipv4(host) and host, port end
  return (host == "" or is_name(host)) and host, port
end

--- Splits "host:port".
---@param text string
---@param least_port integer 0 where any free port will do
---@return {host: string, port: integer}? address, string? hint
function M.parse(text, least_port)
  local hint = 'write "host:port", ":port" or "[ipv6]:port"'
  if type(text) ~= "string" or #text > 300 then return nil, hint end
  local host, port = split(text)
  if not host then return nil, hint end
  port = tonumber(port)
  if port < least_port or port > 65535 then return nil, "the port must be " .. least_port .. " to 65535" end
  return { host = lower(host), port = port }
end

local function canonical(host, port)
  return (match(host, ":") and "[" .. host .. "]" or host) .. ":" .. port
end

-- What may be said of a backend beside its address: how it is read, from a text or a value of Lua.
local function whole(least, most)
  return function(value)
    if type(value) == "string" then value = match(value, "^%d+$") end -- no 0x10, no 1e3
    value = tonumber(value)
    if value and value == math.floor(value) and value >= least and value <= most then return value end
    return nil, format("must be a whole number from %d to %d", least, most)
  end
end

local function uuid(value)
  local hex = "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"
  if type(value) == "string" and match(value, hex) then return lower(value) end
  return nil, "must be a UUID"
end

local function flag(value)
  if type(value) == "boolean" then return value end
  return nil, "must be true or false"
end

local OPTIONS = { weight = whole(1, 1000), priority = whole(0, 14), backup = flag, max_connections = whole(0, 2 ^ 20),
                  id = uuid }
local KNOWN = "weight, priority, backup, max_connections and id"
local BACKUP = 15 -- the priority of a backup

local function option(parsed, name, value)
  local read, hint = OPTIONS[name](value)
  if read == nil then return nil, format("the %s %s", name, hint) end
  parsed[name] = read
  return parsed
end

local function finish(parsed)
  if parsed.backup and parsed.priority then return nil, "a backup has no priority" end
  parsed.priority = parsed.backup and BACKUP or parsed.priority or 0
  parsed.backup = nil
  parsed.weight = parsed.weight or 1
  parsed.max_connections = parsed.max_connections or 0
  parsed.id = parsed.id or ""
  parsed.address = canonical(parsed.host, parsed.port)
  return parsed
end

-- { address = "10.0.0.1", port = 80, weight = 2 }, as the guide has it, or { "10.0.0.1:80", weight = 2 }.
local function parse_table(value)
  local text = value[1] or value.address
  if type(text) == "string" and value.port ~= nil then
    text = canonical(text, tostring(value.port))
  end
  local parsed, hint = M.parse(text, 1)
  if not parsed then return nil, hint end
  for name, of in pairs(value) do
    if OPTIONS[name] then
      local ok, problem = option(parsed, name, of)
      if not ok then return nil, problem end
    elseif name ~= 1 and name ~= "address" and name ~= "port" then
      return nil, format("a backend has address, port, %s, not %s", KNOWN, tostring(name))
    end
  end
  return finish(parsed)
end

--- One backend: "host:port", "host:port weight=2 priority=1", "host:port backup", or a table with address, port and
-- the same.
---@param value string|table
---@return {host: string, port: integer, address: string, weight: integer, priority: integer}? backend, string? hint
function M.backend(value)
  if type(value) == "table" then return parse_table(value) end
  if type(value) ~= "string" then return nil, 'write "host:port", or "host:port weight=2"' end
  local text, rest = match(value, "^%s*(%S+)(.*)$")
  local parsed, hint = M.parse(text, 1)
  if not parsed then return nil, hint end
  if parsed.host == "" then return nil, "a backend needs a host" end
  for word in gmatch(rest, "%S+") do
    local name, of = match(word, "^([%w_]+)=(.*)$")
    if word == "backup" then name, of = word, true end
    if not name or not OPTIONS[name] then return nil, "after the address come only " .. KNOWN end
    local ok, problem = option(parsed, name, of)
    if not ok then return nil, problem end
  end
  return finish(parsed)
end

return M
