/* A worker's gateway in a thread, clients and backends as blocking sockets in the test: tests read as a
 * conversation. Nothing sleeps: every wait is for bytes, bounded by TALK_S. */
#ifndef NEAP_TESTS_LOOPBACK_H
#define NEAP_TESTS_LOOPBACK_H

#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/base.h"
#include "flow/flow.h"
#include "front/front.h"
#include "policy/policy.h"
#include "store/store.h"

enum { TALK_S = 10, BACKENDS_MAX = 4 };

typedef struct gate {
  neap_loop *loop;
  neap_flow flow;
  neap_front *front;
  neap_listener *listener;
  neap_connections *connections;
  neap_backends *backends;
  neap_queues *queues;
  neap_registry *registry;
  neap_host host;
  neap_routes *routes;
  neap_flow_route rules[4];
  neap_match matches[4];
  size_t rule_count;
  neap_pool_member members[BACKENDS_MAX];
  neap_pool_options pool_options;
  neap_pool *pool;
  neap_generation generation;
  neap_generation_set *set;
  _Atomic(neap_generation_set *) current;
  _Atomic(neap_cache *) cache;
  neap_front_options front_options;
  int backend_sockets[BACKENDS_MAX]; /* listening; the test accepts */
  uint16_t port;
  pthread_t thread;
  neap_task stop;
  neap_tallies *tallies;
} gate;

/* --- sockets */

static inline void bound_waits(int fd) {
  struct timeval limit = {.tv_sec = TALK_S};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

static inline int talk_listen(uint16_t *port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal(listen(fd, 64), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
  *port = ntohs(address.sin_port);
  bound_waits(fd);
  return fd;
}

static inline int talk_connect(uint16_t port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  bound_waits(fd);
  assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
  return fd;
}

static inline int talk_accept(int listening) {
  int fd = accept(listening, NULL, NULL);
  if (fd < 0) fail_msg("nobody connected: %s", strerror(errno));
  bound_waits(fd);
  return fd;
}

static inline void talk_send_bytes(int fd, const char *bytes, size_t size) {
  while (size > 0) {
    ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
    if (sent <= 0) fail_msg("cannot send: %s", strerror(errno));
    bytes += sent;
    size -= (size_t)sent;
  }
}
static inline void talk_send(int fd, const char *text) {
  talk_send_bytes(fd, text, strlen(text));
}

/* Reads a head, byte by byte so that nothing beyond it is taken. */
static inline char *talk_head(int fd, char *out, size_t capacity) {
  size_t used = 0;
  out[0] = '\0';
  while (used < 4 || memcmp(out + used - 4, "\r\n\r\n", 4) != 0) {
    if (used + 1 == capacity) fail_msg("head too long: %s", out);
    ssize_t got = recv(fd, out + used, 1, 0);
    if (got <= 0) fail_msg("no whole head came, but \"%s\": %s", out, got ? strerror(errno) : "end");
    out[++used] = '\0';
  }
  return out;
}

static inline void talk_bytes(int fd, char *out, size_t size) {
  for (size_t used = 0; used < size;) {
    ssize_t got = recv(fd, out + used, size - used, 0);
    if (got <= 0) fail_msg("%zu of %zu bytes came: %s", used, size, got ? strerror(errno) : "end");
    used += (size_t)got;
  }
}

/* Reads in a thread of its own. */
typedef struct talk_reader {
  int fd;
  char *out;
  size_t size;
} talk_reader;
static inline void *talk_read_all(void *user) {
  talk_reader *reader = user;
  talk_bytes(reader->fd, reader->out, reader->size);
  return NULL;
}

/* The next bytes are exactly these. */
static inline void talk_expect(int fd, const char *text) {
  char got[4096];
  size_t size = strlen(text);
  assert_true(size < sizeof got);
  talk_bytes(fd, got, size);
  got[size] = '\0';
  assert_string_equal(got, text);
}

/* Nothing more comes: the end, or a reset where `reset` allows one. */
static inline void talk_expect_end(int fd, bool reset) {
  char byte;
  ssize_t got = recv(fd, &byte, 1, 0);
  if (got > 0) fail_msg("more bytes came: '%c'", byte);
  if (got < 0 && !(reset && errno == ECONNRESET)) fail_msg("no end: %s", strerror(errno));
}

static inline bool head_has(const char *head, const char *text) {
  return strcasestr(head, text) != NULL;
}
#define assert_head_has(head, text)                                                                          \
  do {                                                                                                       \
    if (!head_has(head, text)) fail_msg("\"%s\" is not in: %s", text, head);                                 \
  } while (0)
#define assert_head_lacks(head, text)                                                                        \
  do {                                                                                                       \
    if (head_has(head, text)) fail_msg("\"%s\" is in: %s", text, head);                                      \
  } while (0)

/* --- the gateway */

static inline void gate_quiet(void *user, neap_log_level level, const char *line) {
  (void)user, (void)level, (void)line;
}

static inline void gate_drained(neap_generation *generation) {
  (void)generation;
}

/* Prepares one route "/" to a pool of `backends` sockets. Change what the test needs before gate_start. */
static inline gate *gate_new(int backends) {
  gate *g = calloc(1, sizeof *g);
  neap_host_complete(&(neap_host){.log = gate_quiet,
                                  .now_ms = neap_clock_now_ms,
                                  .now_ns = neap_clock_now_ns,
                                  .thread_cpu_ns = neap_clock_thread_cpu_ns,
                                  .seed = 1},
                     &g->host);
  assert_int_equal(neap_registry_create(&g->host, &g->registry), 0);
  assert_int_equal(neap_backends_create(&g->backends), 0);
  for (int i = 0; i < backends; i++) {
    uint16_t port;
    char text[NEAP_ADDRESS_TEXT];
    g->backend_sockets[i] = talk_listen(&port);
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    neap_err err;
    assert_int_equal(neap_backends_take(g->backends, text, &g->members[i].backend, &err), 0);
    g->members[i].weight = 1;
  }
  g->pool_options = (neap_pool_options){.name = "app",
                                        .key_name = "",
                                        .members = g->members,
                                        .member_count = (size_t)backends,
                                        .connect_timeout_ms = 5000,
                                        .response_timeout_ms = 5000,
                                        .idle_timeout_ms = 60000,
                                        .down_time_ms = 10000,
                                        .max_idle = 8,
                                        .max_retries = 2,
                                        .max_queue = 64,
                                        .queue_timeout_ms = 5000,
                                        .balance = "native:round_robin",
                                        .registry = g->registry,
                                        .host = &g->host,
                                        .generation = 1,
                                        .seed = 1};
  g->rules[0] =
      (neap_flow_route){.name = "/", .action = NEAP_FLOW_POOL, .pool = 0, .cache_space = NEAP_BYTES("app")};
  g->rule_count = 1;
  g->front_options =
      (neap_front_options){.header_timeout_ms = 5000, .idle_timeout_ms = 60000, .max_header_bytes = 16384};
  return g;
}

static inline void gate_use_cache(gate *g, uint64_t max_memory) {
  neap_cache_options options;
  neap_cache_options_init(&options);
  options.max_memory = max_memory;
  options.evict = "native:sieve";
  neap_cache *cache;
  neap_err err = {0};
  if (neap_store_create(g->registry, &g->host, &options, NEAP_STORE_VALUES, &cache, &err))
    fail_msg("%s", err.text);
  atomic_store(&g->cache, cache);
  g->rules[0].cache = true;
}

static void *gate_run(void *user) {
  neap_loop_run(((gate *)user)->loop);
  return NULL;
}

static inline void gate_turn(void *user) {
  neap_queues_turn(((gate *)user)->queues);
}

static inline void gate_start(gate *g) {
  neap_err err = {0};
  neap_tally *tally;
  assert_int_equal(neap_tallies_create(&g->tallies), 0);
  assert_int_equal(neap_tallies_worker(g->tallies, 0, &tally), 0);
  assert_int_equal(neap_loop_create(&g->loop), 0);
  assert_int_equal(neap_connections_create(g->loop, &g->connections), 0);
  assert_int_equal(neap_queues_create(g->backends, g->loop, &g->queues), 0);
  neap_loop_on_turn(g->loop, gate_turn, g);
  const neap_match *matches[4];
  for (size_t i = 0; i < g->rule_count; i++) matches[i] = &g->matches[i];
  assert_int_equal(neap_routes_create(matches, g->rule_count, &g->routes), 0);
  if (neap_pool_create(&g->pool_options, &g->pool, &err)) fail_msg("%s", err.text);
  g->generation.number = 1;
  g->generation.routes = g->routes;
  g->generation.rules = g->rules;
  g->generation.pools = &g->pool;
  g->generation.drained = gate_drained;
  g->set = calloc(1, sizeof *g->set + sizeof(neap_generation *));
  g->set->number = 1;
  g->set->worker_count = 1;
  g->set->of_worker[0] = &g->generation;
  atomic_store(&g->current, g->set);
  neap_flow_init(&g->flow, g->loop, 0, &g->current, g->connections, &g->cache, tally, 1);
  g->flow.queues = g->queues;
  assert_int_equal(neap_front_create(&g->flow, &g->front_options, &g->front), 0);
  neap_address address;
  int fd;
  assert_int_equal(neap_address_parse("127.0.0.1:0", &address, &err), 0);
  assert_int_equal(neap_listen_socket(&address, false, &fd, &err), 0);
  neap_socket_address(fd, &address);
  g->port = neap_address_port(&address);
  assert_int_equal(neap_listener_open(g->loop, fd, neap_front_accept, g->front, &g->listener), 0);
  assert_int_equal(pthread_create(&g->thread, NULL, gate_run, g), 0);
}

static inline void gate_on_stop(neap_task *task) {
  gate *g = NEAP_CONTAINER_OF(task, gate, stop);
  neap_listener_close(&g->listener);
  neap_front_close(g->front);
  neap_loop_stop(g->loop);
}

/* Stops and frees; everything that was taken must have been given back. */
static inline void gate_end(gate *g) {
  g->stop.run = gate_on_stop;
  neap_loop_post(g->loop, &g->stop);
  pthread_join(g->thread, NULL);
  assert_int_equal(g->flow.exchanges, 0);
  assert_int_equal(neap_front_connection_count(g->front), 0);
  assert_int_equal(g->generation.exchanges, 0);
  for (size_t i = 0; i < g->pool_options.member_count; i++) {
    neap_backend_info info;
    neap_backend_info_get(g->members[i].backend, 0, 0, &info);
    assert_int_equal(info.in_flight, 0);
  }
  neap_front_destroy(&g->front);
  neap_flow_stop_probes(&g->flow);
  neap_connections_destroy(&g->connections);
  neap_queues_destroy(&g->queues);
  neap_flow_fini(&g->flow);
  neap_pool_destroy(&g->pool);
  neap_routes_destroy(&g->routes);
  neap_loop_destroy(&g->loop);
  for (size_t i = 0; i < g->pool_options.member_count; i++) {
    neap_backend_give(g->backends, g->members[i].backend);
    if (g->backend_sockets[i] >= 0) close(g->backend_sockets[i]);
  }
  neap_backends_destroy(&g->backends);
  neap_cache *cache = atomic_load(&g->cache);
  neap_cache_destroy(&cache);
  neap_registry_destroy(&g->registry);
  neap_tallies_destroy(&g->tallies);
  free(g->set);
  free(g);
}

#endif
