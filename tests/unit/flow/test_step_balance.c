/* Exchanges that wait for a place at a backend. */
#include "conversation.h"

static void test_round_robin_visits_every_backend(void **state) {
  (void)state;
  gate *g = gate_new(3);
  gate_start(g);
  int client = talk_connect(g->port), order[3], backends[3];
  for (int round = 0; round < 2; round++)
    for (int i = 0; i < 3; i++) {
      get(client, "/", "");
      if (round == 0) {
        order[i] = accept_any(g, 3);
        backends[i] = talk_accept(g->backend_sockets[order[i]]);
      }
      serve(backends[i], EMPTY);
      expect_status(client, "200");
    }
  assert_int_equal(order[0] + order[1] + order[2], 3);
  assert_int_not_equal(order[0], order[1]);
  for (int i = 0; i < 3; i++) close(backends[i]);
  close(client);
  gate_end(g);
}

/* --- limits and the queue */

static void until_waited(const gate *g, uint64_t count) {
  while (neap_count_get(&g->flow.tally->pools[g->pool_options.series]->waited) < count) sched_yield();
}

static uint64_t clients_gone(const gate *g) {
  for (int i = 0; i < NEAP_REASON_COUNT; i++)
    if (strcmp(neap_reason_group((neap_reason)i), "end") == 0 &&
        strcmp(neap_reason_code((neap_reason)i), "client_gone") == 0)
      return neap_count_get(&g->flow.tally->reasons[i]);
  return 0;
}

static void test_what_is_over_the_limit_waits_its_turn(void **state) {
  (void)state;
  gate *g = gate_new(1);
  g->members[0].limit = 1;
  gate_start(g);
  int clients[3], backend;
  clients[0] = talk_connect(g->port);
  get(clients[0], "/0", "");
  backend = talk_accept(g->backend_sockets[0]);
  talk_head(backend, head, sizeof head);
  for (int i = 1; i < 3; i++) { /* these wait: the backend has its one */
    char target[16];
    clients[i] = talk_connect(g->port);
    snprintf(target, sizeof target, "/%d", i);
    get(clients[i], target, "");
    until_waited(g, (uint64_t)i);
  }
  talk_send(backend, EMPTY);
  expect_status(clients[0], "200");
  for (int i = 1; i < 3; i++) { /* in the order in which they came, on the connection that is kept */
    char line[24];
    snprintf(line, sizeof line, "GET /%d ", i);
    talk_head(backend, head, sizeof head);
    assert_memory_equal(head, line, 7);
    talk_send(backend, EMPTY);
    expect_status(clients[i], "200");
  }
  for (int i = 0; i < 3; i++) close(clients[i]);
  close(backend);
  gate_end(g);
}

static void test_a_client_that_leaves_the_queue_is_forgotten(void **state) {
  (void)state;
  gate *g = gate_new(1);
  g->members[0].limit = 1;
  gate_start(g);
  int first = talk_connect(g->port), gone = talk_connect(g->port), last = talk_connect(g->port);
  get(first, "/first", "");
  int backend = talk_accept(g->backend_sockets[0]);
  talk_head(backend, head, sizeof head);
  get(gone, "/gone", "");
  until_waited(g, 1);
  struct linger at_once = {.l_onoff = 1}; /* with a reset: a mere end may be that of its requests */
  setsockopt(gone, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(gone);
  while (clients_gone(g) == 0) sched_yield();
  get(last, "/last", "");
  until_waited(g, 2);
  talk_send(backend, EMPTY);
  expect_status(first, "200");
  talk_head(backend, head, sizeof head);
  assert_memory_equal(head, "GET /last ", 10);
  talk_send(backend, EMPTY);
  expect_status(last, "200");
  close(first);
  close(last);
  close(backend);
  gate_end(g);
}

static void test_a_full_queue_and_a_wait_that_is_too_long_are_503(void **state) {
  (void)state;
  gate *g = gate_new(1);
  g->members[0].limit = 1;
  g->pool_options.max_queue = 1;
  g->pool_options.queue_timeout_ms = 50;
  gate_start(g);
  int first = talk_connect(g->port), waits = talk_connect(g->port), over = talk_connect(g->port);
  get(first, "/", "");
  int backend = talk_accept(g->backend_sockets[0]);
  talk_head(backend, head, sizeof head);
  get(waits, "/", "");
  until_waited(g, 1);
  get(over, "/", "");
  expect_status(over, "503");
  expect_status(waits, "503");
  talk_send(backend, EMPTY);
  expect_status(first, "200");
  close(first);
  close(waits);
  close(over);
  close(backend);
  gate_end(g);
}

static void test_a_retry_waits_for_the_backend_that_is_left(void **state) {
  (void)state;
  gate *g = gate_new(2);
  g->members[0].limit = g->members[1].limit = 1;
  gate_start(g);
  int busy = talk_connect(g->port), retried = talk_connect(g->port);
  get(busy, "/busy", "");
  int one = accept_any(g, 2);
  int good = talk_accept(g->backend_sockets[one]);
  talk_head(good, head, sizeof head);
  get(retried, "/retried", "");
  int bad = talk_accept(g->backend_sockets[1 - one]);
  talk_head(bad, head, sizeof head);
  close(bad); /* no answer: the other is next, and it is busy */
  until_waited(g, 1);
  talk_send(good, EMPTY);
  expect_status(busy, "200");
  talk_head(good, head, sizeof head);
  assert_memory_equal(head, "GET /retried ", 13);
  talk_send(good, EMPTY);
  expect_status(retried, "200");
  close(busy);
  close(retried);
  close(good);
  gate_end(g);
}

/* A policy that holds everything back while one request is under way. */
static void test_a_policy_may_hold_requests(void **state) {
  (void)state;
  gate *g = gate_new(1);
  neap_script_register(g->registry, &g->host);
  g->pool_options.balance = "hold.lua";
  g->pool_options.source = "return function(_, pool)\n"
                           "  if pool[1].in_flight > 0 and pool.may_wait then return pool.wait end\n"
                           "  return 1\n"
                           "end";
  gate_start(g);
  int first = talk_connect(g->port), second = talk_connect(g->port);
  get(first, "/first", "");
  int backend = talk_accept(g->backend_sockets[0]);
  talk_head(backend, head, sizeof head);
  get(second, "/second", "");
  until_waited(g, 1);
  talk_send(backend, EMPTY);
  expect_status(first, "200");
  talk_head(backend, head, sizeof head);
  assert_memory_equal(head, "GET /second ", 12);
  talk_send(backend, EMPTY);
  expect_status(second, "200");
  close(first);
  close(second);
  close(backend);
  gate_end(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_robin_visits_every_backend),
      cmocka_unit_test(test_what_is_over_the_limit_waits_its_turn),
      cmocka_unit_test(test_a_client_that_leaves_the_queue_is_forgotten),
      cmocka_unit_test(test_a_full_queue_and_a_wait_that_is_too_long_are_503),
      cmocka_unit_test(test_a_retry_waits_for_the_backend_that_is_left),
      cmocka_unit_test(test_a_policy_may_hold_requests),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
