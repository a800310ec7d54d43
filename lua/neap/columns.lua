--- Columns and state of a policy: engine memory, seen through views that check every access. The pointer of a view
-- is an upvalue of its functions, never a field that a policy could read. Each view has functions of its own, made
-- from text: the JIT compiler takes upvalues for constants only while few closures share one prototype.
local ffi = require "ffi"

local M = {}

local error, type, pairs, tostring = error, type, pairs, tostring
local loadstring, setmetatable = loadstring, setmetatable
local format, match = string.format, string.match
local sort, concat = table.sort, table.concat

-- Scalars alone: no pointer, array or 64-bit integer can be declared.
local CTYPES = { int8 = "int8_t", uint8 = "uint8_t", int16 = "int16_t", uint16 = "uint16_t", int32 = "int32_t",
                 double = "double" }

--- Field names in one order, whatever the table's, with their types checked.
---@param fields table<string, string>
---@param what string for messages
---@param problem fun(text: string) is told what is wrong
---@return string[]
function M.names(fields, what, problem)
  local names = {}
  for name, ctype in pairs(fields) do
    if type(name) ~= "string" or not match(name, "^[%a_][%w_]*$") or #name > 40 then
      problem(format("%s: '%s' is not a name", what, tostring(name)))
    elseif not CTYPES[ctype] then
      problem(format("%s.%s: '%s' is not a type; there are int8, uint8, int16, uint16, int32, double", what, name,
                     tostring(ctype)))
    else
      names[#names + 1] = name
    end
  end
  sort(names)
  return names
end

-- Level 3 is the policy's line: refuse <- the view's function <- the policy.
local function refuse(key, slot_end)
  error(format("slot %s is out of range 0..%d", tostring(key), slot_end - 1), 3)
end

local VIEW = [[
local base, slot_end, refuse, type = ...
return function(_, slot)
  if type(slot) == "number" and slot >= 0 and slot < slot_end then return base[slot] end
  refuse(slot, slot_end)
end, function(_, slot, value)
  if type(slot) == "number" and slot >= 0 and slot < slot_end then
    base[slot] = value
  else
    refuse(slot, slot_end)
  end
end]]

--- A column: `view[slot]` reads and writes.
---@param base ffi.cdata* pointer to its first element
function M.view(base, slot_end, name)
  local index, newindex = loadstring(VIEW, "=column")(base, slot_end, refuse, type)
  local class = ffi.metatype("struct { const int32_t unused; }", {
    __index = index, __newindex = newindex, __metatable = false,
    __tostring = function() return "column " .. name end,
  })
  return class()
end

function M.pointer(ctype, address) return ffi.cast(CTYPES[ctype] .. " *", address) end
function M.width(ctype) return ffi.sizeof(CTYPES[ctype]) end

--- A struct of scalars: its C declaration, by which a reload knows whether it is the same.
function M.struct(fields, names)
  local parts = {}
  for i, name in ipairs(names) do parts[i] = CTYPES[fields[name]] .. " " .. name .. ";" end
  return "struct { " .. concat(parts, " ") .. " }"
end

function M.sizeof(declaration) return ffi.sizeof(declaration) end

--- A reference to the struct at `address`, whose fields can be read and written and nothing else.
function M.reference(declaration, address)
  local function refuse_field(_, key) error(format("state has no field '%s'", tostring(key)), 2) end
  local class = ffi.metatype(declaration, {
    __metatable = false, __index = refuse_field, __newindex = refuse_field,
    __tostring = function() return "state" end,
  })
  return ffi.cast(ffi.typeof("$ *", class), address)[0]
end

--- Makes functions of their own prototype from a text.
function M.make(text, name, ...)
  local chunk, problem = loadstring(text, "=" .. name)
  if not chunk then error(problem) end
  return chunk(...)
end

--- A class of engine objects: no fields, the given methods. They are found in a table and not by a function, so that
-- the JIT compiler resolves them once.
function M.class(methods, name)
  setmetatable(methods, { __index = function(_, key) error(format("%s has no '%s'", name, tostring(key)), 2) end })
  return ffi.metatype("struct { const int32_t unused; }", {
    __index = methods, __metatable = false,
    __newindex = function() error("the " .. name .. " cannot be changed", 2) end,
    __tostring = function() return name end,
  })()
end

return M
