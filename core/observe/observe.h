/* The facade of what the gateway tells about itself.
 *
 *   access_log.h  a line for every exchange
 *   tally.h       what workers count, without locks
 *   expose.h      the table of all metrics, and how they are written for Prometheus
 */
#ifndef NEAP_OBSERVE_OBSERVE_H
#define NEAP_OBSERVE_OBSERVE_H

#include "observe/access_log.h"
#include "observe/expose.h"
#include "observe/tally.h"

#endif
