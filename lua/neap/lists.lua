--- Linked lists over slots. The links are private to this module and always whole, so that following them needs no
-- check; only slots that a policy names are checked. All lists of a policy share one column of links, since an entry
-- is in at most one; row k is the head of list k, and rows from 15 down hold cursors, so that a reload finds all of
-- it in the column.
local columns = require "neap.columns"

local M = {}

local error, type, tostring, format, gsub = error, type, tostring, string.format, string.gsub
local concat = table.concat

local HEADS_MAX, CURSOR_TOP = 8, 15

-- Level 3 is the policy's line.
local function refuse(slot) error(format("%s is not a slot", tostring(slot)), 3) end

---@class neap.List
---@field push fun(self: neap.List, slot: integer) puts it in front, from wherever it was
---@field push_back fun(self: neap.List, slot: integer) puts it at the back, from wherever it was
---@field touch fun(self: neap.List, slot: integer) moves it to the front, if it is in a list of this policy
---@field remove fun(self: neap.List, slot: integer) takes it out, if it is in a list of this policy
---@field front fun(self: neap.List): integer? the slot in front
---@field back fun(self: neap.List): integer? the slot at the back
---@field ahead fun(self: neap.List, slot: integer): integer? its neighbour towards the front
---@field behind fun(self: neap.List, slot: integer): integer? its neighbour towards the back
---@field has fun(self: neap.List, slot: integer): boolean it is in a list of this policy
---@field cursor fun(self: neap.List): neap.Cursor

---@class neap.Cursor
---@field next fun(self: neap.Cursor): integer? the slot it stands at; then goes on towards the front, and round

local UNLINK = [[
local links, cursors = ...
return function(slot, link)
  local prev, next = link.prev, link.next
  %s
  links[prev].next = next
  links[next].prev = prev
end]]

-- A cursor stands at a slot, or at 0: it starts from the back.
local UNLINK_CURSOR = "if links[CURSOR].prev == slot then links[CURSOR].prev = prev ~= HEAD and prev or 0 end\n"

local METHODS = [[
local links, slot_end, refuse, type, unlink = ...
local methods = {}

function methods.push(_, slot)
  if not (type(slot) == "number" and slot >= 16 and slot < slot_end) then refuse(slot) end
  local link, head = links[slot], links[HEAD]
  if link.next ~= 0 then unlink(slot, link) end
  local first = head.next
  link.prev = HEAD
  link.next = first
  links[first].prev = slot
  head.next = slot
end

function methods.push_back(_, slot)
  if not (type(slot) == "number" and slot >= 16 and slot < slot_end) then refuse(slot) end
  local link, head = links[slot], links[HEAD]
  if link.next ~= 0 then unlink(slot, link) end
  local last = head.prev
  link.prev = last
  link.next = HEAD
  links[last].next = slot
  head.prev = slot
end

function methods.touch(_, slot)
  if not (type(slot) == "number" and slot >= 16 and slot < slot_end) then refuse(slot) end
  local link = links[slot]
  if link.next ~= 0 then
    unlink(slot, link)
    local head = links[HEAD]
    local first = head.next
    link.prev = HEAD
    link.next = first
    links[first].prev = slot
    head.next = slot
  end
end

function methods.remove(_, slot)
  if not (type(slot) == "number" and slot >= 16 and slot < slot_end) then refuse(slot) end
  local link = links[slot]
  if link.next ~= 0 then
    unlink(slot, link)
    link.prev = 0
    link.next = 0
  end
end

function methods.has(_, slot)
  if not (type(slot) == "number" and slot >= 16 and slot < slot_end) then refuse(slot) end
  return links[slot].next ~= 0
end

function methods.front()
  local slot = links[HEAD].next
  if slot ~= HEAD then return slot end
end

function methods.back()
  local slot = links[HEAD].prev
  if slot ~= HEAD then return slot end
end

function methods.ahead(_, slot)
  if not (type(slot) == "number" and slot >= 16 and slot < slot_end) then refuse(slot) end
  local prev = links[slot].prev
  if prev >= 16 then return prev end
end

function methods.behind(_, slot)
  if not (type(slot) == "number" and slot >= 16 and slot < slot_end) then refuse(slot) end
  local next = links[slot].next
  if next >= 16 then return next end
end

return methods]]

local CURSOR_NEXT = [[
local links = ...
return function()
  local cursor = links[CURSOR]
  local slot = cursor.prev
  if slot == 0 then
    slot = links[HEAD].prev
    if slot == HEAD then return nil end
  end
  local prev = links[slot].prev
  cursor.prev = prev ~= HEAD and prev or 0
  return slot
end]]

local function fill(text, numbers) return (gsub(text, "%u%u%u%u+", numbers)) end

--- The lists of one policy.
---@param links ffi.cdata* neap_link pointer, rows 0..slot_end-1, zeroed or adopted
function M.new(links, slot_end)
  local heads, cursors = {}, {}
  local set = { links = links }

  local function add_cursor(head)
    local row = CURSOR_TOP - #cursors
    if row <= HEADS_MAX then error("a policy has at most " .. CURSOR_TOP - HEADS_MAX .. " cursors", 3) end
    local numbers = { CURSOR = row, HEAD = head }
    cursors[#cursors + 1] = fill(UNLINK_CURSOR, numbers)
    return columns.class({ next = columns.make(fill(CURSOR_NEXT, numbers), "cursor", links) }, "cursor")
  end

  --- A new list. Its methods follow with `finish`, when the number of cursors is known.
  function set.list()
    local head = #heads + 1
    if head > HEADS_MAX then error("a policy has at most " .. HEADS_MAX .. " lists", 3) end
    local methods = { cursor = function() return add_cursor(head) end }
    heads[head] = methods
    return columns.class(methods, "list")
  end

  function set.finish()
    set.unlink = columns.make(format(UNLINK, concat(cursors)), "list", links)
    for head, methods in ipairs(heads) do
      if links[head].next == 0 then
        links[head].prev, links[head].next = head, head
      end
      local made = columns.make(fill(METHODS, { HEAD = head }), "list", links, slot_end, refuse, type, set.unlink)
      for name, method in pairs(made) do methods[name] = method end
    end
  end

  return set
end

return M
