#include "server/figures.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/store.h"

static void add_counters(neap_policy_counters *sum, const neap_policy_counters *one) {
  sum->asks += one->asks;
  sum->faults_error += one->faults_error;
  sum->faults_fuel += one->faults_fuel;
  sum->faults_memory += one->faults_memory;
  sum->faults_answer += one->faults_answer;
  sum->fallbacks += one->fallbacks;
  sum->trips += one->trips;
  sum->trace_aborts += one->trace_aborts;
  sum->memory += one->memory;
}

/* The newest of all workers' stays. */
static void take_fault(neap_policy_view *view, uint64_t at_ms, const char *fault) {
  if (view->fault[0] && at_ms < view->fault_ms) return;
  view->fault_ms = at_ms;
  snprintf(view->fault, sizeof view->fault, "%s", fault);
}

static void begin(neap_policy_view *view, const char *kind, const char *name, const char *policy,
                  uint64_t generation) {
  view->kind = kind;
  view->name = name;
  snprintf(view->policy, sizeof view->policy, "%s", policy);
  snprintf(view->generation, sizeof view->generation, "%llu", (unsigned long long)generation);
}

/* The policies of a generation's pools, summed over its workers. */
static void look_at_pools(const neap_loaded *loaded, neap_policy_view *views) {
  for (size_t i = 0; i < loaded->config->pool_count; i++) {
    neap_policy_view *view = &views[i];
    begin(view, "balance", loaded->config->pools[i].name, loaded->config->pools[i].balance,
          loaded->config->generation);
    for (uint32_t w = 0; w < loaded->part_count; w++) {
      if (loaded->parts[w].loaded == NULL) continue;
      neap_policy_counters one;
      uint64_t at_ms;
      char fault[NEAP_NOTE_TEXT];
      const neap_policy *policy = neap_pool_policy(loaded->parts[w].generation.pools[i]);
      neap_policy_counters_peek(policy, &one);
      add_counters(&view->counters, &one);
      if (neap_policy_fault_peek(policy, &at_ms, fault)) take_fault(view, at_ms, fault);
    }
  }
}

static void look_at_predicates(const neap_loaded *loaded, neap_policy_view *view) {
  begin(view, "route", "", "when", loaded->config->generation);
  for (uint32_t w = 0; w < loaded->part_count; w++) {
    if (loaded->parts[w].loaded == NULL) continue;
    neap_worker_counters one;
    neap_worker_counters_peek(loaded->parts[w].vm, &one);
    view->counters.asks += one.asks;
    view->counters.faults_error += one.faults;
    view->counters.trips += one.trips;
    view->counters.trace_aborts += one.trace_aborts;
    view->counters.memory += one.memory;
    uint64_t at_ms;
    char fault[NEAP_NOTE_TEXT];
    if (neap_worker_fault_peek(loaded->parts[w].vm, &at_ms, fault)) take_fault(view, at_ms, fault);
    view->refused += one.refused;
  }
}

static void look_at_evict(neap_cache *cache, neap_policy_view *view) {
  neap_cache_stats stats;
  neap_cache_stats_get(cache, &stats);
  neap_store_policy_counters(cache, &view->counters);
  if (!neap_store_policy_fault(cache, &view->fault_ms, view->fault)) view->fault[0] = '\0';
  begin(view, "evict", "cache", stats.policy, stats.generation);
}

static bool has_check(const neap_loaded *loaded, size_t pool) {
  return loaded->judge && loaded->config->pools[pool].care.health.scripted;
}

/* The functions that judge probes: one for each pool that has one. Returns how many. */
static size_t look_at_checks(const neap_loaded *loaded, neap_policy_view *views) {
  size_t count = 0;
  for (size_t i = 0; i < loaded->config->pool_count; i++) {
    if (!has_check(loaded, i)) continue;
    neap_policy_view *view = &views[count++];
    begin(view, "health", loaded->config->pools[i].name, "check", loaded->config->generation);
    neap_judge_counters(loaded->judge, (int32_t)i, &view->counters);
    if (!neap_judge_fault_peek(loaded->judge, (int32_t)i, &view->fault_ms, view->fault))
      view->fault[0] = '\0';
  }
  return count;
}

static size_t look_at_prefetch(const neap_gateway *gateway, neap_policy_view *views) {
  const neap_prefetcher *prefetcher = neap_prefetching_prefetcher(gateway->prefetching);
  size_t count = 0;
  for (int i = 0; prefetcher && i < neap_prefetcher_count(prefetcher); i++) {
    const neap_policy *policy = neap_prefetcher_policy(prefetcher, i);
    if (policy == NULL) continue;
    neap_policy_view *view = &views[count++];
    begin(view, "prefetch", "cache", neap_prefetcher_name(prefetcher, i),
          gateway->loaded->config->generation);
    neap_policy_counters_peek(policy, &view->counters);
    if (!neap_policy_fault_peek(policy, &view->fault_ms, view->fault)) view->fault[0] = '\0';
  }
  return count;
}

size_t neap_policy_views_get(neap_gateway *gateway, neap_policy_view **out) {
  const neap_loaded *loaded = gateway->loaded;
  neap_cache *cache = atomic_load(&gateway->cache);
  size_t pools = loaded->config->pool_count, count = 0;
  neap_policy_view *views = *out =
      calloc(2 * pools + 2 + NEAP_ISSUERS_MAX, sizeof *views); /* a policy and a check of each */
  if (views == NULL) return 0;
  look_at_pools(loaded, views);
  count = pools;
  look_at_predicates(loaded, &views[count++]);
  count += look_at_checks(loaded, &views[count]);
  if (cache) look_at_evict(cache, &views[count++]);
  count += look_at_prefetch(gateway, &views[count]);
  return count;
}

const char *neap_backend_state_name(int32_t state) {
  static const char *const names[] = {[NEAP_BACKEND_UP] = "up",
                                      [NEAP_BACKEND_DOWN] = "down",
                                      [NEAP_BACKEND_DRAINING] = "draining",
                                      [NEAP_BACKEND_UNKNOWN] = "unknown"};
  return names[state];
}
