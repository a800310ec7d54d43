/* The settings of a Redis tier: checked, copied, put into what requests are made of. */
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "tier/redis.h"
#include "tier/redis_scripts.h"

void neap_tier_redis_options_init(neap_tier_redis_options *options) {
  neap_redis_options redis;
  neap_redis_options_init(&redis);
  *options = (neap_tier_redis_options){.connections = redis.connections,
                                       .connect_timeout_ms = redis.connect_timeout_ms,
                                       .stall_ms = redis.stall_ms,
                                       .backoff_min_ms = redis.backoff_min_ms,
                                       .backoff_max_ms = redis.backoff_max_ms,
                                       .prefix = "neap:",
                                       .ns = "",
                                       .lease_ms = 5000,
                                       .tombstone_ms = 30000,
                                       .heartbeat_ms = 1000,
                                       .max_staleness_ms = 3000,
                                       .max_object = 64u << 20};
}

static int check(const neap_tier_redis_options *options, neap_err *err) {
  size_t count = 0;
  while (options->addresses && options->addresses[count]) count++;
  if (count == 0 || count > NEAP_REDIS_ADDRESSES_MAX)
    return neap_fail(err, NEAP_EINVAL, "addresses of a redis tier: 1 to %d", NEAP_REDIS_ADDRESSES_MAX);
  if ((unsigned)options->layout > NEAP_TIER_REDIS_CLUSTER)
    return neap_fail(err, NEAP_EINVAL, "layout of a redis tier is none");
  if (options->prefix == NULL || strlen(options->prefix) > 100 || options->ns == NULL)
    return neap_fail(err, NEAP_EINVAL, "prefix of a redis tier: at most 100 bytes");
  if (options->tombstone_ms < options->lease_ms)
    return neap_fail(err, NEAP_EINVAL, "tombstone_ms of a redis tier is less than lease_ms");
  if (options->max_staleness_ms <= options->heartbeat_ms)
    return neap_fail(err, NEAP_EINVAL, "max_staleness_ms of a redis tier is not more than heartbeat_ms");
  if (options->lease_ms == 0 || options->heartbeat_ms == 0)
    return neap_fail(err, NEAP_EINVAL, "lease_ms and heartbeat_ms of a redis tier are at least 1");
  if (options->max_object == 0 || options->max_object > NEAP_CODEC_OBJECT_MAX)
    return neap_fail(err, NEAP_EINVAL, "max_object of a redis tier: 1 byte to 1 GiB");
  return 0;
}

/* A copy that lives as long as the settings. NULL stays NULL. */
static const char *keep(neap_redis_config *config, const char *text, bool *failed) {
  if (text == NULL) return NULL;
  char *copy = config->text_count < NEAP_REDIS_TEXTS ? strdup(text) : NULL;
  if (copy)
    config->texts[config->text_count++] = copy;
  else
    *failed = true;
  return copy;
}

static int copy_texts(neap_redis_config *config, const neap_tier_redis_options *from) {
  neap_tier_redis_options *to = &config->options;
  bool failed = false;
  for (size_t i = 0; from->addresses[i]; i++)
    config->addresses[i] = keep(config, from->addresses[i], &failed);
  to->addresses = config->addresses;
  to->group = keep(config, from->group, &failed);
  to->user = keep(config, from->user, &failed);
  to->password = keep(config, from->password, &failed);
  to->sentinel_user = keep(config, from->sentinel_user, &failed);
  to->sentinel_password = keep(config, from->sentinel_password, &failed);
  to->tls_ca_file = keep(config, from->tls_ca_file, &failed);
  to->tls_server_name = keep(config, from->tls_server_name, &failed);
  to->tls_certificate_file = keep(config, from->tls_certificate_file, &failed);
  to->tls_key_file = keep(config, from->tls_key_file, &failed);
  to->prefix = keep(config, from->prefix, &failed);
  to->ns = keep(config, from->ns, &failed);
  return failed ? NEAP_ENOMEM : 0;
}

#define TAKE(member)                                                                                         \
  if (from->member) to->member = from->member

static void fill_client(neap_redis_config *config) {
  static const neap_redis_layout layouts[] = {[NEAP_TIER_REDIS_SINGLE] = NEAP_REDIS_SINGLE,
                                              [NEAP_TIER_REDIS_SENTINEL] = NEAP_REDIS_SENTINEL,
                                              [NEAP_TIER_REDIS_CLUSTER] = NEAP_REDIS_CLUSTER};
  const neap_tier_redis_options *from = &config->options;
  neap_redis_options *to = &config->redis;
  neap_redis_options_init(to);
  to->layout = layouts[from->layout];
  to->addresses = config->addresses;
  to->group = from->group;
  to->user = from->user;
  to->password = from->password;
  to->sentinel_user = from->sentinel_user;
  to->sentinel_password = from->sentinel_password;
  to->client_name = "neap";
  to->database = from->database;
  TAKE(connections);
  TAKE(connect_timeout_ms);
  TAKE(stall_ms);
  TAKE(backoff_min_ms);
  TAKE(backoff_max_ms);
  to->max_reply_bytes = from->max_object + (1u << 20);
  to->max_request_bytes = NEAP_MAX(to->max_request_bytes, 2 * from->max_object);
  config->tls = (neap_redis_tls){.ca_file = from->tls_ca_file,
                                 .server_name = from->tls_server_name,
                                 .certificate_file = from->tls_certificate_file,
                                 .key_file = from->tls_key_file};
  if (from->tls) to->tls = &config->tls;
}

static void fill_names(neap_redis_config *config) {
  snprintf(config->channel, sizeof config->channel, "%sevents", config->options.prefix);
  snprintf(config->epoch_key, sizeof config->epoch_key, "%sepoch", config->options.prefix);
  snprintf(config->prefix, sizeof config->prefix, "%sk:", config->options.prefix);
  neap_redis_script_init(&config->get, neap_redis_get);
  neap_redis_script_init(&config->fill, neap_redis_fill);
  neap_redis_script_init(&config->set, neap_redis_set);
  neap_redis_script_init(&config->delete, neap_redis_delete);
  neap_redis_script_init(&config->clear, neap_redis_clear);
  neap_redis_script_init(&config->exchange, neap_redis_exchange);
  neap_redis_script_init(&config->take, neap_redis_take);
}

int neap_redis_config_create(neap_tiers *tiers, const neap_tier_redis_options *options,
                             const neap_tier_codec *codec, neap_redis_config **out, neap_err *err) {
  int code = check(options, err);
  if (code) return code;
  neap_redis_config *config = calloc(1, sizeof *config);
  if (config == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  config->tiers = tiers;
  config->options = *options;
  config->codec = codec && codec->options ? *codec->options : neap_codec_options_default;
  config->codec.max_object = (uint32_t)options->max_object;
  if (codec && codec->keyring) config->keyring = neap_keyring_ref(codec->keyring);
  if (codec && codec->dictionaries) config->dictionaries = neap_dictionaries_ref(codec->dictionaries);
  if (copy_texts(config, options)) {
    neap_redis_config_destroy(config);
    return neap_fail(err, NEAP_ENOMEM, "out of memory");
  }
  fill_client(config);
  fill_names(config);
  *out = config;
  return 0;
}

void neap_redis_config_destroy(neap_redis_config *config) {
  while (config->text_count > 0) free(config->texts[--config->text_count]);
  neap_keyring_unref(&config->keyring);
  neap_dictionaries_unref(&config->dictionaries);
  free(config);
}
