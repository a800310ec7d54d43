--- A/B by cookie: gives each visitor a group and a cookie that keeps it, tells backend and log, and may send groups to
-- pools of their own. Who has no cookie is drawn by weight, always the same for a client address.
--
--     neap.route { path = "/", pool = "app", action = neap.rule "ab_by_cookie" {
--       cookie = "group", groups = { a = 90, b = 10 }, pools = { b = "beta" } } }
--
-- Options: groups (names and weights), cookie (its name; "group"), header (what the backend is told by; "x-group"),
-- pools (of groups that have one), days (the cookie lives; 30).
-- Cost: one look-up of a cookie, one header, one tag; for new visitors a hash and a cookie more.

local KNOWN = { groups = true, cookie = true, header = true, pools = true, days = true }

local function check(options)
  for name in pairs(options) do
    if not KNOWN[name] then error("ab_by_cookie has no option " .. tostring(name), 3) end
  end
  local names, upto, total = {}, {}, 0
  for name, weight in pairs(options.groups or {}) do
    if type(weight) ~= "number" or weight < 0 then error("ab_by_cookie: a weight is a number from 0", 3) end
    names[#names + 1] = name
  end
  table.sort(names)
  for i, name in ipairs(names) do
    total = total + options.groups[name]
    upto[i] = total
  end
  if total <= 0 then error("ab_by_cookie wants groups with weights", 3) end
  for name in pairs(options.pools or {}) do
    if not options.groups[name] then error("ab_by_cookie: there is no group " .. tostring(name), 3) end
  end
  return names, upto, total
end

return function(options)
  local names, upto, total = check(options)
  local cookie, header, pools = options.cookie or "group", options.header or "x-group", options.pools or {}
  local tail = "; Path=/; Max-Age=" .. string.format("%d", (options.days or 30) * 86400) .. "; SameSite=Lax"

  local function known(value)
    for i = 1, #names do
      if value:eq(names[i]) then return names[i] end
    end
  end
  local function drawn(req)
    local number, i = req.client:hash() % 1000003 / 1000003 * total, 1
    while number >= upto[i] do i = i + 1 end
    return names[i]
  end

  return function(req, res)
    local value = req:cookie(cookie)
    local group = value and known(value)
    if not group then
      group = drawn(req)
      res:add_header("set-cookie", cookie .. "=" .. group .. tail)
    end
    if pools[group] then res:pool(pools[group]) end
    res:set_request_header(header, group)
    res:tag(group)
  end
end
