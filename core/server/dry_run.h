/* The dry run of a generation. Internal to server/. */
#ifndef NEAP_SERVER_DRY_RUN_H
#define NEAP_SERVER_DRY_RUN_H

#include "server/gateway.h"

/* How much there is to be asked: routes with functions or actions, pools whose policy is not native. */
size_t neap_dry_run_subjects(const neap_config *config);
/* Asks everything that `part` can be asked, in the place of a worker that does not exist. A fault is a line
 * of
 * `*report`, "file:line: error: text", one for each route and pool; then NEAP_EPOLICY. Any thread. */
int neap_dry_run(neap_loaded_part *part, uint32_t place, char **report, neap_err *err);

#endif
