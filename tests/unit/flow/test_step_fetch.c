/* Exchanges with backends that refuse, stall, break off or lie. */
#include "conversation.h"

static void stop_listening(gate *g, int index) {
  close(g->backend_sockets[index]);
  g->backend_sockets[index] = -1;
}

static void test_a_backend_that_refuses_is_skipped_and_left_alone(void **state) {
  (void)state;
  gate *g = gate_new(2);
  gate_start(g);
  stop_listening(g, 0);
  int client = talk_connect(g->port), backend = -1;
  for (int i = 0; i < 4; i++) {
    get(client, "/", "");
    if (backend < 0) backend = talk_accept(g->backend_sockets[1]);
    serve(backend, EMPTY);
    expect_status(client, "200");
  }
  neap_backend_info info;
  neap_backend_info_get(g->members[0].backend, 0, neap_clock_now_ms(NULL), &info);
  assert_int_equal(info.state, NEAP_BACKEND_DOWN);
  assert_int_equal(info.failures, 1);
  close(backend);
  close(client);
  gate_end(g);
}

static void test_all_backends_unreachable_is_502(void **state) {
  (void)state;
  gate *g = gate_new(2);
  gate_start(g);
  stop_listening(g, 0);
  stop_listening(g, 1);
  int client = talk_connect(g->port);
  for (int i = 0; i < 2; i++) { /* the second finds both marked down, and tries them all the same */
    char body[1024];
    get(client, "/", "");
    expect_status(client, "502");
    talk_bytes(client, body, (size_t)atoi(strcasestr(head, "content-length: ") + 16));
  }
  close(client);
  gate_end(g);
}

static void test_a_kept_connection_that_was_closed_meanwhile_is_no_error(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_start(g);
  int client = talk_connect(g->port);
  get(client, "/", "");
  int backend = accept_and_serve(g, 0, EMPTY);
  expect_status(client, "200");
  get(client, "/", "");
  talk_head(backend, head, sizeof head); /* the request is there, and the connection dies under it */
  close(backend);
  backend = accept_and_serve(g, 0, EMPTY);
  expect_status(client, "200");
  close(backend);
  close(client);
  gate_end(g);
}

static void test_a_post_is_not_sent_twice(void **state) {
  (void)state;
  gate *g = gate_new(2);
  gate_start(g);
  int client = talk_connect(g->port);
  talk_send(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  int backend = talk_accept(g->backend_sockets[0]);
  talk_head(backend, head, sizeof head);
  close(backend);
  expect_status(client, "502");
  close(client);
  gate_end(g);
}

static void test_a_backend_that_says_nothing_is_504(void **state) {
  (void)state;
  gate *g = gate_new(1);
  g->pool_options.response_timeout_ms = 50;
  gate_start(g);
  int client = talk_connect(g->port);
  get(client, "/", "");
  int backend = talk_accept(g->backend_sockets[0]);
  expect_status(client, "504");
  close(backend);
  close(client);
  gate_end(g);
}

static void test_a_backend_that_stops_in_its_body_is_cut_off(void **state) {
  (void)state;
  gate *g = gate_new(1);
  g->pool_options.response_timeout_ms = 50;
  gate_start(g);
  int client = talk_connect(g->port);
  get(client, "/", "");
  int backend = accept_and_serve(g, 0, FRESH(10, "hello"));
  talk_head(client, head, sizeof head);
  expect_cut_off(client);
  close(backend);
  close(client);
  gate_end(g);
}

static void test_surplus_bytes_of_a_backend_reach_nobody(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_start(g);
  int client = talk_connect(g->port);
  get(client, "/1", "");
  int backend = accept_and_serve(
      g, 0, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  expect_status(client, "200");
  talk_expect(client, "1");
  talk_expect_end(backend, true);
  close(backend);
  get(client, "/2", "");
  backend = accept_and_serve(g, 0, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
  expect_status(client, "200");
  talk_expect(client, "2");
  close(backend);
  close(client);
  gate_end(g);
}

static void test_a_malformed_response_is_502(void **state) {
  (void)state;
  static const char *const broken[] = {
      "nonsense\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
  };
  gate *g = gate_new(1);
  gate_start(g);
  for (size_t i = 0; i < NEAP_COUNT_OF(broken); i++) {
    int client = talk_connect(g->port);
    get(client, "/", "");
    int backend = accept_and_serve(g, 0, broken[i]);
    expect_status(client, "502");
    close(backend);
    close(client);
  }
  gate_end(g);
}

static void test_a_client_that_leaves_frees_the_backend(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_use_cache(g, 4 << 20);
  gate_start(g);
  int client = talk_connect(g->port);
  get(client, "/", "");
  int backend = accept_and_serve(g, 0, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\nx");
  expect_status(client, "200");
  close(client);
  char filler[65536] = {0};
  while (send(backend, filler, sizeof filler, MSG_NOSIGNAL) > 0) { /* until the gateway gives it up */
  }
  assert_true(errno == EPIPE || errno == ECONNRESET);
  close(backend);
  gate_end(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_backend_that_refuses_is_skipped_and_left_alone),
      cmocka_unit_test(test_all_backends_unreachable_is_502),
      cmocka_unit_test(test_a_kept_connection_that_was_closed_meanwhile_is_no_error),
      cmocka_unit_test(test_a_post_is_not_sent_twice),
      cmocka_unit_test(test_a_backend_that_says_nothing_is_504),
      cmocka_unit_test(test_a_backend_that_stops_in_its_body_is_cut_off),
      cmocka_unit_test(test_surplus_bytes_of_a_backend_reach_nobody),
      cmocka_unit_test(test_a_malformed_response_is_502),
      cmocka_unit_test(test_a_client_that_leaves_frees_the_backend),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
