/* The table of targets: found by hash, bounded, and what a number in a target can be exchanged for. */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <sys/types.h>

#include "base/base.h"
#include "neap/cache.h"
#include "server/targets.h"

static const neap_hash_key key = {1, 2, 3};

static neap_targets *make(uint64_t memory) {
  neap_targets *targets;
  assert_int_equal(neap_targets_create(memory, &key, &targets), 0);
  return targets;
}

static neap_target *note(neap_targets *targets, const char *target) {
  return neap_targets_note(targets, NEAP_BYTES("a.example"), neap_view_of(target), NEAP_BYTES("gzip"));
}

static uint64_t hash_of(const neap_targets *targets, const char *target) {
  return neap_targets_hash(targets, NEAP_BYTES("a.example"), neap_view_of(target));
}

static void expect(neap_view view, const char *text) {
  assert_int_equal(view.size, strlen(text));
  assert_memory_equal(view.ptr, text, view.size);
}

static void test_a_target_is_found_by_either_hash(void **state) {
  (void)state;
  neap_targets *targets = make(1 << 20);
  uint64_t hash = note(targets, "/a?b")->hash;
  assert_int_equal(hash, hash_of(targets, "/a?b"));
  assert_int_equal(hash, neap_targets_hash(targets, NEAP_BYTES("A.Example"), NEAP_BYTES("/a?b")));
  assert_int_not_equal(hash, neap_targets_hash(targets, NEAP_BYTES("a.example:1"), NEAP_BYTES("/a?b")));
  neap_target *row = neap_targets_find(targets, hash);
  assert_non_null(row);
  assert_ptr_equal(row, neap_targets_find_short(targets, (double)(hash >> 11)));
  assert_ptr_equal(row, note(targets, "/a?b"));
  expect(neap_target_host(row), "a.example");
  expect(neap_target_target(row), "/a?b");
  expect(neap_target_encoding(row), "gzip");
  expect(neap_target_key(row), "");
  neap_targets_set_keys(targets, row, NEAP_BYTES("key"), NEAP_BYTES(""));
  expect(neap_target_stored(row), "key");
  neap_targets_set_keys(targets, row, NEAP_BYTES("key"), NEAP_BYTES("variant"));
  expect(neap_target_stored(row), "variant");
  neap_targets_note(targets, NEAP_BYTES("a.example"), NEAP_BYTES("/a?b"), NEAP_BYTES("br"));
  expect(neap_target_encoding(row), "br");
  neap_targets_note(targets, NEAP_BYTES("a.example"), NEAP_BYTES("/a?b"), NEAP_BYTES(""));
  expect(neap_target_encoding(row), "br");
  expect(neap_target_key(row), "key");
  assert_int_equal(neap_targets_count(targets), 1);
  neap_targets_destroy(&targets);
  assert_null(targets);
}

static void test_hashes_that_policies_make_up_find_nothing(void **state) {
  (void)state;
  static const double odd[] = {0, -1, 0.5, 0x1p53, 1e300, -1e300, 1};
  neap_targets *targets = make(1 << 20);
  note(targets, "/a");
  for (size_t i = 0; i < NEAP_COUNT_OF(odd); i++) assert_null(neap_targets_find_short(targets, odd[i]));
  assert_null(neap_targets_find_short(targets, (double)NAN));
  neap_targets_destroy(&targets);
}

static void on_gone(void *user, neap_target *target) {
  assert_true(target->hash != 0);
  ++*(int *)user;
}

static void test_memory_is_bounded_and_the_oldest_give_way(void **state) {
  (void)state;
  neap_targets *targets = make(1 << 16);
  int gone = 0;
  neap_targets_on_gone(targets, on_gone, &gone);
  char target[2048];
  memset(target, 'x', sizeof target);
  int noted = 0;
  for (int i = 0; i < 5000; i++) {
    snprintf(target, sizeof target, "/%0*d", 10 + i * 7 % 1500, i);
    noted += note(targets, target) != NULL;
    assert_true(neap_targets_memory(targets) <= 1 << 16);
  }
  assert_int_equal(noted, 5000);
  assert_int_equal(gone, 5000 - (int)neap_targets_count(targets));
  assert_non_null(neap_targets_find(targets, hash_of(targets, target)));
  assert_null(neap_targets_find(targets, hash_of(targets, "/0000000000")));
  neap_targets_destroy(&targets);
}

static void test_what_is_held_stays(void **state) {
  (void)state;
  neap_targets *targets = make(1 << 16);
  neap_target *held = note(targets, "/held");
  uint64_t hash = held->hash;
  held->pins = 1;
  char target[512];
  for (int i = 0; i < 5000; i++) {
    snprintf(target, sizeof target, "/%0400d", i);
    note(targets, target);
  }
  assert_ptr_equal(neap_targets_find(targets, hash), held);
  expect(neap_target_target(held), "/held");
  neap_targets_destroy(&targets);
}

static void test_a_text_that_is_too_long_is_not_taken(void **state) {
  (void)state;
  neap_targets *targets = make(1 << 20);
  char *text = calloc(1, 5001);
  memset(text, 'x', 5000);
  text[0] = '/';
  assert_null(note(targets, text));
  neap_target *row = note(targets, "/a");
  neap_targets_set_keys(targets, row, NEAP_BYTES("key"), NEAP_BYTES(""));
  neap_targets_set_keys(targets, row, neap_view_of(text), NEAP_BYTES(""));
  expect(neap_target_key(row), "key"); /* as it was */
  free(text);
  neap_targets_destroy(&targets);
}

static void test_all_moves_to_another_size(void **state) {
  (void)state;
  neap_targets *targets = make(1 << 20), *small = make(1 << 16), *large = make(1 << 22);
  int gone = 0;
  neap_targets_on_gone(small, on_gone, &gone);
  char target[128];
  for (int i = 0; i < 1000; i++) {
    snprintf(target, sizeof target, "/%0100d", i);
    neap_target *row = note(targets, target);
    neap_targets_set_keys(targets, row, NEAP_BYTES("key"), NEAP_BYTES("v"));
    row->size = 7, row->shelved = true;
  }
  size_t count = neap_targets_count(targets);
  neap_targets_move(large, &targets);
  assert_null(targets);
  assert_int_equal(neap_targets_count(large), count);
  neap_target *row = neap_targets_find(large, hash_of(large, target));
  assert_int_equal(row->size, 7);
  assert_true(row->shelved);
  expect(neap_target_stored(row), "v");
  neap_targets_move(small, &large);
  assert_true(neap_targets_memory(small) <= 1 << 16);
  assert_int_equal(gone + (int)neap_targets_count(small), (int)count);
  neap_targets_destroy(&small);
}

static void expect_number(const char *target, double number, const char *expected) {
  char out[64];
  ssize_t size = neap_target_renumber(neap_view_of(target), number, out, sizeof out);
  if (expected == NULL) {
    assert_true(size < 0);
    return;
  }
  if (size < 0 || strcmp(out, expected) != 0) fail_msg("%s with %g became %s", target, number, out);
}

static void test_the_last_number_is_exchanged(void **state) {
  (void)state;
  neap_target_number number;
  assert_true(neap_target_number_of(NEAP_BYTES("/v2/page/17.html"), &number));
  assert_true(number.value == 17 && number.size == 2 && number.at == 9);
  expect_number("/v2/page/17.html", 18, "/v2/page/18.html");
  expect_number("/page/9", 10, "/page/10");
  expect_number("/page/009", 10, "/page/010");
  expect_number("/part/099", 1000, "/part/1000");
  expect_number("/a?offset=0&n", 20, "/a?offset=20&n");
  expect_number("/a", 1, NULL);
  expect_number("/a/1", -1, NULL);
  expect_number("/a/1", 1.5, NULL);
  expect_number("/a/1", 1e15, NULL);
  expect_number("/a/1", (double)NAN, NULL);
  expect_number("/a/1234567890123456", 1, NULL); /* rather a name than a number */
  expect_number("/a/123456789012345", 123456789012346, "/a/123456789012346");
  char small[4];
  assert_int_equal(neap_target_renumber(NEAP_BYTES("/a/1"), 2, small, sizeof small), NEAP_ESMALL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_target_is_found_by_either_hash),
      cmocka_unit_test(test_hashes_that_policies_make_up_find_nothing),
      cmocka_unit_test(test_memory_is_bounded_and_the_oldest_give_way),
      cmocka_unit_test(test_what_is_held_stays),
      cmocka_unit_test(test_a_text_that_is_too_long_is_not_taken),
      cmocka_unit_test(test_all_moves_to_another_size),
      cmocka_unit_test(test_the_last_number_is_exchanged),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
