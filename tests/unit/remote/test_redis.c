/* The client of Redis, against a real redis-server. */
#include "redis_rig.h"

static process server, guarded;

/* Once for all tests. */
static int start_servers(void **state) {
  (void)state;
  if (mkdtemp(rig_folder) == NULL) return -1;
  char more[256];
  snprintf(more, sizeof more, "--unixsocket %s/socket", rig_folder);
  server_start(&server, more);
  server_start(&guarded, "--requirepass secret --user alice on >wonder ~* &* +@all");
  return 0;
}

static int end_servers(void **state) {
  (void)state;
  process_end(&server);
  process_end(&guarded);
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", rig_folder);
  return system(command);
}

static void test_values_are_stored_and_read(void **state) {
  (void)state;
  rig_connect(server.port);
  rig_expect("SET key value", "OK");
  rig_expect("GET key", "value");
  assert_int_equal(rig_ask("GET none").type, NEAP_RESP_NULL);
  assert_true(rig_ask("INCR number").integer >= 1);
  neap_redis_info info = rig_info();
  assert_int_equal(info.answered, 4);
  assert_int_equal(info.requests, 0);
  assert_int_equal(info.bytes, 0);
}

static void test_any_bytes_are_keys_and_values(void **state) {
  (void)state;
  static const char body[] = "a\0b\r\nc\xff$5\r\n";
  rig_connect(server.port);
  answer got = {0};
  neap_view args[] = {neap_view_of("SET"), {"\0\r\n", 3}, {body, sizeof body}};
  neap_redis_command command = {.args = args, .count = 3, .key = args[1], .done = rig_on_done, .user = &got};
  rig.waited_for = 1;
  assert_int_equal(neap_redis_start(rig.redis, &command, NULL), 0);
  rig_run();
  assert_string_equal(got.text, "OK");
  args[0] = neap_view_of("STRLEN");
  command.count = 2;
  rig.waited_for = 1;
  got.told = false;
  assert_int_equal(neap_redis_start(rig.redis, &command, NULL), 0);
  rig_run();
  assert_int_equal(got.integer, sizeof body);
}

static void test_errors_are_answers(void **state) {
  (void)state;
  rig_connect(server.port);
  rig_expect("SET text abc", "OK");
  answer got = rig_ask("INCR text");
  assert_int_equal(got.end, NEAP_REDIS_ERROR);
  assert_string_equal(got.text, "ERR value is not an integer or out of range");
  got = rig_ask("NONSENSE");
  assert_int_equal(got.end, NEAP_REDIS_ERROR);
  assert_int_equal(rig_info().errors, 2);
  assert_int_equal(rig_info().connects, rig_info().ready); /* the connection stays */
}

enum { MANY = 10000 };
static struct {
  unsigned next;
  bool wrong;
} row;

static void on_counted(void *user, const neap_redis_reply *reply) {
  unsigned number = (unsigned)(uintptr_t)user;
  row.wrong |= number != row.next++ || reply->end != NEAP_REDIS_DONE || reply->value.integer != number + 1;
  if (row.next == MANY) neap_loop_stop(rig.loop);
}

static void test_ten_thousand_are_answered_in_order(void **state) {
  (void)state;
  rig_connect(server.port);
  rig_ask("DEL counter");
  memset(&row, 0, sizeof row);
  const neap_view args[] = {neap_view_of("INCR"), neap_view_of("counter")};
  for (unsigned i = 0; i < MANY; i++) {
    const neap_redis_command command = {.args = args,
                                        .count = 2,
                                        .key = args[1],
                                        .timeout_ms = 10000,
                                        .done = on_counted,
                                        .user = (void *)(uintptr_t)i};
    assert_int_equal(neap_redis_start(rig.redis, &command, NULL), 0);
  }
  assert_int_equal(rig_info().requests, MANY);
  rig_run();
  assert_int_equal(row.next, MANY);
  assert_false(row.wrong);
  assert_int_equal(rig_info().requests, 0);
}

static void test_large_values_go_both_ways(void **state) {
  (void)state;
  enum { LARGE = 5 << 20 };
  char *body = malloc(LARGE);
  memset(body, 'x', LARGE);
  rig.options.timeout_ms = 10000;
  rig_connect(server.port);
  answer got[4] = {{0}};
  neap_view args[] = {neap_view_of("SET"), neap_view_of("large"), {body, LARGE}};
  neap_redis_command command = {.args = args, .count = 3, .key = args[1], .done = rig_on_done};
  for (int i = 0; i < 4; i++) { /* more than a socket holds */
    command.user = &got[i];
    assert_int_equal(neap_redis_start(rig.redis, &command, NULL), 0);
  }
  free(body); /* it was copied */
  rig.waited_for = 4;
  rig_run();
  for (int i = 0; i < 4; i++) assert_string_equal(got[i].text, "OK");
  answer large = rig_ask("GET large");
  assert_int_equal(large.end, NEAP_REDIS_DONE);
  assert_true(rig_info().received_bytes > LARGE);
  rig_expect("GET key", "value");
}

static void test_a_reply_beyond_the_limit_ends_the_connection(void **state) {
  (void)state;
  rig.options.max_reply_bytes = 1 << 20;
  rig_connect(server.port);
  answer got = rig_ask("GET large");
  assert_int_equal(got.end, NEAP_REDIS_LOST);
  assert_true(got.sent);
  assert_string_equal(got.text, "a string is too long");
  assert_true(rig_info().received_bytes < 1 << 20);
  rig_expect("GET key", "value");
}

/* --- ways to it */

static void test_it_is_found_by_path_and_by_name(void **state) {
  (void)state;
  snprintf(rig.address, sizeof rig.address, "unix:%s/socket", rig_folder);
  rig_open();
  rig_expect("GET key", "value");
  neap_redis_destroy(&rig.redis);
  snprintf(rig.address, sizeof rig.address, "localhost:%u", server.port);
  rig.options.connect_timeout_ms = 5000;
  rig.options.timeout_ms = 5000;
  rig_open();
  /* the name may also stand for ::1, where nobody listens: then the next attempt takes the other */
  for (answer got; got = rig_ask("GET key"), got.end != NEAP_REDIS_DONE;) rig_run_for(20);
  rig_expect("GET key", "value");
}

static void test_versions_and_databases(void **state) {
  (void)state;
  rig.options.database = 3;
  rig.options.client_name = "neap-test";
  for (int version2 = 0; version2 < 2; version2++) {
    rig.options.version2 = version2;
    rig.log[0] = '\0';
    rig_connect(server.port);
    rig_expect("SET three x", "OK");
    assert_int_equal(rig_ask("CONFIG GET port").type, version2 ? NEAP_RESP_ARRAY : NEAP_RESP_MAP);
    rig_expect("CLIENT GETNAME", "neap-test");
    assert_non_null(strstr(rig.log, version2 ? "protocol=2" : "protocol=3"));
    neap_redis_destroy(&rig.redis);
  }
  rig.options.database = 0;
  rig_connect(server.port);
  assert_int_equal(rig_ask("GET three").type, NEAP_RESP_NULL);
  neap_redis_destroy(&rig.redis);
  rig.options.database = 99;
  rig_connect(server.port);
  answer got = rig_ask("GET three");
  assert_int_equal(got.end, NEAP_REDIS_DOWN);
  assert_non_null(strstr(got.text, "cannot select the database: ERR DB index is out of range"));
}

static void test_signing_in(void **state) {
  (void)state;
  static const struct {
    const char *user, *password, *wrong;
  } rows[] = {{NULL, "secret", NULL},
              {"alice", "wonder", NULL},
              {"alice", "secret", "WRONGPASS"},
              {NULL, "wonder", "WRONGPASS"},
              {"bob", "secret", "WRONGPASS"}};
  for (int version2 = 0; version2 < 2; version2++)
    for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
      rig.options.version2 = version2;
      rig.options.user = rows[i].user;
      rig.options.password = rows[i].password;
      rig_connect(guarded.port);
      answer got = rig_ask("PING");
      assert_int_equal(got.end, rows[i].wrong ? NEAP_REDIS_DOWN : NEAP_REDIS_DONE);
      assert_false(rows[i].wrong && got.sent);
      if (rows[i].wrong && strstr(got.text, rows[i].wrong) == NULL) fail_msg("%s", got.text);
      assert_null(strstr(rig.log, rows[i].password));
      neap_redis_destroy(&rig.redis);
    }
}

static bool has_failed_often(void) {
  return rig_info().failures >= 8;
}

static void test_a_missing_password_is_told(void **state) {
  (void)state;
  rig_connect(guarded.port);
  answer got = rig_ask("PING");
  assert_int_equal(got.end, NEAP_REDIS_DOWN);
  assert_non_null(strstr(got.text, "NOAUTH"));
  rig_run_until(has_failed_often); /* which is told once */
  int lines = 0;
  for (const char *c = rig.log; (c = strstr(c, "redis lost")) != NULL; c++) lines++;
  assert_in_range(lines, 1, 4);
}

/* --- scripts */

static answer call(const neap_redis_script *script, const char *key, const char *arg) {
  answer got = {0};
  const neap_view args[] = {neap_view_of("1"), neap_view_of(key), neap_view_of(arg)};
  const neap_redis_command command = {
      .args = args, .count = 3, .script = script, .key = args[1], .done = rig_on_done, .user = &got};
  rig.waited_for++;
  assert_int_equal(neap_redis_start(rig.redis, &command, NULL), 0);
  rig_run();
  return got;
}

static void test_a_script_is_sent_once(void **state) {
  (void)state;
  neap_redis_script script, wrong;
  neap_redis_script_init(&script,
                         "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1]) .. '!'");
  neap_redis_script_init(&wrong, "this is no Lua");
  rig_connect(server.port);
  rig_ask("SCRIPT FLUSH");
  for (int i = 0; i < 3; i++) {
    answer got = call(&script, "scripted", "yes");
    assert_int_equal(got.end, NEAP_REDIS_DONE);
    assert_string_equal(got.text, "yes!");
  }
  assert_int_equal(rig_info().reloads, 1);
  rig_ask("SCRIPT FLUSH");
  assert_string_equal(call(&script, "scripted", "again").text, "again!");
  assert_int_equal(rig_info().reloads, 2);
  answer got = call(&wrong, "scripted", "x");
  assert_int_equal(got.end, NEAP_REDIS_ERROR);
  assert_non_null(strstr(got.text, "Error compiling script"));
  assert_int_equal(rig_info().bytes, 0);
}

/* --- limits of what is under way */

static void test_requests_under_way_are_bounded(void **state) {
  (void)state;
  answer got[5];
  rig.options.max_requests = 4;
  rig_connect(server.port);
  for (int i = 0; i < 4; i++) assert_int_equal(rig_start(&got[i], "PING", NULL), 0);
  assert_int_equal(rig_start(&got[4], "PING", NULL), NEAP_EBUSY);
  rig_run();
  rig_expect("PING", "PONG");
  neap_redis_destroy(&rig.redis);
  rig.options.max_request_bytes = 50;
  rig_connect(server.port);
  assert_int_equal(rig_start(&got[0], "SET a 0123456789", NULL), 0);
  assert_int_equal(rig_start(&got[1], "SET b 0123456789", NULL), NEAP_EBUSY);
  assert_int_equal(rig_info().refused, 1);
  rig_run();
  assert_string_equal(got[0].text, "OK");
}

static void cancel(neap_redis_request **request) {
  neap_redis_cancel(request);
  rig.waited_for--;
}

static void test_a_cancelled_request_tells_nothing(void **state) {
  (void)state;
  answer never[3];
  neap_redis_request *requests[3];
  rig_connect(server.port);
  assert_int_equal(rig_start(&never[0], "INCR cancelled", &requests[0]), 0);
  cancel(&requests[0]); /* while it waits for a connection */
  rig_expect("DEL cancelled", "0");
  assert_int_equal(rig_start(&never[1], "INCR cancelled", &requests[1]), 0);
  cancel(&requests[1]); /* while it is queued */
  assert_int_equal(rig_ask("EXISTS cancelled").integer, 0);
  assert_int_equal(rig_start(&never[2], "DEBUG SLEEP 0.1", &requests[2]), 0);
  rig_run_for(20);
  cancel(&requests[2]); /* when it was sent */
  assert_null(requests[2]);
  rig_expect("GET key", "value");
  for (int i = 0; i < 3; i++) assert_false(never[i].told);
  assert_int_equal(rig_info().requests, 0);
}

static void test_wrong_options_are_told(void **state) {
  (void)state;
  neap_err err;
  static const char *const addresses[] = {"",         "host",      "host:0", "host:65536", ":1",
                                          "::1:6379", "[::1:6379", "unix:x", "host:6379x", "host:01"};
  for (size_t i = 0; i < NEAP_COUNT_OF(addresses); i++) {
    rig.addresses[0] = addresses[i];
    assert_int_equal(neap_redis_create(rig.loop, &rig.options, &rig.redis, &err), NEAP_EINVAL);
    assert_non_null(strstr(err.text, "address"));
  }
  rig.addresses[0] = "host:1";
  rig.addresses[1] = "host:2";
  assert_int_equal(neap_redis_create(rig.loop, &rig.options, &rig.redis, &err), NEAP_EINVAL);
  rig.addresses[1] = NULL;
  rig.options.connections = 17;
  assert_int_equal(neap_redis_create(rig.loop, &rig.options, &rig.redis, &err), NEAP_EINVAL);
  rig.options.connections = 1;
  rig.options.user = "x";
  assert_int_equal(neap_redis_create(rig.loop, &rig.options, &rig.redis, &err), NEAP_EINVAL);
  rig.options.user = NULL;
  rig.options.layout = NEAP_REDIS_SENTINEL;
  assert_int_equal(neap_redis_create(rig.loop, &rig.options, &rig.redis, &err), NEAP_EINVAL);
  assert_null(rig.redis);
}

static void test_destroying_forgets_what_is_under_way(void **state) {
  (void)state;
  answer never[3];
  rig_connect(server.port);
  rig_expect("GET key", "value");
  rig_start(&never[0], "DEBUG SLEEP 0.05", NULL);
  rig_run_for(20);
  rig_start(&never[1], "GET key", NULL);
  neap_redis_destroy(&rig.redis);
  rig_connect(server.port);
  rig_start(&never[2], "GET key", NULL);
  neap_redis_destroy(&rig.redis);
  for (int i = 0; i < 3; i++) assert_false(never[i].told);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_values_are_stored_and_read),
      TEST(test_any_bytes_are_keys_and_values),
      TEST(test_errors_are_answers),
      TEST(test_ten_thousand_are_answered_in_order),
      TEST(test_large_values_go_both_ways),
      TEST(test_a_reply_beyond_the_limit_ends_the_connection),
      TEST(test_it_is_found_by_path_and_by_name),
      TEST(test_versions_and_databases),
      TEST(test_signing_in),
      TEST(test_a_missing_password_is_told),
      TEST(test_a_script_is_sent_once),
      TEST(test_requests_under_way_are_bounded),
      TEST(test_a_cancelled_request_tells_nothing),
      TEST(test_wrong_options_are_told),
      TEST(test_destroying_forgets_what_is_under_way),
  };
  return cmocka_run_group_tests(tests, start_servers, end_servers);
}
