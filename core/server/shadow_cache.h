/* What another policy would evict: two caches of keys alone, one with the policy in force and one with the
 * candidate's, which replay a sample of the live cache's lookups on a thread of their own. A part of the keys
 * is taken, by hash, and the caches are as much smaller: the hit ratio stays (SHARDS, Waldspurger et al.
 * 2015). Both begin empty and neither knows of expiry, so that they may be compared with each other. Internal
 * to server/. */
#ifndef NEAP_SERVER_SHADOW_CACHE_H
#define NEAP_SERVER_SHADOW_CACHE_H

#include "flow/flow.h"
#include "script/script.h"
#include "store/store.h"

typedef struct neap_shadow_cache neap_shadow_cache;

typedef struct neap_shadow_policy {
  neap_registry *registry; /* borrowed until create returns, but that it is to outlive the cache */
  const char *evict;
  const neap_param *params;
  size_t param_count;
} neap_shadow_policy;

/* Any thread. */
int neap_shadow_cache_create(neap_cache *live, const neap_host *host, const neap_shadow_policy *in_force,
                             const neap_shadow_policy *candidate, neap_shadow_cache **out, neap_err *err);
/* A tape for one worker: as long as the cache. NULL when out of memory. Before start. */
neap_trial_tape *neap_shadow_cache_tape(neap_shadow_cache *cache);
int neap_shadow_cache_start(neap_shadow_cache *cache);
/* Waits for its thread. No worker may write to its tapes afterwards. */
void neap_shadow_cache_stop(neap_shadow_cache *cache);
void neap_shadow_cache_destroy(neap_shadow_cache **cache);

typedef struct neap_shadow_cache_sum {
  double sample;             /* the part of the keys that is taken */
  uint64_t lookups;          /* of those */
  uint64_t live, now, would; /* hits: of the live cache, of the policy in force replayed, of the candidate */
  uint64_t evicted_now, evicted_would;
  uint64_t faults, lost;
  bool rests; /* the candidate's guard has taken it out */
} neap_shadow_cache_sum;
void neap_shadow_cache_sum_get(neap_shadow_cache *cache, neap_shadow_cache_sum *out);

#endif
