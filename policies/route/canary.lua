--- Canary: true for requests that ask for it by a header or a cookie, and for a share of all the others, always the
-- same ones (by client address, or by a header or cookie that says who it is).
--
--     when = neap.rule "canary" { header = "x-version", value = "beta", share = 5, by = "cookie:session" }
--
-- Options: header or cookie (a name), value (what it must say; default: anything), share (percent of the others, 0 to
-- 100, default 0), by ("client", "header:NAME" or "cookie:NAME"; default client).
-- Cost: one look-up of a header, one more where a share is to be drawn.

local KNOWN = { header = true, cookie = true, value = true, share = true, by = true }

local function check(options)
  for name in pairs(options) do
    if not KNOWN[name] then error("canary has no option " .. tostring(name), 3) end
  end
  local share = options.share or 0
  if type(share) ~= "number" or share < 0 or share > 100 then error("canary: share is 0 to 100 percent", 3) end
  if options.header and options.cookie then error("canary takes a header or a cookie", 3) end
  return share * 100
end

-- "header:x-user" to the two words, or nil for the client.
local function identity(by)
  if by == nil or by == "client" then return nil end
  local colon = type(by) == "string" and string.find(by, ":")
  local kind = colon and string.sub(by, 1, colon - 1)
  if kind ~= "header" and kind ~= "cookie" then error('canary: by is "client", "header:NAME" or "cookie:NAME"', 3) end
  return kind, string.sub(by, colon + 1)
end

-- Where the one who asks is told by: absent headers and cookies make no difference, so the client does.
local function drawn(req, kind, name)
  local who = kind == "header" and req:header(name) or kind == "cookie" and req:cookie(name) or req.client
  return who:hash() % 10000
end

return function(options)
  local parts = check(options)
  local kind, by = identity(options.by)
  local header, cookie, value = options.header, options.cookie, options.value
  return function(req)
    local asked
    if header then asked = req:header(header) elseif cookie then asked = req:cookie(cookie) end
    if asked and (value == nil or asked:eq(value)) then return true end
    return parts > 0 and drawn(req, kind, by) < parts
  end
end
