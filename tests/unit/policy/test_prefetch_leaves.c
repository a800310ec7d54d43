/* What prefetch policies stand on: successors and runs. */
#include "unit.h"

#include <math.h>

#include "base/base.h"
#include "base/random.h"
#include "policy/policy.h"

/* --- successors --- */

static void learn(neap_assoc *assoc, const char *keys) {
  for (; *keys; keys++) neap_assoc_learn(assoc, *keys, 0);
}

static neap_assoc *assoc_of(int32_t rows, int32_t window) {
  neap_assoc *assoc;
  assert_int_equal(neap_assoc_create(rows, window, &assoc), 0);
  return assoc;
}

static void test_successors_are_ranked_by_how_often_they_followed(void **state) {
  (void)state;
  neap_assoc *assoc = assoc_of(64, 1);
  learn(assoc, "abxabxacxab");
  assert_true(neap_assoc_next(assoc, 'a', 0) == 'b');
  assert_true(neap_assoc_next(assoc, 'a', 1) == 'c');
  assert_true(neap_assoc_next(assoc, 'a', 2) == 0);
  assert_int_equal(neap_assoc_count(assoc, 'a', 0), 3);
  assert_true(fabs(neap_assoc_share(assoc, 'a', 0) - 0.75) < 1e-9);
  assert_true(neap_assoc_next(assoc, 'q', 0) == 0 && neap_assoc_share(assoc, 'q', 0) == 0);
  neap_assoc_destroy(&assoc);
}

static void test_a_window_reaches_further_back(void **state) {
  (void)state;
  neap_assoc *assoc = assoc_of(64, 2);
  learn(assoc, "abcabcabc");
  bool found = false;
  for (int32_t rank = 0; rank < 4; rank++) found = found || neap_assoc_next(assoc, 'a', rank) == 'c';
  assert_true(found);
  neap_assoc_destroy(&assoc);
}

static void test_streams_are_told_apart(void **state) {
  (void)state;
  neap_assoc *assoc = assoc_of(64, 1);
  for (int i = 0; i < 20; i++) {
    neap_assoc_learn(assoc, 'a' + i % 2, 1);
    neap_assoc_learn(assoc, 'x' + i % 2, 2);
  }
  assert_true(neap_assoc_next(assoc, 'a', 0) == 'b');
  assert_true(neap_assoc_next(assoc, 'a', 1) == 0);
  assert_true(neap_assoc_next(assoc, 'x', 0) == 'y');
  neap_assoc_destroy(&assoc);
}

static void test_what_follows_now_overcomes_what_followed_once(void **state) {
  (void)state;
  neap_assoc *assoc = assoc_of(64, 1);
  for (int i = 0; i < 200; i++) learn(assoc, "ab");
  for (int i = 0; i < 200; i++) learn(assoc, "ac");
  assert_true(neap_assoc_next(assoc, 'a', 0) == 'c');
  neap_assoc_destroy(&assoc);
}

static void test_memory_is_bounded_whatever_comes(void **state) {
  (void)state;
  neap_assoc *assoc = assoc_of(1000, 4);
  size_t before = neap_assoc_memory(assoc);
  static const double odd[] = {0, -1, 0.5, 0x1p53, -0x1p60, INFINITY, -INFINITY, NAN};
  neap_random random = {1};
  for (int i = 0; i < 200000; i++) {
    double hash = i % 7 ? (double)(neap_random_next(&random) >> 11) : odd[i % 8];
    neap_assoc_learn(assoc, hash, i % 5 ? (double)(i % 3000) : odd[i % 8]);
    for (int32_t rank = -1; rank < 6; rank++) {
      double share = neap_assoc_share(assoc, hash, rank);
      assert_true(share >= 0 && share <= 1);
      neap_assoc_next(assoc, odd[i % 8], INT32_MAX);
    }
  }
  assert_int_equal(neap_assoc_memory(assoc), before);
  assert_true(before < 256 * 1024);
  neap_assoc_destroy(&assoc);
  neap_assoc_destroy(&assoc);
}

static void test_a_frequent_key_is_not_pushed_out_by_strangers(void **state) {
  (void)state;
  neap_assoc *assoc = assoc_of(64, 1);
  neap_random random = {1};
  int kept = 0;
  for (int i = 0; i < 4000; i++) {
    learn(assoc, "ab");
    neap_assoc_learn(assoc, (double)(neap_random_next(&random) >> 11), 0);
    kept += i >= 2000 && neap_assoc_next(assoc, 'a', 0) == 'b';
  }
  assert_true(kept > 1900);
  neap_assoc_destroy(&assoc);
}

static void test_sizes_that_are_none_are_refused(void **state) {
  (void)state;
  neap_assoc *assoc;
  assert_int_equal(neap_assoc_create(0, 1, &assoc), NEAP_EINVAL);
  assert_int_equal(neap_assoc_create(INT32_MAX, 1, &assoc), NEAP_EINVAL);
  assert_int_equal(neap_assoc_create(64, 0, &assoc), NEAP_EINVAL);
  assert_int_equal(neap_assoc_create(64, 5, &assoc), NEAP_EINVAL);
  neap_runs *runs;
  assert_int_equal(neap_runs_create(0, 10, &runs), NEAP_EINVAL);
  assert_int_equal(neap_runs_create(1 << 20, 10, &runs), NEAP_EINVAL);
  assert_int_equal(neap_runs_create(4, NAN, &runs), NEAP_EINVAL);
}

/* --- runs --- */

static neap_runs *runs_of(int32_t count, double reach) {
  neap_runs *runs;
  assert_int_equal(neap_runs_create(count, reach, &runs), 0);
  return runs;
}

static void test_interleaved_runs_are_followed_each_with_its_distance(void **state) {
  (void)state;
  neap_runs *runs = runs_of(8, 1000);
  int32_t up = -1, down = -1;
  for (int i = 0; i < 10; i++) {
    up = neap_runs_observe(runs, 1, 5000000 + 128 * i);
    down = neap_runs_observe(runs, 1, -3 * i);
    neap_runs_observe(runs, 2, 5000001 + 128 * i); /* other keys */
  }
  assert_int_equal(neap_runs_length(runs, up), 9);
  assert_true(neap_runs_stride(runs, up) == 128);
  assert_true(neap_runs_stride(runs, down) == -3);
  assert_true(neap_runs_ahead(runs, up) == 5000000 + 128 * 9);
  neap_runs_set_ahead(runs, up, 5000000 + 128 * 20);
  assert_true(neap_runs_ahead(runs, up) == 5000000 + 128 * 20);
  neap_runs_destroy(&runs);
}

static void test_steps_that_were_in_the_cache_are_bridged(void **state) {
  (void)state;
  neap_runs *runs = runs_of(8, 1000);
  int32_t run = -1;
  for (int i = 0; i < 5; i++) run = neap_runs_observe(runs, 1, i);
  assert_int_equal(neap_runs_observe(runs, 1, 12), run);
  assert_int_equal(neap_runs_observe(runs, 1, 21), -1); /* nine steps are another run */
  neap_runs_destroy(&runs);
}

static void test_the_oldest_run_makes_room(void **state) {
  (void)state;
  neap_runs *runs = runs_of(2, 10);
  for (int i = 0; i < 5; i++) neap_runs_observe(runs, 1, i);
  for (int i = 0; i < 5; i++) neap_runs_observe(runs, 1, 1000 + i);
  neap_runs_observe(runs, 1, 5000);
  assert_int_equal(neap_runs_observe(runs, 1, 5), -1); /* forgotten */
  neap_runs_destroy(&runs);
}

static void test_odd_numbers_are_no_runs(void **state) {
  (void)state;
  neap_runs *runs = runs_of(4, 0x1p40);
  static const double odd[] = {NAN, INFINITY, -INFINITY, 0x1p53, -0x1p53, 0x1p1000};
  for (int i = 0; i < 60; i++) {
    assert_int_equal(neap_runs_observe(runs, i % 3 ? 1 : NAN, odd[i % 6]), -1);
    neap_runs_set_ahead(runs, i - 30, odd[i % 6]);
    assert_int_equal(neap_runs_length(runs, i - 90), 0);
    assert_true(neap_runs_ahead(runs, INT32_MAX) == 0);
  }
  for (int i = 0; i < 5; i++) assert_int_equal(neap_runs_observe(runs, 1, 7), -1); /* the same again */
  neap_runs_destroy(&runs);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_successors_are_ranked_by_how_often_they_followed),
      cmocka_unit_test(test_a_window_reaches_further_back),
      cmocka_unit_test(test_streams_are_told_apart),
      cmocka_unit_test(test_what_follows_now_overcomes_what_followed_once),
      cmocka_unit_test(test_memory_is_bounded_whatever_comes),
      cmocka_unit_test(test_a_frequent_key_is_not_pushed_out_by_strangers),
      cmocka_unit_test(test_sizes_that_are_none_are_refused),
      cmocka_unit_test(test_interleaved_runs_are_followed_each_with_its_distance),
      cmocka_unit_test(test_steps_that_were_in_the_cache_are_bridged),
      cmocka_unit_test(test_the_oldest_run_makes_room),
      cmocka_unit_test(test_odd_numbers_are_no_runs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
