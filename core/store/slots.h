/* Slots: dense numbers of entries, by which policies keep their columns. 16 bytes each in one reserved
 * column:
 *
 *   word   entry:48 | phase:4 | generation:4 (top)      who is there; written under the lock of the entry's
 * shard tally  access count:28 | drain state:4              the drainer's; on the retired list: epoch seen
 * last access, 100 ms ticks                    the drainer's; on a list of slots: the next one
 *
 * Phases of a slot:
 *   free      on the free list or in a seat's hand
 *   LIVE      an entry is in the index
 *   DEAD      unlinked (or: carries an entry that an update replaced); its events are under way
 *   retired   DEAD, events drained, on the retired list until no reader can hold the entry; then free
 *
 * Events of several threads come in any order, so the drainer keeps three flags per slot: KNOWN (the policy
 * holds it), SEEN (its INSERT was drained), GONE (its end was drained). A slot is retired when it is SEEN and
 * GONE. HITs, touches and updates of it that are still under way then are known by its phase and generation,
 * and dropped. */
#ifndef NEAP_STORE_SLOTS_H
#define NEAP_STORE_SLOTS_H

#include <stdatomic.h>

#include "store/entry.h"
#include "store/seat.h"

typedef struct neap_slot {
  _Atomic uint64_t word;
  _Atomic uint32_t tally;
  _Atomic uint32_t seen;
} neap_slot;

enum {
  NEAP_TALLY_COUNT = (1 << 28) - 1,
  NEAP_TALLY_KNOWN = 1 << 28,
  NEAP_TALLY_SEEN = 1 << 29,
  NEAP_TALLY_GONE = 1 << 30,
};
#define NEAP_TALLY_TIMED (1u << 31) /* filed in the wheel */

#define NEAP_WORD_POINTER ((1ull << 48) - 1)
#define NEAP_WORD_LIVE    (1ull << 48)
#define NEAP_WORD_DEAD    (1ull << 49)

static inline uint32_t neap_word_generation(uint64_t word) {
  return (uint32_t)(word >> 60);
}
static inline neap_entry *neap_word_entry(uint64_t word) {
  return (neap_entry *)(uintptr_t)(word & NEAP_WORD_POINTER);
}
static inline uint64_t neap_word_pack(const neap_entry *entry, uint64_t phase, uint32_t generation) {
  return (uint64_t)(uintptr_t)entry | phase | (uint64_t)generation << 60;
}

/* The entry that lives in a slot, or NULL. Only while the seat is inside. */
static inline neap_entry *neap_slot_live(neap_slot *slot) {
  uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
  return word & NEAP_WORD_LIVE ? neap_word_entry(word) : NULL;
}

/* A list of slots through `seen`. */
typedef struct neap_slot_list {
  uint32_t first, last, count;
} neap_slot_list;

/* Sees to it that the seat holds a slot. 0, NEAP_EROOM when all are taken or there is no memory for another
 * page. */
int neap_slots_ensure(neap_cache *cache, neap_seat *seat);
/* The next slot of the hand, which is not empty. */
uint32_t neap_slots_take(neap_seat *seat);
/* Gives slots back; they are free. */
void neap_slots_return(neap_cache *cache, neap_slot_list *list);
void neap_slot_list_push(neap_cache *cache, neap_slot_list *list, uint32_t slot);
uint32_t neap_slot_list_pop(neap_cache *cache, neap_slot_list *list); /* of a list that is not empty */

/* From now on entries may expire: the links of the wheel are charged too. 0 or NEAP_EROOM. */
int neap_slots_ensure_timed(neap_cache *cache);
uint64_t neap_slots_timed_bytes(neap_cache *cache); /* what it takes */

#endif
