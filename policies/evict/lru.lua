--- LRU: evicts what was used longest ago.
--
-- Idea       one list, to whose front an entry moves whenever it is used
-- Parameters none
-- Cost       O(1) per hit (four links), per entry put or evicted; 8 bytes per entry
-- Source     R. L. Mattson et al., "Evaluation techniques for storage hierarchies", IBM Systems Journal 9(2), 1970
local policy = require "neap.policy"

local lru = policy.evict { name = "lru" }
local queue = lru:list()

function lru.insert(s) queue:push(s) end

function lru.hit(s) queue:touch(s) end

function lru.update(s) queue:touch(s) end

function lru.remove(s) queue:remove(s) end

function lru.step() return queue:back() or false end

return lru
