/* Balance policies that are functions of the configuration, in a worker's VM. */
#include "worker.h"

typedef struct picking {
  neap_backend_row rows[3];
  neap_pick_board board;
  neap_policy *policy;
} picking;

static void open_pick(picking *p, fixture *f) {
  memset(p, 0, sizeof *p);
  p->board.count = 3;
  p->board.rows = p->rows;
  p->board.random2 = 2;
  for (int i = 0; i < 3; i++) p->rows[i] = (neap_backend_row){.weight = i + 1, .ewma_us = 10};
  const neap_policy_env env = {.host = &host, .generation = 3, .pick = &p->board};
  neap_err err;
  int status = neap_policy_open(neap_worker_registry(f->worker), NEAP_BALANCE, f->config->pools[0].balance,
                                f->config->pools[0].source, &env, NULL, 0, &p->policy, &err);
  if (status) print_message("%s\n", err.text);
  assert_int_equal(status, 0);
}

static int32_t pick(picking *p, const board *b) {
  p->board.request = &b->request;
  neap_policy_decide(p->policy, NEAP_ASK_PICK);
  return p->board.answer;
}

#define INLINE(body)                                                                                         \
  "local neap = require 'neap' neap.listen { http = ':8080' } neap.route { path = '/', pool = 'app' }\n"     \
  "neap.pool { name = 'app', backends = { 'a:1', 'b:2', 'c:3' }, balance = function(req, pool)\n" body       \
  " end }"

static void test_inline_function_picks(void **state) {
  (void)state;
  fixture f;
  picking p;
  board b;
  sample(&b);
  start(&f, INLINE("if req.path:starts '/api' then return 2 end return pool.random2"));
  assert_string_equal(f.config->pools[0].balance, "inline:app");
  open_pick(&p, &f);
  assert_int_equal(pick(&p, &b), 1);
  board_set(&b, "GET", "h", "/");
  assert_int_equal(pick(&p, &b), 2);
  neap_policy_close(&p.policy);
  stop(&f);
}

static void test_pool_view_shows_what_the_engine_knows(void **state) {
  (void)state;
  fixture f;
  picking p;
  board b;
  sample(&b);
  start(
      &f,
      INLINE("local one = pool[1]\n"
             "if pool.count == 3 and #pool == 3 and one.weight == 1 and one.in_flight == 4 and one.up\n"
             "  and one.ewma_us == 10 and one.error_rate == 0.5 and not one.tried and pool[2].tried\n"
             "  and not pool[2].up and not pool[3].up and pool.random1 == 1 and pool.random2 == 3\n"
             "  and pool.key == 99 and pool.now_ms == 5 and one.index == 1 and tostring(one) == 'backend 1'\n"
             "then return 1 end"));
  open_pick(&p, &f);
  p.rows[0].in_flight = 4;
  p.rows[0].error_rate = 0.5;
  p.rows[1].barred |= NEAP_BAR_TRIED;
  p.rows[2].barred |= NEAP_BAR_DOWN;
  p.board.key = 99;
  p.board.now_ms = 5;
  assert_int_equal(pick(&p, &b), 0);
  neap_policy_counters counters;
  neap_policy_counters_get(p.policy, &counters);
  assert_int_equal(counters.fallbacks, 0);
  neap_policy_close(&p.policy);
  stop(&f);
}

static void test_wrong_picks_are_answered_by_the_guard(void **state) {
  (void)state;
  static const char *const wrong[] = {"return 4",
                                      "return 0",
                                      "return -1",
                                      "return 1e300",
                                      "return 0/0",
                                      "return 'x'",
                                      "return true",
                                      "return pool[4]",
                                      "return pool[0]",
                                      "return pool[1.5].weight",
                                      "return pool.cuont",
                                      "return pool[1].wieght",
                                      "pool[1].weight = 5 return 1",
                                      "pool[1].index = 5 return 1",
                                      "pool.count = 9 return 1",
                                      "return 2",
                                      "error 'no'",
                                      "while true do end"};
  board b;
  sample(&b);
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    char text[1024];
    fixture f;
    picking p;
    neap_policy_counters counters;
    snprintf(text, sizeof text, INLINE("%s"), wrong[i]);
    start(&f, text);
    open_pick(&p, &f);
    p.rows[1].barred |= NEAP_BAR_DOWN;
    int32_t answer = pick(&p, &b);
    assert_true(answer == 0 || answer == 2);
    neap_policy_counters_get(p.policy, &counters);
    if (counters.fallbacks != 1) print_message("%s\n", wrong[i]);
    assert_int_equal(counters.fallbacks, 1);
    neap_policy_close(&p.policy);
    stop(&f);
  }
}

/* A client that makes the policy want too much does not take it out for the others. */
static void test_a_request_that_wants_too_much_trips_no_policy(void **state) {
  (void)state;
  static const char *const much[] = {"for i = 1, 59 do req:header 'cookie' end",
                                     "string.rep(req.path:text(), 1000000)"};
  for (size_t i = 0; i < sizeof much / sizeof much[0]; i++) {
    fixture f;
    picking p;
    board good, bad;
    neap_policy_counters counters;
    char text[1024];
    sample(&good);
    sample(&bad);
    bad.request.path = slice_of("/bad");
    snprintf(text, sizeof text, INLINE("if req.path == '/bad' then %s end return 2"), much[i]);
    start(&f, text);
    open_pick(&p, &f);
    for (int j = 0; j < 5; j++) assert_in_range(pick(&p, &bad), 0, 2);
    assert_non_null(strstr(neap_policy_fault(p.policy), "neap.lua:3: "));
    neap_policy_counters_get(p.policy, &counters);
    assert_true(counters.faults_error == 5 && counters.fallbacks == 5 && counters.trips == 0);
    assert_int_equal(pick(&p, &good), 1);
    neap_policy_close(&p.policy);
    stop(&f);
  }
}

static void test_backend_view_that_was_kept_is_checked_against_the_pool(void **state) {
  (void)state;
  fixture f;
  picking p;
  board b;
  sample(&b);
  start(&f, "local kept\n" INLINE("kept = kept or pool[3] return kept.weight > 0 and 1 or 2"));
  open_pick(&p, &f);
  assert_int_equal(pick(&p, &b), 0);
  p.board.count = 2;
  p.board.random2 = 1;
  assert_in_range(pick(&p, &b), 0, 1);
  assert_non_null(strstr(neap_policy_fault(p.policy), "this backend has left the pool"));
  neap_policy_close(&p.policy);
  stop(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_inline_function_picks),
      cmocka_unit_test(test_pool_view_shows_what_the_engine_knows),
      cmocka_unit_test(test_wrong_picks_are_answered_by_the_guard),
      cmocka_unit_test(test_a_request_that_wants_too_much_trips_no_policy),
      cmocka_unit_test(test_backend_view_that_was_kept_is_checked_against_the_pool),
  };
  return cmocka_run_group_tests(tests, set_up, NULL);
}
