--- What neap.cache { prefetch } may say. core/script/config_prefetch.c reads what comes out.
local check = require "neap.check"
local care = require "neap.care"

local M = {}

local match, gmatch, format = string.match, string.gmatch, string.format
local record, integer = check.record, check.integer

local MOST = 6 -- policies; links and operators issue, too
local DEFAULT = { "stride", "association" }

M.BUDGET_FIELDS = {
  { name = "in_flight", kind = integer(1, 256), default = 16, text = "prefetches at once" },
  { name = "per_second", kind = check.number(0.1, 100000), default = 50, text = "prefetches a second" },
  { name = "share", kind = check.number(0, 100), default = 1, text = "prefetches per request; 64 may be saved up" },
  { name = "shelf", kind = check.number(0.001, 0.5), default = 0.05,
    text = "of the cache, for what is under way or waits for its first use; one response may take an eighth of it" },
}

local function budget_of(value, scope) return record(M.BUDGET_FIELDS)(value, scope) end

-- "default", "stride+association", one policy, or a list of them, to a list.
local function several(value)
  if value == false then return {} end
  if value == "default" then return DEFAULT end
  if type(value) == "table" and value.policy ~= nil then return { value } end
  if type(value) ~= "string" or not match(value, "^[%w_-]+%+[%w_+-]+$") then return value end
  local out = {}
  for name in gmatch(value, "[^+]+") do out[#out + 1] = name end
  return out
end

local function name_alone(value) return type(value) == "table" and value or { policy = value } end

local function refresh(value)
  local share, hint = care.share(value)
  if share and share > 0.9 then return nil, "must be at most 0.9" end
  return share, hint
end

--- The kind of `prefetch`, by the kinds of a policy's name and of its parameters.
function M.kind(policy, params)
  local one = check.shorthand(name_alone, record {
    { name = "policy", kind = policy, required = true, text = "its name, or a file" },
    { name = "params", kind = params, default = {}, text = "its parameters" },
  })
  local list = check.list(one)

  local function policies(value, scope)
    local out, hint = list(several(value), scope)
    if out and #out > MOST then return nil, format("must be at most %d policies", MOST) end
    local seen = {}
    for i, policy_of in ipairs(out or {}) do
      local name = policy_of.policy
      if name and seen[name] then check.problem(check.inside(scope, i), name .. " is there already") end
      seen[name or ""] = true
    end
    return out, hint
  end

  M.FIELDS = {
    { name = "policy", kind = policies, default = { { policy = "stride", params = {} },
                                                    { policy = "association", params = {} } },
      text = '"default" (stride and association), a policy, or a list of names and { policy, params }; false: none' },
    { name = "params", kind = params, text = "parameters of that policy, where there is one" },
    { name = "links", kind = check.boolean, default = true,
      text = "fetch what stored responses name as preload, prefetch or next in Link" },
    { name = "refresh", kind = refresh, default = 0,
      text = "fetch anew what is asked for in the last part of its lifetime, such as 0.1; 0: do not" },
    { name = "precision", kind = care.share, default = 0.4,
      text = "who has less of his prefetches used than that is not believed for a while" },
    { name = "budget", kind = budget_of, text = "{ in_flight, per_second, share, shelf }: see below" },
    { name = "memory", kind = check.size(65536, 2 ^ 30), default = 4 * 2 ^ 20,
      text = "for targets of past requests, by which policies name what they wish for" },
  }
  local whole = record(M.FIELDS)

  return function(value, scope)
    if value == false then return nil end
    if value == true then value = {} end
    if type(value) == "string" then value = { policy = value } end
    local out, hint = whole(value, scope)
    if not out then return nil, hint and 'write true, false, "default" or a table' end
    out.budget = out.budget or budget_of({}, scope)
    if out.params and out.policy then
      if #out.policy == 1 then
        out.policy[1].params = out.params
      else
        check.problem(check.inside(scope, "params"), "whose? Write policy = { { policy = ..., params = ... }, ... }")
      end
    end
    out.params = nil
    return out
  end
end

return M
