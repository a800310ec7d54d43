--- Association: fetches what followed the last times. For objects that are asked for together, and again together.
--
-- Idea       a table says what followed each key, of the keys that were not in the cache. From the key that was just
--            asked for, the chain of likely successors is walked, as long as all of it together is likely enough. What
--            comes too soon to be fetched in time is left out: how far that is, is learned from what came late
-- Parameters rows        keys remembered (65536)
--            window      keys before it that a key counts as the successor of (3)
--            confidence  of the chain up to a wish, 0 to 1 (0.3)
--            least       times that a successor must have followed (2)
--            width       steps of the chain wished for, beyond those left out (8)
-- Cost       per key that was not in the cache, a look-up in the table and two for every step of the chain, up to 72;
--            48 bytes per row
-- Source     what to mine, and that mid-frequency keys are where it pays: J. Yang et al., "MITHRIL: Mining Sporadic
--            Associations for Cache Prefetching", SoCC 2017. Its tables are mined in batches by timestamps; here
--            successors are counted as they come, by which nothing waits and memory has one bound
local policy = require "neap.policy"

local association = policy.prefetch {
  name = "association",
  params = {
    rows = { type = "integer", default = 65536, min = 64, max = 4194304, unit = "keys", doc = "remembered" },
    window = { type = "integer", default = 3, min = 1, max = 4, unit = "keys", doc = "that a key is a successor of" },
    confidence = { default = 0.3, min = 0.01, max = 1, unit = "share", doc = "of the chain up to a wish" },
    least = { type = "integer", default = 2, min = 1, max = 32, unit = "times", doc = "that it must have followed" },
    width = { type = "integer", default = 8, min = 1, max = 32, unit = "steps", doc = "of the chain wished for" },
  },
}
local param = association.param
local confidence, least, width = param.confidence, param.least, param.width
local table = association:associations(param.rows, param.window)
local floor, min, max = math.floor, math.min, math.max

local LEAD_MOST = 64
local lead = 0 -- steps of the chain that would come too late

function association.want(hash, _, _, _, stream)
  table:learn(hash, stream)
  local likely, skip = 1, floor(lead)
  for step = 1, skip + width do
    local share = likely * table:share(hash)
    if share < confidence or table:count(hash) < least then return end
    if step > skip then
      for rank = 1, 3 do -- those beside the chain
        if table:count(hash, rank) < least or likely * table:share(hash, rank) < confidence then break end
        association:wish(table:next(hash, rank))
      end
      association:wish(table:next(hash))
    end
    likely, hash = share, table:next(hash)
  end
end

function association.late() lead = min(lead + 0.25, LEAD_MOST) end

function association.used() lead = max(lead - 0.02, 0) end

return association
