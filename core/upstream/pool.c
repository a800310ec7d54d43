/* Pools: members, their rows on the board, and the policy that picks.
 *
 * Rows are this worker's copy of what is known of the backends. They are read again when the clock has moved
 * on; within a millisecond only what this worker itself does is written through, so that a pick in a pool of
 * a thousand does not read a thousand cache lines of others.
 */
#include "upstream/backend.h"
#include "upstream/retry.h"
#include "upstream/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"
#include "base/random.h"

enum { EWMA_HALF_US = 5000000 };           /* an answer this long after the last one counts for half */
static const double ERROR_PART = 1.0 / 32; /* of one request in a backend's error rate */

static const neap_care no_care;

struct neap_pool {
  neap_pool_options options; /* care is never NULL */
  neap_pick_board board;
  neap_policy *policy;
  neap_session *session; /* NULL: clients go where the policy says */
  uint64_t hash;         /* of the name */
  neap_retry retry;
  neap_random random, overflow; /* of picks; of priorities */
  uint64_t rows_ms;             /* when the rows were read */
  double top_share;             /* of the rows */
  neap_backend_row rows[];
};

/* --- what is known of a backend */

static neap_backend *backend_of(const neap_pool *pool, int32_t member) {
  return pool->options.members[member].backend;
}

/* It may be the last trial that a half-open breaker lets through. */
static void begin_trial(neap_pool *pool, int32_t member) {
  const neap_care_breaker *rules = &pool->options.care->breaker;
  neap_breaker *breaker = &backend_of(pool, member)->vitals.breaker;
  neap_breaker_begin(breaker, rules, pool->rows_ms);
  if (!neap_breaker_admits(breaker, rules, pool->rows_ms)) pool->rows[member].barred |= NEAP_BAR_OPEN;
}

int32_t neap_pool_begin(neap_pool *pool, int32_t member) {
  neap_backend *backend = backend_of(pool, member);
  int32_t in_flight = 1 + atomic_fetch_add_explicit(&backend->in_flight, 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&backend->requests, 1, memory_order_relaxed);
  pool->rows[member].in_flight = in_flight;
  neap_policy_tell(pool->policy, NEAP_EVENT_SENT, member, in_flight, 0, 0);
  if (pool->options.care->breaker.enabled) begin_trial(pool, member);
  return in_flight;
}

void neap_pool_end(neap_pool *pool, int32_t member) {
  neap_backend *backend = backend_of(pool, member);
  pool->rows[member].in_flight = atomic_fetch_sub_explicit(&backend->in_flight, 1, memory_order_relaxed) - 1;
}

/* Two workers may overwrite each other's sample, here and below; the next one mends that. */
static void count_error(neap_backend *backend, bool failed) {
  double rate = atomic_load_explicit(&backend->error_rate, memory_order_relaxed);
  if (failed) atomic_fetch_add_explicit(&backend->failures, 1, memory_order_relaxed);
  if (!failed && rate == 0) return;
  rate += ((failed ? 1.0 : 0.0) - rate) * ERROR_PART;
  atomic_store_explicit(&backend->error_rate, rate < 1e-6 ? 0 : rate, memory_order_relaxed);
}

/* Errors that are the backend's own, not the request's. */
static bool is_error(int32_t status) {
  return status >= 500 && status != 501 && status != 505;
}

static int32_t ejected_count(const neap_pool *pool, uint64_t now_ms) {
  int32_t count = 0;
  for (int32_t i = 0; i < pool->board.count; i++)
    count += neap_vitals_is_ejected(&backend_of(pool, i)->vitals, now_ms);
  return count;
}

/* An outcome that speaks against it: ejects it where that is one too many and the pool can spare it. */
static void hold_against(neap_pool *pool, int32_t member, uint64_t now_ms) {
  const neap_care *care = pool->options.care;
  neap_vitals *vitals = &backend_of(pool, member)->vitals;
  bool eject = neap_vitals_bad(vitals, care, now_ms);
  if (care->breaker.enabled) pool->rows_ms = UINT64_MAX; /* it may have opened */
  if (!eject) return;
  neap_vitals_eject(vitals, &care->eject, now_ms);
  if (neap_eject_allows(&care->eject, pool->board.count, ejected_count(pool, now_ms)))
    pool->rows_ms = UINT64_MAX; /* read them again: priorities and panic may change with it */
  else
    neap_vitals_take_back(vitals);
}

static void tell_outcome(neap_pool *pool, int32_t member, int32_t kind, const neap_pool_outcome *outcome) {
  neap_policy_tell(pool->policy, kind, member, outcome->in_flight, (double)outcome->took_us, outcome->status);
}

/* Peak-sensitive: a slower answer counts at once and in full, faster ones wear it down with time. */
static double ewma_after(double old_us, double took_us, double elapsed_us) {
  if (took_us >= old_us) return took_us;
  double share = elapsed_us / (elapsed_us + EWMA_HALF_US);
  return old_us + (took_us - old_us) * NEAP_MAX(share, 0.02);
}

static void learn_time(neap_backend *backend, uint64_t took_us, uint64_t now_ms) {
  double old_us = atomic_load_explicit(&backend->ewma_us, memory_order_relaxed);
  uint64_t at_ms = atomic_load_explicit(&backend->ewma_at_ms, memory_order_relaxed);
  double new_us = ewma_after(old_us, (double)took_us, now_ms > at_ms ? (double)(now_ms - at_ms) * 1e3 : 0);
  atomic_store_explicit(&backend->ewma_us, new_us, memory_order_relaxed);
  atomic_store_explicit(&backend->ewma_at_ms, now_ms, memory_order_relaxed);
}

void neap_pool_answered(neap_pool *pool, int32_t member, const neap_pool_outcome *outcome, uint64_t now_ms) {
  neap_retry_answered(&pool->retry, outcome->took_us, now_ms);
  neap_backend *backend = backend_of(pool, member);
  bool failed = outcome->status >= 500;
  learn_time(backend, outcome->took_us, now_ms);
  count_error(backend, failed);
  tell_outcome(pool, member, failed ? NEAP_EVENT_FAILED : NEAP_EVENT_DONE, outcome);
  if (!atomic_load_explicit(&backend->answered, memory_order_relaxed)) {
    atomic_store_explicit(&backend->answered, true, memory_order_relaxed);
    if (atomic_exchange_explicit(&backend->down_until_ms, 0, memory_order_relaxed) != 0)
      atomic_store_explicit(&backend->vitals.up_since_ms, now_ms, memory_order_relaxed);
  }
  if (NEAP_UNLIKELY(is_error(outcome->status)))
    hold_against(pool, member, now_ms);
  else
    neap_vitals_good(&backend->vitals, pool->options.care, now_ms);
  if (NEAP_UNLIKELY(pool->rows[member].barred & NEAP_BAR_OPEN))
    pool->rows_ms = UINT64_MAX; /* it was a trial */
}

void neap_pool_failed(neap_pool *pool, int32_t member, const neap_pool_outcome *outcome, uint64_t now_ms) {
  count_error(backend_of(pool, member), true);
  tell_outcome(pool, member, NEAP_EVENT_FAILED, outcome);
  hold_against(pool, member, now_ms);
}

void neap_pool_reported(neap_pool *pool, int32_t member, const neap_report *report, uint64_t now_ms) {
  neap_vitals *vitals = &backend_of(pool, member)->vitals;
  neap_vitals_report(vitals, report, now_ms);
  neap_vitals_show_report(vitals, now_ms, &pool->rows[member]);
  neap_policy_tell(pool->policy, NEAP_EVENT_REPORT, member, 0, 0, 0);
}

void neap_pool_unreachable(neap_pool *pool, int32_t member, const neap_pool_outcome *outcome,
                           uint64_t now_ms) {
  neap_backend *backend = backend_of(pool, member);
  count_error(backend, true);
  tell_outcome(pool, member, NEAP_EVENT_FAILED, outcome);
  neap_vitals_absent(&backend->vitals, pool->options.care, now_ms);
  atomic_store_explicit(&backend->down_until_ms, now_ms + pool->options.down_time_ms, memory_order_relaxed);
  atomic_store_explicit(&backend->answered, false, memory_order_relaxed);
  pool->rows_ms = UINT64_MAX; /* read them again: priorities and panic may change with it */
}

/* --- picking */

static void read_rows(neap_pool *pool, uint64_t now_ms) {
  if (pool->rows_ms == now_ms) return;
  pool->rows_ms = now_ms;
  double top = 0;
  for (int32_t i = 0; i < pool->board.count; i++) {
    neap_backend *backend = backend_of(pool, i);
    neap_backend_row *row = &pool->rows[i];
    uint64_t down_until_ms = atomic_load_explicit(&backend->down_until_ms, memory_order_relaxed);
    double told_ms = row->load_ms;
    row->state = neap_backend_state(backend, now_ms);
    neap_vitals_row(&backend->vitals, pool->options.care, down_until_ms, now_ms, row);
    if (row->load_ms != told_ms) neap_policy_tell(pool->policy, NEAP_EVENT_REPORT, i, 0, 0, 0);
    row->in_flight = atomic_load_explicit(&backend->in_flight, memory_order_relaxed);
    row->ewma_us = atomic_load_explicit(&backend->ewma_us, memory_order_relaxed);
    row->error_rate = atomic_load_explicit(&backend->error_rate, memory_order_relaxed);
    top = NEAP_MAX(top, row->share);
  }
  pool->top_share = top;
  neap_vitals_pool(pool->options.care, pool->rows, pool->board.count, &pool->overflow);
}

/* Nobody may be picked. What is known of health may be out of date, and an error is all that not trying can
 * give: so those that are spare, then those said to be unwell, then those that could not be reached; but
 * nobody whom a limit or an operator keeps out. */
static int32_t pick_down(const neap_pool *pool) {
  static const int32_t excused[] = {NEAP_BAR_SPARE, NEAP_BAR_SPARE | NEAP_BAR_SICK | NEAP_BAR_EJECTED,
                                    NEAP_BAR_SPARE | NEAP_BAR_SICK | NEAP_BAR_EJECTED | NEAP_BAR_DOWN};
  int32_t start = pool->board.random1;
  for (size_t pass = 0; pass < NEAP_COUNT_OF(excused); pass++)
    for (int32_t i = 0; i < pool->board.count; i++) {
      int32_t member = (start + i) % pool->board.count;
      if (!(pool->rows[member].barred & ~excused[pass])) return member;
    }
  return -1;
}

int32_t neap_pool_pick(neap_pool *pool, const neap_request_board *request, double key, uint64_t now_ms,
                       const int32_t *tried, int tried_count) {
  read_rows(pool, now_ms);
  pool->board.key = key;
  pool->board.now_ms = (double)now_ms;
  pool->board.request = request;
  for (int i = 0; i < tried_count; i++) pool->rows[tried[i]].barred |= NEAP_BAR_TRIED;
  neap_pick_draw(&pool->board, &pool->random, pool->top_share);
  neap_policy_decide(pool->policy, NEAP_ASK_PICK);
  int32_t answer = pool->board.answer >= 0 ? pool->board.answer : pick_down(pool);
  for (int i = 0; i < tried_count; i++) pool->rows[tried[i]].barred &= ~NEAP_BAR_TRIED;
  pool->board.request = NULL;
  return answer;
}

/* --- trying again */

void neap_pool_arrived(neap_pool *pool) {
  neap_retry_arrived(&pool->retry, &pool->options);
}

bool neap_pool_may_retry(neap_pool *pool, uint64_t now_ms) {
  return neap_retry_may(&pool->retry, now_ms);
}

bool neap_pool_may_hedge(neap_pool *pool) {
  return neap_retry_may_hedge(&pool->retry);
}

uint64_t neap_pool_hedge_delay_ms(neap_pool *pool, uint64_t now_ms) {
  return neap_retry_hedge_ms(&pool->retry, &pool->options, now_ms);
}

/* --- sessions */

int32_t neap_pool_session_read(neap_pool *pool, neap_view value, int64_t wall_s, bool *renew) {
  return neap_session_read(pool->session, value, wall_s, pool->options.members, pool->board.count, renew);
}

ssize_t neap_pool_session_write(neap_pool *pool, int32_t member, int64_t wall_s, char *out, size_t capacity) {
  return neap_session_write(pool->session, backend_of(pool, member), wall_s, out, capacity);
}

static uint64_t client_of(const neap_pool *pool, double key) {
  return neap_hash_mix(pool->hash, (uint64_t)key + 1) | 1;
}

static uint64_t name_of(const neap_pool *pool, int32_t member) {
  return (uint64_t)pool->rows[member].id | 1;
}

int32_t neap_pool_session_find(neap_pool *pool, double key, uint64_t now_ms) {
  uint64_t backend = neap_session_table_find(pool->options.sessions, client_of(pool, key), now_ms,
                                             pool->options.session.timeout_ms);
  for (int32_t i = 0; backend != 0 && i < pool->board.count; i++)
    if (name_of(pool, i) == backend) return i;
  return -1;
}

void neap_pool_session_keep(neap_pool *pool, double key, int32_t member, uint64_t now_ms) {
  neap_session_table_keep(pool->options.sessions, client_of(pool, key), name_of(pool, member), now_ms);
}

int32_t neap_pool_barred(neap_pool *pool, int32_t member, uint64_t now_ms) {
  read_rows(pool, now_ms);
  return pool->rows[member].barred;
}

/* --- life */

static int open_policy(neap_pool *pool, neap_err *err) {
  const neap_pool_options *options = &pool->options;
  neap_policy_env env = {
      .host = options->host, .seed = options->seed, .generation = options->generation, .pick = &pool->board};
  return neap_policy_open(options->registry, NEAP_BALANCE, options->balance, options->source, &env,
                          options->params, options->param_count, &pool->policy, err);
}

int neap_pool_create(const neap_pool_options *options, neap_pool **out, neap_err *err) {
  neap_pool *pool = calloc(1, sizeof *pool + options->member_count * sizeof(neap_backend_row));
  if (pool == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  pool->options = *options;
  if (pool->options.care == NULL) pool->options.care = &no_care;
  pool->board.count = (int32_t)options->member_count;
  pool->board.rows = pool->rows;
  pool->random.state = options->seed;
  pool->overflow.state = ~options->seed;
  pool->rows_ms = UINT64_MAX;
  for (size_t i = 0; i < options->member_count; i++) {
    const char *address = neap_backend_address(options->members[i].backend);
    pool->rows[i].weight = options->members[i].weight;
    pool->rows[i].share = options->members[i].weight;
    pool->rows[i].priority = options->members[i].priority;
    pool->rows[i].load = -1;
    pool->rows[i].id = (double)(neap_hash_bytes(address, strlen(address)) >> 11);
  }
  pool->hash = neap_hash_bytes(options->name, strlen(options->name));
  int code = neap_retry_init(&pool->retry, &pool->options);
  if (code == 0) code = open_policy(pool, err);
  if (code == 0 && options->session.kind != NEAP_SESSION_OFF)
    code = neap_session_create(options->name, &pool->options.session, options->sessions, &pool->session, err);
  if (code) {
    neap_pool_destroy(&pool);
    return code;
  }
  *out = pool;
  return 0;
}

void neap_pool_destroy(neap_pool **pool) {
  if (*pool == NULL) return;
  neap_policy_close(&(*pool)->policy);
  neap_session_destroy(&(*pool)->session);
  neap_retry_fini(&(*pool)->retry);
  free(*pool);
  *pool = NULL;
}

const neap_pool_options *neap_pool_options_of(const neap_pool *pool) {
  return &pool->options;
}

neap_policy *neap_pool_policy(neap_pool *pool) {
  return pool->policy;
}
