--- A cache of a few entries, in plain LuaJIT, for the specs of evict policies: the same runtime as in the engine
-- (lua/neap/evict.lua), with leaves of plain tables instead of C.
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
-- each view, as LuaJIT has it.
local function restore_ffi()
  for _, name in ipairs { "cdef", "typeof", "metatype" } do
    for i = 1, 8 do
      local upvalue, value = debug.getupvalue(ffi[name], i)
      if upvalue == "original" then ffi[name] = value break end
    end
  end
end

local function nearest() return nil end

local function runtime()
  restore_ffi()
  define_structs()
  package.loaded["neap.core"] = { nearest = nearest, place = function() return "" end }
  package.loaded["neap.abi"] = { at = function(_, what) return what end }
  for _, name in ipairs { "neap.evict", "neap.columns", "neap.lists", "neap.params" } do package.loaded[name] = nil end
  return require "neap.evict"
end

-- --- leaves ---

local function new_ghost(_, limit) return { limit = limit, held = 0, hashes = {}, sizes = {} } end

local function ghost_take(ghost, hash)
  local size = ghost.sizes[hash]
  if not size then return -1 end
  ghost.sizes[hash], ghost.held = nil, ghost.held - size
  for i, known in ipairs(ghost.hashes) do
    if known == hash then table.remove(ghost.hashes, i) break end
  end
  return size
end

local function ghost_fit(ghost, limit)
  while ghost.held > limit do ghost_take(ghost, ghost.hashes[1]) end
end

local function ghost_add(ghost, hash, size)
  if size > ghost.limit then return end
  ghost_take(ghost, hash)
  ghost_fit(ghost, ghost.limit - size)
  table.insert(ghost.hashes, hash)
  ghost.sizes[hash], ghost.held = size, ghost.held + size
end

local function heap_min(heap)
  local least
  for slot, node in pairs(heap) do
    local other = heap[least]
    if not least or node[1] < other[1] or (node[1] == other[1] and node[2] < other[2]) then least = slot end
  end
  return least or 0
end

local function leaves(cache)
  local function fact(name) return function(_, slot) return cache.at[slot] and cache.at[slot][name] or 0 end end
  -- The runtime keeps bare pointers, as it does to the engine's memory, so somebody must keep the memory.
  local function bytes(_, _, width)
    local block = ffi.new("char[?]", width * cache.board.slot_end)
    table.insert(cache.memory, block)
    return block
  end
  return {
    column = bytes, state = bytes,
    ghost = new_ghost, ghost_add = ghost_add, ghost_take = ghost_take,
    ghost_has = function(ghost, hash) return ghost.sizes[hash] ~= nil end,
    ghost_resize = function(ghost, limit) ghost.limit = limit ghost_fit(ghost, limit) end,
    ghost_count = function(ghost) return #ghost.hashes end,
    heap = function() return {} end,
    heap_put = function(heap, slot, key, order) heap[slot] = { key, order } end,
    heap_remove = function(heap, slot) heap[slot] = nil end,
    heap_min = heap_min,
    heap_key = function(heap, slot) return heap[slot] and heap[slot][1] or 0 end,
    heap_has = function(heap, slot) return heap[slot] ~= nil end,
    hash = fact "hash", size = fact "size", expires_ms = fact "expires_ms",
    cost = fact "cost", created_ms = fact "created_ms", last_access_ms = fact "last_access_ms",
    access_count = fact "access_count", version = fact "version",
    key = function() return 0 end, random = function() return 0 end, stat = function() end,
  }
end

-- --- the cache ---

local Cache = {}
Cache.__index = Cache

local KIND = { hit = 0, insert = 1, update = 2, remove = 3, miss = 4, tick = 5 }

function Cache:tell(kind, slot, size, hash)
  self.board.events[0] = { what = KIND[kind] * 2 ^ 28 + (slot or 0), size = size or 0, hash = hash or 0 }
  self.board.event_count, self.board.calls = 1, 0
  self.observe()
end

--- Asks for victims and lets them go; returns their keys, oldest answer first.
function Cache:evict(want)
  local board = self.board
  board.want, board.steps, board.victim_count, board.calls, board.refused = want, 10000, 0, 0, 0
  self.decide()
  local keys = {}
  for i = 0, board.victim_count - 1 do
    local slot = board.victims[i]
    local entry = assert(self.at[slot], "a victim that is not live")
    keys[#keys + 1] = entry.key
    self.at[slot], self.slots[entry.key], self.held = nil, nil, self.held - entry.size
    table.insert(self.free, slot)
  end
  return keys
end

--- Puts keys, one after another, evicting as needed. Returns the keys evicted, as one text.
function Cache:put(keys, options)
  local gone = {}
  for key in keys:gmatch "%S+" do
    local size, hash = options and options.size or 1, self.hashes[key] or self.next_hash
    if not self.hashes[key] then self.hashes[key], self.next_hash = hash, hash + 1 end
    self:tell("miss", 0, size, hash)
    while self.held + size > self.board.limit do
      for _, victim in ipairs(self:evict(1)) do gone[#gone + 1] = victim end
    end
    local slot = table.remove(self.free)
    self.at[slot] = { key = key, size = size, hash = hash, expires_ms = options and options.expires_ms or 2 ^ 53 }
    self.slots[key], self.held = slot, self.held + size
    self:tell("insert", slot, size, hash)
  end
  return table.concat(gone, " ")
end

--- Looks keys up; true if all are there.
function Cache:get(keys)
  local all = true
  for key in keys:gmatch "%S+" do
    local slot = self.slots[key]
    if slot then self:tell("hit", slot) else all = false end
  end
  return all
end

function Cache:remove(key)
  local slot = self.slots[key]
  self.held = self.held - self.at[slot].size
  self.at[slot], self.slots[key] = nil, nil
  self:tell("remove", slot)
  table.insert(self.free, slot)
end

--- Gives a key another time to expire; counts as a use.
function Cache:touch(key, expires_ms)
  self.at[self.slots[key]].expires_ms = expires_ms
  self:tell("hit", self.slots[key])
end

--- A new value of another size.
function Cache:update(key, size)
  local entry = self.at[self.slots[key]]
  self.held, entry.size = self.held + size - entry.size, size
  self:tell("update", self.slots[key], size, entry.hash)
end

--- Evicts everything; the keys in the order of their going, as one text.
function Cache:drain()
  local all = {}
  repeat
    local keys = self:evict(1)
    all[#all + 1] = keys[1]
  until #keys == 0
  return table.concat(all, " ")
end

--- A cache under policies/evict/<name>.lua that holds `limit` objects or bytes.
function M.new(name, limit, params)
  local evict = runtime()
  local slot_end = 16 + 2 * limit
  local board = { slot_end = slot_end, limit = limit, used = 0, now_ms = 0, candidate_size = 0, candidate_hash = 0,
                  events = {}, victims = {} }
  local cache = setmetatable({ board = board, at = {}, slots = {}, hashes = {}, next_hash = 1, held = 0, free = {},
                               memory = {} }, Cache)
  for slot = 16, slot_end - 1 do table.insert(cache.free, slot) end
  evict.attach(board, leaves(cache), {}, params or {})
  package.loaded["neap.policy"] = { evict = evict.declare }
  local policy = dofile("policies/evict/" .. name .. ".lua")
  local problem
  cache.observe, cache.decide, cache.name, cache.version, problem = evict.finish(policy)
  cache.problem = problem
  package.loaded["neap.policy"] = nil
  collectgarbage() -- what nobody holds must go now and not some day: a dangling column fails every run
  return cache
end

return M
