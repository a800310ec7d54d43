/* The cache as its users see it: reading, writing, expiry, bounds, statistics. */
#include "rig.h"

static int set_up(void **state) {
  static rig r;
  rig_init(&r);
  neap_cache_options options = rig_options();
  rig_open(&r, &options);
  *state = &r;
  return 0;
}

static int tear_down(void **state) {
  rig_fini(*state);
  return 0;
}

static void test_store_returns_what_was_put(void **state) {
  rig *r = *state;
  assert_false(rig_has(r, "moon"));
  assert_int_equal(rig_put(r, "moon", "neap"), 0);
  rig_expect(r, "moon", "neap");
  assert_int_equal(rig_put(r, "moon", "spring"), 0);
  rig_expect(r, "moon", "spring");
  assert_int_equal(rig_put(r, "empty", ""), 0);
  rig_expect(r, "empty", "");
  neap_cache_stats stats = rig_stats(r);
  assert_int_equal(stats.puts, 3);
  assert_int_equal(stats.updates, 1);
  assert_int_equal(stats.entries, 2);
  assert_int_equal(stats.hits, 3);
  assert_int_equal(stats.misses, 1);
}

static void test_store_removes(void **state) {
  rig *r = *state;
  assert_int_equal(neap_cache_remove(r->cache, NEAP_BYTES("tide")), NEAP_ENOTFOUND);
  rig_put(r, "tide", "low");
  assert_int_equal(neap_cache_remove(r->cache, NEAP_BYTES("tide")), 0);
  assert_false(rig_has(r, "tide"));
  assert_int_equal(neap_cache_remove(r->cache, NEAP_BYTES("tide")), NEAP_ENOTFOUND);
  assert_int_equal(rig_stats(r).removes, 1);
  assert_int_equal(rig_stats(r).entries, 0);
}

static void test_store_takes_keys_of_1_to_65535_bytes(void **state) {
  rig *r = *state;
  static char key[65536];
  rig_bytes(key, sizeof key, 1);
  assert_int_equal(neap_cache_put(r->cache, (neap_view){key, 0}, NEAP_BYTES("v"), NULL), NEAP_EKEY);
  assert_int_equal(neap_cache_put(r->cache, (neap_view){key, 65536}, NEAP_BYTES("v"), NULL), NEAP_EKEY);
  size_t size;
  char out[4];
  assert_int_equal(neap_cache_get_copy(r->cache, (neap_view){key, 0}, out, sizeof out, &size), NEAP_EKEY);
  assert_int_equal(neap_cache_remove(r->cache, (neap_view){key, 65536}), NEAP_EKEY);
  assert_int_equal(neap_cache_touch(r->cache, (neap_view){key, 0}, 5), NEAP_EKEY);
  for (size_t i = 0; i < 2; i++) {
    neap_view view = {key, i == 0 ? 1 : 65535};
    assert_int_equal(neap_cache_put(r->cache, view, NEAP_BYTES("v"), NULL), 0);
    assert_int_equal(neap_cache_get_copy(r->cache, view, out, sizeof out, &size), 0);
    assert_int_equal(size, 1);
  }
}

static void test_store_borrows_between_enter_and_leave(void **state) {
  rig *r = *state;
  rig_put(r, "k", "first");
  neap_cache_enter(r->cache);
  const neap_entry *entry;
  assert_int_equal(neap_cache_get(r->cache, NEAP_BYTES("k"), &entry), 0);
  rig_put(r, "k", "second");
  neap_cache_remove(r->cache, NEAP_BYTES("k"));
  for (int i = 0; i < 3; i++) neap_cache_tick(r->cache);
  assert_true(neap_view_is(neap_entry_piece(entry, 0), "first"));
  assert_true(neap_view_is(neap_entry_key(entry), "k"));
  assert_int_equal(neap_entry_piece(entry, 1).size, 0);
  neap_cache_leave(r->cache);
}

static void test_store_references_outlive_eviction(void **state) {
  rig *r = *state;
  rig_put(r, "k", "pinned");
  neap_entry *entry;
  assert_int_equal(neap_cache_get_ref(r->cache, NEAP_BYTES("k"), &entry), 0);
  neap_cache_clear(r->cache);
  neap_cache_tick(r->cache);
  assert_int_equal(rig_stats(r).entries, 0);
  assert_true(rig_stats(r).memory_retired > 0);
  assert_true(neap_view_is(neap_entry_piece(entry, 0), "pinned"));
  neap_entry_unref(r->cache, entry);
  assert_int_equal(rig_stats(r).memory_retired, 0);
}

static void test_store_says_when_a_buffer_is_too_small(void **state) {
  rig *r = *state;
  rig_put(r, "k", "four");
  char buffer[3];
  size_t size = 0;
  assert_int_equal(neap_cache_get_copy(r->cache, NEAP_BYTES("k"), buffer, sizeof buffer, &size), NEAP_ESMALL);
  assert_int_equal(size, 4);
}

/* --- expiry --- */

static void test_store_expires_on_the_millisecond(void **state) {
  rig *r = *state;
  assert_int_equal(rig_put_ttl(r, "k", "v", 50), 0);
  r->now_ms += 49;
  assert_true(rig_has(r, "k"));
  r->now_ms += 1;
  assert_false(rig_has(r, "k"));
  r->now_ms += 200;
  assert_int_equal(neap_cache_tick(r->cache), 1);
  neap_cache_stats stats = rig_stats(r);
  assert_int_equal(stats.entries, 0);
  assert_int_equal(stats.expirations, 1);
  assert_int_equal(stats.memory_entries, 0);
  assert_int_equal(stats.memory_retired, 0);
}

static void test_store_replaces_an_expired_entry_of_any_version(void **state) {
  rig *r = *state;
  neap_put_options newer = {.ttl_ms = 10, .version = 9}, older = {.version = 3};
  assert_int_equal(neap_cache_put(r->cache, NEAP_BYTES("k"), NEAP_BYTES("a"), &newer), 0);
  assert_int_equal(neap_cache_put(r->cache, NEAP_BYTES("k"), NEAP_BYTES("b"), &older), NEAP_EVERSION);
  rig_expect(r, "k", "a");
  r->now_ms += 10;
  assert_int_equal(neap_cache_put(r->cache, NEAP_BYTES("k"), NEAP_BYTES("b"), &older), 0);
  rig_expect(r, "k", "b");
  assert_int_equal(rig_stats(r).rejected_version, 1);
  assert_int_equal(rig_stats(r).expirations, 1);
  assert_int_equal(rig_stats(r).updates, 0);
}

static void test_store_touch_gives_a_new_time_to_live(void **state) {
  rig *r = *state;
  rig_put_ttl(r, "k", "v", 100);
  assert_int_equal(neap_cache_touch(r->cache, NEAP_BYTES("k"), 1000), 0);
  r->now_ms += 500;
  neap_cache_tick(r->cache);
  assert_true(rig_has(r, "k"));
  assert_int_equal(neap_cache_touch(r->cache, NEAP_BYTES("k"), NEAP_TTL_NEVER), 0);
  r->now_ms += 1000000000;
  neap_cache_tick(r->cache);
  assert_true(rig_has(r, "k"));
  assert_int_equal(neap_cache_touch(r->cache, NEAP_BYTES("k"), 1), 0);
  r->now_ms += 1000;
  assert_int_equal(neap_cache_touch(r->cache, NEAP_BYTES("k"), 1), NEAP_ENOTFOUND);
  assert_int_equal(neap_cache_tick(r->cache), 1);
}

static void test_store_touch_of_an_entry_without_ttl_can_make_it_expire(void **state) {
  rig *r = *state;
  rig_put(r, "k", "v");
  neap_cache_touch(r->cache, NEAP_BYTES("k"), 10);
  r->now_ms += 300;
  assert_int_equal(neap_cache_tick(r->cache), 1);
  assert_int_equal(rig_stats(r).memory_entries, 0);
}

/* --- what is known of an entry --- */

static void test_store_knows_all_fields_of_an_entry(void **state) {
  rig *r = *state;
  neap_put_options options = {.ttl_ms = 5000, .version = 77, .cost = 12.5, .meta = NEAP_BYTES("head")};
  assert_int_equal(neap_cache_put(r->cache, NEAP_BYTES("key"), NEAP_BYTES("value"), &options), 0);
  r->now_ms += 1000;
  for (int i = 0; i < 5; i++) assert_true(rig_has(r, "key"));
  neap_cache_tick(r->cache);
  neap_entry *entry;
  assert_int_equal(neap_cache_get_ref(r->cache, NEAP_BYTES("key"), &entry), 0);
  neap_entry_info info;
  neap_entry_info_get(r->cache, entry, &info);
  assert_int_equal(info.version, 77);
  assert_int_equal(info.created_ms, 1000000);
  assert_int_equal(info.expires_ms, 1005000);
  assert_int_equal(info.last_access_ms, 1001000);
  assert_int_equal(info.access_count, 5);
  assert_int_equal(info.size, 12);
  assert_int_equal(info.charged, 48);
  assert_true(info.cost > 12.48 && info.cost < 12.52);
  assert_true(neap_view_is(neap_entry_meta(entry), "head"));
  assert_int_equal(neap_entry_size(entry), 5);
  neap_entry_unref(r->cache, entry);
}

static uint64_t version_of(rig *r, const char *key) {
  neap_entry *entry;
  neap_entry_info info;
  assert_int_equal(neap_cache_get_ref(r->cache, neap_view_of(key), &entry), 0);
  neap_entry_info_get(r->cache, entry, &info);
  neap_entry_unref(r->cache, entry);
  return info.version;
}

static void test_store_counts_versions_up(void **state) {
  rig *r = *state;
  rig_put(r, "k", "a");
  uint64_t first = version_of(r, "k");
  rig_put(r, "k", "b");
  uint64_t second = version_of(r, "k");
  assert_true(first > 0 && second > first);
  neap_cache_remove(r->cache, NEAP_BYTES("k"));
  rig_put(r, "k", "c");
  assert_true(version_of(r, "k") > second);
  neap_put_options given = {.version = 1000000};
  assert_int_equal(neap_cache_put(r->cache, NEAP_BYTES("k"), NEAP_BYTES("d"), &given), 0);
  rig_put(r, "k", "e");
  assert_int_equal(version_of(r, "k"), 1000001);
}

/* --- bounds --- */

static void fill_with(rig *r, unsigned count, size_t value_size) {
  static char value[8192];
  rig_bytes(value, value_size, 3);
  for (unsigned i = 0; i < count; i++) {
    char key[16];
    snprintf(key, sizeof key, "key%u", i);
    assert_int_equal(neap_cache_put(r->cache, neap_view_of(key), (neap_view){value, value_size}, NULL), 0);
    neap_cache_stats stats = rig_stats(r);
    assert_true(stats.memory <= stats.max_memory);
    assert_true(stats.max_entries == 0 || stats.entries <= stats.max_entries);
  }
}

static void test_store_evicts_the_least_recently_used(void **state) {
  rig *r = *state;
  fill_with(r, 20000, 400);
  neap_cache_stats stats = rig_stats(r);
  assert_true(stats.evictions_policy > 5000);
  assert_int_equal(stats.evictions_fallback, 0);
  assert_true(stats.entries > 6000);
  assert_true(rig_has(r, "key19999"));
  assert_false(rig_has(r, "key0"));
}

static void test_store_refuses_what_is_too_large_and_evicts_nothing(void **state) {
  rig *r = *state;
  fill_with(r, 5000, 400);
  neap_cache_stats before = rig_stats(r);
  static char large[1 << 20];
  assert_int_equal(neap_cache_put(r->cache, NEAP_BYTES("large"), (neap_view){large, sizeof large}, NULL),
                   NEAP_ETOOLARGE);
  neap_cache_stats after = rig_stats(r);
  assert_int_equal(after.entries, before.entries);
  assert_int_equal(after.rejected_size, 1);
  assert_int_equal(after.max_object_size, (4u << 20) / 20);
}

static void test_store_limits_can_be_changed_while_it_runs(void **state) {
  rig *r = *state;
  fill_with(r, 5000, 400);
  assert_int_equal(neap_cache_set_limits(r->cache, 100, 0, 0), 0);
  assert_true(rig_stats(r).entries <= 100);
  assert_int_equal(neap_cache_set_limits(r->cache, 0, 1 << 20, 0), 0);
  assert_true(rig_stats(r).memory <= 1 << 20);
  assert_int_equal(rig_stats(r).max_object_size, (1 << 20) / 20);
  fill_with(r, 500, 100);
  assert_int_equal(neap_cache_set_limits(r->cache, 100000, 64 << 20, 7), 0);
  assert_int_equal(rig_put(r, "12345", "678"), NEAP_ETOOLARGE);
  assert_int_equal(neap_cache_set_limits(r->cache, 0, 1000, 0), NEAP_EINVAL);
  assert_int_equal(neap_cache_set_limits(r->cache, 0, 0, 1 << 20), 0);
  fill_with(r, 20000, 400);
  assert_true(rig_stats(r).entries > 19000);
}

static void test_store_lower_limits_wait_for_pinned_entries(void **state) {
  rig *r = *state;
  enum { PINS = 20 };
  static char value[100000];
  neap_entry *pins[PINS];
  for (int i = 0; i < PINS; i++) {
    char key[16];
    snprintf(key, sizeof key, "p%d", i);
    assert_int_equal(neap_cache_put(r->cache, neap_view_of(key), (neap_view){value, sizeof value}, NULL), 0);
    assert_int_equal(neap_cache_get_ref(r->cache, neap_view_of(key), &pins[i]), 0);
  }
  assert_int_equal(neap_cache_set_limits(r->cache, 0, 1 << 20, 0), NEAP_EROOM);
  assert_int_equal(rig_put(r, "k", "v"), NEAP_EROOM);
  for (int i = 0; i < PINS; i++) neap_entry_unref(r->cache, pins[i]);
  assert_int_equal(rig_put(r, "k", "v"), 0);
  assert_true(rig_stats(r).memory <= 1 << 20);
}

static void test_store_stops_puts_not_readers_when_a_reader_stalls(void **state) {
  rig *r = *state;
  fill_with(r, 9000, 400);
  neap_cache_enter(r->cache); /* stalled: nothing unlinked from now on can be freed */
  int rc = 0;
  unsigned done = 0;
  for (; rc == 0 && done < 100000; done++) {
    char key[16];
    snprintf(key, sizeof key, "other%u", done);
    rc = rig_put(r, key, "value");
    assert_true(rig_stats(r).memory <= rig_stats(r).max_memory);
  }
  assert_int_equal(rc, NEAP_EROOM);
  uint64_t entries = rig_stats(r).entries;
  for (int i = 0; i < 100; i++) assert_int_equal(rig_put(r, "more", "value"), NEAP_EROOM);
  assert_true(rig_stats(r).entries + 200 > entries); /* failing puts do not empty the cache */
  neap_cache_leave(r->cache);
  assert_int_equal(rig_put(r, "more", "value"), 0);
}

/* --- walking and emptying --- */

static int count_visit(void *user, const neap_entry *entry) {
  assert_true(neap_entry_key(entry).size > 0);
  return ++*(int *)user == 7 ? 7 : 0;
}

static int remove_visit(void *user, const neap_entry *entry) {
  return neap_cache_remove(((rig *)user)->cache, neap_entry_key(entry));
}

static void test_store_iterates_and_may_be_changed_meanwhile(void **state) {
  rig *r = *state;
  fill_with(r, 5, 10);
  int seen = 0;
  assert_int_equal(neap_cache_iterate(r->cache, count_visit, &seen), 0);
  assert_int_equal(seen, 5);
  fill_with(r, 100, 10);
  seen = 0;
  assert_int_equal(neap_cache_iterate(r->cache, count_visit, &seen), 7);
  assert_int_equal(neap_cache_iterate(r->cache, remove_visit, r), 0);
  assert_int_equal(rig_stats(r).entries, 0);
}

static void test_store_clear_removes_everything(void **state) {
  rig *r = *state;
  fill_with(r, 5000, 100);
  rig_put_ttl(r, "timed", "v", 1000);
  neap_cache_clear(r->cache);
  neap_cache_stats stats = rig_stats(r);
  assert_int_equal(stats.entries, 0);
  assert_int_equal(stats.memory_entries + stats.memory_retired + stats.memory_filling, 0);
  assert_int_equal(stats.removes, 5001);
  fill_with(r, 5000, 100);
  assert_true(rig_has(r, "key4999"));
}

static void test_store_marks_stay_with_the_entry_and_finding_counts_nothing(void **state) {
  rig *r = *state;
  const neap_entry *entry;
  neap_cache_stats before, after;
  neap_cache_put(r->cache, NEAP_BYTES("k"), NEAP_BYTES("v"), &(neap_put_options){.ttl_ms = 1000});
  neap_cache_stats_get(r->cache, &before);
  neap_cache_enter(r->cache);
  assert_int_equal(neap_store_find(r->cache, NEAP_BYTES("absent"), &entry), NEAP_ENOTFOUND);
  assert_int_equal(neap_store_find(r->cache, NEAP_BYTES("k"), &entry), 0);
  assert_false(neap_store_marked(entry));
  neap_store_mark(entry);
  neap_cache_leave(r->cache);
  neap_cache_stats_get(r->cache, &after);
  assert_int_equal(after.hits + after.misses, before.hits + before.misses);
  neap_cache_touch(r->cache, NEAP_BYTES("k"), 5000);
  neap_cache_enter(r->cache);
  assert_int_equal(neap_cache_get(r->cache, NEAP_BYTES("k"), &entry), 0);
  assert_true(neap_store_marked(entry));
  neap_cache_leave(r->cache);
  neap_cache_put(r->cache, NEAP_BYTES("k"), NEAP_BYTES("w"), NULL); /* another entry */
  neap_cache_enter(r->cache);
  assert_int_equal(neap_store_find(r->cache, NEAP_BYTES("k"), &entry), 0);
  assert_false(neap_store_marked(entry));
  neap_cache_leave(r->cache);
}

static void test_store_get_many_is_as_many_gets(void **state) {
  rig *r = *state;
  enum { KEYS = 53 }; /* not a multiple of what is looked up at once */
  static char names[KEYS][16], huge[NEAP_KEY_MAX + 1];
  neap_view keys[KEYS];
  const neap_entry *entries[KEYS];
  fill_with(r, KEYS, 10);
  rig_put_ttl(r, "key7", "v", 10);
  r->now_ms += 10;
  for (int i = 0; i < KEYS; i++) {
    snprintf(names[i], sizeof names[i], i == 20 ? "absent" : "key%d", i);
    keys[i] = neap_view_of(names[i]);
  }
  keys[0].size = 0;
  keys[KEYS - 1] = (neap_view){huge, sizeof huge};
  neap_cache_enter(r->cache);
  assert_int_equal(neap_cache_get_many(r->cache, keys, KEYS, entries), KEYS - 4);
  for (int i = 0; i < KEYS; i++) {
    const neap_entry *one = NULL;
    neap_cache_get(r->cache, keys[i], &one);
    assert_ptr_equal(entries[i], one);
  }
  assert_int_equal(neap_cache_get_many(r->cache, keys, 0, entries), 0);
  neap_cache_leave(r->cache);
  neap_cache_stats stats = rig_stats(r);
  assert_int_equal(stats.hits, 2 * (KEYS - 4));
  assert_int_equal(stats.misses, 2 * 2);
}

static void test_store_measures_latencies(void **state) {
  rig *r = *state;
  fill_with(r, 1000, 10);
  for (int i = 0; i < 10000; i++) rig_has(r, "key1");
  neap_cache_stats stats = rig_stats(r);
  assert_true(stats.get.count > 15 && stats.put.count > 0);
  assert_true(stats.get.p50_ns > 0 && stats.get.p50_ns <= stats.get.p99_ns);
  assert_true(stats.get.p99_ns <= stats.get.max_ns);
  assert_true(stats.hit_rate > 0.99);
  assert_string_equal(stats.policy, "lru");
  assert_int_equal(stats.generation, 1);
}

static void test_store_refuses_wrong_options(void **state) {
  rig *r = *state;
  neap_err err;
  neap_cache *cache = NULL;
  neap_cache_options options = rig_options();
  options.max_memory = 65535;
  assert_int_equal(neap_store_create(r->registry, &r->host, &options, NEAP_STORE_VALUES, &cache, &err),
                   NEAP_EINVAL);
  options.max_memory = 65536;
  options.max_object_size = 65537;
  assert_int_equal(neap_store_create(r->registry, &r->host, &options, NEAP_STORE_VALUES, &cache, &err),
                   NEAP_EINVAL);
  options.max_object_size = 0;
  options.victims = 129;
  assert_int_equal(neap_store_create(r->registry, &r->host, &options, NEAP_STORE_VALUES, &cache, &err),
                   NEAP_EINVAL);
  options.victims = 0;
  options.evict = "native:tide";
  assert_int_equal(neap_store_create(r->registry, &r->host, &options, NEAP_STORE_VALUES, &cache, &err),
                   NEAP_ENOTFOUND);
  options.evict = "";
  assert_int_equal(neap_store_create(r->registry, &r->host, &options, NEAP_STORE_VALUES, &cache, &err),
                   NEAP_EINVAL);
  assert_null(cache);
  assert_int_equal(
      neap_cache_put(r->cache, NEAP_BYTES("k"), NEAP_BYTES("v"), &(neap_put_options){.cost = -1}),
      NEAP_EINVAL);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      T(test_store_returns_what_was_put),
      T(test_store_removes),
      T(test_store_takes_keys_of_1_to_65535_bytes),
      T(test_store_borrows_between_enter_and_leave),
      T(test_store_references_outlive_eviction),
      T(test_store_says_when_a_buffer_is_too_small),
      T(test_store_expires_on_the_millisecond),
      T(test_store_replaces_an_expired_entry_of_any_version),
      T(test_store_touch_gives_a_new_time_to_live),
      T(test_store_touch_of_an_entry_without_ttl_can_make_it_expire),
      T(test_store_knows_all_fields_of_an_entry),
      T(test_store_counts_versions_up),
      T(test_store_evicts_the_least_recently_used),
      T(test_store_refuses_what_is_too_large_and_evicts_nothing),
      T(test_store_limits_can_be_changed_while_it_runs),
      T(test_store_lower_limits_wait_for_pinned_entries),
      T(test_store_stops_puts_not_readers_when_a_reader_stalls),
      T(test_store_iterates_and_may_be_changed_meanwhile),
      T(test_store_clear_removes_everything),
      T(test_store_marks_stay_with_the_entry_and_finding_counts_nothing),
      T(test_store_get_many_is_as_many_gets),
      T(test_store_measures_latencies),
      T(test_store_refuses_wrong_options),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
