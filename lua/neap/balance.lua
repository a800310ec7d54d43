--- A balance policy's view of the pool, and what C calls to have one picked.
local ffi = require "ffi"
local abi = require "neap.abi"
local params = require "neap.params"
local request = require "neap.request"

local M = {}

local type, error, tostring, pairs, next, format = type, error, tostring, pairs, next, string.format

local BACKEND = "struct { const int32_t index; }"
local POOL = "struct { const int32_t unused; }"

---@class neap.BalancePolicy
---@field name string
---@field param table<string, number|string> the parameters, checked
---@field pick fun(req: neap.Request, pool: neap.PoolView): integer? a backend's number, nil for none

---@class neap.Backend
---@field index integer its number in the pool, from 1
---@field up boolean may be picked now: healthy, not draining, not full, not tried by this request
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
    if name == "up" then return row.barred == 0 end
    if name == "ewma_us" then return row.ewma_us end
    if name == "error_rate" then return row.error_rate end
    if name == "tried" then return row.barred % 2 ~= 0 end
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

-- --- declaring ---

local given = {}        -- parameters of the configuration, for the file that is loaded next
local declared          -- the policy of that file, if it used policy.balance
local SPEC = { name = true, params = true }
local FIELDS = { name = true, param = true, pick = true }

--- Called by core/script/balance.c before a policy's file is loaded.
---@param from table<string, number|string>
function M.attach(from) given = from end

--- `policy.balance`: a policy with its parameters, to which the file adds the function `pick`.
---@param spec { name: string, params?: table<string, neap.ParamSpec> }
---@return neap.BalancePolicy
function M.declare(spec)
  if type(spec) ~= "table" or type(spec.name) ~= "string" then error("policy.balance takes a table with a name", 2) end
  for key in pairs(spec) do
    if not SPEC[key] then error("policy.balance: " .. params.unknown("field", key, SPEC), 2) end
  end
  local values, problem = params.read(spec.params or {}, given, spec.name)
  if problem then error(problem, 2) end
  declared = { name = spec.name, param = values }
  return declared
end

local function check_policy(from)
  if type(from) == "function" then from = { pick = from } end
  if type(from) ~= "table" or type(from.pick) ~= "function" then
    error("the file must return policy.balance { ... } with a function pick(req, pool), or such a function", 0)
  end
  for key in pairs(from) do
    if not FIELDS[key] then error(params.unknown("function", key, FIELDS), 0) end
  end
  if from ~= declared and next(given) then error("the policy has no parameters", 0) end
  return from.pick
end

--- Called by core/script/balance.c: makes of what a file returned (or of an inline function) what C is to call.
---@param from function|neap.BalancePolicy
---@param views userdata address of the VM's neap_view_board
---@param pick userdata address of the policy's neap_pick_board
function M.bind(from, views, pick)
  local req, board = request.of(views)
  return picker(check_policy(from), req, board, abi.at("neap_pick_board", pick))
end

return M
