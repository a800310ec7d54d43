--- First code of a VM: the compiler's limits, stated so that they are the same under every LuaJIT, and the sandbox.
local opt = require "jit.opt"
local core = require "neap.core"

-- Room for machine code in steps of 64 KiB up to 2 MiB, and for 2000 traces: many times what policies need.
opt.start("sizemcode=64", "maxmcode=2048", "maxtrace=2000")

local sandbox = require "neap.sandbox"
-- The first LuaJIT of Debian 12 (2.1.0-beta3 without the functions of luajit2) crashes in trace events.
if core.count_aborts then require "neap.aborts" end

return sandbox
