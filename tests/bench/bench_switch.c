/* How long gets take while the eviction policy is replaced: two threads get from 1 M entries, a third
 * replaces the policy ROUNDS times by each of POLICY..., and is busy for as long after each replacement, so
 * that the machine is as loaded when nothing is replaced. Usage: bench_switch ROUNDS POLICY...
 *
 * A get that waits for a lock sleeps; one that is interrupted by other threads does not. Prints a line for
 * each policy and for the time between: gets, quantiles, sleeps. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/base.h"
#include "base/histogram.h"
#include "base/random.h"
#include "loop/loop.h"
#include "server/server.h"

enum { KEYS = 1000000, READERS = 2, PHASES_MAX = 16, SLOW_NS = 10000 };

typedef struct reader {
  pthread_t thread;
  neap_random random;
  neap_histogram took[PHASES_MAX]; /* a get, by phase */
  uint64_t sleeps[PHASES_MAX];
} reader;

static neap_cache *cache;
static _Atomic unsigned phase; /* 0: nothing is replaced; else the number of the policy that comes */
static _Atomic bool stop;

static _Noreturn void die(const char *text) {
  fprintf(stderr, "bench_switch: %s\n", text);
  exit(2);
}

static neap_view key_of(uint64_t number, uint64_t buffer[2]) {
  buffer[0] = number;
  buffer[1] = number * 0x9e3779b97f4a7c15u;
  return (neap_view){(const char *)buffer, 16};
}

static uint64_t sleeps_of_thread(void) {
  struct rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return (uint64_t)usage.ru_nvcsw;
}

static void *read_on(void *arg) {
  reader *r = arg;
  uint64_t slept = sleeps_of_thread(), start = neap_clock_now_ns(NULL);
  while (!stop) {
    unsigned at = phase;
    uint64_t buffer[2], now;
    const neap_entry *entry;
    neap_cache_enter(cache);
    if (neap_cache_get(cache, key_of(neap_random_below(&r->random, KEYS), buffer), &entry))
      die("a get failed");
    neap_cache_leave(cache);
    now = neap_clock_now_ns(NULL);
    neap_histogram_add(&r->took[at], now - start);
    if (now - start > SLOW_NS) {
      uint64_t total = sleeps_of_thread();
      r->sleeps[at] += total - slept;
      slept = total;
      now = neap_clock_now_ns(NULL);
    }
    start = now;
  }
  return NULL;
}

/* Replaces the policy, then is busy for as long. Returns how long it took. */
static uint64_t replace(const char *policy, unsigned number) {
  neap_err err;
  uint64_t start = neap_clock_now_ns(NULL);
  phase = number;
  if (neap_cache_set_evict(cache, policy, NULL, 0, &err)) die(err.text);
  phase = 0;
  uint64_t took = neap_clock_now_ns(NULL) - start, end = start + 2 * took;
  while (neap_clock_now_ns(NULL) < end) continue;
  return took;
}

static void print(const char *what, unsigned number, reader *readers, uint64_t took_ns) {
  neap_histogram all = {0};
  uint64_t sleeps = 0;
  for (int i = 0; i < READERS; i++) {
    neap_histogram_merge(&all, &readers[i].took[number]);
    sleeps += readers[i].sleeps[number];
  }
  printf("policy=%s took_ms=%.1f gets=%" PRIu64 " p50_ns=%" PRIu64 " p999_ns=%" PRIu64 " p99999_us=%.1f"
         " longest_us=%.1f sleeps=%" PRIu64 "\n",
         what, (double)took_ns / 1e6, neap_histogram_count(&all), neap_histogram_quantile(&all, 500000),
         neap_histogram_quantile(&all, 999000), (double)neap_histogram_quantile(&all, 999990) / 1e3,
         (double)all.max / 1e3, sleeps);
}

static neap_engine *open_cache(const char *policy) {
  neap_engine *engine;
  neap_err err;
  neap_cache_options options;
  neap_cache_options_init(&options);
  options.evict = policy;
  options.max_memory = 1u << 30;
  if (neap_engine_create(NULL, &engine, &err) || neap_cache_create(engine, &options, &cache, &err))
    die(err.text);
  static const char value[100];
  for (uint64_t i = 0; i < KEYS; i++) {
    uint64_t buffer[2];
    if (neap_cache_put(cache, key_of(i, buffer), (neap_view){value, sizeof value}, NULL)) die("a put failed");
  }
  return engine;
}

int main(int argc, char **argv) {
  static reader readers[READERS];
  uint64_t took[PHASES_MAX] = {0};
  int rounds = argc > 2 ? atoi(argv[1]) : 0;
  if (rounds < 1 || argc > PHASES_MAX + 1) die("usage: bench_switch ROUNDS POLICY...");
  neap_engine *engine = open_cache("native:lru");
  for (unsigned i = 0; i < READERS; i++) {
    readers[i].random.state = i + 1;
    pthread_create(&readers[i].thread, NULL, read_on, &readers[i]);
  }
  for (int round = 0; round < rounds; round++)
    for (int i = 2; i < argc; i++) took[i - 1] += replace(argv[i], (unsigned)(i - 1));
  stop = true;
  for (int i = 0; i < READERS; i++) pthread_join(readers[i].thread, NULL);
  for (int i = 2; i < argc; i++) took[0] += took[i - 1];
  print("kept", 0, readers, took[0] / (uint64_t)rounds);
  for (int i = 2; i < argc; i++) print(argv[i], (unsigned)(i - 1), readers, took[i - 1] / (uint64_t)rounds);
  neap_cache_destroy(&cache);
  neap_engine_destroy(&engine);
  return 0;
}
