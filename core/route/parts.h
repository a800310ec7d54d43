/* Parts of a request, put together to texts and keys. No allocation. Seen from outside through route/route.h.
 */
#ifndef NEAP_ROUTE_PARTS_H
#define NEAP_ROUTE_PARTS_H

#include <sys/types.h>

#include "base/actions.h"
#include "neap/neap.h"
#include "policy/abi.h"

/* The part itself, within the request (TEXT: within the rule); ptr NULL where the request has none. hot. */
neap_slice neap_part_find(const neap_part *part, const neap_request_board *request);

/* Where a template stands: in a path or a query that is sent on, or before the "?" of a redirect. */
typedef enum neap_parts_place { NEAP_PARTS_PATH, NEAP_PARTS_QUERY, NEAP_PARTS_LOCATION } neap_parts_place;

/* Writes the parts in a row: what would mean something else in that place is percent-encoded, so that no
 * request can add a parameter, a segment or a space. Returns the size, or NEAP_ESMALL. hot. */
ssize_t neap_parts_write(const neap_parts *parts, neap_parts_place place, const neap_request_board *request,
                         char *out, size_t capacity);

/* Likewise, as a Location: a template that is a path never leaves the host ("//a", "/\\a"), one with a host
 * never becomes another host, and no "?" is left at the end. At least one part. */
ssize_t neap_parts_write_location(const neap_parts *parts, const neap_request_board *request, char *out,
                                  size_t capacity);

/* An upper bound of what either needs. hot. */
size_t neap_parts_bound(const neap_parts *parts, const neap_request_board *request);

/* A hash of the parts' values (64 bits), the same on every gateway; parts that are not there count as such.
 * hot. */
uint64_t neap_parts_hash(const neap_parts *parts, const neap_request_board *request, uint64_t salt);

/* Writes the parameters of `query` (without "?") that a key rule leaves, in their order. Returns the size,
 * which is never above the query's. hot. */
size_t neap_query_filter(const neap_key_rule *rule, neap_slice query, char *out);

#endif
