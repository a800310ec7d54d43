#!/bin/sh
# What bash offers behind a beginning of a command line. Usage: sh tests/unit/bin/completion.sh NEAP
set -eu
neap=$1
root=$(cd "$(dirname "$0")/../../.." && pwd)
export neap root
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
touch mine.lua

# expect "WANTED ..." WORD...: behind these words, the last of them begun.
expect() {
  wanted=$1
  shift
  # shellcheck disable=SC2016 # it is bash that expands them
  got=$(bash -c '. "$root/docs/completion/neap.bash"; COMP_WORDS=("$neap" "$@") COMP_CWORD=$#; _neap
    echo "${COMPREPLY[*]}"' bash "$@")
  [ "$got" = "$wanted" ] || { echo "completion: behind '$*': '$got', not '$wanted'" >&2; exit 1; }
}

expect "replay" rep
expect "help" hel
expect "simulate" help sim
expect "balance" simulate ''
expect "--policy" simulate balance --pol
expect "p2c peak_ewma" simulate balance -p p
expect "round_robin" simulate -p round
expect "p2c,ip_hash" simulate balance --policy p2c,ip
expect "late_binding" simulate balance --policy = late
expect "sieve" replay -p si
expect "lru,sieve,s3fifo" replay -p lru,sieve,s3
expect "association" replay -p lru --prefetch as
expect "" replay -p nix
expect "mine.lua" replay -p mi
expect "mine.lua" check mi
expect "" check p2
expect "A1 A2" simulate -s A
expect "B1,all" simulate -s B1,al
