--- LIFO: evicts what came last. Right only for scans that start over before they end, such as loops over more than
-- fits: what is in the cache stays, instead of being pushed out just before it is needed again.
--
-- Idea       one list in order of arrival, evicted from its front
-- Parameters none
-- Cost       O(1) per entry put or evicted, nothing per hit; 8 bytes per entry
-- Source     as old as stacks
local policy = require "neap.policy"

local lifo = policy.evict { name = "lifo" }
local stack = lifo:list()

function lifo.insert(s) stack:push(s) end

function lifo.remove(s) stack:remove(s) end

function lifo.step() return stack:front() or false end

return lifo
