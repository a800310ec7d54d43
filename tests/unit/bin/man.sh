#!/bin/sh
# Compares the manual with the program: verbs, and each verb's options. Usage: sh tests/unit/bin/man.sh NEAP
# Where man is installed, the page must also render without a warning.
set -eu
neap=$1 page=$(dirname "$0")/../../../docs/man/neap.1
status=0
wrong() { echo "docs/man/neap.1:1: man: $*" >&2; status=1; }

# same WHAT SAID MANUAL: two sorted lists.
same() {
  [ "$2" = "$3" ] || wrong "$1: the program has $(echo $2), the manual has $(echo $3)"
}
long_options() { grep -o -- '--[a-z][a-z0-9-]*' | sort -u; }

verbs=$("$neap" help | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p' | sort)
same verbs "$verbs" "$(sed -n 's/^\.SS neap //p' "$page" | sort)"
[ -n "$verbs" ] || wrong "no verbs at all"

# Verbs that ask a running gateway share some options, which have a section of their own.
options_below() { sed -n "/^$1\$/,/^\.S[SH] /p" "$page" | sed 's/\\-/-/g' | grep -A 1 '^\.TP' | grep '^\.BR* "*-' | long_options || true; }
control=$(options_below '\.SH CONTROL OPTIONS')

for verb in $verbs; do
  # Of the program: the table of options. Of the manual: the tags of the verb's section.
  said=$("$neap" help "$verb" | grep -E '^  (-.,|   ) --' | sed 's/\(--[a-z0-9-]*\).*/\1/' | long_options || true)
  manual=$(options_below "\.SS neap $verb")
  others=$(printf '%s\n' "$control" | grep -vxF -e "$said" || true)
  [ -n "$others" ] || manual=$(printf '%s\n%s\n' "$manual" "$control" | sed '/^$/d' | sort -u)
  same "options of $verb" "$said" "$manual"
done

if command -v man >/dev/null; then
  warnings=$(MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 "$page" 2>&1 >/dev/null)
  [ -z "$warnings" ] || wrong "$warnings"
fi
exit $status
