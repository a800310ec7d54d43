--- Data tables as functions of a configuration see them: neap.table { ... } gives a handle, whose rows are the engine's
-- and change without the configuration. Values are views: see lua/neap/request.lua.
local ffi = require "ffi"
local request = require "neap.request"

local M = {}

local type, error, format, tostring = type, error, string.format, tostring

---@alias neap.TableKey string|neap.Value|nil
---@class neap.Table
---@field get fun(table: neap.Table, key: neap.TableKey): neap.Value? the value of a key; nil where there is none
---@field has fun(table: neap.Table, key: neap.TableKey): boolean
---@field draw fun(table: neap.Table, by: neap.Value|number|nil): neap.Value? a name by weight, the same for the same

local HANDLE = ffi.typeof "struct { const int32_t index; }"

-- Whose question it is, and of what: a view by its index, or a text.
local function ask(handle, key, method)
  local board = request.board()
  if not board then error("data tables can be asked while there is a request", 3) end
  if key == nil then return -1 end -- a header that is not there is no row's key
  if type(key) == "string" then return board.table_get(board, handle.index, -1, key, #key) end
  local view = request.index(key)
  if not view then error(format("%s wants a text or a value, not a %s", method, type(key)), 3) end
  return board.table_get(board, handle.index, view, "", 0)
end

local methods = {}

function methods.get(handle, key)
  local found = ask(handle, key, "get")
  if found < 0 then return nil end
  return request.value(found) or request.too_many(2)
end

function methods.has(handle, key)
  return ask(handle, key, "has") >= 0
end

function methods.draw(handle, by)
  local board = request.board()
  if not board then error("data tables can be asked while there is a request", 2) end
  if by == nil then return nil end
  local number = type(by) == "number" and by or by:hash()
  local found = board.table_draw(board, handle.index, number)
  if found < 0 then return nil end
  return request.value(found) or request.too_many(2)
end

setmetatable(methods, { __index = function(_, name) error(format("a table has no %q", tostring(name)), 2) end })

local Handle = ffi.metatype(HANDLE, { __index = methods, __tostring = function() return "table" end })

--- The handle of the table that is declared as the index-th, from 0.
function M.handle(index) return Handle(index) end

--- The index of a handle, or nil for what is none.
function M.index(value) return type(value) == "cdata" and ffi.istype(Handle, value) and value.index or nil end

return M
