# Completion of neap for bash: asks the program itself, so it knows every verb and option there is.
# Installed to share/bash-completion/completions/neap; or: source docs/completion/neap.bash
_neap() {
  local word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} neap=${COMP_WORDS[0]}
  if [ "$COMP_CWORD" = 1 ] || { [ "$verb" = help ] && [ "$COMP_CWORD" = 2 ]; }; then
    mapfile -t COMPREPLY < <(compgen -W "$("$neap" help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p')" -- "$word")
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
