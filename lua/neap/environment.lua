--- The environment overrides the file: NEAP_<FUNCTION>_<FIELD>, and the guide's own names.
-- The variables come in as a table; nothing here reads the process.
local schema = require "neap.schema"

local M = {}

local upper = string.upper

-- variable -> { function, field }
local variables = {
  CACHE_MAX_SIZE = { "cache", "max_entries" },
  CACHE_MAX_MEMORY = { "cache", "max_memory" },
  CACHE_STRATEGY = { "cache", "evict" },
  HEALTH_CHECK_INTERVAL = { "pool", "health_check_interval" },
  LB_ALGORITHM = { "pool", "balance" },
  MAX_RETRIES = { "pool", "max_retries" },
  NEAP_LISTEN = { "listen", "http" },
  NEAP_WORKERS = { "engine", "workers" },
}

-- The guide's variables of what this version does not do: a warning, so that its files can be used as they are.
local NOT_YET = { "SCHEDULER_STRATEGY", "AUTO_SCALING", "MONITORING_INTERVAL",
                  "ALERT_THRESHOLD" }

-- Fields that one text can say, for every function that is called once or means the same for each call.
local SCALAR = {
  listen = { "header_timeout", "idle_timeout", "max_header_size", "password", "max_clients", "client_timeout",
             "stall_timeout", "client_memory" },
  keys = { "max_memory", "max_entries", "max_object_size", "default_ttl", "evict", "mode", "consistency", "prefix",
           "tier_timeout", "on_failure" },
  cache = { "max_memory", "max_entries", "max_object_size", "default_ttl", "evict" },
  pool = { "balance", "key", "connect_timeout", "response_timeout", "idle_timeout", "max_idle", "max_retries",
           "max_queue", "queue_timeout", "down_time", "retry_delay", "retry_budget", "session_timeout",
           "health_check_interval", "health_check_timeout", "slow_start", "panic", "dynamic_weight" },
  tiers = { "redis", "cdn", "mode", "consistency", "soft_timeout", "negative_ttl" },
  log = { "access" },
  engine = { "workers", "grace", "name_servers" },
  control = { "socket", "mode" },
  reload = { "watch", "dry_run", "keep" },
}
for name, fields in pairs(SCALAR) do
  for _, field in ipairs(fields) do variables["NEAP_" .. upper(name) .. "_" .. upper(field)] = { name, field } end
end

--- Every variable, sorted: for documents and their check.
---@return string[]
function M.names()
  local out = {}
  for name in pairs(variables) do out[#out + 1] = name end
  table.sort(out)
  return out
end

local function split_words(text)
  local out = {}
  for word in string.gmatch(text, "[^,%s]+") do out[#out + 1] = word end
  return out
end

local function is_list(target)
  for _, field in ipairs(schema[target[1]]) do
    if field.name == target[2] then return field.words end
  end
end

--- What the environment says, by function and field: { text, variable }. An empty variable says nothing.
---@param environment table<string, string>
function M.overrides(environment)
  local out = {}
  for variable, target in pairs(variables) do
    local text = environment[variable]
    if text and text ~= "" then
      local of = out[target[1]] or {}
      out[target[1]] = of
      -- Neap's own name of a field goes before the guide's.
      if not of[target[2]] or string.sub(variable, 1, 5) == "NEAP_" then
        of[target[2]] = { text = is_list(target) and split_words(text) or text, variable = variable }
      end
    end
  end
  return out
end

--- Variables that were meant for us and do nothing: { variable, text }.
function M.idle(environment, nearest)
  local out, names = {}, M.names()
  for _, variable in ipairs(NOT_YET) do
    if environment[variable] then
      out[#out + 1] = { variable = variable, text = "this version cannot do that yet; it is ignored" }
    end
  end
  for variable in pairs(environment) do
    local near = string.sub(variable, 1, 5) == "NEAP_" and not variables[variable] and nearest(variable, names)
    if near then out[#out + 1] = { variable = variable, text = "is not known; did you mean " .. near .. "?" } end
  end
  return out
end

return M
