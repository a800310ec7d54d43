/* The policy of a cache: replaced and rolled back while it runs, shown the entries, believed only so far. */
#include <pthread.h>

#include "rig.h"
#include "script/script.h"

static int set_up(void **state) {
  static rig r;
  rig_init(&r);
  neap_cache_options options = rig_options();
  options.max_entries = 100;
  rig_open(&r, &options);
  *state = &r;
  return 0;
}

static int tear_down(void **state) {
  rig_fini(*state);
  return 0;
}

static void put_numbered(rig *r, unsigned from, unsigned to) {
  for (unsigned i = from; i < to; i++) {
    char key[16];
    snprintf(key, sizeof key, "k%u", i);
    assert_int_equal(rig_put(r, key, "value"), 0);
  }
}

static bool has_numbered(rig *r, unsigned number) {
  char key[16];
  snprintf(key, sizeof key, "k%u", number);
  return rig_has(r, key);
}

static void test_evictor_is_replaced_and_rolled_back_with_contents_kept(void **state) {
  rig *r = *state;
  neap_err err = {0};
  put_numbered(r, 0, 100);
  assert_int_equal(neap_cache_rollback_evict(r->cache, &err), NEAP_ENOTFOUND);
  assert_int_equal(neap_cache_set_evict(r->cache, "native:sieve", NULL, 0, &err), 0);
  assert_string_equal(rig_stats(r).policy, "sieve");
  assert_int_equal(rig_stats(r).generation, 2);
  assert_int_equal(rig_stats(r).entries, 100);
  assert_int_equal(neap_cache_rollback_evict(r->cache, &err), 0);
  assert_string_equal(rig_stats(r).policy, "lru");
  assert_int_equal(rig_stats(r).generation, 3);
  assert_int_equal(neap_cache_rollback_evict(r->cache, &err), NEAP_ENOTFOUND);
  assert_int_equal(rig_stats(r).entries, 100);
}

static void test_evictor_stays_when_the_next_one_is_wrong(void **state) {
  rig *r = *state;
  neap_err err = {0};
  put_numbered(r, 0, 50);
  assert_int_equal(neap_cache_set_evict(r->cache, "native:tide", NULL, 0, &err), NEAP_ENOTFOUND);
  assert_true(strlen(err.text) > 0);
  neap_param wrong = {.name = "tide", .number = 1};
  assert_int_equal(neap_cache_set_evict(r->cache, "native:sieve", &wrong, 1, &err), NEAP_EINVAL);
  assert_int_equal(neap_cache_set_evict(r->cache, "", NULL, 0, &err), NEAP_EINVAL);
  assert_string_equal(rig_stats(r).policy, "lru");
  assert_int_equal(rig_stats(r).generation, 1);
  put_numbered(r, 50, 300);
  assert_int_equal(rig_stats(r).policy_faults, 0);
}

/* A policy that starts late is shown the entries least recently used first: so LRU goes on where it would
 * have been. */
static void test_evictor_that_starts_late_knows_what_is_old(void **state) {
  rig *r = *state;
  neap_err err;
  neap_cache_set_evict(r->cache, "native:sieve", NULL, 0, &err);
  put_numbered(r, 0, 50);
  r->now_ms += 1000;
  put_numbered(r, 50, 100);
  r->now_ms += 1000;
  for (unsigned i = 0; i < 20; i++) assert_true(has_numbered(r, i));
  neap_cache_tick(r->cache);
  assert_int_equal(neap_cache_set_evict(r->cache, "native:lru", NULL, 0, &err), 0);
  put_numbered(r, 100, 130);
  for (unsigned i = 0; i < 20; i++) assert_true(has_numbered(r, i));
  for (unsigned i = 20; i < 49; i++) assert_false(has_numbered(r, i));
}

static void test_evictor_skips_pinned_entries(void **state) {
  rig *r = *state;
  neap_entry *pins[50];
  put_numbered(r, 0, 50);
  for (unsigned i = 0; i < 50; i++) {
    char key[16];
    snprintf(key, sizeof key, "k%u", i);
    assert_int_equal(neap_cache_get_ref(r->cache, neap_view_of(key), &pins[i]), 0);
  }
  put_numbered(r, 50, 1000);
  for (unsigned i = 0; i < 50; i++) {
    assert_true(has_numbered(r, i));
    neap_entry_unref(r->cache, pins[i]);
  }
  put_numbered(r, 1000, 1200);
  assert_false(has_numbered(r, 0));
}

static void test_evictor_says_no_room_when_everything_is_pinned(void **state) {
  rig *r = *state;
  neap_entry *pins[100];
  put_numbered(r, 0, 100);
  unsigned count = 0;
  for (unsigned i = 0; i < 100; i++) {
    char key[16];
    snprintf(key, sizeof key, "k%u", i);
    if (neap_cache_get_ref(r->cache, neap_view_of(key), &pins[count]) == 0) count++;
  }
  assert_true(count >= 95);
  for (unsigned i = 0; rig_stats(r).entries < 100; i++) {
    char key[16];
    snprintf(key, sizeof key, "fill%u", i);
    assert_int_equal(rig_put(r, key, "v"), 0);
    assert_int_equal(neap_cache_get_ref(r->cache, neap_view_of(key), &pins[count]), 0);
    count++;
  }
  assert_int_equal(rig_put(r, "more", "v"), NEAP_EROOM);
  assert_true(rig_stats(r).rejected_room >= 1);
  while (count > 0) neap_entry_unref(r->cache, pins[--count]);
  assert_int_equal(rig_put(r, "more", "v"), 0);
}

/* --- exact order --- */

static neap_cache *keys_cache(rig *r, const char *policy, uint64_t room) {
  neap_cache_options options = rig_options();
  options.evict = policy;
  options.max_memory = room;
  options.synchronous = 1;
  options.victims = 1;
  neap_cache *cache;
  neap_err err;
  if (neap_store_create(r->registry, &r->host, &options, NEAP_STORE_KEYS, &cache, &err))
    fail_msg("%s", err.text);
  return cache;
}

static bool replay(neap_cache *cache, uint64_t key, uint32_t size) {
  return neap_store_replay(cache, key, neap_store_prefetch(cache, key), size);
}

static void test_replay_is_exact_when_synchronous(void **state) {
  rig *r = *state;
  neap_cache *cache = keys_cache(r, "native:lru", 3);
  const struct {
    uint64_t key;
    bool hit;
  } requests[] = {{1, 0}, {2, 0}, {3, 0}, {1, 1}, {4, 0}, {2, 0}, {1, 1}, {3, 0}, {4, 0}, {2, 0}, {3, 1}};
  for (size_t i = 0; i < NEAP_COUNT_OF(requests); i++)
    assert_int_equal(replay(cache, requests[i].key, 1), requests[i].hit);
  neap_cache_stats stats;
  neap_cache_stats_get(cache, &stats);
  assert_int_equal(stats.hits, 3);
  assert_int_equal(stats.misses, 8);
  assert_int_equal(stats.memory, 3);
  neap_cache_destroy(&cache);
}

static void test_replay_counts_the_sizes_it_is_told(void **state) {
  rig *r = *state;
  neap_cache *cache = keys_cache(r, "native:lru", 100);
  assert_false(replay(cache, 1, 60));
  assert_false(replay(cache, 2, 101)); /* larger than the cache: evicts nothing */
  assert_true(replay(cache, 1, 99));   /* another size does not resize it */
  assert_false(replay(cache, 3, 40));
  assert_true(replay(cache, 1, 60));
  assert_false(replay(cache, 4, 1)); /* evicts 3 alone */
  assert_true(replay(cache, 1, 60));
  assert_false(replay(cache, 3, 40));
  neap_cache_destroy(&cache);
}

static void test_replay_batches_stay_near_to_exact(void **state) {
  rig *r = *state;
  uint64_t hits[2];
  for (int exact = 0; exact < 2; exact++) {
    neap_cache *cache;
    neap_cache_options options = rig_options();
    neap_err err;
    options.evict = "native:sieve";
    options.max_memory = 2000;
    options.synchronous = exact;
    options.victims = exact ? 1 : 0;
    assert_int_equal(neap_store_create(r->registry, &r->host, &options, NEAP_STORE_KEYS, &cache, &err), 0);
    uint64_t key = 1;
    hits[exact] = 0;
    for (int i = 0; i < 300000; i++) {
      key = key * 6364136223846793005u + 1442695040888963407u;
      double unit = (double)(key >> 11) * 0x1p-53;
      hits[exact] += replay(cache, (uint64_t)(20000 * unit * unit * unit), 1);
    }
    neap_cache_destroy(&cache);
  }
  assert_true(hits[1] > 100000);
  assert_in_range(hits[0], hits[1] - 1500, hits[1] + 1500); /* half a point */
}

/* --- replaced under load, a million entries --- */

typedef struct load {
  rig *rig;
  _Atomic bool stop;
  _Atomic uint64_t failed, done;
} load;

static void *keep_busy(void *arg) {
  load *l = arg;
  for (unsigned i = 0; !l->stop; i++) {
    char key[16], buffer[64];
    size_t size;
    snprintf(key, sizeof key, "k%u", i * 7919 % 1000000);
    if (neap_cache_get_copy(l->rig->cache, neap_view_of(key), buffer, sizeof buffer, &size)) l->failed++;
    if (i % 4 == 0 && rig_put(l->rig, key, "again")) l->failed++;
    l->done++;
  }
  return NULL;
}

static void open_million(rig *r) {
  rig_init(r);
  neap_script_register(r->registry, &r->host);
  neap_cache_options options = rig_options();
  options.max_memory = 512u << 20;
  options.evict = "native:sieve";
  rig_open(r, &options);
  put_numbered(r, 0, 1000000);
}

static void test_evictor_is_replaced_with_a_million_entries_and_no_operation_fails(void **state) {
  (void)state;
  static rig r;
  open_million(&r);
  load l = {.rig = &r};
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, keep_busy, &l);
  static const char *const next[] = {"native:lru", "native:s3fifo", "native:sieve"};
  neap_err err;
  for (int i = 0; i < 3; i++) assert_int_equal(neap_cache_set_evict(r.cache, next[i], NULL, 0, &err), 0);
  l.stop = true;
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  assert_true(l.done > 100);
  assert_int_equal(l.failed, 0);
  assert_int_equal(rig_stats(&r).entries, 1000000);
  rig_fini(&r);
}

static void *keep_reading(void *arg) {
  load *l = arg;
  for (unsigned i = 0; !l->stop; i++) {
    char key[16];
    const neap_entry *entry;
    snprintf(key, sizeof key, "k%u", i * 7919 % 1000000);
    neap_cache_enter(l->rig->cache);
    if (neap_cache_get(l->rig->cache, neap_view_of(key), &entry)) l->failed++;
    neap_cache_leave(l->rig->cache);
    l->done++;
  }
  return NULL;
}

/* A reader that is paused makes one get per replacement, however often it is given the processor. How long
 * gets take meanwhile is what bench_switch measures. */
static void test_readers_get_on_while_the_evictor_is_replaced(void **state) {
  (void)state;
  enum { GETS = 10000, REPLACED_MOST = 40 };
  static rig r;
  open_million(&r);
  load l = {.rig = &r};
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, keep_reading, &l);
  static const char *const next[] = {"sieve", "native:lru"};
  for (int policy = 0; policy < 2; policy++) {
    uint64_t meanwhile = 0;
    for (int i = 0; i < REPLACED_MOST && meanwhile < GETS; i++) {
      neap_err err = {0};
      uint64_t before = l.done;
      if (neap_cache_set_evict(r.cache, next[policy], NULL, 0, &err)) fail_msg("%s", err.text);
      meanwhile += l.done - before;
    }
    if (meanwhile < GETS) fail_msg("%s: only %d gets meanwhile", next[policy], (int)meanwhile);
  }
  l.stop = true;
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  assert_int_equal(l.failed, 0);
  rig_fini(&r);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      T(test_evictor_is_replaced_and_rolled_back_with_contents_kept),
      T(test_evictor_stays_when_the_next_one_is_wrong),
      T(test_evictor_that_starts_late_knows_what_is_old),
      T(test_evictor_skips_pinned_entries),
      T(test_evictor_says_no_room_when_everything_is_pinned),
      T(test_replay_is_exact_when_synchronous),
      T(test_replay_counts_the_sizes_it_is_told),
      T(test_replay_batches_stay_near_to_exact),
      cmocka_unit_test(test_evictor_is_replaced_with_a_million_entries_and_no_operation_fails),
      cmocka_unit_test(test_readers_get_on_while_the_evictor_is_replaced),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
