/* The shelf: prefetched entries take room, and the policy hears of them at their first use. */
#include "rig.h"

#include "base/random.h"

static void open_keys(rig *r, const char *evict, uint64_t limit, bool exact) {
  neap_err err = {0};
  neap_cache_options options = rig_options();
  options.max_memory = limit;
  options.max_object_size = limit;
  options.evict = evict;
  options.synchronous = exact;
  options.victims = exact ? 1 : 0;
  if (neap_store_create(r->registry, &r->host, &options, NEAP_STORE_KEYS, &r->cache, &err))
    fail_msg("%s", err.text);
}

static neap_store_found get(rig *r, uint64_t key) {
  return neap_store_replay(r->cache, key, neap_store_prefetch(r->cache, key), 1);
}

static int shelve(rig *r, uint64_t key) {
  return neap_store_shelve(r->cache, key, neap_store_prefetch(r->cache, key), 1);
}

static bool holds(rig *r, uint64_t key) {
  return neap_store_holds(r->cache, key, neap_store_prefetch(r->cache, key));
}

static bool drop(rig *r, uint64_t key) {
  return neap_store_drop_unused(r->cache, key, neap_store_prefetch(r->cache, key));
}

static void test_the_first_use_is_told_apart(void **state) {
  (void)state;
  rig r;
  rig_init(&r);
  open_keys(&r, "native:lru", 10, false);
  assert_int_equal(get(&r, 1), NEAP_STORE_MISS);
  assert_int_equal(get(&r, 1), NEAP_STORE_HIT);
  assert_int_equal(shelve(&r, 2), 0);
  assert_true(holds(&r, 2));
  assert_int_equal(get(&r, 2), NEAP_STORE_FIRST_USE);
  assert_int_equal(get(&r, 2), NEAP_STORE_HIT);
  rig_fini(&r);
}

static void test_what_is_shelved_takes_room_and_is_no_victim(void **state) {
  (void)state;
  rig r;
  rig_init(&r);
  open_keys(&r, "native:lru", 4, true);
  for (uint64_t key = 1; key <= 4; key++) get(&r, key);
  assert_int_equal(shelve(&r, 100), 0);
  assert_false(holds(&r, 1)); /* evicted for it */
  for (uint64_t key = 10; key < 30; key++) get(&r, key);
  assert_true(holds(&r, 100));
  assert_false(holds(&r, 26));
  assert_true(holds(&r, 27) && holds(&r, 28) && holds(&r, 29));
  rig_fini(&r);
}

static void test_after_its_first_use_it_is_an_entry_as_others(void **state) {
  (void)state;
  rig r;
  rig_init(&r);
  open_keys(&r, "native:fifo", 4, true);
  get(&r, 1);
  shelve(&r, 100);
  get(&r, 2);
  assert_int_equal(get(&r, 100), NEAP_STORE_FIRST_USE); /* as if it came now, after 1 and 2 */
  get(&r, 3), get(&r, 4), get(&r, 5);
  assert_false(holds(&r, 1) || holds(&r, 2));
  assert_true(holds(&r, 100));
  get(&r, 6);
  assert_false(holds(&r, 100));
  rig_fini(&r);
}

/* With prefetching always one ahead, what the policy sees are the requests in order: LRU then holds whatever
 * LRU holds in the room that the shelf leaves. */
static void test_the_policy_sees_the_order_of_the_requests(void **state) {
  (void)state;
  rig with, without;
  rig_init(&with), rig_init(&without);
  open_keys(&with, "native:lru", 101, true); /* one is for the shelf */
  open_keys(&without, "native:lru", 100, true);
  neap_random random = {9};
  for (int i = 0; i < 20000; i++) {
    uint64_t a = neap_random_below(&random, 400), b = neap_random_below(&random, 400), key = a * b / 400;
    if (!holds(&with, key)) assert_int_equal(shelve(&with, key), 0);
    bool used = get(&with, key) == NEAP_STORE_HIT;
    assert_true(used || get(&without, key) == NEAP_STORE_MISS);
    if (used) get(&without, key);
  }
  rig_fini(&with), rig_fini(&without);
}

static void test_only_what_nobody_used_is_dropped(void **state) {
  (void)state;
  rig r;
  rig_init(&r);
  open_keys(&r, "native:sieve", 10, false);
  shelve(&r, 1), shelve(&r, 2);
  get(&r, 1), get(&r, 3);
  assert_false(drop(&r, 1));
  assert_true(drop(&r, 2));
  assert_false(drop(&r, 2));
  assert_false(drop(&r, 3));
  assert_true(holds(&r, 1) && !holds(&r, 2) && holds(&r, 3));
  neap_cache_stats stats;
  neap_cache_stats_get(r.cache, &stats);
  assert_int_equal(stats.entries, 2);
  rig_fini(&r);
}

static void test_what_is_there_already_is_not_shelved(void **state) {
  (void)state;
  rig r;
  rig_init(&r);
  open_keys(&r, "native:lru", 10, false);
  get(&r, 1);
  assert_int_equal(shelve(&r, 1), 0);
  assert_int_equal(get(&r, 1), NEAP_STORE_HIT);
  shelve(&r, 2);
  assert_int_equal(shelve(&r, 2), 0); /* twice: the policy knows it from now on */
  assert_false(drop(&r, 2));
  for (uint64_t key = 10; key < 40; key++) get(&r, key);
  assert_false(holds(&r, 2));
  rig_fini(&r);
}

static void test_a_cache_that_is_all_shelf_gives_way(void **state) {
  (void)state;
  rig r;
  rig_init(&r);
  open_keys(&r, "native:lru", 50, false);
  for (uint64_t key = 1; key <= 50; key++) assert_int_equal(shelve(&r, key), 0);
  for (uint64_t key = 1000; key < 1050; key++) {
    assert_int_equal(get(&r, key), NEAP_STORE_MISS);
    assert_true(holds(&r, key));
  }
  rig_fini(&r);
}

/* --- the live cache: values, which come in parts */

static void shelve_value(rig *r, const char *key, uint64_t length, const char *value, uint64_t ttl_ms) {
  neap_fill *fill;
  const neap_put_options options = {.ttl_ms = ttl_ms};
  assert_int_equal(neap_store_shelve_begin(r->cache, neap_view_of(key), length, &options, &fill), 0);
  assert_int_equal(neap_fill_append(fill, neap_view_of(value)), 0);
  assert_int_equal(neap_fill_commit(&fill, NULL), 0);
}

/* What a request does with what it finds. */
static bool uses_first(rig *r, const char *key) {
  const neap_entry *entry;
  neap_cache_enter(r->cache);
  assert_int_equal(neap_cache_get(r->cache, neap_view_of(key), &entry), 0);
  bool unused = neap_store_is_unused(entry), first = neap_store_take_unused(r->cache, entry);
  assert_int_equal(unused, first);
  assert_false(neap_store_is_unused(entry));
  neap_cache_leave(r->cache);
  return first;
}

static void test_a_value_is_shelved_until_its_first_use(void **state) {
  (void)state;
  rig r;
  rig_init(&r);
  neap_cache_options options = rig_options();
  rig_open(&r, &options);
  shelve_value(&r, "a", 5, "hello", 1000);
  shelve_value(&r, "b", NEAP_LENGTH_UNKNOWN, "there", 1000);
  assert_true(uses_first(&r, "a"));
  assert_false(uses_first(&r, "a"));
  assert_false(neap_store_drop_unused_key(r.cache, neap_view_of("a")));
  assert_true(neap_store_drop_unused_key(r.cache, neap_view_of("b")));
  assert_false(rig_has(&r, "b"));
  rig_expect(&r, "a", "hello");
  rig_fini(&r);
}

static void test_a_value_expires_on_the_shelf_and_after_its_first_use(void **state) {
  (void)state;
  rig r;
  rig_init(&r);
  neap_cache_options options = rig_options();
  rig_open(&r, &options);
  shelve_value(&r, "a", 5, "hello", 1000);
  shelve_value(&r, "b", 5, "hello", 1000);
  assert_true(uses_first(&r, "a"));
  atomic_fetch_add(&r.now_ms, 1500);
  assert_false(rig_has(&r, "a") || rig_has(&r, "b"));
  for (int i = 0; i < 4; i++) {
    neap_cache_tick(r.cache);
    atomic_fetch_add(&r.now_ms, 200);
  }
  assert_int_equal(rig_stats(&r).entries, 0);
  assert_int_equal(rig_stats(&r).expirations, 2);
  rig_fini(&r);
}

static void test_values_that_are_put_push_out_others_before_the_shelf(void **state) {
  (void)state;
  rig r;
  rig_init(&r);
  neap_cache_options options = rig_options();
  options.max_entries = 20;
  options.evict = "native:lru";
  rig_open(&r, &options);
  shelve_value(&r, "ahead", 5, "hello", NEAP_TTL_NEVER);
  char key[16];
  for (int i = 0; i < 100; i++) {
    snprintf(key, sizeof key, "%d", i);
    assert_int_equal(rig_put(&r, key, "x"), 0);
  }
  assert_true(uses_first(&r, "ahead"));
  for (int i = 0; i < 100; i++) {
    snprintf(key, sizeof key, "%d", i);
    assert_int_equal(rig_put(&r, key, "x"), 0);
  }
  assert_false(rig_has(&r, "ahead"));
  rig_fini(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_first_use_is_told_apart),
      cmocka_unit_test(test_what_is_shelved_takes_room_and_is_no_victim),
      cmocka_unit_test(test_after_its_first_use_it_is_an_entry_as_others),
      cmocka_unit_test(test_the_policy_sees_the_order_of_the_requests),
      cmocka_unit_test(test_only_what_nobody_used_is_dropped),
      cmocka_unit_test(test_what_is_there_already_is_not_shelved),
      cmocka_unit_test(test_a_cache_that_is_all_shelf_gives_way),
      cmocka_unit_test(test_a_value_is_shelved_until_its_first_use),
      cmocka_unit_test(test_a_value_expires_on_the_shelf_and_after_its_first_use),
      cmocka_unit_test(test_values_that_are_put_push_out_others_before_the_shelf),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
