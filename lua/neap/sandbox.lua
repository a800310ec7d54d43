--- The world that policy code sees: no ffi, io, os, debug, package; no pcall, coroutines, load, Lua patterns;
-- nothing that can hold the thread for long without being counted. Trusted code must not use s:method(), since
-- the metatable of strings is the sandbox's too.
local core = require "neap.core"
local abi = require "neap.abi"

local M = {}

local error, type, tostring, tonumber = error, type, tostring, tonumber
local getmetatable, setfenv, select = getmetatable, setfenv, select
local rep, find, sub, format = string.rep, string.find, string.sub, string.format
local match, gsub = string.match, string.gsub
local concat, insert, remove, sort = table.concat, table.insert, table.remove, table.sort

local fuel = abi.at("neap_fuel", core.fuel)
local leaves = abi.at("neap_vm_leaves", core.leaves)
local refill, charge_leaf, vm = leaves.refill, leaves.charge, abi.at("void", core.vm)

-- Called by the checks that fuel.c has put in, and by `charge`. Level 2 is the policy's line.
local function exhausted()
  if refill(vm) == 0 then error(core.late(), 2) end
end

-- Pays for the bytes that a built-in function is about to look at, so that it cannot be used to work unseen.
local function charge(bytes)
  if bytes > 4096 and charge_leaf(vm, bytes) == 0 then error(core.late(), 3) end
end

-- --- built-in functions ---

local REP_MAX, FIND_MAX, SORT_MAX = 1048576, 1048576, 65536

local hear_too_long = function() end

--- Where functions are asked of requests: it may be the length of what a client sent.
function M.on_too_long(hear) hear_too_long = hear end

-- Level 3 is the policy's line.
local function too_long(text)
  hear_too_long()
  error(text, 3)
end

local function copy(from, names)
  local to = {}
  for _, name in ipairs(names) do to[name] = from[name] end
  return to
end

-- A function on one string, paid by its length.
local function paid(name, fn)
  return function(s, ...)
    if type(s) == "number" then s = tostring(s) end
    if type(s) ~= "string" then error("bad argument #1 to '" .. name .. "' (string expected)", 2) end
    charge(#s)
    local result = fn(s, ...)
    return result
  end
end

local safe_string = copy(string, { "byte", "char", "len" })
for _, name in ipairs { "lower", "upper", "reverse", "sub" } do safe_string[name] = paid(name, string[name]) end

function safe_string.rep(s, n)
  if type(n) ~= "number" then error("bad argument #2 to 'rep' (number expected)", 2) end
  if #s * n > REP_MAX then too_long "string.rep: the result would be too long" end
  charge(#s * n)
  return (rep(s, n))
end

function safe_string.find(s, what, from)
  if #s * #what > FIND_MAX then too_long "string.find: too long" end
  charge(#s * #what)
  return find(s, what, from, true) -- never a pattern
end

function safe_string.format(text, ...)
  local bytes = #text
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    if type(value) == "string" then bytes = bytes + #value end
  end
  charge(bytes)
  local result = format(text, ...)
  charge(#result)
  return result
end

local safe_table = {}

-- What moves, in bytes. A place that is none would have the built-in functions count from -2^31.
local function moved(list, at, last, name)
  if type(at) ~= "number" or not (at >= 1 and at <= last) then
    error(format("table.%s: position %s is out of range 1..%d", name, tostring(at), last), 3)
  end
  return (#list - at) * 8
end

function safe_table.insert(list, at, ...)
  if select("#", ...) == 0 then
    insert(list, at)
  else
    charge(moved(list, at, #list + 1, "insert"))
    insert(list, at, (...))
  end
end

function safe_table.remove(list, at)
  if at == nil then return (remove(list)) end
  charge(moved(list, at, #list + 1, "remove"))
  return (remove(list, at))
end

function safe_table.concat(list, separator, from, to)
  from, to = from or 1, to or #list
  charge((to - from) * 64)
  local result = concat(list, separator, from, to)
  charge(#result)
  return result
end

-- Comparisons that are paid for: neither built-in functions nor `<` have checks, and some orders make sort slow.
local COMPARISON = 1024

local function counted(before)
  if before then
    return function(a, b)
      if charge_leaf(vm, COMPARISON) == 0 then error(core.late(), 0) end
      return before(a, b)
    end
  end
  return function(a, b)
    if charge_leaf(vm, type(a) == "string" and COMPARISON + #a or COMPARISON) == 0 then error(core.late(), 0) end
    return a < b
  end
end

function safe_table.sort(list, before)
  if #list > SORT_MAX then error("table.sort: more than " .. SORT_MAX .. " elements", 2) end
  if before ~= nil and type(before) ~= "function" then error("table.sort: the comparison is no function", 2) end
  sort(list, counted(before))
end

-- Errors that carry a table cannot be told to anyone: made text at once.
local function safe_error(message, level)
  error(type(message) == "string" and message or "(error object is a " .. type(message) .. ")",
        type(level) == "number" and level > 0 and level + 1 or 2)
end

local env = copy(_G, { "assert", "ipairs", "next", "pairs", "rawequal", "rawget", "rawset", "select", "setmetatable",
                       "tostring", "type", "unpack" })
env.error = safe_error
env.string, env.table = safe_string, safe_table
env.bit = copy(bit, { "arshift", "band", "bnot", "bor", "bswap", "bxor", "lshift", "rol", "ror", "rshift", "tobit" })
env.math = copy(math, { "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "deg", "exp", "floor", "fmod",
                        "frexp", "huge", "ldexp", "log", "log10", "max", "min", "modf", "pi", "pow", "rad",
                        "sin", "sqrt", "tan" })

function env.tonumber(value, base)
  if type(value) == "string" then charge(#value) end
  if base == nil then return (tonumber(value)) end
  return (tonumber(value, base))
end

function env.getmetatable(value)
  if type(value) ~= "table" then return nil end
  return getmetatable(value)
end

-- --- loading ---

-- Modules that policy code may require, by name; each is loaded on first use.
local PUBLIC = { ["neap"] = true, ["neap.policy"] = true, ["neap.version"] = true }
local loading = {} -- by module name: true while it runs, then its result in a table

--- Lets policy code require one more runtime module, or `value` by that name.
function M.publish(name, value)
  PUBLIC[name] = true
  if value ~= nil then loading[name] = { value } end
end

--- Loads and runs policy code, fuelled and in the sandbox; returns what it returns.
---@param name string for messages
---@param text string
function M.load(name, text)
  local chunk = core.compile(name, text)
  setfenv(chunk, env)
  local body = chunk(fuel, exhausted)
  local result = body()
  return result
end

-- Names and folders of names, joined by single dots.
local function is_module(name)
  return match(name, "^[%w_-][%w_.-]*$") and not find(name, "..", 1, true) and sub(name, -1) ~= "."
end

local function load_file(name)
  if not is_module(name) then error("require: '" .. name .. "' is not the name of a module", 3) end
  local path = gsub(name, "%.", "/") .. ".lua"
  local text, where = core.read(path)
  if not text then error("require: there is no module '" .. name .. "' (" .. where .. ")", 3) end
  return M.load(where, text)
end

function env.require(name)
  if type(name) ~= "string" then error("require takes the name of a module", 2) end
  local known = loading[name]
  if known == true then error("require: '" .. name .. "' requires itself", 2) end
  if known then return known[1] end
  loading[name] = true
  local result
  if PUBLIC[name] then
    result = require(name)
  elseif name == "neap" or sub(name, 1, 5) == "neap." then
    error("require: '" .. name .. "' is not for policies", 2)
  else
    result = load_file(name)
  end
  loading[name] = { result }
  return result
end

-- --- what is not there ---

-- What people miss, and what to do instead.
local INSTEAD = {
  print = "use policy:stat, or log in a spec", pcall = "a fault is caught and counted by the guard",
  xpcall = "a fault is caught and counted by the guard", load = "use require", loadstring = "use require",
  dofile = "use require", loadfile = "use require", coroutine = "write a step function that is called again",
  io = "policies do no input or output", os = "policies read no clock: see policy:now_ms",
  debug = "it is not for policies", ffi = "declare slot and state columns", jit = "it is not for policies",
  package = "use require", collectgarbage = "hot functions allocate nothing", module = "write local M = {}",
  getfenv = "it is not for policies", setfenv = "it is not for policies", newproxy = "it is not for policies",
  _G = "write local names",
}

setmetatable(env, {
  __metatable = false,
  __index = function(_, name)
    local instead = INSTEAD[name]
    error(instead and tostring(name) .. " is not there for policies: " .. instead
          or "no variable '" .. tostring(name) .. "' is defined", 2)
  end,
  __newindex = function(_, name) error("'" .. tostring(name) .. "' would be global: write local", 2) end,
})

local strings = getmetatable("")
strings.__index, strings.__metatable = safe_string, false

return M
