-- A backend for the demonstration: Neap answering by itself, with a log that counts who asked.
local neap = require "neap"

neap.listen { http = "127.0.0.1:9001" }
neap.route {
  path = "/",
  respond = { status = 200, body = "Hello from the app.\n" },
  response_headers = { set = { ["Cache-Control"] = "max-age=600" } },
}
neap.route { -- which nothing keeps
  path = "/warm-up/*",
  respond = { status = 200, body = "" },
  response_headers = { set = { ["Cache-Control"] = "no-store" } },
}
neap.log { access = "app-access.log" }
