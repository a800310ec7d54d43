-- The gateway of the quickstart: three backends behind one cache, decisions in Lua.
local neap = require "neap"

neap.listen { http = "127.0.0.1:8080" }
neap.cache { max_memory = "64MB", evict = "sieve" }
neap.log { access = "access.log" }
neap.workers(1) -- one, so that the shares below come out even

neap.pool {
  name = "app", balance = "weighted_round_robin",
  backends = { "127.0.0.1:9001 weight=3", "127.0.0.1:9002" },
  health = { interval = "500ms", fall = 1, rise = 1 },
}
neap.pool { name = "beta", backends = { "127.0.0.1:9003" } }

-- A routing rule: those who ask for it get the new version. Everybody else falls through to the next routes.
neap.route {
  path = "/", pool = "beta", cache = true,
  when = function(req) return req:header "x-group" == "beta" end,
}
neap.route { path = "/now", pool = "app" }
neap.route { path = "/", pool = "app", cache = true }
