#include "unit.h"

#include "base/base.h"
#include "base/timing.h"

static void test_values_on_an_edge_count_below_it(void **state) {
  (void)state;
  neap_timing timing = {0};
  neap_timing_sum sum = {0};
  neap_timing_add(&timing, 0);
  neap_timing_add(&timing, 100);
  neap_timing_add(&timing, 101);
  neap_timing_add_shared(&timing, 30000000);
  neap_timing_add_shared(&timing, 30000001);
  neap_timing_gather(&sum, &timing);
  assert_int_equal(sum.cells[0], 2);
  assert_int_equal(sum.cells[1], 1);
  assert_int_equal(sum.cells[NEAP_TIMING_EDGE_COUNT - 1], 1);
  assert_int_equal(sum.cells[NEAP_TIMING_EDGE_COUNT], 1);
  assert_int_equal(sum.count, 5);
  assert_int_equal(sum.sum_us, 60000202);
}

static void test_quantiles_lie_within_their_cell(void **state) {
  (void)state;
  neap_timing timing = {0};
  neap_timing_sum sum = {0};
  assert_true(neap_timing_quantile_us(&sum, 0.5) == 0);
  for (int i = 0; i < 90; i++) neap_timing_add(&timing, 700);
  for (int i = 0; i < 10; i++) neap_timing_add(&timing, 40000);
  neap_timing_gather(&sum, &timing);
  double median = neap_timing_quantile_us(&sum, 0.5), tail = neap_timing_quantile_us(&sum, 0.99);
  assert_true(median > 500 && median <= 1000);
  assert_true(tail > 25000 && tail <= 50000);
  neap_timing_add(&timing, UINT32_MAX);
  sum = (neap_timing_sum){0};
  neap_timing_gather(&sum, &timing);
  assert_true(neap_timing_quantile_us(&sum, 1) == 30000000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_values_on_an_edge_count_below_it),
      cmocka_unit_test(test_quantiles_lie_within_their_cell),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
