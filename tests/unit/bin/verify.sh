#!/bin/sh
# What `neap verify` answers to good and bad histories and command lines. Usage: sh tests/unit/bin/verify.sh NEAP
set -u
neap=$1 root=$(dirname "$0")/../../..
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
wrong() { echo "verify: $*" >&2; failed=1; }

# says STATUS TEXT ARGUMENT...: it ends so, and its one line on stderr holds TEXT.
says() {
  status=$1 text=$2
  shift 2
  "$neap" verify "$@" >"$scratch/out" 2>"$scratch/err"
  got=$?
  [ $got = "$status" ] || wrong "'verify $*' ended with $got instead of $status"
  grep -qF -- "$text" "$scratch/err" || wrong "'verify $*' said '$(cat "$scratch/err")', not '$text'"
  [ "$(wc -l <"$scratch/err")" = 1 ] || wrong "'verify $*' did not say it in one line: $(cat "$scratch/err")"
}
# ends STATUS ARGUMENT...: it ends so and says nothing on stderr; its answer is in $scratch/out.
ends() {
  status=$1
  shift
  "$neap" verify "$@" >"$scratch/out" 2>"$scratch/err"
  got=$?
  [ $got = "$status" ] || wrong "'verify $*' ended with $got instead of $status: $(cat "$scratch/out")"
  [ ! -s "$scratch/err" ] || wrong "'verify $*' said: $(cat "$scratch/err")"
}
shows() { grep -qF -- "$1" "$scratch/out" || wrong "no '$1' in: $(cat "$scratch/out")"; }

# op CLIENT OP KEY VALUE VERSION INVOKE RETURN [RESULT]
op() {
  echo "{\"client\":\"$1\",\"op\":\"$2\",\"key\":\"$3\",\"value\":$4,\"version\":$5,\"invoke\":$6,\"return\":$7,\"result\":\"${8:-ok}\"}"
}
good=$scratch/good.jsonl bad=$scratch/history.jsonl
{
  op n1 set user:17 '"a"' 1 1000 1200
  op n2 get user:17 '"a"' 1 1300 1400
  op n1 set user:17 '"b"' 2 2000 2100
  op n1 set user:18 '"x"' 3 2200 2300
} >"$good"
{
  cat "$good"
  op n2 get user:17 '"a"' 1 3000 3050
  op n2 get user:18 '"x"' 3 3060 3070
} >"$bad"

# --- good ---
ends 0 "$good"
shows "4 operations, 2 keys, 2 clients"
shows "linearizable       holds     2 keys"
if grep -q staleness "$scratch/out"; then wrong "staleness without a bound"; fi
zstd -q "$good" -o "$scratch/packed"
ends 0 "$scratch/packed"
ends 0 -s 1s "$good"
shows "worst 0 ns of 1 s"
: >"$scratch/empty"
ends 0 "$scratch/empty"

# --- violated: the page shows what is said of it ---
(cd "$scratch" && "$neap" verify -s 500ns history.jsonl) >"$scratch/out"
[ $? = 1 ] || wrong "a stale read ends with 0"
sed -n '/^    history.jsonl: 6/,/^$/s/^    //p' "$root/docs/consistency.md" | sed '/^$/d' >"$scratch/page"
[ -s "$scratch/page" ] || wrong "docs/consistency.md shows no example"
diff "$scratch/page" "$scratch/out" >&2 || wrong "docs/consistency.md shows another answer"
ends 0 -s 900ns -c staleness,monotonic-reads "$bad"
ends 1 --check=linearizable --format json "$bad"
python3 - "$scratch/out" <<'END' || wrong "json: $(cat "$scratch/out")"
import json, sys
r = json.load(open(sys.argv[1]))
assert [c["check"] for c in r["checks"]] == ["linearizable"], r
c = r["checks"][0]
assert c["verdict"] == "violated" and c["violations"] == 1 and c["checked"] == 2, c
f = c["findings"][0]
assert f["minimal"] and [o["line"] for o in f["operations"]] == [1, 3, 5], f
assert f["operations"][2] == {"line": 5, "client": "n2", "op": "get", "key": "user:17", "value": "a", "version": 1,
                              "invoke": 3000, "return": 3050, "result": "ok"}, f
END
ends 1 "$good" "$bad" # one of them

# --- unknown ---
op n1 get k null 0 1 2 >"$scratch/blind"
ends 1 -c monotonic-reads "$scratch/blind"
shows "unknown"
shows "1 without a version"
ends 1 --steps 1 -c linearizable "$good"
shows "not decided within the limits"

# --- a terminal is not steered ---
printf '{"client":"a","op":"get","key":"\\u001b[2J","value":"\\u009bx\\n","invoke":1,"return":2,"result":"ok"}\n' >"$scratch/steer"
ends 1 -c linearizable "$scratch/steer"
if grep -q "$(printf '\033')" "$scratch/out"; then wrong "an escape reaches the terminal"; fi
shows 'key ?[2J'

# --- bad ---
says 2 "which history?"
says 2 "--check: 'linear' is unknown" -c linear "$good"
says 2 "--check: '' is unknown" -c linearizable, "$good"
says 2 "staleness needs a bound" -c staleness "$good"
says 2 "'5 parsecs' is no time" -s "5 parsecs" "$good"
says 2 "'-1s' is no time" -s -1s "$good"
says 2 "'1e99' is no time" -s 1e99 "$good"
says 2 "--memory: '1' is no size" --memory 1 "$good"
says 2 "--format: 'csv' is unknown" -f csv "$good"
says 1 "nonexistent" "$scratch/nonexistent"
says 1 "$scratch: error:" "$scratch"
echo '{"op":"get"' >>"$bad"
says 1 "history.jsonl:7: error:" "$bad"
exit $failed
