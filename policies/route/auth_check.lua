--- Auth check: lets requests through whose API key is in a table, and tells the backend and the log whose it is. For
-- keys in a header of your own; for Authorization, `auth` of a route is there, which keeps digests only.
--
--     local keys = neap.table { name = "keys", file = "keys.csv" }              -- a long random key, then its owner
--     neap.route { prefix = "/api", pool = "app", on_fault = "refuse", action = neap.rule "auth_check" {
--       header = "x-api-key", keys = keys } }
--
-- Options: keys (a map: key, owner), header ("x-api-key"), owner (header that tells the backend; "x-owner"), open
-- (paths that need none, with all below them). Say on_fault = "refuse": a check that fails must not let all through.
-- Cost: one header, one look-up, one header to set, one tag; a comparison for each open path.

local KNOWN = { keys = true, header = true, owner = true, open = true }

return function(options)
  for name in pairs(options) do
    if not KNOWN[name] then error("auth_check has no option " .. tostring(name), 2) end
  end
  local keys, header, owner = options.keys, options.header or "x-api-key", options.owner or "x-owner"
  local open = options.open or {}
  if keys == nil then error("auth_check wants keys, a data table", 2) end

  -- "/health" and "/health/" to "/health" and "/health/": itself, and what begins the paths below.
  local exact, below = {}, {}
  for i = 1, #open do
    local path = open[i]
    if type(path) ~= "string" or string.sub(path, 1, 1) ~= "/" then error("auth_check: open is a list of paths", 2) end
    exact[i] = path
    below[i] = string.sub(path, -1) == "/" and path or path .. "/"
  end

  -- The path is in its normal spelling: no dot segments, no letters in percent.
  local function is_open(path)
    for i = 1, #exact do
      if path:eq(exact[i]) or path:starts(below[i]) then return true end
    end
    return false
  end

  return function(req, res)
    if is_open(req.path) then return res:remove_request_header(owner) end
    local key = req:header(header)
    local who = key and keys:get(key)
    if not who then
      res:set_header("www-authenticate", "ApiKey")
      return res:respond(401, "an API key is wanted\n")
    end
    res:set_request_header(owner, who)
    res:remove_request_header(header)
    res:tag(who)
  end
end
