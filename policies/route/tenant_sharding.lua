--- Tenant sharding: names the pool of a tenant. Those in a table have the pool that is written there; the others are
-- spread over shards by rendezvous, so that a new shard takes only its share of tenants from the others.
--
--     local moved = neap.table { name = "moved", file = "moved.csv" }      -- big-one,own
--     neap.route { path = "/", fallback = "shard1", pool = neap.rule "tenant_sharding" {
--       by = "header x-tenant", shards = { "shard1", "shard2", "shard3" }, moved = moved } }
--
-- Options: by ("host", "header NAME", "cookie NAME"; "host"), shards (names of pools), moved (a map: tenant, pool). Who
-- names no tenant goes to the fallback.
-- Cost: one look-up, one of the table, one mix of hashes for each shard.

local KNOWN = { by = true, shards = true, moved = true }

local function check(options)
  for name in pairs(options) do
    if not KNOWN[name] then error("tenant_sharding has no option " .. tostring(name), 3) end
  end
  if type(options.shards) ~= "table" or #options.shards == 0 then error("tenant_sharding wants shards", 3) end
end

-- "header x-tenant" to the two words; "host" alone.
local function identity(by)
  if by == nil or by == "host" then return "host" end
  local space = type(by) == "string" and string.find(by, " ", 1, true)
  local kind = space and string.sub(by, 1, space - 1)
  if kind ~= "header" and kind ~= "cookie" then
    error('tenant_sharding: by is "host", "header NAME" or "cookie NAME"', 3)
  end
  return kind, string.sub(by, space + 1)
end

-- A number for tenant and shard that neither alone tells: squares modulo a prime, the largest whose squares are exact.
local PRIME = 94906249

local function score(tenant, shard)
  local low, high = tenant % 67108864, math.floor(tenant / 67108864)
  local x = (low + shard) % PRIME
  x = (x * x + high) % PRIME
  x = (x * x + shard) % PRIME
  x = (x * x + low) % PRIME
  return x * x % PRIME
end

return function(options)
  check(options)
  local kind, name = identity(options.by)
  local shards, moved, seeds = options.shards, options.moved, {}
  for i = 1, #shards do
    local seed = 7
    for at = 1, #shards[i] do seed = (seed * 31 + string.byte(shards[i], at)) % PRIME end
    seeds[i] = seed
  end
  return function(req)
    local tenant
    if kind == "header" then tenant = req:header(name) elseif kind == "cookie" then tenant = req:cookie(name)
    else tenant = req.host end
    if not tenant or tenant:eq "" then return nil end
    local own = moved and moved:get(tenant)
    if own then return own end
    local hash, best, most = tenant:hash(), 1, -1
    for i = 1, #seeds do
      local this = score(hash, seeds[i])
      if this > most then best, most = i, this end
    end
    return shards[best]
  end
end
