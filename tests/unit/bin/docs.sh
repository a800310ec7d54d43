#!/bin/sh
# Runs what the documents show: the policies of the guide are without fault and decide, the configuration of the README
# would serve. Usage: sh tests/unit/bin/docs.sh NEAP
set -eu
neap=$1 root=$(dirname "$0")/../../..
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset NEAP_TEST_MODE NEAP_TRACES # which `neap check` would take for misspelt settings
status=0
wrong() { echo "docs: $*" >&2; status=1; }

# fine FILE: `neap check` finds nothing, not even a warning.
fine() {
  said=$("$neap" check "$work/$1" 2>&1) || { wrong "neap check $1: $said"; return; }
  case $said in *error:* | *warning:*) wrong "neap check $1: $said" ;; esac
}
# block N: the Nth ```lua block of the guide.
block() {
  awk -v n="$1" '/^```lua/ { seen++; inside = seen == n; next } /^```/ { inside = 0 } inside' "$root/docs/policy-guide.md"
}

block 1 >"$work/mine.lua"
grep -q 'policy.evict' "$work/mine.lua" || wrong "the guide begins with no eviction policy"
fine mine.lua
block 2 >"$work/balance.lua"
grep -q 'policy.balance' "$work/balance.lua" || wrong "the guide has no balance policy"
fine balance.lua
block 3 >"$work/prefetch.lua"
grep -q 'policy.prefetch' "$work/prefetch.lua" || wrong "the guide has no prefetch policy"
fine prefetch.lua

awk 'BEGIN { for (i = 0; i < 3000; i++) print i "," (i * i + i) % 271 ",1" }' >"$work/trace.csv"
table=$("$neap" replay "$work/trace.csv" --policy "$work/mine.lua,sieve,lru" --size 20% -f csv) || wrong "neap replay failed"
[ "$(printf '%s\n' "$table" | wc -l)" = 4 ] || wrong "neap replay said: $table"

sed -n '/^    local neap = require/,/^$/s/^    //p' "$root/README.md" >"$work/neap.lua"
[ -s "$work/neap.lua" ] || wrong "the README shows no configuration"
fine neap.lua

# Every section that the README's transcripts show is one of the demonstration's.
# shown FROM TO EXAMPLE: the transcript between these two beginnings of lines.
shown() {
  sed -n "/^$1/,/^$2/s/^    \([A-Z].*\)/\1/p" "$root/README.md" >"$work/titles"
  [ -s "$work/titles" ] || wrong "the README shows no transcript of examples/$3"
  while read -r title; do
    grep -qF "say \"$title\"" "$root/examples/$3/run" || wrong "examples/$3 does not say '$title'"
  done <"$work/titles"
}
shown 'What the demonstration shows' 'A configuration is' quickstart
shown 'Tiers below memory' '## Where things are' tiered
exit $status
