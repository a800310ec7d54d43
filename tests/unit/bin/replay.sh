#!/bin/sh
# What `neap replay` answers to good and bad command lines and traces. Usage: sh tests/unit/bin/replay.sh NEAP
set -u
neap=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
wrong() { echo "replay: $*" >&2; failed=1; }

# says STATUS TEXT ARGUMENT...: neap with these arguments ends so, and its one line on stderr holds TEXT.
says() {
  status=$1 text=$2
  shift 2
  "$neap" "$@" >"$scratch/out" 2>"$scratch/err"
  got=$?
  [ $got = "$status" ] || wrong "'neap $*' ended with $got instead of $status"
  grep -qF -- "$text" "$scratch/err" || wrong "'neap $*' said '$(cat "$scratch/err")', not '$text'"
  [ "$(wc -l <"$scratch/err")" = 1 ] || wrong "'neap $*' did not say it in one line: $(cat "$scratch/err")"
}
# shows TEXT ARGUMENT...: it succeeds, says nothing on stderr, and TEXT is a line of its output.
shows() {
  text=$1
  shift
  "$neap" "$@" >"$scratch/out" 2>"$scratch/err" || wrong "'neap $*' failed: $(cat "$scratch/err")"
  grep -qxF -- "$text" "$scratch/out" || wrong "'neap $*' did not show '$text' but: $(cat "$scratch/out")"
  [ ! -s "$scratch/err" ] || wrong "'neap $*' said: $(cat "$scratch/err")"
}

# A loop over four keys: LRU with room for three always misses, LIFO keeps what it has.
trace=$scratch/loop.csv
{
  echo time,key,size
  for i in 1 2 3 4 5; do for key in -1 2 3 4; do echo "$i,$key,$((key > 0 ? key : 10))"; done; done
} >"$trace"
zstd -q "$trace" -o "$scratch/loop.bin" # detected by content, not by name

# --- good ---
head="trace,policy,unit,size,requests,misses,miss_ratio,byte_miss_ratio,ns_per_request"
shows "$head" replay "$trace" -p lru -s 3 -f csv --exact
grep -q "^$trace,lru,objects,3,20,20,1.000000,1.000000,[0-9.]*$" "$scratch/out" || wrong "csv: $(cat "$scratch/out")"
shows "$head" replay "$scratch/loop.bin" -p lru -s 100% -f csv --exact
grep -q ",lru,objects,4,20,4,0.200000,0.200000," "$scratch/out" || wrong "zstd: $(cat "$scratch/out")"
shows "$head" replay "$trace" -p lru -s 19B,100% -u bytes -f csv --exact
[ "$(grep -c ",lru,bytes,19,20,4,0.200000,0.200000," "$scratch/out")" = 2 ] || wrong "bytes: $(cat "$scratch/out")"
shows "  fewest misses: lifo" replay "$trace" -p lru,lifo -s 3 --exact
shows "$head" replay "$trace" "$scratch/loop.bin" -p lru,sieve,fifo -s 2,3 -f csv --threads 3
[ "$(wc -l <"$scratch/out")" = 13 ] || wrong "two traces, three policies, two sizes: $(cat "$scratch/out")"
"$neap" replay "$trace" -p lru,fifo -s 2,3 -f json | python3 -c 'import json, sys; assert len(json.load(sys.stdin)) == 4' ||
  wrong "json is not what it should be"

# --- prefetching: with it more columns, without it those promised ---
seq 1 3000 | awk '{ print $1 "," $1 * 8 ",1" }' >"$scratch/run.csv"
shows "$head,prefetch,gain,issued,used,late,wasted,suppressed" \
  replay "$scratch/run.csv" -p lru -s 200 -f csv --prefetch stride,association
[ "$(grep -c ",none,0.0000,0,0,0,0,0$" "$scratch/out")" = 1 ] || wrong "prefetch none: $(cat "$scratch/out")"
grep -q ",stride,4[0-9]\.[0-9]*,[0-9]*,[0-9]*,[0-9]*,[0-9]*,[0-9]*$" "$scratch/out" || wrong "stride: $(cat "$scratch/out")"
grep -q ",association,0.0000," "$scratch/out" || wrong "association: $(cat "$scratch/out")"
"$neap" replay "$scratch/run.csv" -p lru,sieve -s 200 -f json --prefetch 'default,stride(depth=8)+hints' |
  python3 -c 'import json, sys; rows = json.load(sys.stdin); assert len(rows) == 6 and rows[1]["gain"] > 40, rows' ||
  wrong "json with prefetching is not what it should be"
shows "  fewest misses: lru (stride)" replay "$scratch/run.csv" -p lru -s 200 --prefetch stride,association
cat >"$scratch/faulty.lua" <<'LUA'
local p = require "neap.policy".prefetch { name = "faulty" }
local n = 0
function p.want()
  n = n + 1
  if n > 20000 then error "no more" end
end
return p
LUA
seq 1 30000 | awk '{ print $1 "," $1 ",1" }' >"$scratch/long.csv"
"$neap" replay "$scratch/long.csv" -p lru -s 200 --prefetch "$scratch/faulty.lua" >"$scratch/out" 2>"$scratch/err"
[ $? = 1 ] || wrong "a faulty prefetch policy ended well"
grep -q "faulty.lua made 3 faults: then nothing was prefetched" "$scratch/err" || wrong "faults: $(cat "$scratch/err")"
grep -q "faulty.lua:5: no more" "$scratch/err" || wrong "no place of the fault: $(cat "$scratch/err")"

# --- bad command lines ---
says 1 "$trace: error: --size: 0.001% of 4 is less than 1" replay "$trace" -p lru -s 0.001% -f csv
for option in policy=lru size=3 prefetch=stride; do
  says 2 "--${option%=*} is given twice" replay "$trace" -p lru -s 3 --prefetch stride "--$option"
done
says 2 "--prefetch: there is nothing before or behind a plus in 'stride+'" replay "$trace" -p lru -s 3 --prefetch stride+
says 2 "--prefetch: there is nothing before or behind a comma" replay "$trace" -p lru -s 3 --prefetch stride,
says 2 "--prefetch is played on one thread" replay "$trace" -p lru -s 3 --prefetch stride --threads 2
says 2 "--prefetch-delay must be an integer from 1 to 1000" replay "$trace" -p lru -s 3 --prefetch-delay 0
says 1 "did you mean 'stride'?" replay "$trace" -p lru -s 3 --prefetch strid
says 1 "unknown parameter 'dept', did you mean 'depth'?" replay "$trace" -p lru -s 3 --prefetch 'stride(dept=3)'
says 1 "no policy 'lru' to prefetch" replay "$trace" -p lru -s 3 --prefetch lru
says 2 "which trace?" replay
says 2 "which policies?" replay "$trace" -s 3
says 2 "which sizes?" replay "$trace" -p lru
says 2 "did you mean --policy?" replay "$trace" --polcy lru -s 3
says 2 "a cache of size 0 holds nothing" replay "$trace" -p lru -s 0
says 2 "there are objects, bytes" replay "$trace" -p lru -s 3 --unit byte
says 2 "there are text, csv, json" replay "$trace" -p lru -s 3 --format cvs
says 2 "--threads must be an integer from 1 to 256" replay "$trace" -p lru -s 3 --threads 0
says 2 "unknown verb 'repaly', did you mean 'replay'?" repaly

# --- bad traces and policies ---
says 1 "/nowhere/t.csv: error: cannot open: No such file or directory" replay /nowhere/t.csv -p lru -s 3
says 1 "sieve" replay "$trace" -p seive -s 3
says 1 "less than 1" replay "$trace" -p lru -s 1%
: >"$scratch/empty"
says 1 "empty: error: the trace holds no requests" replay "$scratch/empty" -p lru -s 3
echo 1,x,3 >"$scratch/odd"
says 1 "odd:1: error: key must be an integer of 64 bits, in '1,x,3'" replay "$scratch/odd" -p lru -s 3
head -c 40 "$scratch/loop.bin" >"$scratch/cut"
says 1 "cut: error: truncated zstd stream" replay "$scratch/cut" -p lru -s 3

# --- a full disk under the output is a failure ---
if [ -w /dev/full ]; then
  "$neap" replay "$trace" -p lru -s 3 >/dev/full 2>"$scratch/err" && wrong "a full disk is no failure"
fi
exit $failed
