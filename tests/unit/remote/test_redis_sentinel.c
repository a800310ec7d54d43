/* The client of Redis, with a primary and a replica that three real Sentinels watch. */
#include "redis_rig.h"

enum { SENTINELS = 3 };
static process servers[2], sentinels[SENTINELS];

static bool sentinel_start(process *p, int number) {
  char path[128], line[256];
  int pipes[2];
  p->port = free_port();
  snprintf(path, sizeof path, "%s/sentinel-%d.conf", rig_folder, number);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fprintf(
      file,
      "port %u\nbind 127.0.0.1\nlogfile \"\"\nsentinel monitor app 127.0.0.1 %u 2\n"
      "sentinel down-after-milliseconds app 500\nsentinel failover-timeout app 3000\nrequirepass watcher\n"
      "sentinel sentinel-pass watcher\n",
      p->port, servers[0].port);
  fclose(file);
  assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
  p->log = pipes[0];
  snprintf(line, sizeof line, "redis-server %s --sentinel", path);
  p->pid = spawn(line, pipes[1]);
  close(pipes[1]);
  /* quick, but for pings: what a Sentinel knows of a replica holds for five of them */
  if (!wait_for_line(p, "+monitor")) return false;
  tell_ok(p, "AUTH watcher\r\nSENTINEL DEBUG INFO-PERIOD 200 ASK-PERIOD 100 PUBLISH-PERIOD "
             "200 TILT-TRIGGER 60000");
  return true;
}

static int start_group(void **state) {
  (void)state;
  char more[128];
  if (mkdtemp(rig_folder) == NULL) return -1;
  server_start(&servers[0], "--repl-diskless-sync-delay 0");
  snprintf(more, sizeof more, "--repl-diskless-sync-delay 0 --replicaof 127.0.0.1 %u", servers[0].port);
  server_start(&servers[1], more);
  tell_until(&servers[1], "INFO replication", "master_link_status:up");
  for (int i = 0; i < SENTINELS; i++)
    if (!sentinel_start(&sentinels[i], i)) return -1;
  for (int i = 0; i < SENTINELS; i++)
    tell_until(&sentinels[i], "AUTH watcher\r\nSENTINEL MASTER app", "num-other-sentinels\r\n$1\r\n2");
  for (int i = 0; i < SENTINELS; i++)
    tell_until(&sentinels[i], "AUTH watcher\r\nSENTINEL MASTER app", "num-slaves\r\n$1\r\n1");
  return 0;
}

static int end_group(void **state) {
  (void)state;
  char command[128];
  for (int i = 0; i < SENTINELS; i++) process_end(&sentinels[i]);
  for (int i = 0; i < 2; i++) process_end(&servers[i]);
  snprintf(command, sizeof command, "rm -rf %s", rig_folder);
  return system(command);
}

static char place[SENTINELS + 1][32];

static void open_group(const char *group) {
  rig.options.layout = NEAP_REDIS_SENTINEL;
  rig.options.group = group;
  rig.options.sentinel_password = "watcher";
  snprintf(place[0], sizeof place[0], "127.0.0.1:%u", free_port()); /* where nobody is */
  for (int i = 0; i < SENTINELS; i++)
    snprintf(place[i + 1], sizeof place[i + 1], "127.0.0.1:%u", sentinels[i].port);
  for (int i = 0; i <= SENTINELS; i++) rig.addresses[i] = place[i];
  rig_open();
}

static int listened, missed, heard;
static void on_message(void *user, neap_view channel, neap_view payload) {
  (void)user, (void)channel, (void)payload;
  heard++;
}
static void on_invalid(void *user, neap_view key) {
  (void)user, (void)key;
}
static void on_listening(void *user, bool yes) {
  (void)user;
  yes ? listened++ : missed++;
}
static neap_redis_watch *listen_to(const char *name) {
  neap_redis_watch *watch;
  const neap_view channel = neap_view_of(name);
  const neap_redis_watch_options options = {.channels = &channel,
                                            .channel_count = 1,
                                            .prefixes = &channel,
                                            .prefix_count = 1,
                                            .message = on_message,
                                            .invalid = on_invalid,
                                            .listening = on_listening};
  listened = missed = heard = 0;
  assert_int_equal(neap_redis_watch_open(rig.redis, &options, &watch), 0);
  return watch;
}
static bool listens(void) {
  return listened == missed + 1;
}
static bool listens_after_a_miss(void) {
  return listens() && missed > 0;
}
static bool has_heard(void) {
  return heard > 0;
}

static void test_the_primary_is_found(void **state) {
  (void)state;
  char text[32];
  for (int version2 = 0; version2 < 2; version2++) {
    rig.options.version2 = version2;
    open_group("app");
    rig_expect("SET key value", "OK");
    rig_expect("GET key", "value");
    neap_redis_destroy(&rig.redis);
  }
  snprintf(text, sizeof text, "server=127.0.0.1:%u", servers[0].port);
  assert_non_null(strstr(rig.log, text));
}

static void test_an_unknown_group_is_told(void **state) {
  (void)state;
  open_group("other");
  answer got = rig_ask("PING");
  assert_int_equal(got.end, NEAP_REDIS_DOWN);
  assert_non_null(strstr(rig.log, "this Sentinel does not know the group"));
}

static void test_a_wrong_password_of_sentinels_is_told(void **state) {
  (void)state;
  open_group("app");
  neap_redis_destroy(&rig.redis);
  rig.options.sentinel_password = "wrong";
  rig_open();
  assert_int_equal(rig_ask("PING").end, NEAP_REDIS_DOWN);
  assert_non_null(strstr(rig.log, "WRONGPASS"));
}

static char new_place[64];
static bool has_moved(void) {
  neap_redis_info info = rig_info();
  return info.moves >= 1 && rig_is_ready();
}

/* Asked for: the old primary lives on, as a replica, and refuses writes. */
static void test_a_switch_is_followed(void **state) {
  (void)state;
  open_group("app");
  listen_to("news");
  rig_expect("SET before x", "OK");
  rig_run_until(listens);
  rig_expect("WAIT 1 5000", "1");
  tell_ok(&sentinels[1], "AUTH watcher\r\nSENTINEL FAILOVER app");
  rig_run_until(has_moved);
  rig_expect("SET after y", "OK");
  rig_expect("GET before", "x");
  snprintf(new_place, sizeof new_place, "127.0.0.1:%u", servers[1].port);
  assert_string_equal(rig_info().server, new_place);
  rig_run_until(listens_after_a_miss);
  rig_ask("PUBLISH news z");
  rig_run_until(has_heard);
}

static void test_a_dead_primary_is_replaced(void **state) {
  tell_until(&servers[0], "INFO replication", "master_link_status:up");
  for (int i = 0; i < SENTINELS; i++) {
    tell_until(&sentinels[i], "AUTH watcher\r\nSENTINEL GET-MASTER-ADDR-BY-NAME app",
               strchr(new_place, ':') + 1);
    tell_until(&sentinels[i], "AUTH watcher\r\nSENTINEL MASTER app", "flags\r\n$6\r\nmaster\r\n");
    tell_until(&sentinels[i], "AUTH watcher\r\nSENTINEL REPLICAS app", "master-link-status\r\n$2\r\nok");
    tell_until(&sentinels[i], "AUTH watcher\r\nSENTINEL REPLICAS app", "flags\r\n$5\r\nslave\r\n");
  }
  rig_tear_down(state); /* its loop has not seen the time pass */
  rig_set_up(state);
  open_group("app");
  rig_expect("GET after", "y");
  process_end(&servers[1]);
  rig_run_for(50);
  answer got = rig_ask("GET after");
  assert_true(got.end == NEAP_REDIS_LOST || got.end == NEAP_REDIS_DOWN);
  rig_run_until(has_moved);
  rig_expect("GET after", "y");
  rig_expect("SET third z", "OK");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_the_primary_is_found),
      TEST(test_an_unknown_group_is_told),
      TEST(test_a_wrong_password_of_sentinels_is_told),
      TEST(test_a_switch_is_followed),
      TEST(test_a_dead_primary_is_replaced),
  };
  return cmocka_run_group_tests(tests, start_group, end_group);
}
