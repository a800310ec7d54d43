--- A policy's view of the request: bounds-checked, without pointers, without allocation.
--
-- `req` and every value of it are made once per VM. A value is an index into the board's slices, so it costs
-- nothing to hand out and can only be used through the leaves, which check it. LuaJIT folds what comes from a
-- ctype's metatable into constants: `req.path:starts "/api"` compiles to one C call.
local ffi = require "ffi"
local abi = require "neap.abi"

local M = {}

local ffi_string, istype = ffi.string, ffi.istype
local type, error, tonumber, format, gsub = type, error, tonumber, string.format, string.gsub
local getinfo = debug.getinfo

-- One class of values and requests for each board; a VM has one board.
local VALUE = "struct { const int32_t index; }"
local REQUEST = "struct { const int32_t unused; }"

---@class neap.Value
---@field eq fun(self: neap.Value, text: string): boolean is it this text?
---@field starts fun(self: neap.Value, text: string): boolean
---@field ends fun(self: neap.Value, text: string): boolean
---@field contains fun(self: neap.Value, text: string): boolean
---@field text fun(self: neap.Value): string the same as tostring(value); makes a Lua string
---@field number fun(self: neap.Value): number? the number it spells
---@field hash fun(self: neap.Value): number 0 to 2^53 - 1, the same everywhere

---@class neap.Request
---@field method neap.Value
---@field target neap.Value path and query, as sent
---@field path neap.Value
---@field query_string neap.Value without the "?"
---@field query fun(self: neap.Request, name: string): neap.Value? a parameter of the query, not decoded
---@field host neap.Value
---@field client neap.Value address without port
---@field header fun(self: neap.Request, name: string): neap.Value? nil where there is none
---@field cookie fun(self: neap.Request, name: string): neap.Value?

local function want_text(text, method)
  if type(text) ~= "string" then error(format("%s wants a text, not a %s", method, type(text)), 3) end
end

-- The methods of values; `board` is where their slices are.
local function value_class(board)
  local Value = ffi.typeof(VALUE)
  local same, starts, ends, contains, hash = board.same, board.starts, board.ends, board.contains, board.hash
  local methods = {}

  local function slice_of(value)
    if not istype(Value, value) then error("this is not a value of a request", 4) end
    return board.slices[value.index]
  end
  local function text_of(value)
    local slice = slice_of(value)
    board.made = 1
    return slice.size > 0 and ffi_string(slice.ptr, slice.size) or ""
  end

  function methods.eq(value, text)
    want_text(text, "eq")
    return same(board, value.index, text, #text) ~= 0
  end
  function methods.starts(value, text)
    want_text(text, "starts")
    return starts(board, value.index, text, #text) ~= 0
  end
  function methods.ends(value, text)
    want_text(text, "ends")
    return ends(board, value.index, text, #text) ~= 0
  end
  function methods.contains(value, text)
    want_text(text, "contains")
    return contains(board, value.index, text, #text) ~= 0
  end
  function methods.hash(value) return hash(board, value.index) end
  function methods.number(value) return tonumber(text_of(value)) end
  function methods.text(value) return text_of(value) end

  setmetatable(methods, { __index = function(_, name)
    error(format("a value of a request has no %q", tostring(name)), 2)
  end })
  local function equal(a, b)
    if type(a) == "string" then a, b = b, a end
    if type(b) == "string" then return same(board, a.index, b, #b) ~= 0 end
    return istype(Value, a) and istype(Value, b) and text_of(a) == text_of(b)
  end
  local function concat(a, b)
    return (type(a) == "string" and a or text_of(a)) .. (type(b) == "string" and b or text_of(b))
  end
  return ffi.metatype(Value, {
    __index = methods, __eq = equal, __concat = concat, __tostring = function(value) return text_of(value) end,
    __len = function(value) board.made = 1 return slice_of(value).size end,
  })
end

--- The request of a board: `board` is a neap_view_board.
function M.new(board)
  local Value = value_class(board)
  local values = {}
  for i = 0, 63 do values[i] = Value(i) end
  M.value = function(index) return values[index] end
  M.index = function(value) return istype(Value, value) and value.index or nil end

  local function finder(leaf, method)
    return function(_, name)
      want_text(name, method)
      local index = leaf(board, name, #name)
      if index < 0 then return nil end
      return values[index] or M.too_many(2)
    end
  end

  local fields = { method = values[0], target = values[1], path = values[2], query_string = values[3],
                   host = values[4], client = values[5], header = finder(board.header, "header"),
                   query = finder(board.query, "query"), cookie = finder(board.cookie, "cookie") }
  setmetatable(fields, { __index = function(_, name)
    error(format("a request has no %q", tostring(name)), 2)
  end })
  local Request = ffi.metatype(REQUEST, { __index = fields, __tostring = function() return "request" end })
  return Request(0)
end

--- Where a function of the operator's begins: "file:line".
function M.place(fn)
  local info = getinfo(fn, "S")
  return format("%s:%d", gsub(info.source, "^[@=]", ""), info.linedefined)
end

-- A predicate has a wrapper of its own text: LuaJIT compiles by function prototype, and one wrapper shared by
-- many routes would be compiled for the first of them and left by the others.
local PREDICATE = [[
local when, req, board, wrong = ...
return function()
  local answer = when(req)
  if answer == true then board.answer = 1
  elseif not answer then board.answer = 0
  else wrong(answer) end
end]]

--- What C calls for a predicate: no arguments, no result, the answer on the board.
function M.predicate(when, req, board)
  local place = M.place(when)
  local function wrong(answer)
    error(format("%s: when must give true or false, not a %s", place, type(answer)), 0)
  end
  return loadstring(PREDICATE, "=(policy)")(when, req, board, wrong)
end

local board, req -- of this VM: it has one of each

--- What clients can make of a function is not its fault: the call ends, and the board notes it, so that it costs that
-- request alone. Here it was more values than there is room for. `level` as for error, counted from who calls this.
function M.too_many(level)
  board.refused = 1
  error("more than 58 values were taken from one request", level + 1)
end

-- Likewise where a text is too long: the request's fault if this call has made texts or numbers of it.
require("neap.sandbox").on_too_long(function()
  if board and board.made ~= 0 then board.refused = 1 end
end)

--- The request of the VM's neap_view_board, at that address.
---@param pointer userdata
---@return neap.Request req, ffi.cdata* board
function M.of(pointer)
  if not req then
    board = abi.at("neap_view_board", pointer)
    req = M.new(board)
  end
  return req, board
end

--- The board of this VM, nil before it has one.
function M.board() return board end

--- The text of a text, a number or a value; nil for what is none.
function M.text(value)
  if type(value) == "string" then return value end
  if type(value) == "number" then return tostring(value) end
  if M.index(value) then return tostring(value) end
end

--- Called by core/script/worker.c: what C is to call for each predicate and each action of a configuration.
---@param pointer userdata
---@param decided userdata its neap_act_board
---@param predicates table<integer, function> by route
---@param actions table<integer, table> by route: { action, pool, key }
---@return table<integer, function> when, table<integer, function> act
function M.install(pointer, decided, predicates, actions)
  local when, act = {}, {}
  local view, answers = M.of(pointer)
  for route, predicate in pairs(predicates) do when[route] = M.predicate(predicate, view, answers) end
  local response = require "neap.action"
  for route, functions in pairs(actions) do act[route] = response.wrap(functions, view, decided) end
  return when, act
end

return M
