--- The runtime of evict policies: what `policy.evict` gives to a policy file, and the loops that the engine calls.
-- core/script/evict.c hands over board and leaves with `attach`, loads the file, and takes the loops from `finish`.
local abi = require "neap.abi"
local core = require "neap.core"
local columns = require "neap.columns"
local lists = require "neap.lists"
local params = require "neap.params"

local ffi = require "ffi"

local M = {}

local error, type, pairs, setmetatable = error, type, pairs, setmetatable
local format, match, gsub = string.format, string.match, string.gsub
local concat, getinfo = table.concat, debug.getinfo

-- What this VM's policy is attached to, and what its file has declared.
local board, leaves, self, given, declared

--- Called by C before the policy's file is loaded.
function M.attach(board_at, leaves_at, self_at, given_params)
  board = abi.at("neap_evict_board", board_at)
  leaves = abi.at("neap_evict_leaves", leaves_at)
  self = abi.at("void", self_at) -- a light userdata as an argument of a leaf would stop the compiler
  given = given_params
end

-- --- what a policy is given ---

---@class neap.Cache the cache as its policy sees it; slots that are no live entries have facts 0
---@field limit fun(self): number what may be held: bytes, or objects in a cache that counts them
---@field used fun(self): number what is held
---@field now_ms fun(self): number engine time of the newest event
---@field candidate_size fun(self): integer of the object that room is made for; 0: none
---@field candidate_hash fun(self): number
---@field admit_max fun(self, size: number) refuses larger objects unasked; 0: no bound, -1: refuses all
---@field size fun(self, slot: integer): number bytes charged, or 1
---@field cost fun(self, slot: integer): number
---@field created_ms fun(self, slot: integer): number
---@field expires_ms fun(self, slot: integer): number 2^53 for never
---@field last_access_ms fun(self, slot: integer): number
---@field access_count fun(self, slot: integer): number
---@field version fun(self, slot: integer): number
---@field hash fun(self, slot: integer): number 53 bits
---@field key fun(self, slot: integer): string its first 256 bytes

local KEY_MAX = 256

local function cache_object()
  local methods = {
    limit = function() return board.limit end,
    used = function() return board.used end,
    now_ms = function() return board.now_ms end,
    candidate_size = function() return board.candidate_size end,
    candidate_hash = function() return board.candidate_hash end,
    admit_max = function(_, size) board.admit_max = size < 0 and -1 or size < 2147483647 and size or 2147483647 end,
  }
  for _, fact in ipairs { "size", "cost", "created_ms", "expires_ms", "last_access_ms", "access_count", "version",
                          "hash" } do
    methods[fact] = columns.make("local leaf, self = ... return function(_, slot) return leaf(self, slot) end", fact,
                                 leaves[fact], self)
  end
  local buffer, key = ffi.new("char[?]", KEY_MAX), leaves.key
  function methods.key(_, slot) return ffi.string(buffer, key(self, slot, buffer, KEY_MAX)) end
  return columns.class(methods, "cache")
end

local function memory(pointer, what)
  if pointer == nil then error(what .. ": no memory, or more than a policy may have", 4) end
  return pointer
end

---@class neap.Ghost hashes of what has gone, up to a sum of sizes, oldest forgotten first
---@field add fun(self, hash: number, size: number)
---@field take fun(self, hash: number): number? its size, now out
---@field has fun(self, hash: number): boolean
---@field resize fun(self, limit: number)
---@field count fun(self): integer

local GHOST = [[
local ghost, add, take, has, resize, count = ...
return {
  add = function(_, hash, size) add(ghost, hash, size) end,
  take = function(_, hash)
    local size = take(ghost, hash)
    if size >= 0 then return size end
  end,
  has = function(_, hash) return (has(ghost, hash)) end,
  resize = function(_, limit) resize(ghost, limit) end,
  count = function() return (count(ghost)) end,
}]]

local function new_ghost(_, limit)
  local ghost = memory(leaves.ghost(self, limit), "ghost")
  return columns.class(columns.make(GHOST, "ghost", ghost, leaves.ghost_add, leaves.ghost_take, leaves.ghost_has,
                                    leaves.ghost_resize, leaves.ghost_count), "ghost")
end

---@class neap.Heap slots by (key, order), least first
---@field put fun(self, slot: integer, key: number, order: number?) puts it in, or moves it
---@field remove fun(self, slot: integer)
---@field min fun(self): integer?
---@field key fun(self, slot: integer): number? where it is in
---@field count fun(self): integer

local HEAP = [[
local heap, put, remove, min, key, has, count = ...
return {
  put = function(_, slot, k, order) put(heap, slot, k, order or 0) end,
  remove = function(_, slot) remove(heap, slot) end,
  min = function()
    local slot = min(heap)
    if slot ~= 0 then return slot end
  end,
  key = function(_, slot)
    if has(heap, slot) then return (key(heap, slot)) end
  end,
  count = function() return (count(heap)) end,
}]]

local function new_heap()
  local heap = memory(leaves.heap(self), "heap")
  return columns.class(columns.make(HEAP, "heap", heap, leaves.heap_put, leaves.heap_remove, leaves.heap_min,
                                    leaves.heap_key, leaves.heap_has, leaves.heap_count), "heap")
end

---@class neap.Sketch how often hashes were added, 0 to 15, roughly, with forgetting
---@field add fun(self, hash: number)
---@field estimate fun(self, hash: number): integer

local SKETCH = [[
local sketch, add, estimate = ...
return {
  add = function(_, hash) add(sketch, hash) end,
  estimate = function(_, hash) return (estimate(sketch, hash)) end,
}]]

local function new_sketch(_, width)
  local sketch = memory(leaves.sketch(self, width), "sketch")
  return columns.class(columns.make(SKETCH, "sketch", sketch, leaves.sketch_add, leaves.sketch_estimate), "sketch")
end

-- --- declaring ---

local HOOKS = { hit = true, insert = true, update = true, remove = true, miss = true, tick = true, ask = true,
                admit = true, step = true }
local SPEC = { name = true, version = true, params = true, slot = true, state = true }

local function check_spec(spec, problem)
  for key in pairs(spec) do
    if not SPEC[key] then problem("policy.evict: " .. params.unknown("field", key, SPEC)) end
  end
  if type(spec.name) ~= "string" or not match(spec.name, "^[%a][%w_]*$") or #spec.name > 40 then
    problem("policy.evict: name must be a word")
  end
  if spec.version ~= nil and type(spec.version) ~= "number" then
    problem("policy.evict: version must be a number")
  end
  for _, key in ipairs { "params", "slot", "state" } do
    if spec[key] ~= nil and type(spec[key]) ~= "table" then problem("policy.evict: " .. key .. " must be a table") end
  end
end

-- A table of the declaration; empty where there is none.
local function part(spec, key) return type(spec[key]) == "table" and spec[key] or {} end

local function slot_views(fields, names)
  local views = {}
  for _, name in ipairs(names) do
    local ctype = fields[name]
    local base = memory(leaves.column(self, name .. ":" .. ctype, columns.width(ctype)), "slot." .. name)
    views[name] = columns.view(columns.pointer(ctype, base), board.slot_end, name)
  end
  return views
end

local function state_struct(fields, names)
  if #names == 0 then return nil end
  local declaration = columns.struct(fields, names)
  return columns.reference(declaration, memory(leaves.state(self, declaration, columns.sizeof(declaration)), "state"))
end

---@class neap.EvictPolicy
---@field slot table<string, table> a view for each declared column: `view[s]`
---@field state table the declared scalars
---@field param table<string, number|string> the parameters, checked
---@field cache neap.Cache
---@field hit? fun(s: integer) an entry was found
---@field insert fun(s: integer, size: integer, hash: number) a new entry, or a victim given back
---@field update? fun(s: integer, size: integer, hash: number) an entry has a new value
---@field remove? fun(s: integer) an entry has gone, other than as a victim
---@field miss? fun(size: integer, hash: number) an object is about to ask for room
---@field tick? fun(now_ms: number) about once a second
---@field ask? fun() once per question, before its steps
---@field step fun(): integer|false|nil a victim; nil: ask again; false: there is none
---@field admit? fun(size: integer, hash: number): boolean false refuses the candidate
---@field list fun(self): neap.List
---@field ghost fun(self, limit: number): neap.Ghost
---@field heap fun(self): neap.Heap
---@field sketch fun(self, width: integer): neap.Sketch
---@field random fun(self, bound: integer): integer 0..bound-1, repeatable by the seed
---@field stat fun(self, name: string, value: number) a figure for metrics

local methods = { ghost = new_ghost, heap = new_heap, sketch = new_sketch }

function methods.random(_, bound) return (leaves.random(self, bound)) end

function methods.stat(_, name, value) leaves.stat(self, name, value) end

function methods.list()
  if not declared.lists then
    local base = memory(leaves.column(self, "links", ffi.sizeof("neap_link")), "list")
    declared.lists = lists.new(ffi.cast("neap_link *", base), board.slot_end)
  end
  return declared.lists.list()
end

---@class neap.EvictSpec
---@field name string
---@field version? integer learned state goes over to a policy of the same name, version and columns
---@field params? table<string, neap.ParamSpec>
---@field slot? table<string, string> columns: int8, uint8, int16, uint16, int32, double; 0 at first
---@field state? table<string, string> scalars that outlive a reload; 0 at first

--- Declares the evict policy of this file.
---@param spec neap.EvictSpec
---@return neap.EvictPolicy
function M.declare(spec)
  if not board then error("policy.evict is for the files of evict policies", 2) end
  if declared then error("policy.evict: a file declares one policy", 2) end
  if type(spec) ~= "table" then error("policy.evict takes a table", 2) end
  local problem, finish = params.problems()
  check_spec(spec, problem)
  local values, mistaken = params.read(part(spec, "params"), given, spec.name, problem)
  local slot, state = part(spec, "slot"), part(spec, "state")
  local slot_names, state_names = columns.names(slot, "slot", problem), columns.names(state, "state", problem)
  finish()
  declared = { name = spec.name, version = spec.version or 1, problem = mistaken }
  local policy = setmetatable({}, { __index = methods, __metatable = false })
  declared.policy = policy
  policy.param, policy.cache = values, cache_object()
  policy.slot, policy.state = slot_views(slot, slot_names), state_struct(state, state_names)
  return policy
end

-- --- the loops ---

-- One loop over the batch, and in it one over a run of hits, which are most of what comes: so a run is a trace of its
-- own, whatever kind of event the compiler met first, and costs 20 instructions a hit where it cost 50. A hit's `what`
-- is its slot. `calls` counts events here, so that after a fault the engine goes on behind the event that caused it.
local OBSERVE = [[
local board, hit, insert, update, remove, miss, tick, links, band, rshift = ...
local events = board.events
return function()
  local last = board.event_count - 1
  while board.calls <= last do
    for i = board.calls, last do
      local what = events[i].what
      if what >= 0x10000000 then break end
      board.calls = i + 1
      HIT
    end
    local at = board.calls
    if at > last then return end
    local event = events[at]
    local what = event.what
    board.calls = at + 1
    local kind, slot = rshift(what, 28), band(what, 0x0fffffff)
    if kind == 1 then
      INSERT
    elseif kind == 4 then
      MISS
    elseif kind == 3 then
      REMOVE
    elseif kind == 2 then
      UPDATE
    else
      TICK
    end
  end
end]]

local CALLS = {
  HIT = { "hit", "hit(what)" },
  INSERT = { "insert", "insert(slot, event.size, event.hash)" },
  UPDATE = { "update", "update(slot, event.size, event.hash)" },
  REMOVE = { "remove", "remove(slot)" },
  MISS = { "miss", "miss(event.size, event.hash)" },
  TICK = { "tick", "tick(board.now_ms)" },
}

-- With lists the runtime knows which slots the policy holds, and keeps the rest from it.
local function call_text(mark, policy, has_lists)
  local name, text = CALLS[mark][1], CALLS[mark][2]
  if not policy[name] then text = "" end
  if not has_lists or mark == "HIT" or mark == "MISS" or mark == "TICK" then return text end
  if mark == "INSERT" then
    return policy.remove and "if links[slot].next ~= 0 then remove(slot) end " .. text or text
  end
  return text == "" and "" or "if links[slot].next ~= 0 then " .. text .. " end"
end

-- One flat loop for all victims; a policy that sweeps is simply asked again. `victim_count` is right at every moment,
-- so that what was found before a fault counts.
local DECIDE = [[
local board, step, ask, admit, links, unlink, type, bad_answer = ...
local victims = board.victims
return function()
  CANDIDATE
  BEGIN
  local got, want, steps = 0, board.want, board.steps
  local slot_end = board.slot_end
  for call = 1, steps do
    local slot = step()
    if slot then
      if type(slot) ~= "number" then bad_answer(slot) end
      UNLINK
      victims[got] = slot
      got = got + 1
      board.victim_count = got
      if got >= want then
        board.calls = call
        return
      end
    elseif slot == false then
      board.calls = call
      return
    end
  end
  board.calls = steps
end]]

local CANDIDATE = [[if board.candidate_size > 0 and admit(board.candidate_size, board.candidate_hash) == false then
    board.refused = 1
    return
  end]]

local UNLINK = [[if slot >= 16 and slot < slot_end then
        local link = links[slot]
        if link.next ~= 0 then
          unlink(slot, link)
          link.prev = 0
          link.next = 0
        end
      end]]

local function bad_answer(value) error(core.place() .. "step gave a " .. type(value) .. " and not a slot", 0) end

local function observe_loop(policy, set)
  local links = set and set.links
  local text = gsub(OBSERVE, "%u%u%u+", function(mark)
    return CALLS[mark] and call_text(mark, policy, set ~= nil)
  end)
  return columns.make(text, "observe", board, policy.hit, policy.insert, policy.update, policy.remove, policy.miss,
                      policy.tick, links, bit.band, bit.rshift)
end

local function decide_loop(policy, set)
  local text = gsub(DECIDE, "%u%u%u%u+",
                           { CANDIDATE = policy.admit and CANDIDATE or "",
                             BEGIN = policy.ask and "ask()" or "", UNLINK = set and UNLINK or "" })
  return columns.make(text, "decide", board, policy.step, policy.ask, policy.admit, set and set.links,
                      set and set.unlink, type, bad_answer)
end

local OWN = { slot = true, state = true, param = true, cache = true }

-- Where a function that should not be there was written.
local function place_of(value)
  if type(value) ~= "function" then return core.place() end
  local info = getinfo(value, "S")
  return format("%s:%d: ", (gsub(info.source, "^@", "")), info.linedefined)
end

-- All that is wrong with the functions, in one text.
local function check_hooks(policy)
  local problems = {}
  local function problem(place, text) problems[#problems + 1] = place .. text end
  for key, value in pairs(policy) do
    if not OWN[key] and not HOOKS[key] then
      problem(place_of(value), params.unknown("function", key, HOOKS))
    elseif HOOKS[key] and type(value) ~= "function" then
      problem(core.place(), format("%s must be a function, not a %s", key, type(value)))
    end
  end
  for _, key in ipairs { "insert", "step" } do
    if not policy[key] then problem(core.place(), format("the function %s is missing", key)) end
  end
  if problems[1] then error(concat(problems, "; "), 0) end
end

--- Called by C with what the file returned.
---@return function observe, function decide, string name, number version, string? problem of the parameters
function M.finish(policy)
  if not declared or policy ~= declared.policy then
    error("the file must return what policy.evict gave it", 0)
  end
  check_hooks(policy)
  local set = declared.lists
  if set then set.finish() end
  return observe_loop(policy, set), decide_loop(policy, set), declared.name, declared.version, declared.problem
end

return M
