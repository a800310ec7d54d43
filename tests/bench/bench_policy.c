/* What a Lua policy costs against its native twin: the whole cache operation (get, and put on a miss),
 * sandbox and fuel on. Usage: bench_policy [--only POLICY] [--pairs N] [--count native|lua]
 *
 * 1 M keys by Zipf 1.0, 100-byte values, room for 100 k entries, one thread. Both caches run the same chunk
 * of requests one after the other, native first and Lua first by turns; the ratio is the median over the
 * pairs.
 * --count runs one of the two alone on a fixed number of requests, for callgrind
 * (--toggle-collect=run_chunk). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "base/random.h"
#include "loop/loop.h"
#include "server/server.h"
#include "store/store.h"

enum { KEYS = 1000000, DRAWS = 1 << 22, ROOM = 100000, CHUNK = 100000, WARM = 3000000, PAIRS_MAX = 400 };

static uint32_t *draws;
static char value[100];

static void draw_zipf(void) {
  double *upto = malloc(KEYS * sizeof *upto), total = 0;
  for (int i = 0; i < KEYS; i++) upto[i] = total += 1.0 / (i + 1);
  neap_random random = {7};
  draws = malloc(DRAWS * sizeof *draws);
  for (int i = 0; i < DRAWS; i++) {
    double at = neap_random_unit(&random) * total;
    uint32_t low = 0, high = KEYS - 1;
    while (low < high) {
      uint32_t middle = (low + high) / 2;
      if (upto[middle] < at)
        low = middle + 1;
      else
        high = middle;
    }
    draws[i] = (uint32_t)((uint64_t)low * 2654435761u % KEYS);
  }
  free(upto);
}

typedef struct runner {
  neap_cache *cache;
  uint64_t hits, done;
} runner;

__attribute__((always_inline)) static inline void run(runner *r, uint64_t from, uint64_t count) {
  for (uint64_t i = from; i < from + count; i++) {
    uint64_t key[2] = {draws[i % DRAWS], 0};
    neap_view view = {(const char *)key, sizeof key};
    const neap_entry *entry;
    neap_cache_enter(r->cache);
    int code = neap_cache_get(r->cache, view, &entry);
    neap_cache_leave(r->cache);
    if (code == 0)
      r->hits++;
    else
      neap_cache_put(r->cache, view, (neap_view){value, sizeof value}, NULL);
  }
  r->done += count;
}

/* Two functions, so that callgrind can tell them apart. */
__attribute__((noinline)) void run_chunk(runner *r, uint64_t from, uint64_t count);
void run_chunk(runner *r, uint64_t from, uint64_t count) {
  run(r, from, count);
}
__attribute__((noinline)) static void warm_up(runner *r) {
  run(r, 0, WARM);
}

static void open_runner(neap_engine *engine, const char *policy, runner *r) {
  neap_cache_options options;
  neap_cache_options_init(&options);
  options.evict = policy;
  options.max_entries = ROOM;
  options.max_memory = (uint64_t)256 << 20;
  neap_err err;
  *r = (runner){0};
  if (neap_cache_create(engine, &options, &r->cache, &err)) {
    fprintf(stderr, "bench_policy: %s\n", err.text);
    exit(2);
  }
  warm_up(r);
  r->hits = r->done = 0;
}

static double cpu_ns(void) {
  return (double)neap_clock_thread_cpu_ns(NULL);
}

static double timed(runner *r, uint64_t from) {
  double start = cpu_ns();
  run_chunk(r, from, CHUNK);
  return (cpu_ns() - start) / CHUNK;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *of, int n) {
  qsort(of, (size_t)n, sizeof *of, by_size);
  return of[n / 2];
}

static void compare(neap_engine *engine, const char *name, int pairs) {
  static double ratio[PAIRS_MAX], native_ns[PAIRS_MAX], lua_ns[PAIRS_MAX];
  char spec[40];
  runner native, lua;
  snprintf(spec, sizeof spec, "native:%s", name);
  open_runner(engine, spec, &native);
  open_runner(engine, name, &lua);
  for (int i = 0; i < pairs; i++) {
    uint64_t from = WARM + (uint64_t)i * CHUNK;
    if (i % 2) lua_ns[i] = timed(&lua, from);
    native_ns[i] = timed(&native, from);
    if (i % 2 == 0) lua_ns[i] = timed(&lua, from);
    ratio[i] = lua_ns[i] / native_ns[i];
  }
  neap_cache_stats of_native, of_lua;
  neap_cache_stats_get(native.cache, &of_native);
  neap_cache_stats_get(lua.cache, &of_lua);
  neap_policy_counters counters;
  neap_store_policy_counters(lua.cache, &counters);
  printf("%-7s native %6.1f ns  lua %6.1f ns  ratio %.3f  hits %.2f%% / %.2f%%  dropped %" PRIu64
         " / %" PRIu64 "  faults %" PRIu64 "  fallback %" PRIu64 "  trace aborts %" PRIu64 "\n",
         name, median(native_ns, pairs), median(lua_ns, pairs), median(ratio, pairs),
         100.0 * (double)native.hits / (double)native.done, 100.0 * (double)lua.hits / (double)lua.done,
         of_native.events_dropped, of_lua.events_dropped, of_lua.policy_faults, of_lua.evictions_fallback,
         counters.trace_aborts);
  neap_cache_destroy(&native.cache);
  neap_cache_destroy(&lua.cache);
}

static void count(neap_engine *engine, const char *name, const char *which) {
  char spec[40];
  runner r;
  snprintf(spec, sizeof spec, "%s%s", strcmp(which, "native") == 0 ? "native:" : "", name);
  open_runner(engine, spec, &r);
  run_chunk(&r, WARM, 3 * CHUNK);
  printf("%s: %d requests, hits %.2f%%\n", spec, 3 * CHUNK, 100.0 * (double)r.hits / (double)r.done);
  neap_cache_destroy(&r.cache);
}

int main(int argc, char **argv) {
  static const char *const policies[] = {"sieve", "lru", "s3fifo", "fifo", "lfu"};
  const char *only = NULL, *which = NULL;
  int pairs = 60;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--only") == 0) only = argv[i + 1];
    if (strcmp(argv[i], "--pairs") == 0) pairs = NEAP_MAX(1, NEAP_MIN(atoi(argv[i + 1]), PAIRS_MAX));
    if (strcmp(argv[i], "--count") == 0) which = argv[i + 1];
  }
  neap_engine *engine;
  neap_err err;
  if (neap_engine_create(NULL, &engine, &err)) {
    fprintf(stderr, "bench_policy: %s\n", err.text);
    return 2;
  }
  draw_zipf();
  for (size_t i = 0; i < NEAP_COUNT_OF(policies); i++) {
    if (only != NULL && strcmp(only, policies[i]) != 0) continue;
    if (which != NULL)
      count(engine, policies[i], which);
    else
      compare(engine, policies[i], pairs);
  }
  neap_engine_destroy(&engine);
  free(draws);
  return 0;
}
