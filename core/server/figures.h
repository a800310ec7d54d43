/* What several of those that show look at. Internal to server/; control thread. */
#ifndef NEAP_SERVER_FIGURES_H
#define NEAP_SERVER_FIGURES_H

#include "server/gateway.h"

/* A policy in force, summed over the workers. Texts are borrowed from the generation. */
typedef struct neap_policy_view {
  const char *kind; /* "balance", "route", "health", "evict", "prefetch" */
  const char *name; /* of the pool; "cache"; the issuer; "" for the predicates and actions of routes, counted
                       together */
  char policy[128];
  char generation[24]; /* of the cache's own count for "evict" */
  uint64_t refused;    /* values of actions, "route" alone */
  neap_policy_counters counters;
  uint64_t fault_ms;          /* when its newest fault was */
  char fault[NEAP_NOTE_TEXT]; /* "file:line: text"; "": there is none */
} neap_policy_view;

/* How many there are; `*out` is to be given to free(). 0 and NULL when out of memory. */
size_t neap_policy_views_get(neap_gateway *gateway, neap_policy_view **out);

/* "up", "down", "draining", "unknown" of NEAP_BACKEND_... */
const char *neap_backend_state_name(int32_t state);

/* As `neap backends` and `neap policies` tell them. `pool`: NULL for all. */
json_t *neap_backends_json(neap_gateway *gateway, const char *pool);
json_t *neap_policies_json(neap_gateway *gateway);
/* The newest fault of each policy that has one. */
json_t *neap_faults_json(neap_gateway *gateway);

#endif
