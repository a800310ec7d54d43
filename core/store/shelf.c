/* The shelf: what is in the cache and unknown to the policy, since it was fetched before anybody asked. */
#include "store/impl.h"
#include "store/lookup.h"
#include "store/store.h"

/* In KEYS mode a key is eight bytes of a number. */
static neap_view view_of(const uint64_t *key) {
  return (neap_view){(const char *)key, sizeof *key};
}

bool neap_store_holds(neap_cache *cache, uint64_t key, uint64_t hash) {
  neap_seat *seat = neap_seat_get(cache);
  neap_seat_enter(cache, seat);
  bool there = neap_index_find(neap_cache_shard(cache, hash), hash, view_of(&key)) != NULL;
  neap_seat_leave(seat);
  return there;
}

static bool drop_unused(neap_cache *cache, neap_view key, uint64_t hash) {
  neap_seat *seat = neap_seat_get(cache);
  neap_ring_ensure(cache, seat, NEAP_PUT_WORDS);
  neap_seat_enter(cache, seat);
  neap_entry *entry = neap_index_find(neap_cache_shard(cache, hash), hash, key);
  bool unused = entry != NULL && (neap_entry_life(entry) & NEAP_LIFE_UNUSED);
  if (unused) unused = neap_cache_remove_entry(cache, entry) == 0;
  neap_seat_leave(seat);
  return unused;
}

bool neap_store_drop_unused(neap_cache *cache, uint64_t key, uint64_t hash) {
  return drop_unused(cache, view_of(&key), hash);
}

bool neap_store_drop_unused_key(neap_cache *cache, neap_view key) {
  return drop_unused(cache, key, neap_cache_hash(cache, key));
}

static neap_entry *unused_at(neap_cache *cache, uint32_t slot) {
  neap_entry *entry = neap_slot_live(&cache->slots[slot]);
  return entry != NULL && (neap_entry_life(entry) & NEAP_LIFE_UNUSED) ? entry : NULL;
}

bool neap_store_take_unused(neap_cache *cache, const neap_entry *used) {
  neap_entry *entry = (neap_entry *)used;
  if (!neap_shelf_take(cache, entry)) return false;
  neap_seat *seat = neap_seat_get(cache);
  neap_ring_ensure(cache, seat, NEAP_PUT_WORDS);
  uint64_t size = NEAP_MIN(neap_entry_charged(cache, entry), (uint64_t)INT32_MAX);
  neap_ring_push(seat, &(neap_record){.op = NEAP_OP_USE,
                                      .slot = entry->slot,
                                      .size = (uint32_t)size,
                                      .tick = neap_tick_of(neap_life_expires(neap_entry_life(entry))),
                                      .hash = neap_cache_hash(cache, neap_entry_key(entry))});
  return true;
}

bool neap_store_is_unused(const neap_entry *entry) {
  return neap_entry_life(entry) & NEAP_LIFE_UNUSED;
}

/* Rare: a look at every slot is nothing beside a cache that has shrunk to its shelf. */
bool neap_shelf_evict(neap_cache *cache, neap_seat *seat) {
  if (atomic_load_explicit(&cache->shelved, memory_order_relaxed) == 0) return false;
  uint32_t high = atomic_load(&cache->slots_high);
  bool done = false;
  neap_seat_enter(cache, seat);
  for (uint32_t slot = NEAP_SLOT_FIRST; slot < high && !done; slot++) {
    neap_entry *entry = unused_at(cache, slot);
    if (entry == NULL || atomic_load_explicit(&entry->refs, memory_order_relaxed) > 1) continue;
    done = neap_cache_unlink(cache, neap_cache_hash(cache, neap_entry_key(entry)), entry);
    if (done) neap_events_gone(cache, slot);
  }
  neap_events_flush(cache);
  neap_seat_leave(seat);
  return done;
}
