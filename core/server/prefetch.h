/* Prefetching in a gateway. Workers tell of misses, first uses and links by their feeds (flow/feed.h); the
 * control thread knows the targets, asks the policies, keeps the budget and orders prefetches, which workers
 * send. So no policy runs on a worker, all workers' requests are learned from together, and what was learned
 * outlives reloads. Internal to server/. Control thread, but for what says otherwise. */
#ifndef NEAP_SERVER_PREFETCH_H
#define NEAP_SERVER_PREFETCH_H

#include <jansson.h>

#include "flow/flow.h"
#include "observe/observe.h"
#include "policy/policy.h"
#include "script/script.h"
#include "server/server.h"
#include "server/targets.h"

typedef struct neap_prefetching neap_prefetching;

/* One for the gateway, that does nothing until a commit. NEAP_ENOMEM. */
int neap_prefetching_create(neap_gateway *gateway, neap_prefetching **out);
/* No worker is left. Before the cache. */
void neap_prefetching_destroy(neap_prefetching **prefetching);

/* What a generation changes: made by prepare, put in force by commit or freed by undo. */
typedef struct neap_prefetching_change {
  neap_prefetcher *prefetcher; /* with other policies; NULL: those stay */
  neap_targets *targets;       /* of another size; NULL: they stay */
} neap_prefetching_change;

/* Opens its policies. `registry` has those of the configuration. Errors with a sentence. Any thread, one at a
 * time. */
int neap_prefetching_prepare(neap_prefetching *prefetching, const neap_config *config,
                             neap_registry *registry, neap_prefetching_change *change, neap_err *err);
void neap_prefetching_undo(neap_prefetching_change *change);
void neap_prefetching_commit(neap_prefetching *prefetching, const neap_config *config,
                             neap_prefetching_change *change);

/* The feed of the worker at `place`, made where there is none: it stays when the worker ends. NULL when out
 * of memory. Any thread, one at a time. */
neap_feed *neap_prefetching_feed(neap_prefetching *prefetching, uint32_t place);
/* The worker at that place has ended: so have its prefetches. */
void neap_prefetching_worker_gone(neap_prefetching *prefetching, uint32_t place);

/* An operator wants it fetched. NEAP_ESTATE: nothing is prefetched here; NEAP_EROOM: too much is under way;
 * else as neap_prefetcher_wish. */
int neap_prefetching_ask(neap_prefetching *prefetching, neap_view host, neap_view target);

/* --- to be looked at: NULL where nothing is prefetched. prefetch_show.c */
const neap_prefetcher *neap_prefetching_prefetcher(const neap_prefetching *prefetching);
const neap_targets *neap_prefetching_targets(const neap_prefetching *prefetching);
uint64_t neap_prefetching_lost(const neap_prefetching *prefetching); /* records of feeds */

json_t *neap_prefetching_status(const neap_prefetching *prefetching);
void neap_prefetching_expose(const neap_prefetching *prefetching, neap_exposition *out);

#endif
