/* The verbs that ask a running gateway. */
#ifndef NEAP_BIN_VERB_CTL_H
#define NEAP_BIN_VERB_CTL_H

#include "bin/args.h"

/* The verb at `index` of the server's table; false after the last. */
bool neap_verb_ctl_at(size_t index, neap_verb *out);

#endif
