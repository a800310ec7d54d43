/* What others have written: told from outside, kept by the rules of keys.c. */
#include "tier/impl.h"

/* What memory has of a key, unless it is of `version` or newer, is suspect. Under the key's lock. */
static void suspect_older(neap_tiers *tiers, neap_view key, uint64_t version) {
  const neap_entry *entry;
  neap_entry_info info;
  neap_cache_enter(tiers->memory);
  if (neap_store_find(tiers->memory, key, &entry) == 0) {
    neap_entry_info_get(tiers->memory, entry, &info);
    if (version == 0 || info.version < version) neap_store_mark(entry);
  }
  neap_cache_leave(tiers->memory);
}

static void forget_negative(neap_tiers *tiers, neap_view key, uint64_t version) {
  neap_tier_negative known;
  if (neap_tier_negative_find(tiers, key, &known) && (version == 0 || known.version < version))
    neap_cache_remove(tiers->negatives, key);
}

void neap_tier_seen(neap_tiers *tiers, neap_tier_key *key, uint64_t version) {
  if (!neap_tier_rules(tiers, NEAP_TIER_LEAVING)) return;
  neap_tier_key_seen(tiers, key, version);
  suspect_older(tiers, neap_tier_key_view(key), version);
  forget_negative(tiers, neap_tier_key_view(key), version);
}

void neap_tiers_invalidate(neap_tiers *tiers, neap_view view, uint64_t version) {
  neap_check_magic(tiers, NEAP_TIERS_MAGIC);
  uint64_t hash = neap_tier_hash(tiers, view);
  neap_tier_shard *shard = neap_tier_shard_of(tiers, hash);
  pthread_mutex_lock(&shard->lock);
  neap_tier_key *key = neap_tier_key_find(shard, hash, view);
  if (key) neap_tier_key_written(tiers, key, version);
  suspect_older(tiers, view, version);
  forget_negative(tiers, view, version);
  pthread_mutex_unlock(&shard->lock);
}

void neap_tiers_on_deleted(neap_tiers *tiers, void (*deleted)(void *user, neap_view key), void *user) {
  tiers->deleted = deleted;
  tiers->deleted_user = user;
}

void neap_tiers_tell_deleted(neap_tiers *tiers, neap_view key) {
  if (tiers->deleted) tiers->deleted(tiers->deleted_user, key);
}

void neap_tiers_on_written(neap_tiers *tiers, void (*written)(void *user, neap_view key), void *user) {
  tiers->written = written;
  tiers->written_user = user;
}

void neap_tiers_tell_written(neap_tiers *tiers, neap_view key) {
  if (tiers->written) tiers->written(tiers->written_user, key);
}

void neap_tiers_set_fresh(neap_tiers *tiers, uint64_t until_ms, uint64_t now_ms) {
  neap_check_magic(tiers, NEAP_TIERS_MAGIC);
  bool was_blind = now_ms >= atomic_load(&tiers->fresh_until_ms);
  bool missed = was_blind && now_ms < until_ms;
  if (missed) atomic_fetch_add(&tiers->suspects, 1); /* what came in meanwhile */
  atomic_store(&tiers->fresh_until_ms, until_ms);
  if (missed) neap_tiers_tell_written(tiers, (neap_view){"", 0});
}

void neap_tiers_suspect_all(neap_tiers *tiers) {
  neap_check_magic(tiers, NEAP_TIERS_MAGIC);
  atomic_fetch_add(&tiers->suspects, 1);
  neap_tiers_tell_written(tiers, (neap_view){"", 0});
}
