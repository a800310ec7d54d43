/* The route table: rules compiled to radix trees over the path, one for each host.
 *
 * Precedence, most specific first; the first difference decides:
 *   1 host     exact, then wildcards (the longer first), then any
 *   2 path     exact, then prefixes (the longer first), then any
 *   3 method   named before any
 *   4 headers  more conditions before fewer
 *   5 query    more conditions before fewer
 *   6 predicate before none
 *   7 order of declaration
 *
 * A table is immutable: any number of threads may look up in it. */
#ifndef NEAP_ROUTE_ROUTE_H
#define NEAP_ROUTE_ROUTE_H

#include <stddef.h>
#include <stdint.h>

#include "base/match.h"
#include "neap/neap.h"
#include "policy/abi.h"
#include "route/auth.h"
#include "route/limit.h"
#include "route/parts.h"
#include "route/table.h"

typedef struct neap_routes neap_routes;

/* Compiles `count` rules, whose texts are copied. NEAP_ENOMEM; NEAP_EINVAL for a match that base/match.h does
 * not allow. */
int neap_routes_create(const neap_match *const *matches, size_t count, neap_routes **out);
void neap_routes_destroy(neap_routes **routes);

/* The walk over the rules that match one request, most specific first. On the stack of the caller. */
typedef struct neap_route_walk {
  const neap_routes *routes;
  const neap_request_board *request;
  const neap_slice *path; /* of it, as routes compare it */
  uint64_t method;        /* its bit in the table; 0: no rule names it */
  int32_t host, node; /* whose rules come when those in hand are through; node -1: those of hosts[host].up */
  int32_t rule, rule_end; /* in hand */
} neap_route_walk;

/* hot: both; no allocation. `request` is borrowed until the last call of next. */
void neap_routes_find(const neap_routes *routes, const neap_request_board *request, neap_route_walk *walk);
/* The index of the next rule that matches, -1 when there is none. */
int32_t neap_routes_next(neap_route_walk *walk);

/* The hash (53 bits) of what a pool balances by; of the empty text where the request has no such part. hot.
 */
double neap_route_key(neap_match_key key, const char *key_name, const neap_request_board *request);

#endif
