/* Seeing: sums over the seats. */
#include <stdio.h>

#include "store/impl.h"

static uint64_t get(const _Atomic uint64_t *value) {
  return atomic_load_explicit((_Atomic uint64_t *)value, memory_order_relaxed);
}

static neap_latency latency_of(const neap_histogram *histogram) {
  return (neap_latency){.count = neap_histogram_count(histogram),
                        .p50_ns = neap_histogram_quantile(histogram, 500000),
                        .p90_ns = neap_histogram_quantile(histogram, 900000),
                        .p99_ns = neap_histogram_quantile(histogram, 990000),
                        .p999_ns = neap_histogram_quantile(histogram, 999000),
                        .max_ns = get(&histogram->max)};
}

static void sum_seats(const neap_cache *cache, neap_cache_stats *out) {
  uint64_t counts[NEAP_COUNTS] = {0};
  neap_histogram gets = {0}, puts = {0};
  for (neap_seat *seat = atomic_load((_Atomic(neap_seat *) *)&cache->seats); seat != NULL;
       seat = seat->next) {
    for (unsigned i = 0; i < NEAP_COUNTS; i++) counts[i] += get(&seat->counts[i]);
    neap_histogram_merge(&gets, &seat->get);
    neap_histogram_merge(&puts, &seat->put);
  }
#define NEAP_SUM(name, text) out->name = counts[NEAP_COUNT_##name];
  NEAP_CACHE_COUNTERS(NEAP_SUM)
#undef NEAP_SUM
  out->get = latency_of(&gets);
  out->put = latency_of(&puts);
}

static void show_memory(const neap_cache *cache, neap_cache_stats *out) {
  out->entries = get(&cache->live);
  out->memory = get(&cache->used);
  out->memory_entries = get(&cache->live_bytes);
  out->memory_filling = get(&cache->filling_bytes);
  out->memory_tables = get(&cache->table_bytes);
  uint64_t known = out->memory_entries + out->memory_filling + out->memory_tables;
  out->memory_retired = out->memory > known ? out->memory - known : 0;
  uint64_t entries = get(&cache->limits.entries);
  out->max_entries = entries == UINT64_MAX ? 0 : entries;
  out->max_memory = get(&cache->limits.memory);
  out->max_object_size = get(&cache->limits.object);
}

/* The policy belongs to the maintenance lock, which is held for one budget at most. */
static void show_policy(neap_cache *cache, neap_cache_stats *out) {
  neap_policy_counters counters;
  pthread_mutex_lock(&cache->maintenance);
  neap_policy_counters_get(cache->evictor->policy, &counters);
  out->generation = cache->evictor->generation;
  snprintf(out->policy, sizeof out->policy, "%s", neap_policy_name(cache->evictor->policy));
  out->policy_faults = cache->faults_before;
  out->policy_trips = cache->trips_before;
  pthread_mutex_unlock(&cache->maintenance);
  out->policy_faults +=
      counters.faults_error + counters.faults_fuel + counters.faults_memory + counters.faults_answer;
  out->policy_trips += counters.trips;
}

void neap_cache_stats_get(neap_cache *cache, neap_cache_stats *out) {
  neap_check_magic(cache, NEAP_CACHE_MAGIC);
  *out = (neap_cache_stats){0};
  sum_seats(cache, out);
  show_memory(cache, out);
  show_policy(cache, out);
  uint64_t lookups = out->hits + out->misses, evictions = out->evictions_policy + out->evictions_fallback;
  out->hit_rate = lookups > 0 ? (double)out->hits / (double)lookups : 0;
  out->fallback_share = evictions > 0 ? (double)out->evictions_fallback / (double)evictions : 0;
}

void neap_store_policy_counters(neap_cache *cache, neap_policy_counters *out) {
  pthread_mutex_lock(&cache->maintenance);
  neap_policy_counters_get(cache->evictor->policy, out);
  pthread_mutex_unlock(&cache->maintenance);
}

bool neap_store_policy_fault(neap_cache *cache, uint64_t *at_ms, char out[NEAP_NOTE_TEXT]) {
  pthread_mutex_lock(&cache->maintenance);
  bool there = neap_policy_fault_peek(cache->evictor->policy, at_ms, out);
  pthread_mutex_unlock(&cache->maintenance);
  return there;
}
