/* Two backends drawn: in proportion to shares, among those that may be picked, distinct. And what is told of
 * outcomes reaches a policy in order and before the next ask. */
#include "unit.h"

#include "policy/policy.h"

enum { DRAWS = 60000 };

typedef struct fixture {
  neap_backend_row rows[8];
  neap_pick_board board;
  neap_random random;
  int32_t first[8], second[8];
} fixture;

static void start(fixture *f, int32_t count) {
  memset(f, 0, sizeof *f);
  f->board.count = count;
  f->board.rows = f->rows;
  f->random.state = 7;
  for (int32_t i = 0; i < count; i++) f->rows[i].share = 1;
}

static void draw(fixture *f, double top_share) {
  for (int i = 0; i < DRAWS; i++) {
    neap_pick_draw(&f->board, &f->random, top_share);
    f->first[f->board.random1]++;
    f->second[f->board.random2]++;
    if (f->board.count > 1) assert_int_not_equal(f->board.random1, f->board.random2);
  }
}

static void assert_part(int32_t count, double part) {
  assert_in_range(count, (int32_t)(DRAWS * part * 0.93), (int32_t)(DRAWS * part * 1.07) + 1);
}

static void test_draws_are_in_proportion_to_shares(void **state) {
  (void)state;
  fixture f;
  start(&f, 4);
  f.rows[2].share = 5;
  draw(&f, 5);
  assert_part(f.first[2], 5.0 / 8);
  assert_part(f.first[0], 1.0 / 8);
  assert_part(f.second[2], 3.0 / 8 * 5 / 7); /* where it was not the first */
}

static void test_one_large_share_among_small_ones_is_drawn_as_it_should(void **state) {
  (void)state;
  fixture f;
  start(&f, 8);
  for (int i = 0; i < 7; i++) f.rows[i].share = 0.001;
  draw(&f, 1);
  assert_part(f.first[7], 1 / 1.007);
  assert_part(f.second[3], 1 / 1.007 / 7);
}

static void test_those_that_are_barred_are_not_drawn(void **state) {
  (void)state;
  fixture f;
  start(&f, 8);
  for (int i = 0; i < 8; i++) f.rows[i].barred = i == 1 || i == 6 ? 0 : NEAP_BAR_DOWN;
  draw(&f, 1);
  assert_part(f.first[1], 0.5);
  assert_part(f.second[6], 0.5);
  assert_int_equal(f.first[0] + f.second[0], 0);
}

static void test_where_few_may_be_picked_the_draws_are_places_all_the_same(void **state) {
  (void)state;
  fixture f;
  start(&f, 3);
  for (int i = 0; i < 3; i++) f.rows[i].barred = NEAP_BAR_DOWN;
  draw(&f, 1);
  f.rows[2].barred = 0;
  memset(f.first, 0, sizeof f.first);
  draw(&f, 1);
  assert_int_equal(f.first[2], DRAWS);
  start(&f, 1);
  draw(&f, 1);
  start(&f, 0);
  neap_pick_draw(&f.board, &f.random, 0);
}

/* --- telling */

static neap_event seen[256];
static int seen_count, batches, asks;

static int observe(void *self, const neap_event *events, int n) {
  (void)self;
  batches++;
  for (int i = 0; i < n; i++) seen[seen_count++] = events[i];
  return 0;
}

static int decide(void *self, neap_ask ask) {
  (void)ask;
  neap_pick_board *board = self;
  asks++;
  board->answer = asks == 1 ? 0 : NEAP_PICK_WAIT;
  return 0;
}

static void destroy(void *self) {
  (void)self;
}

static const neap_policy_vt probe_vt = {
    .name = "probe", .domain = NEAP_BALANCE, .observe = observe, .decide = decide, .destroy = destroy};

static int open_probe(void *user, neap_domain domain, const char *spec, const char *source,
                      const neap_policy_env *env, const neap_param *params, size_t param_count,
                      const neap_policy_vt **vt, void **self, char **text_out, neap_err *err) {
  (void)user, (void)domain, (void)spec, (void)source, (void)params, (void)param_count, (void)err;
  *vt = &probe_vt;
  *self = env->pick;
  *text_out = NULL;
  return 0;
}

static uint64_t clock_zero(void *user) {
  (void)user;
  return 0;
}

static void test_outcomes_come_in_batches_before_the_next_ask_and_waiting_needs_leave(void **state) {
  (void)state;
  fixture f;
  start(&f, 2);
  neap_host host;
  neap_registry *registry;
  neap_policy *policy;
  neap_err err;
  neap_host_complete(
      &(neap_host){.now_ms = clock_zero, .now_ns = clock_zero, .thread_cpu_ns = clock_zero, .seed = 1},
      &host);
  assert_int_equal(neap_registry_create(&host, &registry), 0);
  neap_registry_add(registry, &(neap_loader){.name = "probe", .open = open_probe});
  const neap_policy_env env = {.host = &host, .pick = &f.board};
  assert_int_equal(neap_policy_open(registry, NEAP_BALANCE, "probe", NULL, &env, NULL, 0, &policy, &err), 0);

  for (int i = 0; i < 70; i++) neap_policy_tell(policy, NEAP_EVENT_DONE, i % 2, i, i * 10.0, 200 + i);
  assert_int_equal(batches, 1); /* the board was full once */
  assert_int_equal(f.board.statuses[5], 200 + NEAP_PICK_EVENTS_MAX + 5);
  neap_policy_decide(policy, NEAP_ASK_PICK);
  assert_int_equal(batches, 2);
  assert_int_equal(seen_count, 70);
  for (int i = 0; i < 70; i++) {
    assert_int_equal(seen[i].what, NEAP_EVENT_DONE << NEAP_EVENT_SHIFT | i % 2);
    assert_int_equal(seen[i].size, i);
    assert_true(seen[i].hash == i * 10.0);
  }
  assert_int_equal(f.board.answer, 0);

  f.board.may_wait = 1;
  neap_policy_decide(policy, NEAP_ASK_PICK);
  assert_int_equal(batches, 2); /* nothing was told */
  assert_int_equal(f.board.answer, NEAP_PICK_WAIT);
  f.board.may_wait = 0;
  neap_policy_decide(policy, NEAP_ASK_PICK);
  assert_in_range(f.board.answer, 0, 1);
  neap_policy_counters counters;
  neap_policy_counters_get(policy, &counters);
  assert_int_equal(counters.faults_answer, 1);
  neap_policy_close(&policy);
  neap_registry_destroy(&registry);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_draws_are_in_proportion_to_shares),
      cmocka_unit_test(test_one_large_share_among_small_ones_is_drawn_as_it_should),
      cmocka_unit_test(test_those_that_are_barred_are_not_drawn),
      cmocka_unit_test(test_where_few_may_be_picked_the_draws_are_places_all_the_same),
      cmocka_unit_test(test_outcomes_come_in_batches_before_the_next_ask_and_waiting_needs_leave),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
