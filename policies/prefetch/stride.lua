--- Stride: keys that differ in a number, asked for one after another at one distance: blocks, pages, parts.
--
-- Idea       as the read-ahead of file systems. Runs of several readers are told apart; the longer a run has become,
--            the further ahead it is fetched. What is ahead already is not wished for again, nor is what would come too
--            late: how far that is, is learned
-- Parameters depth  steps ahead, at most (32)
--            least  steps that make a run (3)
--            runs   followed at a time (64)
--            reach  largest distance between numbers (4096)
-- Cost       one look at every run per key that was not in the cache: 64 compares; 48 bytes per run. No memory per key
-- Source     the window that doubles: W. Fengguang et al., "On the Design of a New Linux Readahead Framework", 2008
local policy = require "neap.policy"

local stride = policy.prefetch {
  name = "stride",
  params = {
    depth = { type = "integer", default = 32, min = 1, max = 128, unit = "steps", doc = "ahead, at most" },
    least = { type = "integer", default = 3, min = 2, max = 64, unit = "steps", doc = "that make a run" },
    runs = { type = "integer", default = 64, min = 1, max = 1024, doc = "followed at a time" },
    reach = { default = 4096, min = 1, max = 2 ^ 40, doc = "largest distance between numbers" },
  },
}
local param = stride.param
local depth, least = param.depth, param.least
local runs = stride:runs(param.runs, param.reach)
local floor, min, max, abs = math.floor, math.min, math.max, math.abs

local lead = 0 -- steps that would come too late

function stride.want(hash, space, number)
  local run = runs:observe(space, number)
  if not run then return end
  local length = runs:length(run)
  if length < least then return end
  local step = runs:stride(run)
  local done = max(abs(runs:ahead(run) - number) / abs(step), floor(lead))
  local last = min(min(depth, 2 * length), done + stride:room()) -- what is wished in vain is not wished again
  for i = done + 1, last do stride:wish_number(hash, number + i * step) end
  if last > done then runs:set_ahead(run, number + last * step) end
end

function stride.late() lead = min(lead + 0.25, depth / 2) end

function stride.used() lead = max(lead - 0.02, 0) end

return stride
