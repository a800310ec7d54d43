/* Redis as a tier from inside: what redis.c (calls) and redis_channel.c (what others wrote) share. */
#ifndef NEAP_TIER_REDIS_H
#define NEAP_TIER_REDIS_H

#include <stdatomic.h>

#include "remote/remote.h"
#include "tier/tier.h"

enum { NEAP_REDIS_TEXTS = 32 };

/* Shared by all ports. */
typedef struct neap_redis_config {
  neap_tiers *tiers;
  neap_tier_redis_options options; /* its texts are ours */
  neap_redis_options redis;
  neap_redis_tls tls;
  const char *addresses[NEAP_REDIS_ADDRESSES_MAX + 1];
  char *texts[NEAP_REDIS_TEXTS]; /* copies */
  size_t text_count;
  neap_codec_options codec;
  neap_keyring *keyring;
  neap_dictionaries *dictionaries;
  char channel[128], epoch_key[128], prefix[120]; /* prefix: of records */
  neap_redis_script get, fill, set, delete, clear, exchange, take;
  _Atomic uint64_t epoch; /* of the last clear that is known */
  _Atomic bool epoch_known;
  _Atomic bool listened; /* a port listens for all */
} neap_redis_config;

typedef struct neap_redis_errand neap_redis_errand;

/* One port's. */
typedef struct neap_redis_tier {
  neap_redis_config *config;
  neap_tiers_port *port;
  neap_loop *loop;
  neap_redis *redis;
  neap_codec *codec;
  neap_redis_errand *waiting; /* for the epoch to be known */
  bool asking_epoch;
  uint64_t token; /* of the last lease */
  /* the channel: redis_channel.c */
  neap_redis_watch *watch;
  neap_timer beat;
  uint64_t id, nonce; /* of this port, of its last heartbeat */
  uint64_t sent_ms;   /* when that was */
  bool outstanding;
} neap_redis_tier;

int neap_redis_config_create(neap_tiers *tiers, const neap_tier_redis_options *options,
                             const neap_tier_codec *codec, neap_redis_config **out, neap_err *err);
void neap_redis_config_destroy(neap_redis_config *config);

/* Asks for the epoch; what waits goes on when it is there. */
void neap_redis_tier_ask_epoch(neap_redis_tier *self);
void neap_redis_tier_learn_epoch(neap_redis_config *config, uint64_t epoch);

void neap_redis_channel_open(neap_redis_tier *self);
void neap_redis_channel_close(neap_redis_tier *self);

#endif
