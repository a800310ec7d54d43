/* Exchanges that meet the cache: stored, served, revalidated, invalidated. */
#include "conversation.h"

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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_fresh_response_is_served_from_the_cache),
      cmocka_unit_test(test_head_and_conditions_are_answered_from_a_stored_get),
      cmocka_unit_test(test_variants_are_kept_apart),
      cmocka_unit_test(test_a_successful_post_makes_the_stored_response_invalid),
      cmocka_unit_test(test_the_routes_lifetime_is_used_where_the_response_states_none),
      cmocka_unit_test(test_an_incomplete_response_is_cut_off_and_not_stored),
      cmocka_unit_test(test_slow_clients_get_every_byte_of_a_hit_and_hold_up_nobody),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
