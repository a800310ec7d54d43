/* A balance policy beside the pool's: the same questions on a board of its own, over the same rows.
 *
 * What it answers is counted by backend, next to what the pool's policy answered. Its guard stands between it
 * and the engine as ever; when that has taken it out, it is asked no more. */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"
#include "upstream/pool.h"

enum { SHARES_LEAST = 64, LOOKS = 16 };

/* Written by the worker, read by any. */
typedef struct shadow_share {
  _Atomic double id; /* 0: free */
  _Atomic uint64_t picks, would_be;
} shadow_share;

struct neap_pool_shadow {
  neap_pick_board board;
  neap_policy *policy;
  _Atomic uint64_t asked, agreed, failed;
  _Atomic bool rests;
  uint32_t mask; /* of places in `shares`; behind them one for all that found none */
  shadow_share shares[];
};

double neap_backend_id(const char *address) {
  return (double)(neap_hash_bytes(address, strlen(address)) >> 11);
}

static void count(_Atomic uint64_t *counter) {
  atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                        memory_order_relaxed);
}

/* --- asking */

static shadow_share *share_of(neap_pool_shadow *shadow, double id) {
  uint64_t at = (uint64_t)id;
  for (int i = 0; i < LOOKS; i++, at++) {
    shadow_share *share = &shadow->shares[at & shadow->mask];
    double has = atomic_load_explicit(&share->id, memory_order_relaxed);
    if (has == 0) atomic_store_explicit(&share->id, id, memory_order_relaxed);
    if (has == 0 || has == id) return share;
  }
  return &shadow->shares[shadow->mask + 1];
}

/* The question, which is the pool's. */
static void copy_question(neap_pool_shadow *shadow, const neap_pick_board *from) {
  neap_pick_board *board = &shadow->board;
  board->count = from->count;
  board->random1 = from->random1;
  board->random2 = from->random2;
  board->waiting = from->waiting;
  board->may_wait = from->may_wait;
  board->key = from->key;
  board->now_ms = from->now_ms;
  board->rows = from->rows;
  board->request = from->request;
  board->probe_count = 0;
}

/* False: its guard answered for it. */
static bool ask(neap_pool_shadow *shadow) {
  neap_policy_counters before, after;
  neap_policy_counters_peek(shadow->policy, &before);
  neap_policy_decide(shadow->policy, NEAP_ASK_PICK);
  neap_policy_counters_peek(shadow->policy, &after);
  if (after.trips > 0) atomic_store_explicit(&shadow->rests, true, memory_order_relaxed);
  return after.fallbacks == before.fallbacks && after.trips == 0;
}

void neap_pool_shadow_ask(neap_pool *pool) {
  neap_pool_shadow *shadow = pool->shadow;
  if (atomic_load_explicit(&shadow->rests, memory_order_relaxed)) return;
  copy_question(shadow, &pool->board);
  if (!ask(shadow)) {
    count(&shadow->failed);
    return;
  }
  int32_t answer = pool->board.answer, would_be = shadow->board.answer;
  count(&shadow->asked);
  if (answer == would_be) count(&shadow->agreed);
  if (answer >= 0) count(&share_of(shadow, pool->rows[answer].id)->picks);
  if (would_be >= 0) count(&share_of(shadow, pool->rows[would_be].id)->would_be);
}

/* A full board is observed at once: the rows may have moved since the last question. */
void neap_pool_shadow_tell(neap_pool *pool, int32_t kind, int32_t member, int32_t in_flight, double took_us,
                           int32_t status) {
  neap_pool_shadow *shadow = pool->shadow;
  if (atomic_load_explicit(&shadow->rests, memory_order_relaxed)) return;
  shadow->board.count = pool->board.count;
  shadow->board.rows = pool->rows;
  neap_policy_tell(shadow->policy, kind, member, in_flight, took_us, status);
}

/* Its places need not be those that the policy was made with. */
void neap_pool_set_shadow(neap_pool *pool, neap_pool_shadow *shadow) {
  pool->shadow = shadow;
  for (int32_t i = 0; shadow && i < pool->board.count; i++)
    if (pool->members[i].backend) neap_pool_shadow_tell(pool, NEAP_EVENT_JOINED, i, 0, 0, 0);
}

/* --- seeing */

void neap_pool_shadow_gather(const neap_pool_shadow *shadow, neap_pool_shadow_sum *sum) {
  sum->asked += atomic_load_explicit(&shadow->asked, memory_order_relaxed);
  sum->agreed += atomic_load_explicit(&shadow->agreed, memory_order_relaxed);
  sum->failed += atomic_load_explicit(&shadow->failed, memory_order_relaxed);
  sum->rests = sum->rests || atomic_load_explicit(&shadow->rests, memory_order_relaxed);
}

bool neap_pool_shadow_share_at(const neap_pool_shadow *shadow, size_t index, neap_pool_shadow_share *out) {
  if (index > shadow->mask + 1) return false;
  const shadow_share *share = &shadow->shares[index];
  *out = (neap_pool_shadow_share){.id = atomic_load_explicit(&share->id, memory_order_relaxed),
                                  .picks = atomic_load_explicit(&share->picks, memory_order_relaxed),
                                  .would_be = atomic_load_explicit(&share->would_be, memory_order_relaxed)};
  return true;
}

/* --- life */

int neap_pool_shadow_create(const neap_pool *like, neap_pool_shadow **out, neap_err *err) {
  const neap_pool_options *options = &like->options;
  uint32_t places = SHARES_LEAST;
  while (places < 4 * (uint32_t)like->board.count) places *= 2;
  neap_pool_shadow *shadow = calloc(1, sizeof *shadow + (places + 1) * sizeof *shadow->shares);
  if (shadow == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  shadow->mask = places - 1;
  copy_question(shadow, &like->board);
  neap_policy_env env = {.host = options->host,
                         .seed = options->seed,
                         .generation = options->generation,
                         .pick = &shadow->board};
  int code = neap_policy_open(options->registry, NEAP_BALANCE, options->balance, options->source, &env,
                              options->params, options->param_count, &shadow->policy, err);
  if (code)
    free(shadow);
  else
    *out = shadow;
  return code;
}

void neap_pool_shadow_destroy(neap_pool_shadow **shadow) {
  if (*shadow == NULL) return;
  neap_policy_close(&(*shadow)->policy);
  free(*shadow);
  *shadow = NULL;
}
