/* Benchmarks of the cache. Usage: bench_cache CASE [POLICY] [THREADS] [SECONDS]
 *
 *   get     all hits: 1 M entries, 16-byte keys, 100-byte values, Zipf .99, borrowed between enter and leave
 *   turn    the same, 64 gets between one enter and leave, as in a loop's turn
 *   many    the same, 16 keys with each neap_cache_get_many
 *   copy    the same, each value copied out
 *   mix     90 % gets, 10 % puts of the same keys, all fit
 *   churn   get, and put on a miss: 1 M keys, Zipf 1.0, room for 100 k entries
 *   memory  bytes per entry beyond key (16) and value (32): 1 M entries with a time to live
 *   sizes   resident memory of a full cache of 256 MiB while values of up to 16 KiB replace each other
 *   create  caches made and destroyed per second, keys only, room for 1000 objects
 *   replay  churn through neap_store_replay
 *
 * POLICY is a name as in neap_cache_options.evict, default native:sieve. Prints one line of figures. */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base.h"
#include "base/random.h"
#include "loop/loop.h"
#include "server/server.h"
#include "store/store.h"

enum { KEYS = 1000000, DRAWS = 1 << 22, KEY_SIZE = 16, THREADS_MAX = 64, BATCH = 1024 };

typedef struct bench {
  const char *name, *policy;
  unsigned threads;
  double seconds;
  neap_engine *engine;
  neap_cache *cache;
  uint32_t *draws; /* ranks, Zipf-distributed */
  _Atomic bool stop;
} bench;

typedef struct worker {
  bench *bench;
  unsigned number;
  pthread_t thread;
  uint64_t done, hits, sum, cpu_ns;
} worker;

static _Noreturn void die(const char *text) {
  fprintf(stderr, "bench_cache: %s\n", text);
  exit(2);
}

/* Ranks 0..KEYS-1 with probability ~ 1 / (rank + 1)^skew, scattered over the key space. */
static void draw_zipf(bench *b, double skew) {
  double *upto = malloc(KEYS * sizeof *upto), total = 0;
  for (int i = 0; i < KEYS; i++) upto[i] = total += 1 / pow(i + 1, skew);
  neap_random random = {7};
  b->draws = malloc(DRAWS * sizeof *b->draws);
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
    b->draws[i] = (uint32_t)((uint64_t)low * 2654435761u % KEYS);
  }
  free(upto);
}

static neap_view key_of(uint64_t rank, uint64_t buffer[2]) {
  buffer[0] = rank;
  buffer[1] = rank * 0x9e3779b97f4a7c15u;
  return (neap_view){(const char *)buffer, KEY_SIZE};
}

static void open_cache(bench *b, neap_store_mode mode, uint64_t entries, uint64_t memory) {
  neap_cache_options options;
  neap_cache_options_init(&options);
  options.evict = b->policy;
  options.max_entries = entries;
  options.max_memory = memory;
  neap_err err;
  if (neap_store_create(neap_engine_registry(b->engine), neap_engine_host(b->engine), &options, mode,
                        &b->cache, &err))
    die(err.text);
}

static void fill(bench *b, uint64_t count, size_t value_size, uint64_t ttl_ms) {
  char value[256] = "value";
  neap_put_options options = {.ttl_ms = ttl_ms};
  for (uint64_t i = 0; i < count; i++) {
    uint64_t buffer[2];
    if (neap_cache_put(b->cache, key_of(i, buffer), (neap_view){value, value_size}, &options))
      die("a put failed");
  }
}

/* --- the cases: a batch of operations each --- */

/* `turn` gets between an enter and a leave. */
NEAP_INLINE void get_in_turns(worker *w, const uint32_t *draws, unsigned turn) {
  neap_cache *cache = w->bench->cache;
  uint64_t sum = 0, hits = 0;
  for (unsigned i = 0; i < BATCH; i++) {
    uint64_t buffer[2];
    const neap_entry *entry;
    if (i % turn == 0) neap_cache_enter(cache);
    if (neap_cache_get(cache, key_of(draws[i], buffer), &entry) == 0) {
      sum += (unsigned char)*neap_entry_piece(entry, 0).ptr;
      hits++;
    }
    if (i % turn == turn - 1) neap_cache_leave(cache);
  }
  w->sum += sum;
  w->hits += hits;
}

static void batch_get(worker *w, const uint32_t *draws) {
  get_in_turns(w, draws, 1);
}

static void batch_turn(worker *w, const uint32_t *draws) {
  get_in_turns(w, draws, 64);
}

static void batch_many(worker *w, const uint32_t *draws) {
  enum { MANY = 16 };
  neap_cache *cache = w->bench->cache;
  uint64_t sum = 0, hits = 0, buffers[MANY][2];
  neap_view keys[MANY];
  const neap_entry *entries[MANY];
  for (unsigned i = 0; i < BATCH; i += MANY) {
    for (unsigned j = 0; j < MANY; j++) keys[j] = key_of(draws[i + j], buffers[j]);
    neap_cache_enter(cache);
    hits += neap_cache_get_many(cache, keys, MANY, entries);
    for (unsigned j = 0; j < MANY; j++)
      if (entries[j] != NULL) sum += (unsigned char)*neap_entry_piece(entries[j], 0).ptr;
    neap_cache_leave(cache);
  }
  w->sum += sum;
  w->hits += hits;
}

static void batch_copy(worker *w, const uint32_t *draws) {
  for (unsigned i = 0; i < BATCH; i++) {
    uint64_t buffer[2];
    char value[128];
    size_t size;
    if (neap_cache_get_copy(w->bench->cache, key_of(draws[i], buffer), value, sizeof value, &size) == 0)
      w->hits++;
  }
}

static void batch_mix(worker *w, const uint32_t *draws) {
  static const char value[100];
  for (unsigned i = 0; i < BATCH; i++) {
    uint64_t buffer[2];
    char out[128];
    size_t size;
    neap_view key = key_of(draws[i], buffer);
    if (i % 10 == 9)
      neap_cache_put(w->bench->cache, key, (neap_view){value, sizeof value}, NULL);
    else if (neap_cache_get_copy(w->bench->cache, key, out, sizeof out, &size) == 0)
      w->hits++;
  }
}

static void batch_churn(worker *w, const uint32_t *draws) {
  static const char value[100];
  for (unsigned i = 0; i < BATCH; i++) {
    uint64_t buffer[2];
    char out[128];
    size_t size;
    neap_view key = key_of(draws[i], buffer);
    if (neap_cache_get_copy(w->bench->cache, key, out, sizeof out, &size) == 0)
      w->hits++;
    else
      neap_cache_put(w->bench->cache, key, (neap_view){value, sizeof value}, NULL);
  }
}

static void batch_replay(worker *w, const uint32_t *draws) {
  enum { AHEAD = 8 };
  uint64_t hashes[BATCH + AHEAD];
  for (unsigned i = 0; i < BATCH + AHEAD; i++) {
    if (i < BATCH) hashes[i] = neap_store_prefetch(w->bench->cache, draws[i]);
    if (i >= AHEAD) w->hits += neap_store_replay(w->bench->cache, draws[i - AHEAD], hashes[i - AHEAD], 1);
  }
}

static void (*batch_of(const bench *b))(worker *, const uint32_t *) {
  static const struct {
    const char *name;
    void (*batch)(worker *, const uint32_t *);
  } cases[] = {{"get", batch_get}, {"turn", batch_turn},   {"many", batch_many},    {"copy", batch_copy},
               {"mix", batch_mix}, {"churn", batch_churn}, {"replay", batch_replay}};
  for (size_t i = 0; i < NEAP_COUNT_OF(cases); i++)
    if (strcmp(cases[i].name, b->name) == 0) return cases[i].batch;
  die("unknown case; see the head of bench_cache.c");
}

static void *work(void *arg) {
  worker *w = arg;
  void (*batch)(worker *, const uint32_t *) = batch_of(w->bench);
  uint32_t at = w->number * 7919 * BATCH;
  while (!w->bench->stop) {
    batch(w, &w->bench->draws[at % DRAWS & ~(BATCH - 1u)]);
    at += BATCH;
    w->done += BATCH;
  }
  w->cpu_ns = neap_clock_thread_cpu_ns(NULL);
  return NULL;
}

static void run_workers(bench *b) {
  worker workers[THREADS_MAX] = {0};
  uint64_t done = 0, hits = 0, cpu_ns = 0, start = neap_clock_now_ns(NULL);
  for (unsigned i = 0; i < b->threads; i++) {
    workers[i] = (worker){.bench = b, .number = i};
    pthread_create(&workers[i].thread, NULL, work, &workers[i]);
  }
  usleep((useconds_t)(b->seconds * 1e6));
  b->stop = true;
  for (unsigned i = 0; i < b->threads; i++) {
    pthread_join(workers[i].thread, NULL);
    done += workers[i].done;
    hits += workers[i].hits;
    cpu_ns += workers[i].cpu_ns;
  }
  double seconds = (double)(neap_clock_now_ns(NULL) - start) / 1e9;
  neap_cache_stats stats;
  neap_cache_stats_get(b->cache, &stats);
  printf("case=%s policy=%s threads=%u mops=%.2f cpu_ns=%.1f hit_rate=%.4f dropped=%.4f fallback_share=%.4f "
         "get_p99_ns=%" PRIu64 " put_p99_ns=%" PRIu64 "\n",
         b->name, stats.policy, b->threads, (double)done / seconds / 1e6, (double)cpu_ns / (double)done,
         (double)hits / (double)done, (double)stats.events_dropped / (double)NEAP_MAX(stats.hits, 1),
         stats.fallback_share, stats.get.p99_ns, stats.put.p99_ns);
}

/* --- memory and create --- */

static uint64_t resident(void) {
  unsigned long pages = 0;
  FILE *statm = fopen("/proc/self/statm", "r");
  if (statm == NULL || fscanf(statm, "%*u %lu", &pages) != 1) die("cannot read /proc/self/statm");
  fclose(statm);
  return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void run_memory(bench *b) {
  uint64_t before = resident();
  open_cache(b, NEAP_STORE_VALUES, 0, 1u << 30);
  fill(b, KEYS, 32, 3600000);
  for (int i = 0; i < 3; i++) neap_cache_tick(b->cache);
  neap_cache_stats stats;
  neap_cache_stats_get(b->cache, &stats);
  printf("case=memory policy=%s entries=%" PRIu64
         " charged_per_entry=%.1f resident_per_entry=%.1f tables_per_entry=%.1f\n",
         stats.policy, stats.entries, (double)stats.memory / KEYS - 48,
         (double)(resident() - before) / KEYS - 48, (double)stats.memory_tables / KEYS);
}

static void run_sizes(bench *b) {
  static const char value[16 << 10];
  uint64_t before = resident(), most = 0, end = neap_clock_now_ns(NULL) + (uint64_t)(b->seconds * 1e9);
  open_cache(b, NEAP_STORE_VALUES, 0, 256u << 20);
  neap_random random = {11};
  do {
    for (unsigned i = 0; i < BATCH; i++) {
      uint64_t buffer[2], draw = neap_random_next(&random);
      size_t size = 1 + draw % (64u << (draw >> 40) % 9); /* small ones are many */
      if (neap_cache_put(b->cache, key_of(draw >> 44, buffer), (neap_view){value, size}, NULL))
        die("a put failed");
    }
    most = NEAP_MAX(most, resident() - before);
  } while (neap_clock_now_ns(NULL) < end);
  neap_cache_stats stats;
  neap_cache_stats_get(b->cache, &stats);
  printf("case=sizes policy=%s puts=%" PRIu64 " entries=%" PRIu64
         " charged_mib=%.1f resident_mib=%.1f most_resident_mib=%.1f\n",
         stats.policy, stats.puts, stats.entries, (double)stats.memory / (1 << 20),
         (double)(resident() - before) / (1 << 20), (double)most / (1 << 20));
}

static void run_create(bench *b) {
  uint64_t start = neap_clock_now_ns(NULL), count = 0, now;
  do {
    open_cache(b, NEAP_STORE_KEYS, 0, 1000);
    neap_store_replay(b->cache, 1, neap_store_prefetch(b->cache, 1), 1);
    neap_cache_destroy(&b->cache);
    count++;
    now = neap_clock_now_ns(NULL);
  } while ((double)(now - start) < b->seconds * 1e9);
  printf("case=create policy=%s us=%.1f\n", b->policy, (double)(now - start) / 1e3 / (double)count);
}

static void run(bench *b) {
  if (strcmp(b->name, "memory") == 0) {
    run_memory(b);
  } else if (strcmp(b->name, "sizes") == 0) {
    run_sizes(b);
  } else if (strcmp(b->name, "create") == 0) {
    run_create(b);
  } else {
    bool churn = strcmp(b->name, "churn") == 0, replay = strcmp(b->name, "replay") == 0;
    batch_of(b);
    draw_zipf(b, churn || replay ? 1.0 : 0.99);
    if (replay)
      open_cache(b, NEAP_STORE_KEYS, 0, 100000);
    else
      open_cache(b, NEAP_STORE_VALUES, churn ? 100000 : 0, 1u << 30);
    if (!churn && !replay) fill(b, KEYS, 100, 0);
    run_workers(b);
  }
}

int main(int argc, char **argv) {
  bench b = {.policy = "native:sieve", .threads = 1, .seconds = 3};
  if (argc < 2) die("usage: bench_cache CASE [POLICY] [THREADS] [SECONDS]");
  b.name = argv[1];
  if (argc > 2) b.policy = argv[2];
  if (argc > 3) b.threads = (unsigned)NEAP_MIN(NEAP_MAX(atoi(argv[3]), 1), THREADS_MAX);
  if (argc > 4) b.seconds = atof(argv[4]);
  neap_err err;
  if (neap_engine_create(NULL, &b.engine, &err)) die(err.text);
  run(&b);
  neap_cache_destroy(&b.cache);
  neap_engine_destroy(&b.engine);
  free(b.draws);
  return 0;
}
