/* Listening to a real redis-server: channels, and what others write. */
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

static struct {
  neap_redis_watch *watch;
  char told[1024];
  int yes, no;
} ear;

static void append(const char *format, neap_view a, neap_view b) {
  size_t used = strlen(ear.told);
  snprintf(ear.told + used, sizeof ear.told - used, format, (int)a.size, a.ptr, (int)b.size, b.ptr);
}
static void on_message(void *user, neap_view channel, neap_view payload) {
  assert_ptr_equal(user, &ear);
  append("%.*s=%.*s ", channel, payload);
}
static void on_invalid(void *user, neap_view key) {
  assert_ptr_equal(user, &ear);
  append(key.ptr ? "!%.*s " : "!all ", key, key);
}
static void on_listening(void *user, bool yes) {
  assert_ptr_equal(user, &ear);
  yes ? ear.yes++ : ear.no++;
}

static bool listens(void) {
  return ear.yes == ear.no + 1;
}
static bool listens_again(void) {
  return ear.yes == 2 && ear.no == 1;
}

static void listen_to(const char *channel, const char *other, const char *prefix) {
  const neap_view channels[] = {neap_view_of(channel ? channel : ""), neap_view_of(other ? other : "")};
  const neap_view prefixes[] = {neap_view_of(prefix ? prefix : "")};
  memset(&ear, 0, sizeof ear);
  const neap_redis_watch_options options = {.channels = channels,
                                            .channel_count = channel ? (other ? 2 : 1) : 0,
                                            .prefixes = prefixes,
                                            .prefix_count = prefix ? 1 : 0,
                                            .message = on_message,
                                            .invalid = on_invalid,
                                            .listening = on_listening,
                                            .user = &ear};
  assert_int_equal(neap_redis_watch_open(rig.redis, &options, &ear.watch), 0);
  assert_int_equal(ear.yes, 0); /* never from within the call */
  rig_run_until(listens);
}

static const char *wanted;
static bool has_told(void) {
  return strcmp(ear.told, wanted) == 0;
}
static void expect_told(const char *text) {
  wanted = text;
  rig_run_until(has_told);
  ear.told[0] = '\0';
}

static void test_messages_arrive_in_order(void **state) {
  (void)state;
  for (int version2 = 0; version2 < 2; version2++) {
    rig.options.version2 = version2;
    rig_connect(server.port);
    listen_to("one", "two", NULL);
    assert_int_equal(rig_ask("PUBLISH one a").integer, 1);
    rig_ask("PUBLISH two b");
    rig_ask("PUBLISH three c");
    rig_ask("PUBLISH one d");
    expect_told("one=a two=b one=d ");
    neap_redis_watch_close(&ear.watch);
    assert_null(ear.watch);
    assert_int_equal(ear.no, 0);
    neap_redis_destroy(&rig.redis);
  }
}

static void test_what_others_write_is_invalid(void **state) {
  (void)state;
  for (int version2 = 0; version2 < 2; version2++) {
    rig.options.version2 = version2;
    rig.options.connections = 1;
    rig_connect(server.port);
    listen_to(version2 ? "one" : NULL, NULL, "cache:");
    rig_expect("SET cache:a 1", "OK");
    expect_told("!cache:a ");
    rig_expect("SET other:a 1", "OK");
    rig_ask("DEL cache:a cache:none");
    expect_told("!cache:a ");
    rig_ask("FLUSHALL");
    expect_told("!all ");
    if (version2) {
      rig_ask("PUBLISH one a");
      rig_ask("PUBLISH __redis__:invalidate nonsense"); /* anybody may; it is no list of keys */
      rig_ask("PUBLISH one b");
      expect_told("one=a one=b ");
    }
    neap_redis_destroy(&rig.redis);
  }
}

static void test_a_lost_connection_is_told_and_made_again(void **state) {
  (void)state;
  rig_connect(server.port);
  listen_to("one", NULL, "cache:");
  rig_ask("CLIENT KILL TYPE pubsub");
  rig_run_until(listens_again);
  rig_ask("PUBLISH one a");
  rig_ask("SET cache:x 1");
  expect_told("one=a !cache:x ");
}

static bool does_not_listen(void) {
  return ear.no == 1;
}

static void test_a_dead_connection_is_noticed_though_nothing_is_said(void **state) {
  (void)state;
  rig.options.stall_ms = 200;
  rig.options.connect_timeout_ms = 200;
  rig_connect(server.port);
  listen_to("one", NULL, NULL);
  rig_run_for(500);
  assert_int_equal(ear.no, 0); /* quiet is not dead */
  kill(server.pid, SIGSTOP);
  rig_run_until(does_not_listen);
  kill(server.pid, SIGCONT);
  rig_run_until(listens_again);
  rig_ask("PUBLISH one a");
  expect_told("one=a ");
}

static void test_watches_that_make_no_sense_are_refused(void **state) {
  (void)state;
  neap_redis_watch *watch = NULL;
  const neap_view name = neap_view_of("x");
  rig_connect(server.port);
  const neap_redis_watch_options none = {.listening = on_listening, .message = on_message},
                                 deaf = {.channels = &name, .channel_count = 1, .listening = on_listening},
                                 blind = {.prefixes = &name, .prefix_count = 1, .listening = on_listening};
  assert_int_equal(neap_redis_watch_open(rig.redis, &none, &watch), NEAP_EINVAL);
  assert_int_equal(neap_redis_watch_open(rig.redis, &deaf, &watch), NEAP_EINVAL);
  assert_int_equal(neap_redis_watch_open(rig.redis, &blind, &watch), NEAP_EINVAL);
  assert_null(watch);
}

static void test_what_may_not_be_listened_to_is_told(void **state) {
  (void)state;
  rig_connect(server.port);
  rig_ask("ACL SETUSER bob on >pass +@all -subscribe ~*");
  neap_redis_destroy(&rig.redis);
  rig.options.user = "bob";
  rig.options.password = "pass";
  rig_connect(server.port);
  const neap_view name = neap_view_of("x");
  memset(&ear, 0, sizeof ear);
  const neap_redis_watch_options options = {
      .channels = &name, .channel_count = 1, .message = on_message, .listening = on_listening, .user = &ear};
  assert_int_equal(neap_redis_watch_open(rig.redis, &options, &ear.watch), 0);
  rig_expect("SET a b", "OK");
  rig_run_for(200);
  assert_int_equal(ear.yes, 0);
  assert_non_null(strstr(rig_info().fault, "cannot listen: NOPERM"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_messages_arrive_in_order),
      TEST(test_what_others_write_is_invalid),
      TEST(test_a_lost_connection_is_told_and_made_again),
      TEST(test_a_dead_connection_is_noticed_though_nothing_is_said),
      TEST(test_watches_that_make_no_sense_are_refused),
      TEST(test_what_may_not_be_listened_to_is_told),
  };
  return cmocka_run_group_tests(tests, start_servers, end_servers);
}
