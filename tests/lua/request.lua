--- Requests, responses and data tables made of tables, for the specs of rules: they answer as the engine's own do, but
-- for the hash, which is another one. Each rule runs inside a gateway too: tests/e2e/test_rules.py.
local M = {}

local value = {}
value.__index = value
value.__tostring = function(self) return self.words end
value.__eq = function(a, b) return a.words == b.words end
value.__concat = function(a, b) return tostring(a) .. tostring(b) end

--- A value of a request.
function M.value(text)
  return setmetatable({ words = text }, value)
end

function value:eq(text) return self.words == text end
function value:text() return self.words end
function value:starts(text) return self.words:sub(1, #text) == text end
function value:ends(text) return text == "" or self.words:sub(-#text) == text end
function value:contains(text) return self.words:find(text, 1, true) ~= nil end
function value:number() return tonumber(self.words) end
function value:hash()
  local sum = 5381
  for i = 1, #self.words do sum = (sum * 33 + self.words:byte(i)) % 2 ^ 46 end
  for _ = 1, 3 do sum = (sum % 94906249) * 94906267 % 2 ^ 53 + math.floor(sum / 94906249) end
  return sum % 2 ^ 53
end

local function finder(list)
  return function(_, name) return list and list[name] and M.value(list[name]) end
end

--- A request: { path, host, client, method, headers = {}, cookies = {}, query = {} }.
function M.request(from)
  from = from or {}
  return { path = M.value(from.path or "/"), host = M.value(from.host or "example.com"),
           client = M.value(from.client or "10.0.0.1"), method = M.value(from.method or "GET"),
           header = finder(from.headers), cookie = finder(from.cookies), query = finder(from.query) }
end

--- A response that notes what it is told, in `told`: pool, status, body, tag, request and response headers.
function M.response()
  local told = { request = {}, response = {}, added = {} }
  local res = { told = told }
  function res:pool(name) self.told.pool = tostring(name) end
  function res:tag(word) self.told.tag = tostring(word) end
  function res:set_request_header(name, text) self.told.request[name] = tostring(text) end
  function res:remove_request_header(name) self.told.request[name] = false end
  function res:set_header(name, text) self.told.response[name] = tostring(text) end
  function res:add_header(name, text) self.told.added[name] = tostring(text) end
  function res:respond(status, body) self.told.status, self.told.body = status, body end
  return res
end

--- A data table: a map of its rows; a set has `true` for values.
function M.table(rows)
  local out = {}
  function out.get(_, key)
    local found = rows[tostring(key)]
    return found and M.value(found == true and "" or found) or nil
  end
  function out.has(_, key) return rows[tostring(key)] ~= nil end
  return out
end

return M
