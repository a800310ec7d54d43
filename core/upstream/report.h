/* Load reports: how busy a backend says it is, in a header field of its responses or in the body of its
 * health document. Part of the facade of upstream/. */
#ifndef NEAP_UPSTREAM_REPORT_H
#define NEAP_UPSTREAM_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "neap/neap.h"

typedef struct neap_report {
  int32_t load;       /* requests that it works on or holds; -1: not said */
  int32_t capacity;   /* requests that it can work on at once; 0: not said */
  double utilization; /* 0 idle, 1 fully used, above where it is overcommitted; -1: not said */
} neap_report;

/* Reads the value of `endpoint-load-metrics`: "JSON {...}", "TEXT a=1,b=2", or either without its word, as in
 * a body and in `endpoint-load-metrics-json`. Known names, in the object itself or one below it:
 *   load         in_flight, rif, requests_in_flight, active_requests
 *   capacity     capacity, concurrency, max_concurrency
 *   utilization  application_utilization before utilization before cpu_utilization before cpu
 * Whatever else stands there is skipped. False where nothing known is in it, or it is malformed before
 * anything known is; never reads beyond `text`, allocates nothing. Any thread. hot: */
bool neap_report_parse(neap_view text, neap_report *out);
/* Whether a header field of that name holds a report. Any thread. */
bool neap_report_is_field(neap_view name);

#endif
