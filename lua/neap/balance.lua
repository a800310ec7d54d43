--- A balance policy's view of the pool, and what C calls to have one picked.
local ffi = require "ffi"
local abi = require "neap.abi"
local params = require "neap.params"
local request = require "neap.request"

local M = {}

local type, error, tostring, pairs, next, format = type, error, tostring, pairs, next, string.format
local gsub = string.gsub

local BACKEND = "struct { const int32_t index; }"
local POOL = "struct { const int32_t unused; }"
local OUTCOME = "struct { const int32_t unused; }"

---@class neap.BalancePolicy
---@field name string
---@field param table<string, number|string> the parameters, checked
---@field pick fun(req: neap.Request, pool: neap.PoolView): integer|string? a backend's number; pool.wait; nil for none
---@field done? fun(backend: neap.Backend, outcome: neap.Outcome) a request that went to it has an outcome
---@field sent? fun(backend: neap.Backend, outcome: neap.Outcome) a request goes to it: outcome.in_flight, this included
---@field report? fun(backend: neap.Backend, pool: neap.PoolView) its load and capacity are new
---@field joined? fun(backend: neap.Backend, pool: neap.PoolView) it took this place of the pool
---@field left? fun(backend: neap.Backend, pool: neap.PoolView) it left this place; another may take it later

---@class neap.Backend
---@field index integer its number in the pool, from 1; the same as long as it is in the pool
---@field up boolean may be picked now: healthy, not draining, not full, not tried by this request
---@field tried boolean this request has tried it already
---@field weight integer as configured, or as set since
---@field share number the weight as it counts now: slow start and reports included; above 0
---@field in_flight integer requests it is working on, over all workers
---@field limit integer most of them at once; 0: no limit
---@field load integer requests in flight by its own report, whoever sent them; -1: no fresh report
---@field capacity integer requests it can work on at once, by its own report; 0: not known
---@field ewma_us number response time, microseconds; 0: not known
---@field error_rate number 0 to 1
---@field slowness number 1: as the rest of the pool, 2: takes twice as long; learned from outcomes, and fades
---@field affinity number between 0 and 1: what chance would say of this backend and the request's key, always the same

---@class neap.Outcome
---@field ok boolean it answered, and not with an error of its own (5xx)
---@field took_us number until the head of its answer, microseconds
---@field in_flight integer its requests in flight when this one was sent, this one included
---@field status integer of the answer; 0: there was none

---@class neap.PoolView
---@field count integer places; the place of a backend that has left is never up
---@field random1 integer a random number of a backend, in proportion to shares, up where one is
---@field random2 integer another one, different where two are up
---@field random fun(self: neap.PoolView): number 0 to below 1, repeatable by the seed
---@field key number hash of what the pool balances by
---@field now_ms number
---@field waiting integer requests that are held now
---@field may_wait boolean pool.wait is an answer
---@field probe fun(i: integer) asks that backend for its load, beside the requests; where the pool has load_probes
---@field wait string the answer that holds the request until something changes
---@field [integer] neap.Backend

local function backend_class(board, mix, leaves)
  local function index(backend, name)
    local i = backend.index - 1
    if i < 0 or i >= board.count then error("this backend has left the pool", 2) end
    local row = board.rows[i]
    if name == "in_flight" then return row.in_flight end
    if name == "share" then return row.share end
    if name == "weight" then return row.weight end
    if name == "up" then return row.barred == 0 end
    if name == "ewma_us" then return row.ewma_us end
    if name == "error_rate" then return row.error_rate end
    if name == "limit" then return row.limit end
    if name == "load" then return row.load end
    if name == "capacity" then return row.capacity end
    if name == "tried" then return row.barred % 2 ~= 0 end
    if name == "slowness" then return (leaves.slowness(leaves.self, i)) end
    if name == "affinity" then return mix(board.key, row.id) end
    error(format("a backend has no %q", tostring(name)), 2)
  end
  return ffi.metatype(BACKEND, { __index = index, __tostring = function(backend)
    return format("backend %d", backend.index)
  end })
end

--- The pool of a board: `board` is a neap_pick_board, `mix` the leaf of that name, `leaves` a neap_balance_leaves.
function M.view(board, mix, leaves)
  local Backend = backend_class(board, mix, leaves)
  local backends = {}

  local function backend_at(key)
    if key ~= math.floor(key) or key < 1 or key > board.count then
      error(format("backends are numbered 1 to %d", board.count), 3)
    end
    backends[key] = backends[key] or Backend(key)
    return backends[key]
  end
  local function random() return (leaves.random(leaves.self)) end
  local function probe(key)
    if type(key) ~= "number" or key ~= math.floor(key) or key < 1 or key > board.count then
      error(format("backends are numbered 1 to %d", board.count), 2)
    end
    if board.probe_count >= 4 then return end -- as many as are sent for one request
    board.probes[board.probe_count] = key - 1
    board.probe_count = board.probe_count + 1
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
    if key == "random" then return random end
    if key == "probe" then return probe end
    if key == "waiting" then return board.waiting end
    if key == "may_wait" then return board.may_wait ~= 0 end
    if key == "wait" then return "wait" end
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
  elseif answer == "wait" then board.answer = -2
  else wrong(answer) end
end]]

-- What C calls for a pick: the answer on the board, from 0, -1 for none, -2 to wait.
local function picker(pick, req, pool, board)
  local place = request.place(pick)
  local function wrong(answer)
    error(format("%s: pick must give a backend's number from 1 to %d, pool.wait or nil, not %s", place, board.count,
                 type(answer) == "number" and answer or "a " .. type(answer)), 0)
  end
  return loadstring(PICK, "=(policy)")(pick, req, pool, board, type, wrong)
end

-- The outcome of the event that `at` names.
local function outcome_of(board, at)
  local function index(_, name)
    local event = board.events[at.event]
    if name == "ok" then return event.what < 0x20000000 end
    if name == "took_us" then return event.hash end
    if name == "in_flight" then return event.size end
    if name == "status" then return board.statuses[at.event] end
    error(format("an outcome has no %q", tostring(name)), 2)
  end
  return ffi.metatype(OUTCOME, { __index = index, __tostring = function() return "outcome" end }) (0)
end

-- One flat loop over the batch, with a branch for each function that the policy has.
local OBSERVE = [[
local board, pool, outcome, at, sent, done, report, joined, left, band, rshift = ...
local events = board.events
return function()
  for i = 0, board.event_count - 1 do
    local what = events[i].what
    local kind, place = rshift(what, 28), band(what, 0x0fffffff) + 1
    at.event = i
    if place <= board.count then BRANCHES end
  end
end]]

local EVENTS = { { "sent", "kind == 0", "sent(pool[place], outcome)" },
                 { "done", "(kind == 1 or kind == 2)", "done(pool[place], outcome)" },
                 { "report", "kind == 3", "report(pool[place], pool)" },
                 { "joined", "kind == 4", "joined(pool[place], pool)" },
                 { "left", "kind == 5", "left(pool[place], pool)" } }

-- What C calls for a batch of events; nil where the policy wants none.
local function observer(policy, pool, board)
  local branches = {}
  for _, event in ipairs(EVENTS) do
    if policy[event[1]] then branches[#branches + 1] = format("if %s then %s end", event[2], event[3]) end
  end
  if not branches[1] then return nil end
  local at = ffi.new "struct { int32_t event; }"
  local text = gsub(OBSERVE, "BRANCHES", table.concat(branches, " "))
  return loadstring(text, "=(policy)")(board, pool, outcome_of(board, at), at, policy.sent, policy.done,
                                       policy.report, policy.joined, policy.left, bit.band, bit.rshift)
end

-- --- declaring ---

local given = {}        -- parameters of the configuration, for the file that is loaded next
local declared          -- the policy of that file, if it used policy.balance
local SPEC = { name = true, params = true }
local FIELDS = { name = true, param = true, pick = true, done = true, sent = true, report = true, joined = true,
                 left = true }

--- Called by core/script/balance.c before a policy's file is loaded.
---@param from table<string, number|string>
function M.attach(from) given = from end

--- `policy.balance`: a policy with its parameters, to which the file adds the function `pick`.
---@param spec { name: string, params?: table<string, neap.ParamSpec> }
---@return neap.BalancePolicy
function M.declare(spec)
  if type(spec) ~= "table" or type(spec.name) ~= "string" then error("policy.balance takes a table with a name", 2) end
  local problem, finish = params.problems()
  for key in pairs(spec) do
    if not SPEC[key] then problem("policy.balance: " .. params.unknown("field", key, SPEC)) end
  end
  if spec.params ~= nil and type(spec.params) ~= "table" then problem("policy.balance: params must be a table") end
  local values, mistaken = params.read(type(spec.params) == "table" and spec.params or {}, given, spec.name, problem)
  finish()
  if mistaken then error(mistaken, 2) end
  declared = { name = spec.name, param = values }
  return declared
end

local function check_policy(from)
  if type(from) == "function" then from = { pick = from } end
  if type(from) ~= "table" or type(from.pick) ~= "function" then
    error("the file must return policy.balance { ... } with a function pick(req, pool), or such a function", 0)
  end
  for key, value in pairs(from) do
    if not FIELDS[key] then error(params.unknown("function", key, FIELDS), 0) end
    if key ~= "name" and key ~= "param" and type(value) ~= "function" then
      error(format("%s must be a function, not a %s", key, type(value)), 0)
    end
  end
  if from ~= declared and next(given) then error("the policy has no parameters", 0) end
  return from
end

--- Called by core/script/balance.c: makes of what a file returned (or of an inline function) what C is to call.
---@param from function|neap.BalancePolicy
---@param views userdata address of the VM's neap_view_board
---@param pick userdata address of the policy's neap_pick_board
---@param leaves userdata address of its neap_balance_leaves
---@return function pick, function? observe
function M.bind(from, views, pick, leaves)
  local req, view_board = request.of(views)
  local board, policy = abi.at("neap_pick_board", pick), check_policy(from)
  local pool = M.view(board, view_board.mix, abi.at("neap_balance_leaves", leaves))
  return picker(policy.pick, req, pool, board), observer(policy, pool, board)
end

return M
