#include "store/slots.h"

#include "base/pages.h"
#include "store/impl.h"

static void set_next(neap_cache *cache, uint32_t slot, uint32_t next) {
  atomic_store_explicit(&cache->slots[slot].seen, next, memory_order_relaxed);
}

static uint32_t next_of(const neap_cache *cache, uint32_t slot) {
  return atomic_load_explicit(&cache->slots[slot].seen, memory_order_relaxed);
}

void neap_slot_list_push(neap_cache *cache, neap_slot_list *list, uint32_t slot) {
  set_next(cache, slot, 0);
  if (list->count++ == 0)
    list->first = slot;
  else
    set_next(cache, list->last, slot);
  list->last = slot;
}

uint32_t neap_slot_list_pop(neap_cache *cache, neap_slot_list *list) {
  uint32_t slot = list->first;
  list->first = next_of(cache, slot);
  list->count--;
  return slot;
}

/* Bytes of whole pages that the columns take for slots below `high`. */
static uint64_t column_bytes(uint64_t high, bool timed) {
  return neap_pages_round(high * sizeof(neap_slot)) +
         (timed ? neap_pages_round(high * sizeof(neap_wheel_link)) : 0);
}

static bool charge_tables(neap_cache *cache, uint64_t bytes) {
  if (bytes == 0 || cache->mode == NEAP_STORE_KEYS) return true;
  if (!neap_room_reserve(cache, bytes, 0)) return false;
  atomic_fetch_add_explicit(&cache->table_bytes, bytes, memory_order_relaxed);
  return true;
}

/* Up to a hand of slots that were never used. Under the slots' lock. */
static uint32_t raise_high(neap_cache *cache, uint32_t wanted, uint32_t *first) {
  uint32_t high = atomic_load_explicit(&cache->slots_high, memory_order_relaxed);
  uint32_t count = NEAP_MIN(wanted, (uint32_t)cache->slot_end - high);
  uint64_t more = column_bytes(high + count, cache->timed) - column_bytes(high, cache->timed);
  if (!charge_tables(cache, more)) return 0;
  atomic_store_explicit(&cache->slots_high, high + count, memory_order_release);
  *first = high;
  return count;
}

int neap_slots_ensure(neap_cache *cache, neap_seat *seat) {
  if (NEAP_LIKELY(seat->hand_count > 0)) return 0;
  pthread_mutex_lock(&cache->slots_lock);
  while (cache->slots_free.count > 0 && seat->hand_count < NEAP_HAND)
    seat->hand[seat->hand_count++] = neap_slot_list_pop(cache, &cache->slots_free);
  if (seat->hand_count == 0) {
    uint32_t first = 0, count = raise_high(cache, NEAP_HAND, &first);
    while (count > 0) seat->hand[seat->hand_count++] = first + --count; /* the least on top */
  }
  pthread_mutex_unlock(&cache->slots_lock);
  return seat->hand_count > 0 ? 0 : NEAP_EROOM;
}

uint32_t neap_slots_take(neap_seat *seat) {
  return seat->hand[--seat->hand_count];
}

void neap_slots_return(neap_cache *cache, neap_slot_list *list) {
  if (list->count == 0) return;
  pthread_mutex_lock(&cache->slots_lock);
  neap_slot_list *free_list = &cache->slots_free;
  if (free_list->count == 0)
    free_list->first = list->first;
  else
    set_next(cache, free_list->last, list->first);
  free_list->last = list->last;
  free_list->count += list->count;
  pthread_mutex_unlock(&cache->slots_lock);
  *list = (neap_slot_list){0};
}

uint64_t neap_slots_timed_bytes(neap_cache *cache) {
  uint64_t high = atomic_load_explicit(&cache->slots_high, memory_order_relaxed) + NEAP_HAND;
  return column_bytes(high, true) - column_bytes(high, false);
}

int neap_slots_ensure_timed(neap_cache *cache) {
  if (NEAP_LIKELY(atomic_load_explicit(&cache->timed, memory_order_acquire))) return 0;
  int rc = 0;
  pthread_mutex_lock(&cache->slots_lock);
  if (!cache->timed) {
    uint32_t high = atomic_load_explicit(&cache->slots_high, memory_order_relaxed);
    if (charge_tables(cache, column_bytes(high, true) - column_bytes(high, false)))
      cache->timed = true;
    else
      rc = NEAP_EROOM;
  }
  pthread_mutex_unlock(&cache->slots_lock);
  return rc;
}
