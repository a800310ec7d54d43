--- A pool as balance policies see it, made of plain tables, for their specs.
local M = {}

--- Loads policies/balance/<name>.lua outside the engine, with these parameters where the defaults will not do.
---@return neap.BalancePolicy
function M.load(name, given)
  local real = package.loaded["neap.policy"]
  package.loaded["neap.policy"] = {
    balance = function(spec)
      local param = {}
      for key, of in pairs(spec.params or {}) do param[key] = given and given[key] or of.default end
      return { name = spec.name, param = param }
    end,
  }
  local policy = dofile("policies/balance/" .. name .. ".lua")
  package.loaded["neap.policy"] = real
  return policy
end

--- Each backend is a table of what differs from an idle one of share 1. `given` is what differs in the pool, or its
-- random1; `random` among it: what pool:random() gives, in turn and round.
---@return neap.PoolView
function M.new(backends, given, random2)
  local pool = { count = #backends, random1 = 1, key = 0, now_ms = 0, waiting = 0, may_wait = false, wait = "wait" }
  if type(given) ~= "table" then given = { random1 = given, random2 = random2 } end
  local numbers, at = given.random or { 0 }, 0
  for name, value in pairs(given) do pool[name] = value end
  pool.random2 = pool.random2 or pool.random1
  function pool.random()
    at = at % #numbers + 1
    return numbers[at]
  end
  for i, of in ipairs(backends) do
    local backend = { index = i, up = true, tried = false, weight = 1, share = 1, in_flight = 0, limit = 0, load = -1,
                      capacity = 0, ewma_us = 0, error_rate = 0, affinity = 0.5, slowness = 1 }
    for name, value in pairs(of) do
      assert(backend[name] ~= nil, name)
      backend[name] = value
    end
    pool[i] = backend
  end
  return pool
end

return M
