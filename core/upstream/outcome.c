/* What happens on the members of a pool, and what is learned from it. All numbers of a backend are shared by
 * the workers, without locks: two may overwrite each other's sample, and the next one mends that. */
#include "base/base.h"
#include "upstream/pool.h"

enum { EWMA_HALF_US = 5000000 };           /* an answer this long after the last one counts for half */
static const double ERROR_PART = 1.0 / 32; /* of one request in a backend's error rate */

/* Of one that is leaving the policy knows nothing any more. */
static void tell(neap_pool *pool, int32_t kind, int32_t member, int32_t in_flight, double took_us,
                 int32_t status) {
  if (!pool->places[member].leaving) neap_pool_tell(pool, kind, member, in_flight, took_us, status);
}

/* What this worker itself does shows in its row at once. */
static void set_in_flight(neap_backend_row *row, int32_t in_flight) {
  row->in_flight = in_flight;
  row->barred = neap_pool_is_full(row) ? row->barred | NEAP_BAR_FULL : row->barred & ~NEAP_BAR_FULL;
}

/* It may be the last trial that a half-open breaker lets through. */
static void begin_trial(neap_pool *pool, int32_t member) {
  const neap_care_breaker *rules = &pool->options.care->breaker;
  neap_breaker *breaker = &pool->members[member].backend->vitals.breaker;
  neap_breaker_begin(breaker, rules, pool->now_ms);
  if (!neap_breaker_admits(breaker, rules, pool->now_ms)) pool->rows[member].barred |= NEAP_BAR_OPEN;
}

/* The limit holds over all workers: whoever finds that it has come too late steps back. */
int32_t neap_pool_begin(neap_pool *pool, int32_t member) {
  neap_backend *backend = pool->members[member].backend;
  neap_backend_row *row = &pool->rows[member];
  int32_t before = atomic_fetch_add_explicit(&backend->in_flight, 1, memory_order_relaxed);
  if (row->limit > 0 && before >= row->limit) {
    atomic_fetch_sub_explicit(&backend->in_flight, 1, memory_order_relaxed);
    set_in_flight(row, before);
    return 0;
  }
  atomic_fetch_add_explicit(&backend->requests, 1, memory_order_relaxed);
  set_in_flight(row, before + 1);
  tell(pool, NEAP_EVENT_SENT, member, before + 1, 0, 0);
  if (pool->options.care->breaker.enabled) begin_trial(pool, member);
  return before + 1;
}

void neap_pool_end(neap_pool *pool, int32_t member) {
  neap_backend *backend = pool->members[member].backend;
  int32_t before = atomic_fetch_sub_explicit(&backend->in_flight, 1, memory_order_relaxed);
  set_in_flight(&pool->rows[member], before - 1);
  neap_queues_something_ended(pool);
}

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

/* Whether the pool can spare those that are ejected now. */
static bool can_spare(const neap_pool *pool, uint64_t now_ms) {
  int32_t members = 0, ejected = 0;
  for (int32_t i = 0; i < pool->board.count; i++) {
    if (pool->members[i].backend == NULL || pool->places[i].leaving) continue;
    members++;
    ejected += neap_vitals_is_ejected(&pool->members[i].backend->vitals, now_ms);
  }
  return neap_eject_allows(&pool->options.care->eject, members, ejected);
}

/* An outcome that speaks against it, with an answer or without: ejects it where that is one too many and the
 * pool can spare it. */
static void hold_against(neap_pool *pool, int32_t member, bool answered, uint64_t now_ms) {
  const neap_care *care = pool->options.care;
  neap_vitals *vitals = &pool->members[member].backend->vitals;
  bool eject = answered ? neap_vitals_bad(vitals, care, now_ms) : neap_vitals_broken(vitals, care, now_ms);
  if (care->breaker.enabled) neap_pool_look_again(pool); /* it may have opened */
  if (!eject) return;
  neap_vitals_eject(vitals, &care->eject, true, now_ms);
  if (can_spare(pool, now_ms))
    neap_pool_look_again(pool); /* priorities and panic may change with it */
  else
    neap_vitals_take_back(vitals);
}

static void tell_outcome(neap_pool *pool, int32_t member, int32_t kind, const neap_pool_outcome *outcome) {
  tell(pool, kind, member, outcome->in_flight, (double)outcome->took_us, outcome->status);
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
  neap_backend *backend = pool->members[member].backend;
  bool failed = outcome->status >= 500;
  learn_time(backend, outcome->took_us, now_ms);
  neap_timing_add_shared(&backend->response, outcome->took_us);
  count_error(backend, failed);
  tell_outcome(pool, member, failed ? NEAP_EVENT_FAILED : NEAP_EVENT_DONE, outcome);
  if (!atomic_load_explicit(&backend->answered, memory_order_relaxed)) {
    atomic_store_explicit(&backend->answered, true, memory_order_relaxed);
    if (atomic_exchange_explicit(&backend->down_until_ms, 0, memory_order_relaxed) != 0)
      atomic_store_explicit(&backend->vitals.up_since_ms, now_ms, memory_order_relaxed);
  }
  if (NEAP_UNLIKELY(is_error(outcome->status)))
    hold_against(pool, member, true, now_ms);
  else
    neap_vitals_good(&backend->vitals, pool->options.care, now_ms);
  if (NEAP_UNLIKELY(pool->rows[member].barred & NEAP_BAR_OPEN))
    neap_pool_look_again(pool); /* it was a trial */
}

void neap_pool_failed(neap_pool *pool, int32_t member, const neap_pool_outcome *outcome, uint64_t now_ms) {
  count_error(pool->members[member].backend, true);
  tell_outcome(pool, member, NEAP_EVENT_FAILED, outcome);
  hold_against(pool, member, false, now_ms);
}

void neap_pool_reported(neap_pool *pool, int32_t member, const neap_report *report, uint64_t now_ms) {
  neap_vitals *vitals = &pool->members[member].backend->vitals;
  neap_vitals_report(vitals, report, now_ms);
  neap_vitals_show_report(vitals, now_ms, &pool->rows[member]);
  tell(pool, NEAP_EVENT_REPORT, member, 0, 0, 0);
}

void neap_pool_unreachable(neap_pool *pool, int32_t member, const neap_pool_outcome *outcome,
                           uint64_t now_ms) {
  neap_backend *backend = pool->members[member].backend;
  count_error(backend, true);
  tell_outcome(pool, member, NEAP_EVENT_FAILED, outcome);
  neap_vitals_absent(&backend->vitals, pool->options.care, now_ms);
  atomic_store_explicit(&backend->down_until_ms, now_ms + pool->options.down_time_ms, memory_order_relaxed);
  atomic_store_explicit(&backend->answered, false, memory_order_relaxed);
  neap_pool_look_again(pool); /* priorities and panic may change with it */
}
