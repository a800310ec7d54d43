/* Ejection of backends that give errors. */
#include "upstream/vitals.h"

#include <math.h>

#include "base/base.h"

enum { RECENT_HALF_MS = 5000 }; /* what happened so long ago counts half */

bool neap_vitals_is_ejected(const neap_vitals *vitals, uint64_t now_ms) {
  return atomic_load_explicit(&vitals->ejected_until_ms, memory_order_relaxed) > now_ms;
}

/* Doubled with every time; forgotten one by one, when it has been well for as long as it would be out. */
static uint64_t time_out_ms(neap_vitals *vitals, const neap_care_eject *rules, uint64_t now_ms) {
  uint32_t times = atomic_load_explicit(&vitals->ejected_times, memory_order_relaxed);
  uint64_t well_ms =
      now_ms - NEAP_MIN(now_ms, atomic_load_explicit(&vitals->ejected_until_ms, memory_order_relaxed));
  uint64_t out_ms = rules->time_ms;
  for (uint32_t i = 0; i < times && out_ms < rules->max_time_ms; i++) out_ms *= 2;
  out_ms = NEAP_MIN(out_ms, NEAP_MAX(rules->max_time_ms, rules->time_ms));
  while (times > 0 && well_ms >= out_ms) {
    well_ms -= out_ms;
    out_ms = NEAP_MAX(out_ms / 2, rules->time_ms);
    times--;
  }
  atomic_store_explicit(&vitals->ejected_times, NEAP_MIN(times + 1, 32u), memory_order_relaxed);
  return out_ms;
}

void neap_vitals_eject(neap_vitals *vitals, const neap_care_eject *rules, bool in_row, uint64_t now_ms) {
  uint64_t out_ms = time_out_ms(vitals, rules, now_ms);
  atomic_store_explicit(&vitals->ejected_in_row, in_row, memory_order_relaxed);
  atomic_store_explicit(&vitals->ejected_until_ms, now_ms + out_ms, memory_order_relaxed);
  /* On probation when it comes back: one more error, and it is out again. */
  atomic_store_explicit(&vitals->errors_in_row, rules->errors ? rules->errors - 1 : 0, memory_order_relaxed);
  atomic_fetch_add_explicit(&vitals->ejections, 1, memory_order_relaxed);
}

void neap_vitals_take_back(neap_vitals *vitals) {
  atomic_store_explicit(&vitals->ejected_until_ms, 0, memory_order_relaxed);
  atomic_store_explicit(&vitals->errors_in_row, 0, memory_order_relaxed);
  atomic_fetch_sub_explicit(&vitals->ejected_times, 1, memory_order_relaxed);
  atomic_fetch_sub_explicit(&vitals->ejections, 1, memory_order_relaxed);
}

bool neap_eject_allows(const neap_care_eject *rules, int32_t members, int32_t ejected) {
  if (ejected >= members) return false;
  return ejected <= 1 || (double)ejected <= rules->max_share * (double)members;
}

void neap_outlier_observe(neap_vitals *vitals, uint64_t requests, uint64_t elapsed_ms, uint64_t now_ms) {
  double keep = neap_vitals_is_ejected(vitals, now_ms) ? 0 : exp2(-(double)elapsed_ms / RECENT_HALF_MS);
  uint64_t errors = atomic_load_explicit(&vitals->errors, memory_order_relaxed);
  vitals->recent.requests =
      vitals->recent.requests * keep + (double)(requests - vitals->recent.requests_seen);
  vitals->recent.errors = vitals->recent.errors * keep + (double)(errors - vitals->recent.errors_seen);
  vitals->recent.requests_seen = requests;
  vitals->recent.errors_seen = errors;
}

/* Two shares of errors, compared: it has to lie above the rest by the rule's margin, and by three standard
 * errors, so that few requests prove nothing. */
bool neap_outlier_is(const neap_care_eject *rules, double requests, double errors, double rest_requests,
                     double rest_errors) {
  if (rules->rate <= 0 || NEAP_MIN(requests, rest_requests) < rules->min_requests) return false;
  double own = NEAP_MIN(errors / requests, 1), rest = NEAP_MIN(rest_errors / rest_requests, 1);
  if (own - rest < rules->rate) return false;
  double all = (errors + rest_errors) / (requests + rest_requests);
  double spread = sqrt(all * (1 - NEAP_MIN(all, 1)) * (1 / requests + 1 / rest_requests));
  return own - rest >= 3 * spread;
}
