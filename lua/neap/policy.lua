--- What the files of policies require.
local balance = require "neap.balance"
local evict = require "neap.evict"
local prefetch = require "neap.prefetch"

return { balance = balance.declare, evict = evict.declare, prefetch = prefetch.declare }
