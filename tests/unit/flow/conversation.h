/* What tests of one exchange share: a client and backends that say what they are told to. */
#ifndef TESTS_FLOW_CONVERSATION_H
#define TESTS_FLOW_CONVERSATION_H

#include "loopback.h"

#include <poll.h>
#include <sched.h>

#include "script/script.h"

static char head[65536];

#define FRESH(body_bytes, body)                                                                              \
  "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: " #body_bytes "\r\n\r\n" body
#define EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static inline void get(int client, const char *target, const char *fields) {
  char request[1024];
  snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", target, fields);
  talk_send(client, request);
}

/* Takes one request of a backend's connection and answers it. */
static inline void serve(int backend, const char *response) {
  talk_head(backend, head, sizeof head);
  talk_send(backend, response);
}
static inline int accept_and_serve(gate *g, int index, const char *response) {
  int backend = talk_accept(g->backend_sockets[index]);
  serve(backend, response);
  return backend;
}

static inline void expect_status(int client, const char *status) {
  talk_head(client, head, sizeof head);
  if (strncmp(head + 9, status, 3)) fail_msg("expected %s: %s", status, head);
}

static inline void expect_cut_off(int client) {
  ssize_t got, all = 0;
  while ((got = recv(client, head + all, sizeof head - 1 - (size_t)all, 0)) > 0) all += got;
  head[all] = '\0';
  assert_int_equal(got, -1);
  assert_int_equal(errno, ECONNRESET);
  assert_head_lacks(head, "\r\n0\r\n\r\n");
}

/* The backend that the gateway connects to. */
static inline int accept_any(gate *g, int count) {
  struct pollfd waiting[BACKENDS_MAX];
  for (int i = 0; i < count; i++) waiting[i] = (struct pollfd){.fd = g->backend_sockets[i], .events = POLLIN};
  assert_int_equal(poll(waiting, (nfds_t)count, TALK_S * 1000), 1);
  int index = 0;
  while (!waiting[index].revents) index++;
  return index;
}

#endif
