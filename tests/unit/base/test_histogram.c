#include "unit.h"

#include "base/histogram.h"

static void test_histogram_quantiles_are_within_a_step(void **state) {
  (void)state;
  static neap_histogram h;
  for (uint64_t i = 1; i <= 100000; i++) neap_histogram_add(&h, i);
  assert_int_equal(neap_histogram_count(&h), 100000);
  const uint32_t ppm[] = {1000, 10000, 500000, 900000, 999000};
  for (size_t i = 0; i < sizeof ppm / sizeof ppm[0]; i++) {
    double exact = ppm[i] / 10.0, got = (double)neap_histogram_quantile(&h, ppm[i]);
    assert_true(got >= exact && got <= exact * 1.13);
  }
  assert_int_equal(neap_histogram_quantile(&h, 1000000), 100000);
}

static void test_histogram_keeps_small_values_exact_and_large_ones_in(void **state) {
  (void)state;
  static neap_histogram h;
  assert_int_equal(neap_histogram_quantile(&h, 500000), 0);
  neap_histogram_add(&h, 3);
  assert_int_equal(neap_histogram_quantile(&h, 500000), 3);
  neap_histogram_add(&h, UINT64_MAX);
  assert_int_equal(neap_histogram_quantile(&h, 500000), 3);
  assert_true(neap_histogram_quantile(&h, 1000000) > 1ull << 39);
}

static void test_histogram_merges(void **state) {
  (void)state;
  static neap_histogram a, b;
  for (int i = 0; i < 10; i++) neap_histogram_add(&a, 5), neap_histogram_add(&b, 1000);
  neap_histogram_merge(&a, &b);
  assert_int_equal(neap_histogram_count(&a), 20);
  assert_int_equal(neap_histogram_quantile(&a, 500000), 5);
  assert_int_equal(neap_histogram_quantile(&a, 1000000), 1000);
}

static void test_histogram_counts_what_is_above(void **state) {
  (void)state;
  static neap_histogram h;
  for (uint64_t i = 1; i <= 1000; i++) neap_histogram_add(&h, i);
  assert_int_equal(neap_histogram_count_above(&h, 0), 1000);
  assert_int_equal(neap_histogram_count_above(&h, 5), 995);
  assert_in_range(neap_histogram_count_above(&h, 500), 500 - 64, 500);
  assert_int_equal(neap_histogram_count_above(&h, 1000), 0);
  assert_int_equal(neap_histogram_count_above(&h, UINT64_MAX), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_histogram_quantiles_are_within_a_step),
      cmocka_unit_test(test_histogram_keeps_small_values_exact_and_large_ones_in),
      cmocka_unit_test(test_histogram_merges),
      cmocka_unit_test(test_histogram_counts_what_is_above),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
