/* A trace made ready for several runs: read through once, held in memory where it fits, else read again for
 * each run, reel by reel. Internal to sim/, but for what sim.h says of it. */
#ifndef NEAP_SIM_TAPE_H
#define NEAP_SIM_TAPE_H

#include "sim/sim.h"
#include "sim/trace.h"

/* Starts a run: from the beginning, whatever was read before. */
void neap_tape_rewind(neap_tape *tape);
/* The next reel of requests: their number, 0 at the end, or negative. Borrowed until the next call. */
int64_t neap_tape_next(neap_tape *tape, const neap_trace_request **requests, neap_err *err);

#endif
