-- A backend for the demonstration: Neap answering by itself.
local neap = require "neap"

neap.listen { http = "127.0.0.1:9001" }
neap.route {
  path = "/",
  respond = { status = 200, body = "Hello from the app.\n" },
  response_headers = { set = { ["Cache-Control"] = "max-age=60" } },
}
