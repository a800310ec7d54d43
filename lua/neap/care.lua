--- What neap.pool may say of how it looks after its backends: probes, ejection, the circuit breaker.
-- core/base/care.h has the same fields; core/script/config_care.c reads them.
local check = require "neap.check"

local M = {}

local match, floor = string.match, math.floor
local record, text, integer, duration = check.record, check.text, check.integer, check.duration

local DAY = 24 * 3600 * 1000

--- A share of something: 0.5, or "50%".
function M.share(value)
  local number = type(value) == "number" and value
  if type(value) == "string" and #value < 32 then
    local percent = match(value, "^%s*(%d+%.?%d*)%s*%%%s*$")
    number = percent and percent / 100 or match(value, "^%d*%.?%d+$") and tonumber(value)
  end
  if number and number >= 0 and number <= 1 then return number end
  return nil, 'write a share: 0.5 or "50%"'
end

-- 200, "2xx", "200-299", or a list of such: { from, to } each.
local function status_range(value)
  if type(value) == "number" and value == floor(value) and value >= 100 and value <= 599 then
    return { from = value, to = value }
  end
  if type(value) == "string" then
    local class = match(value, "^([1-5])xx$")
    if class then return { from = class * 100, to = class * 100 + 99 } end
    local from, to = match(value, "^([1-5]%d%d)%-([1-5]%d%d)$")
    if from and from <= to then return { from = tonumber(from), to = tonumber(to) } end
    if match(value, "^[1-5]%d%d$") then return { from = tonumber(value), to = tonumber(value) } end
  end
  return nil, 'write a status: 200, "2xx" or "200-299"'
end

local STATUSES = check.list(status_range, 1)

local function statuses(value, scope)
  local list, hint = STATUSES(value, scope)
  if list and #list > 8 then return nil, "takes at most 8" end
  return list, hint
end

local ONE_LINE = { most = 1000, pattern = "^[^%c]+$", hint = "write a text of one line" }

local HEALTH = record {
  { name = "tcp", kind = check.boolean, default = false, text = "only connects" },
  { name = "path", kind = text { most = 1000, pattern = "^/[^%c ]*$", hint = 'write a path that begins with "/"' },
    default = "/health", text = "what to GET" },
  { name = "host", kind = text { most = 250, pattern = "^[%w.:%[%]_-]+$", hint = "write a host" }, default = "",
    text = "Host field; default: the backend's address" },
  { name = "status", kind = statuses, default = { { from = 200, to = 299 } }, text = "expected statuses" },
  { name = "contains", kind = text(ONE_LINE), default = "", text = "the first 16 KB of the body must contain it" },
  { name = "check", kind = check.func, text = "function(reply) that says whether it is well" },
  { name = "interval", kind = duration(10, DAY), default = 5000, text = "between probes, give or take a fifth" },
  { name = "fast_interval", kind = duration(10, DAY),
    text = "while its state seems to change and while it is down; default: a fifth of interval" },
  { name = "timeout", kind = duration(1, DAY), default = 2000, text = "for the whole answer" },
  { name = "rise", kind = integer(1, 1000), default = 2, text = "good probes in a row that bring it back" },
  { name = "fall", kind = integer(1, 1000), default = 3, text = "bad probes in a row that take it out" },
}

--- true (GET /health, 2xx), "/path", "tcp", false, or a table.
function M.health(value, scope)
  if value == false then return { kind = "none" } end
  if value == true then value = {} end
  if value == "tcp" then value = { tcp = true } end
  if type(value) == "string" then value = { path = value } end
  local rules, hint = HEALTH(value, scope)
  if not rules then return nil, hint and 'write true, false, a path, "tcp" or a table' end
  rules.kind, rules.tcp = rules.tcp and "tcp" or "http", nil
  if rules.kind == "tcp" and type(value) == "table" then
    for _, name in ipairs { "path", "host", "status", "contains", "check" } do
      if value[name] ~= nil then
        check.problem(check.inside(scope, name), "means nothing to a check that only connects")
      end
    end
  end
  return rules
end

-- A record, or true for its defaults, or false for none of it.
local function switched(fields)
  local kind = record(fields)
  return function(value, scope)
    if value == false then return { enabled = false } end
    local rules, hint = kind(value == true and {} or value, scope)
    if not rules then return nil, hint and "write true, false or a table" end
    rules.enabled = true
    return rules
  end
end

M.eject = switched {
  { name = "errors", kind = integer(0, 10000), default = 5, text = "errors in a row; 0: not by this" },
  { name = "rate", kind = M.share, default = 0.2,
    text = "error rate above that of the rest of the pool; 0: not by this" },
  { name = "min_requests", kind = integer(1, 10 ^ 6), default = 50, text = "recent ones, before a rate counts" },
  { name = "time", kind = duration(1, DAY), default = 30000, text = "how long, the first time; then twice as long" },
  { name = "max_time", kind = duration(1, DAY), default = 600000, text = "how long at most" },
  { name = "max_share", kind = M.share, default = 0.5, text = "of the pool, most at once; one stays in any case" },
}

M.breaker = switched {
  { name = "errors", kind = integer(0, 10000), default = 5, text = "errors in a row; 0: not by this" },
  { name = "rate", kind = M.share, default = 0.5, text = "error rate in a window; 0: not by this" },
  { name = "min_requests", kind = integer(1, 10 ^ 6), default = 20, text = "of a window, before its rate counts" },
  { name = "window", kind = duration(1, DAY), default = 10000, text = "over which the rate is taken" },
  { name = "open", kind = duration(1, DAY), default = 5000, text = "how long it lets nothing through" },
  { name = "trials", kind = integer(1, 1000), default = 3, text = "requests it tries then; a bad one opens it again" },
}

local function default_of(kind, value)
  return kind(value, { report = { problems = {} }, declaration = { name = "pool" } })
end

M.NO_HEALTH = { kind = "none" }
M.DEFAULT_EJECT = default_of(M.eject, true)
M.NO_BREAKER = { enabled = false }

--- Brings the guide's names and the health table together; the check of a script, if there is one.
---@param pool table a checked neap.pool
---@return function? check
function M.finish(pool)
  local interval, timeout = pool.health_check_interval, pool.health_check_timeout
  pool.health_check_interval, pool.health_check_timeout = nil, nil
  if not pool.health and (interval or timeout) then pool.health = default_of(M.health, true) end
  local rules = {}
  for name, value in pairs(pool.health or M.NO_HEALTH) do rules[name] = value end
  pool.health = rules
  if rules.kind == "none" then return nil end
  rules.interval, rules.timeout = interval or rules.interval, timeout or rules.timeout
  rules.fast_interval = rules.fast_interval or math.max(10, floor(rules.interval / 5))
  rules.scripted = rules.check ~= nil
  local script = rules.check
  rules.check = nil
  return script
end

return M
