/* The policies that learn from outcomes: adaptive, estimated wait, late binding, peak EWMA. */
#include "unit.h"

#include "base/random.h"
#include "policy/guard.h"

enum { LARGE = 1000 };

typedef struct fixture {
  neap_backend_row rows[LARGE];
  neap_pick_board board;
  const neap_policy_vt *vt;
  void *policy;
} fixture;

static const neap_policy_vt *const all[] = {&neap_native_adaptive, &neap_native_estimated_wait,
                                            &neap_native_late_binding, &neap_native_peak_ewma};
enum { ALL = 4 };

static void start(fixture *f, const neap_policy_vt *vt, int32_t count) {
  memset(f, 0, sizeof *f);
  f->vt = vt;
  f->board.count = count;
  f->board.rows = f->rows;
  f->board.now_ms = 1;
  for (int32_t i = 0; i < LARGE; i++) f->rows[i] = (neap_backend_row){.weight = 1, .share = 1, .load = -1};
  const neap_policy_env env = {.pick = &f->board, .seed = 7};
  assert_int_equal(vt->create(&env, NULL, 0, &f->policy, NULL), 0);
}

static void tell(fixture *f, int32_t kind, int32_t backend, int32_t size, double took_us) {
  const neap_event event = {.what = (int32_t)((uint32_t)kind << NEAP_EVENT_SHIFT | (uint32_t)backend),
                            .size = size,
                            .hash = took_us};
  assert_int_equal(f->vt->observe(f->policy, &event, 1), 0);
}

static int32_t pick(fixture *f) {
  f->board.answer = 99;
  f->board.probe_count = 0;
  f->board.random1 = 0;
  f->board.random2 = f->board.count > 1 ? 1 : 0;
  assert_int_equal(f->vt->decide(f->policy, NEAP_ASK_PICK), 0);
  return f->board.answer;
}

/* One request after the other: each backend answers in its own time. Returns how many it got of `count`. */
static int serve(fixture *f, int count, const double *took_us, int32_t backend) {
  int got = 0;
  for (int i = 0; i < count; i++) {
    int32_t to = pick(f);
    if (to < 0) continue;
    got += to == backend;
    tell(f, NEAP_EVENT_SENT, to, ++f->rows[to].in_flight, 0);
    f->board.now_ms += took_us[to] / 1e3;
    tell(f, NEAP_EVENT_DONE, to, f->rows[to].in_flight--, took_us[to]);
  }
  return got;
}

static void test_who_may_not_be_picked_is_not(void **state) {
  (void)state;
  for (int k = 0; k < ALL; k++) {
    fixture f;
    start(&f, all[k], 4);
    f.rows[0].barred = NEAP_BAR_DOWN;
    f.rows[1].barred = NEAP_BAR_TRIED;
    f.rows[3].barred = NEAP_BAR_GONE;
    for (int i = 0; i < 20; i++) assert_int_equal(pick(&f), 2);
    f.rows[2].barred = NEAP_BAR_DRAINING;
    assert_int_equal(pick(&f), NEAP_PICK_NONE);
    f.board.count = 0;
    assert_int_equal(pick(&f), NEAP_PICK_NONE);
    assert_int_equal(f.vt->decide(f.policy, NEAP_ASK_VICTIMS), NEAP_EINVAL);
    f.vt->destroy(f.policy);
  }
}

static void test_fewer_requests_are_better(void **state) {
  (void)state;
  for (int k = 0; k < 3; k++) {
    fixture f;
    start(&f, all[k], 3);
    f.rows[0].in_flight = 5;
    f.rows[1].in_flight = 2;
    f.rows[2].in_flight = 7;
    assert_int_equal(pick(&f), 1);
    f.vt->destroy(f.policy);
  }
}

static void test_equals_take_turns(void **state) {
  (void)state;
  static const double same[8] = {5e3, 5e3, 5e3, 5e3};
  for (int k = 0; k < 3; k++) {
    fixture f;
    start(&f, all[k], 4);
    int got = serve(&f, 400, same, 1);
    assert_true(got >= 60 && got <= 140);
    f.vt->destroy(f.policy);
  }
}

static void test_slow_backend_is_left_and_tried_again(void **state) {
  (void)state;
  static const double slow[8] = {5e3, 5e3, 5e3, 50e3}, healed[8] = {5e3, 5e3, 5e3, 5e3};
  for (int k = 0; k < 3; k++) {
    fixture f;
    start(&f, all[k], 4);
    serve(&f, 200, healed, 3);
    serve(&f, 100, slow, 3);
    int slow_got = serve(&f, 400, slow, 3);
    if (slow_got >= 20) fail_msg("%s: got %d of 400 while it was slow", f.vt->name, slow_got);
    serve(&f, 2000, healed, 3);
    int got = serve(&f, 400, healed, 3);
    if (got < 50) fail_msg("%s: got %d of 400 after it has healed", f.vt->name, got);
    f.vt->destroy(f.policy);
  }
}

static void test_failures_repel_and_are_forgiven(void **state) {
  (void)state;
  fixture f;
  start(&f, &neap_native_adaptive, 2);
  int failed = 0;
  for (int i = 0; i < 1000; i++) {
    int32_t to = pick(&f);
    tell(&f, NEAP_EVENT_SENT, to, 1, 0);
    f.board.now_ms += 1;
    tell(&f, to == 0 ? NEAP_EVENT_FAILED : NEAP_EVENT_DONE, to, 1, 1e3);
    failed += to == 0;
  }
  if (failed < 1 || failed > 10) fail_msg("%d of 1000 failed", failed);
  f.board.now_ms += 60e3;
  static const double same[8] = {1e3, 1e3};
  assert_true(serve(&f, 1000, same, 0) > 300);
  f.vt->destroy(f.policy);
}

static void test_requests_are_held_when_all_are_full(void **state) {
  (void)state;
  for (int k = 0; k < ALL; k += 2) { /* adaptive and late binding */
    fixture f;
    start(&f, all[k], 2);
    for (int i = 0; i < 2; i++) {
      f.rows[i].capacity = 4;
      f.rows[i].load = 0;
      f.rows[i].in_flight = 5;
    }
    assert_true(pick(&f) >= 0); /* where waiting is no answer */
    f.board.may_wait = 1;
    assert_int_equal(pick(&f), NEAP_PICK_WAIT);
    f.rows[1].in_flight = 4;
    assert_int_equal(pick(&f), 1);
    f.rows[1].in_flight = 5;
    f.board.waiting = 1000; /* what is held may not grow for ever */
    assert_true(pick(&f) >= 0);
    f.vt->destroy(f.policy);
  }
}

static void test_reports_show_the_requests_of_others(void **state) {
  (void)state;
  fixture f;
  start(&f, &neap_native_adaptive, 3);
  for (int round = 0; round < 100; round++)
    for (int32_t i = 0; i < 3; i++) {
      f.rows[i].capacity = 4;
      f.rows[i].load = i == 1 ? 0 : 9;
      f.rows[i].load_ms = f.board.now_ms;
      tell(&f, NEAP_EVENT_REPORT, i, 0, 0);
    }
  for (int i = 0; i < 10; i++) assert_int_equal(pick(&f), 1);
  assert_true(f.board.probe_count > 0 && f.board.probe_count <= NEAP_PICK_PROBES_MAX);
  f.vt->destroy(f.policy);
}

static void report(fixture *f, int32_t i, int32_t load, int32_t capacity) {
  f->rows[i].capacity = capacity;
  f->rows[i].load = load;
  f->rows[i].load_ms = f->board.now_ms;
  tell(f, NEAP_EVENT_REPORT, i, 0, 0);
}

/* It answers as the others do, but says that it could work on a thousand million at once. */
static void test_who_boasts_does_not_get_the_others_requests(void **state) {
  (void)state;
  for (int k = 0; k < ALL; k += 2) { /* adaptive and late binding */
    fixture f;
    start(&f, all[k], 4);
    f.board.may_wait = 1;
    int sent[4] = {0}, held = 0;
    for (int i = 0; i < 400; i++) {
      for (int32_t b = 0; b < 4; b++) report(&f, b, f.rows[b].in_flight, b == 2 ? 1000000000 : 4);
      int32_t to = pick(&f);
      held += to == NEAP_PICK_WAIT;
      if (to < 0) continue;
      sent[to]++;
      tell(&f, NEAP_EVENT_SENT, to, ++f.rows[to].in_flight, 0);
    }
    assert_true(sent[2] <= 24); /* nothing comes back: no more than it might work on */
    assert_true(sent[0] >= 4 && sent[1] >= 4 && sent[3] >= 4 && held > 0);
    f.vt->destroy(f.policy);
  }
}

/* One that says it is infinitely busy keeps away from itself; the others' reports count as before. */
static void test_who_says_it_is_drowning_harms_nobody_else(void **state) {
  (void)state;
  fixture f;
  start(&f, &neap_native_adaptive, 4);
  for (int round = 0; round < 200; round++) {
    for (int32_t i = 0; i < 4; i++) report(&f, i, i == 3 ? 1000000000 : i == 1 ? 0 : 9, 4);
    f.board.now_ms += 1;
    assert_int_equal(pick(&f), 1);
  }
  for (int32_t i = 0; i < 4; i++) report(&f, i, i == 3 ? 1000000000 : i == 0 ? 0 : 40, 4);
  assert_int_equal(pick(&f), 0); /* what is new of them is seen at once */
  for (int round = 0; round < 200; round++)
    for (int32_t i = 0; i < 4; i++) report(&f, i, i == 3 ? 0 : 9, 4);
  assert_int_equal(pick(&f), 3); /* nor is it out for ever */
  f.vt->destroy(f.policy);
}

static void test_shares_draw_among_equals(void **state) {
  (void)state;
  fixture f;
  start(&f, &neap_native_adaptive, 2);
  neap_random random = {5};
  f.rows[1].weight = 3;
  f.rows[1].share = 3;
  int heavy = 0;
  for (int i = 0; i < 2000; i++) {
    neap_pick_draw(&f.board, &random, 3);
    f.board.probe_count = 0;
    f.vt->decide(f.policy, NEAP_ASK_PICK);
    heavy += f.board.answer == 1;
  }
  assert_true(heavy > 1400 && heavy < 1600);
  f.vt->destroy(f.policy);
}

/* --- pools too large to be looked at from end to end --- */

static void move(fixture *f, int32_t kind, int32_t backend) {
  int32_t number = kind == NEAP_EVENT_SENT ? ++f->rows[backend].in_flight : f->rows[backend].in_flight--;
  tell(f, kind, backend, number, 5e3);
}

static void test_in_a_large_pool_none_busier_than_another_is_picked(void **state) {
  (void)state;
  fixture f;
  start(&f, &neap_native_adaptive, LARGE);
  neap_random random = {9};
  for (int i = 0; i < 20000; i++) {
    int32_t to = pick(&f), least = INT32_MAX;
    for (int32_t k = 0; k < LARGE; k++) least = f.rows[k].in_flight < least ? f.rows[k].in_flight : least;
    assert_int_equal(f.rows[to].in_flight, least);
    move(&f, NEAP_EVENT_SENT, to);
    int32_t from = (int32_t)neap_random_below(&random, LARGE);
    if (i > 1500 && f.rows[from].in_flight > 0) move(&f, NEAP_EVENT_DONE, from);
    f.board.now_ms += 0.01;
  }
  f.vt->destroy(f.policy);
}

/* Other workers' requests end, and bars fall, without an event. */
static void test_in_a_large_pool_what_nobody_told_is_seen_soon(void **state) {
  (void)state;
  fixture f;
  start(&f, &neap_native_adaptive, LARGE);
  for (int32_t i = 0; i < LARGE; i++) {
    f.rows[i].in_flight = 3;
    f.rows[i].barred = i >= 10 ? NEAP_BAR_DOWN : 0;
  }
  for (int i = 0; i < 100; i++) assert_in_range(pick(&f), 0, 9);
  f.rows[700].barred = 0;
  f.rows[700].in_flight = 0;
  int picks = 1;
  while (pick(&f) != 700) picks++;
  assert_in_range(picks, 1, LARGE / 4);
  f.rows[700].in_flight = 4; /* nor is who was best taken for the best */
  assert_in_range(pick(&f), 0, 9);
  f.vt->destroy(f.policy);
}

static void test_in_a_large_pool_who_was_tried_steps_aside(void **state) {
  (void)state;
  fixture f;
  start(&f, &neap_native_adaptive, LARGE);
  for (int32_t i = 0; i < LARGE; i++) f.rows[i].in_flight = i < 3 ? 0 : 2;
  for (int i = 0; i < 10; i++) assert_in_range(pick(&f), 0, 2);
  f.rows[0].barred = f.rows[1].barred = NEAP_BAR_TRIED;
  for (int i = 0; i < 10; i++) assert_int_equal(pick(&f), 2);
  f.rows[2].barred = NEAP_BAR_TRIED;
  assert_in_range(pick(&f), 3, LARGE - 1);
  f.rows[0].barred = f.rows[2].barred = 0;
  f.rows[1].barred = NEAP_BAR_DOWN;
  for (int i = 0; i < 10; i++) assert_in_range(pick(&f) & 1, 0, 0); /* 0 or 2 */
  for (int32_t i = 0; i < LARGE; i++) f.rows[i].barred = NEAP_BAR_DOWN;
  assert_int_equal(pick(&f), NEAP_PICK_NONE);
  for (int32_t i = 0; i < LARGE; i++) f.rows[i].barred = i == 5 ? 0 : NEAP_BAR_TRIED;
  assert_int_equal(pick(&f), 5);
  f.vt->destroy(f.policy);
}

static void test_in_a_large_pool_requests_are_held_when_all_are_full(void **state) {
  (void)state;
  fixture f;
  start(&f, &neap_native_adaptive, 100);
  for (int32_t i = 0; i < 100; i++) {
    f.rows[i].capacity = 4;
    f.rows[i].load = 0;
    f.rows[i].in_flight = 4;
  }
  f.board.may_wait = 1;
  for (int i = 0; i < 100; i++) move(&f, NEAP_EVENT_SENT, pick(&f));
  assert_int_equal(pick(&f), NEAP_PICK_WAIT);
  move(&f, NEAP_EVENT_DONE, 77);
  assert_int_equal(pick(&f), 77);
  move(&f, NEAP_EVENT_SENT, 77);
  f.board.waiting = 499;
  assert_int_equal(pick(&f), NEAP_PICK_WAIT);
  f.board.waiting = 500; /* as many as all have room for */
  assert_true(pick(&f) >= 0);
  f.vt->destroy(f.policy);
}

static void test_a_pool_grows_and_shrinks(void **state) {
  (void)state;
  fixture f;
  start(&f, &neap_native_adaptive, 4);
  static const int32_t counts[] = {4, 40, 8, 1000, 17, 16, 500, 999};
  for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
    f.board.count = counts[k];
    for (int i = 0; i < 2 * counts[k]; i++) {
      int32_t to = pick(&f);
      assert_in_range(to, 0, counts[k] - 1);
      assert_int_equal(f.rows[to].in_flight, i / counts[k]);
      move(&f, NEAP_EVENT_SENT, to);
    }
    for (int32_t i = 0; i < counts[k]; i++)
      while (f.rows[i].in_flight > 0) move(&f, NEAP_EVENT_DONE, i);
  }
  f.vt->destroy(f.policy);
}

/* Anything at all: never a fault, never an answer out of range. */
static void test_nonsense_is_survived(void **state) {
  (void)state;
  for (int k = 0; k < ALL; k++) {
    fixture f;
    start(&f, all[k], 3);
    neap_random random = {(uint64_t)k};
    for (int i = 0; i < 50000; i++) {
      double took_us = neap_random_below(&random, 8) ? neap_random_unit(&random) * 1e5 : -1e300;
      int32_t number = (int32_t)neap_random_below(&random, 8) ? (int32_t)neap_random_below(&random, 200)
                                                              : (int32_t)neap_random_next(&random);
      tell(&f, (int32_t)neap_random_below(&random, 7), (int32_t)neap_random_below(&random, 80), number,
           took_us);
      if (i % 100 == 0) f.board.count = 1 + (int32_t)neap_random_below(&random, 64);
      neap_backend_row *row = &f.rows[neap_random_below(&random, 64)];
      row->in_flight = (int32_t)neap_random_below(&random, 100) - 2;
      row->load = (int32_t)neap_random_below(&random, 50) - 1;
      row->capacity =
          (int32_t)neap_random_below(&random, 3) ? 0 : (int32_t)neap_random_below(&random, INT32_MAX);
      row->load_ms = f.board.now_ms - neap_random_unit(&random) * 100;
      row->barred = neap_random_below(&random, 4) == 0;
      f.board.may_wait = (int32_t)neap_random_below(&random, 2);
      f.board.now_ms += neap_random_unit(&random);
      int32_t answer = pick(&f);
      assert_true(answer >= NEAP_PICK_WAIT && answer < f.board.count);
      if (answer >= 0) assert_int_equal(f.rows[answer].barred, 0);
    }
    f.vt->destroy(f.policy);
  }
}

static void test_parameters_are_checked(void **state) {
  (void)state;
  neap_pick_board board = {0};
  const neap_policy_env env = {.pick = &board};
  static const neap_param bad[ALL] = {
      {"concurrency", 4, NULL}, {"concurrency", 0, NULL}, {"ahead", -1, NULL}, {"decay", 0, NULL}};
  static const neap_param good[ALL] = {{0}, {"concurrency", 4, NULL}, {"ahead", 2, NULL}, {"decay", 5, NULL}};
  for (int k = 0; k < ALL; k++) {
    void *policy;
    neap_err err;
    assert_int_equal(all[k]->create(&env, &bad[k], 1, &policy, &err), NEAP_EINVAL);
    assert_int_equal(all[k]->create(&env, &good[k], k > 0, &policy, &err), 0);
    all[k]->destroy(policy);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_who_may_not_be_picked_is_not),
      cmocka_unit_test(test_fewer_requests_are_better),
      cmocka_unit_test(test_equals_take_turns),
      cmocka_unit_test(test_slow_backend_is_left_and_tried_again),
      cmocka_unit_test(test_failures_repel_and_are_forgiven),
      cmocka_unit_test(test_requests_are_held_when_all_are_full),
      cmocka_unit_test(test_reports_show_the_requests_of_others),
      cmocka_unit_test(test_who_boasts_does_not_get_the_others_requests),
      cmocka_unit_test(test_who_says_it_is_drowning_harms_nobody_else),
      cmocka_unit_test(test_shares_draw_among_equals),
      cmocka_unit_test(test_in_a_large_pool_none_busier_than_another_is_picked),
      cmocka_unit_test(test_in_a_large_pool_what_nobody_told_is_seen_soon),
      cmocka_unit_test(test_in_a_large_pool_who_was_tried_steps_aside),
      cmocka_unit_test(test_in_a_large_pool_requests_are_held_when_all_are_full),
      cmocka_unit_test(test_a_pool_grows_and_shrinks),
      cmocka_unit_test(test_nonsense_is_survived),
      cmocka_unit_test(test_parameters_are_checked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
