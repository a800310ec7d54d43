/* Events: from the rings of the seats, through the drain state of slots, to the policy in batches.
 *
 * A ring holds 32-bit words in the order of the thread's calls: a HIT is one word, its entry's slot and
 * generation; anything else starts with a word below NEAP_SLOT_FIRST (no slot has such a number) and takes
 * NEAP_RECORD_WORDS. Rings have no common order. What one slot lived through can therefore arrive mixed up,
 * and slots.h says how it is put right: the policy hears of a slot INSERT first and REMOVE last, and of
 * nothing between lives. */
#include "store/impl.h"

_Static_assert(sizeof(neap_record) == NEAP_RECORD_WORDS * sizeof(uint32_t), "a record is whole words");

/* --- pushing
 * ----------------------------------------------------------------------------------------------- */

static uint32_t ring_used(const neap_seat *seat) {
  uint32_t head = atomic_load_explicit((_Atomic uint32_t *)&seat->head, memory_order_relaxed);
  return head - atomic_load_explicit((_Atomic uint32_t *)&seat->tail, memory_order_acquire);
}

/* A hit looks up again when the ring is half full, or full. */
static void set_mark(neap_seat *seat) {
  uint32_t head = atomic_load_explicit(&seat->head, memory_order_relaxed), used = ring_used(seat);
  uint32_t size = seat->mask + 1;
  seat->mark = head + (used < size / 2 ? size / 2 - used : NEAP_MIN(size - used, size / 16));
}

void neap_ring_ensure(neap_cache *cache, neap_seat *seat, uint32_t words) {
  uint32_t size = seat->mask + 1;
  if (NEAP_LIKELY(ring_used(seat) + words <= size)) return;
  pthread_mutex_lock(&cache->maintenance); /* at most one budget of the policy */
  neap_events_drain(cache, seat);
  pthread_mutex_unlock(&cache->maintenance);
  neap_debug_assert(ring_used(seat) + words <= size);
}

void neap_ring_push(neap_seat *seat, const neap_record *record) {
  uint32_t words[NEAP_RECORD_WORDS], head = atomic_load_explicit(&seat->head, memory_order_relaxed);
  memcpy(words, record, sizeof words);
  for (uint32_t i = 0; i < NEAP_RECORD_WORDS; i++) seat->ring[(head + i) & seat->mask] = words[i];
  atomic_store_explicit(&seat->head, head + NEAP_RECORD_WORDS, memory_order_release);
  set_mark(seat);
}

int neap_ring_attend(neap_seat *seat, uint32_t slot) {
  neap_cache *cache = seat->cache;
  uint32_t size = seat->mask + 1;
  if (ring_used(seat) >= size / 2 && pthread_mutex_trylock(&cache->maintenance) == 0) {
    neap_events_drain(cache, seat);
    pthread_mutex_unlock(&cache->maintenance);
  }
  uint32_t head = atomic_load_explicit(&seat->head, memory_order_relaxed);
  if (ring_used(seat) == size) {
    NEAP_COUNT(seat, events_dropped);
    return 0; /* the mark stays: the next hit looks again */
  }
  seat->ring[head & seat->mask] = slot;
  atomic_store_explicit(&seat->head, head + 1, memory_order_release);
  set_mark(seat);
  return 0;
}

/* --- telling
 * ----------------------------------------------------------------------------------------------- */

void neap_events_flush(neap_cache *cache) {
  neap_evict_board *board = cache->evictor->board;
  if (cache->event_count == 0) return;
  board->event_count = cache->event_count;
  board->now_ms = (double)(cache->start_ms + cache->now);
  cache->event_count = 0;
  neap_policy_observe(cache->evictor->policy, board->events, board->event_count);
  atomic_store_explicit(&cache->admit_max, board->admit_max, memory_order_relaxed);
}

static neap_event *next_event(neap_cache *cache) {
  if (cache->event_count == NEAP_EVENTS_MAX) neap_events_flush(cache);
  return &cache->evictor->board->events[cache->event_count++];
}

void neap_events_tell(neap_cache *cache, int32_t kind, uint32_t slot, uint64_t size, uint64_t hash) {
  *next_event(cache) = (neap_event){.what = (int32_t)((uint32_t)kind << NEAP_EVENT_SHIFT | slot),
                                    .size = (int32_t)NEAP_MIN(size, (uint64_t)INT32_MAX),
                                    .hash = neap_hash_double(hash)};
}

/* --- draining
 * ---------------------------------------------------------------------------------------------- */

static uint32_t tally_of(neap_slot *slot) {
  return atomic_load_explicit(&slot->tally, memory_order_relaxed);
}

static void set_tally(neap_slot *slot, uint32_t tally) {
  atomic_store_explicit(&slot->tally, tally, memory_order_relaxed);
}

/* Retires a slot of whose life nothing is under way any more. */
static void retire_if_over(neap_cache *cache, uint32_t slot) {
  uint32_t over = NEAP_TALLY_SEEN | NEAP_TALLY_GONE;
  if ((tally_of(&cache->slots[slot]) & over) == over) neap_epoch_retire(cache, slot);
}

void neap_events_gone(neap_cache *cache, uint32_t number) {
  neap_slot *slot = &cache->slots[number];
  if (tally_of(slot) & NEAP_TALLY_KNOWN) neap_events_tell(cache, NEAP_EVENT_REMOVE, number, 0, 0);
  neap_expiry_unfile(cache, number);
  set_tally(slot, (tally_of(slot) & ~(uint32_t)NEAP_TALLY_KNOWN) | NEAP_TALLY_GONE);
  retire_if_over(cache, number);
}

/* Whether the life that an event speaks of goes on: not so where its slot is dead or free, or has another
 * life. */
static inline bool lives_on(const neap_slot *slot, uint32_t slot_and_generation) {
  uint64_t word = atomic_load_explicit((_Atomic uint64_t *)&slot->word, memory_order_relaxed);
  return (word & NEAP_WORD_LIVE) && neap_word_generation(word) == slot_and_generation >> NEAP_EVENT_SHIFT;
}

/* hot: counts a HIT in the columns. False where it is not for the policy's ears. */
static inline bool note_hit(neap_slot *slot, uint32_t hit, uint32_t now) {
  uint32_t tally = tally_of(slot);
  if (NEAP_UNLIKELY(!lives_on(slot, hit) || !(tally & NEAP_TALLY_KNOWN))) return false;
  if (NEAP_LIKELY((tally + 1) & NEAP_TALLY_COUNT)) set_tally(slot, tally + 1);
  atomic_store_explicit(&slot->seen, now, memory_order_relaxed);
  return true;
}

/* Starts the columns of a slot that the policy is told of. */
static void make_known(neap_cache *cache, const neap_record *record, uint32_t flags) {
  uint32_t number = record->slot & NEAP_SLOT_MASK;
  neap_slot *slot = &cache->slots[number];
  set_tally(slot, (tally_of(slot) & ~(uint32_t)NEAP_TALLY_COUNT) | NEAP_TALLY_KNOWN | flags);
  atomic_store_explicit(&slot->seen, (uint32_t)(cache->now / NEAP_TICK_MS), memory_order_relaxed);
  neap_expiry_file(cache, number, record->tick);
  neap_events_tell(cache, NEAP_EVENT_INSERT, number, record->size, record->hash);
}

static void drain_insert(neap_cache *cache, const neap_record *record) {
  uint32_t number = record->slot & NEAP_SLOT_MASK;
  neap_slot *slot = &cache->slots[number];
  uint32_t tally = tally_of(slot);
  if (!(tally & (NEAP_TALLY_GONE | NEAP_TALLY_KNOWN))) {
    make_known(cache, record, NEAP_TALLY_SEEN);
    return;
  }
  set_tally(slot, tally | NEAP_TALLY_SEEN); /* an update, or its end, was drained before it */
  retire_if_over(cache, number);
}

/* The carrier takes the replaced entry to the retired list: as if it had been that entry's slot all along. Of
 * a slot that has died since the policy hears no more: it may even be on the retired list itself. */
static void drain_update(neap_cache *cache, const neap_record *record) {
  uint32_t number = record->slot & NEAP_SLOT_MASK, tally = tally_of(&cache->slots[number]);
  neap_epoch_retire(cache, record->carrier);
  if (!lives_on(&cache->slots[number], record->slot)) return;
  if (tally & NEAP_TALLY_KNOWN) {
    neap_expiry_file(cache, number, record->tick);
    neap_events_tell(cache, NEAP_EVENT_UPDATE, number, record->size, record->hash);
  } else if (!(tally & NEAP_TALLY_GONE)) { /* on the shelf until now, or its INSERT is still under way */
    make_known(cache, record, 0);
  }
}

/* The policy does not hear of it yet. Its first use, by another thread, may have been drained before. */
static void drain_shelve(neap_cache *cache, const neap_record *record) {
  uint32_t number = record->slot & NEAP_SLOT_MASK, tally = tally_of(&cache->slots[number]);
  if (!(tally & (NEAP_TALLY_GONE | NEAP_TALLY_KNOWN))) {
    tally &= ~(uint32_t)NEAP_TALLY_COUNT;
    neap_expiry_file(cache, number, record->tick);
    tally |= tally_of(&cache->slots[number]) & NEAP_TALLY_TIMED;
  }
  set_tally(&cache->slots[number], tally | NEAP_TALLY_SEEN);
  retire_if_over(cache, number);
}

/* As if it were fetched now. */
static void drain_use(neap_cache *cache, const neap_record *record) {
  uint32_t number = record->slot & NEAP_SLOT_MASK, tally = tally_of(&cache->slots[number]);
  if (!lives_on(&cache->slots[number], record->slot)) return;
  if (tally & (NEAP_TALLY_GONE | NEAP_TALLY_KNOWN)) return;
  neap_events_tell(cache, NEAP_EVENT_MISS, 0, record->size, record->hash);
  make_known(cache, record, 0);
}

static void drain_touch(neap_cache *cache, const neap_record *record, uint32_t now) {
  uint32_t number = record->slot & NEAP_SLOT_MASK;
  if (!note_hit(&cache->slots[number], record->slot, now)) return;
  neap_expiry_file(cache, number, record->tick);
  next_event(cache)->what = (int32_t)number;
}

static void drain_record(neap_cache *cache, const neap_record *record, uint32_t now) {
  switch (record->op) {
  case NEAP_OP_INSERT: drain_insert(cache, record); break;
  case NEAP_OP_UPDATE: drain_update(cache, record); break;
  case NEAP_OP_REMOVE: neap_events_gone(cache, record->slot & NEAP_SLOT_MASK); break;
  case NEAP_OP_MISS: neap_events_tell(cache, NEAP_EVENT_MISS, 0, record->size, record->hash); break;
  case NEAP_OP_TOUCH: drain_touch(cache, record, now); break;
  case NEAP_OP_SHELVE: drain_shelve(cache, record); break;
  case NEAP_OP_USE: drain_use(cache, record); break;
  default: neap_fatal(__FILE__, __LINE__, "a ring holds what is not an event");
  }
}

static bool is_hit(uint32_t word) {
  return (word & NEAP_SLOT_MASK) >= NEAP_SLOT_FIRST;
}

/* hot: drains the HITs from `tail` on up to `end` or to what is none. Returns where it stopped. Hits go all
 * over the columns: those that come `ahead` later are fetched, which must be on the ring, too. 0: none. */
NEAP_INLINE uint32_t drain_run(neap_cache *cache, const neap_seat *seat, uint32_t tail, uint32_t end,
                               uint32_t ahead, uint32_t now) {
  neap_slot *slots = cache->slots;
  neap_event *const events = cache->evictor->board->events, *const full = events + NEAP_EVENTS_MAX;
  neap_event *next = events + cache->event_count;
  const uint32_t *ring = seat->ring, mask = seat->mask;
  for (uint32_t word; tail != end && is_hit(word = ring[tail & mask]); tail++) {
    if (ahead != 0) __builtin_prefetch(&slots[ring[(tail + ahead) & mask] & NEAP_SLOT_MASK], 1);
    uint32_t slot = word & NEAP_SLOT_MASK;
    if (!note_hit(&slots[slot], word, now)) continue;
    if (NEAP_UNLIKELY(next == full)) {
      cache->event_count = NEAP_EVENTS_MAX;
      neap_events_flush(cache);
      next = events;
    }
    (next++)->what = (int32_t)slot;
  }
  cache->event_count = (int32_t)(next - events);
  return tail;
}

/* The same up to `head`. */
static uint32_t drain_hits(neap_cache *cache, const neap_seat *seat, uint32_t tail, uint32_t head,
                           uint32_t now) {
  enum { AHEAD = 24 };
  if (head - tail > AHEAD) {
    uint32_t stop = head - AHEAD;
    tail = drain_run(cache, seat, tail, stop, AHEAD, now);
    if (tail != stop) return tail;
  }
  return drain_run(cache, seat, tail, head, 0, now);
}

static void drain_seat(neap_cache *cache, neap_seat *seat, uint32_t now) {
  uint32_t head = atomic_load_explicit(&seat->head, memory_order_acquire);
  uint32_t tail = atomic_load_explicit(&seat->tail, memory_order_relaxed);
  while ((tail = drain_hits(cache, seat, tail, head, now)) != head) {
    uint32_t words[NEAP_RECORD_WORDS];
    for (uint32_t i = 0; i < NEAP_RECORD_WORDS; i++) words[i] = seat->ring[(tail + i) & seat->mask];
    neap_record record;
    memcpy(&record, words, sizeof record);
    drain_record(cache, &record, now);
    tail += NEAP_RECORD_WORDS;
  }
  atomic_store_explicit(&seat->tail, tail, memory_order_release);
}

void neap_events_drain(neap_cache *cache, neap_seat *self) {
  cache->now = neap_cache_now(cache);
  neap_seat_enter(cache, self);
  for (neap_seat *seat = atomic_load(&cache->seats); seat != NULL; seat = seat->next)
    drain_seat(cache, seat, (uint32_t)(cache->now / NEAP_TICK_MS));
  neap_events_flush(cache);
  neap_seat_leave(self);
}
