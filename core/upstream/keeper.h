/* What the files of the keeper share. Internal to upstream/.
 *
 *   keeper.c  pools as they are now; the sweep once a second
 *   probe.c   the probes of one backend
 */
#ifndef NEAP_UPSTREAM_KEEPER_H
#define NEAP_UPSTREAM_KEEPER_H

#include "remote/remote.h"
#include "upstream/backend.h"

enum { NEAP_PROBE_BODY_MAX = 16384 };

/* The probes of one backend by one set of rules: one under way or a timer set for the next, never both. */
typedef struct neap_probe {
  struct neap_probe *next;
  neap_keeper *home;
  neap_backend *backend;
  neap_health *health;          /* of the backend: where its verdicts go */
  int place;                    /* among the backend's checks */
  const neap_keeper_pool *pool; /* by whose rules; it is in the keeper's list */
  neap_timer timer;             /* the next probe; of a TCP probe under way: its end */
  neap_fetch *fetch;            /* HTTP, under way */
  neap_stream *stream;          /* TCP, under way */
  bool wanted;                  /* while the keeper takes in a new list of pools */
} neap_probe;

struct neap_keeper {
  neap_loop *loop;
  const neap_host *host;
  neap_fetcher *fetcher;
  neap_random random;
  neap_timer sweep;
  neap_keeper_pool *pools;
  bool *panics; /* by pool: health is ignored there, and that was told */
  size_t pool_count;
  neap_probe *probes;
};

/* Begins probing at once, in a free place. `from`: what is known so far, or NULL. NULL: out of memory. */
neap_probe *neap_probe_create(neap_keeper *home, neap_backend *backend, int place,
                              const neap_keeper_pool *pool, const neap_health *from);
/* The same backend for a pool of a new list: goes on as it is where the rules are the same. */
void neap_probe_change(neap_probe *probe, const neap_keeper_pool *pool);
void neap_probe_destroy(neap_probe **probe);

#endif
