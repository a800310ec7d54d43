/* What others write, as Redis tells it on a channel: "K version key" of a set, "D version key" of a delete,
 * "E epoch" of a clear, and "H port nonce", heartbeats. One port listens for the whole cascade.
 *
 * A heartbeat that comes back proves, with one clock, that whatever was announced before it was sent has
 * come: memory is right as of then. Without one for max_staleness_ms it is suspect, all of it (blind). A slow
 * subscriber, a connection that is open at one end only, and one to a primary that is none any more are all
 * covered. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "tier/redis.h"

static bool read_digits(neap_view *rest, uint64_t *out) {
  uint64_t number = 0;
  size_t i = 0;
  for (; i < rest->size && i < 19 && rest->ptr[i] >= '0' && rest->ptr[i] <= '9'; i++)
    number = number * 10 + (uint64_t)(rest->ptr[i] - '0');
  if (i == 0 || (i < rest->size && rest->ptr[i] != ' ')) return false;
  size_t taken = NEAP_MIN(i + 1, rest->size);
  *rest = (neap_view){rest->ptr + taken, rest->size - taken};
  *out = number;
  return true;
}

static void on_key(neap_redis_tier *self, neap_view rest, bool deleted) {
  uint64_t version;
  const neap_redis_config *config = self->config;
  size_t prefix = strlen(config->prefix);
  if (!read_digits(&rest, &version) || rest.size <= prefix || memcmp(rest.ptr, config->prefix, prefix) != 0)
    return;
  rest = (neap_view){rest.ptr + prefix, rest.size - prefix};
  if (rest.size > NEAP_KEY_MAX) return;
  neap_tiers_invalidate(config->tiers, rest, version);
  if (deleted) neap_tiers_tell_deleted(config->tiers, rest);
  neap_tiers_tell_written(config->tiers, rest);
}

static void on_cleared(neap_redis_tier *self, neap_view rest) {
  uint64_t epoch;
  if (!read_digits(&rest, &epoch) || epoch <= atomic_load(&self->config->epoch)) return;
  neap_redis_tier_learn_epoch(self->config, epoch);
  neap_tiers_suspect_all(self->config->tiers);
}

/* Without the rule of heartbeats, the first that comes back is believed as long as the connection is there.
 */
static void see_until(neap_redis_tier *self, uint64_t until_ms) {
  neap_tiers *tiers = self->config->tiers;
  if (until_ms && !neap_tiers_keeps(tiers, NEAP_TIER_HEARTBEAT)) until_ms = UINT64_MAX;
  neap_tiers_set_fresh(tiers, until_ms, neap_loop_now_ms(self->loop));
}

static void on_beat(neap_redis_tier *self, neap_view rest) {
  uint64_t id, nonce;
  if (!read_digits(&rest, &id) || !read_digits(&rest, &nonce) || id != self->id % UINT32_MAX ||
      nonce != self->nonce)
    return;
  self->outstanding = false;
  see_until(self, self->sent_ms + self->config->options.max_staleness_ms);
}

static void on_message(void *user, neap_view channel, neap_view payload) {
  (void)channel;
  if (payload.size < 2 || payload.ptr[1] != ' ') return;
  neap_view rest = {payload.ptr + 2, payload.size - 2};
  if (payload.ptr[0] == 'K' || payload.ptr[0] == 'D') on_key(user, rest, payload.ptr[0] == 'D');
  if (payload.ptr[0] == 'E') on_cleared(user, rest);
  if (payload.ptr[0] == 'H') on_beat(user, rest);
}

static void ignore(void *user, const neap_redis_reply *reply) {
  (void)user, (void)reply;
}

static void send_beat(neap_redis_tier *self) {
  char text[64];
  self->sent_ms = neap_loop_now_ms(self->loop);
  self->outstanding = true;
  snprintf(text, sizeof text, "H %" PRIu64 " %" PRIu64, self->id % UINT32_MAX, ++self->nonce);
  const neap_view args[] = {NEAP_BYTES("PUBLISH"), neap_view_of(self->config->channel), neap_view_of(text)};
  /* by the connections of the epoch's primary: in a Cluster messages reach every node from any */
  const neap_redis_command beat = {
      .args = args, .count = 3, .key = neap_view_of(self->config->epoch_key), .done = ignore};
  (void)neap_redis_start(self->redis, &beat, NULL); /* one that is not sent does not come back */
}

static void on_listening(void *user, bool yes) {
  neap_redis_tier *self = user;
  if (!yes) {
    see_until(self, 0); /* until a heartbeat comes back */
    return;
  }
  neap_redis_tier_ask_epoch(self);
  send_beat(self);
}

static void start_listening(neap_redis_tier *self) {
  if (self->watch || atomic_exchange(&self->config->listened, true)) return;
  const neap_view channel = neap_view_of(self->config->channel);
  const neap_redis_watch_options options = {.channels = &channel,
                                            .channel_count = 1,
                                            .message = on_message,
                                            .listening = on_listening,
                                            .user = self};
  see_until(self, 0);
  if (neap_redis_watch_open(self->redis, &options, &self->watch))
    atomic_store(&self->config->listened, false);
}

static void on_timer(neap_timer *timer) {
  neap_redis_tier *self = NEAP_CONTAINER_OF(timer, neap_redis_tier, beat);
  start_listening(self); /* where the port that did has gone */
  if (self->watch) {
    uint64_t patience_ms = self->config->options.max_staleness_ms;
    if (!self->outstanding || neap_loop_now_ms(self->loop) - self->sent_ms >= patience_ms) {
      neap_redis_tier_ask_epoch(self);
      send_beat(self);
    }
  }
  uint64_t rest_ms = self->config->options.heartbeat_ms;
  neap_timer_set(self->loop, &self->beat, rest_ms);
}

void neap_redis_channel_open(neap_redis_tier *self) {
  neap_timer_init(&self->beat, on_timer);
  start_listening(self);
  neap_timer_set(self->loop, &self->beat, self->config->options.heartbeat_ms);
}

void neap_redis_channel_close(neap_redis_tier *self) {
  neap_timer_clear(&self->beat);
  if (self->watch == NULL) return;
  neap_redis_watch_close(&self->watch);
  see_until(self, 0); /* nobody listens until another port does */
  atomic_store(&self->config->listened, false);
}
