/* Shares that follow reported utilisation.
 *
 * A backend's utilisation is, but for what others send there, in proportion to its share: so the share that
 * brings it to the pool's mean is the present one times mean / own. Going there in one step oscillates, since
 * a report is always of a while ago; a share from response time runs away altogether, since time grows
 * without bound where utilisation nears 1. Hence: utilisation only, relative to the pool's mean, a part of
 * the way each second, no step where the difference is small, bounded steps and a bounded factor, and factors
 * whose weighted mean is 1, so that they cannot drift together. Who does not report goes back to 1. */
#include <math.h>

#include "base/base.h"
#include "upstream/vitals.h"

enum { FRESH_MS = 10000 };
#define DEAD_BAND    0.05 /* of the mean: as good as equal */
#define LEAST_MEAN   0.02 /* a pool less used than this needs no balance */
#define GAIN         0.25 /* of the way per second */
#define STEP_MOST    1.15
#define FACTOR_LEAST 0.1
#define FACTOR_MOST  10.0

static double factor_of(const neap_vitals *vitals) {
  double factor = atomic_load_explicit(&vitals->factor, memory_order_relaxed);
  return factor > 0 ? factor : 1;
}

static double utilization_of(const neap_vitals *vitals, uint64_t now_ms) {
  uint64_t report_ms = atomic_load_explicit(&vitals->report_ms, memory_order_relaxed);
  if (report_ms == 0 || now_ms >= report_ms + FRESH_MS) return -1;
  return atomic_load_explicit(&vitals->utilization, memory_order_relaxed);
}

/* Of those that report, by their part of the pool. */
static double mean_of(neap_vitals *const *members, const int32_t *weights, size_t count, uint64_t now_ms) {
  double sum = 0, parts = 0;
  for (size_t i = 0; i < count; i++) {
    double utilization = utilization_of(members[i], now_ms);
    if (utilization < 0) continue;
    double part = weights[i] * factor_of(members[i]);
    sum += part * utilization;
    parts += part;
  }
  return parts > 0 ? sum / parts : 0;
}

static double step_of(double utilization, double mean) {
  if (mean < LEAST_MEAN || fabs(utilization - mean) <= DEAD_BAND * mean) return 1;
  double step = pow(mean / NEAP_MAX(utilization, mean / 8), GAIN);
  return NEAP_MIN(NEAP_MAX(step, 1 / STEP_MOST), STEP_MOST);
}

void neap_shares_adjust(neap_vitals *const *members, const int32_t *weights, size_t count, uint64_t now_ms) {
  double mean = mean_of(members, weights, count, now_ms), sum = 0, parts = 0;
  for (size_t i = 0; i < count; i++) {
    double utilization = utilization_of(members[i], now_ms), factor = factor_of(members[i]);
    factor *= utilization < 0 ? pow(factor, -GAIN) : step_of(utilization, mean);
    atomic_store_explicit(&members[i]->factor, factor, memory_order_relaxed);
    sum += weights[i] * factor;
    parts += weights[i];
  }
  for (size_t i = 0; i < count; i++) {
    double factor = factor_of(members[i]) * parts / sum;
    factor = NEAP_MIN(NEAP_MAX(factor, FACTOR_LEAST), FACTOR_MOST);
    atomic_store_explicit(&members[i]->factor, factor, memory_order_relaxed);
  }
}
