/* A shadow: what is compared, and what came of it. */
#include <stdlib.h>
#include <string.h>

#include "server/candidate.h"

/* Of functions in a configuration nobody knows whether they are the same. */
static bool same_balance(const neap_config_pool *a, const neap_config_pool *b) {
  return strncmp(a->balance, "inline:", 7) != 0 && strcmp(a->balance, b->balance) == 0 &&
         neap_same_text(a->source, b->source) &&
         neap_same_params(a->params, a->param_count, b->params, b->param_count);
}

static bool same_evict(const neap_config *a, const neap_config *b) {
  return strcmp(a->cache.evict, b->cache.evict) == 0 && neap_same_text(a->cache_source, b->cache_source) &&
         neap_same_params(a->cache.params, a->cache.param_count, b->cache.params, b->cache.param_count);
}

/* --- preparing */

/* The candidate's pool that is compared with `pool`; -1: none. */
static int32_t counterpart(const neap_candidate *candidate, const neap_config_pool *pool) {
  const neap_config *config = candidate->loaded->config;
  if (candidate->subject == NEAP_FILE_EVICT) return -1;
  if (candidate->subject == NEAP_FILE_BALANCE && strcmp(candidate->pool, pool->name) != 0) return -1;
  for (size_t i = 0; i < config->pool_count; i++) {
    if (strcmp(config->pools[i].name, pool->name) != 0) continue;
    bool wanted = candidate->subject == NEAP_FILE_BALANCE || !same_balance(pool, &config->pools[i]);
    return wanted ? (int32_t)i : -1;
  }
  return -1;
}

static int make_shadows(neap_candidate *candidate, uint32_t place, neap_err *err) {
  neap_candidate_part *part = &candidate->parts[place];
  const neap_config *in_force = candidate->gateway->loaded->config;
  part->shadows = calloc(in_force->pool_count + 1, sizeof *part->shadows);
  if (part->shadows == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  for (size_t i = 0; i < in_force->pool_count; i++) {
    int32_t other = counterpart(candidate, &in_force->pools[i]);
    if (other < 0) continue;
    neap_pool *like = candidate->loaded->parts[place].generation.pools[other];
    int code = neap_pool_shadow_create(like, &part->shadows[i], err);
    if (code) return code;
  }
  return 0;
}

/* Of any part. */
static neap_registry *registry_of(const neap_loaded *loaded) {
  for (uint32_t i = 0; i < loaded->part_count; i++)
    if (loaded->parts[i].vm) return neap_worker_registry(loaded->parts[i].vm);
  return NULL;
}

static neap_shadow_policy evict_of(const neap_loaded *loaded) {
  const neap_cache_options *cache = &loaded->config->cache;
  return (neap_shadow_policy){.registry = registry_of(loaded),
                              .evict = cache->evict,
                              .params = cache->params,
                              .param_count = cache->param_count};
}

static int make_cache(neap_candidate *candidate, neap_err *err) {
  const neap_gateway *gateway = candidate->gateway;
  neap_cache *live = atomic_load(&gateway->cache);
  const neap_config *config = candidate->loaded->config;
  bool wanted = candidate->subject == NEAP_FILE_EVICT;
  if (wanted && live == NULL) return neap_fail(err, NEAP_ESTATE, "there is no cache to compare with");
  if (candidate->subject == NEAP_FILE_CONFIGURATION)
    wanted = live && config->cache_enabled && !same_evict(gateway->loaded->config, config);
  if (!wanted) return 0;
  const neap_shadow_policy in_force = evict_of(gateway->loaded), other = evict_of(candidate->loaded);
  return neap_shadow_cache_create(live, gateway->host, &in_force, &other, &candidate->cache, err);
}

int neap_shadow_prepare(neap_candidate *candidate, neap_err *err) {
  int code = make_cache(candidate, err);
  for (uint32_t i = 0; i < candidate->part_count && code == 0; i++) {
    neap_candidate_part *part = &candidate->parts[i];
    if (part->candidate == NULL) continue;
    part->trial.routes = candidate->subject == NEAP_FILE_CONFIGURATION;
    part->trial.examples = NEAP_CANDIDATE_EXAMPLES;
    if (candidate->cache) part->trial.tape = neap_shadow_cache_tape(candidate->cache);
    code = make_shadows(candidate, i, err);
  }
  return code;
}

/* --- seeing */

static double ratio(uint64_t part, uint64_t whole) {
  return whole ? (double)part / (double)whole : 0;
}

typedef struct backend_sum {
  const char *address;
  uint64_t picks, would_be;
} backend_sum;

/* Sums over the workers by backend; those that have left the pool are not shown. */
static void gather_backends(const neap_candidate *candidate, size_t pool, backend_sum *sums,
                            const neap_members *members) {
  for (size_t i = 0; i < members->count; i++) {
    sums[i].address = neap_backend_address(members->list[i].backend);
    double id = neap_backend_id(sums[i].address);
    for (uint32_t w = 0; w < candidate->part_count; w++) {
      neap_pool_shadow **shadows = candidate->parts[w].shadows;
      neap_pool_shadow_share share;
      for (size_t s = 0; shadows && shadows[pool] && neap_pool_shadow_share_at(shadows[pool], s, &share);
           s++) {
        if (share.id != id) continue;
        sums[i].picks += share.picks;
        sums[i].would_be += share.would_be;
      }
    }
  }
}

/* How much more than the mean the busiest gets. */
static double peak(const backend_sum *sums, size_t count, bool would_be) {
  uint64_t most = 0, sum = 0;
  for (size_t i = 0; i < count; i++) {
    uint64_t one = would_be ? sums[i].would_be : sums[i].picks;
    most = NEAP_MAX(most, one);
    sum += one;
  }
  return sum ? (double)most * (double)count / (double)sum : 0;
}

static void add_pool(const neap_candidate *candidate, size_t index, json_t *pools, json_t *backends) {
  const neap_config_pool *pool = &candidate->gateway->loaded->config->pools[index];
  const neap_members *members = &candidate->gateway->loaded->members[index];
  neap_pool_shadow_sum sum = {0};
  int32_t other = counterpart(candidate, pool);
  if (other < 0) return;
  for (uint32_t w = 0; w < candidate->part_count; w++) {
    neap_pool_shadow **shadows = candidate->parts[w].shadows;
    if (shadows && shadows[index]) neap_pool_shadow_gather(shadows[index], &sum);
  }
  backend_sum *sums = calloc(members->count + 1, sizeof *sums);
  if (sums == NULL) return;
  gather_backends(candidate, index, sums, members);
  uint64_t picks = 0, would_be = 0;
  for (size_t i = 0; i < members->count; i++) picks += sums[i].picks, would_be += sums[i].would_be;
  for (size_t i = 0; i < members->count; i++)
    json_array_append_new(backends, json_pack("{s:s, s:o, s:I, s:f, s:I, s:f}", "pool", pool->name, "backend",
                                              neap_control_string(sums[i].address), "picks",
                                              (json_int_t)sums[i].picks, "share", ratio(sums[i].picks, picks),
                                              "would_be", (json_int_t)sums[i].would_be, "would_be_share",
                                              ratio(sums[i].would_be, would_be)));
  json_array_append_new(
      pools, json_pack("{s:s, s:o, s:o, s:I, s:I, s:f, s:f, s:f, s:I, s:b}", "pool", pool->name, "policy",
                       neap_control_string(pool->balance), "candidate",
                       neap_control_string(candidate->loaded->config->pools[other].balance), "asked",
                       (json_int_t)sum.asked, "agreed", (json_int_t)sum.agreed, "agreement",
                       ratio(sum.agreed, sum.asked), "max_over_mean", peak(sums, members->count, false),
                       "would_be_max_over_mean", peak(sums, members->count, true), "failed",
                       (json_int_t)sum.failed, "rests", sum.rests));
  free(sums);
}

static json_t *routes_of(const neap_candidate *candidate) {
  uint64_t asked = 0, agreed = 0, failed = 0;
  for (uint32_t w = 0; w < candidate->part_count; w++) {
    const neap_trial *trial = &candidate->parts[w].trial;
    asked += neap_count_get(&trial->routed);
    agreed += neap_count_get(&trial->agreed);
    failed += neap_count_get(&trial->failed);
  }
  return json_pack("{s:I, s:I, s:f, s:I}", "asked", (json_int_t)asked, "agreed", (json_int_t)agreed,
                   "agreement", ratio(agreed, asked), "failed", (json_int_t)failed);
}

static json_t *cache_of(const neap_candidate *candidate) {
  neap_shadow_cache_sum sum;
  neap_shadow_cache_sum_get(candidate->cache, &sum);
  return json_pack("{s:o, s:o, s:f, s:I, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:b}", "policy",
                   neap_control_string(candidate->gateway->loaded->config->cache.evict), "candidate",
                   neap_control_string(candidate->loaded->config->cache.evict), "sample", sum.sample,
                   "lookups", (json_int_t)sum.lookups, "hit_ratio", ratio(sum.live, sum.lookups),
                   "replayed_hit_ratio", ratio(sum.now, sum.lookups), "would_be_hit_ratio",
                   ratio(sum.would, sum.lookups), "evictions", (json_int_t)sum.evicted_now,
                   "would_be_evictions", (json_int_t)sum.evicted_would, "lost", (json_int_t)sum.lost,
                   "failed", (json_int_t)sum.faults, "rests", sum.rests);
}

void neap_shadow_json(const neap_candidate *candidate, json_t *out) {
  json_t *pools = json_array(), *backends = json_array();
  for (size_t i = 0; i < candidate->pool_count; i++) add_pool(candidate, i, pools, backends);
  if (json_array_size(pools) > 0) {
    json_object_set(out, "pools", pools);
    json_object_set(out, "backends", backends);
  }
  json_decref(pools);
  json_decref(backends);
  if (candidate->subject == NEAP_FILE_CONFIGURATION) {
    json_object_set_new(out, "routes", routes_of(candidate));
    if (json_array_size(candidate->examples) > 0) json_object_set(out, "examples", candidate->examples);
  }
  if (candidate->cache) json_object_set_new(out, "cache", cache_of(candidate));
}
