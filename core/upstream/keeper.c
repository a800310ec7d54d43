/* The keeper: probes for every backend that is to be probed, and once a second a look at all pools: who gives
 * more errors than the rest, how shares should move, and what the workers did that the log should say. */
#include "upstream/keeper.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { SWEEP_MS = 1000 };

/* --- the sweep */

/* Once for each backend, however many pools it is in. */
static void observe(neap_backend *backend, uint64_t now_ms) {
  neap_vitals *vitals = &backend->vitals;
  if (vitals->recent.swept_ms == now_ms) return;
  uint64_t elapsed_ms = now_ms - vitals->recent.swept_ms;
  vitals->recent.swept_ms = now_ms;
  neap_outlier_observe(vitals, atomic_load_explicit(&backend->requests, memory_order_relaxed), elapsed_ms,
                       now_ms);
}

static int32_t ejected_count(const neap_keeper_pool *pool, uint64_t now_ms) {
  int32_t count = 0;
  for (size_t i = 0; i < pool->member_count; i++)
    count += neap_vitals_is_ejected(&pool->members[i].backend->vitals, now_ms);
  return count;
}

static void eject_by_rate(const neap_keeper_pool *pool, uint64_t now_ms) {
  const neap_care_eject *rules = &pool->care->eject;
  double requests = 0, errors = 0;
  for (size_t i = 0; i < pool->member_count; i++) {
    const neap_vitals *vitals = &pool->members[i].backend->vitals;
    requests += vitals->recent.requests;
    errors += vitals->recent.errors;
  }
  for (size_t i = 0; i < pool->member_count; i++) {
    neap_vitals *vitals = &pool->members[i].backend->vitals;
    if (neap_vitals_is_ejected(vitals, now_ms) ||
        !neap_outlier_is(rules, vitals->recent.requests, vitals->recent.errors,
                         requests - vitals->recent.requests, errors - vitals->recent.errors))
      continue;
    neap_vitals_eject(vitals, rules, false, now_ms);
    if (!neap_eject_allows(rules, (int32_t)pool->member_count, ejected_count(pool, now_ms)))
      neap_vitals_take_back(vitals);
  }
}

static void adjust_shares(const neap_keeper_pool *pool, uint64_t now_ms) {
  neap_vitals **all = calloc(pool->member_count, sizeof *all);
  int32_t *weights = calloc(pool->member_count, sizeof *weights);
  for (size_t i = 0; all && weights && i < pool->member_count; i++) {
    all[i] = &pool->members[i].backend->vitals;
    weights[i] = pool->members[i].weight;
  }
  if (all && weights) neap_shares_adjust(all, weights, pool->member_count, now_ms);
  free(all);
  free(weights);
}

/* Would a worker ignore health now? Not before every backend has been probed: that is how a pool starts. */
static bool is_in_panic(neap_keeper *keeper, const neap_keeper_pool *pool, uint64_t now_ms) {
  neap_backend_row *rows = calloc(pool->member_count + 1, sizeof *rows);
  bool known = rows != NULL;
  for (size_t i = 0; known && i < pool->member_count; i++) {
    const neap_pool_member *member = &pool->members[i];
    rows[i].weight = member->weight;
    rows[i].priority = member->priority;
    rows[i].error_rate = atomic_load_explicit(&member->backend->error_rate, memory_order_relaxed);
    neap_vitals_row(&member->backend->vitals, pool->care,
                    atomic_load_explicit(&member->backend->down_until_ms, memory_order_relaxed), now_ms,
                    &rows[i]);
    known = pool->care->health.kind == NEAP_PROBE_NONE || rows[i].state != NEAP_BACKEND_UNKNOWN;
    if (member->draining) rows[i].barred |= NEAP_BAR_DRAINING;
  }
  bool panic = known && neap_vitals_pool(pool->care, rows, (int32_t)pool->member_count, &keeper->random);
  free(rows);
  return panic;
}

static void tell_panic(neap_keeper *keeper, size_t index, uint64_t now_ms) {
  const neap_keeper_pool *pool = &keeper->pools[index];
  bool panic = is_in_panic(keeper, pool, now_ms);
  if (panic == keeper->panics[index]) return;
  keeper->panics[index] = panic;
  if (panic)
    neap_host_log(keeper->host, NEAP_LOG_ERROR, "upstream panic pool=%s threshold=%g", pool->name,
                  pool->care->panic);
  else
    neap_host_log(keeper->host, NEAP_LOG_INFO, "upstream panic_over pool=%s", pool->name);
}

/* Workers eject and open breakers without a word; it is told here. */
static void tell(const neap_keeper *keeper, const neap_keeper_pool *pool, neap_backend *backend,
                 uint64_t now_ms) {
  neap_vitals *vitals = &backend->vitals;
  uint64_t ejections = atomic_load_explicit(&vitals->ejections, memory_order_relaxed);
  uint64_t opened = atomic_load_explicit(&vitals->breaker.opened, memory_order_relaxed);
  uint64_t until_ms = atomic_load_explicit(&vitals->ejected_until_ms, memory_order_relaxed);
  if (ejections > vitals->recent.ejections_told && until_ms > now_ms)
    neap_host_log(keeper->host, NEAP_LOG_WARN, "upstream ejected pool=%s backend=%s for_ms=%llu", pool->name,
                  neap_backend_address(backend), (unsigned long long)(until_ms - now_ms));
  if (opened > vitals->recent.opened_told)
    neap_host_log(keeper->host, NEAP_LOG_WARN, "upstream breaker_opened pool=%s backend=%s times=%llu",
                  pool->name, neap_backend_address(backend),
                  (unsigned long long)(opened - vitals->recent.opened_told));
  vitals->recent.ejections_told = ejections;
  vitals->recent.opened_told = opened;
}

static void sweep(neap_timer *timer) {
  neap_keeper *keeper = NEAP_CONTAINER_OF(timer, neap_keeper, sweep);
  uint64_t now_ms = neap_loop_now_ms(keeper->loop);
  for (size_t i = 0; i < keeper->pool_count; i++) {
    const neap_keeper_pool *pool = &keeper->pools[i];
    for (size_t j = 0; j < pool->member_count; j++) observe(pool->members[j].backend, now_ms);
    if (pool->care->eject.enabled) eject_by_rate(pool, now_ms);
    if (pool->care->dynamic_weight) adjust_shares(pool, now_ms);
    for (size_t j = 0; j < pool->member_count; j++) tell(keeper, pool, pool->members[j].backend, now_ms);
    tell_panic(keeper, i, now_ms);
  }
  neap_timer_set(keeper->loop, timer, SWEEP_MS);
}

/* --- the list of pools */

/* The probe that goes by the rules with that key; NULL: there is none. */
static neap_probe *find_probe(const neap_backend *backend, uint64_t key) {
  for (int i = 0; i < NEAP_CHECKS_MAX; i++)
    if (backend->probes[i] &&
        atomic_load_explicit(&backend->probes[i]->health->key, memory_order_relaxed) == key)
      return backend->probes[i];
  return NULL;
}

static const neap_keeper_pool *find_pool(const neap_keeper *keeper, const char *name) {
  for (size_t i = 0; i < keeper->pool_count; i++)
    if (strcmp(keeper->pools[i].name, name) == 0) return &keeper->pools[i];
  return NULL;
}

/* What the pool's probes said of it until now, by whichever rules. */
static const neap_health *known_before(const neap_keeper *keeper, const neap_backend *backend,
                                       const neap_keeper_pool *pool) {
  const neap_keeper_pool *before = find_pool(keeper, pool->name);
  const neap_probe *probe = before ? find_probe(backend, before->care->health.key) : NULL;
  return probe ? probe->health : NULL;
}

/* A place for a probe: a free one, or else one that is not wanted any more; -1: there is neither. */
static int find_place(const neap_backend *backend) {
  for (int i = 0; i < NEAP_CHECKS_MAX; i++)
    if (backend->probes[i] == NULL) return i;
  for (int i = 0; i < NEAP_CHECKS_MAX; i++)
    if (!backend->probes[i]->wanted) return i;
  return -1;
}

/* A pool that gets no probe goes by what others say. */
static void add_probe(neap_keeper *keeper, neap_backend *backend, const neap_keeper_pool *pool) {
  int place = find_place(backend);
  if (place >= 0 && backend->probes[place]) {
    neap_probe_change(backend->probes[place], pool);
    return;
  }
  neap_probe *probe = NULL;
  if (place >= 0)
    probe = neap_probe_create(keeper, backend, place, pool, known_before(keeper, backend, pool));
  if (probe == NULL) {
    neap_host_log(keeper->host, NEAP_LOG_ERROR, "upstream probe_lost pool=%s backend=%s error=\"%s\"",
                  pool->name, neap_backend_address(backend),
                  place < 0 ? "too many different checks" : "out of memory");
    return;
  }
  probe->next = keeper->probes;
  keeper->probes = probe;
}

/* First those that go on, so that no new one takes the place of one of them. */
static void want_probes(neap_keeper *keeper, const neap_keeper_pool *pool, bool new_ones) {
  uint64_t key = pool->care->health.key;
  if (pool->care->health.kind == NEAP_PROBE_NONE) return;
  for (size_t i = 0; i < pool->member_count; i++) {
    neap_probe *probe = find_probe(pool->members[i].backend, key);
    if (probe && !probe->wanted)
      neap_probe_change(probe, pool);
    else if (probe == NULL && new_ones)
      add_probe(keeper, pool->members[i].backend, pool);
  }
}

static void drop_unwanted(neap_keeper *keeper) {
  for (neap_probe **at = &keeper->probes; *at;) {
    neap_probe *probe = *at;
    if (probe->wanted) {
      at = &probe->next;
      continue;
    }
    *at = probe->next;
    neap_probe_destroy(&probe);
  }
}

static bool was_in_panic(const neap_keeper *keeper, const char *name) {
  for (size_t i = 0; i < keeper->pool_count; i++)
    if (keeper->panics[i] && strcmp(keeper->pools[i].name, name) == 0) return true;
  return false;
}

void neap_keeper_set(neap_keeper *keeper, const neap_keeper_pool *pools, size_t count) {
  neap_keeper_pool *copy = calloc(count + 1, sizeof *copy);
  bool *panics = calloc(count + 1, sizeof *panics);
  neap_assert(copy != NULL && panics != NULL); /* the old list is about to go: there is no way back */
  for (size_t i = 0; i < count; i++) {
    copy[i] = pools[i];
    panics[i] = was_in_panic(keeper, pools[i].name);
  }
  for (neap_probe *probe = keeper->probes; probe; probe = probe->next) probe->wanted = false;
  for (int new_ones = 0; new_ones < 2; new_ones++)
    for (size_t i = 0; i < count; i++) want_probes(keeper, &copy[i], new_ones);
  drop_unwanted(keeper);
  free(keeper->pools);
  free(keeper->panics);
  keeper->pools = copy;
  keeper->panics = panics;
  keeper->pool_count = count;
}

/* --- life */

int neap_keeper_create(neap_loop *loop, const neap_host *host, neap_keeper **out) {
  neap_keeper *keeper = calloc(1, sizeof *keeper);
  if (keeper == NULL) return NEAP_ENOMEM;
  keeper->loop = loop;
  keeper->host = host;
  keeper->random.state = host->seed;
  int code = neap_fetcher_create(loop, &keeper->fetcher);
  if (code) {
    free(keeper);
    return code;
  }
  neap_timer_init(&keeper->sweep, sweep);
  neap_timer_set(loop, &keeper->sweep, SWEEP_MS);
  *out = keeper;
  return 0;
}

void neap_keeper_destroy(neap_keeper **keeper_ptr) {
  neap_keeper *keeper = *keeper_ptr;
  if (keeper == NULL) return;
  *keeper_ptr = NULL;
  neap_keeper_set(keeper, NULL, 0);
  neap_timer_clear(&keeper->sweep);
  neap_fetcher_destroy(&keeper->fetcher);
  free(keeper->pools);
  free(keeper->panics);
  free(keeper);
}
