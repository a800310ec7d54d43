#include "rig.h"

enum { MEMBERS = 4 };

static rig r;
static neap_pool_member members[MEMBERS];
static neap_pool *pool;
static neap_care care;
static const neap_request_board request;

static int set_up(void **state) {
  (void)state;
  if (rig_open(&r, members, MEMBERS)) return -1;
  care = (neap_care){
      .eject = {.enabled = true, .errors = 5, .time_ms = 30000, .max_time_ms = 300000, .max_share = 0.5},
      .breaker = {.errors = 2, .open_ms = 1000, .trials = 1, .window_ms = 10000},
      .panic = 0.5};
  return 0;
}

static void start(const char *balance) {
  const neap_pool_options options = {.name = "app",
                                     .members = members,
                                     .member_count = MEMBERS,
                                     .down_time_ms = 1000,
                                     .care = &care,
                                     .balance = balance,
                                     .registry = r.registry,
                                     .host = &r.host,
                                     .seed = 1};
  neap_err err;
  if (neap_pool_create(&options, &pool, &err)) fail_msg("%s", err.text);
}

static int tear_down(void **state) {
  (void)state;
  neap_pool_destroy(&pool);
  rig_close(&r, members, MEMBERS);
  return 0;
}

/* One request from pick to end; `status_of` says how each member answers. Who got it, or -1. */
static int32_t serve(const int32_t *status_of, uint64_t now_ms) {
  const neap_pool_ask ask = {.request = &request, .now_ms = now_ms};
  int32_t member = neap_pool_pick(pool, &ask);
  if (member < 0) return member;
  int32_t in_flight = neap_pool_begin(pool, member);
  neap_pool_answered(pool, member, &(neap_pool_outcome){in_flight, status_of[member], 1000}, now_ms);
  neap_pool_end(pool, member);
  neap_pool_let_go(pool, member);
  return member;
}

static int count_of(int32_t wanted, const int32_t *status_of, int requests, uint64_t now_ms) {
  int count = 0;
  for (int i = 0; i < requests; i++) count += serve(status_of, now_ms) == wanted;
  return count;
}

static void test_a_backend_that_gives_errors_is_out_after_five(void **state) {
  (void)state;
  static const int32_t statuses[] = {200, 200, 503, 200};
  start("native:p2c");
  assert_int_equal(count_of(2, statuses, 10000, 100), 5);
  assert_int_equal(count_of(2, statuses, 1000, 30099), 0);
  assert_int_equal(count_of(2, statuses, 1000, 30100), 1); /* back, on probation */
  assert_int_equal(count_of(2, statuses, 1000, 90099), 0); /* twice as long */
}

static void test_what_the_request_is_to_blame_for_ejects_nobody(void **state) {
  (void)state;
  static const int32_t statuses[] = {404, 501, 505, 400};
  start("native:round_robin");
  assert_int_equal(count_of(1, statuses, 400, 100), 100);
}

static void test_half_of_a_pool_at_most_is_ejected(void **state) {
  (void)state;
  static const int32_t statuses[] = {503, 503, 503, 200};
  start("native:round_robin");
  for (int i = 0; i < 1000; i++) serve(statuses, 100);
  int out = 0;
  for (int i = 0; i < MEMBERS; i++) {
    neap_backend_info info;
    neap_backend_info_get(members[i].backend, 0, 100, &info);
    out += info.vitals.ejected_until_ms > 100;
  }
  assert_int_equal(out, 2);
}

static void test_open_breakers_are_not_even_the_last_resort(void **state) {
  (void)state;
  static const int32_t bad[] = {500, 500, 500, 500}, good[] = {200, 200, 200, 200};
  care.eject.enabled = false;
  care.breaker.enabled = true;
  start("native:round_robin");
  int served = 0;
  for (int i = 0; i < 100; i++) served += serve(bad, 100) >= 0;
  assert_int_equal(served, 2 * MEMBERS);
  assert_int_equal(serve(good, 1099), NEAP_PICK_NONE);
  served = 0;
  for (int i = 0; i < 100; i++) served += serve(good, 1100) >= 0;
  assert_int_equal(served, 100); /* one trial each, and they are closed */
}

static void test_a_report_reaches_the_rows(void **state) {
  (void)state;
  start("native:round_robin");
  neap_pool_reported(pool, 1, &(neap_report){.load = 3, .capacity = 8, .utilization = 0.5}, 100);
  neap_backend_info info;
  neap_backend_info_get(members[1].backend, 0, 100, &info);
  assert_int_equal(info.vitals.load, 3);
  assert_int_equal(info.vitals.capacity, 8);
  assert_float_equal(info.vitals.utilization, 0.5, 0);
  assert_int_equal(info.vitals.report_ms, 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_a_backend_that_gives_errors_is_out_after_five),
      TEST(test_what_the_request_is_to_blame_for_ejects_nobody),
      TEST(test_half_of_a_pool_at_most_is_ejected),
      TEST(test_open_breakers_are_not_even_the_last_resort),
      TEST(test_a_report_reaches_the_rows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
