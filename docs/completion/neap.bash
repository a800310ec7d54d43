# Completion of neap for bash: asks the program itself, so it knows every verb, option and policy there is.
# Installed to share/bash-completion/completions/neap; or: source docs/completion/neap.bash

# The names that the program offers instead of one that there is none of: "...; there are a, b".
_neap_offers() {
  "$@" 2>&1 | sed -n 's/.*; there are //p' | tr -d ,
}

# What may stand for the value of option $3 of verb $2. Nothing: files.
_neap_values() {
  case "$2 $3" in
  "simulate -p" | "simulate --policy") _neap_offers "$1" simulate balance --policy '?' ;;
  "simulate -s" | "simulate --scenario") echo all && "$1" simulate balance --list | sed -n 's/^\[\(.*\)\]$/\1/p' ;;
  "replay -p" | "replay --policy") _neap_offers "$1" replay --size 1 --policy '?' /dev/null ;;
  "replay --prefetch") _neap_offers "$1" replay --size 1 --policy lru --prefetch '?' /dev/null ;;
  esac
}

_neap() {
  local at=$COMP_CWORD word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} neap=${COMP_WORDS[0]} option values before
  [ "$word" != = ] || word= at=$((at + 1)) # --policy=NAME comes in three words
  option=${COMP_WORDS[at - 1]}
  [ "$option" != = ] || option=${COMP_WORDS[at - 2]}
  if [ "$COMP_CWORD" = 1 ] || { [ "$verb" = help ] && [ "$COMP_CWORD" = 2 ]; }; then
    mapfile -t COMPREPLY < <(compgen -W "$("$neap" help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p')" -- "$word")
  elif [[ $option == -* ]] && values=$(_neap_values "$neap" "$verb" "$option" 2>/dev/null) && [ -n "$values" ]; then
    before= # of a list, what is before the last comma stays
    [[ $word != *,* ]] || before=${word%,*},
    mapfile -t COMPREPLY < <(compgen -P "$before" -W "$values" -- "${word##*,}"; compgen -f -- "$word")
  elif [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$("$neap" help "$verb" 2>/dev/null |
      sed -n 's/^  \(-.,\|   \) \(--[a-z-]*\).*/\2/p')" -- "$word")
  elif [ "$verb" = simulate ] && [ "$COMP_CWORD" = 2 ]; then
    mapfile -t COMPREPLY < <(compgen -W balance -- "$word")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
  fi
}
complete -o filenames -o bashdefault -F _neap neap
