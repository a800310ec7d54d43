#!/bin/sh
# What `neap check` answers to good and bad files. Usage: sh tests/unit/bin/check.sh NEAP
set -u
neap=$1 root=$(dirname "$0")/../../..
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
wrong() { echo "check: $*" >&2; failed=1; }

"$neap" check $(find "$root/policies/evict" -name "*.lua" ! -name "*_spec.lua") >"$scratch/out" || wrong "shipped policies: $(cat "$scratch/out")"
grep -q "sieve.lua: note: " "$scratch/out" || wrong "no cost of sieve: $(cat "$scratch/out")"
"$neap" check $(find "$root/policies/prefetch" -name "*.lua" ! -name "*_spec.lua") >"$scratch/out" || wrong "shipped prefetch policies: $(cat "$scratch/out")"
grep -q "stride.lua: note: .* ns per event" "$scratch/out" || wrong "no cost of stride: $(cat "$scratch/out")"
if grep -q "warning" "$scratch/out"; then wrong "warnings: $(cat "$scratch/out")"; fi
cat >"$scratch/prefetch.lua" <<'LUA'
local policy = require "neap.policy"
local p = policy.prefetch { name = "p" }
function p.wnat(hash) end
return p
LUA
sed 's/wnat(hash) end/want(hash) p:wish(nil) end/' "$scratch/prefetch.lua" >"$scratch/wish.lua"
sed 's/wnat(hash) end/want(hash) local n = {} ; return n.x.y end/' "$scratch/prefetch.lua" >"$scratch/index.lua"
sed 's/wnat(hash) end/want(hash) while true do end end/' "$scratch/prefetch.lua" >"$scratch/endless.lua"
sed 's/{ name = "p" }/{ name = "p", parms = {} }/' "$scratch/prefetch.lua" >"$scratch/spec.lua"
"$neap" check "$scratch/prefetch.lua" "$scratch/wish.lua" "$scratch/index.lua" "$scratch/endless.lua" "$scratch/spec.lua" >"$scratch/out" 2>&1
[ $? = 1 ] || wrong "bad prefetch policies ended with $?"
for text in "prefetch.lua:3: error: unknown function 'wnat', did you mean 'want'?" "wish.lua:3: error: a wish is a hash" \
  "index.lua:3: error: " "endless.lua:3: error: " "spec.lua:2: error: policy.prefetch: unknown field 'parms', did you mean 'params'?"; do
  grep -qF "$text" "$scratch/out" || wrong "not said: $text: $(cat "$scratch/out")"
done
"$neap" check --quiet "$root/policies/evict/sieve.lua" >"$scratch/out" || wrong "quiet sieve failed"
[ ! -s "$scratch/out" ] || wrong "quiet said: $(cat "$scratch/out")"

cat >"$scratch/neap.lua" <<'LUA'
local neap = require "neap"
neap.listen { http = "127.0.0.1:0" }
neap.pool { name = "app", backends = { "127.0.0.1:9001" } }
neap.route { path = "/", pool = "app" }
LUA
"$neap" check "$scratch/neap.lua" >"$scratch/out" || wrong "a right configuration: $(cat "$scratch/out")"

# What is prefetched: names and parameters of policies, and the rest.
check_prefetch() {
  sed "s|^neap.pool|neap.cache { prefetch = $1 }\\nneap.pool|" "$scratch/neap.lua" >"$scratch/ahead.lua"
  "$neap" check "$scratch/ahead.lua" >"$scratch/out" 2>&1
}
for fine in true false '"default"' '"stride+association"' '{ policy = "association", params = { window = 2 } }' \
  '{ policy = false, refresh = "10%" }' '{ policy = { "hints", { policy = "stride", params = { depth = 4 } } } }'; do
  check_prefetch "$fine" || wrong "prefetch = $fine: $(cat "$scratch/out")"
done
while IFS='@' read -r value text; do
  if check_prefetch "$value"; then wrong "prefetch = $value is taken"; fi
  grep -qF "$text" "$scratch/out" || wrong "not said of prefetch = $value: $text: $(cat "$scratch/out")"
done <<'CASES'
"asociation"@ahead.lua:3: error: cache.prefetch.policy[1].policy: "asociation": there is no such policy to prefetch; did you mean "association"?
"stride+stride"@ahead.lua:3: error: cache.prefetch.policy[2]: stride is there already
{ polcy = 1 }@ahead.lua:3: error: cache.prefetch.polcy: there is no such key; did you mean "policy"?
{ params = { window = 2 } }@ahead.lua:3: error: cache.prefetch.params: whose?
{ policy = "association", params = { windw = 2 } }@windw
{ budget = { per_second = 0 } }@ahead.lua:3: error: cache.prefetch.budget.per_second: 0: must be at least 0.1
{ refresh = 1 }@ahead.lua:3: error: cache.prefetch.refresh: 1: must be at most 0.9
3@ahead.lua:3: error: cache.prefetch: 3: write true, false, "default" or a table
CASES

# Several faults in several files, all at once, with places.
sed 's/listen {/listen { htpp = 1,/' "$scratch/neap.lua" >"$scratch/bad.lua"
printf 'local policy = require "neap.policy"\nlocal p = policy.evict { name = "p" }\nfunction p.inset(s) end\nreturn p\n' \
  >"$scratch/policy.lua"
"$neap" check "$scratch/bad.lua" "$scratch/policy.lua" "$scratch/nowhere.lua" >"$scratch/out" 2>&1
[ $? = 1 ] || wrong "bad files ended with $?"
for text in "bad.lua:2: error: " "policy.lua:3: error: unknown function 'inset', did you mean 'insert'?" \
  "nowhere.lua: error: "; do
  grep -qF "$text" "$scratch/out" || wrong "not said: $text: $(cat "$scratch/out")"
done

# Functions of a configuration are asked, and so are files that return rules or checks of probes.
"$neap" check $(find "$root/policies/route" "$root/policies/health" -name "*.lua" ! -name "*_spec.lua") >"$scratch/out" 2>&1 ||
  wrong "shipped rules: $(cat "$scratch/out")"
sed 's|^neap.route.*|neap.route { path = "/a", pool = "app", when = function(req) return req:header("x").y.z end }\
neap.route { path = "/", pool = "app", action = function(req, res) res:nix() end }|' "$scratch/neap.lua" >"$scratch/asked.lua"
printf 'return function(options)\n  return function(req, res) res:nix() end\nend\n' >"$scratch/rule.lua"
printf 'return function(options)\n  local x = = 1\nend\n' >"$scratch/syntax.lua"
printf 'return function(options)\n  return function(reply)\n    return reply.stutus == 200\n  end\nend\n' >"$scratch/probe.lua"
"$neap" check "$scratch/asked.lua" "$scratch/rule.lua" "$scratch/syntax.lua" "$scratch/probe.lua" >"$scratch/out" 2>/dev/null
[ $? = 1 ] || wrong "functions that fail ended with $?"
for text in "asked.lua:4: error: " "asked.lua:5: error: a response has no" "rule.lua:2: error: " "syntax.lua:2: error: " \
  "probe.lua:3: error: "; do
  grep -qF "$text" "$scratch/out" || wrong "not said: $text: $(cat "$scratch/out")"
done

# Data tables are read as for a start: a row that is no rate where rates are wanted, a file that is not there.
printf 'gold,5/s\nnone,soon\n' >"$scratch/plans.csv"
for file in plans gone; do
  sed "s|^neap.route.*|local plans = neap.table { name = 'plans', file = '$file.csv' }\\
neap.route { path = '/', pool = 'app', limit = { rate = '1/s', by = 'client', rates = plans } }|" \
    "$scratch/neap.lua" >"$scratch/$file.lua"
  NEAP_LISTEN_HTPP=1 "$neap" check "$scratch/$file.lua" >>"$scratch/tables" 2>&1 && wrong "$file.csv passed"
done
[ "$(grep -c "environment: warning: NEAP_LISTEN_HTPP: " "$scratch/tables")" = 2 ] || wrong "not one warning each: $(cat "$scratch/tables")"
for text in "plans.csv:2: error: write a rate" "gone.lua:1: error: cannot read "; do
  grep -qF "$text" "$scratch/tables" || wrong "not said: $text: $(cat "$scratch/tables")"
done

# What is no text file: a folder, and bytes behind a NUL that a C string would hide.
printf 'local policy = require "neap.policy"\0return 1' >"$scratch/nul.lua"
"$neap" check "$scratch" "$scratch/nul.lua" >"$scratch/out" 2>&1
[ $? = 1 ] || wrong "a folder and a NUL ended with $?"
for text in "$scratch: error: it is not a regular file" "nul.lua: error: a NUL byte is not accepted"; do
  grep -qF "$text" "$scratch/out" || wrong "not said: $text: $(cat "$scratch/out")"
done

"$neap" check 2>"$scratch/out"
[ $? = 2 ] || wrong "no file is no usage error"
exit $failed
