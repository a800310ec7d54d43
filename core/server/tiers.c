/* The tiers below the HTTP cache, as configured: one cascade for all workers, which lives over reloads as
 * long as its settings stay the same. And those below the keys of RESP ports, a cascade of their own in
 * another space, which stays as it was made: what memory has is known by the versions that it gives out.
 *
 * A cascade is
 *   1 made       while a plan is prepared; nobody has it
 *   2 in force   the gateway's; the control thread has a port of its own, workers get theirs
 *   3 left       workers let go of it, one after the other
 *   4 flushed    nobody has it: what waits to be written is sent, for a while
 *   5 gone
 * Everything but create and what workers do with it is the control thread's. */
#include "server/tiers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/gateway.h"

enum {
  FLUSH_MS = 2000,
  STOP_FLUSH_MS = 1000,
  MEMORY_BYTES = 1 << 20,
  RECOVERY_MAX = 10000,
  KEYS_THROTTLE_MS = 1000
};

struct neap_cascade {
  neap_cascade *next; /* of the gateway's */
  neap_gateway *gateway;
  neap_cache *memory; /* takes nothing: the HTTP cache is in its place; NULL: the keys' is the first tier */
  const char *ns;     /* of what lies in tiers */
  const char *const *names; /* of tiers, by kind */
  neap_tiers *tiers;
  neap_tiers_port *port; /* the control thread's; NULL: none */
  neap_flow_tiers seen;  /* as workers see it, without a port */
  uint64_t hash;         /* of its settings */
  uint32_t users;        /* workers that have it, and the gateway while it is in force */
  neap_task end;
};

static const char *const names_of_http[] = {[NEAP_FLOW_REDIS] = "redis", [NEAP_FLOW_CDN] = "cdn"};
static const char *const names_of_keys[] = {[NEAP_FLOW_REDIS] = "keys-redis", [NEAP_FLOW_CDN] = "keys-cdn"};

/* --- made */

static int make_memory(neap_cascade *cascade, neap_err *err) {
  neap_cache_options options;
  neap_cache_options_init(&options);
  options.name = "tiers";
  options.max_memory = MEMORY_BYTES;
  options.max_object_size = 1;
  options.evict = "native:lru";
  return neap_cache_create(cascade->gateway->engine, &options, &cascade->memory, err);
}

/* Times to live are those of HTTP or of clients: they are neither shortened nor passed. */
static neap_tiers_options options_of(neap_cache *memory, const neap_config_tiers *config) {
  neap_tiers_options options;
  neap_tiers_options_init(&options);
  options.memory = memory;
  options.jitter_percent = 0;
  options.xfetch_beta = 0;
  options.fail_safe_max_ms = 0;
  options.negative_ttl_ms = config->negative_ttl_ms;
  return options;
}

static int make_tiers(neap_cascade *cascade, const neap_config_tiers *config, neap_err *err) {
  const neap_tiers_options options = options_of(cascade->memory, config);
  return neap_tiers_create(cascade->gateway->engine, &options, &cascade->tiers, err);
}

static neap_tier_options tier_options(const neap_config_tier *tier, const char *name) {
  return (neap_tier_options){.name = name,
                             .hard_timeout_ms = tier->timeout_ms,
                             .breaker_window_ms = tier->breaker_window_ms,
                             .breaker_min = tier->breaker_min,
                             .breaker_error_percent = tier->breaker_percent,
                             .breaker_open_ms = tier->breaker_open_ms,
                             .breaker_open_max_ms = tier->breaker_open_max_ms,
                             .recovery_max = RECOVERY_MAX};
}

static void note_tier(neap_cascade *cascade, neap_flow_tier_kind kind, const neap_config_tier *tier) {
  int number = 1;
  for (int i = 0; i < NEAP_FLOW_TIERS; i++) number += cascade->seen.tiers[i].number > 0;
  cascade->seen.tiers[kind] =
      (neap_flow_tier){.number = number, .ttl_ms = tier->ttl_ms, .max_object = tier->max_object};
}

/* Files are read now, so that a reload with a wrong one is refused; each port reads them again. */
static int check_tls(const neap_config_redis *config, neap_err *err) {
  const neap_tls_options options = {
      .ca_file = config->ca_file, .certificate_file = config->certificate_file, .key_file = config->key_file};
  neap_tls_client *client = NULL;
  int code = config->tls ? neap_tls_client_create(&options, &client, err) : 0;
  neap_tls_client_destroy(&client);
  return code;
}

/* What a record is larger than what it holds. */
enum { ENVELOPE_EXTRA = 128 << 10 };

static int add_redis(neap_cascade *cascade, const neap_config_redis *config, const char *prefix,
                     neap_err *err) {
  static const neap_tier_redis_layout layouts[] = {[NEAP_CONFIG_REDIS_SINGLE] = NEAP_TIER_REDIS_SINGLE,
                                                   [NEAP_CONFIG_REDIS_SENTINEL] = NEAP_TIER_REDIS_SENTINEL,
                                                   [NEAP_CONFIG_REDIS_CLUSTER] = NEAP_TIER_REDIS_CLUSTER};
  if (!config->tier.set) return 0;
  neap_tier_redis_options options;
  neap_tier_redis_options_init(&options);
  options.layout = layouts[config->layout];
  options.addresses = config->addresses;
  options.group = config->group;
  options.user = config->user;
  options.password = config->password;
  options.sentinel_user = config->sentinel_user;
  options.sentinel_password = config->sentinel_password;
  options.database = config->database;
  options.connections = config->connections;
  options.tls = config->tls;
  options.tls_ca_file = config->ca_file;
  options.tls_server_name = config->server_name;
  options.tls_certificate_file = config->certificate_file;
  options.tls_key_file = config->key_file;
  options.connect_timeout_ms = config->connect_timeout_ms;
  options.prefix = prefix;
  options.ns = cascade->ns;
  options.max_object = NEAP_MIN(config->tier.max_object + ENVELOPE_EXTRA, (uint64_t)1 << 30);
  const neap_tier_options tier = tier_options(&config->tier, cascade->names[NEAP_FLOW_REDIS]);
  int code = check_tls(config, err);
  if (code == 0) code = neap_tiers_add_redis(cascade->tiers, &options, &tier, err);
  if (code == 0) note_tier(cascade, NEAP_FLOW_REDIS, &config->tier);
  return code;
}

static int add_cdn(neap_cascade *cascade, const neap_config_cdn *config, const char *url, neap_err *err) {
  if (!config->tier.set) return 0;
  const neap_tier_cdn_options options = {
      .url = url,
      .bearer = config->bearer,
      .header = config->header,
      .purge_method = config->purge_method,
      .surrogate = config->surrogate,
      .max_object = (size_t)NEAP_MIN(config->tier.max_object + ENVELOPE_EXTRA, (uint64_t)1 << 30),
      .ns = cascade->ns};
  const neap_tier_options tier = tier_options(&config->tier, cascade->names[NEAP_FLOW_CDN]);
  int code = neap_tiers_add_cdn(cascade->tiers, &options, &tier, err);
  if (code == 0) note_tier(cascade, NEAP_FLOW_CDN, &config->tier);
  return code;
}

/* A node has deleted it, this one maybe. */
static void on_deleted(void *user, neap_view key) {
  neap_gateway *gateway = user;
  neap_cache *cache = atomic_load(&gateway->cache);
  if (cache) neap_cache_remove(cache, key);
}

static void destroy(neap_cascade *cascade) {
  neap_tiers_detach(&cascade->port);
  neap_tiers_destroy(&cascade->tiers);
  neap_cache_destroy(&cascade->memory);
  free(cascade);
}

int neap_cascade_create(neap_gateway *gateway, const neap_config_tiers *config, neap_cascade **out,
                        neap_err *err) {
  neap_cascade *cascade = calloc(1, sizeof *cascade);
  if (cascade == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  cascade->gateway = gateway;
  cascade->ns = "http";
  cascade->names = names_of_http;
  cascade->hash = config->hash;
  neap_err why = {0};
  int code = make_memory(cascade, &why);
  if (code == 0) code = make_tiers(cascade, config, &why);
  if (code == 0) code = add_redis(cascade, &config->redis, config->redis.prefix, &why);
  if (code == 0) code = add_cdn(cascade, &config->cdn, config->cdn.url, &why);
  if (code) {
    destroy(cascade);
    return neap_fail(err, code, "tiers: %s", why.text[0] ? why.text : neap_strerror(code));
  }
  if (!config->local) neap_tiers_on_deleted(cascade->tiers, on_deleted, gateway);
  cascade->seen.cascade = cascade->tiers;
  cascade->seen.patience_ms = config->soft_timeout_ms;
  cascade->seen.mode = config->through ? NEAP_WRITE_THROUGH : NEAP_WRITE_BEHIND;
  *out = cascade;
  return 0;
}

void neap_cascade_destroy(neap_cascade **cascade) {
  if (*cascade) destroy(*cascade);
  *cascade = NULL;
}

neap_tiers *neap_cascade_tiers(const neap_cascade *cascade) {
  return cascade->tiers;
}

bool neap_cascade_is_same(const neap_cascade *cascade, const neap_config_tiers *config) {
  return cascade ? config->enabled && cascade->hash == config->hash : !config->enabled;
}

/* --- below the keys */

enum { CDN_URL_ROOM = 2048 };

/* A clear of the one does not reach the other's, nor do their keys meet. */
static int add_cdn_of_keys(neap_cascade *cascade, const neap_config_cdn *config, neap_err *err) {
  char url[CDN_URL_ROOM];
  size_t size = strlen(config->url);
  bool slash = size > 0 && config->url[size - 1] == '/';
  snprintf(url, sizeof url, "%s%skeys", config->url, slash ? "" : "/");
  return add_cdn(cascade, config, url, err);
}

int neap_cascade_create_keys(neap_gateway *gateway, const neap_config *config, neap_cache *memory,
                             neap_cascade **out, neap_err *err) {
  const neap_config_keys *keys = &config->keys_tiers;
  neap_tiers_options options = options_of(memory, &config->tiers);
  if (config->keys.default_ttl_ms)
    options.default_ttl_ms = config->keys.default_ttl_ms;
  else
    options.default_ttl_ms = NEAP_TTL_NEVER;
  /* clients do not see what is stale: when tiers answer again, it is not served for long */
  options.fail_safe_throttle_ms = KEYS_THROTTLE_MS;
  options.consistency =
      keys->consistency == NEAP_CONFIG_LOCAL ? NEAP_CONSISTENCY_LOCAL : NEAP_CONSISTENCY_EVENTUAL;
  neap_cascade *cascade = calloc(1, sizeof *cascade);
  if (cascade == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  cascade->gateway = gateway;
  cascade->ns = "keys";
  cascade->names = names_of_keys;
  cascade->hash = keys->hash;
  neap_err why = {0};
  int code = neap_tiers_create(gateway->engine, &options, &cascade->tiers, &why);
  if (code == 0) code = add_redis(cascade, &config->tiers.redis, keys->prefix, &why);
  if (code == 0 && keys->tiers & NEAP_TIER_FLAG_CDN)
    code = add_cdn_of_keys(cascade, &config->tiers.cdn, &why);
  if (code) {
    destroy(cascade);
    return neap_fail(err, code, "tiers of keys: %s", why.text[0] ? why.text : neap_strerror(code));
  }
  *out = cascade;
  return 0;
}

neap_keyspace_tiers neap_cascade_of_keyspace(const neap_cascade *cascade, const neap_config *config) {
  static const neap_write_mode modes[] = {[NEAP_CONFIG_THROUGH] = NEAP_WRITE_THROUGH,
                                          [NEAP_CONFIG_BEHIND] = NEAP_WRITE_BEHIND,
                                          [NEAP_CONFIG_AROUND] = NEAP_WRITE_AROUND};
  static const neap_consistency promises[] = {[NEAP_CONFIG_LOCAL] = NEAP_CONSISTENCY_LOCAL,
                                              [NEAP_CONFIG_EVENTUAL] = NEAP_CONSISTENCY_EVENTUAL,
                                              [NEAP_CONFIG_STRONG] = NEAP_CONSISTENCY_STRONG};
  const neap_config_keys *keys = &config->keys_tiers;
  return (neap_keyspace_tiers){.cascade = cascade->tiers,
                               .consistency = promises[keys->consistency],
                               .mode = modes[keys->mode],
                               .timeout_ms = keys->timeout_ms,
                               .max_object = config->tiers.redis.tier.max_object,
                               .failures_shown = keys->failures_shown};
}

bool neap_cascade_is_keys_same(const neap_cascade *cascade, const neap_config *config) {
  return config->keys_tiers.hash == (cascade ? cascade->hash : 0);
}

/* --- a worker's part */

int neap_cascade_attach_keys(neap_cascade *cascade, neap_loop *loop, neap_tiers_port **out, neap_err *err) {
  return neap_tiers_attach_loop(cascade->tiers, loop, out, err);
}

int neap_cascade_attach(neap_cascade *cascade, neap_loop *loop, neap_flow_tiers *out, neap_err *err) {
  *out = cascade->seen;
  return neap_tiers_attach_loop(cascade->tiers, loop, &out->port, err);
}

/* --- in force, and left */

static void forget(neap_cascade *cascade) {
  neap_cascade **at = &cascade->gateway->cascades;
  while (*at != cascade) at = &(*at)->next;
  *at = cascade->next;
  destroy(cascade);
}

static void on_end(neap_task *task) {
  forget(NEAP_CONTAINER_OF(task, neap_cascade, end));
}

/* Inside a call of the port, which ends it: after it. */
static void on_flushed(void *user, neap_tier_reply *reply) {
  neap_cascade *cascade = user;
  if (reply->code)
    neap_gateway_log(cascade->gateway, NEAP_LOG_WARN, "server tiers_not_flushed error=\"%s\"",
                     neap_strerror(reply->code));
  neap_loop_post(cascade->gateway->loop, &cascade->end);
}

void neap_cascade_give(neap_cascade *cascade) {
  if (--cascade->users > 0) return;
  cascade->end.run = on_end;
  if (cascade->port == NULL ||
      neap_tiers_flush(cascade->port, FLUSH_MS, on_flushed, cascade) != NEAP_EPENDING)
    neap_loop_post(cascade->gateway->loop, &cascade->end);
}

void neap_cascade_use(neap_cascade *cascade) {
  cascade->users++;
}

static void enlist(neap_gateway *gateway, neap_cascade *cascade) {
  neap_err err;
  cascade->next = gateway->cascades;
  gateway->cascades = cascade;
  cascade->users = 1;
  if (neap_tiers_attach_loop(cascade->tiers, gateway->loop, &cascade->port, &err))
    neap_gateway_log(gateway, NEAP_LOG_ERROR, "server tiers_failed error=\"%s\"", err.text);
}

static void put_in_force(neap_gateway *gateway, neap_cascade *cascade) {
  gateway->cascade = cascade;
  if (cascade) enlist(gateway, cascade);
}

void neap_cascade_commit_keys(neap_gateway *gateway, neap_cascade **made) {
  gateway->keys_cascade = *made;
  enlist(gateway, *made);
  *made = NULL;
}

void neap_cascade_commit(neap_gateway *gateway, neap_cascade **made, bool changes) {
  neap_cascade *old = gateway->cascade;
  if (changes) {
    put_in_force(gateway, *made);
    *made = NULL;
  }
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX; i++)
    if (gateway->workers[i]) neap_worker_take_tiers(gateway->workers[i], gateway->cascade);
  if (changes && old) neap_cascade_give(old);
}

/* --- the end */

static void on_stopped(void *user, neap_tier_reply *reply) {
  neap_gateway *gateway = user;
  if (reply->code)
    neap_gateway_log(gateway, NEAP_LOG_WARN, "server tiers_not_flushed error=\"%s\"",
                     neap_strerror(reply->code));
  if (--gateway->flushes == 0) neap_loop_stop(gateway->loop);
}

static void flush(neap_gateway *gateway, const neap_cascade *cascade) {
  if (cascade && cascade->port &&
      neap_tiers_flush(cascade->port, STOP_FLUSH_MS, on_stopped, gateway) == NEAP_EPENDING)
    gateway->flushes++;
}

void neap_cascades_stop(neap_gateway *gateway) {
  flush(gateway, gateway->cascade);
  flush(gateway, gateway->keys_cascade);
  if (gateway->flushes == 0) neap_loop_stop(gateway->loop);
}

void neap_cascades_destroy(neap_gateway *gateway) {
  while (gateway->cascades) {
    neap_cascade *cascade = gateway->cascades;
    neap_loop_take_back(gateway->loop, &cascade->end);
    forget(cascade);
  }
  gateway->cascade = gateway->keys_cascade = NULL;
}
