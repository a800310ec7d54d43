#include "loopback.h"

#define HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

static void test_a_request_is_forwarded_and_its_response_returned(void **state) {
  (void)state;
  gate *g = gate_new(1);
  gate_start(g);
  int client = talk_connect(g->port);
  talk_send(client, "GET /a?b=c HTTP/1.1\r\nHost: example.com\r\n\r\n");
  int backend = talk_accept(g->backend_sockets[0]);
  char head[4096];
  talk_head(backend, head, sizeof head);
  assert_true(strncmp(head, "GET /a?b=c HTTP/1.1\r\n", 21) == 0);
  assert_head_has(head, "Host: example.com\r\n");
  assert_head_has(head, "X-Forwarded-For: 127.0.0.1\r\n");
  talk_send(backend, HELLO);
  talk_head(client, head, sizeof head);
  assert_true(strncmp(head, "HTTP/1.1 200 OK\r\n", 17) == 0);
  talk_expect(client, "hello");
  close(client);
  close(backend);
  gate_end(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_request_is_forwarded_and_its_response_returned),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
