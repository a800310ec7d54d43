#include "observe/tally.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { WORKERS_MAX = 256 };

typedef struct series {
  char *route, *pool;      /* route: NULL for a pool's */
  uint64_t added, removed; /* backends of a pool */
} series;

struct neap_tallies {
  pthread_mutex_t lock;                                       /* of all but what workers write */
  series routes[NEAP_SERIES_MAX], pools[NEAP_SERIES_MAX + 1]; /* the last of pools: "other" */
  uint32_t route_count, pool_count;
  neap_tally *workers[WORKERS_MAX];
};

/* --- counting */

static inline void count_reason(neap_tally *tally, neap_reason reason) {
  if (reason != NEAP_REASON_NONE) neap_count_add(&tally->reasons[reason], 1);
}

/* hot: */
void neap_tally_add(neap_tally *tally, const neap_tally_record *record) {
  unsigned code = (unsigned)record->status / 100;
  if (code >= NEAP_STATUS_CLASSES) code = 0;
  neap_count_add(&tally->routes[record->route]->requests[record->cache][code], 1);
  neap_pool_tally *pool = tally->pools[record->pool];
  neap_count_add(&pool->requests[code], 1);
  neap_timing_add(&pool->took[record->source], record->took_us);
  neap_count_add(&pool->body_bytes, record->body_bytes);
  count_reason(tally, record->end);
  count_reason(tally, record->lookup);
  count_reason(tally, record->store);
  neap_count_add(&tally->finished, 1);
}

/* --- series */

int neap_tallies_create(neap_tallies **out) {
  neap_tallies *tallies = calloc(1, sizeof *tallies);
  if (tallies == NULL) return NEAP_ENOMEM;
  pthread_mutex_init(&tallies->lock, NULL);
  if (neap_tallies_pool(tallies, "") != NEAP_SERIES_NO_POOL ||
      neap_tallies_route(tallies, "", "") != NEAP_SERIES_NO_ROUTE) {
    neap_tallies_destroy(&tallies);
    return NEAP_ENOMEM;
  }
  *out = tallies;
  return 0;
}

static void free_series(series *list, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    free(list[i].route);
    free(list[i].pool);
  }
}

static void free_tally(neap_tally *tally) {
  for (uint32_t i = 0; tally && i <= NEAP_SERIES_MAX; i++) {
    free(tally->routes[i]);
    free(tally->pools[i]);
  }
  free(tally);
}

void neap_tallies_destroy(neap_tallies **tallies) {
  if (*tallies == NULL) return;
  free_series((*tallies)->routes, (*tallies)->route_count);
  free_series((*tallies)->pools, (*tallies)->pool_count);
  for (uint32_t i = 0; i < WORKERS_MAX; i++) free_tally((*tallies)->workers[i]);
  pthread_mutex_destroy(&(*tallies)->lock);
  free(*tallies);
  *tallies = NULL;
}

static bool has_route(neap_tally *tally, uint32_t id) {
  if (tally->routes[id] == NULL) tally->routes[id] = calloc(1, sizeof *tally->routes[id]);
  return tally->routes[id] != NULL;
}

static bool has_pool(neap_tally *tally, uint32_t id) {
  if (tally->pools[id] == NULL) tally->pools[id] = calloc(1, sizeof *tally->pools[id]);
  return tally->pools[id] != NULL;
}

static neap_tally *make_tally(const neap_tallies *tallies) {
  neap_tally *made = calloc(1, sizeof *made);
  bool whole = made && has_route(made, NEAP_SERIES_OTHER) && has_pool(made, NEAP_SERIES_OTHER);
  for (uint32_t i = 0; whole && i < tallies->route_count; i++) whole = has_route(made, i);
  for (uint32_t i = 0; whole && i < tallies->pool_count; i++) whole = has_pool(made, i);
  if (whole) return made;
  free_tally(made);
  return NULL;
}

int neap_tallies_worker(neap_tallies *tallies, uint32_t index, neap_tally **out) {
  neap_assert(index < WORKERS_MAX);
  pthread_mutex_lock(&tallies->lock);
  if (tallies->workers[index] == NULL) tallies->workers[index] = make_tally(tallies);
  neap_tally *tally = tallies->workers[index];
  pthread_mutex_unlock(&tallies->lock);
  if (tally == NULL) return NEAP_ENOMEM;
  *out = tally;
  return 0;
}

/* A place for a new name, with memory on every worker; NEAP_SERIES_OTHER where that is not to be had. */
static uint32_t add_series(neap_tallies *tallies, series *list, uint32_t *count, const char *route,
                           const char *pool, bool (*has)(neap_tally *tally, uint32_t id)) {
  uint32_t id = *count;
  if (id == NEAP_SERIES_MAX) return NEAP_SERIES_OTHER;
  for (uint32_t i = 0; i < WORKERS_MAX; i++)
    if (tallies->workers[i] && !has(tallies->workers[i], id)) return NEAP_SERIES_OTHER;
  series made = {.route = route ? strdup(route) : NULL, .pool = strdup(pool)};
  if ((route && made.route == NULL) || made.pool == NULL) {
    free(made.route);
    free(made.pool);
    return NEAP_SERIES_OTHER;
  }
  list[(*count)++] = made;
  return id;
}

static uint32_t find_route(neap_tallies *tallies, const char *route, const char *pool) {
  for (uint32_t i = 0; i < tallies->route_count; i++)
    if (strcmp(tallies->routes[i].route, route) == 0 && strcmp(tallies->routes[i].pool, pool) == 0) return i;
  return add_series(tallies, tallies->routes, &tallies->route_count, route, pool, has_route);
}

static uint32_t find_pool(neap_tallies *tallies, const char *pool) {
  for (uint32_t i = 0; i < tallies->pool_count; i++)
    if (strcmp(tallies->pools[i].pool, pool) == 0) return i;
  return add_series(tallies, tallies->pools, &tallies->pool_count, NULL, pool, has_pool);
}

uint32_t neap_tallies_route(neap_tallies *tallies, const char *route, const char *pool) {
  pthread_mutex_lock(&tallies->lock);
  uint32_t id = find_route(tallies, route, pool);
  pthread_mutex_unlock(&tallies->lock);
  return id;
}

uint32_t neap_tallies_pool(neap_tallies *tallies, const char *pool) {
  pthread_mutex_lock(&tallies->lock);
  uint32_t id = find_pool(tallies, pool);
  pthread_mutex_unlock(&tallies->lock);
  return id;
}

void neap_tallies_member(neap_tallies *tallies, const char *pool, bool joined) {
  pthread_mutex_lock(&tallies->lock);
  series *of = &tallies->pools[find_pool(tallies, pool)];
  of->added += joined;
  of->removed += !joined;
  pthread_mutex_unlock(&tallies->lock);
}

/* --- reading */

/* The series, and then "other". */
static const char *route_of(const neap_tallies *tallies, uint32_t id) {
  return id < tallies->route_count ? tallies->routes[id].route : "other";
}

static const char *route_pool_of(const neap_tallies *tallies, uint32_t id) {
  return id < tallies->route_count ? tallies->routes[id].pool : "other";
}

static const char *pool_of(const neap_tallies *tallies, uint32_t id) {
  return id < tallies->pool_count ? tallies->pools[id].pool : "other";
}

/* Those that have a name, and then "other". */
static uint32_t next_series(uint32_t id, uint32_t count) {
  return id + 1 == count ? NEAP_SERIES_OTHER : id + 1;
}
static uint32_t first_series(uint32_t count) {
  return count > 0 ? 0 : NEAP_SERIES_OTHER;
}

/* The sum over the workers of the count that lies at `offset` of their tallies. */
static uint64_t sum_at(const neap_tallies *tallies, size_t offset) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < WORKERS_MAX; i++)
    if (tallies->workers[i])
      sum += neap_count_get((const neap_count *)(const void *)((const char *)tallies->workers[i] + offset));
  return sum;
}

static uint64_t sum_requests(const neap_tallies *tallies, uint32_t id, int code, int cache) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < WORKERS_MAX; i++)
    if (tallies->workers[i]) sum += neap_count_get(&tallies->workers[i]->routes[id]->requests[cache][code]);
  return sum;
}

/* The same of what lies at `offset` of a pool's tallies. */
static uint64_t sum_pool(const neap_tallies *tallies, uint32_t id, size_t offset) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < WORKERS_MAX; i++)
    if (tallies->workers[i])
      sum += neap_count_get(
          (const neap_count *)(const void *)((const char *)tallies->workers[i]->pools[id] + offset));
  return sum;
}

static void gather_pool(const neap_tallies *tallies, uint32_t id, size_t offset, neap_timing_sum *sum) {
  for (uint32_t i = 0; i < WORKERS_MAX; i++)
    if (tallies->workers[i])
      neap_timing_gather(
          sum, (const neap_timing *)(const void *)((const char *)tallies->workers[i]->pools[id] + offset));
}

/* --- writing */

static const char *const classes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

static void expose_requests(const neap_tallies *tallies, neap_exposition *out) {
  for (uint32_t id = first_series(tallies->route_count); id <= NEAP_SERIES_MAX;
       id = next_series(id, tallies->route_count))
    for (int code = 0; code < NEAP_STATUS_CLASSES; code++)
      for (int cache = 0; cache < NEAP_TALLY_CACHES; cache++) {
        uint64_t count = sum_requests(tallies, id, code, cache);
        if (count == 0) continue;
        const char *values[] = {route_of(tallies, id), route_pool_of(tallies, id), classes[code],
                                neap_reason_code((neap_reason)(NEAP_REASON_FWD_NONE + cache))};
        neap_expose(out, NEAP_METRIC_REQUESTS, (double)count, values);
      }
}

static void expose_pool_requests(const neap_tallies *tallies, neap_exposition *out) {
  for (uint32_t id = first_series(tallies->pool_count); id <= NEAP_SERIES_MAX;
       id = next_series(id, tallies->pool_count))
    for (int code = 0; code < NEAP_STATUS_CLASSES; code++) {
      uint64_t count = sum_pool(tallies, id, offsetof(neap_pool_tally, requests[code]));
      if (count > 0)
        neap_expose(out, NEAP_METRIC_POOL_REQUESTS, (double)count,
                    (const char *[]){pool_of(tallies, id), classes[code]});
    }
}

static void expose_reasons(const neap_tallies *tallies, neap_exposition *out) {
  for (int i = 1; i < NEAP_REASON_COUNT; i++) {
    neap_reason reason = (neap_reason)i;
    uint64_t count = sum_at(tallies, offsetof(neap_tally, reasons[i]));
    if (count > 0)
      neap_expose(out, NEAP_METRIC_REASONS, (double)count,
                  (const char *[]){neap_reason_group(reason), neap_reason_code(reason)});
  }
}

/* One family of timings: `names` of its second label, `offset` of the first of them in a pool's tally. */
static void expose_timings(const neap_tallies *tallies, neap_exposition *out, neap_metric metric,
                           const char *const *names, size_t count, size_t offset) {
  for (uint32_t id = first_series(tallies->pool_count); id <= NEAP_SERIES_MAX;
       id = next_series(id, tallies->pool_count))
    for (size_t i = 0; i < count; i++) {
      neap_timing_sum sum = {0};
      gather_pool(tallies, id, offset + i * sizeof(neap_timing), &sum);
      if (sum.count > 0)
        neap_expose_timing(out, metric, &sum, (const char *[]){pool_of(tallies, id), names[i]});
    }
}

static void expose_pools(const neap_tallies *tallies, neap_exposition *out, neap_metric metric,
                         size_t offset) {
  for (uint32_t id = 0; id < tallies->pool_count; id++)
    neap_expose(out, metric, (double)sum_pool(tallies, id, offset), (const char *[]){pool_of(tallies, id)});
  uint64_t other = sum_pool(tallies, NEAP_SERIES_OTHER, offset);
  if (other > 0) neap_expose(out, metric, (double)other, (const char *[]){"other"});
}

static void expose_members(const neap_tallies *tallies, neap_exposition *out, neap_metric metric,
                           bool joined) {
  for (uint32_t id = NEAP_SERIES_NO_POOL + 1; id < tallies->pool_count; id++) {
    const series *of = &tallies->pools[id];
    neap_expose(out, metric, (double)(joined ? of->added : of->removed), (const char *[]){of->pool});
  }
}

static uint64_t difference(const neap_tallies *tallies, size_t more, size_t less) {
  uint64_t gone = sum_at(tallies, less), come = sum_at(tallies, more); /* in this order: never below 0 */
  return come - NEAP_MIN(gone, come);
}

void neap_tallies_expose(neap_tallies *tallies, neap_exposition *out) {
#define NAME(NAME, name) #name,
  static const char *const sources[] = {NEAP_SOURCES(NAME)}, *const phases[] = {NEAP_PHASES(NAME)};
#undef NAME
  pthread_mutex_lock(&tallies->lock);
  expose_requests(tallies, out);
  expose_pool_requests(tallies, out);
  neap_expose(out, NEAP_METRIC_IN_FLIGHT,
              (double)difference(tallies, offsetof(neap_tally, started), offsetof(neap_tally, finished)),
              NULL);
  expose_reasons(tallies, out);
  expose_timings(tallies, out, NEAP_METRIC_DURATION, sources, NEAP_SOURCE_COUNT,
                 offsetof(neap_pool_tally, took));
  expose_timings(tallies, out, NEAP_METRIC_PHASE, phases, NEAP_PHASE_COUNT,
                 offsetof(neap_pool_tally, phases));
  expose_pools(tallies, out, NEAP_METRIC_BODY_BYTES, offsetof(neap_pool_tally, body_bytes));
  expose_pools(tallies, out, NEAP_METRIC_RETRIES, offsetof(neap_pool_tally, retries));
  expose_pools(tallies, out, NEAP_METRIC_WAITED, offsetof(neap_pool_tally, waited));
  expose_pools(tallies, out, NEAP_METRIC_HEDGES, offsetof(neap_pool_tally, hedges));
  expose_pools(tallies, out, NEAP_METRIC_HEDGES_WON, offsetof(neap_pool_tally, hedges_won));
  expose_pools(tallies, out, NEAP_METRIC_MIRRORED, offsetof(neap_pool_tally, mirrored));
  expose_pools(tallies, out, NEAP_METRIC_MIRRORS_DROPPED, offsetof(neap_pool_tally, mirrors_dropped));
  expose_pools(tallies, out, NEAP_METRIC_MIRRORS_SKIPPED, offsetof(neap_pool_tally, mirrors_skipped));
  expose_pools(tallies, out, NEAP_METRIC_SESSIONS_KEPT, offsetof(neap_pool_tally, sessions_kept));
  expose_pools(tallies, out, NEAP_METRIC_SESSIONS_MOVED, offsetof(neap_pool_tally, sessions_moved));
  neap_expose(out, NEAP_METRIC_CLIENTS,
              (double)difference(tallies, offsetof(neap_tally, accepted), offsetof(neap_tally, closed)),
              NULL);
  neap_expose(out, NEAP_METRIC_CLIENTS_TOTAL, (double)sum_at(tallies, offsetof(neap_tally, accepted)), NULL);
  neap_expose(out, NEAP_METRIC_LOG_LOST, (double)sum_at(tallies, offsetof(neap_tally, log_lines_lost)), NULL);
  expose_members(tallies, out, NEAP_METRIC_ADDED, true);
  expose_members(tallies, out, NEAP_METRIC_REMOVED, false);
  pthread_mutex_unlock(&tallies->lock);
}

void neap_tallies_sum(neap_tallies *tallies, neap_tally_sum *out) {
  pthread_mutex_lock(&tallies->lock);
  *out = (neap_tally_sum){
      .in_flight = difference(tallies, offsetof(neap_tally, started), offsetof(neap_tally, finished)),
      .clients = difference(tallies, offsetof(neap_tally, accepted), offsetof(neap_tally, closed)),
      .requests = sum_at(tallies, offsetof(neap_tally, finished)),
  };
  for (uint32_t id = first_series(tallies->route_count); id <= NEAP_SERIES_MAX;
       id = next_series(id, tallies->route_count))
    for (int code = 0; code < NEAP_STATUS_CLASSES; code++)
      for (int cache = 0; cache < NEAP_TALLY_CACHES; cache++) {
        uint64_t count = sum_requests(tallies, id, code, cache);
        bool asked = cache != NEAP_TALLY_CACHE_NONE && cache != NEAP_TALLY_CACHE_BYPASS;
        if (code == 5) out->errors += count;
        if (asked) out->lookups += count;
        bool below = cache == NEAP_TALLY_CACHE_HIT_REDIS || cache == NEAP_TALLY_CACHE_HIT_CDN;
        if (cache == NEAP_TALLY_CACHE_HIT || below) out->hits += count;
      }
  for (uint32_t id = first_series(tallies->pool_count); id <= NEAP_SERIES_MAX;
       id = next_series(id, tallies->pool_count))
    for (int i = 0; i < NEAP_SOURCE_COUNT; i++)
      gather_pool(tallies, id, offsetof(neap_pool_tally, took[i]), &out->took);
  pthread_mutex_unlock(&tallies->lock);
}
