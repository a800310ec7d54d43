-- The gateway of the quickstart: two backends behind one cache, decisions in Lua.
local neap = require "neap"

neap.listen { http = "127.0.0.1:8080" }
neap.cache { max_memory = "64MB", evict = "sieve" }
neap.log { access = "access.log" }

neap.pool { name = "app", backends = { "127.0.0.1:9001" } }
neap.pool { name = "beta", backends = { "127.0.0.1:9002" } }

-- A routing rule: those who ask for it get the new version. Everybody else falls through to the next route.
neap.route {
  path = "/", pool = "beta", cache = true,
  when = function(req) return req:header "x-group" == "beta" end,
}
neap.route { path = "/", pool = "app", cache = true }
