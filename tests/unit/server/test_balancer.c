/* The public decide layer of balancing, as a host uses it. */
#include "unit.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include <neap/balance.h>
#include <neap/cache.h>

static neap_engine *engine;
static uint64_t now_ms;

static uint64_t clock_ms(void *user) {
  (void)user;
  return now_ms;
}

static int set_up(void **state) {
  (void)state;
  const neap_host host = {.now_ms = clock_ms, .seed = 5};
  neap_err err;
  now_ms = 1000;
  return neap_engine_create(&host, &engine, &err);
}

static int tear_down(void **state) {
  (void)state;
  neap_engine_destroy(&engine);
  return 0;
}

static const neap_balancer_backend three[] = {
    {.address = "a", .weight = 1}, {.address = "b", .weight = 2}, {.address = "c", .max_in_flight = 1}};

static neap_balancer *make(const char *policy, size_t count, neap_balancer *peer) {
  neap_balancer_options options;
  neap_balancer_options_init(&options);
  options.policy = policy;
  options.peer = peer;
  neap_balancer *balancer;
  neap_err err;
  if (neap_balancer_create(engine, &options, three, count, &balancer, &err)) fail_msg("%s", err.text);
  return balancer;
}

static void finish(neap_balancer *balancer, neap_pick *pick) {
  neap_balancer_done(balancer, pick, &(neap_pick_outcome){.status = 200, .took_us = 1000});
}

static void test_picks_follow_the_policy_and_its_weights(void **state) {
  (void)state;
  neap_balancer *balancer = make("WeightedRoundRobin", 2, NULL);
  int picked[2] = {0};
  for (int i = 0; i < 300; i++) {
    neap_pick pick;
    assert_int_equal(neap_balancer_pick(balancer, NULL, &pick), 0);
    assert_int_equal(pick.in_flight, 1);
    assert_string_equal(pick.address, three[pick.backend].address);
    picked[pick.backend]++;
    finish(balancer, &pick);
    assert_int_equal(pick.backend, -1);
  }
  assert_int_equal(picked[0], 100);
  assert_int_equal(picked[1], 200);
  neap_balancer_destroy(&balancer);
  assert_null(balancer);
}

static void test_who_was_tried_is_not_picked_again(void **state) {
  (void)state;
  neap_balancer *balancer = make("p2c", 3, NULL);
  neap_pick picks[3];
  int32_t tried[3];
  for (size_t i = 0; i < 3; i++) {
    neap_balancer_request request = {.tried = tried, .tried_count = i};
    assert_int_equal(neap_balancer_pick(balancer, &request, &picks[i]), 0);
    tried[i] = picks[i].backend;
    for (size_t j = 0; j < i; j++) assert_int_not_equal(tried[i], tried[j]);
  }
  neap_pick none;
  neap_balancer_request request = {.tried = tried, .tried_count = 3};
  assert_int_equal(neap_balancer_pick(balancer, &request, &none), NEAP_ENOTFOUND);
  for (size_t i = 0; i < 3; i++) neap_balancer_done(balancer, &picks[i], NULL);
  neap_balancer_destroy(&balancer);
}

static void test_keys_stay_with_their_backend(void **state) {
  (void)state;
  neap_balancer *balancer = make("ConsistentHash", 2, NULL), *other = make("lua:consistent_hash", 2, NULL);
  int picked[2] = {0};
  for (int i = 0; i < 200; i++) {
    char key[16];
    size_t size = (size_t)snprintf(key, sizeof key, "user:%d", i);
    neap_balancer_request request = {.key = {key, size}}, by_client = {.client = {key, size}};
    neap_pick first, again, elsewhere;
    assert_int_equal(neap_balancer_pick(balancer, &request, &first), 0);
    picked[first.backend]++;
    finish(balancer, &first);
    assert_int_equal(neap_balancer_pick(balancer, &by_client, &again), 0);
    assert_int_equal(neap_balancer_pick(other, &request, &elsewhere), 0);
    assert_string_equal(again.address, elsewhere.address);
    finish(balancer, &again);
    finish(other, &elsewhere);
  }
  assert_in_range(picked[1], 100, 165); /* two thirds */
  neap_balancer_destroy(&other);
  neap_balancer_destroy(&balancer);
}

static void test_an_unreachable_backend_is_left_alone(void **state) {
  (void)state;
  neap_balancer *balancer = make("round_robin", 2, NULL);
  neap_pick pick;
  assert_int_equal(neap_balancer_pick(balancer, NULL, &pick), 0);
  int32_t down = pick.backend;
  const char *address = pick.address;
  neap_balancer_done(balancer, &pick, &(neap_pick_outcome){.unreachable = 1, .took_us = 10});
  for (int i = 0; i < 10; i++) {
    assert_int_equal(neap_balancer_pick(balancer, NULL, &pick), 0);
    assert_int_not_equal(pick.backend, down);
    finish(balancer, &pick);
  }
  neap_balancer_info info;
  assert_int_equal(neap_balancer_info_get(balancer, address, &info), 0);
  assert_int_equal(info.state, 1);
  assert_int_equal(info.failures, 1);
  assert_true(info.error_rate > 0);
  now_ms += 5001;
  int back = 0;
  for (int i = 0; i < 10; i++) {
    assert_int_equal(neap_balancer_pick(balancer, NULL, &pick), 0);
    back += pick.backend == down;
    finish(balancer, &pick);
  }
  assert_int_equal(back, 5);
  neap_balancer_destroy(&balancer);
}

static void test_who_fails_fast_does_not_draw_the_traffic(void **state) {
  (void)state;
  neap_balancer *balancer = make("least_connections", 2, NULL);
  neap_pick slow, pick;
  assert_int_equal(neap_balancer_pick(balancer, NULL, &slow), 0); /* stays busy */
  int32_t failing = 1 - slow.backend;
  int failed = 0;
  for (int i = 0; i < 1000; i++) {
    assert_int_equal(neap_balancer_pick(balancer, NULL, &pick), 0);
    bool bad = pick.backend == failing;
    failed += bad;
    neap_balancer_done(balancer, &pick, &(neap_pick_outcome){.status = bad ? 503 : 200, .took_us = 100});
  }
  assert_int_equal(failed, 5);
  finish(balancer, &slow);
  neap_balancer_destroy(&balancer);
}

static void test_members_change_while_it_runs(void **state) {
  (void)state;
  neap_balancer *balancer = make("weighted_round_robin", 2, NULL);
  neap_pick held, pick;
  assert_int_equal(neap_balancer_pick(balancer, NULL, &held), 0);
  char gone[8];
  snprintf(gone, sizeof gone, "%s", held.address);
  assert_int_equal(neap_balancer_remove(balancer, gone), 0);
  assert_int_equal(neap_balancer_remove(balancer, gone), NEAP_ENOTFOUND);
  assert_string_equal(held.address, gone); /* until it is done */
  assert_int_equal(neap_balancer_add(balancer, &(neap_balancer_backend){.address = "new"}), 0);
  assert_int_equal(neap_balancer_add(balancer, &(neap_balancer_backend){.address = "new"}), NEAP_EEXIST);
  assert_int_equal(neap_balancer_add(balancer, &(neap_balancer_backend){.address = ""}), NEAP_EINVAL);
  assert_int_equal(neap_balancer_set_weight(balancer, "new", 0), NEAP_EINVAL);
  assert_int_equal(neap_balancer_set_weight(balancer, "new", 1000), 0);
  finish(balancer, &held);
  int fresh = 0;
  for (int i = 0; i < 100; i++) {
    assert_int_equal(neap_balancer_pick(balancer, NULL, &pick), 0);
    assert_string_not_equal(pick.address, gone);
    fresh += strcmp(pick.address, "new") == 0;
    finish(balancer, &pick);
  }
  assert_in_range(fresh, 98, 100);
  assert_int_equal(neap_balancer_drain(balancer, "new", 1), 0);
  for (int i = 0; i < 10; i++) {
    assert_int_equal(neap_balancer_pick(balancer, NULL, &pick), 0);
    assert_string_not_equal(pick.address, "new");
    finish(balancer, &pick);
  }
  neap_balancer_destroy(&balancer);
}

static void test_a_policy_in_lua_sees_the_request(void **state) {
  (void)state;
  char path[] = "/tmp/neap-balancer-XXXXXX.lua";
  int fd = mkstemps(path, 4);
  static const char text[] = "return function(req, pool)\n"
                             "  if req.path == '/b' and req:header 'x-way' == 'two' then return 2 end\n"
                             "  return 1\n"
                             "end\n";
  assert_int_equal(write(fd, text, sizeof text - 1), (ssize_t)sizeof text - 1);
  close(fd);
  neap_balancer *balancer = make(path, 2, NULL);
  const neap_balancer_field field = {NEAP_BYTES("X-Way"), NEAP_BYTES("two")};
  neap_balancer_request request = {.path = NEAP_BYTES("/b"), .fields = &field, .field_count = 1};
  neap_pick pick;
  assert_int_equal(neap_balancer_pick(balancer, &request, &pick), 0);
  assert_int_equal(pick.backend, 1);
  finish(balancer, &pick);
  assert_int_equal(neap_balancer_pick(balancer, NULL, &pick), 0);
  assert_int_equal(pick.backend, 0);
  finish(balancer, &pick);
  neap_balancer_destroy(&balancer);
  unlink(path);
}

static void test_what_cannot_be_made_says_why(void **state) {
  (void)state;
  neap_balancer_options options;
  neap_balancer *balancer = NULL;
  neap_err err = {0};
  neap_balancer_options_init(&options);
  options.policy = "p3c";
  assert_int_equal(neap_balancer_create(engine, &options, three, 3, &balancer, &err), NEAP_ENOTFOUND);
  assert_non_null(strstr(err.text, "p3c"));
  options.policy = "p2c";
  const neap_balancer_backend twice[] = {{.address = "a"}, {.address = "a"}};
  assert_int_equal(neap_balancer_create(engine, &options, twice, 2, &balancer, &err), NEAP_EEXIST);
  const neap_balancer_backend heavy = {.address = "a", .weight = 1001};
  assert_int_equal(neap_balancer_create(engine, &options, &heavy, 1, &balancer, &err), NEAP_EINVAL);
  assert_null(balancer);
  assert_int_equal(neap_balancer_create(engine, &options, NULL, 0, &balancer, &err), 0);
  neap_pick pick;
  assert_int_equal(neap_balancer_pick(balancer, NULL, &pick), NEAP_ENOTFOUND);
  neap_balancer_destroy(&balancer);
}

/* --- peers */

enum { THREADS = 4, PICKS = 20000 };

typedef struct worker {
  neap_balancer *balancer;
  pthread_t thread;
  int busy, most;
} worker;

static void *work(void *user) {
  worker *w = user;
  for (int i = 0; i < PICKS; i++) {
    neap_pick pick;
    int code = neap_balancer_pick(w->balancer, NULL, &pick);
    if (code == NEAP_EBUSY) {
      w->busy++;
      continue;
    }
    if (pick.backend == 2 && pick.in_flight > w->most) w->most = pick.in_flight;
    finish(w->balancer, &pick);
  }
  return NULL;
}

static void test_peers_on_several_threads_keep_a_limit_together(void **state) {
  (void)state;
  worker workers[THREADS] = {0};
  for (int i = 0; i < THREADS; i++)
    workers[i].balancer = make("least_connections", 3, i ? workers[0].balancer : NULL);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
  for (int i = 0; i < THREADS; i++) {
    pthread_join(workers[i].thread, NULL);
    assert_true(workers[i].most <= 1);
  }
  neap_balancer_info info;
  uint64_t requests = 0;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(neap_balancer_info_get(workers[0].balancer, three[i].address, &info), 0);
    assert_int_equal(info.in_flight, 0);
    requests += info.requests;
  }
  int busy = 0;
  for (int i = 0; i < THREADS; i++) busy += workers[i].busy;
  assert_int_equal(requests, THREADS * PICKS - busy);
  for (int i = 0; i < THREADS; i++) neap_balancer_destroy(&workers[i].balancer);
}

static void test_when_all_are_full_the_host_is_told_to_come_again(void **state) {
  (void)state;
  neap_balancer *balancer = make("p2c", 0, NULL);
  assert_int_equal(neap_balancer_add(balancer, &three[2]), 0);
  neap_pick one, two;
  assert_int_equal(neap_balancer_pick(balancer, NULL, &one), 0);
  assert_int_equal(neap_balancer_pick(balancer, NULL, &two), NEAP_EBUSY);
  finish(balancer, &one);
  assert_int_equal(neap_balancer_pick(balancer, NULL, &two), 0);
  finish(balancer, &two);
  neap_balancer_destroy(&balancer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_picks_follow_the_policy_and_its_weights, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_who_was_tried_is_not_picked_again, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_keys_stay_with_their_backend, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_an_unreachable_backend_is_left_alone, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_who_fails_fast_does_not_draw_the_traffic, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_members_change_while_it_runs, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_a_policy_in_lua_sees_the_request, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_what_cannot_be_made_says_why, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_peers_on_several_threads_keep_a_limit_together, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_when_all_are_full_the_host_is_told_to_come_again, set_up,
                                      tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
