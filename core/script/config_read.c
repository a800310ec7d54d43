/* From canonical JSON, as lua/neap/config.lua writes it, to struct neap_config. Texts stay in the JSON tree,
 * arrays in the box. Everything was checked in Lua: what is missing here is a fault of ours, and reads as
 * empty. */
#include "script/config_json.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"

const neap_param *neap_config_params_of(neap_config_box *box, const json_t *list, size_t *count) {
  neap_param *params = array_for(box, list, sizeof *params, count);
  for (size_t i = 0; params && i < *count; i++) {
    const json_t *from = json_array_get(list, i), *value = json_object_get(from, "value");
    params[i] = (neap_param){
        .name = text_at(from, "name"), .number = json_number_value(value), .text = json_string_value(value)};
  }
  return params;
}

/* --- parts --- */

static bool read_listeners(neap_config_box *box, const json_t *list) {
  neap_config_listener *listeners = array_for(box, list, sizeof *listeners, &box->config.listener_count);
  for (size_t i = 0; listeners && i < box->config.listener_count; i++) {
    const json_t *from = json_array_get(list, i);
    listeners[i] = (neap_config_listener){.address = text_at(from, "address"),
                                          .host = text_at(from, "host"),
                                          .port = (uint16_t)number_at(from, "port"),
                                          .header_timeout_ms = number_at(from, "header_timeout"),
                                          .idle_timeout_ms = number_at(from, "idle_timeout"),
                                          .max_header_size = number_at(from, "max_header_size"),
                                          .resp = true_at(from, "resp"),
                                          .password = text_at(from, "password"),
                                          .max_clients = (uint32_t)number_at(from, "max_clients"),
                                          .client_timeout_ms = number_at(from, "client_timeout"),
                                          .stall_timeout_ms = number_at(from, "stall_timeout"),
                                          .client_memory = number_at(from, "client_memory")};
    box->config.keys_enabled |= listeners[i].resp;
  }
  box->config.listeners = listeners;
  return listeners != NULL;
}

/* The text of a policy file, NULL for what is none. */
const char *neap_config_policy_text(const neap_config_box *box, const char *spec) {
  for (size_t i = 0; i < box->record->files.count; i++)
    if (strcmp(box->record->files.list[i].path, spec) == 0) return box->record->files.list[i].text;
  return NULL;
}

static bool read_cache(neap_config_box *box, const json_t *from, neap_cache_options *out,
                       const char **source) {
  neap_cache_options_init(out);
  out->max_memory = number_at(from, "max_memory");
  out->max_entries = number_at(from, "max_entries");
  out->max_object_size = number_at(from, "max_object_size");
  out->default_ttl_ms = number_at(from, "default_ttl");
  out->evict = text_at(from, "evict");
  *source = neap_config_policy_text(box, out->evict);
  out->params = neap_config_params_of(box, json_object_get(from, "params"), &out->param_count);
  return out->params != NULL;
}

static bool read_caches(neap_config_box *box) {
  neap_config *config = &box->config;
  const json_t *cache = json_object_get(box->tree, "cache");
  config->cache_enabled = true_at(cache, "enabled");
  if (!neap_config_read_prefetch(box, json_object_get(cache, "prefetch"))) return false;
  if (!neap_config_read_tiers(box, json_object_get(box->tree, "tiers"))) return false;
  neap_config_read_keys(box, json_object_get(box->tree, "keys"));
  return read_cache(box, cache, &config->cache, &config->cache_source) &&
         read_cache(box, json_object_get(box->tree, "keys"), &config->keys, &config->keys_source);
}

static neap_match_key key_of(const json_t *from) {
  static const char *const names[] = {
      [NEAP_KEY_CLIENT] = "client", [NEAP_KEY_PATH] = "path",     [NEAP_KEY_QUERY] = "query",
      [NEAP_KEY_HOST] = "host",     [NEAP_KEY_HEADER] = "header", [NEAP_KEY_COOKIE] = "cookie"};
  const char *kind = text_at(from, "kind");
  for (size_t i = 0; i < NEAP_COUNT_OF(names); i++)
    if (strcmp(kind, names[i]) == 0) return (neap_match_key)i;
  return NEAP_KEY_CLIENT;
}

static const neap_config_backend *backends_of(neap_config_box *box, const json_t *list, size_t *count) {
  neap_config_backend *backends = array_for(box, list, sizeof *backends, count);
  for (size_t i = 0; backends && i < *count; i++) {
    const json_t *from = json_array_get(list, i);
    backends[i] = (neap_config_backend){.address = text_at(from, "address"),
                                        .host = text_at(from, "host"),
                                        .port = (uint16_t)number_at(from, "port"),
                                        .weight = (int32_t)number_at(from, "weight"),
                                        .priority = (int32_t)number_at(from, "priority"),
                                        .limit = (int32_t)number_at(from, "max_connections"),
                                        .id = text_at(from, "id")};
  }
  return backends;
}

static bool read_session(neap_config_box *box, const json_t *from, neap_config_session *session) {
  const json_t *by = json_object_get(from, "by");
  *session = (neap_config_session){.cookie = strcmp(text_at(from, "type"), "cookie") == 0,
                                   .table = strcmp(text_at(from, "type"), "table") == 0,
                                   .name = text_at(from, "cookie"),
                                   .secure = true_at(from, "secure"),
                                   .by = key_of(by),
                                   .by_name = text_at(by, "name")};
  session->secrets = texts_of(box, json_object_get(from, "secret"), &session->secret_count);
  return session->secrets != NULL;
}

static void read_retries(const json_t *from, neap_config_pool *pool) {
  const json_t *hedge = json_object_get(from, "hedge"), *delay = json_object_get(hedge, "delay");
  pool->retry_delay_ms = number_at(from, "retry_delay");
  pool->retry_budget = json_number_value(json_object_get(from, "retry_budget"));
  pool->hedge_percentile = json_number_value(json_object_get(delay, "percentile"));
  pool->hedge_delay_ms = number_at(delay, "ms");
  pool->hedge_budget = json_number_value(json_object_get(hedge, "budget"));
}

static bool read_pool(neap_config_box *box, const json_t *from, neap_config_pool *pool) {
  const json_t *key = json_object_get(from, "key");
  *pool = (neap_config_pool){.name = text_at(from, "name"),
                             .balance = text_at(from, "balance"),
                             .source = neap_config_policy_text(box, text_at(from, "balance")),
                             .key = key_of(key),
                             .key_name = text_at(key, "name"),
                             .connect_timeout_ms = number_at(from, "connect_timeout"),
                             .response_timeout_ms = number_at(from, "response_timeout"),
                             .idle_timeout_ms = number_at(from, "idle_timeout"),
                             .max_idle = (uint32_t)number_at(from, "max_idle"),
                             .max_retries = (uint32_t)number_at(from, "max_retries"),
                             .max_queue = (uint32_t)number_at(from, "max_queue"),
                             .queue_timeout_ms = number_at(from, "queue_timeout"),
                             .down_time_ms = number_at(from, "down_time"),
                             .session_timeout_ms = number_at(from, "session_timeout")};
  read_retries(from, pool);
  if (!read_session(box, json_object_get(from, "session"), &pool->session)) return false;
  neap_config_read_care(from, &pool->care);
  pool->params = neap_config_params_of(box, json_object_get(from, "params"), &pool->param_count);
  pool->backends = backends_of(box, json_object_get(from, "backends"), &pool->backend_count);
  pool->sources = texts_of(box, json_object_get(from, "discover"), &pool->source_count);
  pool->source_refresh_ms = number_at(from, "discover_refresh");
  return pool->params && pool->backends && pool->sources;
}

static bool read_pools(neap_config_box *box, const json_t *list) {
  neap_config_pool *pools = array_for(box, list, sizeof *pools, &box->config.pool_count);
  box->config.pools = pools;
  for (size_t i = 0; pools && i < box->config.pool_count; i++)
    if (!read_pool(box, json_array_get(list, i), &pools[i])) return false;
  return pools != NULL;
}

/* --- routes --- */

static neap_match_path path_how_of(const char *text) {
  if (strcmp(text, "exact") == 0) return NEAP_PATH_EXACT;
  if (strcmp(text, "prefix") == 0) return NEAP_PATH_PREFIX;
  return strcmp(text, "below") == 0 ? NEAP_PATH_BELOW : NEAP_PATH_ANY;
}

static bool read_match(neap_config_box *box, const json_t *from, neap_match *match) {
  match->host = json_string_value(json_object_get(from, "host"));
  match->path_how = path_how_of(text_at(from, "path_how"));
  match->path = match->path_how == NEAP_PATH_ANY ? NULL : text_at(from, "path");
  match->methods = texts_of(box, json_object_get(from, "method"), &match->method_count);
  match->headers = fields_of(box, json_object_get(from, "header"), &match->header_count);
  match->queries = fields_of(box, json_object_get(from, "query"), &match->query_count);
  match->conditional = true_at(from, "conditional");
  return match->methods && match->headers && match->queries;
}

static bool read_edits(neap_config_box *box, const json_t *from, neap_config_edits *edits) {
  edits->remove = texts_of(box, json_object_get(from, "remove"), &edits->remove_count);
  edits->set = fields_of(box, json_object_get(from, "set"), &edits->set_count);
  return edits->remove && edits->set;
}

static neap_config_action action_of(const char *text) {
  if (strcmp(text, "respond") == 0) return NEAP_ACTION_RESPOND;
  return strcmp(text, "redirect") == 0 ? NEAP_ACTION_REDIRECT : NEAP_ACTION_POOL;
}

static bool read_route(neap_config_box *box, const json_t *from, neap_config_route *route) {
  const json_t *cache = json_object_get(from, "cache"), *pool = json_object_get(from, "pool");
  const json_t *respond = json_object_get(from, "respond"), *redirect = json_object_get(from, "redirect");
  *route = (neap_config_route){
      .name = text_at(from, "name"),
      .passes = true_at(from, "passes"),
      .action = action_of(text_at(from, "action")),
      .pool = pool ? (int32_t)json_integer_value(pool) : -1,
      .cache = true_at(cache, "enabled"),
      .cache_ttl_ms = number_at(cache, "ttl"),
      .cache_space = text_at(cache, "space"),
      .cache_prefetch = true_at(cache, "prefetch"),
      .cache_tiers = (uint32_t)number_at(cache, "tiers"),
      .status = (int32_t)number_at(respond ? respond : redirect, "status"),
      .body = text_at(respond, "body"),
      .content_type = text_at(respond, "content_type"),
      .location = text_at(redirect, "to"),
  };
  const json_t *actions = json_object_get(from, "actions");
  if (actions && (route->actions = neap_config_actions(box, actions)) == NULL) return false;
  return read_match(box, json_object_get(from, "match"), &route->match) &&
         read_edits(box, json_object_get(from, "request"), &route->request) &&
         read_edits(box, json_object_get(from, "response"), &route->response);
}

static bool read_routes(neap_config_box *box, const json_t *list) {
  neap_config_route *routes = array_for(box, list, sizeof *routes, &box->config.route_count);
  box->config.routes = routes;
  for (size_t i = 0; routes && i < box->config.route_count; i++)
    if (!read_route(box, json_array_get(list, i), &routes[i])) return false;
  return routes != NULL;
}

/* --- the rest --- */

static const char *access_log_of(const char *text) {
  if (strcmp(text, "off") == 0) return "";
  return strcmp(text, "stdout") == 0 ? "-" : text;
}

int neap_config_read(neap_config_box *box, neap_err *err) {
  json_error_t where;
  box->tree = json_loads(box->json, 0, &where);
  if (box->tree == NULL) return neap_fail(err, NEAP_EINVAL, "configuration is not JSON: %s", where.text);
  const json_t *log = json_object_get(box->tree, "log"), *engine = json_object_get(box->tree, "engine");
  box->config.access_log = access_log_of(text_at(log, "access"));
  box->config.access_combined = strcmp(text_at(log, "format"), "combined") == 0;
  box->config.workers = (uint32_t)number_at(engine, "workers");
  box->config.grace_ms = number_at(engine, "grace");
  box->config.name_servers =
      texts_of(box, json_object_get(engine, "name_servers"), &box->config.name_server_count);
  if (box->config.name_servers == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  const json_t *control = json_object_get(box->tree, "control"),
               *reload = json_object_get(box->tree, "reload");
  box->config.control_socket = text_at(control, "socket");
  box->config.control_mode = (uint32_t)number_at(control, "mode");
  const json_t *admin = json_object_get(box->tree, "admin");
  box->config.admin_address = text_at(admin, "address");
  box->config.admin_token = text_at(admin, "token");
  box->config.reload_watch = true_at(reload, "watch");
  box->config.reload_dry_run = true_at(reload, "dry_run");
  box->config.reload_keep = (uint32_t)number_at(reload, "keep");
  box->config.hash = neap_hash_bytes(box->json, strlen(box->json));
  if (!read_listeners(box, json_object_get(box->tree, "listeners")) || !read_caches(box) ||
      !read_pools(box, json_object_get(box->tree, "pools")) ||
      !neap_config_read_tables(box, json_object_get(box->tree, "tables")) ||
      !read_routes(box, json_object_get(box->tree, "routes")))
    return neap_fail(err, NEAP_ENOMEM, "out of memory");
  return 0;
}
