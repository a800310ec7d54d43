local fake = dofile "tests/lua/request.lua"
local bot_throttle = dofile "policies/route/bot_throttle.lua"

local function is_bot(agent, options)
  return bot_throttle(options or {})(fake.request { headers = { ["user-agent"] = agent } })
end

describe("bot throttling", function()
  it("knows robots by words, in any case", function()
    for _, agent in ipairs { "Googlebot/2.1", "curl/8.0", "python-requests/2", "My CRAWLER" } do
      assert.is_true(is_bot(agent), agent)
    end
    assert.is_false(is_bot "Mozilla/5.0 (X11; Linux x86_64) Firefox/120.0")
  end)

  it("takes who does not say for one, unless told otherwise", function()
    assert.is_true(is_bot(nil))
    assert.is_true(is_bot "")
    assert.is_false(is_bot(nil, { missing = false }))
  end)

  it("takes words of its own, spares some, and reads no novels", function()
    assert.is_true(is_bot("Acme", { words = { "acme" } }))
    assert.is_false(is_bot("Googlebot", { spare = { "googlebot" } }))
    assert.is_false(is_bot(string.rep("x", 300) .. "bot"))
  end)

  it("refuses options that mean nothing", function()
    assert.has_error(function() bot_throttle { agents = {} } end)
  end)
end)
