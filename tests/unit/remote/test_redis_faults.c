/* The client of Redis, when Redis is killed, stopped, or no Redis at all. */
#include "redis_rig.h"

static process server;

static int start_servers(void **state) {
  (void)state;
  if (mkdtemp(rig_folder) == NULL) return -1;
  server_start(&server, "");
  return 0;
}

static int end_servers(void **state) {
  (void)state;
  process_end(&server);
  return rmdir(rig_folder);
}

/* --- killed, stopped */

static void test_what_was_sent_to_a_killed_server_is_lost(void **state) {
  (void)state;
  answer sleeping, got[50];
  rig.options.connections = 1;
  rig_connect(server.port);
  rig_expect("SET key value", "OK");
  rig_start(&sleeping, "DEBUG SLEEP 5", NULL);
  for (int i = 0; i < 50; i++) rig_start(&got[i], "INCR number", NULL);
  rig_run_for(20);
  process_end(&server);
  rig_run();
  assert_true(sleeping.sent && sleeping.end == NEAP_REDIS_LOST);
  for (int i = 0; i < 50; i++) assert_true(got[i].sent && got[i].end == NEAP_REDIS_LOST);
  assert_int_equal(rig_info().lost, 51);
  rig_run_for(100);
  uint64_t before_ms = neap_loop_now_ms(rig.loop);
  answer down = rig_ask("GET key"); /* told at once, not after its time */
  assert_int_equal(down.end, NEAP_REDIS_DOWN);
  assert_false(down.sent);
  assert_string_equal(down.text, "cannot connect");
  assert_true(neap_loop_now_ms(rig.loop) - before_ms < 500);
  server_start(&server, "");
  rig_run_until(rig_is_ready);
  rig_expect("SET key again", "OK");
  assert_int_equal(rig_info().requests, 0);
}

static void test_a_late_answer_is_swallowed_in_its_turn(void **state) {
  (void)state;
  answer late[3];
  rig.options.connections = 1;
  rig.options.stall_ms = 10000;
  rig_connect(server.port);
  rig_expect("SET key value", "OK");
  kill(server.pid, SIGSTOP);
  rig.ask_ms = 100;
  rig_start(&late[0], "APPEND key s", NULL);
  rig_start(&late[1], "GET none", NULL);
  rig_start(&late[2], "INCR other", NULL);
  rig_run();
  for (int i = 0; i < 3; i++) assert_true(late[i].sent && late[i].end == NEAP_REDIS_LATE);
  assert_int_equal(rig_info().requests, 3); /* they still count: nobody can pile up more */
  kill(server.pid, SIGCONT);
  rig.ask_ms = 0;
  rig_expect("GET key", "values"); /* it was carried out */
  neap_redis_info info = rig_info();
  assert_int_equal(info.swallowed, 3);
  assert_int_equal(info.late, 3);
  assert_int_equal(info.connects, 1); /* the same connection */
  assert_int_equal(info.requests, 0);
}

static bool has_given_up(void) {
  return rig_info().ready == 0 && rig_info().failures >= 3;
}

static void test_a_stalled_connection_is_replaced(void **state) {
  (void)state;
  answer late;
  rig.options.connections = 1;
  rig.options.stall_ms = 300;
  rig.options.connect_timeout_ms = 300;
  rig_connect(server.port);
  rig_expect("SET key value", "OK");
  kill(server.pid, SIGSTOP);
  rig.ask_ms = 50;
  rig_start(&late, "GET key", NULL);
  rig_run_until(has_given_up);
  assert_int_equal(late.end, NEAP_REDIS_LATE);
  assert_non_null(strstr(rig.log, "no answer for"));
  assert_non_null(strstr(rig.log, "not signed in in time"));
  rig.ask_ms = 0;
  answer down = rig_ask("GET key");
  assert_int_equal(down.end, NEAP_REDIS_DOWN);
  kill(server.pid, SIGCONT);
  rig_run_until(rig_is_ready);
  rig_expect("GET key", "value");
  assert_int_equal(rig_info().connects, 2);
}

static void test_a_stopped_server_fills_no_memory(void **state) {
  (void)state;
  answer *got = calloc(300, sizeof *got);
  char line[900] = "SET key ";
  memset(line + strlen(line), 'x', 800);
  rig.options.max_request_bytes = 100000;
  rig_connect(server.port);
  rig_expect("GET key", "value");
  kill(server.pid, SIGSTOP);
  rig.ask_ms = 50;
  int busy = 0;
  for (int i = 0; i < 300; i++) busy += rig_start(&got[i], line, NULL) == NEAP_EBUSY;
  assert_in_range(busy, 150, 250);
  assert_true(rig_info().bytes <= 100000);
  rig_run();
  assert_int_equal(rig_start(&got[0], line, NULL), NEAP_EBUSY); /* late ones are still with the connection */
  kill(server.pid, SIGCONT);
  rig.ask_ms = 0;
  for (;;) {
    if (rig_info().requests == 0) break;
    rig_run_for(5);
  }
  rig_expect("SET key value", "OK");
  free(got);
}

static uint64_t seen_losses;
static bool has_lost_one_more(void) {
  return rig_info().failures == seen_losses + 1;
}

static void test_a_connection_that_is_closed_by_the_server_comes_again(void **state) {
  (void)state;
  rig.options.connections = 1;
  rig_connect(server.port);
  for (seen_losses = 0; seen_losses < 3; seen_losses++) {
    rig_expect("SET key value", "OK"); /* waits for the next connection: nothing speaks against it yet */
    rig_ask("CLIENT KILL SKIPME no TYPE normal");
    rig_run_until(has_lost_one_more);
  }
  rig_expect("GET key", "value");
  assert_int_equal(rig_info().refused, 0);
}

/* --- who is no Redis */

static struct {
  int listening;
  uint16_t port;
  pthread_t thread;
  const char *hello, *answer; /* "" ends the connection; NULL: nothing is said */
  const char *servers;        /* the answer to CLUSTER SLOTS, or what a Sentinel is asked for */
  pthread_t talks[64];
  int talk_count;
  const char *again; /* sent after, until nobody takes it */
  size_t again_bytes;
} peer;

static void say(int fd, const char *text) {
  if (text) (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void say_again(int fd) {
  for (size_t sent = 0, size = peer.again ? strlen(peer.again) : 0; peer.again && sent < peer.again_bytes;
       sent += size)
    if (send(fd, peer.again, size, MSG_NOSIGNAL) != (ssize_t)size) return;
}

static void talk_to(int fd) {
  char bytes[4096];
  if (recv(fd, bytes, sizeof bytes, 0) <= 0) return;
  say(fd, peer.hello);
  if (peer.hello && peer.hello[0] == '\0') return;
  for (ssize_t got; (got = recv(fd, bytes, sizeof bytes, 0)) > 0;) {
    bool about_servers = memmem(bytes, (size_t)got, "SLOTS", 5) || memmem(bytes, (size_t)got, "SENTINEL", 8);
    say_again(fd);
    say(fd, about_servers ? peer.servers : peer.answer);
    if (peer.answer && peer.answer[0] == '\0') return;
  }
}

static void *talk(void *user) {
  int fd = (int)(intptr_t)user;
  talk_to(fd);
  close(fd);
  return NULL;
}

static void *serve(void *user) {
  (void)user;
  for (int fd; peer.talk_count < 64 && (fd = accept(peer.listening, NULL, NULL)) >= 0; peer.talk_count++)
    assert_int_equal(pthread_create(&peer.talks[peer.talk_count], NULL, talk, (void *)(intptr_t)fd), 0);
  return NULL;
}

static const char hello3[] = "%1\r\n+server\r\n+redis\r\n";

static void peer_start(const char *hello, const char *answer_text) {
  memset(&peer, 0, sizeof peer);
  peer.listening = talk_listen(&peer.port);
  peer.hello = hello;
  peer.answer = answer_text;
  assert_int_equal(pthread_create(&peer.thread, NULL, serve, NULL), 0);
  rig.options.connections = 1;
}

static void peer_end(void) {
  neap_redis_destroy(&rig.redis);
  shutdown(peer.listening, SHUT_RDWR);
  pthread_join(peer.thread, NULL);
  for (int i = 0; i < peer.talk_count; i++) pthread_join(peer.talks[i], NULL);
  close(peer.listening);
}

static void test_garbage_ends_the_connection_with_a_reason(void **state) {
  (void)state;
  static const struct {
    const char *answer, *reason;
  } rows[] = {{"HTTP/1.1 400 Bad Request\r\n\r\n", "not the protocol of Redis"},
              {"\x16\x03\x01\x02", "not the protocol of Redis"},
              {"$99999999999\r\n", "a string is too long"},
              {"$-7\r\n", "a wrong length"},
              {"*99999999\r\n+a\r\n", "too many elements"},
              {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "too deep"},
              {"$3\r\nabcd\r\n", "a wrong end"},
              {"*1\r\n>1\r\n+a\r\n", "a push message inside"},
              {"", "closed the connection"}};
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++)
    for (int early = 0; early < 2; early++) {
      peer_start(early ? rows[i].answer : hello3, rows[i].answer);
      rig_connect(peer.port);
      answer got = rig_ask("GET key");
      assert_int_equal(got.end, early ? NEAP_REDIS_DOWN : NEAP_REDIS_LOST);
      assert_int_equal(got.sent, !early);
      if (strstr(got.text, rows[i].reason) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", rows[i].reason, got.text);
      peer_end();
    }
}

static void test_half_a_reply_is_none(void **state) {
  (void)state;
  rig.ask_ms = 500;
  peer_start(hello3, "*2\r\n$3\r\nabc\r\n$3\r\na");
  rig_connect(peer.port);
  assert_int_equal(rig_ask("GET key").end, NEAP_REDIS_LATE);
  peer_end();
}

static void test_an_answer_that_nobody_asked_for_ends_the_connection(void **state) {
  (void)state;
  peer_start(hello3, "+one\r\n+two\r\n");
  rig_connect(peer.port);
  rig_expect("GET key", "one");
  rig_run_for(1);
  assert_non_null(strstr(rig_info().fault, "an answer that nobody has asked for: two"));
  peer_end();
}

/* What is being sent must not be freed by an answer that comes too early. */
static void test_an_answer_before_its_question_ends_the_connection(void **state) {
  (void)state;
  enum { LARGE = 32 << 20 };
  char *body = calloc(1, LARGE);
  peer_start(hello3, "+early\r\n");
  rig_connect(peer.port);
  answer got = {0};
  const neap_view args[] = {neap_view_of("SET"), neap_view_of("key"), {body, LARGE}};
  const neap_redis_command command = {.args = args, .count = 3, .done = rig_on_done, .user = &got};
  rig.waited_for = 1;
  assert_int_equal(neap_redis_start(rig.redis, &command, NULL), 0);
  free(body);
  rig_run();
  assert_int_equal(got.end, NEAP_REDIS_LOST);
  assert_true(got.sent);
  assert_string_equal(got.text, "an answer that nobody has asked for: early");
  peer_end();
}

static void test_old_servers_are_spoken_to_in_their_version(void **state) {
  (void)state;
  peer_start("-ERR unknown command 'HELLO'\r\n", "+PONG\r\n");
  rig_connect(peer.port);
  rig_expect("PING", "PONG");
  assert_non_null(strstr(rig.log, "protocol=2"));
  peer_end();
}

static void test_what_a_server_says_makes_no_lines_in_the_log(void **state) {
  (void)state;
  peer_start("!32\r\nWRONGPASS \"a\n2026 redis forged=1\r\n", NULL);
  rig_connect(peer.port);
  answer got = rig_ask("PING");
  assert_string_equal(got.text, "cannot sign in: WRONGPASS ?a?2026 redis forged=1");
  assert_null(strstr(rig.log, "\n2026"));
  peer_end();
}

static void test_endless_bytes_take_no_memory(void **state) {
  (void)state;
  static const struct {
    const char *again, *reason; /* NULL: the answer is told in the end */
  } rows[] = {
      {"+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a line is too long"},
      {"|1\r\n+key\r\n+value\r\n", "a value is too long"},
      {">2\r\n$7\r\nmessage\r\n$1\r\nx\r\n", NULL}};
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    rig.options.max_reply_bytes = 1 << 20;
    rig.options.timeout_ms = rig.options.stall_ms = 60000;
    peer_start(hello3, "+PONG\r\n");
    peer.again = rows[i].again;
    peer.again_bytes = 20 << 20;
    rig_connect(peer.port);
    answer got = rig_ask("PING");
    if (rows[i].reason) {
      assert_string_equal(got.text, rows[i].reason);
      assert_true(rig_info().received_bytes < 2 << 20);
    } else {
      assert_string_equal(got.text, "PONG");
      assert_true(rig_info().received_bytes > 20 << 20);
    }
    peer_end();
  }
}

static void test_a_server_that_says_nothing_is_left(void **state) {
  (void)state;
  rig.options.connect_timeout_ms = 100;
  peer_start(NULL, NULL);
  rig_connect(peer.port);
  answer got = rig_ask("PING");
  assert_int_equal(got.end, NEAP_REDIS_DOWN);
  assert_string_equal(got.text, "not signed in in time");
  peer_end();
}

/* --- who only seems to know the servers */

static char whole_range[128];

static void cluster_open(const char *servers, const char *answer_text) {
  peer_start(hello3, answer_text);
  snprintf(whole_range, sizeof whole_range, "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n",
           peer.port);
  peer.servers = servers ? servers : whole_range;
  rig.options.layout = NEAP_REDIS_CLUSTER;
  rig_connect(peer.port);
}

static void test_slots_that_make_no_sense_are_not_believed(void **state) {
  (void)state;
#define NODE "*2\r\n$9\r\n127.0.0.1\r\n:7000\r\n"
  static const char *const rows[] = {":5\r\n",
                                     "*1\r\n+x\r\n",
                                     "*1\r\n*0\r\n",
                                     "*1\r\n*3\r\n:0\r\n:16384\r\n" NODE,
                                     "*1\r\n*3\r\n:9\r\n:8\r\n" NODE,
                                     "*1\r\n*3\r\n:-1\r\n:8\r\n" NODE,
                                     "*1\r\n*3\r\n:0\r\n:8\r\n:7000\r\n",
                                     "*1\r\n*3\r\n:0\r\n:8\r\n*2\r\n$1\r\na\r\n:0\r\n",
                                     "*1\r\n*3\r\n:0\r\n:8\r\n*2\r\n$1\r\na\r\n:70000\r\n"};
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    cluster_open(rows[i], "+OK\r\n");
    answer got = rig_ask("GET key");
    assert_int_equal(got.end, NEAP_REDIS_DOWN);
    assert_string_equal(got.text, "slots that cannot be understood");
    peer_end();
  }
  cluster_open("-ERR This instance has cluster support disabled\r\n", "+OK\r\n");
  assert_string_equal(rig_ask("GET key").text,
                      "cannot ask for the servers: ERR This instance has cluster support disabled");
  peer_end();
}

static void test_a_redirect_in_a_circle_ends(void **state) {
  (void)state;
  char moved[64] = "";

  cluster_open(NULL, moved);
  snprintf(moved, sizeof moved, "-MOVED 1 127.0.0.1:%u\r\n", peer.port);
  answer got = rig_ask("GET key");
  assert_int_equal(got.end, NEAP_REDIS_ERROR);
  assert_non_null(strstr(got.text, "MOVED 1 127.0.0.1:"));
  assert_int_equal(rig_info().redirects, 5);
  peer_end();
}

static void test_a_redirect_to_nowhere_is_an_error(void **state) {
  (void)state;
  static const char *const rows[] = {"-MOVED\r\n",           "-MOVED 1\r\n",   "-MOVED x a:1\r\n",
                                     "-MOVED 16384 a:1\r\n", "-MOVED 1 a\r\n", "-MOVED 1 a:0\r\n",
                                     "-ASK 1 :x\r\n"};
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    cluster_open(NULL, rows[i]);
    assert_int_equal(rig_ask("GET key").end, NEAP_REDIS_ERROR);
    assert_int_equal(rig_info().redirects, 0);
    peer_end();
  }
}

static bool has_one_server(void) {
  return rig_info().servers == 1;
}

static void test_a_server_without_slots_is_left_after_a_while(void **state) {
  (void)state;
  char both[256] = "";
  cluster_open(both, "+OK\r\n");
  snprintf(both, sizeof both,
           "*2\r\n*3\r\n:0\r\n:99\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n"
           "*3\r\n:100\r\n:16383\r\n*2\r\n$9\r\n127.0.0.2\r\n:%u\r\n",
           peer.port, peer.port);
  answer got = rig_ask("GET key"); /* to 127.0.0.2, where nobody listens */
  assert_int_equal(got.end, NEAP_REDIS_DOWN);
  assert_int_equal(rig_info().servers, 2);
  peer.servers = whole_range; /* asked for since a server is lost */
  rig_run_until(has_one_server);
  rig_expect("GET key", "OK");
  assert_int_equal(rig_info().wanted, 1);
  peer_end();
}

static void test_a_sentinel_that_makes_no_sense_is_not_believed(void **state) {
  (void)state;
  static const char *const rows[] = {":5\r\n", "*1\r\n+a\r\n", "*2\r\n+a\r\n+0\r\n",
                                     "*2\r\n+a\r\n+70000\r\n"};
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    peer_start(hello3, ">3\r\n+subscribe\r\n+x\r\n:1\r\n");
    peer.servers = rows[i];
    rig.options.layout = NEAP_REDIS_SENTINEL;
    rig.options.group = "app";
    rig.options.version2 = true; /* one question, one answer */
    rig.options.client_name = "x";
    rig_connect(peer.port);
    assert_string_equal(rig_ask("GET key").text, "an answer of a Sentinel that cannot be understood");
    peer_end();
  }
}

static void test_waits_before_the_next_attempt_grow(void **state) {
  (void)state;
  rig.options.connections = 1;
  rig.options.backoff_min_ms = 20;
  rig.options.backoff_max_ms = 100000;
  rig_connect(free_port()); /* where nobody listens */
  rig_run_for(700);
  assert_in_range(rig_info().failures, 3, 8); /* 20, 40, 80, 160, 320, each half to whole */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_what_was_sent_to_a_killed_server_is_lost),
      TEST(test_a_late_answer_is_swallowed_in_its_turn),
      TEST(test_a_stalled_connection_is_replaced),
      TEST(test_a_stopped_server_fills_no_memory),
      TEST(test_a_connection_that_is_closed_by_the_server_comes_again),
      TEST(test_garbage_ends_the_connection_with_a_reason),
      TEST(test_half_a_reply_is_none),
      TEST(test_an_answer_that_nobody_asked_for_ends_the_connection),
      TEST(test_an_answer_before_its_question_ends_the_connection),
      TEST(test_old_servers_are_spoken_to_in_their_version),
      TEST(test_what_a_server_says_makes_no_lines_in_the_log),
      TEST(test_endless_bytes_take_no_memory),
      TEST(test_a_server_that_says_nothing_is_left),
      TEST(test_slots_that_make_no_sense_are_not_believed),
      TEST(test_a_redirect_in_a_circle_ends),
      TEST(test_a_redirect_to_nowhere_is_an_error),
      TEST(test_a_server_without_slots_is_left_after_a_while),
      TEST(test_a_sentinel_that_makes_no_sense_is_not_believed),
      TEST(test_waits_before_the_next_attempt_grow),
  };
  return cmocka_run_group_tests(tests, start_servers, end_servers);
}
