/* The circuit breaker of a backend. All of it is atomics: outcomes come from every worker. Two that come at
 * once may open it twice, which is once; in half-open, workers that read the same row within a millisecond
 * may let through one trial more each. */
#include "upstream/vitals.h"

#include "base/base.h"

/* [24 bits: number of the window | 20: requests | 20: errors] */
enum { COUNT_BITS = 20, COUNT_MAX = (1 << COUNT_BITS) - 1 };

static uint64_t load(const _Atomic uint64_t *from) {
  return atomic_load_explicit(from, memory_order_relaxed);
}

int neap_breaker_state_at(const neap_breaker *breaker, uint64_t now_ms) {
  uint64_t until_ms = load(&breaker->open_until_ms);
  if (NEAP_LIKELY(until_ms == 0)) return NEAP_BREAKER_CLOSED;
  return until_ms > now_ms ? NEAP_BREAKER_OPEN : NEAP_BREAKER_HALF;
}

/* Trials that never came to an end, because their clients left, must not keep it half-open for ever. */
static bool trials_are_lost(const neap_breaker *breaker, const neap_care_breaker *rules, uint64_t now_ms) {
  return now_ms >= load(&breaker->trials_ms) + rules->open_ms;
}

bool neap_breaker_admits(const neap_breaker *breaker, const neap_care_breaker *rules, uint64_t now_ms) {
  int state = neap_breaker_state_at(breaker, now_ms);
  if (NEAP_LIKELY(state == NEAP_BREAKER_CLOSED)) return true;
  if (state == NEAP_BREAKER_OPEN) return false;
  return atomic_load_explicit(&breaker->begun, memory_order_relaxed) < rules->trials ||
         trials_are_lost(breaker, rules, now_ms);
}

void neap_breaker_begin(neap_breaker *breaker, const neap_care_breaker *rules, uint64_t now_ms) {
  if (NEAP_LIKELY(neap_breaker_state_at(breaker, now_ms) != NEAP_BREAKER_HALF)) return;
  if (trials_are_lost(breaker, rules, now_ms)) {
    atomic_store_explicit(&breaker->begun, 0, memory_order_relaxed);
    atomic_store_explicit(&breaker->passed, 0, memory_order_relaxed);
    atomic_store_explicit(&breaker->trials_ms, now_ms, memory_order_relaxed);
  }
  atomic_fetch_add_explicit(&breaker->begun, 1, memory_order_relaxed);
}

static void open_it(neap_breaker *breaker, const neap_care_breaker *rules, uint64_t now_ms) {
  atomic_store_explicit(&breaker->in_row, 0, memory_order_relaxed);
  atomic_store_explicit(&breaker->window, 0, memory_order_relaxed);
  atomic_store_explicit(&breaker->trials_ms, 0, memory_order_relaxed); /* the next trials begin anew */
  atomic_store_explicit(&breaker->open_until_ms, now_ms + rules->open_ms, memory_order_relaxed);
  atomic_fetch_add_explicit(&breaker->opened, 1, memory_order_relaxed);
}

/* Counts into the window of this moment; true when its errors are too many. */
static bool count(neap_breaker *breaker, const neap_care_breaker *rules, bool good, uint64_t now_ms) {
  uint64_t number = (now_ms / rules->window_ms) & 0xffffff, before = load(&breaker->window), after;
  uint64_t requests, errors;
  do {
    bool same = before >> (2 * COUNT_BITS) == number;
    requests = same ? before >> COUNT_BITS & COUNT_MAX : 0;
    errors = same ? before & COUNT_MAX : 0;
    if (requests < COUNT_MAX) requests++, errors += !good;
    after = number << (2 * COUNT_BITS) | requests << COUNT_BITS | errors;
  } while (!atomic_compare_exchange_weak_explicit(&breaker->window, &before, after, memory_order_relaxed,
                                                  memory_order_relaxed));
  return !good && requests >= rules->min_requests && (double)errors >= rules->rate * (double)requests;
}

static void end_closed(neap_breaker *breaker, const neap_care_breaker *rules, bool good, uint64_t now_ms) {
  bool trip = rules->rate > 0 && count(breaker, rules, good, now_ms);
  if (good) {
    if (atomic_load_explicit(&breaker->in_row, memory_order_relaxed) != 0)
      atomic_store_explicit(&breaker->in_row, 0, memory_order_relaxed);
  } else if (rules->errors > 0) {
    trip |= atomic_fetch_add_explicit(&breaker->in_row, 1, memory_order_relaxed) + 1 >= rules->errors;
  }
  if (trip) open_it(breaker, rules, now_ms);
}

static void end_trial(neap_breaker *breaker, const neap_care_breaker *rules, bool good, uint64_t now_ms) {
  if (!good)
    open_it(breaker, rules, now_ms);
  else if (atomic_fetch_add_explicit(&breaker->passed, 1, memory_order_relaxed) + 1 >= rules->trials)
    atomic_store_explicit(&breaker->open_until_ms, 0, memory_order_relaxed);
}

void neap_breaker_end(neap_breaker *breaker, const neap_care_breaker *rules, bool good, uint64_t now_ms) {
  switch (neap_breaker_state_at(breaker, now_ms)) {
  case NEAP_BREAKER_CLOSED: end_closed(breaker, rules, good, now_ms); return;
  case NEAP_BREAKER_HALF: end_trial(breaker, rules, good, now_ms); return;
  case NEAP_BREAKER_OPEN: return; /* begun before it opened: known already */
  }
}
