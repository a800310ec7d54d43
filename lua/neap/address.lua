--- Addresses to listen on and of backends: "127.0.0.1:8080", ":8080", "[::1]:80", "app.internal:80 weight=2".
local M = {}

local match, gmatch, lower = string.match, string.gmatch, string.lower

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

local function finish(parsed, weight)
  if weight == nil or weight ~= math.floor(weight) or weight < 1 or weight > 1000 then
    return nil, "the weight must be a whole number from 1 to 1000"
  end
  parsed.weight, parsed.address = weight, canonical(parsed.host, parsed.port)
  return parsed
end

-- Which priority, 0 first: of a number and a flag; nil where they are none or contradict each other.
local BACKUP = 15
local function priority_of(number, backup)
  if backup then return number == nil and BACKUP or nil end
  number = number or 0
  return type(number) == "number" and number == math.floor(number) and number >= 0 and number < BACKUP and number
end
local PRIORITY_HINT = "the priority must be a whole number from 0 to 14, and a backup has none"

-- { address = "10.0.0.1", port = 80, weight = 2 }, as the guide has it, or { "10.0.0.1:80", weight = 2 }.
local function parse_table(value)
  local known = { [1] = true, address = true, port = true, weight = true, priority = true, backup = true }
  for key in pairs(value) do
    if not known[key] then
      return nil, "a backend has address, port, weight, priority and backup, not " .. tostring(key)
    end
  end
  local text = value[1] or value.address
  if type(text) == "string" and value.port ~= nil then
    text = canonical(text, tostring(value.port))
  end
  local parsed, hint = M.parse(text, 1)
  if not parsed then return nil, hint end
  local weight = value.weight == nil and 1 or value.weight
  parsed.priority = priority_of(value.priority, value.backup)
  if not parsed.priority then return nil, PRIORITY_HINT end
  return finish(parsed, type(weight) == "number" and weight or nil)
end

--- One backend: "host:port", "host:port weight=2", or a table with address, port and weight.
---@param value string|table
---@return {host: string, port: integer, weight: integer, priority: integer, address: string}? backend, string? hint
function M.backend(value)
  if type(value) == "table" then return parse_table(value) end
  if type(value) ~= "string" then return nil, 'write "host:port", or "host:port weight=2"' end
  local text, rest = match(value, "^%s*(%S+)(.*)$")
  local parsed, hint = M.parse(text, 1)
  if not parsed then return nil, hint end
  if parsed.host == "" then return nil, "a backend needs a host" end
  local words = { weight = 1 }
  for word in gmatch(rest, "%S+") do
    local name, digits = match(word, "^(%a+)=(%d+)$")
    if word == "backup" then
      words.backup = true
    elseif name == "weight" or name == "priority" then
      words[name] = tonumber(digits)
    else
      return nil, 'after the address only "weight=NUMBER", "priority=NUMBER" and "backup" are allowed'
    end
  end
  parsed.priority = priority_of(words.priority, words.backup)
  if not parsed.priority then return nil, PRIORITY_HINT end
  local weight = words.weight
  return finish(parsed, weight)
end

return M
