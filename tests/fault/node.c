/* A node for fault runs: a cascade of memory and Redis with two ports on one loop, whose clients' operations
 * are written down as `neap verify` reads them. tests/e2e/coherence.py starts it.
 *
 *   fault_node NAME LAYOUT ADDRESS[,ADDRESS...] [SETTING=NUMBER...]
 *
 * LAYOUT: single, sentinel (its group is "g") or cluster. Commands come as lines; PORT is 0 or 1, MODE
 * eventual or strong:
 *
 *   get PORT MODE KEY   set PORT MODE KEY VALUE   delete PORT MODE KEY
 *   evict KEY           memory loses it, as for want of room
 *   run SEED MODE       clients work at random; `stop` ends that, and answers when the last is done
 *   sure KEY            does memory answer it, for certain?
 *   waiting             how many writes wait for Redis
 *   ping                two turns of the loop later: what had come before has been seen
 *
 * Answers to commands begin with '#'; all else is the history, where the first three are noted as "#N",
 * counted from 1, and in which the node is the client: session guarantees are given to nodes. An answer that
 * is marked as stale claims nothing and is written as "fail". A write that waits to be repeated is "unknown"
 * to others, and noted as "queued". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/base.h"
#include "base/random.h"
#include "tier/tier.h"

enum { PORTS = 2, LINE = 512, TEXT = 64, WORKERS_MAX = 64 };
#define SERVER_VERSION                                                                                       \
  UINT64_C(1000000000000000) /* those below are of writes that wait, and compare with none */

/* A client that works by itself. */
typedef struct worker {
  uv_timer_t timer;
  int number;
  bool busy;
} worker;

static struct node {
  const char *name;
  uv_loop_t loop;
  uv_pipe_t input;
  uv_idle_t turns;
  int turns_left;
  neap_engine *engine;
  neap_cache *memory;
  neap_tiers *tiers;
  neap_tiers_port *ports[PORTS];
  char line[LINE];
  size_t used;
  /* settings */
  uint64_t heartbeat_ms, max_staleness_ms, hard_timeout_ms, lease_ms, tombstone_ms, leave_out;
  uint64_t clients, keys, think_ms, writes, evictions, strong; /* the last three in percent */
  /* work */
  neap_random random;
  worker workers[WORKERS_MAX];
  bool working, all_strong;
  uint64_t busy, values, commands;
} node = {.heartbeat_ms = 100,
          .max_staleness_ms = 500,
          .hard_timeout_ms = 300,
          .lease_ms = 1000,
          .tombstone_ms = 5000,
          .clients = 4,
          .keys = 16,
          .think_ms = 4,
          .writes = 25,
          .evictions = 10,
          .strong = 20};

static _Noreturn void die(const char *what, const char *why) {
  fprintf(stderr, "%s: %s: %s\n", node.name ? node.name : "fault_node", what, why);
  exit(1);
}

static void say(const char *text) {
  printf("# %s\n", text);
  fflush(stdout);
}

/* --- operations */

typedef struct operation {
  const char *verb; /* as the history names it */
  char key[TEXT], value[TEXT];
  bool strong;
  uint64_t invoked_ns;
  uint64_t number; /* of a command, from 1 */
  worker *by;      /* NULL: a command */
} operation;

static void work_on(worker *it);

static const char *result_of(const operation *it, const neap_tier_reply *reply) {
  bool reads = strcmp(it->verb, "get") == 0;
  if (reads) return (reply->code == 0 || reply->code == NEAP_ENOTFOUND) && !reply->stale ? "ok" : "fail";
  if (reply->code == 0) return reply->queued ? "unknown" : "ok";
  return reply->code == NEAP_EUNAVAIL || reply->code == NEAP_EUNKNOWN ? "unknown" : "fail";
}

static void note(operation *it, const neap_tier_reply *reply) {
  bool reads = strcmp(it->verb, "get") == 0;
  uint64_t now_ns = neap_clock_now_ns(NULL);
  printf("{\"client\":\"%s\",\"op\":\"%s\",\"key\":\"%s\"", node.name, it->verb, it->key);
  if (reads && reply->code == 0) {
    neap_view body = neap_tier_value_piece(&reply->value, 0);
    printf(",\"value\":\"%.*s\"", (int)body.size, body.ptr);
  } else if (reads) {
    printf(",\"value\":null");
  } else if (strcmp(it->verb, "set") == 0) {
    printf(",\"value\":\"%s\"", it->value);
  }
  if (reply->version >= SERVER_VERSION) printf(",\"version\":%" PRIu64, reply->version);
  if (reads && !it->strong) printf(",\"mode\":\"eventual\"");
  printf(",\"invoke\":%" PRIu64 ",\"return\":%" PRIu64 ",\"result\":\"%s\"", it->invoked_ns, now_ns,
         result_of(it, reply));
  printf(",\"note\":\"");
  if (it->number) printf("#%" PRIu64 " ", it->number);
  printf("%s%s%s\"}\n", reply->queued ? "queued " : "", reply->stale ? "stale " : "",
         reply->code ? neap_errname(reply->code) : "");
  fflush(stdout);
}

static void finish(operation *it, const neap_tier_reply *reply) {
  worker *by = it->by;
  note(it, reply);
  free(it);
  if (by == NULL) return;
  by->busy = false;
  node.busy--;
  work_on(by);
}

static void on_reply(void *user, neap_tier_reply *reply) {
  finish(user, reply);
}

static void operate(const operation *what, int port) {
  operation *it = malloc(sizeof *it);
  if (it == NULL) die("operate", "out of memory");
  *it = *what;
  it->invoked_ns = neap_clock_now_ns(NULL);
  neap_consistency mode = it->strong ? NEAP_CONSISTENCY_STRONG : NEAP_CONSISTENCY_EVENTUAL;
  const neap_tier_get_options get = {.consistency = mode};
  const neap_tier_set_options set = {.consistency = mode, .ttl_ms = NEAP_TTL_NEVER};
  neap_view key = neap_view_of(it->key);
  neap_tiers_port *at = node.ports[port];
  neap_tier_reply reply = {0};
  int code = it->verb[0] == 'g' ? neap_tiers_get(at, key, &get, on_reply, it, &reply, NULL)
             : it->verb[0] == 's'
                 ? neap_tiers_set(at, key, neap_view_of(it->value), &set, on_reply, it, &reply, NULL)
                 : neap_tiers_delete(at, key, &set, on_reply, it, &reply, NULL);
  if (code == NEAP_EPENDING) return;
  reply.code = code;
  finish(it, &reply);
  neap_tier_reply_release(&reply);
}

/* --- clients that work by themselves */

static void on_worker(uv_timer_t *timer) {
  worker *it = NEAP_CONTAINER_OF(timer, worker, timer);
  operation what = {.verb = "get", .by = it};
  snprintf(what.key, sizeof what.key, "k%" PRIu64, neap_random_below(&node.random, node.keys));
  if (neap_random_below(&node.random, 100) < node.evictions)
    neap_cache_remove(node.memory, neap_view_of(what.key));
  if (neap_random_below(&node.random, 100) < node.writes) {
    what.verb = neap_random_below(&node.random, 4) ? "set" : "delete";
    snprintf(what.value, sizeof what.value, "%s-%" PRIu64, node.name, ++node.values);
  }
  what.strong =
      node.all_strong || (what.verb[0] == 'g' && neap_random_below(&node.random, 100) < node.strong);
  it->busy = true;
  node.busy++;
  operate(&what, it->number % PORTS);
}

static void work_on(worker *it) {
  if (node.working)
    uv_timer_start(&it->timer, on_worker, neap_random_below(&node.random, node.think_ms + 1), 0);
  else if (node.busy == 0)
    say("stopped");
}

static void start_work(uint64_t seed, bool strong) {
  node.random.state = seed;
  node.working = true;
  node.all_strong = strong;
  for (uint64_t i = 0; i < node.clients; i++) work_on(&node.workers[i]);
}

static void stop_work(void) {
  node.working = false;
  for (uint64_t i = 0; i < node.clients; i++) uv_timer_stop(&node.workers[i].timer);
  if (node.busy == 0) say("stopped");
}

/* --- commands */

static void on_turn(uv_idle_t *idle) {
  if (--node.turns_left > 0) return;
  uv_idle_stop(idle);
  say("pong");
}

static void say_waiting(void) {
  neap_tiers_stats stats;
  char text[64];
  neap_tiers_stats_get(node.tiers, &stats);
  snprintf(text, sizeof text, "waiting %" PRIu64, stats.tiers[1].waiting);
  say(text);
}

static void on_nothing(void *user, neap_tier_reply *reply) {
  (void)user, (void)reply;
}

static void say_sure(const char *key) {
  neap_tier_reply reply;
  neap_tier_op *op = NULL;
  int code = neap_tiers_get(node.ports[0], neap_view_of(key), NULL, on_nothing, NULL, &reply, &op);
  say(code == 0 && !reply.stale ? "yes" : "no");
  if (code == 0) neap_tier_reply_release(&reply);
  neap_tier_cancel(&op);
}

static void obey(char *line) {
  char *words[5] = {0}, *rest = line;
  for (int i = 0; i < 5; i++) words[i] = strtok_r(rest, " ", &rest);
  const char *verb = words[0];
  if (verb == NULL) return;
  if (strcmp(verb, "ping") == 0) {
    node.turns_left = 3;
    uv_idle_start(&node.turns, on_turn);
  } else if (strcmp(verb, "waiting") == 0) {
    say_waiting();
  } else if (strcmp(verb, "stop") == 0) {
    stop_work();
  } else if (strcmp(verb, "evict") == 0 && words[1]) {
    neap_cache_remove(node.memory, neap_view_of(words[1]));
    say("evicted");
  } else if (strcmp(verb, "sure") == 0 && words[1]) {
    say_sure(words[1]);
  } else if (strcmp(verb, "run") == 0 && words[2]) {
    start_work(strtoull(words[1], NULL, 10), strcmp(words[2], "strong") == 0);
  } else if (words[3] && (strcmp(verb, "get") == 0 || strcmp(verb, "delete") == 0 ||
                          (strcmp(verb, "set") == 0 && words[4]))) {
    operation what = {.strong = strcmp(words[2], "strong") == 0, .number = ++node.commands};
    what.verb = verb[0] == 'g' ? "get" : verb[0] == 's' ? "set" : "delete";
    snprintf(what.key, sizeof what.key, "%s", words[3]);
    snprintf(what.value, sizeof what.value, "%s", words[4] ? words[4] : "");
    operate(&what, atoi(words[1]) % PORTS);
  } else {
    die("no such command", verb);
  }
}

static void room(uv_handle_t *handle, size_t wanted, uv_buf_t *out) {
  (void)handle, (void)wanted;
  *out = uv_buf_init(node.line + node.used, (unsigned)(sizeof node.line - node.used));
}

static void on_input(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer) {
  (void)buffer;
  if (got < 0) {
    uv_read_stop(stream);
    uv_stop(&node.loop);
    return;
  }
  node.used += (size_t)got;
  for (char *end; (end = memchr(node.line, '\n', node.used)) != NULL;) {
    size_t size = (size_t)(end - node.line) + 1;
    char line[LINE];
    memcpy(line, node.line, size);
    line[size - 1] = '\0';
    memmove(node.line, end + 1, node.used -= size);
    obey(line);
  }
  if (node.used == sizeof node.line) die("input", "a line is too long");
}

/* --- start */

static void set_up(const char *setting) {
  const struct {
    const char *name;
    uint64_t *value;
  } known[] = {{"heartbeat", &node.heartbeat_ms},
               {"max_staleness", &node.max_staleness_ms},
               {"hard_timeout", &node.hard_timeout_ms},
               {"leave_out", &node.leave_out},
               {"lease", &node.lease_ms},
               {"tombstone", &node.tombstone_ms},
               {"clients", &node.clients},
               {"keys", &node.keys},
               {"think", &node.think_ms},
               {"writes", &node.writes},
               {"evictions", &node.evictions},
               {"strong", &node.strong}};
  const char *equals = strchr(setting, '=');
  for (size_t i = 0; equals && i < NEAP_COUNT_OF(known); i++)
    if (strncmp(known[i].name, setting, (size_t)(equals - setting)) == 0 &&
        known[i].name[equals - setting] == '\0') {
      *known[i].value = strtoull(equals + 1, NULL, 10);
      return;
    }
  die("no such setting", setting);
}

static void add_redis(const char *layout, char *list) {
  const char *addresses[17] = {0};
  char *rest = list;
  for (int i = 0; i < 16; i++) addresses[i] = strtok_r(rest, ",", &rest);
  neap_tier_redis_options redis;
  neap_err err;
  neap_tier_redis_options_init(&redis);
  redis.layout = layout[0] == 'c'   ? NEAP_TIER_REDIS_CLUSTER
                 : layout[1] == 'e' ? NEAP_TIER_REDIS_SENTINEL
                                    : NEAP_TIER_REDIS_SINGLE;
  redis.addresses = addresses;
  redis.group = redis.layout == NEAP_TIER_REDIS_SENTINEL ? "g" : NULL;
  redis.heartbeat_ms = node.heartbeat_ms;
  redis.max_staleness_ms = node.max_staleness_ms;
  redis.lease_ms = node.lease_ms;
  redis.tombstone_ms = node.tombstone_ms;
  redis.backoff_min_ms = 10;
  redis.backoff_max_ms = 100;
  redis.stall_ms = 1000;
  const neap_tier_options tier = {.hard_timeout_ms = node.hard_timeout_ms,
                                  .breaker_open_ms = 100,
                                  .breaker_open_max_ms = 200,
                                  .recovery_delay_ms = 50};
  if (neap_tiers_add_redis(node.tiers, &redis, &tier, &err)) die("redis", err.text);
}

static void open_node(const char *layout, char *addresses) {
  neap_cache_options cache;
  neap_tiers_options options;
  neap_err err;
  if (neap_engine_create(NULL, &node.engine, &err)) die("engine", err.text);
  neap_cache_options_init(&cache);
  if (neap_cache_create(node.engine, &cache, &node.memory, &err)) die("memory", err.text);
  neap_tiers_options_init(&options);
  options.memory = node.memory;
  options.fail_safe_throttle_ms = 50;
  if (neap_tiers_create(node.engine, &options, &node.tiers, &err)) die("tiers", err.text);
  add_redis(layout, addresses);
  neap_tiers_leave_out(node.tiers, (uint32_t)node.leave_out);
  for (int i = 0; i < PORTS; i++)
    if (neap_tiers_attach(node.tiers, &node.loop, &node.ports[i], &err)) die("port", err.text);
}

static void close_node(void) {
  for (int i = 0; i < PORTS; i++) neap_tiers_detach(&node.ports[i]);
  uv_close((uv_handle_t *)&node.input, NULL);
  uv_close((uv_handle_t *)&node.turns, NULL);
  for (int i = 0; i < WORKERS_MAX; i++) uv_close((uv_handle_t *)&node.workers[i].timer, NULL);
  uv_run(&node.loop, UV_RUN_DEFAULT);
  uv_loop_close(&node.loop);
  neap_tiers_destroy(&node.tiers);
  neap_cache_destroy(&node.memory);
  neap_engine_destroy(&node.engine);
}

int main(int argc, char **argv) {
  if (argc < 4) die("usage", "fault_node NAME LAYOUT ADDRESS[,ADDRESS...] [SETTING=NUMBER...]");
  node.name = argv[1];
  for (int i = 4; i < argc; i++) set_up(argv[i]);
  if (node.clients > WORKERS_MAX || node.keys == 0) die("settings", "clients or keys");
  uv_loop_init(&node.loop);
  open_node(argv[2], argv[3]);
  for (int i = 0; i < WORKERS_MAX; i++) {
    node.workers[i].number = i;
    uv_timer_init(&node.loop, &node.workers[i].timer);
  }
  uv_idle_init(&node.loop, &node.turns);
  uv_pipe_init(&node.loop, &node.input, 0);
  uv_pipe_open(&node.input, 0);
  uv_read_start((uv_stream_t *)&node.input, room, on_input);
  uv_run(&node.loop, UV_RUN_DEFAULT);
  close_node();
  return 0;
}
