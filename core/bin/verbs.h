/* The verbs, one per file: verb_<name>.c. To add one: write its file, name it here and in main.c's table,
 * describe it in docs/man/neap.1. */
#ifndef NEAP_BIN_VERBS_H
#define NEAP_BIN_VERBS_H

#include "bin/args.h"

extern const neap_verb neap_verb_check;
extern const neap_verb neap_verb_proxy;
extern const neap_verb neap_verb_replay;
extern const neap_verb neap_verb_run;
extern const neap_verb neap_verb_simulate;
extern const neap_verb neap_verb_top;
extern const neap_verb neap_verb_verify;

#endif
