#include "rig.h"

enum { MEMBERS = 3, DOWN_MS = 1000 };

static rig r;
static neap_pool_member members[MEMBERS];
static neap_pool *pool;
static const neap_request_board request;

static neap_pool *make_pool(void) {
  neap_pool_options options = {.name = "app",
                               .members = members,
                               .member_count = MEMBERS,
                               .down_time_ms = DOWN_MS,
                               .balance = "native:weighted_round_robin",
                               .registry = r.registry,
                               .host = &r.host,
                               .seed = 1};
  neap_pool *made;
  neap_err err;
  assert_int_equal(neap_pool_create(&options, &made, &err), 0);
  return made;
}

static int set_up(void **state) {
  (void)state;
  if (rig_open(&r, members, MEMBERS)) return -1;
  pool = make_pool();
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  neap_pool_destroy(&pool);
  rig_close(&r, members, MEMBERS);
  return 0;
}

static int32_t pick(uint64_t now_ms, const int32_t *tried, int count) {
  neap_pool_ask ask = {.request = &request, .now_ms = now_ms, .tried = tried, .tried_count = count};
  int32_t member = neap_pool_pick(pool, &ask);
  if (member >= 0) neap_pool_let_go(pool, member);
  return member;
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
  assert_int_equal(neap_backends_take(r.backends, "127.0.0.1:9002", &again, &err), 0);
  assert_ptr_equal(again, members[1].backend);
  neap_backend_give(r.backends, again);
  neap_backend_info info;
  neap_backend_info_get(members[1].backend, 0, 101, &info);
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
  neap_backend_info_get(members[0].backend, 0, 2, &info);
  assert_true(info.ewma_us == 90000);
  answered(0, 1000, 5002);
  neap_backend_info_get(members[0].backend, 0, 5002, &info);
  assert_true(info.ewma_us > 40000 && info.ewma_us < 50000); /* half of it, after five seconds */
}

/* --- members come and go */

static neap_backend *extra(const char *address) {
  neap_backend *backend;
  neap_err err;
  assert_int_equal(neap_backends_take(r.backends, address, &backend, &err), 0);
  return backend;
}

static int32_t picked[16];
static void tally(int count, uint64_t now_ms) {
  memset(picked, 0, sizeof picked);
  for (int i = 0; i < count; i++) picked[pick(now_ms, NULL, 0)]++;
}

static void test_a_backend_that_joins_is_picked_and_the_others_keep_their_places(void **state) {
  (void)state;
  neap_backend *fourth = extra("127.0.0.1:9004");
  answered(2, 7000, 1);
  assert_int_equal(neap_pool_join(pool, &(neap_pool_member){.backend = fourth, .weight = 1}), 0);
  assert_int_equal(neap_pool_join(pool, &(neap_pool_member){.backend = fourth, .weight = 1}), NEAP_EEXIST);
  neap_backend_give(r.backends, fourth); /* the pool has its own hold */
  tally(40, 2);
  for (int i = 0; i < 4; i++) assert_int_equal(picked[i], 10);
  assert_string_equal(neap_backend_address(neap_pool_backend(pool, 3)), "127.0.0.1:9004");
  neap_backend_info info;
  neap_backend_info_get(neap_pool_backend(pool, 2), 0, 2, &info);
  assert_true(info.ewma_us == 7000);
}

static void test_a_backend_that_leaves_gets_no_more_and_its_place_is_used_again(void **state) {
  (void)state;
  assert_int_equal(neap_pool_leave(pool, "127.0.0.1:9002"), 0);
  assert_int_equal(neap_pool_leave(pool, "127.0.0.1:9002"), NEAP_ENOTFOUND);
  assert_int_equal(neap_pool_leave(pool, "127.0.0.1:1"), NEAP_ENOTFOUND);
  tally(20, 1);
  assert_int_equal(picked[1], 0);
  neap_backend *other = extra("127.0.0.1:9009");
  assert_int_equal(neap_pool_join(pool, &(neap_pool_member){.backend = other, .weight = 1}), 0);
  neap_backend_give(r.backends, other);
  tally(30, 2);
  assert_int_equal(picked[1], 10);
  assert_string_equal(neap_backend_address(neap_pool_backend(pool, 1)), "127.0.0.1:9009");
}

static void test_a_place_is_kept_until_its_last_exchange_has_let_go(void **state) {
  (void)state;
  neap_pool_ask ask = {.request = &request, .now_ms = 1};
  int32_t held = neap_pool_pick(pool, &ask);
  char address[32];
  snprintf(address, sizeof address, "%s", neap_backend_address(neap_pool_backend(pool, held)));
  neap_pool_begin(pool, held);
  assert_int_equal(neap_pool_leave(pool, address), 0);
  neap_backend *other = extra("127.0.0.1:9009");
  assert_int_equal(neap_pool_join(pool, &(neap_pool_member){.backend = other, .weight = 1}), 0);
  neap_backend_give(r.backends, other);
  assert_string_equal(neap_backend_address(neap_pool_backend(pool, held)), address); /* not the new one */
  answered(held, 100, 1);
  neap_pool_end(pool, held);
  neap_pool_let_go(pool, held);
  assert_null(neap_pool_backend(pool, held));
  tally(30, 2);
  assert_int_equal(picked[held], 0);
  assert_int_equal(picked[MEMBERS], 10);
}

static void test_one_that_comes_back_while_it_is_held_has_its_place_again(void **state) {
  (void)state;
  neap_pool_ask ask = {.request = &request, .now_ms = 1};
  int32_t held = neap_pool_pick(pool, &ask);
  neap_backend *same = neap_pool_backend(pool, held);
  assert_int_equal(neap_pool_leave(pool, neap_backend_address(same)), 0);
  assert_int_equal(neap_pool_join(pool, &(neap_pool_member){.backend = same, .weight = 1}), 0);
  neap_pool_let_go(pool, held);
  tally(30, 2);
  assert_int_equal(picked[held], 10);
}

static void test_weights_and_draining_change_while_it_runs(void **state) {
  (void)state;
  assert_int_equal(neap_pool_set_weight(pool, "127.0.0.1:9003", 4), 0);
  assert_int_equal(neap_pool_set_draining(pool, "127.0.0.1:9001", true), 0);
  assert_int_equal(neap_pool_set_weight(pool, "127.0.0.1:1", 4), NEAP_ENOTFOUND);
  tally(50, 1);
  assert_int_equal(picked[0], 0);
  assert_int_equal(picked[1], 10);
  assert_int_equal(picked[2], 40);
  assert_int_equal(neap_pool_set_draining(pool, "127.0.0.1:9001", false), 0);
  tally(60, 1);
  assert_int_equal(picked[0], 10);
}

static void test_a_pool_may_be_empty_for_a_while(void **state) {
  (void)state;
  for (int i = 0; i < MEMBERS; i++)
    assert_int_equal(neap_pool_leave(pool, neap_backend_address(members[i].backend)), 0);
  assert_int_equal(pick(1, NULL, 0), NEAP_PICK_NONE);
  assert_int_equal(neap_pool_join(pool, &members[1]), 0);
  assert_int_equal(pick(1, NULL, 0), 0);
}

static void test_draining_members_are_not_even_the_last_resort(void **state) {
  (void)state;
  for (int i = 0; i < MEMBERS; i++)
    assert_int_equal(neap_pool_set_draining(pool, neap_backend_address(members[i].backend), true), 0);
  assert_int_equal(pick(1, NULL, 0), NEAP_PICK_NONE);
}

/* --- limits and waiting */

static neap_queues *limited_queues;
static int wakes;
static neap_pool_waiter *woken[8];
static void on_wake(neap_pool_waiter *waiter) {
  woken[wakes++] = waiter;
}

static int set_up_limited(void **state) {
  if (set_up(state)) return -1;
  neap_loop *loop;
  neap_queues *queues;
  if (neap_loop_create(&loop) || neap_queues_create(r.backends, loop, &queues)) return -1;
  *state = loop;
  neap_pool_options options = *neap_pool_options_of(pool);
  neap_err err;
  neap_pool_destroy(&pool);
  members[0].limit = 1;
  options.members = members;
  options.member_count = 1;
  limited_queues = queues;
  options.max_queue = 3;
  wakes = 0;
  return neap_pool_create(&options, &pool, &err);
}

static int tear_down_limited(void **state) {
  neap_loop *loop = *state;
  members[0].limit = 0;
  tear_down(state);
  neap_loop_destroy(&loop);
  return 0;
}

static int32_t ask_with(neap_pool_waiter *waiter) {
  neap_pool_ask ask = {.request = &request, .now_ms = 1, .queues = limited_queues, .waiter = waiter};
  return neap_pool_pick(pool, &ask);
}

static void test_the_limit_holds_and_those_who_wait_come_in_order(void **state) {
  (void)state;
  neap_queues *queues = limited_queues;
  neap_pool_waiter waiters[5] = {{.wake = on_wake}, {.wake = on_wake}, {.wake = on_wake}, {.wake = on_wake}};
  int32_t member = ask_with(&waiters[4]);
  assert_int_equal(member, 0);
  assert_int_equal(neap_pool_begin(pool, member), 1);
  assert_int_equal(neap_pool_begin(pool, member), 0); /* whoever comes too late steps back */
  for (int i = 0; i < 3; i++) {
    assert_int_equal(ask_with(&waiters[i]), NEAP_PICK_WAIT);
    assert_int_equal(neap_pool_wait(pool, &waiters[i], true), 0);
  }
  assert_int_equal(neap_pool_wait(pool, &waiters[3], true), NEAP_EROOM);
  neap_queues_turn(queues); /* the first looks again, since something may have ended meanwhile */
  assert_int_equal(wakes, 1);
  assert_int_equal(ask_with(&waiters[0]), NEAP_PICK_WAIT);
  neap_queues_turn(queues);
  assert_int_equal(wakes, 1); /* nothing has changed */
  neap_pool_end(pool, member);
  neap_pool_let_go(pool, member);
  assert_int_equal(ask_with(&waiters[3]), NEAP_PICK_WAIT); /* nobody overtakes */
  neap_queues_turn(queues);
  assert_int_equal(wakes, 2);
  assert_ptr_equal(woken[1], &waiters[0]);
  member = ask_with(&waiters[0]);
  assert_int_equal(member, 0);
  neap_pool_stop_waiting(pool, &waiters[0]);
  neap_pool_let_go(pool, member);
  neap_pool_stop_waiting(pool, &waiters[2]);
  neap_pool_stop_waiting(pool, &waiters[1]);
  neap_pool_stop_waiting(pool, &waiters[1]);
  neap_queues_destroy(&queues);
}

static void test_who_has_tried_some_does_not_hold_up_the_others(void **state) {
  (void)state;
  neap_queues *queues = limited_queues;
  neap_pool_waiter picky = {.wake = on_wake}, fresh = {.wake = on_wake}, later = {.wake = on_wake};
  neap_pool_let_go(pool, ask_with(&picky));
  assert_int_equal(neap_pool_wait(pool, &picky, false), 0);
  int32_t member = ask_with(&later);
  assert_int_equal(member, 0); /* not stopped by one who waits for somebody else */
  neap_pool_let_go(pool, member);
  assert_int_equal(neap_pool_wait(pool, &fresh, true), 0);
  assert_int_equal(neap_pool_wait(pool, &later, true), 0);
  neap_queues_turn(queues);
  assert_int_equal(wakes, 2); /* the picky one and the first behind it, which waits on */
  assert_ptr_equal(woken[1], &fresh);
  neap_pool_stop_waiting(pool, &fresh);
  neap_pool_stop_waiting(pool, &later);
  neap_pool_stop_waiting(pool, &picky);
  neap_queues_destroy(&queues);
}

static void test_without_room_to_wait_a_full_pool_says_so(void **state) {
  (void)state;
  neap_queues *queues = limited_queues;
  int32_t member = ask_with(NULL);
  assert_int_equal(neap_pool_begin(pool, member), 1);
  assert_int_equal(ask_with(NULL), NEAP_PICK_WAIT);
  neap_pool_end(pool, member);
  neap_pool_let_go(pool, member);
  neap_queues_destroy(&queues);
}

/* --- who a backend is */

static void test_a_backend_has_an_id_of_its_own_or_of_its_address(void **state) {
  (void)state;
  char a[NEAP_BACKEND_ID], b[NEAP_BACKEND_ID], again[NEAP_BACKEND_ID];
  neap_backend_id_get(members[0].backend, a);
  neap_backend_id_get(members[1].backend, b);
  assert_int_equal(strlen(a), 36);
  assert_int_equal(a[14], '8');
  assert_string_not_equal(a, b);
  neap_backend_set_id(members[0].backend, "01234567-89ab-cdef-0123-456789abcdef");
  neap_backend_id_get(members[0].backend, again);
  assert_string_equal(again, "01234567-89ab-cdef-0123-456789abcdef");
  neap_backend_set_id(members[0].backend, "");
  neap_backend_id_get(members[0].backend, again);
  assert_string_equal(again, a);
}

static void test_the_error_rate_follows_what_happens(void **state) {
  (void)state;
  neap_backend_info info;
  for (int i = 0; i < 200; i++) neap_pool_answered(pool, 0, &(neap_pool_outcome){1, i % 2 ? 200 : 500, 1}, 1);
  neap_backend_info_get(members[0].backend, 0, 1, &info);
  assert_true(info.error_rate > 0.4 && info.error_rate < 0.6);
  assert_int_equal(info.failures, 100);
  for (int i = 0; i < 1000; i++) answered(0, 1, 1);
  neap_backend_info_get(members[0].backend, 0, 1, &info);
  assert_true(info.error_rate == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_what_was_tried_is_not_picked_again, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_an_unreachable_backend_is_left_alone_for_its_time, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(test_where_all_are_down_one_is_tried_all_the_same, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_what_is_known_of_a_backend_outlives_the_pool, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_a_slow_answer_counts_at_once_and_wears_off, set_up, tear_down),
#define POOL_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
      POOL_TEST(test_a_backend_that_joins_is_picked_and_the_others_keep_their_places),
      POOL_TEST(test_a_backend_that_leaves_gets_no_more_and_its_place_is_used_again),
      POOL_TEST(test_a_place_is_kept_until_its_last_exchange_has_let_go),
      POOL_TEST(test_one_that_comes_back_while_it_is_held_has_its_place_again),
      POOL_TEST(test_weights_and_draining_change_while_it_runs),
      POOL_TEST(test_a_pool_may_be_empty_for_a_while),
      POOL_TEST(test_draining_members_are_not_even_the_last_resort),
      POOL_TEST(test_a_backend_has_an_id_of_its_own_or_of_its_address),
      POOL_TEST(test_the_error_rate_follows_what_happens),
#undef POOL_TEST
#define LIMIT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_limited, tear_down_limited)
      LIMIT_TEST(test_the_limit_holds_and_those_who_wait_come_in_order),
      LIMIT_TEST(test_who_has_tried_some_does_not_hold_up_the_others),
      LIMIT_TEST(test_without_room_to_wait_a_full_pool_says_so),
#undef LIMIT_TEST
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
