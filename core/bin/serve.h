/* What `run` and `proxy` have in common: a gateway in this process, until a signal ends it. */
#ifndef NEAP_BIN_SERVE_H
#define NEAP_BIN_SERVE_H

#include "bin/args.h"
#include "server/server.h"

/* Serves. The exit status: 0 when it was told to stop, NEAP_EXIT_FAILED when it could not start, which has
 * been said. `check_only`: everything but binding and serving. */
int neap_serve(const neap_verb *verb, const neap_gateway_options *options, bool check_only);

#endif
