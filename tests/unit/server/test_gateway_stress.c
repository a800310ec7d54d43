/* The whole gateway in this process, driven by its signals: reloads, refused and accepted, under load; stops.
 */
#include "loopback.h"

#include <signal.h>
#include <stdatomic.h>

#include "server/server.h"

static char path[] = "/tmp/neap-gateway-XXXXXX";
static char last_log[2048];
static _Atomic int reloaded, refused;

static void keep_log(void *user, neap_log_level level, const char *line) {
  (void)user, (void)level;
  if (strstr(line, "reload_problem") || strstr(line, "reload_refused"))
    snprintf(last_log, sizeof last_log, "%s", line);
  if (strstr(line, "reload_refused")) atomic_fetch_add(&refused, 1);
  if (strstr(line, "server reloaded")) atomic_fetch_add(&reloaded, 1);
}

static void write_config(const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  assert_int_equal(fclose(file), 0);
}

/* Answers every request with its own name; "fresh" for an hour. */
typedef struct origin {
  int listening;
  uint16_t port;
  const char *body;
  pthread_t thread;
  _Atomic int requests;
} origin;

static void *origin_talk(void *user);
typedef struct origin_connection {
  origin *origin;
  int fd;
} origin_connection;

static void *origin_run(void *user) {
  origin *o = user;
  for (;;) {
    int fd = accept(o->listening, NULL, NULL);
    if (fd < 0) return NULL;
    origin_connection *connection = malloc(sizeof *connection);
    *connection = (origin_connection){o, fd};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, origin_talk, connection), 0);
    pthread_detach(thread);
  }
}

static void *origin_talk(void *user) {
  origin_connection connection = *(origin_connection *)user;
  free(user);
  char buffer[4096];
  size_t used = 0;
  for (ssize_t got; (got = recv(connection.fd, buffer + used, sizeof buffer - 1 - used, 0)) > 0;) {
    used += (size_t)got;
    buffer[used] = '\0';
    if (strstr(buffer, "\r\n\r\n") == NULL) continue;
    char answer[256];
    int size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: %zu\r\n\r\n%s",
                        strlen(connection.origin->body), connection.origin->body);
    atomic_fetch_add(&connection.origin->requests, 1);
    if (send(connection.fd, answer, (size_t)size, MSG_NOSIGNAL) < 0) break;
    used = 0;
  }
  close(connection.fd);
  return NULL;
}

static void origin_start(origin *o, const char *body) {
  o->listening = talk_listen(&o->port);
  struct timeval forever = {0};
  setsockopt(o->listening, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
  o->body = body;
  atomic_store(&o->requests, 0);
  assert_int_equal(pthread_create(&o->thread, NULL, origin_run, o), 0);
}
static void origin_stop(origin *o) {
  shutdown(o->listening, SHUT_RDWR);
  pthread_join(o->thread, NULL);
  close(o->listening);
}

/* --- the gateway */

static neap_engine *engine;
static neap_gateway *gateway;
static pthread_t thread;
static const neap_gateway_options options = {.name = path, .workers = 2};

static void *run(void *user) {
  (void)user;
  neap_gateway_run(gateway);
  return NULL;
}

static uint16_t start(void) {
  char *report = NULL;
  neap_err err = {0};
  assert_int_equal(neap_engine_create(&(neap_host){.log = keep_log}, &engine, &err), 0);
  if (neap_gateway_create(engine, &options, &gateway, &report, &err))
    fail_msg("%s%s", report ? report : "", err.text);
  free(report);
  assert_int_equal(pthread_create(&thread, NULL, run, NULL), 0);
  const char *address = neap_gateway_listener_address(gateway, 0);
  return (uint16_t)atoi(strrchr(address, ':') + 1);
}

static void end(void) {
  pthread_join(thread, NULL);
  neap_gateway_destroy(&gateway);
  neap_engine_destroy(&engine);
}

static void config(const origin *o, const char *rest) {
  char text[2048];
  snprintf(text, sizeof text,
           "local neap = require \"neap\"\n"
           "neap.listen { http = \"127.0.0.1:0\" }\n"
           "neap.log { access = \"off\" }\n"
           "neap.pool { name = \"app\", backends = { \"127.0.0.1:%u\" } }\n%s",
           o->port, rest);
  write_config(text);
}

/* Waits by asking: each turn is an answered request, so that the gateway is the clock. */
static void wait_for(_Atomic int *count, int at_least, uint16_t port) {
  int client = talk_connect(port);
  for (int i = 0; atomic_load(count) < at_least; i++) {
    char head[4096];
    if (i == 200000) fail_msg("waited in vain");
    talk_send(client, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    talk_head(client, head, sizeof head);
  }
  close(client);
}

static void get_at(int client, int number, char *body) {
  char head[4096], target[16] = "/";
  if (number > 0) snprintf(target, sizeof target, "/%d", number);
  snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
  talk_send(client, head);
  talk_head(client, head, sizeof head);
  if (strncmp(head, "HTTP/1.1 200 ", 13)) fail_msg("%s", head);
  talk_bytes(client, body, 1);
}

static void get(int client, char *body) {
  get_at(client, 0, body);
}

/* --- load: every answer is a 200 of one of the generations */

typedef struct load {
  uint16_t port;
  _Atomic bool over;
  int answers;
  int targets; /* that are asked for in turn, and one more */
  pthread_t thread;
} load;

static void *load_run(void *user) {
  load *l = user;
  int client = talk_connect(l->port);
  while (!atomic_load(&l->over)) {
    char body;
    get_at(client, l->targets ? l->answers % (l->targets + 1) : 0, &body);
    if (body != 'a' && body != 'b') fail_msg("a mixed answer: %c", body);
    l->answers++;
  }
  close(client);
  return NULL;
}

static void test_reloads_under_load_lose_no_request(void **state) {
  (void)state;
  static const char *const policies[] = {"sieve", "lru", "s3fifo"};
  origin a, b;
  origin_start(&a, "a");
  origin_start(&b, "b");
  char rest[512];
  config(&a,
         "neap.cache { max_memory = \"16MB\" }\nneap.route { path = \"/\", pool = \"app\", cache = true }\n");
  atomic_store(&reloaded, 0);
  uint16_t port = start();
  load loads[3] = {{.port = port}, {.port = port}, {.port = port}};
  for (int i = 0; i < 3; i++)
    assert_int_equal(pthread_create(&loads[i].thread, NULL, load_run, &loads[i]), 0);
  for (int i = 0; i < 6; i++) {
    snprintf(rest, sizeof rest,
             "neap.cache { max_memory = \"16MB\", evict = \"%s\" }\n"
             "neap.route { path = \"/\", pool = \"app\", cache = %s, when = function(req) return "
             "req.path:starts \"/\" end }\n",
             policies[i % 3], i % 2 ? "true" : "false");
    config(i % 2 ? &a : &b, rest);
    kill(getpid(), SIGHUP);
    wait_for(&reloaded, i + 1, port);
  }
  for (int i = 0; i < 3; i++) {
    atomic_store(&loads[i].over, true);
    pthread_join(loads[i].thread, NULL);
    assert_true(loads[i].answers > 0);
  }
  kill(getpid(), SIGTERM);
  end();
  origin_stop(&a);
  origin_stop(&b);
}

/* Numbers that go up, more than the cache holds: some are prefetched, by whatever is in force. */
static void test_reloads_change_what_is_prefetched_under_load(void **state) {
  (void)state;
  static const char *const prefetch[] = {
      "true", "{ policy = \"stride\", refresh = 0.9, memory = \"64KB\" }", "false",
      "{ policy = \"association\", budget = { in_flight = 1, per_second = 100000 } }"};
  origin a;
  origin_start(&a, "a");
  char rest[512];
  load loads[3];
  atomic_store(&reloaded, 0);
  for (int i = 0; i < 8; i++) {
    snprintf(rest, sizeof rest,
             "neap.cache { max_memory = \"1MB\", max_entries = 100, prefetch = %s }\n"
             "neap.route { path = \"/\", pool = \"app\", cache = true }\n",
             prefetch[i % 4]);
    config(&a, rest);
    if (i > 0) {
      kill(getpid(), SIGHUP);
      wait_for(&reloaded, i, loads[0].port);
      continue;
    }
    uint16_t port = start();
    for (int j = 0; j < 3; j++) {
      loads[j] = (load){.port = port, .targets = 300};
      assert_int_equal(pthread_create(&loads[j].thread, NULL, load_run, &loads[j]), 0);
    }
  }
  for (int j = 0; j < 3; j++) {
    atomic_store(&loads[j].over, true);
    pthread_join(loads[j].thread, NULL);
    assert_true(loads[j].answers > 0);
  }
  kill(getpid(), SIGTERM);
  end();
  origin_stop(&a);
}

static void test_a_broken_file_is_refused_whole_with_its_line_and_the_cache_stays(void **state) {
  (void)state;
  origin a;
  origin_start(&a, "a");
  config(&a, "neap.cache {}\nneap.route { path = \"/\", pool = \"app\", cache = true }\n");
  atomic_store(&refused, 0);
  atomic_store(&reloaded, 0);
  uint16_t port = start();
  int client = talk_connect(port);
  char body;
  get(client, &body);
  assert_int_equal(atomic_load(&a.requests), 1);
  static const char *const broken[] = {
      "neap.route { path = \"/\", pool = \"nobody\" }\n", /* checked, and wrong */
      "neap.route {\n",                                   /* does not parse */
      "while true do end\n",                              /* does not end */
      "neap.cache { evict = \"nosuch\" }\nneap.route { path = \"/\", pool = \"app\" }\n", /* cannot be
                                                                                             prepared */
  };
  for (int i = 0; i < (int)NEAP_COUNT_OF(broken); i++) {
    config(&a, broken[i]);
    last_log[0] = '\0';
    kill(getpid(), SIGHUP);
    wait_for(&refused, i + 1, port);
    get(client, &body);
    assert_int_equal(body, 'a');
  }
  assert_int_equal(atomic_load(&reloaded), 0);
  assert_int_equal(atomic_load(&a.requests), 1); /* everything since came from the cache */
  config(&a, "neap.cache { evict = \"lru\" }\nneap.route { path = \"/\", pool = \"app\", cache = true }\n");
  kill(getpid(), SIGHUP);
  wait_for(&reloaded, 1, port);
  get(client, &body);
  assert_int_equal(atomic_load(&a.requests), 1); /* another policy, the same contents */
  close(client);
  kill(getpid(), SIGTERM);
  end();
  origin_stop(&a);
}

static void test_stopping_finishes_what_is_under_way(void **state) {
  (void)state;
  static const int numbers[] = {SIGTERM, SIGQUIT};
  for (size_t i = 0; i < NEAP_COUNT_OF(numbers); i++) {
    uint16_t backend_port;
    int listening = talk_listen(&backend_port);
    origin a = {.port = backend_port};
    config(&a, "neap.route { path = \"/\", pool = \"app\" }\n");
    uint16_t port = start();
    int idle = talk_connect(port), client = talk_connect(port);
    char head[4096];
    talk_send(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    int backend = talk_accept(listening);
    talk_head(backend, head, sizeof head);
    kill(getpid(), numbers[i]);
    talk_expect_end(idle, true);
    talk_send(backend, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na");
    talk_head(client, head, sizeof head);
    talk_expect(client, "a");
    talk_expect_end(client, true);
    end();
    close(idle);
    close(client);
    close(backend);
    close(listening);
  }
}

static void test_what_does_not_finish_is_cut_off_after_the_grace(void **state) {
  (void)state;
  uint16_t backend_port;
  int listening = talk_listen(&backend_port);
  origin a = {.port = backend_port};
  config(&a, "neap.engine { grace = \"100ms\" }\nneap.route { path = \"/\", pool = \"app\" }\n");
  uint16_t port = start();
  int client = talk_connect(port);
  char head[4096];
  talk_send(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  int backend = talk_accept(listening);
  talk_head(backend, head, sizeof head);
  kill(getpid(), SIGTERM);
  talk_expect_end(client, true);
  end();
  close(client);
  close(backend);
  close(listening);
}

static void test_a_gateway_that_cannot_start_says_why(void **state) {
  (void)state;
  char *report = NULL;
  neap_err err = {0};
  uint16_t taken;
  int listening = talk_listen(&taken);
  assert_int_equal(neap_engine_create(&(neap_host){.log = keep_log}, &engine, &err), 0);
  neap_gateway_options missing = {.name = "/nonexistent/neap.lua"};
  assert_int_not_equal(neap_gateway_create(engine, &missing, &gateway, &report, &err), 0);
  assert_true(strstr(err.text, "/nonexistent/neap.lua: No such file") != NULL);
  char text[512];
  snprintf(text, sizeof text,
           "local neap = require \"neap\"\nneap.listen { http = \"127.0.0.1:%u\" }\n"
           "neap.pool { name = \"app\", backends = { \"127.0.0.1:1\" } }\nneap.route { path = \"/\", pool = "
           "\"app\" }\n",
           taken);
  write_config(text);
  assert_int_not_equal(neap_gateway_create(engine, &options, &gateway, &report, &err), 0);
  assert_true(strstr(err.text, "Address already in use") != NULL);
  write_config("local neap = require \"neap\"\nneap.lisen {}\n");
  assert_int_not_equal(neap_gateway_check(engine, &options, &report, &err), 0);
  assert_non_null(report);
  assert_true(strstr(report, ":2: error: ") != NULL);
  free(report);
  close(listening);
  neap_engine_destroy(&engine);
}

int main(void) {
  int fd = mkstemp(path);
  if (fd < 0) return 1;
  close(fd);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reloads_under_load_lose_no_request),
      cmocka_unit_test(test_reloads_change_what_is_prefetched_under_load),
      cmocka_unit_test(test_a_broken_file_is_refused_whole_with_its_line_and_the_cache_stays),
      cmocka_unit_test(test_stopping_finishes_what_is_under_way),
      cmocka_unit_test(test_what_does_not_finish_is_cut_off_after_the_grace),
      cmocka_unit_test(test_a_gateway_that_cannot_start_says_why),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  return failed;
}
