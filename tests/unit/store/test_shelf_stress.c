/* The shelf under several threads: one first use each, nothing lost and nothing left. */
#include "rig.h"

#include <pthread.h>

#include "base/random.h"

enum { THREADS = 4, KEYS = 2000, ROUNDS = 20000, LIMIT = 300 };

static rig shared;
static _Atomic int first_uses;
static _Atomic uint64_t next_seed;

static uint64_t hash_of(uint64_t key) {
  return neap_store_prefetch(shared.cache, key);
}

static int shelve(uint64_t key) {
  return neap_store_shelve(shared.cache, key, hash_of(key), 1);
}

static neap_store_found get(uint64_t key) {
  return neap_store_replay(shared.cache, key, hash_of(key), 1);
}

static void open_keys(uint64_t limit) {
  neap_err err = {0};
  rig_init(&shared);
  neap_cache_options options = rig_options();
  options.max_memory = options.max_object_size = limit;
  options.evict = "native:fifo";
  if (neap_store_create(shared.registry, &shared.host, &options, NEAP_STORE_KEYS, &shared.cache, &err))
    fail_msg("%s", err.text);
}

static void run_threads(void *(*act)(void *user)) {
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, act, NULL), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

static void *use_all(void *user) {
  (void)user;
  for (uint64_t key = 1; key <= KEYS; key++)
    if (get(key) == NEAP_STORE_FIRST_USE) atomic_fetch_add(&first_uses, 1);
  return NULL;
}

static void test_many_threads_agree_on_one_first_use_each(void **state) {
  (void)state;
  open_keys(KEYS * 2);
  for (uint64_t key = 1; key <= KEYS; key++) assert_int_equal(shelve(key), 0);
  atomic_store(&first_uses, 0);
  run_threads(use_all);
  assert_int_equal(atomic_load(&first_uses), KEYS);
  rig_fini(&shared);
}

static void *do_all(void *user) {
  (void)user;
  neap_random random = {atomic_fetch_add(&next_seed, 1)};
  for (int i = 0; i < ROUNDS; i++) {
    uint64_t draw = neap_random_next(&random), key = 1 + (draw >> 8) % 600;
    switch (draw % 4) {
    case 0: shelve(key); break;
    case 1: neap_store_drop_unused(shared.cache, key, hash_of(key)); break;
    default: get(key); break;
    }
  }
  return NULL;
}

/* What may happen to an entry on the shelf, all at once and for want of room: used, dropped, replaced,
 * evicted. */
static void test_shelving_using_and_dropping_at_once_leave_the_books_right(void **state) {
  (void)state;
  open_keys(LIMIT);
  atomic_store(&next_seed, 1);
  run_threads(do_all);
  for (uint64_t key = 1; key <= 600; key++) neap_store_drop_unused(shared.cache, key, hash_of(key));
  neap_cache_stats stats;
  neap_cache_stats_get(shared.cache, &stats);
  assert_true(stats.entries <= LIMIT);
  for (uint64_t key = 1000; key < 1000 + 3 * LIMIT; key++) get(key); /* everything before can be evicted */
  neap_cache_stats_get(shared.cache, &stats);
  assert_true(stats.entries <= LIMIT && stats.entries >= LIMIT - LIMIT / 16);
  for (uint64_t key = 1; key <= 600; key++) assert_false(neap_store_holds(shared.cache, key, hash_of(key)));
  rig_fini(&shared);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_many_threads_agree_on_one_first_use_each),
      cmocka_unit_test(test_shelving_using_and_dropping_at_once_leave_the_books_right),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
