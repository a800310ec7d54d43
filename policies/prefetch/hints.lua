--- Hints: fetches what the application itself says will be wanted.
--
-- Idea       a hint is a wish. Whether hints are any good is found out as of every policy, by how many are used
-- Parameters most  hints taken of one key (8)
-- Cost       a comparison per hint; nothing otherwise
-- Source     `rel=preload` and `rel=next` of RFC 8288 links; explicit hints of the embedding program
local policy = require "neap.policy"

local hints = policy.prefetch {
  name = "hints",
  params = { most = { type = "integer", default = 8, min = 1, max = 64, doc = "hints taken of one key" } },
}
local most = hints.param.most
local last, taken = -1, 0 -- whose hints these are, and how many were taken

function hints.hint(hash, like)
  if like ~= last or like == 0 then
    last, taken = like, 0
  end
  if taken >= most then return end
  taken = taken + 1
  hints:wish(hash)
end

return hints
