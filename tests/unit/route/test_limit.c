/* Rate limits: what a bucket gives, when it is full again, and what keys without number can do. */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"
#include "route/route.h"

static neap_limiter *make(void) {
  neap_limiter *limiter = NULL;
  assert_int_equal(neap_limiter_create(7, &limiter), 0);
  return limiter;
}

/* How many of `count` requests at `now_ms` are let through. */
static int let_through(neap_limiter *limiter, uint64_t hash, double rate, double burst, uint64_t now_ms,
                       int count) {
  int passed = 0;
  for (int i = 0; i < count; i++) passed += neap_limiter_take(limiter, hash, rate, burst, now_ms) == 0;
  return passed;
}

static void test_a_burst_then_the_rate(void **state) {
  (void)state;
  neap_limiter *limiter = make();
  assert_int_equal(let_through(limiter, 1, 10, 5, 0, 20), 5);
  assert_int_equal(let_through(limiter, 1, 10, 5, 99, 20), 0);
  assert_int_equal(let_through(limiter, 1, 10, 5, 100, 20), 1);
  assert_int_equal(let_through(limiter, 1, 10, 5, 400, 20), 3);
  assert_int_equal(let_through(limiter, 1, 10, 5, 100000, 20), 5);
  neap_limiter_destroy(&limiter);
}

static void test_the_rate_holds_over_time(void **state) {
  (void)state;
  neap_limiter *limiter = make();
  int passed = 0;
  for (uint64_t now_ms = 0; now_ms < 60000; now_ms++) passed += let_through(limiter, 9, 250, 10, now_ms, 2);
  assert_in_range(passed, 60 * 250, 60 * 250 + 10);
  neap_limiter_destroy(&limiter);
}

static void test_a_refusal_tells_when_there_will_be_a_token(void **state) {
  (void)state;
  neap_limiter *limiter = make();
  assert_int_equal(neap_limiter_take(limiter, 1, 0.5, 1, 1000), 0);
  uint64_t wait_ms = neap_limiter_take(limiter, 1, 0.5, 1, 1000);
  assert_int_equal(wait_ms, 2000);
  assert_int_equal(neap_limiter_take(limiter, 1, 0.5, 1, 1000 + wait_ms - 1), 1);
  assert_int_equal(neap_limiter_take(limiter, 1, 0.5, 1, 1000 + wait_ms), 0);
  neap_limiter_destroy(&limiter);
}

static void test_keys_do_not_disturb_each_other(void **state) {
  (void)state;
  neap_limiter *limiter = make();
  for (uint64_t key = 0; key < 20000; key++) assert_int_equal(let_through(limiter, key * 977, 1, 2, 5, 3), 2);
  assert_in_range(neap_limiter_shared(limiter), 0, 20);
  neap_limiter_destroy(&limiter);
}

/* More keys than buckets: the sum of what passes stays bounded by the table, and nobody gets more than his
 * own. */
static void test_keys_without_number_make_limits_stricter_never_looser(void **state) {
  (void)state;
  neap_limiter *limiter = make();
  int passed = 0;
  for (uint64_t key = 0; key < 20 * NEAP_LIMITER_BUCKETS; key++)
    passed += neap_limiter_take(limiter, key, 0.001, 1, 5) == 0;
  assert_in_range(passed, NEAP_LIMITER_BUCKETS / 2, NEAP_LIMITER_BUCKETS);
  assert_true(neap_limiter_shared(limiter) > 0);
  assert_int_equal(let_through(limiter, 1, 0.001, 1, 2000000, 5), 1); /* later all of it is forgotten */
  neap_limiter_destroy(&limiter);
}

static void test_odd_rates_and_bursts(void **state) {
  (void)state;
  neap_limiter *limiter = make();
  assert_int_equal(let_through(limiter, 1, 1e9, 1e9, 0, 1000), 1000);
  assert_int_equal(let_through(limiter, 2, 1e-12, 1, 0, 3), 1);
  assert_int_equal(let_through(limiter, 3, 1e-12, 1e9, 0, 3), 2); /* a debt is at most 1e17 ns */
  assert_int_equal(let_through(limiter, 4, 1, 0, 0, 3), 1);
  neap_limiter_destroy(&limiter);
}

/* --- threads */

typedef struct crowd {
  neap_limiter *limiter;
  _Atomic int passed;
} crowd;

static void *push(void *user) {
  crowd *c = user;
  int passed = let_through(c->limiter, 42, 0.001, 1000, 5, 2000);
  atomic_fetch_add(&c->passed, passed);
  return NULL;
}

static void test_threads_share_a_bucket_exactly(void **state) {
  (void)state;
  crowd c = {.limiter = make()};
  pthread_t threads[4];
  let_through(c.limiter, 42, 0.001, 1000, 5, 1); /* its place is taken: see limit.c */
  for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, push, &c), 0);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  assert_int_equal(c.passed, 999);
  neap_limiter_destroy(&c.limiter);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_burst_then_the_rate),
      cmocka_unit_test(test_the_rate_holds_over_time),
      cmocka_unit_test(test_a_refusal_tells_when_there_will_be_a_token),
      cmocka_unit_test(test_keys_do_not_disturb_each_other),
      cmocka_unit_test(test_keys_without_number_make_limits_stricter_never_looser),
      cmocka_unit_test(test_odd_rates_and_bursts),
      cmocka_unit_test(test_threads_share_a_bucket_exactly),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
