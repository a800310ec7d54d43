/* The tiers of the HTTP cache, from canonical JSON: what lua/neap/tiers.lua has checked. */
#include <string.h>

#include "base/hash.h"
#include "script/config_json.h"

/* NULL where it is not said. */
static const char *maybe(const json_t *object, const char *key) {
  return json_string_value(json_object_get(object, key));
}

static neap_config_tier tier_of(const json_t *from) {
  const json_t *breaker = json_object_get(from, "breaker");
  return (neap_config_tier){
      .set = from != NULL,
      .ttl_ms = number_at(from, "ttl"),
      .timeout_ms = number_at(from, "timeout"),
      .max_object = number_at(from, "max_object"),
      .breaker_min = (uint32_t)number_at(breaker, "min_requests"),
      .breaker_percent = (uint32_t)(json_number_value(json_object_get(breaker, "rate")) * 100 + 0.5),
      .breaker_window_ms = (uint32_t)number_at(breaker, "window"),
      .breaker_open_ms = (uint32_t)number_at(breaker, "open"),
      .breaker_open_max_ms = (uint32_t)number_at(breaker, "max_open"),
  };
}

static neap_config_redis_layout layout_of(const char *text) {
  if (strcmp(text, "sentinel") == 0) return NEAP_CONFIG_REDIS_SENTINEL;
  return strcmp(text, "cluster") == 0 ? NEAP_CONFIG_REDIS_CLUSTER : NEAP_CONFIG_REDIS_SINGLE;
}

static bool read_redis(neap_config_box *box, const json_t *from, neap_config_redis *redis) {
  size_t count;
  *redis = (neap_config_redis){
      .tier = tier_of(from),
      .layout = layout_of(text_at(from, "layout")),
      .addresses = texts_of(box, json_object_get(from, "addresses"), &count), /* one more than there are */
      .group = maybe(from, "group"),
      .user = maybe(from, "user"),
      .password = maybe(from, "password"),
      .sentinel_user = maybe(from, "sentinel_user"),
      .sentinel_password = maybe(from, "sentinel_password"),
      .ca_file = maybe(from, "ca_file"),
      .server_name = maybe(from, "server_name"),
      .certificate_file = maybe(from, "certificate_file"),
      .key_file = maybe(from, "key_file"),
      .database = (uint32_t)number_at(from, "database"),
      .connections = (uint32_t)number_at(from, "connections"),
      .tls = true_at(from, "tls"),
      .connect_timeout_ms = number_at(from, "connect_timeout"),
      .prefix = text_at(from, "prefix"),
  };
  return redis->addresses != NULL;
}

static neap_config_cdn cdn_of(const json_t *from) {
  return (neap_config_cdn){.tier = tier_of(from),
                           .url = text_at(from, "url"),
                           .bearer = maybe(from, "bearer"),
                           .header = maybe(from, "secret_header"),
                           .surrogate = maybe(from, "surrogate"),
                           .purge_method = text_at(from, "purge_method")};
}

bool neap_config_read_tiers(neap_config_box *box, const json_t *from) {
  neap_config_tiers *tiers = &box->config.tiers;
  *tiers = (neap_config_tiers){.enabled = true_at(from, "enabled"),
                               .through = strcmp(text_at(from, "mode"), "through") == 0,
                               .local = strcmp(text_at(from, "consistency"), "local") == 0,
                               .soft_timeout_ms = number_at(from, "soft_timeout"),
                               .negative_ttl_ms = number_at(from, "negative_ttl"),
                               .cdn = cdn_of(json_object_get(from, "cdn"))};
  if (!read_redis(box, json_object_get(from, "redis"), &tiers->redis)) return false;
  char *text = json_dumps(from, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
  if (text == NULL) return from == NULL;
  tiers->hash = neap_hash_bytes(text, strlen(text));
  free(text);
  return true;
}

/* --- keys of RESP ports */

static neap_config_mode mode_of(const char *text) {
  if (strcmp(text, "behind") == 0) return NEAP_CONFIG_BEHIND;
  return strcmp(text, "around") == 0 ? NEAP_CONFIG_AROUND : NEAP_CONFIG_THROUGH;
}

static neap_config_consistency consistency_of(const char *text) {
  if (strcmp(text, "local") == 0) return NEAP_CONFIG_LOCAL;
  return strcmp(text, "strong") == 0 ? NEAP_CONFIG_STRONG : NEAP_CONFIG_EVENTUAL;
}

void neap_config_read_keys(neap_config_box *box, const json_t *from) {
  neap_config_keys *keys = &box->config.keys_tiers;
  *keys = (neap_config_keys){.tiers = (uint32_t)number_at(from, "tiers"),
                             .mode = mode_of(text_at(from, "mode")),
                             .consistency = consistency_of(text_at(from, "consistency")),
                             .prefix = text_at(from, "prefix"),
                             .timeout_ms = number_at(from, "tier_timeout"),
                             .failures_shown = strcmp(text_at(from, "on_failure"), "error") == 0};
  const uint64_t parts[] = {keys->tiers,           keys->mode,
                            keys->consistency,     neap_hash_bytes(keys->prefix, strlen(keys->prefix)),
                            keys->timeout_ms,      keys->failures_shown,
                            box->config.tiers.hash};
  keys->hash = keys->tiers ? neap_hash_bytes((const char *)parts, sizeof parts) : 0;
}
