/* Round robin, plain and weighted: turns, shares, and backends that may not be picked. */
#include "unit.h"

#include "policy/policy.h"

typedef struct fixture {
  neap_backend_row rows[8];
  neap_pick_board board;
  void *policy;
} fixture;

static const neap_policy_vt *vt;

static const neap_policy_vt *native(const char *name) {
  for (const neap_policy_vt *const *native = neap_native_policies; *native; native++)
    if (strcmp((*native)->name, name) == 0) return *native;
  fail_msg("no policy %s", name);
  return NULL;
}

static void start_seeded(fixture *f, const char *name, int32_t count, const int32_t *shares, uint64_t seed) {
  memset(f, 0, sizeof *f);
  vt = native(name);
  f->board.count = count;
  f->board.rows = f->rows;
  for (int32_t i = 0; i < count; i++) f->rows[i].share = f->rows[i].weight = shares ? shares[i] : 1;
  const neap_policy_env env = {.pick = &f->board, .seed = seed};
  assert_int_equal(vt->create(&env, NULL, 0, &f->policy, NULL), 0);
}

static void start(fixture *f, const char *name, int32_t count, const int32_t *shares) {
  start_seeded(f, name, count, shares, 1);
}

static int32_t pick(fixture *f) {
  f->board.answer = 99;
  assert_int_equal(vt->decide(f->policy, NEAP_ASK_PICK), 0);
  return f->board.answer;
}

/* How often each place comes in `count` picks. */
static const int32_t *tally(fixture *f, int count) {
  static int32_t picked[8];
  memset(picked, 0, sizeof picked);
  for (int i = 0; i < count; i++) picked[pick(f)]++;
  return picked;
}

static const char *const both[] = {"round_robin", "weighted_round_robin"};

static void test_equals_take_turns(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    fixture f;
    start(&f, both[i], 3, NULL);
    int32_t first[3] = {pick(&f), pick(&f), pick(&f)};
    assert_int_equal(first[0] + first[1] + first[2], 3);
    for (int round = 0; round < 12; round++) assert_int_equal(pick(&f), first[round % 3]);
    vt->destroy(f.policy);
  }
}

static void test_plain_turns_are_equal_whatever_the_share(void **state) {
  (void)state;
  fixture f;
  start(&f, "round_robin", 3, (int32_t[]){5, 1, 1});
  const int32_t *picked = tally(&f, 30);
  for (int i = 0; i < 3; i++) assert_int_equal(picked[i], 10);
  vt->destroy(f.policy);
}

static void test_shares_are_exact_and_spread_out(void **state) {
  (void)state;
  fixture f;
  start(&f, "weighted_round_robin", 3, (int32_t[]){5, 1, 1});
  for (int round = 0; round < 20; round++) {
    const int32_t *picked = tally(&f, 7);
    assert_int_equal(picked[0], 5);
    assert_int_equal(picked[1], 1);
  }
  int in_a_row = 0, longest = 0;
  for (int i = 0; i < 70; i++) {
    in_a_row = pick(&f) == 0 ? in_a_row + 1 : 0;
    longest = in_a_row > longest ? in_a_row : longest;
  }
  assert_in_range(longest, 1, 4);
  vt->destroy(f.policy);
}

static void test_shares_that_are_no_whole_numbers_count_as_they_are(void **state) {
  (void)state;
  fixture f;
  start(&f, "weighted_round_robin", 2, NULL);
  f.rows[1].share = 0.25;
  const int32_t *picked = tally(&f, 1000);
  assert_int_equal(picked[1], 200);
  vt->destroy(f.policy);
}

static void test_balancers_do_not_begin_alike(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    int32_t first[8] = {0};
    for (uint64_t seed = 0; seed < 800; seed++) {
      fixture f;
      start_seeded(&f, both[i], 8, NULL, seed << 32);
      first[pick(&f)]++;
      vt->destroy(f.policy);
    }
    for (int b = 0; b < 8; b++) assert_in_range(first[b], 60, 140);
  }
}

static void test_barred_backends_are_skipped(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    fixture f;
    start(&f, both[i], 5, NULL);
    f.rows[0].barred |= NEAP_BAR_DOWN;
    f.rows[2].barred |= NEAP_BAR_DRAINING;
    f.rows[3].state = NEAP_BACKEND_UNKNOWN;
    f.rows[4].barred |= NEAP_BAR_TRIED;
    const int32_t *picked = tally(&f, 10);
    assert_int_equal(picked[1], 5);
    assert_int_equal(picked[3], 5);
    vt->destroy(f.policy);
  }
}

static void test_a_backend_that_comes_back_or_joins_gets_no_burst(void **state) {
  (void)state;
  fixture f;
  start(&f, "weighted_round_robin", 2, NULL);
  f.rows[1].barred |= NEAP_BAR_DOWN;
  tally(&f, 50);
  f.rows[1].barred = 0;
  assert_in_range(tally(&f, 4)[1], 2, 2);
  const neap_event joined = {.what = NEAP_EVENT_JOINED << NEAP_EVENT_SHIFT | 1};
  for (int i = 0; i < 50; i++) vt->observe(f.policy, &joined, 1);
  assert_in_range(tally(&f, 10)[1], 4, 6);
  vt->destroy(f.policy);
}

static void test_no_backend_left_answers_none(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    fixture f;
    start(&f, both[i], 1, NULL);
    f.rows[0].barred |= NEAP_BAR_TRIED;
    assert_int_equal(pick(&f), NEAP_PICK_NONE);
    f.board.count = 0;
    assert_int_equal(pick(&f), NEAP_PICK_NONE);
    vt->destroy(f.policy);
  }
}

static void test_a_pool_that_grows_keeps_turning(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    fixture f;
    start(&f, both[i], 2, NULL);
    tally(&f, 3);
    f.board.count = 3;
    f.rows[2].share = 1;
    const int32_t *picked = tally(&f, 12);
    for (int b = 0; b < 3; b++) assert_in_range(picked[b], 3, 5);
    vt->destroy(f.policy);
  }
}

static void test_parameters_and_other_asks_are_refused(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    fixture f;
    start(&f, both[i], 1, NULL);
    assert_int_equal(vt->decide(f.policy, NEAP_ASK_VICTIMS), NEAP_EINVAL);
    vt->destroy(f.policy);
    const neap_policy_env env = {.pick = &f.board};
    const neap_param param = {"speed", 1, NULL};
    neap_err err;
    assert_int_equal(vt->create(&env, &param, 1, &f.policy, &err), NEAP_EINVAL);
    assert_non_null(strstr(err.text, "speed"));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_equals_take_turns),
      cmocka_unit_test(test_plain_turns_are_equal_whatever_the_share),
      cmocka_unit_test(test_shares_are_exact_and_spread_out),
      cmocka_unit_test(test_shares_that_are_no_whole_numbers_count_as_they_are),
      cmocka_unit_test(test_balancers_do_not_begin_alike),
      cmocka_unit_test(test_barred_backends_are_skipped),
      cmocka_unit_test(test_a_backend_that_comes_back_or_joins_gets_no_burst),
      cmocka_unit_test(test_no_backend_left_answers_none),
      cmocka_unit_test(test_a_pool_that_grows_keeps_turning),
      cmocka_unit_test(test_parameters_and_other_asks_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
