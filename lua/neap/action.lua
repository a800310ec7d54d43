--- What an action of a route decides about one request: `res`, the second argument of `action = function(req, res)`.
-- Each method writes on the VM's neap_act_board, whose leaves check it; C carries it out when the call is over. A call
-- that fails decides nothing. A value that a method refuses may be the client's: the board notes it, so that it costs
-- that request alone and takes no function out.
local ffi = require "ffi"
local abi = require "neap.abi"
local units = require "neap.units"
local request = require "neap.request"

local M = {}

local type, error, format, tostring, rawget, floor = type, error, string.format, tostring, rawget, math.floor

--- Pools by name, set by neap.config: their index.
---@type table<string, integer>
M.pools = {}

---@class neap.Response
---@field pool fun(res: neap.Response, name: string|neap.Value) send it to that pool
---@field path fun(res: neap.Response, path: string|neap.Value) ask the backend for that path, as it is to be sent
---@field query fun(res: neap.Response, query: string|neap.Value) and that query, without "?"
---@field set_request_header fun(res: neap.Response, name: string, value: string|neap.Value|number)
---@field remove_request_header fun(res: neap.Response, name: string)
---@field set_header fun(res: neap.Response, name: string, value: string|neap.Value|number) of what the client gets
---@field add_header fun(res: neap.Response, name: string, value: string|neap.Value|number) beside others of that name
---@field remove_header fun(res: neap.Response, name: string)
---@field respond fun(res: neap.Response, status: integer, body?: string, content_type?: string) answer it here
---@field redirect fun(res: neap.Response, to: string|neap.Value, status?: integer) redirect it (302)
---@field cache_key fun(res: neap.Response, key: string|neap.Value) what its response is stored under, beside the space
---@field ttl fun(res: neap.Response, ttl: string|number) freshness, where the response does not state its own
---@field bypass fun(res: neap.Response) the cache has no part in this
---@field tag fun(res: neap.Response, word: string|neap.Value) a word for the access log

-- As in core/policy/abi.h.
local PATH, QUERY, LOCATION, BODY, TYPE, KEY, TAG = 0, 1, 2, 3, 4, 5, 6
local SET, ADD, REMOVE, RESPONSE = 0, 1, 2, 4

local PROBLEMS = { [1] = "there is no room for it", [2] = "it holds what may not stand there",
                   [3] = "it is no name of a header, or one that is the engine's alone" }
local TYPES = { html = "text/html; charset=utf-8", text = "text/plain; charset=utf-8", json = "application/json" }

local RESPONSE_TYPE = ffi.typeof "struct { const int32_t nothing; }"

-- The methods of `res`; `board` is what they write on.
local function methods_of(board)
  local methods = {}
  local views, index = request.board(), request.index

  -- `level` as for error, counted from who calls this.
  local function refuse(level, text, ...)
    board.refused = 1
    error(format(text, ...), level + 1)
  end
  local function want(value, method)
    return request.text(value) or refuse(4, "%s wants a text, not a %s", method, type(value))
  end
  -- A value of the request goes from view to board; texts and numbers as texts.
  local function put(what, value, method)
    local view = index(value)
    local problem
    if view then
      problem = board.put_view(board, what, views, view)
    else
      local text = want(value, method)
      problem = board.put(board, what, text, #text)
    end
    if problem ~= 0 then refuse(3, "%s: %s", method, PROBLEMS[problem]) end
  end
  local function edit(change, name, value, method)
    if type(name) ~= "string" then refuse(3, "%s wants the name of a header", method) end
    local view = index(value)
    local problem
    if view then
      problem = board.edit_view(board, change, name, #name, views, view)
    else
      local text = want(value, method)
      problem = board.edit(board, change, name, #name, text, #text)
    end
    if problem ~= 0 then refuse(3, "%s %s: %s", method, name, PROBLEMS[problem]) end
  end
  local function want_status(status, least, most, method)
    if type(status) ~= "number" or status < least or status > most or floor(status) ~= status then
      refuse(3, "%s wants a status from %d to %d", method, least, most)
    end
    board.status = status
  end

  function methods.pool(_, name)
    local text = request.text(name) or refuse(2, "pool wants a name, not a %s", type(name))
    board.pool = M.pools[text] or refuse(2, "there is no pool %q", text)
  end
  function methods.path(_, path) put(PATH, path, "path") end
  function methods.query(_, query) put(QUERY, query, "query") end
  function methods.set_request_header(_, name, value)
    edit(SET, name, value, "set_request_header")
  end
  function methods.remove_request_header(_, name) edit(REMOVE, name, "", "remove_request_header") end
  function methods.set_header(_, name, value)
    edit(SET + RESPONSE, name, value, "set_header")
  end
  function methods.add_header(_, name, value)
    edit(ADD + RESPONSE, name, value, "add_header")
  end
  function methods.remove_header(_, name) edit(REMOVE + RESPONSE, name, "", "remove_header") end
  function methods.respond(_, status, body, content_type)
    want_status(status, 200, 599, "respond")
    put(BODY, body or "", "respond")
    put(TYPE, TYPES[content_type or "text"] or content_type, "respond")
  end
  function methods.redirect(_, to, status)
    want_status(status or 302, 300, 308, "redirect")
    put(LOCATION, to, "redirect")
  end
  function methods.cache_key(_, key) put(KEY, key, "cache_key") end
  function methods.ttl(_, ttl)
    local ms, hint = units.duration(ttl)
    if not ms then refuse(2, "ttl: %s", hint) end
    board.ttl_ms = ms
  end
  function methods.bypass() board.bypass = 1 end
  function methods.tag(_, word) put(TAG, word, "tag") end

  return setmetatable(methods, { __index = function(_, name)
    error(format("a response has no %q", tostring(name)), 2)
  end })
end

local board, res -- of this VM

local function response_of(pointer)
  if not res then
    board = abi.at("neap_act_board", pointer)
    res = ffi.metatype(RESPONSE_TYPE, { __index = methods_of(board),
                                        __tostring = function() return "response" end })(0)
  end
  return res
end

-- One function for C, with a text of its own: see lua/neap/request.lua.
local LINES = {
  { "pool", "local name = pool(req) if name ~= nil then res:pool(name) end" },
  { "key", "local key = key(req) if key then res:cache_key(key) else res:bypass() end" },
  { "action", "action(req, res)" },
}

--- What C calls for the functions of a route: no arguments, no results; what they decide is on the board.
---@param functions { action?: function, pool?: function, key?: function }
---@param req neap.Request
---@param pointer userdata the neap_act_board
---@return function
function M.wrap(functions, req, pointer)
  local body = {}
  for _, line in ipairs(LINES) do
    if rawget(functions, line[1]) then body[#body + 1] = "do " .. line[2] .. " end" end
  end
  local text = "local action, pool, key, req, res = ...\nreturn function()\n" .. table.concat(body, "\n") .. "\nend"
  return loadstring(text, "=(policy)")(functions.action, functions.pool, functions.key, req, response_of(pointer))
end

return M
