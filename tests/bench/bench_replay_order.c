/* How far does batching take the answers from the textbook's order? For every open trace, policy and size:
 * the miss ratio of exact mode against that of the batched mode with 1 thread and with 4 threads on one
 * counter.
 *
 *   NEAP_TRACES=../shared/traces build/release/tests/bench_replay_order [TRACE...]
 *
 * Prints the distribution of differences in percentage points. Fails where it misses its goals: 1 thread,
 * worst 0.5 points; 4 threads, median 0.1 and worst 3 points. */
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "server/server.h"
#include "sim/sim.h"

static const char *const policies[] = {"fifo", "lru", "lfu", "sieve", "s3fifo"};
static const double fractions[] = {0.001, 0.01, 0.1};
enum { SAMPLES_MAX = 1024 };

typedef struct sample {
  double points; /* batched minus exact */
  char what[96];
} sample;

typedef struct distribution {
  uint32_t threads;
  sample samples[SAMPLES_MAX];
  size_t count;
} distribution;

static int by_distance(const void *a, const void *b) {
  double x = fabs(((const sample *)a)->points), y = fabs(((const sample *)b)->points);
  return (x > y) - (x < y);
}

static double miss_percent(neap_tape *tape, const neap_replay_options *options) {
  neap_replay_result result;
  neap_err err;
  if (neap_replay_run(tape, options, &result, &err)) {
    fprintf(stderr, "bench_replay_order: %s\n", err.text);
    exit(1);
  }
  return 100 * (double)result.misses / (double)result.requests;
}

static void add_sample(distribution *d, double points, const char *path, const neap_replay_options *o) {
  const char *slash = strrchr(path, '/');
  neap_assert(d->count < SAMPLES_MAX);
  sample *s = &d->samples[d->count++];
  s->points = points;
  snprintf(s->what, sizeof s->what, "%.40s %s %llu", slash ? slash + 1 : path, o->policy,
           (unsigned long long)o->size);
}

static void compare_trace(neap_engine *engine, const char *path, distribution *distributions, size_t count) {
  neap_tape *tape;
  neap_err err;
  if (neap_tape_open(path, &(neap_tape_options){.uniques = true}, &tape, &err)) {
    fprintf(stderr, "%s\n", err.text);
    exit(1);
  }
  double unique = (double)neap_tape_facts_get(tape)->unique_keys;
  for (size_t f = 0; f < NEAP_COUNT_OF(fractions); f++)
    for (size_t p = 0; p < NEAP_COUNT_OF(policies); p++) {
      neap_replay_options o = {.registry = neap_engine_registry(engine),
                               .host = neap_engine_host(engine),
                               .policy = policies[p],
                               .size = (uint64_t)(unique * fractions[f]),
                               .exact = true};
      if (o.size == 0) continue;
      double exact = miss_percent(tape, &o);
      o.exact = false;
      for (size_t i = 0; i < count; i++) {
        o.threads = distributions[i].threads;
        add_sample(&distributions[i], miss_percent(tape, &o) - exact, path, &o);
      }
    }
  neap_tape_close(&tape);
}

/* Prints a distribution. True: within its goals. */
static bool report(distribution *d, double median_goal, double worst_goal) {
  qsort(d->samples, d->count, sizeof d->samples[0], by_distance);
  double median = fabs(d->samples[d->count / 2].points), worst = fabs(d->samples[d->count - 1].points);
  printf("%u thread%s, %zu runs, |batched - exact| in percentage points:\n", d->threads,
         d->threads > 1 ? "s" : "", d->count);
  static const int percentiles[] = {10, 25, 50, 75, 90, 95, 99};
  for (size_t i = 0; i < NEAP_COUNT_OF(percentiles); i++)
    printf("  p%d %.3f", percentiles[i], fabs(d->samples[d->count * (size_t)percentiles[i] / 100].points));
  printf("  worst %.3f\n", worst);
  for (size_t i = 0; i < 5 && i < d->count; i++) {
    const sample *s = &d->samples[d->count - 1 - i];
    printf("  %+8.3f  %s\n", s->points, s->what);
  }
  return median <= median_goal && worst <= worst_goal;
}

int main(int argc, char **argv) {
  static distribution distributions[] = {{.threads = 1}, {.threads = 4}};
  const char *folder = getenv("NEAP_TRACES");
  char pattern[4096];
  glob_t found = {0};
  snprintf(pattern, sizeof pattern, "%s/*.csv.zst", folder ? folder : "");
  if (argc < 2 && (folder == NULL || !*folder || glob(pattern, 0, NULL, &found))) {
    fprintf(stderr, "usage: bench_replay_order TRACE..., or NEAP_TRACES=folder bench_replay_order\n");
    return 2;
  }
  neap_engine *engine;
  neap_err err;
  if (neap_engine_create(&(neap_host){.seed = 1}, &engine, &err)) {
    fprintf(stderr, "%s\n", err.text);
    return 1;
  }
  char **paths = argc > 1 ? argv + 1 : found.gl_pathv;
  size_t count = argc > 1 ? (size_t)argc - 1 : found.gl_pathc;
  for (size_t i = 0; i < count; i++)
    compare_trace(engine, paths[i], distributions, NEAP_COUNT_OF(distributions));
  bool good = report(&distributions[0], 0.5, 0.5);
  good = report(&distributions[1], 0.1, 3) && good;
  globfree(&found);
  neap_engine_destroy(&engine);
  return good ? 0 : 1;
}
