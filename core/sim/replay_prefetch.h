/* Prefetching in a replay: a prefetcher before the store, with fetches that take a number of requests.
 * Internal to sim/. */
#ifndef NEAP_SIM_REPLAY_PREFETCH_H
#define NEAP_SIM_REPLAY_PREFETCH_H

#include "sim/sim.h"
#include "sim/trace.h"
#include "store/store.h"

typedef struct neap_replay_prefetch neap_replay_prefetch;

/* `cache` and `options` are borrowed; `host` is that of the run. Errors: those of neap_policy_open. */
int neap_replay_prefetch_create(neap_cache *cache, const neap_replay_options *options, const neap_host *host,
                                neap_replay_prefetch **out, neap_err *err);
void neap_replay_prefetch_destroy(neap_replay_prefetch **prefetch);

/* Plays one request; `hash` of its key as neap_store_prefetch has said. True on a hit. */
bool neap_replay_prefetch_play(neap_replay_prefetch *prefetch, const neap_trace_request *request,
                               uint64_t hash);
void neap_replay_prefetch_result(const neap_replay_prefetch *prefetch, neap_replay_result *result);

#endif
