/* Seats: found in thread-local storage, made once per thread and cache, passed on when threads exit. */
#include "store/seat.h"

#include <pthread.h>
#include <stdlib.h>

#include "store/impl.h"

__thread neap_seat_recent neap_seats_last;

/* Process-wide, because threads belong to the process and not to a cache: which seats a thread holds, so that
 * its exit can leave them. */
static pthread_mutex_t seats_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t seats_once = PTHREAD_ONCE_INIT;
static pthread_key_t seats_key;
static _Atomic uint64_t seats_cache_ids;
static __thread neap_seat *seats_mine;
static __thread neap_seat_recent seats_recent[NEAP_SEATS_RECENT];

/* A thread exits: its seats wait for the next thread. What is on their rings is drained as ever. */
static void leave_all(void *unused) {
  (void)unused;
  pthread_mutex_lock(&seats_lock);
  for (neap_seat *seat = seats_mine, *next; seat != NULL; seat = next) {
    next = seat->of_thread;
    seat->of_thread = NULL;
    seat->holder = NULL;
    atomic_store_explicit(&seat->taken, false, memory_order_release);
  }
  seats_mine = NULL;
  memset(seats_recent, 0, sizeof seats_recent);
  neap_seats_last = (neap_seat_recent){0};
  pthread_mutex_unlock(&seats_lock);
}

static void make_key(void) {
  neap_assert(pthread_key_create(&seats_key, leave_all) == 0);
}

uint64_t neap_seats_cache_id(void) {
  return atomic_fetch_add(&seats_cache_ids, 1) + 1;
}

static neap_seat *find_mine(const neap_cache *cache) {
  neap_seat *seat = seats_mine;
  while (seat != NULL && seat->cache != cache) seat = seat->of_thread;
  return seat;
}

/* A seat that an exited thread left. */
static neap_seat *take_left(neap_cache *cache) {
  for (neap_seat *seat = atomic_load(&cache->seats); seat != NULL; seat = seat->next) {
    bool taken = false;
    if (atomic_compare_exchange_strong(&seat->taken, &taken, true)) return seat;
  }
  return NULL;
}

static neap_seat *make(neap_cache *cache) {
  size_t ring_bytes = cache->ring_words * sizeof(uint32_t);
  neap_seat *seat = aligned_alloc(NEAP_CACHE_LINE, sizeof *seat);
  uint32_t *ring = malloc(ring_bytes);
  neap_assert(seat != NULL && ring != NULL);
  memset(seat, 0, sizeof *seat);
  seat->ring = ring;
  seat->mask = cache->ring_words - 1;
  seat->mark = cache->ring_words / 2;
  seat->cache = cache;
  atomic_init(&seat->taken, true);
  seat->random = cache->seed ^ (uintptr_t)seat;
  seat->ticket = 1;
  seat->next = atomic_load(&cache->seats);
  while (!atomic_compare_exchange_weak(&cache->seats, &seat->next, seat)) continue;
  atomic_fetch_add(&cache->seat_count, 1);
  return seat;
}

/* The seat of a thread that is new here, or has been at many other caches. */
static neap_seat *take(neap_cache *cache) {
  pthread_once(&seats_once, make_key);
  pthread_mutex_lock(&seats_lock);
  neap_seat *seat = find_mine(cache);
  if (seat == NULL) {
    seat = take_left(cache);
    if (seat == NULL) seat = make(cache);
    seat->of_thread = seats_mine;
    seat->holder = &seats_mine;
    seats_mine = seat;
    pthread_setspecific(seats_key, seat); /* not NULL, so that the exit calls leave_all */
  }
  pthread_mutex_unlock(&seats_lock);
  return seat;
}

neap_seat *neap_seat_find(neap_cache *cache) {
  neap_seat_recent *recent = &seats_recent[cache->id % NEAP_SEATS_RECENT];
  if (recent->cache != cache->id) *recent = (neap_seat_recent){cache->id, take(cache)};
  neap_seats_last = *recent;
  return recent->seat;
}

/* Takes a seat out of the list of the thread that holds it. */
static void unhold(neap_seat *seat) {
  if (seat->holder == NULL) return;
  neap_seat **at = seat->holder;
  while (*at != seat) at = &(*at)->of_thread;
  *at = seat->of_thread;
}

void neap_seats_destroy(neap_cache *cache) {
  pthread_mutex_lock(&seats_lock);
  for (neap_seat *seat = atomic_load(&cache->seats), *next; seat != NULL; seat = next) {
    next = seat->next;
    neap_assert(!neap_seat_inside(seat)); /* a thread is still inside */
    unhold(seat);
    free(seat->ring);
    free(seat);
  }
  pthread_mutex_unlock(&seats_lock);
  atomic_store(&cache->seats, NULL);
}
