#include "unit.h"

#include "base/base.h"
#include "upstream/upstream.h"

enum { MEMBERS = 3, DOWN_MS = 1000 };

static neap_host host;
static neap_registry *registry;
static neap_backends *backends;
static neap_pool_member members[MEMBERS];
static neap_pool *pool;
static const neap_request_board request;

static uint64_t clock_zero(void *user) {
  (void)user;
  return 0;
}

static neap_pool *make_pool(void) {
  neap_pool_options options = {.name = "app",
                               .members = members,
                               .member_count = MEMBERS,
                               .down_time_ms = DOWN_MS,
                               .balance = "native:round_robin",
                               .registry = registry,
                               .host = &host,
                               .seed = 1};
  neap_pool *made;
  neap_err err;
  assert_int_equal(neap_pool_create(&options, &made, &err), 0);
  return made;
}

static int set_up(void **state) {
  (void)state;
  neap_host_complete(
      &(neap_host){.now_ms = clock_zero, .now_ns = clock_zero, .thread_cpu_ns = clock_zero, .seed = 1},
      &host);
  if (neap_registry_create(&host, &registry) || neap_backends_create(&backends)) return -1;
  for (int i = 0; i < MEMBERS; i++) {
    char address[32];
    neap_err err;
    snprintf(address, sizeof address, "127.0.0.1:%d", 9001 + i);
    if (neap_backends_take(backends, address, &members[i].backend, &err)) return -1;
    members[i].weight = 1;
  }
  pool = make_pool();
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  neap_pool_destroy(&pool);
  for (int i = 0; i < MEMBERS; i++) neap_backend_give(backends, members[i].backend);
  neap_backends_destroy(&backends);
  neap_registry_destroy(&registry);
  return 0;
}

static int32_t pick(uint64_t now_ms, const int32_t *tried, int count) {
  return neap_pool_pick(pool, &request, 0, now_ms, tried, count);
}

static const neap_pool_outcome no_answer = {.in_flight = 1};

static void answered(int32_t member, uint64_t took_us, uint64_t now_ms) {
  neap_pool_answered(pool, member, &(neap_pool_outcome){1, 200, took_us}, now_ms);
}

static void test_what_was_tried_is_not_picked_again(void **state) {
  (void)state;
  int32_t tried[MEMBERS];
  for (int i = 0; i < MEMBERS; i++) {
    tried[i] = pick(1, tried, i);
    assert_in_range(tried[i], 0, MEMBERS - 1);
    for (int j = 0; j < i; j++) assert_int_not_equal(tried[i], tried[j]);
  }
  assert_int_equal(pick(1, tried, MEMBERS), -1);
  assert_in_range(pick(1, NULL, 0), 0, MEMBERS - 1); /* the next exchange starts anew */
}

static void test_an_unreachable_backend_is_left_alone_for_its_time(void **state) {
  (void)state;
  neap_pool_unreachable(pool, 1, &no_answer, 100);
  for (int i = 0; i < 2 * MEMBERS; i++) assert_int_not_equal(pick(100 + DOWN_MS - 1, NULL, 0), 1);
  bool back = false;
  for (int i = 0; i < MEMBERS; i++) back |= pick(100 + DOWN_MS, NULL, 0) == 1;
  assert_true(back);
}

static void test_where_all_are_down_one_is_tried_all_the_same(void **state) {
  (void)state;
  for (int i = 0; i < MEMBERS; i++) neap_pool_unreachable(pool, i, &no_answer, 100);
  assert_in_range(pick(101, NULL, 0), 0, MEMBERS - 1);
}

static void test_what_is_known_of_a_backend_outlives_the_pool(void **state) {
  (void)state;
  neap_backend *again;
  neap_err err;
  neap_pool_unreachable(pool, 0, &no_answer, 100);
  neap_pool_begin(pool, 1);
  answered(1, 5000, 100);
  neap_pool *next = make_pool();
  neap_pool_destroy(&pool);
  pool = next;
  for (int i = 0; i < 2 * MEMBERS; i++) assert_int_not_equal(pick(101, NULL, 0), 0);
  assert_int_equal(neap_backends_take(backends, "127.0.0.1:9002", &again, &err), 0);
  assert_ptr_equal(again, members[1].backend);
  neap_backend_give(backends, again);
  neap_backend_info info;
  neap_backend_info_get(members[1].backend, 101, &info);
  assert_int_equal(info.in_flight, 1);
  assert_int_equal(info.state, NEAP_BACKEND_UP);
  assert_true(info.ewma_us == 5000);
  neap_pool_end(pool, 1);
}

static void test_a_slow_answer_counts_at_once_and_wears_off(void **state) {
  (void)state;
  neap_backend_info info;
  answered(0, 1000, 1);
  answered(0, 90000, 2);
  neap_backend_info_get(members[0].backend, 2, &info);
  assert_true(info.ewma_us == 90000);
  answered(0, 1000, 5002);
  neap_backend_info_get(members[0].backend, 5002, &info);
  assert_true(info.ewma_us > 40000 && info.ewma_us < 50000); /* half of it, after five seconds */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_what_was_tried_is_not_picked_again, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_an_unreachable_backend_is_left_alone_for_its_time, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(test_where_all_are_down_one_is_tried_all_the_same, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_what_is_known_of_a_backend_outlives_the_pool, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_a_slow_answer_counts_at_once_and_wears_off, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
