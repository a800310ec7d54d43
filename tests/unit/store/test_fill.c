/* Puts in parts, large bodies, and an allocator that fails. */
#include "rig.h"

static int set_up(void **state) {
  static rig r;
  rig_init(&r);
  neap_cache_options options = rig_options();
  options.max_memory = 8u << 20;
  options.max_object_size = 3u << 20;
  rig_open(&r, &options);
  *state = &r;
  return 0;
}

static int tear_down(void **state) {
  rig_fini(*state);
  return 0;
}

static char bytes[4u << 20];

/* Puts `size` bytes under `key`, `part` bytes at a time. */
static int put_parts(rig *r, const char *key, size_t size, size_t part, uint64_t length, neap_entry **out) {
  neap_fill *fill = NULL;
  int rc = neap_cache_put_begin(r->cache, neap_view_of(key), length, NULL, &fill);
  if (rc) return rc;
  for (size_t at = 0; at < size; at += part) {
    rc = neap_fill_append(fill, (neap_view){bytes + at, NEAP_MIN(part, size - at)});
    if (rc == 0) continue;
    assert_int_equal(neap_fill_append(fill, NEAP_BYTES("x")), NEAP_ESTATE); /* only abort is allowed */
    neap_fill_abort(&fill);
    assert_null(fill);
    return rc;
  }
  rc = neap_fill_commit(&fill, out);
  assert_null(fill);
  return rc;
}

static void expect_bytes(const neap_entry *entry, size_t size) {
  neap_view piece;
  size_t at = 0;
  for (size_t i = 0; (piece = neap_entry_piece(entry, i)).size > 0; at += piece.size, i++)
    assert_memory_equal(piece.ptr, bytes + at, piece.size);
  assert_int_equal(at, size);
  assert_int_equal(neap_entry_size(entry), size);
}

static void test_fill_stores_bodies_of_any_size_in_any_parts(void **state) {
  rig *r = *state;
  const size_t sizes[] = {0, 1, 4096, 4097, 65535, 65536, 65537, 262144, 262145, 1000000, 2500000};
  const size_t parts[] = {17, 4096, 100000, 4000000};
  rig_bytes(bytes, sizeof bytes, 9);
  for (size_t i = 0; i < NEAP_COUNT_OF(sizes); i++)
    for (size_t j = sizes[i] > 70000 ? 1 : 0; j < NEAP_COUNT_OF(parts); j++)
      for (int known = 0; known < 2; known++) {
        neap_entry *entry = NULL;
        uint64_t length = known ? sizes[i] : NEAP_LENGTH_UNKNOWN;
        assert_int_equal(put_parts(r, "body", sizes[i], parts[j], length, &entry), 0);
        expect_bytes(entry, sizes[i]);
        if (known && sizes[i] <= 65536) assert_int_equal(neap_entry_piece(entry, 0).size, sizes[i]);
        neap_entry_unref(r->cache, entry);
        assert_int_equal(rig_stats(r).memory_filling, 0);
        assert_true(rig_stats(r).memory <= rig_stats(r).max_memory);
      }
}

static void test_fill_charges_no_more_than_the_bytes_allocated(void **state) {
  rig *r = *state;
  neap_entry *entry;
  assert_int_equal(put_parts(r, "k", 100000, 1000, NEAP_LENGTH_UNKNOWN, &entry), 0);
  neap_entry_info info;
  neap_entry_info_get(r->cache, entry, &info);
  assert_in_range(info.charged, 100000, 140000);
  assert_int_equal(info.charged, rig_stats(r).memory_entries);
  neap_entry_unref(r->cache, entry);
}

static void test_fill_is_invisible_until_commit(void **state) {
  rig *r = *state;
  neap_fill *fill;
  rig_put(r, "k", "old");
  assert_int_equal(neap_cache_put_begin(r->cache, NEAP_BYTES("k"), 3, NULL, &fill), 0);
  assert_int_equal(neap_fill_append(fill, NEAP_BYTES("new")), 0);
  rig_expect(r, "k", "old");
  assert_true(rig_stats(r).memory_filling > 0);
  neap_fill_abort(&fill);
  rig_expect(r, "k", "old");
  assert_int_equal(rig_stats(r).memory_filling, 0);
  assert_int_equal(rig_stats(r).aborted_fills, 1);
}

static void test_fill_must_have_the_announced_length(void **state) {
  rig *r = *state;
  assert_int_equal(put_parts(r, "short", 99, 99, 100, NULL), NEAP_ELENGTH);
  assert_int_equal(put_parts(r, "long", 101, 101, 100, NULL), NEAP_ELENGTH);
  assert_int_equal(put_parts(r, "short", 99999, 50000, 100000, NULL), NEAP_ELENGTH);
  assert_int_equal(rig_stats(r).entries, 0);
}

static void test_fill_too_large_is_refused_as_early_as_it_is_known(void **state) {
  rig *r = *state;
  neap_fill *fill = NULL;
  assert_int_equal(neap_cache_put_begin(r->cache, NEAP_BYTES("k"), 3u << 20, NULL, &fill), NEAP_ETOOLARGE);
  assert_int_equal(neap_cache_put_begin(r->cache, NEAP_BYTES("k"), UINT64_MAX - 1, NULL, &fill),
                   NEAP_ETOOLARGE);
  assert_null(fill);
  assert_int_equal(put_parts(r, "k", sizeof bytes, 65536, NEAP_LENGTH_UNKNOWN, NULL), NEAP_ETOOLARGE);
  assert_int_equal(rig_stats(r).rejected_size, 3);
  assert_int_equal(rig_stats(r).memory_filling, 0);
}

static void test_fill_of_a_removed_key_counts_again(void **state) {
  rig *r = *state;
  assert_int_equal(neap_cache_set_limits(r->cache, 2, 0, 0), 0);
  rig_put(r, "a", "1");
  neap_fill *fill;
  assert_int_equal(neap_cache_put_begin(r->cache, NEAP_BYTES("a"), 1, NULL, &fill), 0);
  neap_cache_remove(r->cache, NEAP_BYTES("a"));
  rig_put(r, "b", "2");
  rig_put(r, "c", "3");
  assert_int_equal(neap_fill_append(fill, NEAP_BYTES("x")), 0);
  assert_int_equal(neap_fill_commit(&fill, NULL), 0);
  rig_expect(r, "a", "x");
  assert_int_equal(rig_stats(r).entries, 2);
}

static void test_fill_of_a_key_put_meanwhile_counts_once(void **state) {
  rig *r = *state;
  neap_fill *fill;
  assert_int_equal(neap_cache_put_begin(r->cache, NEAP_BYTES("a"), 1, NULL, &fill), 0);
  rig_put(r, "a", "1");
  assert_int_equal(neap_fill_append(fill, NEAP_BYTES("x")), 0);
  assert_int_equal(neap_fill_commit(&fill, NULL), 0);
  neap_cache_set_limits(r->cache, 2, 0, 0);
  rig_put(r, "b", "2");
  assert_true(rig_has(r, "a") && rig_has(r, "b"));
}

/* --- an allocator that fails at every n-th call --- */

static int one_of_each(rig *r) {
  int rc = 0, step;
  if ((step = rig_put(r, "small", "value"))) rc = step;
  if ((step = put_parts(r, "known", 300000, 50000, 300000, NULL))) rc = step;
  if ((step = put_parts(r, "unknown", 300000, 50000, NEAP_LENGTH_UNKNOWN, NULL))) rc = step;
  if ((step = put_parts(r, "settled", 3000, 1000, NEAP_LENGTH_UNKNOWN, NULL))) rc = step;
  return rc;
}

static void test_fill_out_of_memory_loses_nothing(void **state) {
  rig *r = *state;
  rig_bytes(bytes, sizeof bytes, 4);
  int failures = 0;
  for (int64_t n = 0; n < 60; n++) {
    atomic_store(&r->fail_after, n);
    int rc = one_of_each(r);
    atomic_store(&r->fail_after, -1);
    if (rc) assert_int_equal(rc, NEAP_ENOMEM);
    failures += rc != 0;
    neap_cache_stats stats = rig_stats(r);
    assert_int_equal(stats.memory_filling, 0);
    assert_int_equal(stats.memory, stats.memory_entries + stats.memory_retired + stats.memory_tables);
    assert_int_equal(one_of_each(r), 0);
    rig_expect(r, "small", "value");
  }
  assert_true(failures >= 10);
  neap_cache_clear(r->cache);
  assert_int_equal(rig_stats(r).memory_entries, 0);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      T(test_fill_stores_bodies_of_any_size_in_any_parts),
      T(test_fill_charges_no_more_than_the_bytes_allocated),
      T(test_fill_is_invisible_until_commit),
      T(test_fill_must_have_the_announced_length),
      T(test_fill_too_large_is_refused_as_early_as_it_is_known),
      T(test_fill_of_a_removed_key_counts_again),
      T(test_fill_of_a_key_put_meanwhile_counts_once),
      T(test_fill_out_of_memory_loses_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
