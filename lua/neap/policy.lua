--- What the files of policies require.
local balance = require "neap.balance"
local evict = require "neap.evict"

return { balance = balance.declare, evict = evict.declare }
