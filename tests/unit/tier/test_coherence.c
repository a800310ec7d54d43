/* Coherence of memory with the tier that gives out versions: each rule by hand, then nodes that read, write
 * and delete through a modelled tier with random delays, whose histories are checked. Leaving out a rule
 * makes the check fail, which shows that the rule is needed and that the check can fail. */
#include "base/random.h"
#include "rig.h"

/* --- by hand */

static void prime(const char *key, const char *body, uint64_t version) {
  told it;
  get(0, key, &it);
  answer_value(1, the.below[1].count - 1, body, version, 60000);
}

static void test_an_invalidation_makes_what_is_older_suspect(void **state) {
  (void)state;
  build("v", NULL);
  told it;
  prime("k", "old", 10);
  neap_tiers_invalidate(the.tiers, neap_view_of("k"), 10); /* our own */
  assert_int_equal(get(0, "k", &it), 0);
  neap_tiers_invalidate(the.tiers, neap_view_of("k"), 11);
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
  assert_int_equal(call_of(1, 1)->object.version, 10); /* what is known is told: the body may be saved */
  answer(1, 1, (neap_tier_answer){.unchanged = true, .object = {.version = 10, .ttl_ms = 60000}});
  assert_string_equal(it.body, "old");
  assert_int_equal(get(0, "k", &it), 0); /* fresh again */
}

static void test_unchanged_without_anything_to_compare_is_a_failure(void **state) {
  (void)state;
  build("v", NULL);
  told it;
  get(0, "k", &it);
  answer(1, 0, (neap_tier_answer){.unchanged = true, .object = {.version = 10}});
  assert_int_equal(it.code, NEAP_EUNAVAIL);
}

static void test_unchanged_asks_again_for_what_memory_has_lost(void **state) {
  (void)state;
  build("v", NULL);
  told it;
  prime("k", "old", 10);
  neap_tiers_invalidate(the.tiers, neap_view_of("k"), 11);
  get(0, "k", &it);
  neap_cache_remove(the.memory, neap_view_of("k"));
  answer(1, 1, (neap_tier_answer){.unchanged = true, .object = {.version = 10, .ttl_ms = 60000}});
  assert_int_equal(it.times, 0);
  assert_int_equal(call_of(1, 2)->object.version, 0);
  answer_value(1, 2, "old", 10, 60000);
  assert_string_equal(it.body, "old");
}

static void test_a_reply_older_than_an_invalidation_is_told_but_not_kept(void **state) {
  (void)state;
  build("v", NULL);
  told it, next;
  get(0, "k", &it);
  neap_tiers_invalidate(the.tiers, neap_view_of("k"), 11);
  assert_int_equal(get(0, "k", &next), NEAP_EPENDING); /* and nobody joins it any more */
  assert_int_equal(the.below[1].count, 2);
  answer_value(1, 0, "old", 10, 60000);
  assert_string_equal(it.body, "old");
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
  answer_value(1, 1, "new", 11, 60000);
  assert_string_equal(next.body, "new");
  assert_int_equal(get(0, "k", &it), 0);
}

static void test_an_invalidation_without_a_version_kills_what_is_under_way(void **state) {
  (void)state;
  build("v", NULL);
  told it;
  get(0, "k", &it);
  neap_tiers_invalidate(the.tiers, neap_view_of("k"), 0);
  answer_value(1, 0, "v", 10, 60000);
  assert_int_equal(it.code, 0);
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
}

static void test_while_a_write_is_under_way_memory_is_not_believed(void **state) {
  (void)state;
  build("v", NULL);
  told it, write;
  prime("k", "old", 10);
  set(0, "k", "new", &write);
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
  answer(1, 1, (neap_tier_answer){.object.version = 20});
  assert_int_equal(get(0, "k", &write), 0);
  assert_string_equal(write.body, "new");
  answer_value(1, 2, "old", 10, 60000);
  assert_int_equal(get(0, "k", &it), 0);
  assert_string_equal(it.body, "new");
}

static void test_another_write_seen_before_our_answer_keeps_ours_out(void **state) {
  (void)state;
  build("v", NULL);
  told it;
  set(0, "k", "ours", &it);
  neap_tiers_invalidate(the.tiers, neap_view_of("k"), 21);
  answer(1, 0, (neap_tier_answer){.object.version = 20});
  assert_int_equal(it.code, 0);
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
}

static const neap_tier_get_options strong_get = {.consistency = NEAP_CONSISTENCY_STRONG};
static const neap_tier_set_options strong_set = {.consistency = NEAP_CONSISTENCY_STRONG};

static void test_a_strong_write_without_an_answer_leaves_memory_suspect(void **state) {
  (void)state;
  build("v", NULL);
  told it;
  prime("k", "old", 10);
  set_with(0, "k", "new", &strong_set, &it);
  pass(1000);
  assert_int_equal(it.code, NEAP_EUNAVAIL);
  assert_int_equal(it.queued, 0);
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
  answer_value(1, 2, "new", 20, 60000); /* it was done after all */
  assert_string_equal(it.body, "new");
  pass(10000);
  assert_int_equal(the.below[1].count, 3); /* and is not repeated */
}

static void test_a_strong_get_is_always_checked_and_joins_nobody(void **state) {
  (void)state;
  build("v", NULL);
  told a, b;
  prime("k", "v", 10);
  assert_int_equal(get_with(0, "k", &strong_get, &a), NEAP_EPENDING);
  assert_int_equal(get_with(0, "k", &strong_get, &b), NEAP_EPENDING);
  assert_int_equal(the.below[1].count, 3);
  answer(1, 1, (neap_tier_answer){.unchanged = true, .object = {.version = 10, .ttl_ms = 60000}});
  assert_string_equal(a.body, "v");
  answer_code(1, 2, NEAP_EIO); /* never stale */
  assert_int_equal(b.code, NEAP_EUNAVAIL);
  assert_string_equal(b.body, "");
}

static void test_a_strong_get_is_not_answered_by_a_write_that_waits(void **state) {
  (void)state;
  build("v", NULL);
  told it;
  set(0, "k", "ours", &it);
  answer_code(1, 0, NEAP_EIO);
  assert_int_equal(it.queued, 1 << 1);
  assert_int_equal(get_with(0, "k", &strong_get, &it), NEAP_EPENDING);
  assert_int_equal(call_of(1, 1)->verb, NEAP_TIER_GET);
  answer_value(1, 1, "theirs", 10, 60000);
  assert_string_equal(it.body, "theirs");
}

static void test_a_write_that_waits_is_marked_where_messages_are_missed(void **state) {
  (void)state;
  build("v", NULL);
  told it;
  set(0, "k", "ours", &it);
  answer_code(1, 0, NEAP_EIO);
  neap_tiers_set_fresh(the.tiers, 0, the.now_ms);
  get(0, "k", &it);
  settle_ports();
  assert_string_equal(it.body, "ours");
  assert_true(it.stale);
}

static void test_what_is_remembered_of_nobody_is_not_believed_where_messages_are_missed(void **state) {
  (void)state;
  build("v", NULL);
  told it;
  get(0, "k", &it);
  answer_code(1, 0, NEAP_ENOTFOUND);
  assert_int_equal(get(0, "k", &it), NEAP_ENOTFOUND);
  neap_tiers_set_fresh(the.tiers, the.now_ms + 10, the.now_ms);
  assert_int_equal(get(0, "k", &it), NEAP_ENOTFOUND);
  pass(10);
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
}

static void test_an_answer_asked_for_before_messages_were_missed_is_suspect(void **state) {
  (void)state;
  build("v", NULL);
  told it;
  get(0, "k", &it);
  neap_tiers_set_fresh(the.tiers, 0, the.now_ms);
  neap_tiers_set_fresh(the.tiers, UINT64_MAX, the.now_ms);
  answer_value(1, 0, "old", 10, 60000);
  assert_string_equal(it.body, "old");
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
}

static void test_a_delete_answered_late_leaves_what_is_newer(void **state) {
  (void)state;
  build("v", NULL);
  told it, gone;
  delete_key(0, "k", &gone);
  get(0, "k", &it);
  answer_value(1, 1, "newer", 21, 60000);
  answer(1, 0, (neap_tier_answer){.object.version = 20});
  assert_int_equal(gone.code, 0);
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING); /* and not that nobody has it */
  assert_int_equal(call_of(1, 2)->object.version, 21);
}

static void test_strong_needs_a_tier_that_gives_out_versions(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  assert_int_equal(get_with(0, "k", &strong_get, &it), NEAP_EINVAL);
}

static void test_a_reply_older_than_a_delete_that_was_seen_is_not_kept(void **state) {
  (void)state;
  build("v", NULL);
  told first, second;
  assert_int_equal(get(0, "k", &first), NEAP_EPENDING);
  neap_tiers_invalidate(the.tiers, NEAP_BYTES("k"), 5); /* nobody joins it any more */
  assert_int_equal(get(0, "k", &second), NEAP_EPENDING);
  answer(1, 1, (neap_tier_answer){.code = NEAP_ENOTFOUND, .object.version = 20});
  settle_ports();
  assert_int_equal(second.code, NEAP_ENOTFOUND);
  assert_int_equal(second.version, 20);
  answer_value(1, 0, "old", 10, 60000);
  settle_ports();
  assert_int_equal(first.code, 0);
  assert_int_equal(get(0, "k", &first), NEAP_ENOTFOUND);
  assert_int_equal(first.version, 20);
}

/* What has been seen since is newer than what was remembered of an earlier delete. */
static void test_a_miss_that_is_older_than_what_was_seen_is_forgotten(void **state) {
  (void)state;
  build("v", NULL);
  told it, other;
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
  answer(1, 0, (neap_tier_answer){.code = NEAP_ENOTFOUND, .object.version = 10});
  settle_ports();
  assert_int_equal(get(0, "k", &it), NEAP_ENOTFOUND); /* remembered */
  assert_int_equal(it.version, 10);
  const neap_tier_get_options strong = {.consistency = NEAP_CONSISTENCY_STRONG};
  assert_int_equal(get_with(0, "k", &strong, &it), NEAP_EPENDING);
  assert_int_equal(set(0, "k", "mine", &other), NEAP_EPENDING); /* so that the miss is no news */
  answer(1, 1, (neap_tier_answer){.code = NEAP_ENOTFOUND, .object.version = 20});
  settle_ports();
  assert_int_equal(it.version, 20);
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
  answer_code(1, 2, NEAP_EIO);
  answer_code(1, 3, NEAP_EIO);
  settle_ports();
}

static void test_a_copy_older_than_a_delete_known_above_is_not_believed(void **state) {
  (void)state;
  build("vs", NULL);
  told it;
  get(0, "k", &it);
  answer(1, 0, (neap_tier_answer){.code = NEAP_ENOTFOUND, .object.version = 20}); /* deleted at 20 */
  answer_value(2, 0, "zombie", 15, 60000);
  assert_int_equal(it.code, NEAP_ENOTFOUND);
  assert_int_equal(the.below[1].count, 1);
}

static void test_a_fill_that_comes_too_late_takes_the_copy_in_memory_with_it(void **state) {
  (void)state;
  build("vs", NULL);
  told it;
  get(0, "k", &it);
  assert_true(call_of(1, 0)->lease_wanted);
  answer(1, 0,
         (neap_tier_answer){.code = NEAP_ENOTFOUND, .lease = 77, .lease_version = 20, .object.version = 15});
  answer(2, 0, (neap_tier_answer){.object = {.ttl_ms = 60000, .body = {"v", 1}}});
  assert_int_equal(it.version, 20);
  assert_int_equal(call_of(1, 1)->lease, 77);
  assert_int_equal(get(0, "k", &it), 0);
  answer(1, 1, (neap_tier_answer){.code = NEAP_EVERSION, .object.version = 21}); /* deleted meanwhile */
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
}

static void test_suspect_all_is_about_what_is_there(void **state) {
  (void)state;
  build("v", NULL);
  told it;
  prime("a", "v", 10);
  neap_tiers_suspect_all(the.tiers);
  prime("b", "v", 11);
  assert_int_equal(get(0, "b", &it), 0);
  assert_int_equal(get(0, "a", &it), NEAP_EPENDING);
  assert_int_equal(get_with(0, "a", &(neap_tier_get_options){.consistency = NEAP_CONSISTENCY_LOCAL}, &it), 0);
}

static void test_a_repeated_write_that_is_out_of_date_gives_way(void **state) {
  (void)state;
  build("v", NULL);
  told it;
  set(0, "k", "ours", &it);
  answer_code(1, 0, NEAP_EIO);
  assert_int_equal(it.queued, 1 << 1);
  assert_int_equal(get(0, "k", &it), 0);
  pass(2000);
  assert_true(call_of(1, 1)->replay);
  answer(1, 1, (neap_tier_answer){.code = NEAP_EVERSION, .object.version = 30});
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
  assert_int_equal(stats_of(1).dropped, 1);
}

/* --- the model: a tier that gives out versions, nodes around it, messages with random delays in order per
 * connection */

enum { NODES = 3, CONNECTIONS = 2, KEYS = 3, CLIENTS = 4, OPERATIONS = 400, MESSAGES = 4096, HISTORY = 512 };

typedef enum message_kind { TO_TIER, TO_NODE, INVALIDATE, NEXT_OPERATION } message_kind;
typedef struct message {
  uint64_t at, order;
  message_kind kind;
  int node, client, key;
  neap_tier_call *call; /* NULL: cancelled */
  neap_tier_answer answer;
  uint64_t version;
} message;

typedef struct happening {
  int node, key;
  bool write, strong;
  uint64_t began, ended, version;
} happening;

typedef struct node {
  int index;
  neap_cache *memory;
  neap_tiers *tiers;
  rig_port port;
  neap_tier_vt vt;
  uint64_t
      last[2 * CONNECTIONS + 1]; /* when the last message of a connection arrives, there, back, and channel */
} node;

static struct model {
  neap_random random;
  node nodes[NODES];
  message messages[MESSAGES];
  int count, left;
  uint64_t order;
  uint64_t versions[KEYS];
  bool there[KEYS];
  happening history[HISTORY];
  int happened;
} model;

static uint64_t delay(void) {
  return neap_random_below(&model.random, neap_random_below(&model.random, 10) ? 8 : 80);
}

static void send_message(message what, uint64_t *last) {
  assert_true(model.count < MESSAGES);
  what.at = the.now_ms + delay();
  if (last) what.at = *last = NEAP_MAX(what.at, *last);
  what.order = model.order++;
  model.messages[model.count++] = what;
}

static int key_number(neap_view key) {
  return key.ptr[1] - '0';
}

static int model_start(void *self, neap_tier_call *call) {
  node *from = self;
  int connection = (int)neap_random_below(&model.random, CONNECTIONS);
  call->state = (void *)(intptr_t)connection;
  send_message((message){.kind = TO_TIER, .node = from->index, .key = key_number(call->key), .call = call},
               &from->last[connection]);
  return 0;
}

static void model_cancel(void *self, neap_tier_call *call) {
  (void)self;
  for (int i = 0; i < model.count; i++)
    if (model.messages[i].call == call) model.messages[i].call = NULL;
}

static void at_tier(const message *what) {
  neap_tier_call *call = what->call;
  if (call == NULL) return;
  neap_tier_answer answer = {0};
  uint64_t *version = &model.versions[what->key];
  static const char *const body = "body";
  if (call->verb == NEAP_TIER_GET) {
    answer.code = model.there[what->key] ? 0 : NEAP_ENOTFOUND;
    answer.object = (neap_tier_object){.version = *version, .ttl_ms = 1 << 30, .body = {body, 4}};
    answer.unchanged = model.there[what->key] && call->object.version == *version;
  } else {
    answer.object.version = ++*version;
    model.there[what->key] = call->verb == NEAP_TIER_SET;
    for (int i = 0; i < NODES; i++)
      send_message((message){.kind = INVALIDATE, .node = i, .key = what->key, .version = *version},
                   &model.nodes[i].last[2 * CONNECTIONS]);
  }
  int connection = (int)(intptr_t)call->state;
  send_message(
      (message){.kind = TO_NODE, .node = what->node, .key = what->key, .call = call, .answer = answer},
      &model.nodes[what->node].last[CONNECTIONS + connection]);
}

typedef struct under_way {
  int node, client, key;
  bool write, strong;
  uint64_t began;
} under_way;

static void finished(const under_way *it, const neap_tier_reply *reply) {
  assert_false(reply->stale && reply->code == 0);
  assert_true(reply->code == 0 || reply->code == NEAP_ENOTFOUND);
  if (reply->code == 0) {
    assert_true(model.happened < HISTORY);
    model.history[model.happened++] = (happening){.node = it->node,
                                                  .key = it->key,
                                                  .write = it->write,
                                                  .strong = it->strong,
                                                  .began = it->began,
                                                  .ended = the.now_ms,
                                                  .version = reply->version};
  }
  send_message((message){.kind = NEXT_OPERATION, .node = it->node, .client = it->client}, NULL);
}

static void on_finished(void *user, neap_tier_reply *reply) {
  finished(user, reply);
  free(user);
}

static void operate(int number, int client) {
  if (model.left-- <= 0) return;
  node *at = &model.nodes[number];
  neap_tiers_port *port = at->port.port;
  char name[] = "k0";
  under_way *it = malloc(sizeof *it);
  *it = (under_way){.node = number,
                    .client = client,
                    .key = (int)neap_random_below(&model.random, KEYS),
                    .began = the.now_ms};
  name[1] = (char)('0' + it->key);
  neap_view key = {name, 2};
  neap_tier_reply reply = {0};
  uint64_t dice = neap_random_below(&model.random, 100);
  if (dice >= 70) neap_cache_remove(at->memory, key); /* an eviction */
  it->write = dice < 15;
  it->strong = dice >= 80;
  int code = dice < 12 ? neap_tiers_set(port, key, neap_view_of("body"), NULL, on_finished, it, &reply, NULL)
             : dice < 15
                 ? neap_tiers_delete(port, key, NULL, on_finished, it, &reply, NULL)
                 : neap_tiers_get(port, key, it->strong ? &strong_get : NULL, on_finished, it, &reply, NULL);
  if (code == NEAP_EPENDING) return;
  finished(it, &reply);
  neap_tier_reply_release(&reply);
  free(it);
}

static void deliver(message what) {
  switch (what.kind) {
  case TO_TIER: at_tier(&what); break;
  case TO_NODE:
    if (what.call) what.call->done(what.call, &what.answer);
    break;
  case INVALIDATE: {
    char name[] = "k0";
    name[1] = (char)('0' + what.key);
    neap_tiers_invalidate(model.nodes[what.node].tiers, (neap_view){name, 2}, what.version);
    break;
  }
  default: operate(what.node, what.client);
  }
}

static void run_model(void) {
  while (model.count > 0) {
    int next = 0;
    for (int i = 1; i < model.count; i++) {
      const message *a = &model.messages[i], *b = &model.messages[next];
      if (a->at < b->at || (a->at == b->at && a->order < b->order)) next = i;
    }
    message what = model.messages[next];
    model.messages[next] = model.messages[--model.count];
    the.now_ms = NEAP_MAX(the.now_ms, what.at);
    deliver(what);
    for (int i = 0; i < NODES; i++)
      if (model.nodes[i].port.poked)
        model.nodes[i].port.poked = false, neap_tiers_port_run(model.nodes[i].port.port);
  }
}

static void open_node(int index, uint64_t seed, uint32_t left_out) {
  node *it = &model.nodes[index];
  it->index = index;
  neap_cache_options cache;
  neap_cache_options_init(&cache);
  cache.max_memory = 1 << 20;
  cache.evict = "native:sieve";
  assert_int_equal(neap_store_create(the.registry, &the.host, &cache, NEAP_STORE_VALUES, &it->memory, NULL),
                   0);
  neap_tiers_options options = the.options;
  options.memory = it->memory;
  options.xfetch_beta = 0;
  options.seed = seed + 1;
  assert_int_equal(neap_tiers_create_with(the.registry, &the.host, &options, &it->tiers, NULL), 0);
  it->vt =
      (neap_tier_vt){.name = "model", .gives_versions = true, .start = model_start, .cancel = model_cancel};
  const neap_tier_options tier = {.soft_timeout_ms = 1 << 20, .hard_timeout_ms = 1 << 20};
  assert_int_equal(neap_tiers_add(it->tiers, &it->vt, it, &tier, NULL), 0);
  neap_tiers_leave_out(it->tiers, left_out);
  const neap_tier_ground ground = {.user = &it->port,
                                   .now_ms = rig_now_ms,
                                   .wall_ms = rig_wall_ms,
                                   .wake_in = rig_wake_in,
                                   .poke = rig_poke};
  assert_int_equal(neap_tiers_attach_to(it->tiers, &ground, &it->port.port, NULL), 0);
}

static void close_node(node *it) {
  neap_tiers_detach(&it->port.port);
  neap_tiers_destroy(&it->tiers);
  neap_cache_destroy(&it->memory);
}

typedef struct faults {
  int reads, unseen, own_unseen; /* older than what this node had read; than what it had written */
  int strong_unseen;             /* strong ones: older than what any node had read or written */
} faults;

static void check_history(faults *found) {
  for (int i = 0; i < model.happened; i++) {
    const happening *read = &model.history[i];
    if (read->write) continue;
    uint64_t seen = 0, wrote = 0, any = 0;
    for (int j = 0; j < model.happened; j++) {
      const happening *before = &model.history[j];
      if (before->key != read->key || before->ended >= read->began) continue;
      any = NEAP_MAX(any, before->version);
      if (before->node != read->node) continue;
      if (before->write) wrote = NEAP_MAX(wrote, before->version);
      if (!before->write) seen = NEAP_MAX(seen, before->version);
    }
    found->reads++;
    found->unseen += seen > read->version;
    found->own_unseen += wrote > read->version;
    found->strong_unseen += read->strong && any > read->version;
  }
}

static faults run_histories(int seeds, uint32_t left_out) {
  faults found = {0};
  for (int seed = 0; seed < seeds; seed++) {
    memset(&model, 0, sizeof model);
    model.random.state = (uint64_t)seed;
    model.left = OPERATIONS;
    for (int i = 0; i < KEYS; i++) model.versions[i] = 1000, model.there[i] = true;
    for (int i = 0; i < NODES; i++) open_node(i, (uint64_t)seed, left_out);
    for (int i = 0; i < NODES; i++)
      for (int c = 0; c < CLIENTS; c++)
        send_message((message){.kind = NEXT_OPERATION, .node = i, .client = c}, NULL);
    run_model();
    check_history(&found);
    for (int i = 0; i < NODES; i++) close_node(&model.nodes[i]);
  }
  return found;
}

static void test_nothing_seen_is_unseen_and_own_writes_are_read(void **state) {
  (void)state;
  faults found = run_histories(60, 0);
  assert_true(found.reads > 10000);
  assert_int_equal(found.unseen, 0);
  assert_int_equal(found.own_unseen, 0);
  assert_int_equal(found.strong_unseen, 0);
}

/* R2 and R3 are about what nobody can know: a write whose answer is lost, and which was done. */
static void test_without_suspicion_memory_keeps_what_a_lost_answer_made_old(void **state) {
  (void)state;
  build("v", NULL);
  neap_tiers_leave_out(the.tiers, 1u << NEAP_TIER_SUSPECT);
  told it;
  prime("k", "old", 10);
  set_with(0, "k", "new", &strong_set, &it);
  pass(1000);
  assert_int_equal(it.code, NEAP_EUNAVAIL);
  assert_int_equal(get(0, "k", &it), 0);
  assert_string_equal(it.body, "old");
}

static void test_each_rule_is_needed(void **state) {
  (void)state;
  static const neap_tier_rule rules[] = {NEAP_TIER_FLOORS, NEAP_TIER_CLOSED, NEAP_TIER_LEAVING};
  for (size_t i = 0; i < NEAP_COUNT_OF(rules); i++) {
    faults found = run_histories(60, 1u << rules[i]);
    print_message("without R%d: of %d reads %d unseen, %d own writes unseen\n", rules[i], found.reads,
                  found.unseen, found.own_unseen);
    assert_true(found.unseen + found.own_unseen > 0);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_an_invalidation_makes_what_is_older_suspect),
      TEST(test_unchanged_without_anything_to_compare_is_a_failure),
      TEST(test_unchanged_asks_again_for_what_memory_has_lost),
      TEST(test_a_reply_older_than_an_invalidation_is_told_but_not_kept),
      TEST(test_a_reply_older_than_a_delete_that_was_seen_is_not_kept),
      TEST(test_a_miss_that_is_older_than_what_was_seen_is_forgotten),
      TEST(test_an_invalidation_without_a_version_kills_what_is_under_way),
      TEST(test_while_a_write_is_under_way_memory_is_not_believed),
      TEST(test_another_write_seen_before_our_answer_keeps_ours_out),
      TEST(test_a_strong_write_without_an_answer_leaves_memory_suspect),
      TEST(test_a_strong_get_is_always_checked_and_joins_nobody),
      TEST(test_a_strong_get_is_not_answered_by_a_write_that_waits),
      TEST(test_a_write_that_waits_is_marked_where_messages_are_missed),
      TEST(test_what_is_remembered_of_nobody_is_not_believed_where_messages_are_missed),
      TEST(test_an_answer_asked_for_before_messages_were_missed_is_suspect),
      TEST(test_a_delete_answered_late_leaves_what_is_newer),
      TEST(test_strong_needs_a_tier_that_gives_out_versions),
      TEST(test_a_copy_older_than_a_delete_known_above_is_not_believed),
      TEST(test_a_fill_that_comes_too_late_takes_the_copy_in_memory_with_it),
      TEST(test_suspect_all_is_about_what_is_there),
      TEST(test_a_repeated_write_that_is_out_of_date_gives_way),
      TEST(test_nothing_seen_is_unseen_and_own_writes_are_read),
      TEST(test_without_suspicion_memory_keeps_what_a_lost_answer_made_old),
      TEST(test_each_rule_is_needed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
