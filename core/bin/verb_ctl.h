/* The verbs that ask a running gateway. */
#ifndef NEAP_BIN_VERB_CTL_H
#define NEAP_BIN_VERB_CTL_H

#include "bin/args.h"

/* The verb at `index` of the server's table; false after the last. */
bool neap_verb_ctl_at(size_t index, neap_verb *out);

/* A connection to the gateway's control socket: at `socket_path`, or where that of `config` may be. -1: has
 * said why not. */
int neap_ctl_connect(const neap_verb *verb, const char *config, const char *socket_path, uint64_t timeout_s);

#endif
