-- An eviction policy of one's own, swapped in while the gateway serves: the oldest entry goes first, unless it was
-- read since it came or since it was last spared. (FIFO with a second chance, also called CLOCK.)
local policy = require "neap.policy"

local clock = policy.evict { name = "second_chance", slot = { read = "int8" } }
local queue = clock:list()
local read = clock.slot.read

function clock.insert(s)
  read[s] = 0
  queue:push(s)
end

function clock.hit(s) read[s] = 1 end

function clock.remove(s) queue:remove(s) end

-- A victim, nothing to be asked again, or false when there is none.
function clock.step()
  local s = queue:back()
  if not s then return false end
  if read[s] == 0 then return s end
  read[s] = 0
  queue:push(s)
end

return clock
