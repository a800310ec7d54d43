/* The client of Redis, with a Cluster of three real nodes. */
#include "redis_rig.h"

enum { NODES = 3 };
static process nodes[NODES];
static char ids[NODES][41];
static const int first_slot[NODES + 1] = {0, 5461, 10923, 16384};

static void start_node(int i) {
  char more[256];
  uint16_t bus = free_port();
  snprintf(more, sizeof more,
           "--cluster-enabled yes --cluster-config-file nodes-%d.conf --cluster-node-timeout 1500 "
           "--cluster-port %u",
           i, bus);
  server_start(&nodes[i], more);
}

static void read_id(int i) {
  char said[128];
  tell(&nodes[i], "CLUSTER MYID", said, sizeof said);
  assert_int_equal(sscanf(said, "$40\r\n%40s", ids[i]), 1);
}

static void all_until(const char *line, const char *text) {
  for (int i = 0; i < NODES; i++) tell_until(&nodes[i], line, text);
}

static uint16_t bus_port(int i) {
  char said[1024];
  unsigned port = 0, bus = 0;
  const char *at = strchr(tell(&nodes[i], "CLUSTER NODES", said, sizeof said), ':');
  assert_int_equal(sscanf(at, ":%u@%u", &port, &bus), 2);
  return (uint16_t)bus;
}

static int start_cluster(void **state) {
  (void)state;
  if (mkdtemp(rig_folder) == NULL) return -1;
  for (int i = 0; i < NODES; i++) {
    char line[128];
    start_node(i);
    read_id(i);
    snprintf(line, sizeof line, "CLUSTER ADDSLOTSRANGE %d %d", first_slot[i], first_slot[i + 1] - 1);
    tell_ok(&nodes[i], line);
    snprintf(line, sizeof line, "CLUSTER SET-CONFIG-EPOCH %d", i + 1);
    tell_ok(&nodes[i], line);
    if (i == 0) continue;
    snprintf(line, sizeof line, "CLUSTER MEET 127.0.0.1 %u %u", nodes[0].port, bus_port(0));
    tell_ok(&nodes[i], line);
  }
  all_until("CLUSTER INFO", "cluster_known_nodes:3");
  all_until("CLUSTER INFO", "cluster_state:ok");
  return 0;
}

static int end_cluster(void **state) {
  (void)state;
  char command[128];
  for (int i = 0; i < NODES; i++) process_end(&nodes[i]);
  snprintf(command, sizeof command, "rm -rf %s", rig_folder);
  return system(command);
}

static char place[NODES + 1][64];

static void open_cluster(void) {
  rig.options.layout = NEAP_REDIS_CLUSTER;
  snprintf(place[NODES], sizeof place[NODES], "127.0.0.1:%u", free_port()); /* where nobody is */
  rig.addresses[0] = place[NODES];
  for (int i = 0; i < NODES; i++) {
    snprintf(place[i], sizeof place[i], "127.0.0.1:%u", nodes[i].port);
    rig.addresses[i + 1] = place[i];
  }
  rig.addresses[2] = NULL; /* one seed is enough */
  rig_open();
}

/* --- slots */

static int slot_of(const char *key) {
  char line[64], said[64];
  int slot = -1;
  snprintf(line, sizeof line, "CLUSTER KEYSLOT %s", key);
  sscanf(tell(&nodes[0], line, said, sizeof said), ":%d", &slot);
  return slot;
}

static int node_of(int slot) {
  int i = 0;
  while (slot >= first_slot[i + 1]) i++;
  return i;
}

static void set_slot(int node, int slot, const char *how, int other) {
  char line[128];
  snprintf(line, sizeof line, "CLUSTER SETSLOT %d %s %s", slot, how, ids[other]);
  tell_ok(&nodes[node], line);
}

/* Everybody agrees. */
static void give_slot(int slot, int to) {
  set_slot(to, slot, "NODE", to);
  for (int i = 0; i < NODES; i++)
    if (i != to) set_slot(i, slot, "NODE", to);
}

static void migrate(const char *key, int from, int to) {
  char line[128];
  snprintf(line, sizeof line, "MIGRATE 127.0.0.1 %u %s 0 5000", nodes[to].port, key);
  tell_ok(&nodes[from], line);
}

/* --- tests */

static void test_every_key_is_found_without_a_redirect(void **state) {
  (void)state;
  open_cluster();
  for (int i = 0; i < 100; i++) {
    char line[64], text[24];
    snprintf(line, sizeof line, "SET key-%d value-%d", i, i);
    rig_expect(line, "OK");
    snprintf(line, sizeof line, "GET key-%d", i);
    snprintf(text, sizeof text, "value-%d", i);
    rig_expect(line, text);
  }
  neap_redis_info info = rig_info();
  assert_int_equal(info.redirects, 0);
  assert_int_equal(info.servers, NODES);
  assert_int_equal(info.wanted, NODES * rig.options.connections);
  rig_expect("PING", "PONG"); /* to any */
}

static void test_keys_with_a_tag_lie_together(void **state) {
  (void)state;
  open_cluster();
  rig_expect("MSET {tag}a 1 {tag}b 2 x{tag}c 3", "OK");
  assert_int_equal(rig_ask("MGET {tag}a x{tag}c").count, 2);
  answer got = rig_ask("MGET key-1 key-2");
  assert_int_equal(got.end, NEAP_REDIS_ERROR);
  assert_non_null(strstr(got.text, "CROSSSLOT"));
  rig_expect("SET {}a 1", "OK"); /* an empty tag is none, and a half one neither */
  rig_expect("SET {a 1", "OK");
  rig_expect("SET a}b{c}d 1", "OK");
  assert_int_equal(rig_info().redirects, 0);
}

static void test_scripts_are_sent_to_each_node_once(void **state) {
  (void)state;
  neap_redis_script script;
  neap_redis_script_init(&script, "return redis.call('SET', KEYS[1], ARGV[1])");
  open_cluster();
  for (int i = 0; i < 40; i++) {
    char key[24];
    answer got = {0};
    snprintf(key, sizeof key, "script-%d", i);
    const neap_view args[] = {neap_view_of("1"), neap_view_of(key), neap_view_of("x")};
    const neap_redis_command command = {
        .args = args, .count = 3, .script = &script, .key = args[1], .done = rig_on_done, .user = &got};
    rig.waited_for = 1;
    assert_int_equal(neap_redis_start(rig.redis, &command, NULL), 0);
    rig_run();
    assert_string_equal(got.text, "OK");
  }
  assert_int_equal(rig_info().reloads, NODES);
}

static void test_a_slot_that_moved_is_followed_once(void **state) {
  (void)state;
  int slot = slot_of("moving"), from = node_of(slot), to = (from + 1) % NODES;
  open_cluster();
  rig_ask("DEL moving");
  give_slot(slot, to);
  rig_expect("SET moving x", "OK");
  assert_int_equal(rig_info().redirects, 1);
  rig_expect("GET moving", "x");
  assert_int_equal(rig_info().redirects, 1);
  rig_ask("DEL moving");
  give_slot(slot, from);
  rig_expect("SET moving y", "OK");
  rig_expect("GET moving", "y");
}

static void test_a_slot_on_the_move_is_asked_on_both_sides(void **state) {
  (void)state;
  int slot = slot_of("{half}"), from = node_of(slot), to = (from + 1) % NODES;
  answer both;
  open_cluster();
  rig_expect("MSET {half}a 1 {half}b 2", "OK");
  set_slot(to, slot, "IMPORTING", from);
  set_slot(from, slot, "MIGRATING", to);
  migrate("{half}a", from, to);
  rig_expect("GET {half}a", "1"); /* ASK */
  rig_expect("GET {half}b", "2");
  rig_expect("SET {half}c 3", "OK"); /* new ones go to the other side */
  assert_int_equal(rig_info().redirects, 2);
  assert_int_equal(rig_start(&both, "MGET {half}a {half}b", NULL), 0);
  rig_run_for(200);
  assert_false(both.told); /* TRYAGAIN: neither side has both */
  migrate("{half}b", from, to);
  rig_run();
  assert_int_equal(both.end, NEAP_REDIS_DONE);
  assert_int_equal(both.count, 2);
  give_slot(slot, to);
  rig_expect("GET {half}a", "1"); /* MOVED */
  set_slot(from, slot, "IMPORTING", to);
  set_slot(to, slot, "MIGRATING", from);
  migrate("{half}a", to, from);
  migrate("{half}b", to, from);
  migrate("{half}c", to, from);
  give_slot(slot, from);
  rig_expect("GET {half}b", "2");
}

static void test_many_under_way_survive_a_migration(void **state) {
  (void)state;
  int slot = slot_of("{busy}"), from = node_of(slot), to = (from + 2) % NODES;
  enum { ROUNDS = 20, EACH = 50 };
  answer *got = calloc(ROUNDS * EACH, sizeof *got);
  open_cluster();
  rig_ask("DEL {busy}n");
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < EACH; i++)
      assert_int_equal(rig_start(&got[round * EACH + i], "INCR {busy}n", NULL), 0);
    if (round == 5) {
      set_slot(to, slot, "IMPORTING", from);
      set_slot(from, slot, "MIGRATING", to);
    }
    if (round == 10) migrate("{busy}n", from, to);
    if (round == 15) give_slot(slot, to);
    rig_run();
  }
  for (int i = 0; i < ROUNDS * EACH; i++) assert_int_equal(got[i].end, NEAP_REDIS_DONE);
  char total[16];
  snprintf(total, sizeof total, "%d", ROUNDS * EACH);
  rig_expect("GET {busy}n", total); /* none was lost, none done twice */
  set_slot(from, slot, "IMPORTING", to);
  set_slot(to, slot, "MIGRATING", from);
  migrate("{busy}n", to, from);
  give_slot(slot, from);
  free(got);
}

static char heard[64];
static bool listening;
static void on_message(void *user, neap_view channel, neap_view payload) {
  (void)user, (void)channel;
  strncat(heard, payload.ptr, payload.size);
  neap_loop_stop(rig.loop);
}
static void on_listening(void *user, bool yes) {
  (void)user;
  listening = yes;
  neap_loop_stop(rig.loop);
}

static void test_messages_come_from_every_node(void **state) {
  (void)state;
  neap_redis_watch *watch;
  const neap_view channel = neap_view_of("news");
  const neap_redis_watch_options options = {
      .channels = &channel, .channel_count = 1, .message = on_message, .listening = on_listening};
  listening = false;
  heard[0] = '\0';
  open_cluster();
  rig_expect("PING", "PONG");
  assert_int_equal(neap_redis_watch_open(rig.redis, &options, &watch), 0);
  while (!listening) rig_run();
  for (int i = 0; i < NODES; i++) {
    char answer_text[64], line[32];
    snprintf(line, sizeof line, "PUBLISH news %d", i);
    tell(&nodes[i], line, answer_text, sizeof answer_text);
    while (strlen(heard) <= (size_t)i) rig_run();
  }
  assert_string_equal(heard, "012");
}

static bool serves_again(void) {
  static answer got;
  static bool asked;
  if (asked && !got.told) return false;
  if (asked && got.end == NEAP_REDIS_DONE) return true;
  asked = rig_start(&got, "SET key-1 again", NULL) == 0;
  return false;
}

/* Last: it leaves the cluster with another port of its bus. */
static void test_slots_of_a_dead_node_are_waited_for(void **state) {
  (void)state;
  int dead = node_of(slot_of("key-1")), other = (dead + 1) % NODES;
  char key[24] = "";
  for (int i = 0; key[0] == '\0'; i++) {
    snprintf(key, sizeof key, "other-%d", i);
    if (node_of(slot_of(key)) != other) key[0] = '\0';
  }
  open_cluster();
  rig_expect("SET key-1 x", "OK");
  process_end(&nodes[dead]);
  tell_until(&nodes[other], "CLUSTER INFO", "cluster_state:fail");
  rig.ask_ms = 300;
  char line[32];
  snprintf(line, sizeof line, "GET %s", key);
  answer got = rig_ask(line); /* CLUSTERDOWN, which is not carried out */
  assert_int_equal(got.end, NEAP_REDIS_LATE);
  assert_false(got.sent);
  got = rig_ask("GET key-1");
  assert_int_equal(got.end, NEAP_REDIS_DOWN);
  rig.ask_ms = 0;
  start_node(dead);
  rig.ask_ms = 1000;
  rig_run_until(serves_again);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_every_key_is_found_without_a_redirect),
      TEST(test_keys_with_a_tag_lie_together),
      TEST(test_scripts_are_sent_to_each_node_once),
      TEST(test_a_slot_that_moved_is_followed_once),
      TEST(test_a_slot_on_the_move_is_asked_on_both_sides),
      TEST(test_many_under_way_survive_a_migration),
      TEST(test_messages_come_from_every_node),
      TEST(test_slots_of_a_dead_node_are_waited_for),
  };
  return cmocka_run_group_tests(tests, start_cluster, end_cluster);
}
