--- The runtime of prefetch policies: what `policy.prefetch` gives to a policy file, and the loop that the engine calls
-- with a batch of events. core/script/prefetch.c hands over board and leaves with `attach`, loads the file, and takes
-- the loop from `finish`.
local abi = require "neap.abi"
local core = require "neap.core"
local columns = require "neap.columns"
local params = require "neap.params"

local M = {}

local error, type, pairs, setmetatable, tostring = error, type, pairs, setmetatable, tostring
local format, match, gsub = string.format, string.match, string.gsub
local concat, getinfo = table.concat, debug.getinfo

-- What this VM's policy is attached to, and what its file has declared.
local board, leaves, self, given, declared

--- Called by C before the policy's file is loaded.
function M.attach(board_at, leaves_at, self_at, given_params)
  board = abi.at("neap_prefetch_board", board_at)
  leaves = abi.at("neap_prefetch_leaves", leaves_at)
  self = abi.at("void", self_at) -- a light userdata as an argument of a leaf would stop the compiler
  given = given_params
end

-- --- what a policy is given ---

local function memory(pointer, what)
  if pointer == nil then error(what .. ": no memory, or more than a policy may have", 3) end
  return pointer
end

---@class neap.Associations which key follows which; up to four successors of each, the most frequent at rank 0
---@field learn fun(self, hash: number, stream: number?) this key came now, after the others of its stream
---@field next fun(self, hash: number, rank: integer?): number? a successor
---@field share fun(self, hash: number, rank: integer?): number how often it followed, 0 to 1
---@field count fun(self, hash: number, rank: integer?): integer how many times lately

local ASSOCIATIONS = [[
local assoc, learn, following, share, count = ...
return {
  learn = function(_, hash, stream) learn(assoc, hash, stream or 0) end,
  next = function(_, hash, rank)
    local hash_next = following(assoc, hash, rank or 0)
    if hash_next ~= 0 then return hash_next end
  end,
  share = function(_, hash, rank) return (share(assoc, hash, rank or 0)) end,
  count = function(_, hash, rank) return (count(assoc, hash, rank or 0)) end,
}]]

local function new_associations(_, rows, window)
  local assoc = memory(leaves.assoc(self, rows, window or 1), "associations")
  return columns.class(columns.make(ASSOCIATIONS, "associations", assoc, leaves.assoc_learn, leaves.assoc_next,
                                    leaves.assoc_share, leaves.assoc_count), "associations")
end

---@class neap.Runs numbers at one distance, several runs at a time
---@field observe fun(self, space: number, number: number): integer? the run that it goes on with
---@field length fun(self, run: integer): integer steps taken
---@field stride fun(self, run: integer): number its distance
---@field ahead fun(self, run: integer): number what was set, else the newest number
---@field set_ahead fun(self, run: integer, number: number) how far it has been wished for

local RUNS = [[
local runs, observe, length, stride, ahead, set_ahead = ...
return {
  observe = function(_, space, number)
    local run = observe(runs, space, number)
    if run >= 0 then return run end
  end,
  length = function(_, run) return (length(runs, run)) end,
  stride = function(_, run) return (stride(runs, run)) end,
  ahead = function(_, run) return (ahead(runs, run)) end,
  set_ahead = function(_, run, number) set_ahead(runs, run, number) end,
}]]

local function new_runs(_, count, reach)
  local runs = memory(leaves.runs(self, count, reach), "runs")
  return columns.class(columns.make(RUNS, "runs", runs, leaves.runs_observe, leaves.runs_length, leaves.runs_stride,
                                    leaves.runs_ahead, leaves.runs_set_ahead), "runs")
end

-- More wishes than there is room for are let go: the first are the most urgent.
local WISH = [[
local board, type = ...
local wishes = board.wishes
return function(_, hash)
  if type(hash) ~= "number" then error("a wish is a hash, not a " .. type(hash), 2) end
  local at = board.wish_count
  if at >= 256 then return false end
  local wish = wishes[at]
  wish.hash, wish.number, wish.by_number = hash, 0, 0
  board.wish_count = at + 1
  return true
end, function(_, like, number)
  if type(like) ~= "number" or type(number) ~= "number" then
    error("a wish by number is a hash and a number", 2)
  end
  local at = board.wish_count
  if at >= 256 then return false end
  local wish = wishes[at]
  wish.hash, wish.number, wish.by_number = like, number, 1
  board.wish_count = at + 1
  return true
end]]

-- --- declaring ---

local HOOKS = { want = true, used = true, late = true, wasted = true, hint = true }
local SPEC = { name = true, version = true, params = true }
local OWN = { param = true }

---@class neap.PrefetchPolicy
---@field param table<string, number|string> the parameters, checked
---@field want? fun(hash: number, space: number, number: number, size: integer, stream: number) a key was asked for that
--- was not there, or only because it was prefetched
---@field used? fun(hash: number) a wish came true
---@field late? fun(hash: number) it was asked for before it was there
---@field wasted? fun(hash: number) nobody asked for it in time
---@field hint? fun(hash: number, like: number, size: integer) whoever made `like` says that `hash` will be wanted
---@field wish fun(self, hash: number): boolean to have what has that hash; false: there is no room for more wishes
---@field wish_number fun(self, like: number, number: number): boolean what is called as `like` is, but for its number
---@field associations fun(self, rows: integer, window: integer?): neap.Associations
---@field runs fun(self, count: integer, reach: number): neap.Runs
---@field room fun(self): integer about so many wishes can be fetched now
---@field now_ms fun(self): number engine time of this batch
---@field random fun(self, bound: integer): integer 0..bound-1, repeatable by the seed
---@field stat fun(self, name: string, value: number) a figure for metrics

local methods = { associations = new_associations, runs = new_runs }

function methods.now_ms() return board.now_ms end

function methods.room() return board.room end

function methods.random(_, bound) return (leaves.random(self, bound)) end

function methods.stat(_, name, value) leaves.stat(self, name, value) end

local function check_spec(spec, problem)
  for key in pairs(spec) do
    if not SPEC[key] then problem("policy.prefetch: " .. params.unknown("field", key, SPEC)) end
  end
  if type(spec.name) ~= "string" or not match(spec.name, "^[%a][%w_]*$") or #spec.name > 40 then
    problem("policy.prefetch: name must be a word")
  end
  if spec.version ~= nil and type(spec.version) ~= "number" then
    problem("policy.prefetch: version must be a number")
  end
  if spec.params ~= nil and type(spec.params) ~= "table" then problem("policy.prefetch: params must be a table") end
end

---@class neap.PrefetchSpec
---@field name string
---@field version? integer learned state goes over to a policy of the same name, version and tables
---@field params? table<string, neap.ParamSpec>

--- Declares the prefetch policy of this file.
---@param spec neap.PrefetchSpec
---@return neap.PrefetchPolicy
function M.declare(spec)
  if not board then error("policy.prefetch is for the files of prefetch policies", 2) end
  if declared then error("policy.prefetch: a file declares one policy", 2) end
  if type(spec) ~= "table" then error("policy.prefetch takes a table", 2) end
  local problem, finish = params.problems()
  check_spec(spec, problem)
  local values, mistaken = params.read(type(spec.params) == "table" and spec.params or {}, given, spec.name, problem)
  finish()
  declared = { name = spec.name, version = spec.version or 1, problem = mistaken }
  methods.wish, methods.wish_number = columns.make(WISH, "wish", board, type)
  local policy = setmetatable({}, { __index = methods, __metatable = false })
  declared.policy = policy
  policy.param = values
  return policy
end

-- --- the loop ---

-- One flat loop over the batch, with a branch for each function that the policy has.
local TURN = [[
local board, want, used, late, wasted, hint = ...
local events = board.events
return function()
  for i = 0, board.event_count - 1 do
    local event = events[i]
    local kind = event.kind
    board.calls = i + 1
    if kind == 0 then
      WANT
    elseif kind == 1 then
      USED
    elseif kind == 2 then
      LATE
    elseif kind == 3 then
      WASTED
    elseif kind == 4 then
      HINT
    end
  end
end]]

local CALLS = {
  WANT = { "want", "want(event.hash, event.space, event.number, event.size, event.stream)" },
  USED = { "used", "used(event.hash)" },
  LATE = { "late", "late(event.hash)" },
  WASTED = { "wasted", "wasted(event.hash)" },
  HINT = { "hint", "hint(event.hash, event.like, event.size)" },
}

local function turn_loop(policy)
  local text = gsub(TURN, "%u%u%u%u+", function(mark)
    local call = CALLS[mark]
    return call and (policy[call[1]] and call[2] or "")
  end)
  return columns.make(text, "turn", board, policy.want, policy.used, policy.late, policy.wasted, policy.hint)
end

-- Where a function that should not be there was written.
local function place_of(value)
  if type(value) ~= "function" then return core.place() end
  local info = getinfo(value, "S")
  return format("%s:%d: ", (gsub(info.source, "^@", "")), info.linedefined)
end

-- All that is wrong with the functions, in one text.
local function check_hooks(policy)
  local problems = {}
  for key, value in pairs(policy) do
    if not OWN[key] and not HOOKS[key] then
      problems[#problems + 1] = place_of(value) .. params.unknown("function", tostring(key), HOOKS)
    elseif HOOKS[key] and type(value) ~= "function" then
      problems[#problems + 1] = core.place() .. format("%s must be a function, not a %s", key, type(value))
    end
  end
  if not policy.want and not policy.hint then
    problems[#problems + 1] = core.place() .. "the function want (or hint) is missing"
  end
  if problems[1] then error(concat(problems, "; "), 0) end
end

--- Called by C with what the file returned.
---@return function turn, string name, number version, string? problem of the parameters
function M.finish(policy)
  if not declared or policy ~= declared.policy then
    error("the file must return what policy.prefetch gave it", 0)
  end
  check_hooks(policy)
  return turn_loop(policy), declared.name, declared.version, declared.problem
end

return M
