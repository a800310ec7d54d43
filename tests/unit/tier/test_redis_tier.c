/* Two nodes and a real Redis: the cascade, leases and tombstones, what one node's writes do to the other's
 * memory, and a Redis that is paused, killed and cleared. */
#include "remote/redis_rig.h"

#include "tier/tier.h"

enum { NODES = 2 };

typedef struct node {
  neap_cache *memory;
  neap_tiers *tiers;
  neap_tiers_port *port;
  neap_tier_call *below; /* waits in the tier below Redis */
} node;

static struct {
  neap_host host;
  neap_registry *registry;
  neap_loop *loop;
  node nodes[NODES];
  process server;
  char address[64];
  const char *addresses[2];
  neap_timer look;
  bool (*condition)(void);
  int looks;
  /* what was told */
  int times, code, tier, stale;
  uint32_t queued;
  uint64_t version, ttl_ms;
  char body[64];
} the;

/* --- the tier below Redis: answers when the test says */

static int below_start(void *self, neap_tier_call *call) {
  ((node *)self)->below = call;
  return call->verb == NEAP_TIER_GET ? 0 : NEAP_EINVAL;
}

static void below_cancel(void *self, neap_tier_call *call) {
  (void)call;
  ((node *)self)->below = NULL;
}

static const neap_tier_vt below_vt = {
    .name = "below", .makes = true, .start = below_start, .cancel = below_cancel};

static void below_answer(int number, const char *body) {
  neap_tier_call *call = the.nodes[number].below;
  assert_non_null(call);
  the.nodes[number].below = NULL;
  neap_tier_answer said = {.code = body ? 0 : NEAP_ENOTFOUND};
  if (body) said.object = (neap_tier_object){.ttl_ms = 60000, .body = neap_view_of(body)};
  call->done(call, &said);
}

/* --- nodes */

static void open_node(node *it, bool below) {
  neap_cache_options cache;
  neap_cache_options_init(&cache);
  cache.evict = "native:sieve";
  assert_int_equal(neap_store_create(the.registry, &the.host, &cache, NEAP_STORE_VALUES, &it->memory, NULL),
                   0);
  neap_tiers_options options;
  neap_tiers_options_init(&options);
  options.memory = it->memory;
  options.jitter_percent = 0;
  options.negative_ttl_ms = 0;
  options.fail_safe_throttle_ms = 50;
  assert_int_equal(neap_tiers_create_with(the.registry, &the.host, &options, &it->tiers, NULL), 0);
  neap_tier_redis_options redis;
  neap_tier_redis_options_init(&redis);
  redis.addresses = the.addresses;
  redis.backoff_max_ms = 100;
  redis.stall_ms = 500;
  redis.heartbeat_ms = 50;
  redis.max_staleness_ms = 400;
  const neap_tier_options tier = {.hard_timeout_ms = 300,
                                  .breaker_open_ms = 100,
                                  .breaker_open_max_ms = 200,
                                  .breaker_min = 3,
                                  .recovery_delay_ms = 100,
                                  .soft_timeout_ms = 20};
  neap_err err;
  if (neap_tiers_add_redis(it->tiers, &redis, &tier, &err)) fail_msg("%s", err.text);
  if (below)
    assert_int_equal(
        neap_tiers_add(it->tiers, &below_vt, it, &(neap_tier_options){.hard_timeout_ms = 60000}, NULL), 0);
  assert_int_equal(neap_tiers_attach_loop(it->tiers, the.loop, &it->port, &err), 0);
}

static void close_node(node *it) {
  neap_tiers_detach(&it->port);
  neap_tiers_destroy(&it->tiers);
  neap_cache_destroy(&it->memory);
}

static void on_look(neap_timer *timer) {
  (void)timer;
  if (the.condition() || ++the.looks > 2000) {
    neap_loop_stop(the.loop);
    return;
  }
  neap_timer_set(the.loop, &the.look, 1);
}

static void run_until(bool (*condition)(void)) {
  the.condition = condition;
  the.looks = 0;
  neap_timer_set(the.loop, &the.look, 1);
  neap_loop_run(the.loop);
  neap_timer_clear(&the.look);
  assert_true(condition());
}

static bool once(void) {
  return true;
}

static int turns;
/* Lets a few milliseconds of the loop pass: until the next look. */
static void turn(void) {
  assert_true(++turns < 5000); /* what is waited for does not come */
  run_until(once);
}

static void note(const neap_tier_reply *reply) {
  the.times++;
  the.code = reply->code;
  the.tier = reply->tier;
  the.stale = reply->stale;
  the.version = reply->version;
  the.ttl_ms = reply->ttl_ms;
  the.queued = reply->queued;
  neap_view body = neap_tier_value_piece(&reply->value, 0);
  snprintf(the.body, sizeof the.body, "%.*s", (int)body.size, body.ptr);
}

static void on_reply(void *user, neap_tier_reply *reply) {
  (void)user;
  note(reply);
}

static bool is_told(void) {
  return the.times > 0;
}

static int finish(int code, neap_tier_reply *reply) {
  if (code == NEAP_EPENDING) {
    if (!is_told()) run_until(is_told);
    return the.code;
  }
  note(reply);
  neap_tier_reply_release(reply);
  return code;
}

static int get_with(int number, const char *key, neap_consistency consistency) {
  neap_tier_reply reply = {0};
  const neap_tier_get_options options = {.consistency = consistency};
  the.times = 0;
  return finish(
      neap_tiers_get(the.nodes[number].port, neap_view_of(key), &options, on_reply, NULL, &reply, NULL),
      &reply);
}

static int get(int number, const char *key) {
  return get_with(number, key, NEAP_CONSISTENCY_DEFAULT);
}

static int set(int number, const char *key, const char *value) {
  neap_tier_reply reply = {0};
  the.times = 0;
  return finish(neap_tiers_set(the.nodes[number].port, neap_view_of(key), neap_view_of(value), NULL, on_reply,
                               NULL, &reply, NULL),
                &reply);
}

static int delete_key(int number, const char *key) {
  neap_tier_reply reply = {0};
  the.times = 0;
  return finish(
      neap_tiers_delete(the.nodes[number].port, neap_view_of(key), NULL, on_reply, NULL, &reply, NULL),
      &reply);
}

/* Memory of the first node answers "k", and is sure of it. */
static bool is_sure(void) {
  neap_tier_reply reply = {0};
  int code = neap_tiers_get(the.nodes[0].port, NEAP_BYTES("k"),
                            &(neap_tier_get_options){.tiers = NEAP_TIERS_ALL}, NULL, NULL, &reply, NULL);
  bool sure = code == 0 && !reply.stale;
  if (code == 0) neap_tier_reply_release(&reply);
  return sure;
}

static int set_up_with(bool below) {
  memset(&the, 0, sizeof the);
  turns = 0;
  neap_host given = {.now_ms = neap_clock_now_ms,
                     .now_ns = neap_clock_now_ns,
                     .thread_cpu_ns = neap_clock_thread_cpu_ns,
                     .seed = 7};
  neap_host_complete(&given, &the.host);
  if (neap_registry_create(&the.host, &the.registry)) return -1;
  snprintf(rig_folder, sizeof rig_folder, "/tmp/neap-redis-XXXXXX");
  if (mkdtemp(rig_folder) == NULL) return -1;
  server_start(&the.server, "");
  snprintf(the.address, sizeof the.address, "127.0.0.1:%u", the.server.port);
  the.addresses[0] = the.address;
  neap_timer_init(&the.look, on_look);
  assert_int_equal(neap_loop_create(&the.loop), 0);
  for (int i = 0; i < NODES; i++) open_node(&the.nodes[i], below);
  return 0;
}

static int set_up(void **state) {
  (void)state;
  return set_up_with(false);
}

static int set_up_below(void **state) {
  (void)state;
  return set_up_with(true);
}

static int tear_down(void **state) {
  (void)state;
  for (int i = 0; i < NODES; i++) close_node(&the.nodes[i]);
  neap_loop_destroy(&the.loop);
  neap_registry_destroy(&the.registry);
  process_end(&the.server);
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", rig_folder);
  return system(command);
}

/* --- tests */

static void test_what_one_node_sets_another_finds(void **state) {
  (void)state;
  assert_int_equal(get(0, "k"), NEAP_ENOTFOUND);
  assert_int_equal(set(0, "k", "value"), 0);
  uint64_t version = the.version;
  assert_true(version > 1000000000000000); /* the server's clock */
  assert_int_equal(get(1, "k"), 0);
  assert_int_equal(the.tier, 1);
  assert_string_equal(the.body, "value");
  assert_int_equal(the.version, version);
  assert_in_range(the.ttl_ms, 290000, 300000);
  run_until(is_sure);
  assert_int_equal(get(0, "k"), 0);
  assert_int_equal(the.tier, 0);
  assert_int_equal(the.version, version);
}

static bool second_value(void) {
  neap_tier_reply reply = {0};
  int code = neap_tiers_get(the.nodes[0].port, NEAP_BYTES("k"), NULL, NULL, NULL, &reply, NULL);
  if (code) return false;
  note(&reply);
  neap_tier_reply_release(&reply);
  return strcmp(the.body, "two") == 0;
}

static void test_a_write_of_another_node_reaches_memory(void **state) {
  (void)state;
  assert_int_equal(set(0, "k", "one"), 0);
  run_until(is_sure);
  assert_int_equal(set(1, "k", "two"), 0);
  assert_int_equal(get_with(0, "k", NEAP_CONSISTENCY_STRONG), 0); /* at once */
  assert_string_equal(the.body, "two");
  assert_int_equal(set(0, "k", "one"), 0);
  run_until(is_sure);
  assert_int_equal(set(1, "k", "two"), 0);
  run_until(second_value); /* as the channel tells */
}

static void test_a_strong_get_of_what_is_unchanged_brings_no_body(void **state) {
  (void)state;
  assert_int_equal(set(0, "k", "value"), 0);
  neap_tiers_stats before, after;
  neap_tiers_stats_get(the.nodes[0].tiers, &before);
  assert_int_equal(get_with(0, "k", NEAP_CONSISTENCY_STRONG), 0);
  assert_string_equal(the.body, "value");
  neap_tiers_stats_get(the.nodes[0].tiers, &after);
  assert_int_equal(after.tiers[1].bytes_read, before.tiers[1].bytes_read);
}

static void test_deletes_leave_a_tombstone_and_nothing_else(void **state) {
  (void)state;
  char said[256];
  assert_int_equal(set(0, "k", "value"), 0);
  assert_int_equal(delete_key(1, "k"), 0);
  assert_int_equal(get_with(0, "k", NEAP_CONSISTENCY_STRONG), NEAP_ENOTFOUND);
  assert_int_equal(get(1, "k"), NEAP_ENOTFOUND);
  tell(&the.server, "GETRANGE neap:k:k 16 16", said, sizeof said);
  assert_non_null(strstr(said, "T"));
  tell(&the.server, "PTTL neap:k:k", said, sizeof said);
  assert_in_range(atoi(said + 1), 1, 30000);
}

static int told_count;
static char told_key[32];

static void on_deleted(void *user, neap_view key) {
  (void)user;
  told_count++;
  snprintf(told_key, sizeof told_key, "%.*s", (int)key.size, key.ptr);
}

static bool delete_is_told(void) {
  return told_count > 0;
}

static void test_deletes_of_another_node_are_told_and_sets_are_not(void **state) {
  (void)state;
  told_count = 0;
  neap_tiers_on_deleted(the.nodes[0].tiers, on_deleted, NULL);
  assert_int_equal(set(0, "k", "first"), 0);
  run_until(is_sure); /* it listens */
  assert_int_equal(set(1, "other", "value"), 0);
  assert_int_equal(set(1, "k", "value"), 0);
  assert_int_equal(delete_key(1, "k"), 0);
  run_until(delete_is_told);
  assert_int_equal(told_count, 1);
  assert_string_equal(told_key, "k");
}

/* --- exchanges */

static int exchange(int number, const char *value, uint64_t expected) {
  const neap_view view = neap_view_of(value ? value : "");
  neap_tier_reply none = {0};
  the.times = 0;
  int code = neap_tiers_exchange(the.nodes[number].port, NEAP_BYTES("k"), value ? &view : NULL, expected,
                                 &(neap_tier_set_options){.ttl_ms = 60000}, on_reply, NULL, NULL);
  return finish(code, &none);
}

static void test_an_exchange_is_done_where_nobody_has_written_since(void **state) {
  (void)state;
  assert_int_equal(exchange(0, "one", 0), 0);
  uint64_t first = the.version;
  assert_int_equal(exchange(1, "two", 0), NEAP_EVERSION);
  assert_int_equal(the.version, first);
  assert_int_equal(exchange(1, "two", first), 0);
  uint64_t second = the.version;
  assert_true(second > first);
  assert_int_equal(exchange(0, "three", first), NEAP_EVERSION);
  assert_int_equal(the.version, second);
  assert_int_equal(get_with(0, "k", NEAP_CONSISTENCY_STRONG), 0);
  assert_string_equal(the.body, "two");
  assert_in_range(the.ttl_ms, 1, 60000);
  run_until(second_value); /* whoever lost does not go on with what it had */
}

static void test_an_exchange_takes_a_key_away_once(void **state) {
  (void)state;
  assert_int_equal(exchange(0, NULL, 17), NEAP_EVERSION);
  assert_int_equal(set(0, "k", "one"), 0);
  uint64_t version = the.version;
  assert_int_equal(exchange(1, NULL, version), 0);
  assert_int_equal(exchange(0, NULL, version), NEAP_EVERSION);
  assert_int_equal(get_with(0, "k", NEAP_CONSISTENCY_STRONG), NEAP_ENOTFOUND);
  assert_int_equal(exchange(0, "again", 0), 0); /* a tombstone is nothing */
}

static void test_an_exchange_waits_for_writes_that_wait(void **state) {
  (void)state;
  neap_tier_reply reply = {0};
  const neap_tier_set_options behind = {.mode = NEAP_WRITE_BEHIND};
  assert_int_equal(neap_tiers_set(the.nodes[0].port, NEAP_BYTES("k"), NEAP_BYTES("one"), &behind, on_reply,
                                  NULL, &reply, NULL),
                   0);
  int code = exchange(0, "two", 0);
  assert_int_equal(code, NEAP_EBUSY);
  for (; code == NEAP_EBUSY; code = exchange(0, "two", 0)) turn();
  assert_int_equal(code, NEAP_EVERSION);
}

static bool nothing_waits(void) {
  neap_tiers_stats stats;
  neap_tiers_stats_get(the.nodes[0].tiers, &stats);
  return stats.tiers[1].waiting == 0;
}

static void test_a_write_behind_is_newer_than_what_its_node_has_seen(void **state) {
  (void)state;
  neap_tier_reply reply = {0};
  const neap_tier_set_options behind = {.mode = NEAP_WRITE_BEHIND};
  for (int i = 0; i < 5; i++) { /* within the same millisecond, mostly */
    assert_int_equal(set(0, "k", "first"), 0);
    assert_int_equal(neap_tiers_set(the.nodes[0].port, NEAP_BYTES("k"), NEAP_BYTES("second"), &behind,
                                    on_reply, NULL, &reply, NULL),
                     0);
    run_until(nothing_waits);
    assert_int_equal(get_with(1, "k", NEAP_CONSISTENCY_STRONG), 0);
    assert_string_equal(the.body, "second");
  }
}

static void test_an_exchange_with_a_dead_redis_is_not_done_later(void **state) {
  (void)state;
  assert_int_equal(set(0, "k", "one"), 0);
  uint64_t version = the.version;
  process_end(&the.server);
  assert_int_equal(exchange(0, "two", version), NEAP_EUNAVAIL);
  assert_int_equal(the.queued, 0);
  neap_tiers_stats stats;
  neap_tiers_stats_get(the.nodes[0].tiers, &stats);
  assert_int_equal(stats.tiers[1].waiting, 0);
  assert_int_equal(get(0, "k"), 0); /* what is known, marked */
  assert_true(the.stale);
  assert_string_equal(the.body, "one");
}

static void test_a_late_fill_after_a_delete_is_refused(void **state) {
  (void)state;
  char said[256];
  neap_tier_reply reply = {0};
  the.times = 0;
  assert_int_equal(neap_tiers_get(the.nodes[0].port, NEAP_BYTES("k"), NULL, on_reply, NULL, &reply, NULL),
                   NEAP_EPENDING);
  while (the.nodes[0].below == NULL) {
    turn();
  }
  tell(&the.server, "GETRANGE neap:k:k 16 16", said, sizeof said);
  assert_non_null(strstr(said, "L"));
  neap_tier_op *op = NULL;
  assert_int_equal(neap_tiers_delete(the.nodes[1].port, NEAP_BYTES("k"), NULL, on_reply, NULL, NULL, &op),
                   NEAP_EPENDING);
  run_until(is_told);
  the.times = 0;
  below_answer(0, "old");
  assert_string_equal(the.body, "old"); /* for whoever had asked before */
  neap_cache_stats stats;
  neap_tiers_stats tiers;
  do {
    turn();
    neap_tiers_stats_get(the.nodes[0].tiers, &tiers);
  } while (tiers.tiers[1].rejected == 0);
  neap_cache_stats_get(the.nodes[0].memory, &stats);
  tell(&the.server, "GETRANGE neap:k:k 16 16", said, sizeof said);
  assert_non_null(strstr(said, "T"));
  assert_false(is_sure()); /* nor is it in memory */
}

static void test_a_fill_of_a_miss_is_found_by_the_other_node(void **state) {
  (void)state;
  neap_tier_reply reply = {0};
  the.times = 0;
  neap_tiers_get(the.nodes[0].port, NEAP_BYTES("k"), NULL, on_reply, NULL, &reply, NULL);
  while (the.nodes[0].below == NULL) {
    turn();
  }
  below_answer(0, "made");
  uint64_t version = the.version;
  neap_tiers_stats stats;
  do {
    turn();
    neap_tiers_stats_get(the.nodes[0].tiers, &stats);
  } while (stats.tiers[1].promotions == 0);
  assert_int_equal(get(1, "k"), 0);
  assert_int_equal(the.tier, 1);
  assert_string_equal(the.body, "made");
  assert_int_equal(the.version, version);
}

static void test_a_clear_reaches_redis_and_the_other_node(void **state) {
  (void)state;
  assert_int_equal(set(0, "k", "value"), 0);
  run_until(is_sure);
  neap_tier_reply reply = {0};
  the.times = 0;
  assert_int_equal(finish(neap_tiers_clear(the.nodes[1].port, NULL, on_reply, NULL, &reply, NULL), &reply),
                   0);
  assert_int_equal(get(1, "k"), NEAP_ENOTFOUND);
  for (int i = 0; i < 200 && get(0, "k") == 0; i++) {
    turn();
  }
  assert_int_equal(get(0, "k"), NEAP_ENOTFOUND);
  assert_int_equal(set(0, "k", "again"), 0);
  assert_int_equal(get(1, "k"), 0);
}

static void test_what_others_keep_under_our_keys_is_nothing(void **state) {
  (void)state;
  char said[256];
  tell(&the.server, "LPUSH neap:k:list x", said, sizeof said);
  tell_ok(&the.server, "SET neap:k:junk hello");
  tell_ok(&the.server, "SET neap:k:near 1234567890123456Vno-envelope");
  assert_int_equal(get(0, "list"), NEAP_ENOTFOUND);
  assert_int_equal(get(0, "junk"), NEAP_ENOTFOUND);
  assert_int_equal(get(0, "near"), NEAP_ENOTFOUND);
  assert_int_equal(set(0, "junk", "mine"), 0);
  assert_int_equal(the.queued, 0);
  assert_int_equal(get(1, "junk"), 0);
}

static void test_a_record_under_another_key_is_not_believed(void **state) {
  (void)state;
  char said[256];
  assert_int_equal(set(0, "mine", "secret"), 0);
  tell(&the.server, "COPY neap:k:mine neap:k:other", said, sizeof said);
  assert_int_equal(get(1, "other"), NEAP_ENOTFOUND);
}

static void test_a_paused_redis_costs_memory_hits_nothing_and_is_back_by_itself(void **state) {
  (void)state;
  assert_int_equal(set(0, "k", "value"), 0);
  run_until(is_sure);
  kill(the.server.pid, SIGSTOP);
  assert_int_equal(get(0, "k"), 0); /* still within max_staleness */
  assert_int_equal(the.tier, 0);
  for (int i = 0; i < 3; i++) assert_int_equal(get(0, "other"), NEAP_EUNAVAIL); /* opens the breaker */
  assert_int_equal(get(0, "other"), NEAP_EUNAVAIL);
  assert_int_equal(get(0, "k"), 0); /* and is now marked as maybe old */
  assert_string_equal(the.body, "value");
  assert_int_equal(the.stale, 1);
  assert_int_equal(set(0, "later", "kept"), 0);
  assert_int_equal(get(0, "later"), 0);
  assert_string_equal(the.body, "kept");
  kill(the.server.pid, SIGCONT);
  run_until(is_sure);
  for (int i = 0; i < 500 && get(1, "later") != 0; i++) {
    turn();
  }
  assert_int_equal(get(1, "later"), 0); /* what waited has arrived */
  assert_string_equal(the.body, "kept");
}

static void test_a_write_whose_announcement_was_lost_is_seen(void **state) {
  (void)state;
  char said[128];
  for (int i = 0; i < 5; i++) {
    assert_int_equal(set(0, "k", "one"), 0);
    run_until(is_sure);
    tell(&the.server, "CLIENT KILL TYPE pubsub", said, sizeof said);
    assert_int_equal(set(1, "k", "two"), 0); /* nobody listens yet */
    run_until(second_value);
    run_until(is_sure);
    assert_int_equal(get(0, "k"), 0);
    assert_string_equal(the.body, "two");
  }
}

static void test_the_next_port_listens_when_the_one_that_did_goes(void **state) {
  (void)state;
  neap_tiers_port *second;
  assert_int_equal(neap_tiers_attach_loop(the.nodes[0].tiers, the.loop, &second, NULL), 0);
  assert_int_equal(set(0, "k", "one"), 0);
  run_until(is_sure);
  neap_tiers_detach(&the.nodes[0].port);
  the.nodes[0].port = second;
  run_until(is_sure);
  assert_int_equal(set(1, "k", "two"), 0);
  run_until(second_value);
}

static void test_a_redis_that_was_killed_and_came_back_empty_is_used_again(void **state) {
  (void)state;
  assert_int_equal(set(0, "k", "value"), 0);
  run_until(is_sure);
  process_end(&the.server);
  for (int i = 0; i < 4; i++) get(0, "other");
  assert_int_equal(the.code, NEAP_EUNAVAIL);
  server_start(&the.server, "");
  for (int i = 0; i < 500 && set(0, "k", "anew") == 0 && the.queued; i++) {
    turn();
  }
  assert_int_equal(the.queued, 0);
  run_until(is_sure);
}

static void test_settings_that_cannot_be_are_said(void **state) {
  (void)state;
  neap_tier_redis_options options;
  neap_err err;
  neap_tier_redis_options_init(&options);
  assert_int_equal(neap_tiers_add_redis(the.nodes[0].tiers, &options, NULL, &err), NEAP_EINVAL);
  assert_non_null(strstr(err.text, "addresses"));
  options.addresses = the.addresses;
  options.tombstone_ms = options.lease_ms - 1;
  assert_int_equal(neap_tiers_add_redis(the.nodes[0].tiers, &options, NULL, &err), NEAP_EINVAL);
  neap_tier_redis_options_init(&options);
  options.addresses = the.addresses;
  options.max_staleness_ms = options.heartbeat_ms;
  assert_int_equal(neap_tiers_add_redis(the.nodes[0].tiers, &options, NULL, &err), NEAP_EINVAL);
}

#define TEST(name)  cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define BELOW(name) cmocka_unit_test_setup_teardown(name, set_up_below, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_what_one_node_sets_another_finds),
      TEST(test_a_write_of_another_node_reaches_memory),
      TEST(test_a_strong_get_of_what_is_unchanged_brings_no_body),
      TEST(test_deletes_leave_a_tombstone_and_nothing_else),
      TEST(test_deletes_of_another_node_are_told_and_sets_are_not),
      TEST(test_an_exchange_is_done_where_nobody_has_written_since),
      TEST(test_an_exchange_takes_a_key_away_once),
      TEST(test_an_exchange_waits_for_writes_that_wait),
      TEST(test_a_write_behind_is_newer_than_what_its_node_has_seen),
      TEST(test_an_exchange_with_a_dead_redis_is_not_done_later),
      BELOW(test_a_late_fill_after_a_delete_is_refused),
      BELOW(test_a_fill_of_a_miss_is_found_by_the_other_node),
      TEST(test_a_clear_reaches_redis_and_the_other_node),
      TEST(test_what_others_keep_under_our_keys_is_nothing),
      TEST(test_a_record_under_another_key_is_not_believed),
      TEST(test_a_paused_redis_costs_memory_hits_nothing_and_is_back_by_itself),
      TEST(test_a_write_whose_announcement_was_lost_is_seen),
      TEST(test_the_next_port_listens_when_the_one_that_did_goes),
      TEST(test_a_redis_that_was_killed_and_came_back_empty_is_used_again),
      TEST(test_settings_that_cannot_be_are_said),
  };
  signal(SIGPIPE, SIG_IGN);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
