/* Exchanges and the route that they take. */
#include "conversation.h"

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
      cmocka_unit_test(test_a_request_without_a_route_is_404),
      cmocka_unit_test(test_a_predicate_sees_the_client_and_may_decline),
      cmocka_unit_test(test_a_route_answers_and_edits_heads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
