local schema = require "neap.schema"
local environment = require "neap.environment"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

describe("the configuration's reference", function()
  local reference, module = read "docs/configuration.md", read "lua/neap/init.lua"

  it("has a row for every field, with the sentence of the schema", function()
    for name, fields in pairs(schema) do
      for _, field in ipairs(fields) do
        local names = "`" .. table.concat({ field.name, unpack(field.also or {}) }, "`, `") .. "`"
        local from = reference:find("| " .. names .. " |", 1, true)
        assert(from, name .. "." .. field.name .. " is not in docs/configuration.md")
        assert(reference:find("| " .. field.text .. " |", from, true), name .. "." .. field.name .. ": other text")
      end
    end
  end)

  it("names every variable of the environment", function()
    for _, name in ipairs(environment.names()) do assert(reference:find("`" .. name .. "`", 1, true), name) end
  end)

  it("is completed by editors: every field that works is annotated", function()
    for name, fields in pairs(schema) do
      for _, field in ipairs(fields) do
        local works = not field.text:find("not yet", 1, true)
        assert(not works or module:find("---@field " .. field.name .. "%??%s"), name .. "." .. field.name)
      end
    end
  end)
end)
