#include "loopback.h"

#define HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

static char head[65536];

/* A backend that answers one request on a new connection. */
static int answer(gate *g, const char *response) {
  int backend = talk_accept(g->backend_sockets[0]);
  talk_head(backend, head, sizeof head);
  talk_send(backend, response);
  return backend;
}

static void expect_hello(int client) {
  talk_head(client, head, sizeof head);
  assert_true(strncmp(head, "HTTP/1.1 200 OK\r\n", 17) == 0);
  talk_expect(client, "hello");
}

static void test_a_request_is_forwarded_and_its_response_returned(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_start(g);
  int client = talk_connect(g->port);
  talk_send(client, "GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n");
  int backend = talk_accept(g->backend_sockets[0]);
  talk_head(backend, head, sizeof head);
  assert_true(strncmp(head, "GET /a?b=c HTTP/1.1\r\n", 21) == 0);
  assert_head_has(head, "Host: example.com\r\n");
  assert_head_has(head, "X-Forwarded-For: 127.0.0.1\r\n");
  assert_head_lacks(head, "X-Hop");
  talk_send(backend, HELLO);
  expect_hello(client);
  close(client);
  close(backend);
  gate_end(g);
}

static void test_both_connections_are_kept_for_the_next_request(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_start(g);
  int client = talk_connect(g->port), backend = -1;
  for (int i = 0; i < 3; i++) {
    talk_send(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    if (backend < 0) backend = talk_accept(g->backend_sockets[0]);
    talk_head(backend, head, sizeof head);
    talk_send(backend, HELLO);
    expect_hello(client);
  }
  close(client);
  close(backend);
  gate_end(g);
}

static void test_pipelined_requests_are_answered_in_order(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_start(g);
  int client = talk_connect(g->port);
  talk_send(client, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
                    "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                    "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
  int backend = talk_accept(g->backend_sockets[0]);
  for (int i = 1; i <= 3; i++) {
    char line[32], body[64];
    talk_head(backend, head, sizeof head);
    snprintf(line, sizeof line, "/%d HTTP/1.1", i);
    assert_head_has(head, line);
    if (i == 2) talk_expect(backend, "abc");
    snprintf(body, sizeof body, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", i);
    talk_send(backend, body);
  }
  for (int i = 1; i <= 3; i++) {
    char body[2] = {(char)('0' + i), 0};
    talk_head(client, head, sizeof head);
    talk_expect(client, body);
  }
  close(client);
  close(backend);
  gate_end(g);
}

static void test_a_request_byte_by_byte_is_served(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_start(g);
  int client = talk_connect(g->port);
  const char *request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (const char *c = request; *c; c++) talk_send_bytes(client, c, 1);
  int backend = answer(g, HELLO);
  expect_hello(client);
  close(client);
  close(backend);
  gate_end(g);
}

static void test_a_chunked_body_travels_both_ways(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_start(g);
  int client = talk_connect(g->port);
  talk_send(client, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n");
  int backend = talk_accept(g->backend_sockets[0]);
  talk_head(backend, head, sizeof head);
  assert_head_has(head, "Transfer-Encoding: chunked\r\n");
  talk_expect(backend, "3\r\nabc\r\n");
  talk_send(client, "2\r\nde\r\n0\r\n\r\n");
  talk_expect(backend, "2\r\nde\r\n0\r\n\r\n");
  talk_send(backend, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n");
  talk_head(client, head, sizeof head);
  assert_head_has(head, "Transfer-Encoding: chunked\r\n");
  talk_expect(client, "4\r\nwxyz\r\n");
  talk_send(backend, "0\r\n\r\n");
  talk_expect(client, "0\r\n\r\n");
  close(client);
  close(backend);
  gate_end(g);
}

static void test_http_1_0_gets_no_chunks_and_the_end_by_close(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_start(g);
  int client = talk_connect(g->port);
  talk_send(client, "GET / HTTP/1.0\r\n\r\n");
  int backend = answer(g, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  talk_head(client, head, sizeof head);
  assert_head_lacks(head, "Transfer-Encoding");
  talk_expect(client, "hello");
  talk_expect_end(client, false);
  close(client);
  close(backend);
  gate_end(g);
}

static void test_a_waiting_client_is_told_to_go_on(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_start(g);
  int client = talk_connect(g->port);
  talk_send(client, "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  int backend = talk_accept(g->backend_sockets[0]);
  talk_head(backend, head, sizeof head);
  assert_head_lacks(head, "Expect");
  talk_expect(client, "HTTP/1.1 100 Continue\r\n\r\n");
  talk_send(client, "ok");
  talk_expect(backend, "ok");
  talk_send(backend, HELLO);
  expect_hello(client);
  close(client);
  close(backend);
  gate_end(g);
}

/* Each is refused with its status, seen by the client although more bytes follow, and nothing reaches a
 * backend. */
static void test_malformed_requests_are_refused_and_the_connection_closed(void **state) {
  (void)state;
  static const struct {
    const char *request, *status;
  } cases[] = {
      {"GET / HTTP/1.1\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       "400"},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", "400"},
      {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"},
      {"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "501"},
      {"\x16\x03\x01\x02\x00 tls", "400"},
  };
  gate *g = gate_new(1);
  gate_start(g);
  for (size_t i = 0; i < NEAP_COUNT_OF(cases); i++) {
    int client = talk_connect(g->port);
    talk_send(client, cases[i].request);
    talk_send(client, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(client, SHUT_WR);
    talk_head(client, head, sizeof head);
    if (strncmp(head + 9, cases[i].status, 3)) fail_msg("%s: %s", cases[i].request, head);
    assert_head_has(head, "Connection: close\r\n");
    close(client);
  }
  gate_end(g);
}

static void test_a_head_beyond_the_limit_is_refused(void **state) {
  (void)state;
  gate *g = gate_new(1);
  g->front_options.max_header_bytes = 2048;
  gate_start(g);
  int client = talk_connect(g->port);
  talk_send(client, "GET / HTTP/1.1\r\nHost: a\r\nX-Long: ");
  char filler[4096];
  memset(filler, 'x', sizeof filler);
  talk_send_bytes(client, filler, sizeof filler);
  talk_head(client, head, sizeof head);
  assert_true(strncmp(head, "HTTP/1.1 431 ", 13) == 0);
  close(client);
  gate_end(g);
}

static void test_a_bad_chunk_ends_the_backends_request_unfinished(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_start(g);
  int client = talk_connect(g->port);
  talk_send(client, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  int backend = talk_accept(g->backend_sockets[0]);
  talk_head(backend, head, sizeof head);
  talk_expect(backend, "3\r\nabc\r\n");
  talk_send(client, "zz\r\n");
  talk_expect_end(backend, true);
  talk_head(client, head, sizeof head);
  assert_true(strncmp(head, "HTTP/1.1 400 ", 13) == 0);
  close(client);
  close(backend);
  gate_end(g);
}

static void test_a_client_that_leaves_in_its_body_leaves_the_backend_without_an_end(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_start(g);
  int client = talk_connect(g->port);
  talk_send(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
  int backend = talk_accept(g->backend_sockets[0]);
  talk_head(backend, head, sizeof head);
  talk_expect(backend, "abc");
  close(client);
  talk_expect_end(backend, true);
  close(backend);
  gate_end(g);
}

static void test_a_client_that_half_closes_still_gets_its_answer(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_start(g);
  int client = talk_connect(g->port);
  talk_send(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  shutdown(client, SHUT_WR);
  int backend = answer(g, HELLO);
  expect_hello(client);
  talk_expect_end(client, false);
  close(client);
  close(backend);
  gate_end(g);
}

static void test_a_slow_head_is_answered_408(void **state) {
  (void)state;
  gate *g = gate_new(1);
  g->front_options.header_timeout_ms = 40;
  gate_start(g);
  int client = talk_connect(g->port);
  talk_send(client, "GET / HTTP/1.1\r\nHo");
  talk_head(client, head, sizeof head);
  assert_true(strncmp(head, "HTTP/1.1 408 ", 13) == 0);
  close(client);
  gate_end(g);
}

static void test_an_idle_connection_is_closed(void **state) {
  (void)state;
  gate *g = gate_new(1);
  g->front_options.idle_timeout_ms = 40;
  gate_start(g);
  int client = talk_connect(g->port);
  talk_send(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  int backend = answer(g, HELLO);
  expect_hello(client);
  talk_expect_end(client, false);
  close(client);
  close(backend);
  gate_end(g);
}

static void test_an_early_answer_closes_what_still_wants_to_send_its_body(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_start(g);
  int client = talk_connect(g->port);
  talk_send(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc");
  int backend = talk_accept(g->backend_sockets[0]);
  talk_head(backend, head, sizeof head);
  talk_expect(backend, "abc");
  talk_send(backend, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
  talk_head(client, head, sizeof head);
  assert_true(strncmp(head, "HTTP/1.1 413 ", 13) == 0);
  assert_head_has(head, "Connection: close\r\n");
  talk_expect(client, "no");
  talk_expect_end(client, true);
  talk_expect_end(backend, true);
  close(client);
  close(backend);
  gate_end(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_request_is_forwarded_and_its_response_returned),
      cmocka_unit_test(test_both_connections_are_kept_for_the_next_request),
      cmocka_unit_test(test_pipelined_requests_are_answered_in_order),
      cmocka_unit_test(test_a_request_byte_by_byte_is_served),
      cmocka_unit_test(test_a_chunked_body_travels_both_ways),
      cmocka_unit_test(test_http_1_0_gets_no_chunks_and_the_end_by_close),
      cmocka_unit_test(test_a_waiting_client_is_told_to_go_on),
      cmocka_unit_test(test_malformed_requests_are_refused_and_the_connection_closed),
      cmocka_unit_test(test_a_head_beyond_the_limit_is_refused),
      cmocka_unit_test(test_a_bad_chunk_ends_the_backends_request_unfinished),
      cmocka_unit_test(test_a_client_that_leaves_in_its_body_leaves_the_backend_without_an_end),
      cmocka_unit_test(test_a_client_that_half_closes_still_gets_its_answer),
      cmocka_unit_test(test_a_slow_head_is_answered_408),
      cmocka_unit_test(test_an_idle_connection_is_closed),
      cmocka_unit_test(test_an_early_answer_closes_what_still_wants_to_send_its_body),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
