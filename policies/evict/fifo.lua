--- FIFO: evicts what came first, however often it was used.
--
-- Idea       one list in order of arrival; hits cost nothing at all
-- Parameters none
-- Cost       O(1) per entry put or evicted, nothing per hit; 8 bytes per entry
-- Source     as old as caches; the base line of every comparison
local policy = require "neap.policy"

local fifo = policy.evict { name = "fifo" }
local queue = fifo:list()

function fifo.insert(s) queue:push(s) end

function fifo.remove(s) queue:remove(s) end

function fifo.step() return queue:back() or false end

return fifo
