/* neap backends, policies, config, log: what is in force. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/url.h"
#include "server/figures.h"

/* --- backends */

typedef struct backend_list {
  json_t *list;
  const char *pool; /* NULL: all */
  uint64_t now_ms;
} backend_list;

static double ms_of(const neap_timing_sum *sum, double q) {
  return neap_timing_quantile_us(sum, q) / 1e3;
}

static const char *breaker_name(const neap_vitals_info *vitals) {
  static const char *const names[] = {
      [NEAP_BREAKER_CLOSED] = "closed", [NEAP_BREAKER_OPEN] = "open", [NEAP_BREAKER_HALF] = "half"};
  return names[vitals->breaker];
}

static void add_backend(void *user, const neap_gateway_backend *backend) {
  backend_list *out = user;
  const neap_backend_info *info = &backend->info;
  const neap_vitals_info *vitals = &info->vitals;
  if (out->pool && strcmp(out->pool, backend->pool) != 0) return;
  int32_t state = backend->draining ? NEAP_BACKEND_DRAINING : info->state;
  const char *word = backend->removed                         ? "removed"
                     : vitals->ejected_until_ms > out->now_ms ? "ejected"
                                                              : neap_backend_state_name(state);
  json_t *row = json_pack(
      "{s:s, s:o, s:s, s:s, s:i, s:i, s:i, s:i, s:I, s:I}", "pool", backend->pool, "backend",
      neap_control_string(backend->address), "id", backend->id ? backend->id : "", "state", word, "weight",
      (int)backend->weight, "limit", (int)backend->limit, "in_flight", (int)info->in_flight, "idle",
      (int)backend->idle, "requests", (json_int_t)info->requests, "failures", (json_int_t)info->failures);
  json_t *more = json_pack("{s:f, s:f, s:f, s:f, s:s, s:I, s:I, s:I}", "error_rate", info->error_rate,
                           "ewma_ms", info->ewma_us / 1e3, "p50_ms", ms_of(&info->response, 0.5), "p99_ms",
                           ms_of(&info->response, 0.99), "breaker", breaker_name(vitals), "ejections",
                           (json_int_t)vitals->ejections, "probes", (json_int_t)vitals->probes,
                           "probe_failures", (json_int_t)vitals->probe_failures);
  if (row && vitals->checked_ms) {
    json_object_set_new(more, "last_check", json_string(vitals->check_good ? "passed" : "failed"));
    json_object_set_new(more, "check_age_s",
                        json_real((double)(out->now_ms - NEAP_MIN(vitals->checked_ms, out->now_ms)) / 1e3));
  } else if (row) {
    json_object_set_new(more, "last_check", json_string("none"));
    json_object_set_new(more, "check_age_s", json_null());
  }
  if (row && more) json_object_update(row, more);
  json_decref(more);
  if (row && (backend->added || backend->removed || backend->weight_changed))
    json_object_set_new(row, "changed",
                        json_string(backend->added     ? "added"
                                    : backend->removed ? "removed"
                                                       : "weight"));
  json_array_append_new(out->list, row);
}

json_t *neap_backends_json(neap_gateway *gateway, const char *pool) {
  backend_list out = {
      .list = json_array(), .pool = pool, .now_ms = gateway->host->now_ms(gateway->host->user)};
  neap_gateway_backends_each(gateway, add_backend, &out);
  return out.list;
}

static bool has_pool(const neap_gateway *gateway, const char *name) {
  const neap_config *config = gateway->loaded->config;
  for (size_t i = 0; i < config->pool_count; i++)
    if (strcmp(config->pools[i].name, name) == 0) return true;
  return false;
}

void neap_control_backends(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  const char *pool = neap_control_text_or_none(args, "pool");
  if (!neap_control_args_end(args)) return;
  if (pool && !has_pool(gateway, pool))
    neap_control_fail(reply, "there is no pool '%.60s'", pool);
  else
    neap_control_done(reply, json_pack("{s:o}", "backends", neap_backends_json(gateway, pool)));
}

/* --- policies */

json_t *neap_policies_json(neap_gateway *gateway) {
  neap_policy_view *views;
  json_t *list = json_array();
  size_t count = neap_policy_views_get(gateway, &views);
  for (size_t i = 0; i < count; i++) {
    const neap_policy_counters *c = &views[i].counters;
    json_t *row =
        json_pack("{s:s, s:s, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "kind", views[i].kind,
                  "name", views[i].name, "policy", neap_control_string(views[i].policy), "generation",
                  views[i].generation, "calls", (json_int_t)c->asks, "errors", (json_int_t)c->faults_error,
                  "fuel", (json_int_t)c->faults_fuel, "memory", (json_int_t)c->faults_memory, "answers",
                  (json_int_t)c->faults_answer, "fallbacks", (json_int_t)c->fallbacks, "trips",
                  (json_int_t)c->trips, "refused", (json_int_t)views[i].refused);
    json_array_append_new(list, row);
  }
  free(views);
  return list;
}

json_t *neap_faults_json(neap_gateway *gateway) {
  neap_policy_view *views;
  json_t *list = json_array();
  uint64_t now_ms = gateway->host->now_ms(gateway->host->user);
  size_t count = neap_policy_views_get(gateway, &views);
  for (size_t i = 0; i < count; i++)
    if (views[i].fault[0])
      json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f, s:o}", "kind", views[i].kind, "name",
                                            views[i].name, "generation", views[i].generation, "ago_s",
                                            (double)(now_ms - NEAP_MIN(views[i].fault_ms, now_ms)) / 1e3,
                                            "fault", neap_control_string(views[i].fault)));
  free(views);
  return list;
}

void neap_control_policies(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  if (!neap_control_args_end(args)) return;
  neap_control_done(reply, json_pack("{s:o}", "policies", neap_policies_json(gateway)));
}

/* --- all at once */

static json_t *took_of(const neap_timing_sum *sum) {
  json_t *list = json_array();
  for (unsigned i = 0; i <= NEAP_TIMING_EDGE_COUNT; i++)
    json_array_append_new(list, json_integer((json_int_t)sum->cells[i]));
  return list;
}

static json_t *cache_json(neap_cache *cache) {
  neap_cache_stats stats;
  if (cache == NULL) return json_null();
  neap_cache_stats_get(cache, &stats);
  return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "policy", stats.policy, "entries",
                   (json_int_t)stats.entries, "bytes", (json_int_t)stats.memory, "limit",
                   (json_int_t)stats.max_memory, "hits", (json_int_t)stats.hits, "misses",
                   (json_int_t)stats.misses, "evictions",
                   (json_int_t)(stats.evictions_policy + stats.evictions_fallback), "fallback_share",
                   stats.fallback_share);
}

void neap_control_snapshot(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  if (!neap_control_args_end(args)) return;
  uint64_t now_ms = gateway->host->now_ms(gateway->host->user);
  const neap_reload_result *last = &gateway->last_reload;
  neap_tally_sum sum;
  neap_tallies_sum(gateway->tallies, &sum);
  json_t *out =
      json_pack("{s:s, s:I, s:I, s:I, s:i, s:b, s:b}", "version", neap_version(), "at_ms", (json_int_t)now_ms,
                "uptime_ms", (json_int_t)(now_ms - gateway->started_ms), "generation",
                (json_int_t)gateway->last_generation, "workers", (int)gateway->worker_count, "stopping",
                gateway->stopping, "reload_refused", last->at_ms != 0 && !last->ok);
  json_t *requests = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "requests", (json_int_t)sum.requests,
                               "errors", (json_int_t)sum.errors, "hits", (json_int_t)sum.hits, "lookups",
                               (json_int_t)sum.lookups, "in_flight", (json_int_t)sum.in_flight, "clients",
                               (json_int_t)sum.clients, "took", took_of(&sum.took));
  if (out && requests) json_object_update(out, requests);
  json_decref(requests);
  json_object_set_new(out, "backends", neap_backends_json(gateway, NULL));
  json_object_set_new(out, "cache", cache_json(atomic_load(&gateway->cache)));
  json_object_set_new(out, "policies", neap_policies_json(gateway));
  neap_control_done(reply, out);
}

/* --- the configuration in force, its secrets masked */

static bool is_secret(const char *key) {
  static const char *const words[] = {"secret", "token", "password",   "users",
                                      "bearer", "basic", "credentials"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strcasestr(key, words[i])) return true;
  return false;
}

/* Names of headers and parameters whose values are credentials. */
static bool is_secret_field(const char *name) {
  static const char *const words[] = {"auth", "cookie", "key", "secret", "token", "password"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strcasestr(name, words[i])) return true;
  return false;
}

/* NULL: it may be shown as it is. */
static json_t *without_credentials(const json_t *value) {
  const char *text = json_string_value(value);
  if (text == NULL || strstr(text, "://") == NULL) return NULL;
  size_t room = 2 * strlen(text) + 1; /* each URL in it may grow by a mask */
  char *shown = malloc(room);
  json_t *masked = shown ? json_string(neap_url_mask(text, shown, room)) : json_string("***");
  free(shown);
  return masked;
}

/* Texts below a secret's key, and credentials among headers, parameters and in URLs. */
static void mask(json_t *value, bool secret) {
  const char *key;
  json_t *below;
  size_t index;
  void *next;
  if (json_is_object(value)) {
    const char *name = json_string_value(json_object_get(value, "name"));
    bool header = name && is_secret_field(name);
    json_object_foreach_safe(value, next, key, below) {
      bool hide = secret || is_secret(key) || (header && strcmp(key, "value") == 0);
      json_t *shown = without_credentials(below);
      if (hide && json_is_string(below) && *json_string_value(below))
        json_object_set_new(value, key, json_string("***"));
      else if (shown)
        json_object_set(value, key, shown);
      else
        mask(below, hide);
      json_decref(shown);
    }
  } else if (json_is_array(value)) {
    json_array_foreach(value, index, below) {
      json_t *shown = without_credentials(below);
      if (secret && json_is_string(below))
        json_array_set_new(value, index, json_string("***"));
      else if (shown)
        json_array_set(value, index, shown);
      else
        mask(below, secret);
      json_decref(shown);
    }
  }
}

void neap_control_config(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  if (!neap_control_args_end(args)) return;
  json_t *config = json_loads(neap_config_json(gateway->loaded->config), 0, NULL);
  mask(config, false);
  char *text = config ? json_dumps(config, JSON_INDENT(2)) : NULL;
  if (text == NULL) {
    json_decref(config);
    neap_control_fail(reply, "out of memory");
    return;
  }
  neap_control_done(reply, json_pack("{s:I, s:o, s:s+}", "generation", (json_int_t)gateway->last_generation,
                                     "config", config, "text", text, "\n"));
  free(text);
}

/* --- log */

void neap_control_log(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  static const char *const names[] = {"debug", "info", "warn", "error"};
  const char *wanted = neap_control_text_or_none(args, "level");
  _Atomic int *level = gateway->options->log_level;
  if (!neap_control_args_end(args)) return;
  if (level == NULL) {
    neap_control_fail(reply, "the program that embeds this gateway keeps its own log level");
    return;
  }
  for (int i = 0; wanted && i < 4; i++)
    if (strcmp(names[i], wanted) == 0) {
      atomic_store(level, i);
      wanted = NULL;
    }
  if (wanted)
    neap_control_fail(reply, "no level '%.20s': debug, info, warn or error", wanted);
  else
    neap_control_done(reply, json_pack("{s:s}", "level", names[atomic_load(level)]));
}
