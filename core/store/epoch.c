/* Reclaiming by epochs. An unlinked entry is stamped with the epoch; then the epoch is counted up and every
 * thread is made to pass a memory barrier; whoever is inside with an older epoch might still hold the entry,
 * nobody else can. */
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/impl.h"

/* Process-wide, because the barrier is: whether readers must fence for themselves. Set once, before any
 * cache. */
bool neap_epoch_fenced;
static pthread_once_t epoch_once = PTHREAD_ONCE_INIT;

static void register_barrier(void) {
  neap_epoch_fenced =
      syscall(__NR_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0 || NEAP_EPOCH_FENCED;
}

void neap_epoch_init(neap_cache *cache) {
  pthread_once(&epoch_once, register_barrier);
  atomic_init(&cache->epoch, 1);
}

/* Makes every enter that came before visible here, and every unlinking visible to those that come after. */
static void barrier(const neap_cache *cache, const neap_seat *self) {
  neap_seat *only = atomic_load(&cache->seats);
  if (only == self && only->next == NULL) return; /* there is no other thread */
  if (!neap_epoch_fenced && syscall(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0) return;
  neap_assert(neap_epoch_fenced); /* a registered barrier does not fail */
}

uint64_t neap_epoch_pass(neap_cache *cache, const neap_seat *self) {
  uint64_t least = atomic_fetch_add(&cache->epoch, 1) + 1;
  barrier(cache, self);
  for (neap_seat *seat = atomic_load(&cache->seats); seat != NULL; seat = seat->next) {
    uint64_t epoch = atomic_load(&seat->epoch);
    if (epoch != 0 && epoch < least) least = epoch;
  }
  return least;
}

void neap_epoch_retire(neap_cache *cache, uint32_t slot) {
  uint32_t stamp = (uint32_t)atomic_load_explicit(&cache->epoch, memory_order_acquire);
  atomic_store_explicit(&cache->slots[slot].tally, stamp, memory_order_relaxed);
  neap_slot_list_push(cache, &cache->retired, slot);
}

/* Frees what a retired slot carries and puts the slot among the free ones, in its next generation. */
static void free_slot(neap_cache *cache, uint32_t number) {
  neap_slot *slot = &cache->slots[number];
  uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
  neap_entry *entry = neap_word_entry(word);
  if (entry != NULL) {
    neap_room_unretire(cache, entry);
    neap_entry_drop(cache, entry);
  }
  atomic_store_explicit(&slot->word, neap_word_pack(NULL, 0, neap_word_generation(word) + 1),
                        memory_order_release);
  atomic_store_explicit(&slot->tally, 0, memory_order_relaxed);
  neap_slot_list_push(cache, &cache->freed, number);
}

void neap_epoch_reclaim(neap_cache *cache, const neap_seat *self) {
  if (cache->retired.count == 0) return;
  uint32_t least = (uint32_t)neap_epoch_pass(cache, self);
  while (cache->retired.count > 0) {
    uint32_t stamp = atomic_load_explicit(&cache->slots[cache->retired.first].tally, memory_order_relaxed);
    if ((int32_t)(stamp - least) >= 0) break;
    free_slot(cache, neap_slot_list_pop(cache, &cache->retired));
  }
  neap_slots_return(cache, &cache->freed);
}
