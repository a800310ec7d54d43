/* Expiry: reads check the millisecond, the wheel gives the memory back. */
#include "store/impl.h"

uint64_t neap_expiry_of(const neap_cache *cache, uint64_t now, uint64_t ttl_ms) {
  if (ttl_ms == NEAP_TTL_DEFAULT)
    ttl_ms = cache->default_ttl_ms != 0 ? cache->default_ttl_ms : NEAP_TTL_NEVER;
  return ttl_ms < NEAP_NEVER - now ? now + ttl_ms : NEAP_NEVER;
}

void neap_expiry_unfile(neap_cache *cache, uint32_t number) {
  neap_slot *slot = &cache->slots[number];
  uint32_t tally = atomic_load_explicit(&slot->tally, memory_order_relaxed);
  if (!(tally & NEAP_TALLY_TIMED)) return;
  neap_wheel_unfile(&cache->wheel, number);
  atomic_store_explicit(&slot->tally, tally & ~NEAP_TALLY_TIMED, memory_order_relaxed);
}

/* Without room for the links (a touch cannot fail for that) the entry still expires; it is evicted some day.
 */
void neap_expiry_file(neap_cache *cache, uint32_t number, uint32_t tick) {
  neap_expiry_unfile(cache, number);
  if (tick == NEAP_TICK_NEVER || !atomic_load_explicit(&cache->timed, memory_order_acquire)) return;
  neap_slot *slot = &cache->slots[number];
  neap_wheel_file(&cache->wheel, number, tick);
  atomic_fetch_or_explicit(&slot->tally, NEAP_TALLY_TIMED, memory_order_relaxed);
}

static uint64_t due(void *user, uint32_t slot) {
  neap_cache *cache = user;
  neap_entry *entry = neap_slot_live(&cache->slots[slot]);
  return entry == NULL ? 0 : neap_tick_of(neap_life_expires(neap_entry_life(entry)));
}

/* The wheel has let go of a slot that is due. Where its entry has gone already, its REMOVE is under way;
 * where it has been replaced or touched meanwhile, that event will file it again. */
static void told(void *user, uint32_t number) {
  neap_cache *cache = user;
  neap_slot *slot = &cache->slots[number];
  atomic_fetch_and_explicit(&slot->tally, ~NEAP_TALLY_TIMED, memory_order_relaxed);
  neap_entry *entry = neap_slot_live(slot);
  if (entry == NULL || !neap_entry_expired(cache, entry)) return;
  if (!neap_cache_unlink(cache, neap_cache_hash(cache, neap_entry_key(entry)), entry)) return;
  neap_events_gone(cache, number);
  neap_seat_count(neap_seat_get(cache), NEAP_COUNT_expirations, 1);
}

uint32_t neap_expiry_run(neap_cache *cache, neap_seat *seat, uint32_t budget) {
  const neap_wheel_calls calls = {cache, due, told};
  neap_seat_enter(cache, seat);
  uint32_t count = neap_wheel_advance(&cache->wheel, cache->now / NEAP_TICK_MS, budget, &calls);
  neap_events_flush(cache);
  neap_seat_leave(seat);
  return count;
}
