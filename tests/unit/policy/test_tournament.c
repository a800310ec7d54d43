#include "unit.h"

#include <math.h>

#include "base/random.h"
#include "policy/tournament.h"

static int32_t scan(const double *keys, int32_t count, int32_t from) {
  int32_t best = -1;
  for (int32_t k = 0; k < count; k++) {
    int32_t i = (from + k) % count;
    if (keys[i] < INFINITY && (best < 0 || keys[i] < keys[best])) best = i;
  }
  return best;
}

static void test_the_first_of_the_least_going_round(void **state) {
  (void)state;
  static const int32_t counts[] = {1, 2, 15, 16, 17, 100, 1000};
  neap_random random = {3};
  for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
    int32_t count = counts[c];
    double keys[1000];
    neap_tournament t = {0};
    assert_int_equal(neap_tournament_fit(&t, count), 0);
    for (int32_t i = 0; i < count; i++) keys[i] = INFINITY;
    for (int turn = 0; turn < 20000; turn++) {
      int32_t i = (int32_t)neap_random_below(&random, (uint64_t)count);
      keys[i] = neap_random_below(&random, 4) ? (double)neap_random_below(&random, 5) : INFINITY;
      neap_tournament_set(&t, i, keys[i]);
      int32_t from = (int32_t)neap_random_below(&random, (uint64_t)count);
      assert_int_equal(neap_tournament_first(&t, from), scan(keys, count, from));
    }
    neap_tournament_fini(&t);
  }
}

static void test_growing_forgets_nothing(void **state) {
  (void)state;
  neap_tournament t = {0};
  assert_int_equal(neap_tournament_first(&t, 0), -1);
  for (int32_t count = 1; count <= 300; count++) {
    assert_int_equal(neap_tournament_fit(&t, count), 0);
    neap_tournament_set(&t, count - 1, 300 - count);
    assert_int_equal(neap_tournament_first(&t, 0), count - 1);
  }
  neap_tournament_set(&t, 299, INFINITY);
  assert_int_equal(neap_tournament_first(&t, 0), 298);
  neap_tournament_fini(&t);
}

static void test_what_is_no_number_takes_out(void **state) {
  (void)state;
  neap_tournament t = {0};
  assert_int_equal(neap_tournament_fit(&t, 2), 0);
  neap_tournament_set(&t, 0, NAN);
  assert_int_equal(neap_tournament_first(&t, 0), -1);
  neap_tournament_set(&t, 1, -INFINITY);
  assert_int_equal(neap_tournament_first(&t, 0), 1);
  neap_tournament_set(&t, 1, NAN);
  assert_int_equal(neap_tournament_first(&t, 1), -1);
  neap_tournament_fini(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_first_of_the_least_going_round),
      cmocka_unit_test(test_growing_forgets_nothing),
      cmocka_unit_test(test_what_is_no_number_takes_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
