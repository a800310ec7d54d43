#!/bin/sh
# What `neap simulate` answers to good and bad command lines. Usage: sh tests/unit/bin/simulate.sh NEAP
set -u
neap=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
wrong() { echo "simulate: $*" >&2; failed=1; }

# says STATUS TEXT ARGUMENT...: neap simulate with these ends so, and its one line on stderr begins with TEXT.
says() {
  status=$1 text=$2
  shift 2
  "$neap" simulate "$@" >"$scratch/out" 2>"$scratch/err"
  got=$?
  [ $got = "$status" ] || wrong "'$*' ended with $got instead of $status"
  grep -qF -- "$text" "$scratch/err" || wrong "'$*' said '$(cat "$scratch/err")', not '$text'"
  [ "$(wc -l <"$scratch/err")" = 1 ] || wrong "'$*' did not say it in one line: $(cat "$scratch/err")"
}

printf '# ours\n[mine]\nbackends = 3\nload = 0.5\n[other]\nbackends = 2\n' >"$scratch/mine.txt"
printf '[mine]\nlaod = 0.5\n' >"$scratch/bad.txt"
run="balance -s $scratch/mine.txt -p random,native:round_robin --requests 2000"

# The same bytes for the same seed, others for another.
for format in text csv json; do
  "$neap" simulate $run -f $format >"$scratch/1" || wrong "$format failed"
  "$neap" simulate $run -f $format --seed 1 >"$scratch/2"
  "$neap" simulate $run -f $format --seed 9 >"$scratch/3"
  cmp -s "$scratch/1" "$scratch/2" || wrong "$format: the same seed gave other bytes"
  cmp -s "$scratch/1" "$scratch/3" && wrong "$format: another seed gave the same bytes"
done
"$neap" simulate $run -f json | python3 -c '
import json, sys
told = json.load(sys.stdin)
assert [(r["scenario"], r["policy"]) for r in told["runs"]] == [
    (s, p) for s in ("mine", "other") for p in ("random", "native:round_robin")], told
assert min(r["regret"] for r in told["runs"]) == 1 and told["regret"][0]["scenarios"] == 2, told
' || wrong "json: $("$neap" simulate $run -f json)"
[ "$("$neap" simulate $run -f csv | grep -c '^mine,random,[0-9.]*,')" = 1 ] || wrong "csv"
"$neap" simulate $run | grep -q '^regret: ' || wrong "text has no regret"

# What --list prints is a file of scenarios.
"$neap" simulate balance --list >"$scratch/list.txt"
"$neap" simulate balance -s "$scratch/list.txt" -p random --requests 200 -f csv >"$scratch/1" || wrong "--list"
"$neap" simulate balance -s all -p random --requests 200 -f csv | cmp -s - "$scratch/1" || wrong "--list is not all"

says 2 "what is to be simulated" -p random
says 2 "'balanse' cannot be simulated" balanse
says 2 "unexpected 'more'" balance more
says 2 "--format: 'jsn' is unknown, there are " balance -f jsn
says 2 "--reports is on or off" balance -r maybe
says 2 "--seeds" balance -n 0
says 1 "no scenario 'A9', did you mean 'A" balance -s A9
says 1 "no scenario '': --list prints" balance -s ''
says 1 "no scenario 'homogeneous': --list prints" balance -s homogeneous
cp "$scratch/mine.txt" "$scratch/s1"
(cd "$scratch" && "$neap" simulate balance -s s1 2>err; grep -qF "no scenario 's1'; to read the file of that name: -s ./s1" err) ||
  wrong "a file without a slash: $(cat "$scratch/err")"
says 1 "$scratch/bad.txt:2: error: unknown key 'laod', did you mean 'load'?" balance -s "$scratch/bad.txt"
says 1 "$scratch/none.txt: error: cannot open" balance -s "$scratch/none.txt"
says 1 "--policy native:rnd" balance -p native:rnd
says 1 "there is no policy 'adaptiv' to balance, did you mean 'adaptive'?" balance -p adaptiv
says 1 "there are consistent_hash, estimated_wait, least_connections, p2c, random, two_homes, " balance -p nonsense

# A name means what it means in a configuration, and the guide's are names.
figures() { "$neap" simulate balance -s "$scratch/mine.txt" --requests 2000 -f csv -p "$1" | cut -d, -f3- ; }
for pair in p2c=native:p2c RoundRobin=native:round_robin leastconn=native:least_connections IPHash=native:ip_hash \
  lua:P2C=lua:p2c TwoHomes=two_homes; do
  [ "$(figures "${pair%=*}")" = "$(figures "${pair#*=}")" ] || wrong "$pair"
  printf 'local neap = require "neap"\nneap.listen { http = "127.0.0.1:0" }\nneap.pool { name = "a", balance = "%s", backends = { "127.0.0.1:1" } }\nneap.route { path = "/", pool = "a" }\n' \
    "${pair%=*}" >"$scratch/neap.lua"
  "$neap" check -q "$scratch/neap.lua" >"$scratch/out" || wrong "a configuration does not take ${pair%=*}: $(cat "$scratch/out")"
done
exit $failed
