--- Counts what the JIT compiler gave up on, and remembers where: a trace abort in a hot function makes a policy ten
-- times slower.
local jit = require "jit"
local util = require "jit.util"
local abi = require "neap.abi"
local core = require "neap.core"

local fuel = abi.at("neap_fuel", core.fuel)

local M = { places = {} } -- by "name:line": { count, code, detail }

local PLACES_MAX, places_count = 64, 0

local function place(func, pc)
  local info = util.funcinfo(func, pc)
  if info.loc then return info.loc end
  return "[C]"
end

local function on_trace(what, _, func, pc, code, detail)
  if what ~= "abort" then return end
  fuel.trace_aborts = fuel.trace_aborts + 1
  local where = place(func, pc)
  local known = M.places[where]
  if not known then
    if places_count == PLACES_MAX then return end
    places_count = places_count + 1
    known = { count = 0 }
    M.places[where] = known
  end
  known.count = known.count + 1
  known.code, known.detail = code, detail
end

jit.attach(on_trace, "trace")

return M
