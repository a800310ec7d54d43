/* A host program with its own threads and no event loop uses Neap's cache, and replaces the eviction policy
 * while two threads read. docs/embedding.md walks through it; `sh examples/embed/run` builds and runs it. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <neap/cache.h>

enum { KEYS = 20000, READS = 200000 };

static void die(const char *what, const neap_err *err) {
  fprintf(stderr, "embed: %s: %s\n", what, err->text);
  exit(1);
}

/* What a host does for a request: look up, and on a miss make the value and put it. */
static int serve(neap_cache *cache, unsigned number) {
  char key[32], value[64];
  size_t key_size = (size_t)snprintf(key, sizeof key, "user:%u", number);
  size_t value_size;
  if (neap_cache_get_copy(cache, (neap_view){key, key_size}, value, sizeof value, &value_size) == NEAP_OK)
    return 1;

  value_size = (size_t)snprintf(value, sizeof value, "{\"id\":%u}", number);
  neap_put_options options = {.ttl_ms = 60000, .cost = 2.5};
  neap_cache_put(cache, (neap_view){key, key_size}, (neap_view){value, value_size}, &options);
  return 0;
}

static void *reader(void *user) {
  neap_cache *cache = user;
  unsigned seed = 7;
  for (int i = 0; i < READS; i++) {
    unsigned draw = (unsigned)rand_r(&seed) % KEYS;
    serve(cache, draw * (unsigned)(rand_r(&seed) % 100) / 100); /* low numbers are popular */
  }
  return NULL;
}

static void log_line(void *user, neap_log_level level, const char *line) {
  (void)user;
  if (level >= NEAP_LOG_WARN) fprintf(stderr, "%s\n", line);
}

int main(int argc, char **argv) {
  neap_host host = {.log = log_line};
  neap_engine *engine;
  neap_cache *cache;
  neap_err err;
  if (neap_engine_create(&host, &engine, &err)) die("engine", &err);

  neap_cache_options options;
  neap_cache_options_init(&options);
  options.name = "users";
  options.max_memory = 1 << 20;
  options.evict = "sieve";
  if (neap_cache_create(engine, &options, &cache, &err)) die("cache", &err);

  pthread_t threads[2];
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, reader, cache);

  /* Another policy, live: a shipped name or a Lua file. A bad one changes nothing and says which line is
   * wrong. */
  const char *policy = argc > 1 ? argv[1] : "s3fifo";
  if (neap_cache_set_evict(cache, policy, NULL, 0, &err)) die(policy, &err);

  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);

  neap_cache_stats stats;
  neap_cache_stats_get(cache, &stats);
  printf("policy %s, generation %llu: %.1f %% hits, %llu entries in %llu of %llu bytes, %llu evicted\n",
         stats.policy, (unsigned long long)stats.generation, 100 * stats.hit_rate,
         (unsigned long long)stats.entries, (unsigned long long)stats.memory,
         (unsigned long long)stats.max_memory,
         (unsigned long long)(stats.evictions_policy + stats.evictions_fallback));

  neap_cache_destroy(&cache);
  neap_engine_destroy(&engine);
  return 0;
}
