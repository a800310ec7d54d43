/* Round robin: turns, weights, and backends that may not be picked. */
#include "unit.h"

#include "policy/policy.h"

typedef struct fixture {
  neap_backend_row rows[8];
  neap_pick_board board;
  void *policy;
} fixture;

static const neap_policy_vt *const vt = &neap_native_round_robin;

static void start(fixture *f, int32_t count, const int32_t *weights) {
  memset(f, 0, sizeof *f);
  f->board.count = count;
  f->board.rows = f->rows;
  for (int32_t i = 0; i < count; i++) f->rows[i].weight = weights ? weights[i] : 1;
  const neap_policy_env env = {.pick = &f->board};
  assert_int_equal(vt->create(&env, NULL, 0, &f->policy, NULL), 0);
}

/* The next picks as text: "0 1 2". */
static const char *picks(fixture *f, int count) {
  static char text[256];
  size_t size = 0;
  text[0] = 0;
  for (int i = 0; i < count; i++) {
    f->board.answer = 99;
    assert_int_equal(vt->decide(f->policy, NEAP_ASK_PICK), 0);
    size += (size_t)snprintf(text + size, sizeof text - size, "%s%d", i ? " " : "", f->board.answer);
  }
  return text;
}

static void test_equal_weights_take_turns(void **state) {
  (void)state;
  fixture f;
  start(&f, 3, NULL);
  assert_string_equal(picks(&f, 7), "0 1 2 0 1 2 0");
  vt->destroy(f.policy);
}

static void test_weights_are_spread_out(void **state) {
  (void)state;
  fixture f;
  start(&f, 3, (int32_t[]){5, 1, 1});
  assert_string_equal(picks(&f, 7), "0 0 1 0 2 0 0");
  assert_string_equal(picks(&f, 7), "0 0 1 0 2 0 0");
  vt->destroy(f.policy);
}

static void test_down_draining_and_tried_backends_are_skipped(void **state) {
  (void)state;
  fixture f;
  start(&f, 5, NULL);
  f.rows[0].barred |= NEAP_BAR_DOWN;
  f.rows[2].barred |= NEAP_BAR_DRAINING;
  f.rows[3].state = NEAP_BACKEND_UNKNOWN;
  f.rows[4].barred |= NEAP_BAR_TRIED;
  assert_string_equal(picks(&f, 4), "1 3 1 3");
  vt->destroy(f.policy);
}

static void test_backend_that_comes_back_gets_no_burst(void **state) {
  (void)state;
  fixture f;
  start(&f, 2, NULL);
  f.rows[1].barred |= NEAP_BAR_DOWN;
  picks(&f, 50);
  f.rows[1].barred = 0;
  assert_string_equal(picks(&f, 4), "0 1 0 1");
  vt->destroy(f.policy);
}

static void test_no_backend_left_answers_none(void **state) {
  (void)state;
  fixture f;
  start(&f, 1, NULL);
  f.rows[0].barred |= NEAP_BAR_TRIED;
  assert_string_equal(picks(&f, 1), "-1");
  f.board.count = 0;
  assert_string_equal(picks(&f, 1), "-1");
  vt->destroy(f.policy);
}

static void test_pool_that_grows_and_shrinks_keeps_turning(void **state) {
  (void)state;
  fixture f;
  start(&f, 2, NULL);
  assert_string_equal(picks(&f, 2), "0 1");
  f.board.count = 3;
  f.rows[2].weight = 1;
  assert_string_equal(picks(&f, 3), "0 1 2");
  f.board.count = 1;
  assert_string_equal(picks(&f, 2), "0 0");
  vt->destroy(f.policy);
}

static void test_parameters_and_other_asks_are_refused(void **state) {
  (void)state;
  fixture f;
  start(&f, 1, NULL);
  assert_int_equal(vt->decide(f.policy, NEAP_ASK_VICTIMS), NEAP_EINVAL);
  vt->destroy(f.policy);
  const neap_policy_env env = {.pick = &f.board};
  const neap_param param = {"speed", 1, NULL};
  neap_err err;
  assert_int_equal(vt->create(&env, &param, 1, &f.policy, &err), NEAP_EINVAL);
  assert_non_null(strstr(err.text, "speed"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_equal_weights_take_turns),
      cmocka_unit_test(test_weights_are_spread_out),
      cmocka_unit_test(test_down_draining_and_tried_backends_are_skipped),
      cmocka_unit_test(test_backend_that_comes_back_gets_no_burst),
      cmocka_unit_test(test_no_backend_left_answers_none),
      cmocka_unit_test(test_pool_that_grows_and_shrinks_keeps_turning),
      cmocka_unit_test(test_parameters_and_other_asks_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
