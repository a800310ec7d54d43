/* The cascade: made, given tiers, seen, ended. */
#include "tier/impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void neap_tiers_options_init(neap_tiers_options *options) {
  *options = (neap_tiers_options){.write_mode = NEAP_WRITE_THROUGH,
                                  .default_ttl_ms = 5 * 60 * 1000,
                                  .jitter_percent = 10,
                                  .xfetch_beta = 1,
                                  .negative_ttl_ms = 5000,
                                  .negative_memory = 1 << 20,
                                  .fail_safe_max_ms = 24 * 3600 * 1000,
                                  .fail_safe_throttle_ms = 30000,
                                  .tombstone_ms = 30000,
                                  .lookups_max = 65536};
}

/* --- create and destroy */

static int check_options(const neap_tiers_options *options, neap_err *err) {
  if (options->memory == NULL) return neap_fail(err, NEAP_EINVAL, "memory is NULL: give it a cache");
  if (options->jitter_percent > 50)
    return neap_fail(err, NEAP_EINVAL, "jitter_percent is %u: 0 to 50", options->jitter_percent);
  if (!(options->xfetch_beta >= 0 && options->xfetch_beta <= 10))
    return neap_fail(err, NEAP_EINVAL, "xfetch_beta is %g: 0 to 10", options->xfetch_beta);
  if (options->default_ttl_ms == 0)
    return neap_fail(err, NEAP_EINVAL, "default_ttl_ms is 0: NEAP_TTL_NEVER or milliseconds");
  if (options->negative_memory < 64 << 10)
    return neap_fail(err, NEAP_EINVAL, "negative_memory is %llu: at least 64 KiB (65536) are needed",
                     (unsigned long long)options->negative_memory);
  if (options->lookups_max == 0) return neap_fail(err, NEAP_EINVAL, "lookups_max is 0: at least 1");
  if ((unsigned)options->write_mode > NEAP_WRITE_AROUND ||
      (unsigned)options->consistency > NEAP_CONSISTENCY_STRONG)
    return neap_fail(err, NEAP_EINVAL, "write_mode or consistency is no such mode");
  return 0;
}

/* Misses and deletes: small, all alike, so that nothing is won by a policy of choice. */
static int create_negatives(neap_tiers *tiers, neap_registry *registry, neap_err *err) {
  neap_cache_options options;
  neap_cache_options_init(&options);
  options.name = "negatives";
  options.max_memory = tiers->options.negative_memory;
  options.max_object_size = options.max_memory;
  options.evict = "native:sieve";
  return neap_store_create(registry, &tiers->host, &options, NEAP_STORE_VALUES, &tiers->negatives, err);
}

static uint64_t seed_of(const neap_tiers *tiers) {
  uint64_t seed = tiers->options.seed ? tiers->options.seed : tiers->host.seed;
  if (seed == 0 && getrandom(&seed, sizeof seed, 0) != sizeof seed)
    seed = tiers->host.now_ns(tiers->host.user) ^ (uintptr_t)tiers;
  return seed;
}

static void set_up(neap_tiers *tiers) {
  pthread_mutex_init(&tiers->ports_lock, NULL);
  tiers->seed = seed_of(tiers);
  neap_random random = {.state = tiers->seed};
  tiers->hash_key =
      (neap_hash_key){neap_random_next(&random), neap_random_next(&random), neap_random_next(&random)};
  atomic_init(&tiers->suspects, 1); /* entries put past the cascade have 0 */
  atomic_init(&tiers->fresh_until_ms, UINT64_MAX);
  for (size_t i = 0; i < NEAP_TIER_SHARDS; i++) pthread_mutex_init(&tiers->shards[i].lock, NULL);
  tiers->count = 1;
  snprintf(tiers->tiers[0].name, sizeof tiers->tiers[0].name, "memory");
  pthread_mutex_init(&tiers->tiers[0].lock, NULL);
}

int neap_tiers_create_with(neap_registry *registry, const neap_host *host, const neap_tiers_options *options,
                           neap_tiers **out, neap_err *err) {
  int code = check_options(options, err);
  if (code) return code;
  neap_tiers *tiers = calloc(1, sizeof *tiers);
  if (tiers == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  tiers->magic = NEAP_TIERS_MAGIC;
  tiers->host = *host;
  tiers->options = *options;
  tiers->memory = options->memory;
  tiers->shards = aligned_alloc(NEAP_CACHE_LINE, NEAP_TIER_SHARDS * sizeof(neap_tier_shard));
  if (tiers->shards == NULL) {
    code = neap_fail(err, NEAP_ENOMEM, "out of memory");
    goto fail_shards;
  }
  memset(tiers->shards, 0, NEAP_TIER_SHARDS * sizeof(neap_tier_shard));
  code = create_negatives(tiers, registry, err);
  if (code) goto fail_negatives;
  set_up(tiers);
  *out = tiers;
  return 0;

fail_negatives:
  free(tiers->shards);
fail_shards:
  free(tiers);
  return code;
}

static void free_shard(neap_tier_shard *shard) {
  for (size_t i = 0; i < NEAP_TIER_SHARD_BUCKETS; i++)
    for (neap_tier_key *key = shard->buckets[i], *next; key; key = next) {
      next = key->next;
      neap_assert(key->users == 0); /* else something is under way */
      free(key);
    }
  pthread_mutex_destroy(&shard->lock);
}

void neap_tiers_destroy(neap_tiers **tiers_ptr) {
  neap_tiers *tiers = *tiers_ptr;
  if (tiers == NULL) return;
  *tiers_ptr = NULL;
  neap_check_magic(tiers, NEAP_TIERS_MAGIC);
  neap_assert(tiers->ports == NULL);
  for (int i = 0; i < tiers->count; i++) {
    neap_tier *tier = &tiers->tiers[i];
    if (tier->vt && tier->vt->destroy) tier->vt->destroy(tier->config);
    neap_tier_later_destroy(&tier->later);
    pthread_mutex_destroy(&tier->lock);
  }
  for (size_t i = 0; i < NEAP_TIER_SHARDS; i++) free_shard(&tiers->shards[i]);
  neap_cache_destroy(&tiers->negatives);
  pthread_mutex_destroy(&tiers->ports_lock);
  tiers->magic = 0;
  free(tiers->shards);
  free(tiers);
}

/* --- tiers below memory */

#define DEFAULT(member, value)                                                                               \
  if ((member) == 0) (member) = (value)

static neap_tier_options complete(const neap_tier_options *given, const neap_tiers *tiers) {
  neap_tier_options options = given ? *given : (neap_tier_options){0};
  DEFAULT(options.default_ttl_ms, tiers->options.default_ttl_ms);
  DEFAULT(options.soft_timeout_ms, 50);
  DEFAULT(options.hard_timeout_ms, 1000);
  DEFAULT(options.breaker_window_ms, 10000);
  DEFAULT(options.breaker_min, 20);
  DEFAULT(options.breaker_error_percent, 50);
  DEFAULT(options.breaker_open_ms, 2000);
  DEFAULT(options.breaker_open_max_ms, 30000);
  DEFAULT(options.recovery_max, 10000);
  DEFAULT(options.recovery_bytes, 64 << 20);
  DEFAULT(options.recovery_delay_ms, 2000);
  DEFAULT(options.behind_delay_ms, 20);
  return options;
}

static int check_tier(const neap_tiers *tiers, const neap_tier_vt *vt, const neap_tier_options *options,
                      neap_err *err) {
  if (tiers->ports) return neap_fail(err, NEAP_ESTATE, "tiers are added before ports are attached");
  if (tiers->count == NEAP_TIERS_MAX) return neap_fail(err, NEAP_EROOM, "at most %d tiers", NEAP_TIERS_MAX);
  if (options->breaker_error_percent > 100)
    return neap_fail(err, NEAP_EINVAL, "breaker_error_percent is %u: at most 100",
                     options->breaker_error_percent);
  if (options->breaker_open_max_ms < options->breaker_open_ms)
    return neap_fail(err, NEAP_EINVAL, "breaker_open_max_ms is less than breaker_open_ms");
  if (vt->gives_versions && tiers->authority)
    return neap_fail(err, NEAP_EINVAL, "two tiers that give out versions: %s is one already",
                     tiers->tiers[tiers->authority].name);
  return 0;
}

int neap_tiers_add(neap_tiers *tiers, const neap_tier_vt *vt, void *config, const neap_tier_options *given,
                   neap_err *err) {
  neap_check_magic(tiers, NEAP_TIERS_MAGIC);
  neap_tier_options options = complete(given, tiers);
  neap_tier *tier = &tiers->tiers[tiers->count < NEAP_TIERS_MAX ? tiers->count : 0];
  int code = check_tier(tiers, vt, &options, err);
  if (code == 0 && neap_tier_later_create(&tiers->host, &tier->later))
    code = neap_fail(err, NEAP_ENOMEM, "out of memory");
  if (code) {
    if (vt->destroy) vt->destroy(config);
    return code;
  }
  tier->vt = vt;
  tier->config = config;
  tier->options = options;
  snprintf(tier->name, sizeof tier->name, "%s", options.name ? options.name : vt->name);
  tier->options.name = tier->name;
  pthread_mutex_init(&tier->lock, NULL);
  neap_tier_breaker_init(&tier->breaker, &tier->options);
  if (vt->gives_versions) tiers->authority = tiers->count;
  tiers->count++;
  return 0;
}

neap_consistency neap_tier_consistency(const neap_tiers *tiers) {
  if (tiers->options.consistency) return tiers->options.consistency;
  return tiers->authority ? NEAP_CONSISTENCY_EVENTUAL : NEAP_CONSISTENCY_LOCAL;
}

void neap_tiers_leave_out(neap_tiers *tiers, uint32_t rules) {
  tiers->left_out = rules;
}

bool neap_tiers_keeps(const neap_tiers *tiers, neap_tier_rule rule) {
  return neap_tier_rules(tiers, rule);
}

/* --- versions */

uint64_t neap_tier_tick(neap_tiers *tiers, uint64_t wall_ms) {
  uint64_t last = atomic_load(&tiers->clock), next;
  do next = NEAP_MAX(wall_ms * 1000, last + 1);
  while (!atomic_compare_exchange_weak(&tiers->clock, &last, next));
  return next;
}

/* --- seeing */

static double rate(uint64_t hits, uint64_t all) {
  return all == 0 ? 0 : (double)hits / (double)all;
}

static void see_tier(neap_tier *tier, neap_tier_stats *out) {
  snprintf(out->name, sizeof out->name, "%s", tier->name);
#define SEE(name, text) out->name = atomic_load_explicit(&tier->name, memory_order_relaxed);
  NEAP_TIER_COUNTERS(SEE)
#undef SEE
  out->hit_rate = rate(out->hits, out->hits + out->misses);
  if (tier->vt == NULL) return;
  out->waiting = neap_tier_later_count(tier);
  pthread_mutex_lock(&tier->lock);
  out->breaker = tier->breaker.state;
  out->breaker_opened = tier->breaker.opened;
  const neap_histogram *times = &tier->latency_ns;
  out->latency = (neap_latency){.count = neap_histogram_count(times),
                                .p50_ns = neap_histogram_quantile(times, 500000),
                                .p90_ns = neap_histogram_quantile(times, 900000),
                                .p99_ns = neap_histogram_quantile(times, 990000),
                                .p999_ns = neap_histogram_quantile(times, 999000),
                                .max_ns = atomic_load(&times->max)};
  pthread_mutex_unlock(&tier->lock);
}

void neap_tiers_stats_get(neap_tiers *tiers, neap_tiers_stats *out) {
  neap_check_magic(tiers, NEAP_TIERS_MAGIC);
  *out = (neap_tiers_stats){.tier_count = tiers->count,
                            .lookups = atomic_load(&tiers->lookups),
                            .hits = atomic_load(&tiers->hits),
                            .not_found = atomic_load(&tiers->not_found),
                            .unavailable = atomic_load(&tiers->unavailable),
                            .shared = atomic_load(&tiers->shared),
                            .refreshes = atomic_load(&tiers->refreshes),
                            .stale_served = atomic_load(&tiers->stale_served)};
  out->hit_rate = rate(out->hits, out->lookups);
  for (int i = 0; i < tiers->count; i++) see_tier(&tiers->tiers[i], &out->tiers[i]);
}
