/* What the tests of the cascade stand on: a clock that is set by hand, a cache, tiers that answer when they
 * are told to, and ports on threads of nobody. */
#ifndef NEAP_TESTS_TIER_RIG_H
#define NEAP_TESTS_TIER_RIG_H

#include <stdatomic.h>

#include "base/base.h"
#include "store/store.h"
#include "tier/tier.h"
#include "unit.h"

enum { RIG_CALLS = 256, RIG_TIERS = 4, RIG_PORTS = 3 };

/* A tier that keeps the calls made to it until the test answers them. */
typedef struct scripted {
  neap_tier_vt vt;
  neap_tier_call *calls[RIG_CALLS]; /* NULL: answered or cancelled */
  int count, cancelled;
  int refuse; /* a code: calls fail at once */
} scripted;

typedef struct rig_port {
  neap_tiers_port *port;
  uint64_t due_ms; /* UINT64_MAX: none */
  bool poked;
} rig_port;

typedef struct rig {
  uint64_t now_ms;
  neap_host host;
  neap_registry *registry;
  neap_cache *memory;
  neap_tiers *tiers;
  neap_tiers_options options;
  scripted below[RIG_TIERS];
  rig_port ports[RIG_PORTS];
} rig;
static rig the;

/* --- the scripted tier */

static int scripted_start(void *self, neap_tier_call *call) {
  scripted *tier = self;
  if (tier->refuse) return tier->refuse;
  assert_true(tier->count < RIG_CALLS);
  call->state = (void *)(intptr_t)tier->count;
  tier->calls[tier->count++] = call;
  return 0;
}

static void scripted_cancel(void *self, neap_tier_call *call) {
  scripted *tier = self;
  tier->calls[(intptr_t)call->state] = NULL;
  tier->cancelled++;
}

/* The call number `index` to tier `tier`. */
static inline neap_tier_call *call_of(int tier, int index) {
  assert_true(index < the.below[tier].count);
  assert_non_null(the.below[tier].calls[index]);
  return the.below[tier].calls[index];
}

static inline void answer(int tier, int index, neap_tier_answer with) {
  neap_tier_call *call = call_of(tier, index);
  the.below[tier].calls[index] = NULL;
  call->done(call, &with);
}

static inline void answer_code(int tier, int index, int code) {
  answer(tier, index, (neap_tier_answer){.code = code});
}

static inline void answer_value(int tier, int index, const char *body, uint64_t version, uint64_t ttl_ms) {
  answer(tier, index,
         (neap_tier_answer){
             .object = {.version = version, .ttl_ms = ttl_ms, .meta = {"m", 1}, .body = neap_view_of(body)}});
}

/* --- ground and time */

static uint64_t rig_now_ms(void *user) {
  (void)user;
  return the.now_ms;
}
static uint64_t rig_now_ns(void *user) {
  (void)user;
  return the.now_ms * 1000000;
}
static uint64_t rig_wall_ms(void *user) {
  (void)user;
  return 1700000000000 + the.now_ms;
}
static void rig_wake_in(void *user, uint64_t delay_ms) {
  rig_port *port = user;
  port->due_ms = delay_ms == UINT64_MAX ? UINT64_MAX : the.now_ms + delay_ms;
}
static void rig_poke(void *user) {
  ((rig_port *)user)->poked = true;
}

/* Runs ports that were poked or are due, until none is. */
static inline void settle_ports(void) {
  for (bool ran = true; ran;) {
    ran = false;
    for (int i = 0; i < RIG_PORTS; i++) {
      rig_port *port = &the.ports[i];
      if (port->port == NULL || (!port->poked && port->due_ms > the.now_ms)) continue;
      port->poked = false;
      port->due_ms = UINT64_MAX;
      ran = true;
      neap_tiers_port_run(port->port);
    }
  }
}

/* Goes on in time, stopping wherever a port wants to be woken. */
static inline void pass(uint64_t ms) {
  uint64_t end_ms = the.now_ms + ms;
  settle_ports();
  for (;;) {
    uint64_t next_ms = end_ms;
    for (int i = 0; i < RIG_PORTS; i++)
      if (the.ports[i].port && the.ports[i].due_ms < next_ms) next_ms = the.ports[i].due_ms;
    the.now_ms = NEAP_MAX(the.now_ms, next_ms);
    settle_ports();
    if (the.now_ms >= end_ms) return;
  }
}

/* --- set up */

static inline void attach(int port) {
  the.ports[port].due_ms = UINT64_MAX;
  const neap_tier_ground ground = {.user = &the.ports[port],
                                   .now_ms = rig_now_ms,
                                   .wall_ms = rig_wall_ms,
                                   .wake_in = rig_wake_in,
                                   .poke = rig_poke};
  assert_int_equal(neap_tiers_attach_to(the.tiers, &ground, &the.ports[port].port, NULL), 0);
}

/* `kinds`: a letter per tier below memory: 'v' gives out versions, 's' stores, 'm' makes. */
static inline void build(const char *kinds, const neap_tier_options *options) {
  neap_err err;
  the.options.memory = the.memory;
  if (neap_tiers_create_with(the.registry, &the.host, &the.options, &the.tiers, &err))
    fail_msg("%s", err.text);
  for (int i = 1; *kinds; i++, kinds++) {
    the.below[i].vt = (neap_tier_vt){.name = *kinds == 'v'   ? "versions"
                                             : *kinds == 'm' ? "makes"
                                                             : "stores",
                                     .gives_versions = *kinds == 'v',
                                     .makes = *kinds == 'm',
                                     .start = scripted_start,
                                     .cancel = scripted_cancel};
    if (neap_tiers_add(the.tiers, &the.below[i].vt, &the.below[i], options, &err)) fail_msg("%s", err.text);
  }
  for (int i = 0; i < RIG_PORTS; i++) attach(i);
}

static int rig_set_up(void **state) {
  (void)state;
  memset(&the, 0, sizeof the);
  the.now_ms = 1000000;
  const neap_host host = {
      .now_ms = rig_now_ms, .now_ns = rig_now_ns, .thread_cpu_ns = rig_now_ns, .seed = 42};
  neap_host_complete(&host, &the.host);
  if (neap_registry_create(&the.host, &the.registry)) return -1;
  neap_cache_options options;
  neap_cache_options_init(&options);
  options.max_memory = 4 << 20;
  options.evict = "native:sieve";
  if (neap_store_create(the.registry, &the.host, &options, NEAP_STORE_VALUES, &the.memory, NULL)) return -1;
  neap_tiers_options_init(&the.options);
  the.options.jitter_percent = 0;
  return 0;
}

static int rig_tear_down(void **state) {
  (void)state;
  for (int i = 0; i < RIG_PORTS; i++) neap_tiers_detach(&the.ports[i].port);
  neap_tiers_destroy(&the.tiers);
  neap_cache_destroy(&the.memory);
  neap_registry_destroy(&the.registry);
  return 0;
}

/* --- callers */

typedef struct told {
  int times, code, tier, stale, shared, refresh;
  uint64_t version, ttl_ms;
  uint32_t failed, queued;
  char body[64];
  neap_tier_op *op;
} told;

static inline void note(told *into, const neap_tier_reply *reply) {
  into->times++;
  into->code = reply->code;
  into->tier = reply->tier;
  into->stale = reply->stale;
  into->shared = reply->shared;
  into->refresh = reply->refresh;
  into->version = reply->version;
  into->ttl_ms = reply->ttl_ms;
  into->failed = reply->failed;
  into->queued = reply->queued;
  neap_view piece = neap_tier_value_piece(&reply->value, 0);
  snprintf(into->body, sizeof into->body, "%.*s", (int)piece.size, piece.ptr);
}

static void on_told(void *user, neap_tier_reply *reply) {
  note(user, reply);
  ((told *)user)->op = NULL;
}

static inline int get_with(int port, const char *key, const neap_tier_get_options *options, told *into) {
  *into = (told){0};
  neap_tier_reply reply = {0};
  int code =
      neap_tiers_get(the.ports[port].port, neap_view_of(key), options, on_told, into, &reply, &into->op);
  if (code == NEAP_EPENDING) return code;
  note(into, &reply);
  neap_tier_reply_release(&reply);
  return code;
}

static inline int get(int port, const char *key, told *into) {
  return get_with(port, key, NULL, into);
}

static inline int set_with(int port, const char *key, const char *value, const neap_tier_set_options *options,
                           told *into) {
  *into = (told){0};
  neap_tier_reply reply = {0};
  int code = neap_tiers_set(the.ports[port].port, neap_view_of(key), neap_view_of(value), options, on_told,
                            into, &reply, &into->op);
  if (code != NEAP_EPENDING) note(into, &reply);
  return code;
}

static inline int set(int port, const char *key, const char *value, told *into) {
  return set_with(port, key, value, NULL, into);
}

static inline int delete_key(int port, const char *key, told *into) {
  *into = (told){0};
  neap_tier_reply reply = {0};
  int code =
      neap_tiers_delete(the.ports[port].port, neap_view_of(key), NULL, on_told, into, &reply, &into->op);
  if (code != NEAP_EPENDING) note(into, &reply);
  return code;
}

static inline neap_tier_stats stats_of(int tier) {
  neap_tiers_stats stats;
  neap_tiers_stats_get(the.tiers, &stats);
  return stats.tiers[tier];
}

#endif
