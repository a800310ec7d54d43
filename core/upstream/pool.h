/* A pool, as the files of upstream/ see it. Worker only.
 *
 * A member has a place: its index on the board. It keeps it as long as it is in the pool, and after it has
 * left until the last exchange has let go of it; then the place is free for another. A place is 1 empty    no
 * backend; barred as gone 2 taken    by join; the policy is told JOINED 3 leaving  the policy was told LEFT,
 * nobody is sent there any more, exchanges may still hold it 1 -> 2 -> 3 -> 1; from 3 the same backend may
 * come back to 2.
 */
#ifndef NEAP_UPSTREAM_POOL_H
#define NEAP_UPSTREAM_POOL_H

#include "base/base.h"
#include "base/random.h"
#include "upstream/backend.h"
#include "upstream/retry.h"
#include "upstream/session.h"

typedef struct pool_place {
  uint32_t holds; /* exchanges that have it as their member */
  bool leaving;
} pool_place;

/* What waits for a backend of a pool, oldest first. */
typedef struct pool_queue {
  neap_pool_waiter *first, *last;
  uint32_t count;
  uint32_t fresh;         /* of them, those that have not tried anybody */
  neap_pool *next, *prev; /* among the pools of a worker in which somebody waits */
} pool_queue;

struct neap_pool {
  neap_pool_options options; /* care is never NULL */
  neap_pick_board board;
  neap_policy *policy;
  neap_session *session; /* NULL: clients go where the policy says */
  uint64_t hash;         /* of the name */
  neap_retry retry;
  neap_random random, overflow; /* of picks; of priorities */
  uint64_t now_ms;              /* of the newest ask */
  uint64_t rows_ms;             /* when the rows were read */
  double top_share;             /* of the rows */
  /* By place. */
  neap_pool_member *members; /* their backends are held; NULL: an empty place */
  pool_place *places;
  neap_backend_row *rows;
  int32_t capacity;         /* of the three */
  int32_t empties;          /* places below count without a backend */
  neap_pool_shadow *shadow; /* asked beside the policy; NULL: none */
  pool_queue queue;
  neap_queues *queues; /* of the worker; NULL before the first ask, or where nobody waits */
};

/* The next pick reads all rows, whatever the time. */
static inline void neap_pool_look_again(neap_pool *pool) {
  pool->rows_ms = UINT64_MAX;
}
static inline bool neap_pool_is_full(const neap_backend_row *row) {
  return row->limit > 0 && row->in_flight >= row->limit;
}

/* shadow.c: asks the shadow what the board asks, the answer being there; tells it an event. */
void neap_pool_shadow_ask(neap_pool *pool);
void neap_pool_shadow_tell(neap_pool *pool, int32_t kind, int32_t member, int32_t in_flight, double took_us,
                           int32_t status);
/* Tells the policy, and its shadow. hot: */
static inline void neap_pool_tell(neap_pool *pool, int32_t kind, int32_t member, int32_t in_flight,
                                  double took_us, int32_t status) {
  neap_policy_tell(pool->policy, kind, member, in_flight, took_us, status);
  if (NEAP_UNLIKELY(pool->shadow)) neap_pool_shadow_tell(pool, kind, member, in_flight, took_us, status);
}

/* queue.c: something ended that somebody may wait for. hot: */
void neap_queues_something_ended(neap_pool *pool);

#endif
