--- What a function that judges probes sees of a backend's answer: bounds-checked, gone when the call is over.
local request = require "neap.request"
local abi = require "neap.abi"

local M = {}

local error, format, setmetatable, tostring, type = error, string.format, setmetatable, tostring, type

---@class neap.Reply
---@field status integer
---@field took_ms number from the start of the probe to the end of its answer
---@field body neap.Value its first 16 KB
---@field header fun(self: neap.Reply, name: string): neap.Value? nil where there is none

-- `req` is the view under which the engine has put the answer's headers, and its body as the path.
local function view(req, probe)
  local fields = { body = req.path, header = function(_, name) return req:header(name) end }
  local function index(_, name)
    if name == "status" then return probe.status end
    if name == "took_ms" then return probe.took_ms end
    return fields[name] or error(format("an answer has no %q", tostring(name)), 2)
  end
  local function refuse() error("an answer cannot be changed", 2) end
  return setmetatable({}, { __index = index, __newindex = refuse, __metatable = false })
end

--- Called by core/script/judge.c: what C is to call for each pool that has a check.
---@param views userdata a neap_view_board
---@param probe userdata its neap_probe_board
---@param checks table<integer, function> by pool
---@return table<integer, function>
function M.install(views, probe, checks)
  local req, board = request.of(views)
  local reply = view(req, abi.at("neap_probe_board", probe))
  local out = {}
  for pool, check in pairs(checks) do
    local place = request.place(check)
    out[pool] = function()
      local answer = check(reply)
      if answer ~= nil and type(answer) ~= "boolean" then
        error(format("%s: check must give true or false, not a %s", place, type(answer)), 0)
      end
      board.answer = answer and 1 or 0
    end
  end
  return out
end

return M
