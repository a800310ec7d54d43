/* The compiled form of a route table. Internal to route/.
 *
 *   hosts    hash table: "example.com", ".example.com" (of "*.example.com"), and [0], which stands for any
 * host up       the next less specific host, so that a walk goes exact -> wildcards -> any without looking
 * again root     its radix tree over paths nodes    one array; the children of a node lie side by side, found
 * by counting bits below the next byte's up       the nearest ancestor that has prefix rules: the walk back
 * needs no stack rules    one array in order of precedence within each node's two lists
 *
 * Everything is an offset into arrays, which makes a table one block per array and a node one cache line. */
#ifndef NEAP_ROUTE_TREE_H
#define NEAP_ROUTE_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "route/route.h"

#define NEAP_ROUTE_METHODS_MAX 64
#define NEAP_ROUTE_PATH_MAX    4096
#define NEAP_ROUTE_HOST_MAX    253
#define NEAP_ROUTE_ENDS        1024

typedef struct neap_route_node {
  uint64_t present[4]; /* which bytes have a child */
  int32_t child;       /* the first of them */
  int32_t up;          /* -1: none */
  int32_t label;       /* in `texts`: what must follow before this node is reached */
  uint16_t label_size;
  uint8_t below[4]; /* children in the words of `present` before this one */
  int32_t rule;     /* the first: for paths that end here, then for those that begin so */
  int32_t exact_count, prefix_count;
} neap_route_node;
_Static_assert(sizeof(neap_route_node) == 64, "a node is one cache line");

typedef struct neap_route_host {
  uint64_t hash;
  int32_t text, size; /* in `texts`, lower case; size 0: an empty place of the hash table */
  int32_t root;
  int32_t up; /* -1: none */
} neap_route_host;

typedef struct neap_route_field {
  neap_view name, value; /* value.ptr NULL: any */
} neap_route_field;

/* One match, compiled. A BELOW rule has two: one among the exact, one among the prefixes. */
typedef struct neap_route_rule {
  uint64_t methods; /* bits of `methods`; 0: any */
  const neap_route_field *headers, *queries;
  int32_t header_count, query_count;
  int32_t index; /* of declaration */
} neap_route_rule;

typedef int32_t neap_route_descend(const neap_routes *routes, int32_t root, const neap_slice *path,
                                   bool *whole);

struct neap_routes {
  uint32_t magic;
  bool wildcards;
  int32_t host_count;  /* that rules name */
  uint64_t host_sizes; /* bit (size % 64) of each: most requests for other hosts are told by it alone */
  uint64_t host_ends[NEAP_ROUTE_ENDS / 64]; /* and most of the others by neap_route_host_ends */
  uint32_t host_mask;                       /* a host's first place is hosts[1 + (hash & host_mask)] */
  neap_route_descend *descend;              /* as the processor allows */
  neap_route_host *hosts;
  neap_route_node *nodes;
  neap_route_rule *rules;
  neap_route_field *fields;
  char *texts; /* all that is named above, then a word of zeros, so that texts may be read as words */
  neap_view methods[NEAP_ROUTE_METHODS_MAX];
  int32_t method_count;
};

neap_route_descend *neap_route_descend_best(void);
/* Which bit of `host_ends` stands for a host of at least 8 bytes: a hash of its first and its last eight. */
static inline uint32_t neap_route_host_ends(const char *host, size_t size) {
  uint64_t first, last;
  memcpy(&first, host, 8);
  memcpy(&last, host + size - 8, 8);
  return (uint32_t)(((first ^ (last << 29 | last >> 35)) * UINT64_C(0x9e3779b97f4a7c15)) >> 54);
}
/* `host` in lower case. hot. */
uint64_t neap_route_host_hash(const char *host, size_t size);
/* The place of a host in lower case, or the empty place where it belongs. hot. */
int32_t neap_route_host_find(const neap_routes *routes, const char *host, size_t size);

#endif
