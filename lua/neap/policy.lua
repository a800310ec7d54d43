--- What the files of policies require.
local evict = require "neap.evict"

return { evict = evict.declare }
