/* Listening to a Redis: channels, and keys that somebody has written. One connection serves both, so that
 * they end together: whoever listens knows that nothing was missed as long as it stands.
 *
 *   RESP3: CLIENT TRACKING ON BCAST PREFIX ..., SUBSCRIBE ...; messages are pushed
 *   RESP2: CLIENT ID, CLIENT TRACKING ON REDIRECT <itself> BCAST PREFIX ..., SUBSCRIBE __redis__:invalidate
 * ...
 */
#include "remote/redis_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const neap_view invalidate_channel = {"__redis__:invalidate", 20};

struct neap_redis_watch {
  redis_list link; /* of the client */
  redis_connection connection;
  neap_redis_watch_options options; /* views into `bytes` */
  unsigned unconfirmed;             /* channels of the SUBSCRIBE under way */
  bool listening;
  neap_timer ping;
  neap_view *args; /* room for the longest command */
  neap_view views[];
};

static redis_connection *connection_of(neap_redis_watch *watch) {
  return &watch->connection;
}

/* --- setting up, one command after the other */

static void begin(neap_redis_watch *watch) {
  redis_connection *connection = connection_of(watch);
  connection->answered = true;
  connection->failures = 0;
  watch->listening = true;
  neap_timer_set(connection->home->loop, &watch->ping, connection->home->options.stall_ms / 2);
  watch->options.listening(watch->options.user, true);
}

static bool went_well(neap_redis_watch *watch, const neap_redis_reply *reply) {
  if (reply->end == NEAP_REDIS_ERROR)
    neap_redis_connection_fail(connection_of(watch), "cannot listen: %.*s",
                               (int)NEAP_MIN(reply->value.text.size, (size_t)100), reply->value.text.ptr);
  return reply->end == NEAP_REDIS_DONE;
}

static void on_subscribed(void *user, const neap_redis_reply *reply) {
  if (went_well(user, reply)) begin(user);
}

static bool tracks(const neap_redis_watch *watch) {
  return watch->options.prefix_count > 0;
}

static void subscribe(neap_redis_watch *watch) {
  size_t count = 0;
  watch->args[count++] = neap_view_of("SUBSCRIBE");
  if (tracks(watch) && !watch->connection.version3) watch->args[count++] = invalidate_channel;
  for (size_t i = 0; i < watch->options.channel_count; i++) watch->args[count++] = watch->options.channels[i];
  watch->unconfirmed = (unsigned)count - 1;
  if (count > 1)
    neap_redis_connection_ask(connection_of(watch), watch->args, count, on_subscribed, watch);
  else
    begin(watch);
}

static void on_tracking(void *user, const neap_redis_reply *reply) {
  if (went_well(user, reply)) subscribe(user);
}

static void track(neap_redis_watch *watch, const char *own_id) {
  static const char *const words[] = {"CLIENT", "TRACKING", "ON", "BCAST"};
  size_t count = 0;
  for (size_t i = 0; i < NEAP_COUNT_OF(words); i++) watch->args[count++] = neap_view_of(words[i]);
  if (own_id) {
    watch->args[count++] = neap_view_of("REDIRECT");
    watch->args[count++] = neap_view_of(own_id);
  }
  for (size_t i = 0; i < watch->options.prefix_count; i++) {
    watch->args[count++] = neap_view_of("PREFIX");
    watch->args[count++] = watch->options.prefixes[i];
  }
  neap_redis_connection_ask(connection_of(watch), watch->args, count, on_tracking, watch);
}

static void on_id(void *user, const neap_redis_reply *reply) {
  char id[24];
  if (!went_well(user, reply)) return;
  snprintf(id, sizeof id, "%lld", (long long)reply->value.integer);
  track(user, id);
}

static void on_ready(redis_connection *connection) {
  neap_redis_watch *watch = connection->user;
  const neap_view args[] = {neap_view_of("CLIENT"), neap_view_of("ID")};
  if (!tracks(watch))
    subscribe(watch);
  else if (connection->version3)
    track(watch, NULL);
  else
    neap_redis_connection_ask(connection, args, 2, on_id, watch);
}

/* --- messages */

static void tell_invalid(neap_redis_watch *watch, const neap_resp_value *keys) {
  neap_resp_cursor elements = keys->elements;
  if (!watch->listening || watch->options.invalid == NULL) return;
  if (keys->type == NEAP_RESP_NULL) watch->options.invalid(watch->options.user, (neap_view){NULL, 0});
  if (keys->count == 0) return;
  for (neap_resp_value key; neap_resp_next(&elements, &key);)
    if (key.type == NEAP_RESP_STRING) watch->options.invalid(watch->options.user, key.text);
}

static void on_pushed(redis_connection *connection, const neap_resp_value *value) {
  neap_redis_watch *watch = connection->user;
  neap_resp_cursor elements = value->elements;
  neap_resp_value kind, first, second;
  if (!neap_resp_next(&elements, &kind) || !neap_resp_next(&elements, &first)) return;
  if (neap_view_is(kind.text, "subscribe")) {
    if (watch->unconfirmed > 0 && --watch->unconfirmed == 0) neap_redis_wire_answer(connection, value);
  } else if (neap_view_is(kind.text, "invalidate")) {
    tell_invalid(watch, &first);
  } else if (neap_view_is(kind.text, "message") && neap_resp_next(&elements, &second)) {
    bool redirected = first.text.size == invalidate_channel.size &&
                      memcmp(first.text.ptr, invalidate_channel.ptr, first.text.size) == 0;
    if (redirected && tracks(watch))
      tell_invalid(watch, &second);
    else if (watch->listening && second.type == NEAP_RESP_STRING)
      watch->options.message(watch->options.user, first.text, second.text);
  }
}

/* --- a quiet connection may be a dead one */

static void on_pong(void *user, const neap_redis_reply *reply) {
  (void)user, (void)reply; /* that it came is enough */
}

static void on_ping(neap_timer *timer) {
  neap_redis_watch *watch = NEAP_CONTAINER_OF(timer, neap_redis_watch, ping);
  redis_connection *connection = connection_of(watch);
  const neap_view args[] = {neap_view_of("PING")};
  if (!watch->listening) return;
  neap_timer_set(connection->home->loop, &watch->ping, connection->home->options.stall_ms / 2);
  if (redis_list_is_empty(&connection->queue)) neap_redis_connection_ask(connection, args, 1, on_pong, watch);
}

static void end(neap_redis_watch *watch) {
  neap_timer_clear(&watch->ping);
  watch->unconfirmed = 0;
  if (!watch->listening) return;
  watch->listening = false;
  watch->options.listening(watch->options.user, false);
}

static void on_lost(redis_connection *connection) {
  neap_redis *redis = connection->home;
  const char *next = neap_redis_watch_address(redis, connection->failures);
  if (next) snprintf(connection->address, sizeof connection->address, "%s", next);
  end(connection->user);
}

static const redis_use use = {
    .name = "watch", .subscribes = true, .ready = on_ready, .lost = on_lost, .pushed = on_pushed};

/* --- where to listen */

static void aim(neap_redis_watch *watch) {
  redis_connection *connection = connection_of(watch);
  const char *address = neap_redis_watch_address(connection->home, 0);
  if (address == NULL) return; /* not known yet */
  if (connection->state != REDIS_CLOSED) {
    if (strcmp(address, connection->address) == 0) return;
    neap_redis_connection_close(connection);
    end(watch);
  }
  neap_redis_connection_open(connection, address);
}

void neap_redis_watches_aim(neap_redis *redis) {
  for (redis_list *link = redis->watches.next; link != &redis->watches; link = link->next)
    aim(NEAP_CONTAINER_OF(link, neap_redis_watch, link));
}

/* --- birth and death */

static char *copy_views(neap_view *to, const neap_view *from, size_t count, char *bytes) {
  for (size_t i = 0; i < count; i++) {
    if (from[i].size > 0) memcpy(bytes, from[i].ptr, from[i].size);
    to[i] = (neap_view){bytes, from[i].size};
    bytes += from[i].size;
  }
  return bytes;
}

static size_t sum_of(const neap_view *views, size_t count) {
  size_t sum = 0;
  for (size_t i = 0; i < count; i++) sum += views[i].size;
  return sum;
}

int neap_redis_watch_open(neap_redis *redis, const neap_redis_watch_options *options,
                          neap_redis_watch **out) {
  size_t channels = options->channel_count, prefixes = options->prefix_count;
  size_t args = channels + 2 * prefixes + 8, views = channels + prefixes + args;
  if (channels + prefixes == 0 || options->listening == NULL || (channels > 0 && options->message == NULL) ||
      (prefixes > 0 && (options->invalid == NULL || redis->options.layout == NEAP_REDIS_CLUSTER)))
    return NEAP_EINVAL;
  neap_redis_watch *watch = malloc(sizeof *watch + views * sizeof *watch->views +
                                   sum_of(options->channels, channels) + sum_of(options->prefixes, prefixes));
  if (watch == NULL) return NEAP_ENOMEM;
  watch->options = *options;
  watch->options.channels = watch->views;
  watch->options.prefixes = watch->views + channels;
  watch->args = watch->views + channels + prefixes;
  char *bytes = copy_views(watch->views, options->channels, channels, (char *)(watch->views + views));
  copy_views(watch->views + channels, options->prefixes, prefixes, bytes);
  watch->unconfirmed = 0;
  watch->listening = false;
  neap_timer_init(&watch->ping, on_ping);
  neap_redis_connection_init(connection_of(watch), redis, &use, watch);
  watch->connection.primary_only = redis->options.layout == NEAP_REDIS_SENTINEL;
  redis_list_append(&redis->watches, &watch->link);
  aim(watch);
  *out = watch;
  return 0;
}

void neap_redis_watch_close(neap_redis_watch **watch_ptr) {
  neap_redis_watch *watch = *watch_ptr;
  if (watch == NULL) return;
  *watch_ptr = NULL;
  neap_timer_clear(&watch->ping);
  neap_redis_connection_fini(connection_of(watch));
  redis_list_remove(&watch->link);
  free(watch);
}

void neap_redis_watches_close(neap_redis *redis) {
  while (!redis_list_is_empty(&redis->watches)) {
    neap_redis_watch *watch = NEAP_CONTAINER_OF(redis->watches.next, neap_redis_watch, link);
    neap_redis_watch_close(&watch);
  }
}
