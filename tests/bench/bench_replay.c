/* How fast is replay? Reading the trace, then each policy at 1 % and 10 % of the unique keys, in object mode:
 * best of three rounds, in million requests per second.
 *
 *   build/release/tests/bench_replay TRACE...        (docs/performance.md uses arc-p3 of the open traces)
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "server/server.h"
#include "sim/sim.h"

enum { ROUNDS = 3 };
static const char *const policies[] = {"native:lru", "native:sieve", "native:s3fifo", "fifo",
                                       "lru",        "lfu",          "sieve",         "s3fifo"};
static const double fractions[] = {0.01, 0.1};

static void fail(const neap_err *err) {
  fprintf(stderr, "bench_replay: %s\n", err->text);
  exit(1);
}

static double million_per_s(uint64_t requests, uint64_t ns) {
  return (double)requests * 1000 / (double)ns;
}

static neap_tape *read_tape(const neap_host *host, const char *path) {
  neap_tape *tape = NULL;
  uint64_t best_ns = UINT64_MAX;
  for (int i = 0; i < ROUNDS; i++) {
    neap_err err;
    neap_tape_close(&tape);
    uint64_t begun_ns = host->now_ns(host->user);
    if (neap_tape_open(path, NULL, &tape, &err)) fail(&err);
    best_ns = NEAP_MIN(best_ns, host->now_ns(host->user) - begun_ns);
  }
  uint64_t requests = neap_tape_facts_get(tape)->requests;
  printf("%s: %llu requests\n  %-16s %6.1f M/s\n", path, (unsigned long long)requests, "reading",
         million_per_s(requests, best_ns));
  neap_tape_close(&tape);
  neap_err err;
  if (neap_tape_open(path, &(neap_tape_options){.uniques = true}, &tape, &err)) fail(&err);
  return tape;
}

static void play(neap_tape *tape, const neap_replay_options *options) {
  neap_replay_result best = {.elapsed_ns = UINT64_MAX};
  for (int i = 0; i < ROUNDS; i++) {
    neap_replay_result result;
    neap_err err;
    if (neap_replay_run(tape, options, &result, &err)) fail(&err);
    if (result.elapsed_ns < best.elapsed_ns) best = result;
  }
  printf("  %-16s %6.2f M/s  size %9llu  %-7s miss ratio %.6f\n", options->policy,
         million_per_s(best.requests, best.elapsed_ns), (unsigned long long)options->size,
         options->exact ? "exact" : "batched", (double)best.misses / (double)best.requests);
  fflush(stdout);
}

int main(int argc, char **argv) {
  neap_engine *engine;
  neap_err err;
  if (argc < 2) {
    fprintf(stderr, "usage: bench_replay TRACE...\n");
    return 2;
  }
  if (neap_engine_create(&(neap_host){.seed = 1}, &engine, &err)) fail(&err);
  for (int i = 1; i < argc; i++) {
    neap_tape *tape = read_tape(neap_engine_host(engine), argv[i]);
    double unique = (double)neap_tape_facts_get(tape)->unique_keys;
    for (size_t f = 0; f < NEAP_COUNT_OF(fractions); f++)
      for (size_t p = 0; p < 2 * NEAP_COUNT_OF(policies); p++)
        play(tape, &(neap_replay_options){.registry = neap_engine_registry(engine),
                                          .host = neap_engine_host(engine),
                                          .policy = policies[p / 2],
                                          .size = (uint64_t)(unique * fractions[f]),
                                          .exact = p % 2});
    neap_tape_close(&tape);
  }
  neap_engine_destroy(&engine);
  return 0;
}
