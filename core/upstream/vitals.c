/* From what is known of a backend to its row, and from outcomes to what is known.
 *
 * Two kinds of evidence are kept apart. That nobody is there (a refused connection) is hard: a request sent
 * there is lost time. That it is unwell (failing probes, errors) is soft: where too much of a pool is said to
 * be unwell, the saying is more likely wrong than true, or the few that are left would break under the rest's
 * load; then soft evidence is ignored (panic), hard is not. Errors in a row are in between: they were no
 * guess, so they are ignored only where nobody is left that answers. A breaker is a limit that was asked for:
 * it holds in panic too. */
#include "upstream/vitals.h"

#include "base/base.h"

enum { REPORT_FRESH_MS = 5000, BURST_MS = 20 };
#define SLOW_START_LEAST 0.1 /* share of its share that a newcomer begins with */
#define SPARE_ROOM       1.4 /* a priority carries all as long as 1 / 1.4 = 71 % of it are well */

static const int32_t SOFT = NEAP_BAR_SICK | NEAP_BAR_EJECTED;
/* Between neap_vitals_row and neap_vitals_pool alone: ejected for errors in a row. */
static const int32_t FAILING = 1 << 30;
static const double ANSWERS_RATE = 0.5; /* error rate below which one is said to answer */

void neap_vitals_init(neap_vitals *vitals) {
  for (int i = 0; i < NEAP_CHECKS_MAX; i++) neap_health_init(&vitals->checks[i]);
  atomic_store_explicit(&vitals->load, -1, memory_order_relaxed);
  atomic_store_explicit(&vitals->utilization, -1, memory_order_relaxed);
}

const neap_health *neap_vitals_check(const neap_vitals *vitals, uint64_t key) {
  const neap_health *any = NULL;
  for (int i = 0; i < NEAP_CHECKS_MAX; i++) {
    uint64_t own = atomic_load_explicit(&vitals->checks[i].key, memory_order_acquire);
    if (own == key) return &vitals->checks[i];
    if (own != 0 && any == NULL) any = &vitals->checks[i];
  }
  return any ? any : &vitals->checks[0];
}

void neap_vitals_get(const neap_vitals *vitals, uint64_t key, uint64_t now_ms, neap_vitals_info *out) {
  const neap_health *check = neap_vitals_check(vitals, key);
  double factor = atomic_load_explicit(&vitals->factor, memory_order_relaxed);
  *out = (neap_vitals_info){
      .probed = atomic_load_explicit(&check->state, memory_order_relaxed),
      .checked_ms = atomic_load_explicit(&check->checked_ms, memory_order_relaxed),
      .check_good = atomic_load_explicit(&check->good, memory_order_relaxed),
      .probes = atomic_load_explicit(&vitals->probes, memory_order_relaxed),
      .probe_failures = atomic_load_explicit(&vitals->probe_failures, memory_order_relaxed),
      .transitions = atomic_load_explicit(&vitals->transitions, memory_order_relaxed),
      .ejected_until_ms = atomic_load_explicit(&vitals->ejected_until_ms, memory_order_relaxed),
      .ejections = atomic_load_explicit(&vitals->ejections, memory_order_relaxed),
      .breaker = neap_breaker_state_at(&vitals->breaker, now_ms),
      .breaker_opened = atomic_load_explicit(&vitals->breaker.opened, memory_order_relaxed),
      .errors = atomic_load_explicit(&vitals->errors, memory_order_relaxed),
      .report_ms = atomic_load_explicit(&vitals->report_ms, memory_order_relaxed),
      .load = atomic_load_explicit(&vitals->load, memory_order_relaxed),
      .capacity = atomic_load_explicit(&vitals->capacity, memory_order_relaxed),
      .utilization = atomic_load_explicit(&vitals->utilization, memory_order_relaxed),
      .factor = factor > 0 ? factor : 1,
  };
}

/* --- rows */

/* The last moment from which on it could be used: what it was barred for is over then. */
static double grown(neap_vitals *vitals, const neap_care *care, uint64_t down_until_ms, uint64_t now_ms) {
  uint64_t since_ms = atomic_load_explicit(&vitals->up_since_ms, memory_order_relaxed);
  if (since_ms == 0) { /* the first worker to see it says when that was */
    atomic_compare_exchange_strong_explicit(&vitals->up_since_ms, &since_ms, now_ms, memory_order_relaxed,
                                            memory_order_relaxed);
    since_ms = now_ms;
  }
  if (care->slow_start_ms == 0) return 1;
  since_ms = NEAP_MAX(since_ms, atomic_load_explicit(&vitals->ejected_until_ms, memory_order_relaxed));
  since_ms = NEAP_MAX(since_ms, down_until_ms);
  double part = now_ms > since_ms ? (double)(now_ms - since_ms) / (double)care->slow_start_ms : 0;
  return NEAP_MIN(NEAP_MAX(part, SLOW_START_LEAST), 1);
}

static int32_t bars(const neap_vitals *vitals, const neap_care *care, const neap_health *check,
                    uint64_t down_until_ms, uint64_t now_ms) {
  int32_t state = atomic_load_explicit(&check->state, memory_order_relaxed);
  int32_t barred = 0;
  if (down_until_ms > now_ms) barred |= NEAP_BAR_DOWN;
  if (care->health.kind != NEAP_PROBE_NONE && state != NEAP_BACKEND_UP) {
    bool nobody = state == NEAP_BACKEND_DOWN && atomic_load_explicit(&check->refused, memory_order_relaxed);
    barred |= nobody ? NEAP_BAR_DOWN : NEAP_BAR_SICK;
  }
  if (care->eject.enabled && neap_vitals_is_ejected(vitals, now_ms)) {
    bool in_row = atomic_load_explicit(&vitals->ejected_in_row, memory_order_relaxed);
    barred |= in_row ? NEAP_BAR_EJECTED | FAILING : NEAP_BAR_EJECTED;
  }
  if (care->breaker.enabled && !neap_breaker_admits(&vitals->breaker, &care->breaker, now_ms))
    barred |= NEAP_BAR_OPEN;
  return barred;
}

void neap_vitals_show_report(const neap_vitals *vitals, uint64_t now_ms, neap_backend_row *row) {
  uint64_t report_ms = atomic_load_explicit(&vitals->report_ms, memory_order_relaxed);
  bool fresh = report_ms != 0 && now_ms < report_ms + REPORT_FRESH_MS;
  row->load = fresh ? atomic_load_explicit(&vitals->load, memory_order_relaxed) : -1;
  if (report_ms == 0) return;
  row->capacity = atomic_load_explicit(&vitals->capacity, memory_order_relaxed);
  row->load_ms = (double)report_ms;
}

void neap_vitals_row(neap_vitals *vitals, const neap_care *care, uint64_t down_until_ms, uint64_t now_ms,
                     neap_backend_row *row) {
  const neap_health *check = neap_vitals_check(vitals, care->health.key);
  row->barred = bars(vitals, care, check, down_until_ms, now_ms);
  if (care->health.kind != NEAP_PROBE_NONE && down_until_ms <= now_ms)
    row->state = atomic_load_explicit(&check->state, memory_order_relaxed);
  double factor = atomic_load_explicit(&vitals->factor, memory_order_relaxed);
  if (factor == 0 || !care->dynamic_weight) factor = 1;
  row->share = row->weight * factor * grown(vitals, care, down_until_ms, now_ms);
  neap_vitals_show_report(vitals, now_ms, row);
}

/* --- all rows of a pool */

/* One priority: its members by weight, and those of them that may be used. */
typedef struct level {
  double all, well;
} level;

static void find_levels(level levels[NEAP_PRIORITIES], const neap_backend_row *rows, int32_t count) {
  memset(levels, 0, NEAP_PRIORITIES * sizeof *levels);
  for (int32_t i = 0; i < count; i++) {
    if (rows[i].barred & (NEAP_BAR_GONE | NEAP_BAR_DRAINING)) continue; /* no part of it any more */
    level *own = &levels[rows[i].priority];
    own->all += rows[i].weight;
    if (rows[i].barred == 0) own->well += rows[i].weight;
  }
}

/* How much of the pool's load it can carry. */
static double reach(const level *one) {
  return one->all > 0 ? NEAP_MIN(one->well / one->all * SPARE_ROOM, 1) : 0;
}

static void sum_up(const level *levels, double *share_well, double *reach_of_all) {
  double all = 0, well = 0;
  *reach_of_all = 0;
  for (int i = 0; i < NEAP_PRIORITIES; i++) {
    all += levels[i].all;
    well += levels[i].well;
    *reach_of_all += reach(&levels[i]);
  }
  *share_well = all > 0 ? well / all : 1;
}

/* Draws the priority that is used now: each in turn as far as it reaches. Where they do not reach together,
 * each by what it reaches. */
static int32_t draw_level(const level *levels, double reach_of_all, neap_random *random) {
  double at = neap_random_unit(random) * NEAP_MIN(reach_of_all, 1);
  for (int32_t i = 0; i < NEAP_PRIORITIES; i++) {
    at -= reach(&levels[i]);
    if (at < 0) return i;
  }
  int32_t first = 0; /* nobody is well */
  while (first < NEAP_PRIORITIES - 1 && levels[first].all == 0) first++;
  return first;
}

/* Nothing barred and one priority: the usual case. */
static bool is_plain(const neap_backend_row *rows, int32_t count) {
  for (int32_t i = 0; i < count; i++)
    if ((rows[i].barred & ~NEAP_BAR_GONE) || rows[i].priority != rows[0].priority) return false;
  return true;
}

/* Whether somebody is left who answers, once soft evidence is ignored. */
static bool somebody_answers(const neap_backend_row *rows, int32_t count) {
  for (int32_t i = 0; i < count; i++)
    if ((rows[i].barred & ~SOFT) == 0 && rows[i].error_rate < ANSWERS_RATE) return true;
  return false;
}

static void ignore_soft(neap_backend_row *rows, int32_t count) {
  int32_t left_alone = somebody_answers(rows, count) ? FAILING : 0;
  for (int32_t i = 0; i < count; i++)
    if (!(rows[i].barred & left_alone)) rows[i].barred &= ~SOFT;
}

bool neap_vitals_pool(const neap_care *care, neap_backend_row *rows, int32_t count, neap_random *random) {
  if (NEAP_LIKELY(is_plain(rows, count))) return false;
  level levels[NEAP_PRIORITIES];
  double share_well, reach_of_all;
  find_levels(levels, rows, count);
  sum_up(levels, &share_well, &reach_of_all);
  bool panic = share_well < care->panic && reach_of_all < 1; /* not where what is spare suffices */
  if (panic) {
    ignore_soft(rows, count);
    find_levels(levels, rows, count);
    sum_up(levels, &share_well, &reach_of_all);
  }
  int32_t used = draw_level(levels, reach_of_all, random);
  for (int32_t i = 0; i < count; i++) {
    rows[i].barred &= ~FAILING;
    if (rows[i].priority != used) rows[i].barred |= NEAP_BAR_SPARE;
  }
  return panic;
}

/* --- outcomes */

void neap_vitals_good(neap_vitals *vitals, const neap_care *care, uint64_t now_ms) {
  if (NEAP_UNLIKELY(atomic_load_explicit(&vitals->errors_in_row, memory_order_relaxed) != 0) &&
      !neap_vitals_is_ejected(vitals, now_ms)) /* what comes late says nothing of its probation */
    atomic_store_explicit(&vitals->errors_in_row, 0, memory_order_relaxed);
  if (care->breaker.enabled) neap_breaker_end(&vitals->breaker, &care->breaker, true, now_ms);
}

void neap_vitals_absent(neap_vitals *vitals, const neap_care *care, uint64_t now_ms) {
  atomic_fetch_add_explicit(&vitals->errors, 1, memory_order_relaxed);
  if (care->breaker.enabled) neap_breaker_end(&vitals->breaker, &care->breaker, false, now_ms);
}

/* A process that dies breaks all its connections at once, which is one thing that happened. */
static bool is_of_a_burst(neap_vitals *vitals, uint64_t now_ms) {
  if (now_ms < atomic_load_explicit(&vitals->broken_ms, memory_order_relaxed) + BURST_MS) return true;
  atomic_store_explicit(&vitals->broken_ms, now_ms, memory_order_relaxed);
  return false;
}

bool neap_vitals_broken(neap_vitals *vitals, const neap_care *care, uint64_t now_ms) {
  if (!is_of_a_burst(vitals, now_ms)) return neap_vitals_bad(vitals, care, now_ms);
  neap_vitals_absent(vitals, care, now_ms);
  return false;
}

bool neap_vitals_bad(neap_vitals *vitals, const neap_care *care, uint64_t now_ms) {
  neap_vitals_absent(vitals, care, now_ms);
  const neap_care_eject *rules = &care->eject;
  if (!rules->enabled || rules->errors == 0 || neap_vitals_is_ejected(vitals, now_ms)) return false;
  return atomic_fetch_add_explicit(&vitals->errors_in_row, 1, memory_order_relaxed) + 1 >= rules->errors;
}

void neap_vitals_report(neap_vitals *vitals, const neap_report *report, uint64_t now_ms) {
  if (report->load >= 0) atomic_store_explicit(&vitals->load, report->load, memory_order_relaxed);
  if (report->capacity > 0) atomic_store_explicit(&vitals->capacity, report->capacity, memory_order_relaxed);
  double utilization = report->utilization;
  if (utilization < 0 && report->load >= 0 && report->capacity > 0)
    utilization = (double)report->load / report->capacity;
  if (utilization >= 0) atomic_store_explicit(&vitals->utilization, utilization, memory_order_relaxed);
  atomic_store_explicit(&vitals->report_ms, now_ms, memory_order_relaxed);
}
