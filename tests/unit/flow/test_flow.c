#include "loopback.h"

#include <poll.h>
#include <sched.h>

#include "script/script.h"

static char head[65536];

#define FRESH(body_bytes, body)                                                                              \
  "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: " #body_bytes "\r\n\r\n" body
#define EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static void get(int client, const char *target, const char *fields) {
  char request[1024];
  snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", target, fields);
  talk_send(client, request);
}

/* Takes one request of a backend's connection and answers it. */
static void serve(int backend, const char *response) {
  talk_head(backend, head, sizeof head);
  talk_send(backend, response);
}
static int accept_and_serve(gate *g, int index, const char *response) {
  int backend = talk_accept(g->backend_sockets[index]);
  serve(backend, response);
  return backend;
}

static void expect_status(int client, const char *status) {
  talk_head(client, head, sizeof head);
  if (strncmp(head + 9, status, 3)) fail_msg("expected %s: %s", status, head);
}

/* --- the cache */

static void test_a_fresh_response_is_served_from_the_cache(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_use_cache(g, 4 << 20);
  gate_start(g);
  int client = talk_connect(g->port);
  get(client, "/a", "");
  int backend = accept_and_serve(g, 0, FRESH(5, "hello"));
  expect_status(client, "200");
  assert_head_has(head, "Cache-Status: neap; fwd=uri-miss; stored\r\n");
  talk_expect(client, "hello");
  for (int i = 0; i < 3; i++) {
    get(client, "/a", "");
    expect_status(client, "200");
    assert_head_has(head, "Cache-Status: neap; hit\r\n");
    assert_head_has(head, "Age: ");
    talk_expect(client, "hello");
  }
  close(client);
  close(backend);
  gate_end(g);
}

static void test_head_and_conditions_are_answered_from_a_stored_get(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_use_cache(g, 4 << 20);
  gate_start(g);
  int client = talk_connect(g->port);
  get(client, "/a", "");
  int backend = accept_and_serve(
      g, 0, "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nhello");
  expect_status(client, "200");
  talk_expect(client, "hello");
  talk_send(client, "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
  expect_status(client, "200");
  assert_head_has(head, "Content-Length: 5\r\n");
  get(client, "/a", "If-None-Match: \"v1\"\r\n");
  expect_status(client, "304");
  get(client, "/a", "");
  expect_status(client, "200"); /* neither of the two had a body */
  talk_expect(client, "hello");
  close(client);
  close(backend);
  gate_end(g);
}

static void test_variants_are_kept_apart(void **state) {
  (void)state;
  static const char *const languages[] = {"Accept-Language: de\r\n", "Accept-Language: fr\r\n"};
  static const char *const bodies[] = {"de", "fr"};
  gate *g = gate_new(1);
  gate_use_cache(g, 4 << 20);
  gate_start(g);
  int client = talk_connect(g->port), backend = -1;
  for (int i = 0; i < 2; i++) {
    char response[256];
    snprintf(response, sizeof response,
             "HTTP/1.1 200 OK\r\nVary: accept-language\r\nCache-Control: max-age=60\r\nContent-Length: "
             "2\r\n\r\n%s",
             bodies[i]);
    get(client, "/v", languages[i]);
    if (backend < 0) backend = talk_accept(g->backend_sockets[0]);
    serve(backend, response);
    expect_status(client, "200");
    assert_head_has(head, i ? "fwd=vary-miss; stored" : "fwd=uri-miss; stored");
    talk_expect(client, bodies[i]);
  }
  for (int i = 0; i < 2; i++) {
    get(client, "/v", languages[i]);
    expect_status(client, "200");
    assert_head_has(head, "neap; hit");
    talk_expect(client, bodies[i]);
  }
  close(client);
  close(backend);
  gate_end(g);
}

static void test_a_successful_post_makes_the_stored_response_invalid(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_use_cache(g, 4 << 20);
  gate_start(g);
  int client = talk_connect(g->port);
  get(client, "/a", "");
  int backend = accept_and_serve(g, 0, FRESH(1, "1"));
  expect_status(client, "200");
  talk_expect(client, "1");
  talk_send(client, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
  serve(backend, "HTTP/1.1 204 No Content\r\n\r\n");
  expect_status(client, "204");
  get(client, "/a", "");
  serve(backend, FRESH(1, "2"));
  expect_status(client, "200");
  talk_expect(client, "2");
  close(client);
  close(backend);
  gate_end(g);
}

static void test_the_routes_lifetime_is_used_where_the_response_states_none(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_use_cache(g, 4 << 20);
  g->rules[0].cache_ttl_ms = 60000;
  gate_start(g);
  int client = talk_connect(g->port);
  get(client, "/a", "");
  int backend = accept_and_serve(g, 0, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
  expect_status(client, "200");
  assert_head_has(head, "stored");
  talk_expect(client, "1");
  get(client, "/a", "");
  expect_status(client, "200");
  assert_head_has(head, "neap; hit");
  talk_expect(client, "1");
  get(client, "/b", ""); /* one that does state it is believed */
  serve(backend, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 1\r\n\r\n2");
  expect_status(client, "200");
  assert_head_lacks(head, "stored");
  talk_expect(client, "2");
  close(client);
  close(backend);
  gate_end(g);
}

/* An abnormal end: neither a last chunk nor a close that looks complete. */
static void expect_cut_off(int client) {
  ssize_t got, all = 0;
  while ((got = recv(client, head + all, sizeof head - 1 - (size_t)all, 0)) > 0) all += got;
  head[all] = '\0';
  assert_int_equal(got, -1);
  assert_int_equal(errno, ECONNRESET);
  assert_head_lacks(head, "\r\n0\r\n\r\n");
}

static void test_an_incomplete_response_is_cut_off_and_not_stored(void **state) {
  (void)state;
  static const char *const broken[] = {
      FRESH(10, "hello"), /* and no more */
      "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
      "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz",
  };
  gate *g = gate_new(1);
  gate_use_cache(g, 4 << 20);
  gate_start(g);
  for (size_t i = 0; i < NEAP_COUNT_OF(broken); i++) {
    int client = talk_connect(g->port);
    get(client, "/a", "");
    int backend = accept_and_serve(g, 0, broken[i]);
    if (i < 2) talk_head(client, head, sizeof head); /* the last is noticed at once, and gets a 502 */
    close(backend);
    if (i < 2)
      expect_cut_off(client);
    else
      expect_status(client, "502");
    close(client);
  }
  int client = talk_connect(g->port);
  get(client, "/a", "");
  int backend = accept_and_serve(g, 0, FRESH(5, "whole"));
  expect_status(client, "200");
  assert_head_has(head, "fwd=uri-miss");
  talk_expect(client, "whole");
  close(client);
  close(backend);
  gate_end(g);
}

enum { BIG = 12 << 20 };

/* Brings a body of many pieces into the cache, streamed through a client that reads as it comes. */
static void fill_cache(gate *g, const char *body, char *got) {
  char first[128];
  int client = talk_connect(g->port);
  get(client, "/big", "");
  snprintf(first, sizeof first, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n",
           BIG);
  int backend = accept_and_serve(g, 0, first);
  expect_status(client, "200");
  talk_reader reader = {client, got, BIG};
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, talk_read_all, &reader), 0);
  talk_send_bytes(backend, body, BIG);
  pthread_join(thread, NULL);
  assert_memory_equal(got, body, BIG);
  close(client);
  close(backend);
}

static void test_slow_clients_get_every_byte_of_a_hit_and_hold_up_nobody(void **state) {
  (void)state;
  char *body = malloc(BIG), *got = malloc(BIG);
  for (size_t i = 0; i < BIG; i++) body[i] = (char)(i * 2654435761u >> 13);
  gate *g = gate_new(1);
  gate_use_cache(g, 512 << 20);
  gate_start(g);
  fill_cache(g, body, got);
  int slow = talk_connect(g->port), quick = talk_connect(g->port), leaver = talk_connect(g->port);
  get(slow, "/big", ""); /* and does not read for now */
  get(quick, "/big", "");
  expect_status(quick, "200");
  assert_head_has(head, "neap; hit");
  memset(got, 0, BIG);
  talk_bytes(quick, got, BIG);
  assert_memory_equal(got, body, BIG);
  get(leaver, "/big", "");
  expect_status(leaver, "200");
  close(leaver);
  expect_status(slow, "200");
  assert_head_has(head, "neap; hit");
  memset(got, 0, BIG);
  talk_bytes(slow, got, BIG);
  assert_memory_equal(got, body, BIG);
  close(slow);
  close(quick);
  gate_end(g);
  free(body);
  free(got);
}

/* --- backends */

/* The backend that the gateway connects to. */
static int accept_any(gate *g, int count) {
  struct pollfd waiting[BACKENDS_MAX];
  for (int i = 0; i < count; i++) waiting[i] = (struct pollfd){.fd = g->backend_sockets[i], .events = POLLIN};
  assert_int_equal(poll(waiting, (nfds_t)count, TALK_S * 1000), 1);
  int index = 0;
  while (!waiting[index].revents) index++;
  return index;
}

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

/* --- routes */

static void test_a_request_without_a_route_is_404(void **state) {
  (void)state;
  gate *g = gate_new(1);
  g->matches[0] = (neap_match){.path = "/only", .path_how = NEAP_PATH_EXACT};
  gate_start(g);
  int client = talk_connect(g->port);
  get(client, "/other", "");
  expect_status(client, "404");
  close(client);
  gate_end(g);
}

static int decline(void *user, int32_t route, const neap_request_board *request) {
  (void)user, (void)route;
  return request->client.size == 9 && memcmp(request->client.ptr, "127.0.0.1", 9) == 0 ? 0 : 1;
}

static void test_a_predicate_sees_the_client_and_may_decline(void **state) {
  (void)state;
  gate *g = gate_new(1);
  g->matches[1].conditional = g->rules[1].conditional = true;
  g->rules[1].action = NEAP_FLOW_ANSWER;
  g->rules[1].answer.status = 500;
  g->rule_count = 2;
  g->generation.when = decline;
  gate_start(g);
  int client = talk_connect(g->port);
  get(client, "/", "");
  int backend = accept_and_serve(g, 0, EMPTY);
  expect_status(client, "200");
  close(backend);
  close(client);
  gate_end(g);
}

static void test_a_route_answers_and_edits_heads(void **state) {
  (void)state;
  static const char *const removed[] = {"X-Secret"};
  static const neap_match_field set[] = {{"X-Team", "blue"}};
  gate *g = gate_new(1);
  g->rules[0].request = g->rules[0].response =
      (neap_flow_edits){.remove = removed, .remove_count = 1, .set = set, .set_count = 1};
  g->matches[1] = (neap_match){.path = "/ping", .path_how = NEAP_PATH_EXACT};
  g->rules[1] = (neap_flow_route){.name = "ping",
                                  .action = NEAP_FLOW_ANSWER,
                                  .answer = {200, NEAP_BYTES("pong"), .content_type = "text/plain"}};
  g->matches[2] = (neap_match){.path = "/old", .path_how = NEAP_PATH_EXACT};
  g->rules[2] = (neap_flow_route){
      .name = "old", .action = NEAP_FLOW_ANSWER, .answer = {.status = 301, .location = "/new"}};
  g->rule_count = 3;
  gate_start(g);
  int client = talk_connect(g->port);
  get(client, "/ping", "");
  expect_status(client, "200");
  assert_head_has(head, "Content-Type: text/plain\r\n");
  talk_expect(client, "pong");
  get(client, "/old", "");
  expect_status(client, "301");
  assert_head_has(head, "Location: /new\r\n");
  get(client, "/x", "X-Secret: 1\r\nX-Team: red\r\n");
  int backend = talk_accept(g->backend_sockets[0]);
  talk_head(backend, head, sizeof head);
  assert_head_lacks(head, "X-Secret");
  assert_head_has(head, "X-Team: blue\r\n");
  assert_head_lacks(head, "red");
  talk_send(backend, "HTTP/1.1 200 OK\r\nX-Secret: 2\r\nContent-Length: 0\r\n\r\n");
  expect_status(client, "200");
  assert_head_lacks(head, "X-Secret");
  assert_head_has(head, "X-Team: blue\r\n");
  close(backend);
  close(client);
  gate_end(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_fresh_response_is_served_from_the_cache),
      cmocka_unit_test(test_head_and_conditions_are_answered_from_a_stored_get),
      cmocka_unit_test(test_variants_are_kept_apart),
      cmocka_unit_test(test_a_successful_post_makes_the_stored_response_invalid),
      cmocka_unit_test(test_the_routes_lifetime_is_used_where_the_response_states_none),
      cmocka_unit_test(test_an_incomplete_response_is_cut_off_and_not_stored),
      cmocka_unit_test(test_slow_clients_get_every_byte_of_a_hit_and_hold_up_nobody),
      cmocka_unit_test(test_round_robin_visits_every_backend),
      cmocka_unit_test(test_what_is_over_the_limit_waits_its_turn),
      cmocka_unit_test(test_a_client_that_leaves_the_queue_is_forgotten),
      cmocka_unit_test(test_a_full_queue_and_a_wait_that_is_too_long_are_503),
      cmocka_unit_test(test_a_retry_waits_for_the_backend_that_is_left),
      cmocka_unit_test(test_a_policy_may_hold_requests),
      cmocka_unit_test(test_a_backend_that_refuses_is_skipped_and_left_alone),
      cmocka_unit_test(test_all_backends_unreachable_is_502),
      cmocka_unit_test(test_a_kept_connection_that_was_closed_meanwhile_is_no_error),
      cmocka_unit_test(test_a_post_is_not_sent_twice),
      cmocka_unit_test(test_a_backend_that_says_nothing_is_504),
      cmocka_unit_test(test_a_backend_that_stops_in_its_body_is_cut_off),
      cmocka_unit_test(test_surplus_bytes_of_a_backend_reach_nobody),
      cmocka_unit_test(test_a_malformed_response_is_502),
      cmocka_unit_test(test_a_client_that_leaves_frees_the_backend),
      cmocka_unit_test(test_a_request_without_a_route_is_404),
      cmocka_unit_test(test_a_predicate_sees_the_client_and_may_decline),
      cmocka_unit_test(test_a_route_answers_and_edits_heads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
