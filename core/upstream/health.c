/* From verdicts of probes to a state, and when to ask again. */
#include "upstream/vitals.h"

#include "base/base.h"

void neap_health_init(neap_health *health) {
  atomic_store_explicit(&health->state, NEAP_BACKEND_UNKNOWN, memory_order_relaxed);
  atomic_store_explicit(&health->key, 0, memory_order_relaxed);
  atomic_store_explicit(&health->refused, false, memory_order_relaxed);
  atomic_store_explicit(&health->checked_ms, 0, memory_order_relaxed);
  atomic_store_explicit(&health->good, false, memory_order_relaxed);
  health->against = 0;
}

void neap_health_begin(neap_health *health, uint64_t key, const neap_health *from) {
  neap_health_init(health);
  if (from) {
    atomic_store_explicit(&health->state, from->state, memory_order_relaxed);
    atomic_store_explicit(&health->refused, from->refused, memory_order_relaxed);
    atomic_store_explicit(&health->checked_ms, from->checked_ms, memory_order_relaxed);
    atomic_store_explicit(&health->good, from->good, memory_order_relaxed);
  }
  atomic_store_explicit(&health->key, key, memory_order_release); /* who finds it, finds the rest */
}

bool neap_health_take(neap_health *health, const neap_care_health *rules, bool good) {
  int32_t state = atomic_load_explicit(&health->state, memory_order_relaxed);
  atomic_store_explicit(&health->good, good, memory_order_relaxed);
  int32_t said = good ? NEAP_BACKEND_UP : NEAP_BACKEND_DOWN;
  if (said == state) {
    health->against = 0;
    return false;
  }
  health->against++;
  if (state != NEAP_BACKEND_UNKNOWN && health->against < (good ? rules->rise : rules->fall)) return false;
  health->against = 0;
  atomic_store_explicit(&health->state, said, memory_order_relaxed);
  return true;
}

uint64_t neap_health_pause_ms(const neap_health *health, const neap_care_health *rules, neap_random *random) {
  bool settled =
      health->against == 0 && atomic_load_explicit(&health->state, memory_order_relaxed) == NEAP_BACKEND_UP;
  double pause_ms = (double)(settled ? rules->interval_ms : rules->fast_interval_ms);
  return (uint64_t)(pause_ms * (0.8 + 0.4 * neap_random_unit(random)));
}

bool neap_health_expects(const neap_care_health *rules, int status) {
  for (uint32_t i = 0; i < rules->status_count; i++)
    if (status >= rules->status_from[i] && status <= rules->status_to[i]) return true;
  return false;
}
