-- One node of a cache in three tiers: memory answers first, then a Redis that all nodes share, then a CDN, then the
-- backend. Every node has the same file.
local neap = require "neap"

neap.listen { http = "127.0.0.1:8080" }
neap.cache { max_memory = "64MB", evict = "sieve" }
neap.tiers {
  redis = {
    url = "redis://127.0.0.1:6379",
    timeout = "500ms", -- a call that takes longer has failed
    max_object = "256KB", -- what is larger goes to the CDN alone
    breaker = { min_requests = 5, rate = 0.5, open = "500ms", max_open = "1s" }, -- left alone when half of 5 fail
  },
  cdn = { url = "http://127.0.0.1:8090", timeout = "1s" },
  soft_timeout = "1s", -- a request waits so long for both, then the backend is asked
}
neap.pool { name = "app", backends = { "127.0.0.1:9001" } }
neap.route { path = "/", pool = "app", cache = true }
neap.log { access = "access.log" }
