--- A prefetch policy in plain LuaJIT, for the specs: the same runtime as in the engine (lua/neap/prefetch.lua), with
-- leaves of plain tables instead of C. Keys are words; those that end in a number have it as their number.
local ffi = require "ffi"

local M = {}

-- The struct definitions may be there already: busted forgets modules between files, LuaJIT does not forget structs.
local function define_structs()
  if pcall(ffi.typeof, "neap_link") then return end
  local file = assert(io.open("core/policy/abi.h"))
  package.loaded["neap.core"] = { header = file:read "*a", sizes = {} }
  file:close()
  dofile "lua/neap/abi.lua"
end

-- busted makes ffi give one type for one text, so that modules can be loaded twice. The runtime needs a new type for
-- each class, as LuaJIT has it.
local function restore_ffi()
  for _, name in ipairs { "cdef", "typeof", "metatype" } do
    for i = 1, 8 do
      local upvalue, value = debug.getupvalue(ffi[name], i)
      if upvalue == "original" then ffi[name] = value break end
    end
  end
end

local function runtime()
  restore_ffi()
  define_structs()
  package.loaded["neap.core"] = { nearest = function() return nil end, place = function() return "" end }
  package.loaded["neap.abi"] = { at = function(_, what) return what end }
  for _, name in ipairs { "neap.prefetch", "neap.columns", "neap.params" } do package.loaded[name] = nil end
  return require "neap.prefetch"
end

-- --- leaves ---

local function ranked(assoc, hash, rank)
  local list = {}
  for successor, count in pairs(assoc.follows[hash] or {}) do list[#list + 1] = { successor, count } end
  table.sort(list, function(a, b) return a[2] > b[2] or (a[2] == b[2] and a[1] < b[1]) end)
  return list[rank + 1] or { 0, 0 }
end

local function assoc_learn(assoc, hash, stream)
  local last = assoc.last[stream]
  assoc.seen[hash] = (assoc.seen[hash] or 0) + 1
  assoc.last[stream] = hash
  if not last then return end
  assoc.follows[last] = assoc.follows[last] or {}
  assoc.follows[last][hash] = (assoc.follows[last][hash] or 0) + 1
end

local function runs_observe(runs, space, number)
  for i, run in ipairs(runs) do
    if run.space == space and run.stride and number == run.last + run.stride then
      run.last, run.length = number, run.length + 1
      return i
    end
  end
  for i, run in ipairs(runs) do
    if run.space == space and run.length < 3 and math.abs(number - run.last) <= runs.reach then
      runs[i] = { space = space, last = number, stride = number - run.last, length = 1, ahead = number }
      return i
    end
  end
  table.insert(runs, { space = space, last = number, length = 0, ahead = number })
  return -1
end

local leaves = {
  assoc = function() return { follows = {}, seen = {}, last = {} } end,
  assoc_learn = assoc_learn,
  assoc_next = function(assoc, hash, rank) return ranked(assoc, hash, rank)[1] end,
  assoc_share = function(assoc, hash, rank) return ranked(assoc, hash, rank)[2] / (assoc.seen[hash] or 1) end,
  assoc_count = function(assoc, hash, rank) return ranked(assoc, hash, rank)[2] end,
  runs = function(_, _, reach) return { reach = reach } end,
  runs_observe = runs_observe,
  runs_length = function(runs, run) return runs[run].length end,
  runs_stride = function(runs, run) return runs[run].stride end,
  runs_ahead = function(runs, at)
    local run = runs[at]
    local behind = (run.ahead - run.last) * run.stride < 0
    return behind and run.last or run.ahead
  end,
  runs_set_ahead = function(runs, run, number) runs[run].ahead = number end,
  random = function() return 0 end, stat = function() end,
}

-- --- the world ---

local World = {}
World.__index = World

local KIND = { want = 0, used = 1, late = 2, wasted = 3, hint = 4 }

function World:hash(key)
  if not self.hashes[key] then
    self.count = self.count + 1
    self.hashes[key], self.keys[self.count] = self.count, key
  end
  return self.hashes[key]
end

--- Tells of keys, one batch for all, and returns what is wished for, as one text.
---@param kind "want"|"used"|"late"|"wasted"|"hint"
---@param options? { like?: string, stream?: integer }
function World:tell(kind, keys, options)
  local board, wishes = self.board, {}
  board.event_count, board.wish_count = 0, 0
  for key in keys:gmatch "%S+" do
    local number = key:match "(%d+)$"
    board.events[board.event_count] = {
      kind = KIND[kind], size = 1, hash = self:hash(key), space = number and self:hash(key:sub(1, -#number - 1)) or 0,
      number = tonumber(number) or 0, stream = options and options.stream or 0,
      like = options and options.like and self:hash(options.like) or 0,
    }
    board.event_count = board.event_count + 1
  end
  self.turn()
  for i = 0, board.wish_count - 1 do
    local wish = board.wishes[i]
    local key = self.keys[wish.hash]
    wishes[#wishes + 1] = wish.by_number == 1 and key:gsub("%d+$", tostring(wish.number)) or key
  end
  return table.concat(wishes, " ")
end

--- policies/prefetch/<name>.lua, with parameters.
function M.new(name, params)
  local prefetch = runtime()
  local board = { now_ms = 0, room = 256, events = {}, wishes = {}, wish_count = 0, event_count = 0 }
  for i = 0, 255 do board.wishes[i] = {} end
  local world = setmetatable({ board = board, hashes = {}, keys = {}, count = 0 }, World)
  prefetch.attach(board, leaves, {}, params or {})
  package.loaded["neap.policy"] = { prefetch = prefetch.declare }
  local policy = dofile("policies/prefetch/" .. name .. ".lua")
  world.turn, world.name, world.version, world.problem = prefetch.finish(policy)
  package.loaded["neap.policy"] = nil
  return world
end

return M
