#include "unit.h"

#include "sim/uniques.h"

static void test_each_key_counts_once_with_its_first_size(void **state) {
  (void)state;
  neap_uniques uniques = {0};
  assert_int_equal(neap_uniques_add(&uniques, 5, 100), 0);
  assert_int_equal(neap_uniques_add(&uniques, 5, 7), 0);
  assert_int_equal(neap_uniques_add(&uniques, 0, 10), 0);
  assert_int_equal(neap_uniques_add(&uniques, 0, 20), 0);
  assert_int_equal(neap_uniques_add(&uniques, UINT64_MAX, 1), 0);
  assert_int_equal(neap_uniques_count(&uniques), 3);
  assert_int_equal(uniques.bytes, 111);
  neap_uniques_fini(&uniques);
  assert_int_equal(neap_uniques_count(&uniques), 0);
}

static void test_many_keys_are_counted_exactly(void **state) {
  (void)state;
  neap_uniques uniques = {0};
  for (int round = 0; round < 2; round++)
    for (uint64_t key = 0; key < 100000; key++) neap_uniques_add(&uniques, key << 20, 1);
  assert_int_equal(neap_uniques_count(&uniques), 100000);
  assert_int_equal(uniques.bytes, 100000);
  neap_uniques_fini(&uniques);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_key_counts_once_with_its_first_size),
      cmocka_unit_test(test_many_keys_are_counted_exactly),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
