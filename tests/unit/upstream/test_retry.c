/* Budgets of retries and second copies, and when a copy is due. */
#include "unit.h"

#include "upstream/retry.h"

static int allowed(neap_retry *retry, uint64_t now_ms, int asked) {
  int count = 0;
  for (int i = 0; i < asked; i++) count += neap_retry_may(retry, now_ms);
  return count;
}

static void test_an_idle_pool_may_retry_ten_a_second(void **state) {
  (void)state;
  neap_pool_options options = {.retry_budget = 0.2};
  neap_retry retry = {0};
  assert_int_equal(neap_retry_init(&retry, &options), 0);
  assert_int_equal(allowed(&retry, 1000, 100), 10);
  assert_int_equal(allowed(&retry, 1000, 100), 0);
  assert_int_equal(allowed(&retry, 1500, 100), 5);
  assert_int_equal(allowed(&retry, 99000, 100), 10); /* they are not saved up */
  neap_retry_fini(&retry);
}

static void test_requests_earn_a_share(void **state) {
  (void)state;
  neap_pool_options options = {.retry_budget = 0.2};
  neap_retry retry = {0};
  assert_int_equal(neap_retry_init(&retry, &options), 0);
  allowed(&retry, 1000, 100);
  for (int i = 0; i < 200; i++) neap_retry_arrived(&retry, &options);
  assert_in_range(allowed(&retry, 1000, 1000), 39, 40);
  for (int i = 0; i < 100000; i++) neap_retry_arrived(&retry, &options);
  assert_in_range(allowed(&retry, 1000, 1000), 99, 100); /* a bound to what a quiet day saves */
  neap_retry_fini(&retry);
}

static void test_a_fixed_delay_needs_no_samples(void **state) {
  (void)state;
  neap_pool_options options = {.hedge_delay_ms = 30, .hedge_budget = 0.5};
  neap_retry retry = {0};
  assert_int_equal(neap_retry_init(&retry, &options), 0);
  assert_int_equal(neap_retry_hedge_ms(&retry, &options, 1000), 30);
  assert_false(neap_retry_may_hedge(&retry));
  neap_retry_arrived(&retry, &options);
  neap_retry_arrived(&retry, &options);
  assert_true(neap_retry_may_hedge(&retry));
  assert_false(neap_retry_may_hedge(&retry));
  neap_retry_fini(&retry);
}

static void test_a_percentile_waits_for_samples_and_follows_them(void **state) {
  (void)state;
  neap_pool_options options = {.hedge_percentile = 0.95, .hedge_budget = 0.05};
  neap_retry retry = {0};
  assert_int_equal(neap_retry_init(&retry, &options), 0);
  for (int i = 0; i < 99; i++) neap_retry_answered(&retry, 1000, 20000);
  assert_int_equal(neap_retry_hedge_ms(&retry, &options, 20000), 0);
  for (int i = 0; i < 901; i++) neap_retry_answered(&retry, i < 20 ? 80000 : 10000, 20000);
  assert_in_range(neap_retry_hedge_ms(&retry, &options, 21000), 10, 12);
  for (int i = 0; i < 1000; i++) neap_retry_answered(&retry, 50000, 31000);
  assert_in_range(neap_retry_hedge_ms(&retry, &options, 31000), 50, 55);
  for (int i = 0; i < 200; i++) neap_retry_answered(&retry, 2000, 42000);
  for (int i = 0; i < 200; i++) neap_retry_answered(&retry, 2000, 53000); /* both windows are new */
  assert_in_range(neap_retry_hedge_ms(&retry, &options, 53000), 2, 4);
  neap_retry_fini(&retry);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_an_idle_pool_may_retry_ten_a_second),
      cmocka_unit_test(test_requests_earn_a_share),
      cmocka_unit_test(test_a_fixed_delay_needs_no_samples),
      cmocka_unit_test(test_a_percentile_waits_for_samples_and_follows_them),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
