--- What C and Lua both read: core/policy/abi.h, between its marks, word for word. The only ffi.cdef.
local ffi = require "ffi"
local core = require "neap.core"

local find, sub = string.find, string.sub

local begin = "/* neap-abi: begin */"
local _, from = find(core.header, begin, 1, true)
local to = find(core.header, "/* neap-abi: end */", 1, true)
ffi.cdef(sub(core.header, from + 1, to - 1))

-- A struct that the compiler of the library lays out otherwise would be read at wrong places.
for name, size in pairs(core.sizes) do
  assert(ffi.sizeof(name) == size, name)
end

local M = {}

--- The struct behind a light userdata. The reference is a plain pointer: it never keeps anything alive.
function M.at(ctype, pointer) return ffi.cast(ctype .. " *", pointer) end

return M
