/* All figures, as Prometheus reads them. Gathered by the control thread: workers are not asked, their counts
 * are read where they lie. */
#include "server/candidate.h"
#include "server/control.h"
#include "server/figures.h"
#include "server/gateway.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* --- the process */

static double resident_bytes(void) {
  unsigned long pages = 0;
  FILE *file = fopen("/proc/self/statm", "re");
  if (file == NULL) return 0;
  if (fscanf(file, "%*u %lu", &pages) != 1) pages = 0;
  fclose(file);
  return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double open_fds(void) {
  int count = -3; /* ".", ".." and the folder itself */
  DIR *folder = opendir("/proc/self/fd");
  if (folder == NULL) return 0;
  while (readdir(folder)) count++;
  closedir(folder);
  return count;
}

static double cpu_seconds(void) {
  struct rusage used;
  if (getrusage(RUSAGE_SELF, &used)) return 0;
  return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void expose_process(const neap_gateway *gateway, neap_exposition *out) {
  neap_expose(out, NEAP_METRIC_BUILD_INFO, 1, (const char *[]){neap_version()});
  uint64_t uptime_ms = gateway->host->now_ms(gateway->host->user) - gateway->started_ms;
  neap_expose(out, NEAP_METRIC_START_TIME, (double)(neap_clock_wall_ms() - uptime_ms) / 1e3, NULL);
  neap_expose(out, NEAP_METRIC_CPU, cpu_seconds(), NULL);
  neap_expose(out, NEAP_METRIC_RESIDENT, resident_bytes(), NULL);
  neap_expose(out, NEAP_METRIC_OPEN_FDS, open_fds(), NULL);
  neap_expose(out, NEAP_METRIC_WORKERS, gateway->worker_count, NULL);
}

static void expose_reloads(const neap_gateway *gateway, neap_exposition *out) {
  const neap_reload_result *last = &gateway->last_reload;
  double generations = 1;
  for (const neap_loaded *one = gateway->retired; one; one = one->next) generations++;
  neap_expose(out, NEAP_METRIC_RELOADS, (double)gateway->reloads_taken, (const char *[]){"ok"});
  neap_expose(out, NEAP_METRIC_RELOADS, (double)gateway->reloads_refused, (const char *[]){"refused"});
  neap_expose(out, NEAP_METRIC_RELOAD_OK, last->at_ms == 0 || last->ok, NULL);
  neap_expose(out, NEAP_METRIC_RELOAD_TIME, (double)gateway->loaded->since_ms / 1e3, NULL);
  neap_expose(out, NEAP_METRIC_GENERATION, (double)gateway->last_generation, NULL);
  neap_expose(out, NEAP_METRIC_GENERATIONS, generations, NULL);
}

/* --- pools and backends */

typedef struct member_view { /* a backend of a pool in force, looked at once */
  const char *pool;
  char backend[256];
  int32_t weight, limit;
  bool draining;
  uint32_t idle;
  uint64_t now_ms;
  neap_backend_info info;
} member_view;

typedef struct member_views {
  member_view *list;
  size_t count, room;
  uint64_t now_ms;
} member_views;

static void look_at_member(void *user, const neap_gateway_backend *backend) {
  member_views *views = user;
  if (backend->removed) return;
  if (views->count == views->room) {
    size_t room = views->room ? views->room * 2 : 64;
    member_view *grown = realloc(views->list, room * sizeof *grown);
    if (grown == NULL) return; /* what there is no memory for is not shown */
    views->list = grown;
    views->room = room;
  }
  member_view *view = &views->list[views->count++];
  *view = (member_view){.pool = backend->pool,
                        .weight = backend->weight,
                        .limit = backend->limit,
                        .draining = backend->draining,
                        .idle = backend->idle,
                        .now_ms = views->now_ms,
                        .info = backend->info};
  snprintf(view->backend, sizeof view->backend, "%s", backend->address);
}

static int32_t state_of(const member_view *view) {
  return view->draining ? NEAP_BACKEND_DRAINING : view->info.state;
}

static void expose_states(const neap_gateway *gateway, const member_view *views, size_t count,
                          neap_exposition *out) {
  for (size_t i = 0; i < gateway->loaded->config->pool_count; i++)
    for (int32_t state = 0; state <= NEAP_BACKEND_UNKNOWN; state++) {
      const char *pool = gateway->loaded->config->pools[i].name;
      double backends = 0;
      for (size_t j = 0; j < count; j++)
        backends += strcmp(views[j].pool, pool) == 0 && state_of(&views[j]) == state;
      neap_expose(out, NEAP_METRIC_BACKENDS, backends,
                  (const char *[]){pool, neap_backend_state_name(state)});
    }
}

static double up(const member_view *view) {
  return view->info.state != NEAP_BACKEND_DOWN;
}
static double weight(const member_view *view) {
  return view->weight;
}
static double in_flight(const member_view *view) {
  return view->info.in_flight;
}
static double ewma(const member_view *view) {
  return view->info.ewma_us / 1e6;
}
static double requests(const member_view *view) {
  return (double)view->info.requests;
}
static double failures(const member_view *view) {
  return (double)view->info.failures;
}
static double errors(const member_view *view) {
  return (double)view->info.vitals.errors;
}
static double probes(const member_view *view) {
  return (double)view->info.vitals.probes;
}
static double probe_failures(const member_view *view) {
  return (double)view->info.vitals.probe_failures;
}
static double transitions(const member_view *view) {
  return (double)view->info.vitals.transitions;
}
static double ejected(const member_view *view) {
  return view->info.vitals.ejected_until_ms > view->now_ms;
}
static double ejections(const member_view *view) {
  return (double)view->info.vitals.ejections;
}
static double breaker_opened(const member_view *view) {
  return (double)view->info.vitals.breaker_opened;
}

static double idle(const member_view *view) {
  return view->idle;
}

static void expose_backends(neap_gateway *gateway, neap_exposition *out) {
  static const struct {
    neap_metric metric;
    double (*of)(const member_view *view);
  } figures[] = {{NEAP_METRIC_BACKEND_UP, up},
                 {NEAP_METRIC_BACKEND_WEIGHT, weight},
                 {NEAP_METRIC_BACKEND_IN_FLIGHT, in_flight},
                 {NEAP_METRIC_BACKEND_EWMA, ewma},
                 {NEAP_METRIC_BACKEND_REQUESTS, requests},
                 {NEAP_METRIC_BACKEND_FAILURES, failures},
                 {NEAP_METRIC_BACKEND_ERRORS, errors},
                 {NEAP_METRIC_BACKEND_PROBES, probes},
                 {NEAP_METRIC_BACKEND_PROBE_FAILURES, probe_failures},
                 {NEAP_METRIC_BACKEND_TRANSITIONS, transitions},
                 {NEAP_METRIC_BACKEND_EJECTED, ejected},
                 {NEAP_METRIC_BACKEND_EJECTIONS, ejections},
                 {NEAP_METRIC_BACKEND_BREAKER, breaker_opened},
                 {NEAP_METRIC_BACKEND_IDLE, idle}};
  member_views all = {.now_ms = gateway->host->now_ms(gateway->host->user)};
  neap_gateway_backends_each(gateway, look_at_member, &all);
  const member_view *views = all.list;
  size_t count = all.count;
  expose_states(gateway, views, count, out);
  for (size_t f = 0; f < NEAP_COUNT_OF(figures); f++)
    for (size_t i = 0; i < count; i++)
      neap_expose(out, figures[f].metric, figures[f].of(&views[i]),
                  (const char *[]){views[i].pool, views[i].backend});
  for (size_t i = 0; i < count; i++)
    neap_expose_timing(out, NEAP_METRIC_BACKEND_RESPONSE, &views[i].info.response,
                       (const char *[]){views[i].pool, views[i].backend});
  free(all.list);
}

/* --- the cache */

static void expose_one(neap_exposition *out, neap_metric metric, const char *label, uint64_t value) {
  neap_expose(out, metric, (double)value, (const char *[]){label});
}

static void expose_call(neap_exposition *out, const char *call, const neap_latency *latency) {
  const struct {
    const char *share;
    uint64_t ns;
  } rows[] = {{"0.5", latency->p50_ns},
              {"0.9", latency->p90_ns},
              {"0.99", latency->p99_ns},
              {"0.999", latency->p999_ns}};
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++)
    neap_expose(out, NEAP_METRIC_CACHE_CALL, (double)rows[i].ns / 1e9, (const char *[]){call, rows[i].share});
}

static void expose_cache(neap_cache *cache, neap_exposition *out) {
  neap_cache_stats stats;
  neap_cache_stats_get(cache, &stats);
  expose_one(out, NEAP_METRIC_CACHE_LOOKUPS, "hit", stats.hits);
  expose_one(out, NEAP_METRIC_CACHE_LOOKUPS, "miss", stats.misses);
  neap_expose(out, NEAP_METRIC_CACHE_PUTS, (double)stats.puts, NULL);
  neap_expose(out, NEAP_METRIC_CACHE_UPDATES, (double)stats.updates, NULL);
  expose_one(out, NEAP_METRIC_CACHE_EVICTIONS, "policy", stats.evictions_policy);
  expose_one(out, NEAP_METRIC_CACHE_EVICTIONS, "fallback", stats.evictions_fallback);
  expose_one(out, NEAP_METRIC_CACHE_EVICTIONS, "expired", stats.expirations);
  expose_one(out, NEAP_METRIC_CACHE_EVICTIONS, "removed", stats.removes);
  expose_one(out, NEAP_METRIC_CACHE_REJECTIONS, "size", stats.rejected_size);
  expose_one(out, NEAP_METRIC_CACHE_REJECTIONS, "room", stats.rejected_room);
  expose_one(out, NEAP_METRIC_CACHE_REJECTIONS, "policy", stats.rejected_policy);
  expose_one(out, NEAP_METRIC_CACHE_REJECTIONS, "version", stats.rejected_version);
  expose_one(out, NEAP_METRIC_CACHE_REJECTIONS, "aborted", stats.aborted_fills);
  neap_expose(out, NEAP_METRIC_CACHE_EVENTS_DROPPED, (double)stats.events_dropped, NULL);
  neap_expose(out, NEAP_METRIC_CACHE_ENTRIES, (double)stats.entries, NULL);
  expose_one(out, NEAP_METRIC_CACHE_BYTES, "entries", stats.memory_entries);
  expose_one(out, NEAP_METRIC_CACHE_BYTES, "filling", stats.memory_filling);
  expose_one(out, NEAP_METRIC_CACHE_BYTES, "retired", stats.memory_retired);
  expose_one(out, NEAP_METRIC_CACHE_BYTES, "tables", stats.memory_tables);
  neap_expose(out, NEAP_METRIC_CACHE_LIMIT, (double)stats.max_memory, NULL);
  expose_call(out, "get", &stats.get);
  expose_call(out, "put", &stats.put);
}

/* --- policies */

static void expose_policies(neap_gateway *gateway, neap_exposition *out) {
  neap_policy_view *views;
  size_t count = neap_policy_views_get(gateway, &views);
#define LABELS views[i].kind, views[i].name, views[i].policy, views[i].generation
  for (size_t i = 0; i < count; i++)
    neap_expose(out, NEAP_METRIC_POLICY_CALLS, (double)views[i].counters.asks, (const char *[]){LABELS});
  for (size_t i = 0; i < count; i++) {
    const neap_policy_counters *c = &views[i].counters;
    neap_expose(out, NEAP_METRIC_POLICY_FAULTS, (double)c->faults_error, (const char *[]){LABELS, "error"});
    neap_expose(out, NEAP_METRIC_POLICY_FAULTS, (double)c->faults_fuel, (const char *[]){LABELS, "fuel"});
    neap_expose(out, NEAP_METRIC_POLICY_FAULTS, (double)c->faults_memory, (const char *[]){LABELS, "memory"});
    neap_expose(out, NEAP_METRIC_POLICY_FAULTS, (double)c->faults_answer, (const char *[]){LABELS, "answer"});
  }
  for (size_t i = 0; i < count; i++)
    neap_expose(out, NEAP_METRIC_POLICY_FALLBACKS, (double)views[i].counters.fallbacks,
                (const char *[]){LABELS});
  for (size_t i = 0; i < count; i++)
    neap_expose(out, NEAP_METRIC_POLICY_TRIPS, (double)views[i].counters.trips, (const char *[]){LABELS});
  for (size_t i = 0; i < count; i++)
    if (strcmp(views[i].kind, "route") == 0)
      neap_expose(out, NEAP_METRIC_VALUES_REFUSED, (double)views[i].refused,
                  (const char *[]){views[i].generation});
  for (size_t i = 0; i < count; i++)
    neap_expose(out, NEAP_METRIC_POLICY_ABORTS, (double)views[i].counters.trace_aborts,
                (const char *[]){LABELS});
  for (size_t i = 0; i < count; i++)
    neap_expose(out, NEAP_METRIC_POLICY_MEMORY, (double)views[i].counters.memory, (const char *[]){LABELS});
#undef LABELS
  free(views);
}

/* --- the candidate that is tried, from what `neap shadow` and `neap canary` tell */

static double of(const json_t *object, const char *name) {
  return json_number_value(json_object_get(object, name));
}

static void expose_asked(neap_exposition *out, const json_t *pools, const json_t *routes) {
  static const struct {
    neap_metric metric;
    const char *name;
  } figures[] = {{NEAP_METRIC_SHADOW_ASKED, "asked"},
                 {NEAP_METRIC_SHADOW_AGREED, "agreed"},
                 {NEAP_METRIC_SHADOW_FAILED, "failed"}};
  for (size_t f = 0; f < NEAP_COUNT_OF(figures); f++) {
    for (size_t i = 0; i < json_array_size(pools); i++) {
      const json_t *pool = json_array_get(pools, i);
      neap_expose(out, figures[f].metric, of(pool, figures[f].name),
                  (const char *[]){"balance", json_string_value(json_object_get(pool, "pool"))});
    }
    if (routes)
      neap_expose(out, figures[f].metric, of(routes, figures[f].name), (const char *[]){"route", ""});
  }
}

static void expose_share(neap_exposition *out, const char *side, double value) {
  neap_expose(out, NEAP_METRIC_SHADOW_HITS, value, (const char *[]){side});
}

static void expose_hits(neap_exposition *out, const json_t *cache) {
  if (cache == NULL) return;
  expose_share(out, "live", of(cache, "hit_ratio"));
  expose_share(out, "replayed", of(cache, "replayed_hit_ratio"));
  expose_share(out, "would_be", of(cache, "would_be_hit_ratio"));
}

static void expose_sides(neap_exposition *out, const json_t *told) {
  static const char *const names[] = {"in_force", "candidate"}; /* in the order of the list */
  const json_t *sides = json_object_get(told, "sides");
  if (sides == NULL) return;
  neap_expose(out, NEAP_METRIC_CANARY_SHARE, of(json_object_get(told, "terms"), "share"), NULL);
  for (size_t i = 0; i < NEAP_COUNT_OF(names); i++)
    neap_expose(out, NEAP_METRIC_CANARY_REQUESTS, of(json_array_get(sides, i), "requests"), &names[i]);
  for (size_t i = 0; i < NEAP_COUNT_OF(names); i++)
    neap_expose(out, NEAP_METRIC_CANARY_ERRORS, of(json_array_get(sides, i), "errors"), &names[i]);
  for (size_t i = 0; i < NEAP_COUNT_OF(names); i++)
    neap_expose(out, NEAP_METRIC_CANARY_P99, of(json_array_get(sides, i), "p99_ms") / 1e3, &names[i]);
}

static void expose_candidate(const neap_gateway *gateway, neap_exposition *out) {
  if (gateway->candidate == NULL) return;
  json_t *told = neap_candidate_json(gateway->candidate);
  char generation[24];
  snprintf(generation, sizeof generation, "%llu", (unsigned long long)gateway->candidate->number);
  neap_expose(out, NEAP_METRIC_CANDIDATE, 1,
              (const char *[]){json_string_value(json_object_get(told, "kind")),
                               json_string_value(json_object_get(told, "subject")), generation});
  expose_asked(out, json_object_get(told, "pools"), json_object_get(told, "routes"));
  expose_hits(out, json_object_get(told, "cache"));
  expose_sides(out, told);
  json_decref(told);
}

char *neap_gateway_metrics(neap_gateway *gateway, bool open_metrics, size_t *size) {
  neap_exposition out;
  neap_cache *cache = atomic_load(&gateway->cache);
  neap_expose_begin(&out, open_metrics);
  expose_process(gateway, &out);
  expose_reloads(gateway, &out);
  neap_tallies_expose(gateway->tallies, &out);
  expose_backends(gateway, &out);
  if (cache) expose_cache(cache, &out);
  neap_cascade_expose(gateway, &out);
  neap_prefetching_expose(gateway->prefetching, &out);
  expose_policies(gateway, &out);
  expose_candidate(gateway, &out);
  return neap_expose_end(&out, size);
}

void neap_control_metrics(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  if (!neap_control_args_end(args)) return;
  size_t size;
  char *text = neap_gateway_metrics(gateway, false, &size);
  if (text == NULL) {
    neap_control_fail(reply, "out of memory");
    return;
  }
  neap_control_done(reply, json_pack("{s:s#}", "text", text, size));
  free(text);
}
