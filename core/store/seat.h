/* A seat: what one thread keeps at one cache, so that its reads write nothing that others read.
 *
 *   epoch   the thread is inside since that epoch, or 0            (reclaiming, epoch.c)
 *   ring    events in program order: one writer, the drainer reads (events.c)
 *   hand    a few free slots, so that a put asks for none          (slots.c)
 *   counts  metrics, summed by stats.c
 *
 * A thread finds its seat in thread-local storage: the last one it used, or a small table of recent ones.
 * Seats live as long as their cache: when a thread exits, its seats are left with whatever is still on their
 * rings and the next new thread takes them.
 */
#ifndef NEAP_STORE_SEAT_H
#define NEAP_STORE_SEAT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/base.h"
#include "base/histogram.h"
#include "neap/cache.h"

enum { NEAP_HAND = 32, NEAP_SEATS_RECENT = 16 };

#define NEAP_COUNT_INDEX(name, text) NEAP_COUNT_##name,
enum { NEAP_CACHE_COUNTERS(NEAP_COUNT_INDEX) NEAP_COUNTS };
#undef NEAP_COUNT_INDEX

typedef struct neap_seat {
  /* Written by the thread, read by reclaimers. */
  _Alignas(NEAP_CACHE_LINE) _Atomic uint64_t epoch; /* 0: outside */
  uint32_t depth;                                   /* of enters inside the first */
  uint32_t ticket;                                  /* calls until one is timed */
  /* Ring: `head` is the thread's, `tail` the drainer's. */
  uint32_t *ring;
  uint32_t mask;
  uint32_t mark; /* where a hit looks up: the ring is half full, or full */
  _Atomic uint32_t head;
  uint32_t hand_count;
  _Atomic uint64_t counts[NEAP_COUNTS];
  uint32_t hand[NEAP_HAND];
  uint64_t random;

  _Alignas(NEAP_CACHE_LINE) _Atomic uint32_t tail;
  _Atomic bool taken; /* by a living thread */
  neap_cache *cache;
  struct neap_seat *next;      /* of this cache; set once */
  struct neap_seat *of_thread; /* of this thread, under the lock of all seats */
  struct neap_seat **holder;   /* the head of that list */
  neap_histogram get, put;
} neap_seat;

typedef struct neap_seat_recent {
  uint64_t cache; /* id; ids are never used again */
  neap_seat *seat;
} neap_seat_recent;

extern __thread neap_seat_recent neap_seats_last; /* where the thread came last */

/* The slower way: finds the seat of the calling thread, or makes it, and recalls it from now on. Out of
 * memory is fatal here: reads cannot fail. */
neap_seat *neap_seat_find(neap_cache *cache);
/* Gives back all seats of a cache that is going. */
void neap_seats_destroy(neap_cache *cache);
/* A number that no other cache of this process has. */
uint64_t neap_seats_cache_id(void);

static inline void neap_seat_count(neap_seat *seat, unsigned counter, uint64_t n) {
  _Atomic uint64_t *count = &seat->counts[counter];
  atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n, memory_order_relaxed);
}

/* hot: true for one call in 256, at uneven distances: even ones would always meet what happens every so many
 * calls. */
static inline bool neap_seat_sampled(neap_seat *seat) {
  if (NEAP_LIKELY(--seat->ticket > 0)) return false;
  seat->random = seat->random * 6364136223846793005u + 1442695040888963407u;
  seat->ticket = (uint32_t)(seat->random >> 55) + 1; /* 1..512 */
  return true;
}

static inline bool neap_seat_inside(const neap_seat *seat) {
  return atomic_load_explicit((_Atomic uint64_t *)&seat->epoch, memory_order_relaxed) != 0;
}

#define NEAP_COUNT(seat, name) neap_seat_count(seat, NEAP_COUNT_##name, 1)

#endif
