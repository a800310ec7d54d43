/* Keys that something is under way for, and the rules of what may go into memory (R1, R4, R5). */
#include <stdlib.h>

#include "tier/impl.h"

uint64_t neap_tier_hash(const neap_tiers *tiers, neap_view key) {
  return neap_keyed_hash(&tiers->hash_key, key.ptr, key.size);
}

neap_tier_shard *neap_tier_shard_of(neap_tiers *tiers, uint64_t hash) {
  return &tiers->shards[hash >> 58];
}

static neap_tier_key **bucket_of(neap_tier_shard *shard, uint64_t hash) {
  return &shard->buckets[hash % NEAP_TIER_SHARD_BUCKETS];
}

neap_tier_key *neap_tier_key_find(neap_tier_shard *shard, uint64_t hash, neap_view view) {
  for (neap_tier_key *key = *bucket_of(shard, hash); key; key = key->next)
    if (key->hash == hash && key->size == view.size && memcmp(key->bytes, view.ptr, view.size) == 0)
      return key;
  return NULL;
}

/* --- keys that are kept for their throttle alone, the oldest first */

static void linger(neap_tier_shard *shard, neap_tier_key *key) {
  key->lingers = true;
  key->older = shard->youngest;
  key->younger = NULL;
  if (key->older)
    key->older->younger = key;
  else
    shard->oldest = key;
  shard->youngest = key;
  shard->lingering++;
}

static void stop_lingering(neap_tier_shard *shard, neap_tier_key *key) {
  key->lingers = false;
  if (key->older)
    key->older->younger = key->younger;
  else
    shard->oldest = key->younger;
  if (key->younger)
    key->younger->older = key->older;
  else
    shard->youngest = key->older;
  shard->lingering--;
}

static void forget(neap_tier_shard *shard, neap_tier_key *key) {
  neap_tier_key **place = bucket_of(shard, key->hash);
  while (*place != key) place = &(*place)->next;
  *place = key->next;
  free(key);
}

static void forget_old(neap_tier_shard *shard, uint64_t now_ms) {
  for (neap_tier_key *key; (key = shard->oldest) != NULL;) {
    if (key->retry_ms > now_ms && shard->lingering <= NEAP_TIER_LINGER) return;
    stop_lingering(shard, key);
    forget(shard, key);
  }
}

/* --- use */

/* What memory, or what is remembered of deletes, has already seen of a key. */
static uint64_t floor_of(neap_tiers *tiers, neap_view key) {
  neap_tier_negative negative = {0};
  const neap_entry *entry;
  neap_entry_info info;
  neap_tier_negative_find(tiers, key, &negative);
  uint64_t floor = negative.version;
  neap_cache_enter(tiers->memory);
  if (neap_store_find(tiers->memory, key, &entry) == 0) {
    neap_entry_info_get(tiers->memory, entry, &info);
    floor = NEAP_MAX(floor, info.version);
  }
  neap_cache_leave(tiers->memory);
  return floor;
}

neap_tier_key *neap_tier_key_use(neap_tiers *tiers, neap_tier_shard *shard, uint64_t hash, neap_view view) {
  neap_tier_key *key = neap_tier_key_find(shard, hash, view);
  if (key) {
    if (key->lingers) stop_lingering(shard, key);
    key->users++;
    return key;
  }
  key = calloc(1, sizeof *key + view.size);
  if (key == NULL) return NULL;
  *key = (neap_tier_key){.hash = hash, .users = 1, .size = (uint16_t)view.size};
  memcpy(key->bytes, view.ptr, view.size);
  if (neap_tier_rules(tiers, NEAP_TIER_LEAVING)) key->floor = floor_of(tiers, view);
  key->next = *bucket_of(shard, hash);
  *bucket_of(shard, hash) = key;
  return key;
}

void neap_tier_key_leave(neap_tier_shard *shard, neap_tier_key *key, uint64_t now_ms) {
  if (--key->users > 0) return;
  if (key->retry_ms > now_ms)
    linger(shard, key);
  else
    forget(shard, key);
  forget_old(shard, now_ms);
}

/* --- rules */

static void close_lookups(neap_tiers *tiers, neap_tier_key *key) {
  for (neap_tier_lookup *lookup = key->lookups; lookup; lookup = lookup->next)
    lookup->closed = neap_tier_rules(tiers, NEAP_TIER_CLOSED);
}

void neap_tier_key_written(neap_tiers *tiers, neap_tier_key *key, uint64_t version) {
  if (neap_tier_rules(tiers, NEAP_TIER_FLOORS)) key->floor = NEAP_MAX(key->floor, version);
  key->retry_ms = 0;
  close_lookups(tiers, key);
  for (neap_tier_lookup *lookup = key->lookups; lookup && version == 0; lookup = lookup->next)
    lookup->killed = true;
}

void neap_tier_key_seen(neap_tiers *tiers, neap_tier_key *key, uint64_t version) {
  if (!neap_tier_rules(tiers, NEAP_TIER_LEAVING)) return;
  if (version > key->floor) close_lookups(tiers, key); /* one sent earlier may bring something older */
  key->floor = NEAP_MAX(key->floor, version);
}

bool neap_tier_key_commit(neap_tiers *tiers, neap_tier_key *key, neap_tier_fill *fill, uint64_t clears,
                          neap_entry **entry) {
  if (fill->fill == NULL) return false;
  if (fill->version < key->floor || clears != atomic_load(&tiers->clears)) {
    fill->code = NEAP_EVERSION;
    neap_fill_abort(&fill->fill);
    return false;
  }
  fill->code = neap_fill_commit(&fill->fill, entry);
  if (fill->code) return false;
  neap_tier_key_seen(tiers, key, fill->version); /* it may be evicted */
  key->retry_ms = 0;
  if (tiers->negatives) neap_cache_remove(tiers->negatives, neap_tier_key_view(key));
  return true;
}

/* --- what nobody has */

void neap_tier_key_negative(neap_tiers *tiers, neap_tier_key *key, const neap_tier_negative *what,
                            uint64_t floor_ms, uint64_t now_ms) {
  if (tiers->negatives == NULL) return;
  uint64_t answer_ms = what->answers_ms > now_ms ? what->answers_ms - now_ms : 0;
  const neap_put_options put = {.ttl_ms = NEAP_MAX(NEAP_MAX(answer_ms, floor_ms), 1),
                                .version = what->version,
                                .meta = {(const char *)what, sizeof *what}};
  neap_cache_put(tiers->negatives, neap_tier_key_view(key), (neap_view){"", 0}, &put);
}

bool neap_tier_negative_find(neap_tiers *tiers, neap_view key, neap_tier_negative *out) {
  const neap_entry *entry;
  if (tiers->negatives == NULL) return false;
  neap_cache_enter(tiers->negatives);
  bool found = neap_cache_get(tiers->negatives, key, &entry) == 0;
  if (found) memcpy(out, neap_entry_meta(entry).ptr, sizeof *out);
  neap_cache_leave(tiers->negatives);
  return found;
}
