--- Bot throttling: true for requests that look like those of a robot, so that a route with a limit of its own takes
-- them.
--
--     neap.route { path = "/", pool = "app", when = neap.rule "bot_throttle" {},
--                  limit = { rate = "1/s", burst = 5, by = "header user-agent" } }
--     neap.route { path = "/", pool = "app" }
--
-- Options: words (any of them in the User-Agent, in any case; common ones), spare (words of agents that are let be),
-- missing (a request without a User-Agent is one; true).
-- Cost: one header and a search for each word; agents are cut after 256 bytes.

local KNOWN = { words = true, spare = true, missing = true }
local WORDS = { "bot", "crawl", "spider", "slurp", "scrapy", "curl/", "wget/", "python-requests", "go-http-client",
                "headless" }
local MOST = 256

return function(options)
  for name in pairs(options) do
    if not KNOWN[name] then error("bot_throttle has no option " .. tostring(name), 2) end
  end
  local words, spare = options.words or WORDS, options.spare or {}
  local missing = options.missing ~= false

  local function has_one(text, list)
    for i = 1, #list do
      if string.find(text, list[i], 1, true) then return true end
    end
    return false
  end

  return function(req)
    local agent = req:header "user-agent"
    if not agent or agent:eq "" then return missing end
    local text = string.lower(string.sub(agent:text(), 1, MOST))
    return has_one(text, words) and not has_one(text, spare)
  end
end
