--- Geography: sends visitors to the pool of their country, which a header tells (as a CDN in front sets it) or a table
-- of networks. Some countries may be refused.
--
--     local networks = neap.table { name = "networks", kind = "network", file = "countries.csv" }  -- 192.0.2.0/24,de
--     neap.route { path = "/", pool = "world", action = neap.rule "geography" {
--       networks = networks, pools = { de = "europe", fr = "europe", us = "america" }, refuse = { "xx" } } }
--
-- Options: pools (by country; a map or a table of kind map), header ("cf-ipcountry"; only behind who sets it),
-- networks (of kind network: the client's address tells where the header does not), refuse (countries, answered 451),
-- tell (header for the backend; "x-country"; never the client's own). Countries are the same in any case.
-- Cost: one header, one look-up in each table.

local KNOWN = { pools = true, header = true, networks = true, refuse = true, tell = true }

local function check(options)
  for name in pairs(options) do
    if not KNOWN[name] then error("geography has no option " .. tostring(name), 3) end
  end
  if options.pools == nil and options.refuse == nil then error("geography wants pools or refuse", 3) end
  local refused = {}
  for _, country in ipairs(options.refuse or {}) do refused[string.lower(country)] = true end
  return refused
end

return function(options)
  local refused = check(options)
  local pools, networks, tell = options.pools, options.networks, options.tell or "x-country"
  local header = options.header or not networks and "cf-ipcountry"
  local plain = type(pools) == "table" and type(pools.get) ~= "function" and {} -- not a data table
  if plain then
    for country, pool in pairs(pools) do plain[string.lower(country)] = pool end
  end

  local function country_of(req)
    local told = header and req:header(header)
    if not told and networks then told = networks:get(req.client) end
    return told and string.lower(told:text())
  end
  local function pool_of(country)
    if pools == nil then return nil end
    if plain then return plain[country] end
    return pools:get(country)
  end

  return function(req, res)
    local country = country_of(req)
    if not country then return res:remove_request_header(tell) end
    if refused[country] then return res:respond(451, "not available in your country\n") end
    res:set_request_header(tell, country)
    local pool = pool_of(country)
    if pool then res:pool(pool) end
  end
end
