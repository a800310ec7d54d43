/* Who to ask: the connection that knows, in layouts where servers come and go. It goes from one address to
 * the next until somebody answers, asks again every now and then, and at once when a server is lost or has
 * sent a request elsewhere.
 *
 *   Sentinel: SENTINEL GET-MASTER-ADDR-BY-NAME, and +switch-master as it happens (RESP3; else asked every
 * second) Cluster:  CLUSTER SLOTS
 */
#include "remote/redis_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AGAIN_MS = 10000, AGAIN_UNTOLD_MS = 1000, HURRY_MS = 100, PORT = 6 };

struct redis_guide {
  neap_redis *home;
  redis_connection connection;
  neap_timer again;
  uint64_t asked_ms;
  bool asking, subscribing, told; /* `told`: changes are announced */
  bool known;                     /* something was answered once */
  unsigned at;                    /* which address */
};

static bool is_sentinel(const neap_redis *redis) {
  return redis->options.layout == NEAP_REDIS_SENTINEL;
}

static void ask_in(redis_guide *guide, uint64_t delay_ms) {
  neap_timer_set(guide->home->loop, &guide->again, delay_ms);
}

/* "host" and port as an address; false where they are none. */
static bool make_address(neap_view host, neap_view port, char out[REDIS_ADDRESS]) {
  bool v6 = host.size > 0 && memchr(host.ptr, ':', host.size) != NULL;
  if (host.size == 0 || host.size > 253 || port.size == 0 || port.size >= PORT) return false;
  snprintf(out, REDIS_ADDRESS, v6 ? "[%.*s]:%.*s" : "%.*s:%.*s", (int)host.size, host.ptr, (int)port.size,
           port.ptr);
  return neap_redis_address_check(out, NULL) == 0;
}

/* --- Sentinel */

static void set_primary(redis_guide *guide, const char *address) {
  neap_redis *redis = guide->home;
  redis_server *server = neap_redis_first_server(redis);
  guide->known = true;
  if (server && strcmp(server->address, address) == 0) return;
  neap_redis_log(redis, NEAP_LOG_INFO, "redis primary group=%s server=%s", redis->options.group, address);
  if (server) {
    redis->info.moves++;
    neap_redis_server_move(server, address);
  } else if (neap_redis_server_create(redis, address, &server) == 0) {
    neap_redis_server_make_primary(server);
  }
  neap_redis_wake(redis);
  neap_redis_watches_aim(redis);
}

static bool take_primary(redis_guide *guide, const neap_resp_value *value) {
  char address[REDIS_ADDRESS];
  neap_resp_cursor elements = value->elements;
  neap_resp_value host, port;
  if (value->type == NEAP_RESP_NULL) {
    neap_redis_connection_fail(&guide->connection, "this Sentinel does not know the group");
    return false;
  }
  if (value->count != 2 || !neap_resp_next(&elements, &host) || !neap_resp_next(&elements, &port) ||
      !make_address(host.text, port.text, address)) {
    neap_redis_connection_fail(&guide->connection, "an answer of a Sentinel that cannot be understood");
    return false;
  }
  set_primary(guide, address);
  return true;
}

/* "mymaster 127.0.0.1 6379 127.0.0.1 6380": the group, where it was, where it is. */
static void on_pushed(redis_connection *connection, const neap_resp_value *value) {
  redis_guide *guide = connection->user;
  neap_resp_cursor elements = value->elements;
  neap_resp_value kind, channel, text;
  char line[512], words[4][256], address[REDIS_ADDRESS], group[256];
  if (!neap_resp_next(&elements, &kind) || !neap_resp_next(&elements, &channel) ||
      !neap_resp_next(&elements, &text))
    return;
  if (neap_view_is(kind.text, "subscribe") && guide->subscribing) {
    guide->subscribing = false;
    guide->told = true;
    neap_redis_wire_answer(connection, value);
    return;
  }
  if (!neap_view_is(kind.text, "message") || text.text.size >= sizeof line) return;
  snprintf(line, sizeof line, "%.*s", (int)text.text.size, text.text.ptr);
  if (sscanf(line, "%255s %255s %255s %255s %255s", group, words[0], words[1], words[2], words[3]) == 5 &&
      strcmp(group, guide->home->options.group) == 0 &&
      make_address(neap_view_of(words[2]), neap_view_of(words[3]), address))
    set_primary(guide, address);
}

/* --- Cluster */

static redis_server *server_of(neap_redis *redis, const char *address) {
  for (redis_list *link = redis->servers.next; link != &redis->servers; link = link->next) {
    redis_server *server = NEAP_CONTAINER_OF(link, redis_server, link);
    if (strcmp(server->address, address) == 0) return server;
  }
  redis_server *server = NULL;
  bool room = redis->info.servers < REDIS_SERVERS_MAX;
  return room && neap_redis_server_create(redis, address, &server) == 0 ? server : NULL;
}

/* The address of a node; one that does not say its host is where it was asked. */
static bool read_node(redis_connection *asked, neap_resp_value *node, char out[REDIS_ADDRESS]) {
  char own_host[256];
  neap_resp_value host, port;
  if (!neap_resp_next(&node->elements, &host) || !neap_resp_next(&node->elements, &port)) return false;
  if (host.text.size == 0) {
    neap_redis_address_host(asked->address, own_host);
    host.text = neap_view_of(own_host);
  }
  return make_address(host.text, port.text, out);
}

/* One row: first slot, last slot, the primary, replicas. */
static bool take_range(redis_guide *guide, neap_resp_value *range, redis_server **slots) {
  neap_resp_value first, last, node;
  char address[REDIS_ADDRESS];
  if (!neap_resp_next(&range->elements, &first) || !neap_resp_next(&range->elements, &last) ||
      !neap_resp_next(&range->elements, &node) || !read_node(&guide->connection, &node, address))
    return false;
  if (first.integer < 0 || last.integer < first.integer || last.integer >= REDIS_SLOTS) return false;
  redis_server *server = server_of(guide->home, address);
  for (int64_t slot = first.integer; server && slot <= last.integer; slot++) slots[slot] = server;
  return server != NULL;
}

static void retire_others(neap_redis *redis) {
  for (redis_list *link = redis->servers.next, *next; link != &redis->servers; link = next) {
    redis_server *server = NEAP_CONTAINER_OF(link, redis_server, link);
    next = link->next;
    bool used = false;
    for (size_t slot = 0; slot < REDIS_SLOTS && !used; slot++) used = redis->slots[slot] == server;
    server->idle_rounds = used ? 0 : server->idle_rounds + 1;
    if (server->idle_rounds > 1)
      neap_redis_server_retire(server); /* what it was sent had time to be answered */
  }
}

static bool take_slots(redis_guide *guide, const neap_resp_value *value) {
  neap_redis *redis = guide->home;
  redis_server **slots = calloc(REDIS_SLOTS, sizeof *slots);
  neap_resp_cursor elements = value->elements;
  neap_resp_value range;
  if (slots == NULL) { /* with the old map until the next */
    neap_redis_connection_fail(&guide->connection, "out of memory");
    return false;
  }
  bool good = value->type == NEAP_RESP_ARRAY;
  while (good && neap_resp_next(&elements, &range)) good = take_range(guide, &range, slots);
  if (good) {
    redis->info.moves += guide->known && memcmp(redis->slots, slots, REDIS_SLOTS * sizeof *slots) != 0;
    memcpy(redis->slots, slots, REDIS_SLOTS * sizeof *slots);
  }
  free(slots);
  if (!good) {
    neap_redis_connection_fail(&guide->connection, "slots that cannot be understood");
    return false;
  }
  guide->known = true;
  retire_others(redis);
  neap_redis_wake(redis);
  neap_redis_watches_aim(redis);
  return true;
}

bool neap_redis_guide_moved(neap_redis *redis, const redis_connection *from, neap_view text,
                            redis_server **server, uint16_t *slot) {
  char line[400], word[16], place[300], address[REDIS_ADDRESS], own_host[256];
  unsigned number;
  if (redis->guide == NULL || text.size >= sizeof line) return false;
  snprintf(line, sizeof line, "%.*s", (int)text.size, text.ptr);
  if (sscanf(line, "%15s %5u %299s", word, &number, place) != 3 || number >= REDIS_SLOTS) return false;
  char *colon = strrchr(place, ':');
  if (colon == NULL) return false;
  *colon = '\0';
  if (place[0] == '\0' && from) neap_redis_address_host(from->address, own_host);
  if (!make_address(neap_view_of(place[0] ? place : own_host), neap_view_of(colon + 1), address))
    return false;
  redis_server *found = server_of(redis, address);
  if (found == NULL) return false;
  *server = found;
  *slot = (uint16_t)number;
  return true;
}

/* --- asking */

static void on_answer(void *user, const neap_redis_reply *reply) {
  redis_guide *guide = user;
  guide->asking = false;
  if (reply->end == NEAP_REDIS_LOST) return;
  if (reply->end == NEAP_REDIS_ERROR) {
    neap_redis_connection_fail(&guide->connection, "cannot ask for the servers: %.*s",
                               (int)NEAP_MIN(reply->value.text.size, (size_t)80), reply->value.text.ptr);
    return;
  }
  if (is_sentinel(guide->home) ? !take_primary(guide, &reply->value) : !take_slots(guide, &reply->value))
    return;
  guide->connection.answered = true;
  guide->connection.failures = 0;
  ask_in(guide, is_sentinel(guide->home) && !guide->told ? AGAIN_UNTOLD_MS : AGAIN_MS);
}

static void ask(redis_guide *guide) {
  const char *group = guide->home->options.group;
  const neap_view sentinel[] = {neap_view_of("SENTINEL"), neap_view_of("GET-MASTER-ADDR-BY-NAME"),
                                neap_view_of(group ? group : "")};
  const neap_view cluster[] = {neap_view_of("CLUSTER"), neap_view_of("SLOTS")};
  if (guide->asking || !redis_connection_is_ready(&guide->connection)) return;
  guide->asking = true;
  guide->asked_ms = neap_loop_now_ms(guide->home->loop);
  if (is_sentinel(guide->home))
    neap_redis_connection_ask(&guide->connection, sentinel, 3, on_answer, guide);
  else
    neap_redis_connection_ask(&guide->connection, cluster, 2, on_answer, guide);
}

static void on_again(neap_timer *timer) {
  ask(NEAP_CONTAINER_OF(timer, redis_guide, again));
}

void neap_redis_guide_hurry(neap_redis *redis) {
  redis_guide *guide = redis->guide;
  if (guide == NULL || guide->asking || !redis_connection_is_ready(&guide->connection)) return;
  uint64_t since_ms = neap_loop_now_ms(redis->loop) - guide->asked_ms;
  neap_timer_clear(&guide->again); /* it would fire later */
  ask_in(guide, since_ms >= HURRY_MS ? 0 : HURRY_MS - since_ms);
}

static void on_subscribed(void *user, const neap_redis_reply *reply) {
  redis_guide *guide = user;
  if (reply->end == NEAP_REDIS_ERROR) guide->subscribing = false; /* then it is asked */
}

/* Changes are listened to before the question: none falls between. */
static void on_ready(redis_connection *connection) {
  redis_guide *guide = connection->user;
  const neap_view args[] = {neap_view_of("SUBSCRIBE"), neap_view_of("+switch-master")};
  if (is_sentinel(guide->home) && connection->version3) {
    guide->subscribing = true;
    if (!neap_redis_connection_ask(connection, args, 2, on_subscribed, guide)) return;
  }
  ask(guide);
}

static void on_lost(redis_connection *connection) {
  redis_guide *guide = connection->user;
  guide->asking = guide->subscribing = guide->told = false;
  neap_timer_clear(&guide->again);
  const char *next = neap_redis_guide_address(guide->home, ++guide->at);
  snprintf(connection->address, sizeof connection->address, "%s", next);
  neap_redis_wake(guide->home); /* there may be nobody to wait for */
}

bool neap_redis_guide_is_hopeful(const neap_redis *redis) {
  const redis_guide *guide = redis->guide;
  return redis_connection_is_ready(&guide->connection) || guide->connection.failures < redis->address_count;
}

/* --- birth and death */

static const redis_use use = {
    .name = "guide", .subscribes = true, .ready = on_ready, .lost = on_lost, .pushed = on_pushed};

int neap_redis_guide_create(neap_redis *redis) {
  redis_guide *guide = calloc(1, sizeof *guide);
  redis_server **slots = is_sentinel(redis) ? NULL : calloc(REDIS_SLOTS, sizeof *slots);
  if (guide == NULL || (slots == NULL && !is_sentinel(redis))) {
    free(guide);
    return NEAP_ENOMEM;
  }
  redis->slots = slots;
  guide->home = redis;
  neap_timer_init(&guide->again, on_again);
  neap_redis_connection_init(&guide->connection, redis, &use, guide);
  guide->connection.database = 0;
  if (is_sentinel(redis)) {
    guide->connection.sign_in_user = redis->options.sentinel_user;
    guide->connection.sign_in_password = redis->options.sentinel_password;
  }
  redis->guide = guide;
  guide->at =
      (unsigned)neap_random_below(&redis->random, redis->address_count); /* not everybody at the first */
  neap_redis_connection_open(&guide->connection, neap_redis_guide_address(redis, guide->at));
  return 0;
}

void neap_redis_guide_destroy(neap_redis *redis) {
  if (redis->guide == NULL) return;
  neap_timer_clear(&redis->guide->again);
  neap_redis_connection_fini(&redis->guide->connection);
  free(redis->guide);
  free(redis->slots);
  redis->guide = NULL;
}
