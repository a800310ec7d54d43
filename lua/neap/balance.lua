--- A balance policy's view of the pool, and what C calls to have one picked.
local ffi = require "ffi"
local abi = require "neap.abi"
local request = require "neap.request"

local M = {}

local type, error, tostring, pairs, format = type, error, tostring, pairs, string.format

local BACKEND = "struct { const int32_t index; }"
local POOL = "struct { const int32_t unused; }"

---@class neap.BalancePolicy
---@field name? string
---@field params? table<string, number|string|boolean> parameters and their defaults
---@field pick fun(req: neap.Request, pool: neap.PoolView): integer? a backend's number, nil for none

---@class neap.Backend
---@field index integer its number in the pool, from 1
---@field up boolean may be picked now: not down, not draining, not tried by this request
---@field tried boolean this request has tried it already
---@field weight integer
---@field in_flight integer requests it is working on, over all workers
---@field ewma_us number response time, microseconds
---@field error_rate number 0 to 1
---@field affinity number between 0 and 1: what chance would say of this backend and the request's key, always the same

---@class neap.PoolView
---@field count integer backends
---@field random1 integer a random number from 1 to count
---@field random2 integer another one, different where count > 1
---@field key number hash of what the pool balances by
---@field now_ms number
---@field [integer] neap.Backend

local function backend_class(board, mix)
  local function index(backend, name)
    local i = backend.index - 1
    if i < 0 or i >= board.count then error("this backend has left the pool", 2) end
    local row = board.rows[i]
    if name == "in_flight" then return row.in_flight end
    if name == "weight" then return row.weight end
    if name == "up" then return (row.state == 0 or row.state == 3) and row.tried == 0 end
    if name == "ewma_us" then return row.ewma_us end
    if name == "error_rate" then return row.error_rate end
    if name == "tried" then return row.tried ~= 0 end
    if name == "affinity" then return mix(board.key, row.id) end
    error(format("a backend has no %q", tostring(name)), 2)
  end
  return ffi.metatype(BACKEND, { __index = index, __tostring = function(backend)
    return format("backend %d", backend.index)
  end })
end

--- The pool of a board: `board` is a neap_pick_board, `mix` the leaf of that name.
function M.view(board, mix)
  local Backend = backend_class(board, mix)
  local backends = {}

  local function backend_at(key)
    if key ~= math.floor(key) or key < 1 or key > board.count then
      error(format("backends are numbered 1 to %d", board.count), 3)
    end
    backends[key] = backends[key] or Backend(key)
    return backends[key]
  end
  local function index(_, key)
    if type(key) == "number" then
      return key <= board.count and backends[key] or backend_at(key)
    end
    if key == "count" then return board.count end
    if key == "random1" then return board.random1 + 1 end
    if key == "random2" then return board.random2 + 1 end
    if key == "key" then return board.key end
    if key == "now_ms" then return board.now_ms end
    error(format("a pool has no %q", tostring(key)), 2)
  end
  return ffi.metatype(POOL, { __index = index, __len = function() return board.count end,
                              __tostring = function() return "pool" end }) (0)
end

-- One prototype for each policy, as for predicates.
local PICK = [[
local pick, req, pool, board, type, wrong = ...
return function()
  local answer = pick(req, pool)
  if answer == nil then board.answer = -1
  elseif type(answer) == "number" and answer >= 1 and answer <= board.count then board.answer = answer - 1
  else wrong(answer) end
end]]

-- What C calls for a pick: the answer on the board, from 0, or -1 for none.
local function picker(pick, req, views, board)
  local place = request.place(pick)
  local function wrong(answer)
    error(format("%s: pick must give a backend's number from 1 to %d, or nil, not %s", place, board.count,
                 type(answer) == "number" and answer or "a " .. type(answer)), 0)
  end
  return loadstring(PICK, "=(policy)")(pick, req, M.view(board, views.mix), board, type, wrong)
end

-- policy.params has the defaults, by name: what the configuration says goes over them.
local function configure(policy, given)
  local params = policy.params or {}
  for name, value in pairs(given) do
    local default = params[name]
    if default == nil then error(format("the policy has no parameter %q", name), 0) end
    if type(default) == "boolean" then value = value ~= 0 end
    if type(default) ~= type(value) then
      error(format("parameter %s: write a %s, as in %s", name, type(default), tostring(default)), 0)
    end
    params[name] = value
  end
end

--- Called by core/script/balance.c: makes of what a file returned (or of an inline function) what C is to call.
---@param from function|table
---@param views userdata address of the VM's neap_view_board
---@param pick userdata address of the policy's neap_pick_board
---@param params table<string, number|string>
function M.bind(from, views, pick, params)
  if type(from) == "function" then from = { pick = from } end
  if type(from) ~= "table" or type(from.pick) ~= "function" then
    error("the file must return a table with a function pick(req, pool), or such a function", 0)
  end
  configure(from, params)
  local req, board = request.of(views)
  return picker(from.pick, req, board, abi.at("neap_pick_board", pick))
end

return M
