--- Maintenance page: answers 503 to all but those who may look. A data table switches it without a reload.
--
--     local closed = neap.table { name = "closed", kind = "set", file = "closed.csv" }  -- a host in a line; * is all
--     neap.route { path = "/", pool = "app", action = neap.rule "maintenance" {
--       closed = closed, allow = { "10.0.0.7" }, retry = 600 } }
--
-- Options: closed (a set of hosts; without one, all are closed), allow (client addresses), cookie (who has it, may
-- too), body (HTML), retry (seconds after which to come again; 300).
-- Cost: one look-up or two of the set where it is open.

local KNOWN = { closed = true, allow = true, cookie = true, body = true, retry = true }
local BODY = "<!doctype html><title>Maintenance</title><h1>We are at work</h1><p>Please come again in a moment.</p>\n"

return function(options)
  for name in pairs(options) do
    if not KNOWN[name] then error("maintenance has no option " .. tostring(name), 2) end
  end
  local closed, cookie, body = options.closed, options.cookie, options.body or BODY
  local retry, allowed = string.format("%d", options.retry or 300), options.allow or {}

  local function is_open(req)
    if closed and not closed:has "*" and not closed:has(req.host) then return true end
    for i = 1, #allowed do
      if req.client:eq(allowed[i]) then return true end
    end
    return cookie ~= nil and req:cookie(cookie) ~= nil
  end

  return function(req, res)
    if is_open(req) then return end
    res:set_header("retry-after", retry)
    res:set_header("cache-control", "no-store")
    res:respond(503, body, "html")
  end
end
