/* The cache from inside: the one struct that the files of this folder share, and what they promise each
 * other.
 *
 * Locks, outermost first: maintenance -> shard -> slots. Nobody waits for maintenance with another lock held.
 * The maintenance lock guards the drain state of slots, the wheel, the retired list and the policy. */
#ifndef NEAP_STORE_IMPL_H
#define NEAP_STORE_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"
#include "base/random.h"
#include "base/keyed_hash.h"
#include "base/wheel.h"
#include "policy/policy.h"
#include "store/entry.h"
#include "store/index.h"
#include "store/seat.h"
#include "store/slots.h"
#include "store/store.h"

enum {
  NEAP_TICK_MS = 100,                    /* of the wheel, created and last access */
  NEAP_GOOD_SIZES = 512,                 /* sizes up to 4 KiB, in steps of 8, whose rounding is remembered */
  NEAP_RECORD_WORDS = 8,                 /* of an event that is not a HIT, on a ring */
  NEAP_MAKE_TABLE = 8192,                /* bytes that a table may grow by at once */
  NEAP_PUT_WORDS = 4 * NEAP_RECORD_WORDS /* most that one step of a put pushes, and to spare */
};

/* One generation of the eviction policy: what it is and what it was made of. */
typedef struct neap_evictor {
  neap_policy *policy;
  neap_evict_board *board;
  neap_entry_facts facts;
  char *spec, *source; /* source: kept when the policy is closed */
  neap_param *params;
  size_t param_count;
  uint64_t generation;
  uint64_t base; /* bytes it took before the first entry */
} neap_evictor;

typedef struct neap_limits {
  _Atomic uint64_t entries; /* UINT64_MAX: none */
  _Atomic uint64_t memory;
  _Atomic uint64_t object;
  bool object_derived; /* from max_memory */
} neap_limits;

struct neap_cache {
  uint32_t magic;
  neap_store_mode mode;
  uint64_t id; /* for seats */
  neap_hash_key hash_key;
  neap_shard *shards;
  uint64_t shard_mask;
  unsigned shard_count;
  neap_slot *slots;
  int32_t slot_end;
  uint64_t start_ms; /* times inside are since then */
  _Atomic uint64_t epoch;
  bool synchronous;
  uint32_t victims;
  uint32_t ring_words;
  neap_host host;
  neap_registry *registry;
  char *name;
  uint64_t default_ttl_ms;
  void *region; /* slots, links of the wheel, buckets: one reservation */
  size_t region_bytes;
  neap_limits limits;
  uint64_t seed;
  _Atomic uint16_t good_sizes[NEAP_GOOD_SIZES];

  /* What is held. `used` is everything and never above limits.memory. */
  _Alignas(NEAP_CACHE_LINE) _Atomic uint64_t used;
  _Atomic uint64_t held;       /* entries: live and filling */
  _Atomic uint64_t live;       /* entries: live */
  _Atomic uint64_t live_bytes; /* charged for live entries */
  _Atomic uint64_t filling_bytes;
  _Atomic uint64_t table_bytes;
  _Atomic uint64_t shelved;       /* entries on the shelf */
  _Atomic uint64_t retired_bytes; /* of slots on the retired list and of those under way to it */
  _Atomic int32_t admit_max;      /* the policy's bound, read by every put */

  _Alignas(NEAP_CACHE_LINE) pthread_mutex_t slots_lock;
  neap_slot_list slots_free;
  _Atomic uint32_t slots_high; /* first slot never used */
  _Atomic bool timed;          /* some entry has had a time to live */
  _Atomic(neap_seat *) seats;
  _Atomic uint32_t seat_count;

  _Alignas(NEAP_CACHE_LINE) pthread_mutex_t maintenance;
  neap_evictor *evictor;
  neap_evictor *previous; /* without a policy: what rollback goes back to */
  neap_slot_list retired;
  neap_slot_list freed; /* to be returned in one go */
  neap_wheel wheel;
  neap_wheel_link *links;
  neap_random random;
  int event_count;       /* on the board, not yet observed */
  uint64_t told_tick;    /* when the policy last was told the time, ms */
  uint64_t now;          /* ms since start, of this maintenance */
  uint64_t policy_bytes; /* charged for the policy */
  uint32_t asks;         /* rounds of making room: every 64th looks at the policy's memory */
  _Atomic uint64_t faults_before, trips_before; /* of earlier generations */
  pthread_mutex_t evict_change;                 /* one set_evict at a time */
};

enum { NEAP_CACHE_MAGIC = 0x6e436163 };

/* --- time and keys --- */
static inline uint64_t neap_cache_now(const neap_cache *cache) {
  uint64_t now = cache->host.now_ms(cache->host.user);
  return now > cache->start_ms ? now - cache->start_ms : 0;
}
static inline uint64_t neap_cache_hash(const neap_cache *cache, neap_view key) {
  return neap_keyed_hash(&cache->hash_key, key.ptr, key.size);
}
static inline neap_shard *neap_cache_shard(const neap_cache *cache, uint64_t hash) {
  return neap_shard_of(cache->shards, cache->shard_mask, hash);
}
static inline double neap_hash_double(uint64_t hash) {
  return (double)(hash >> 11);
}
/* hot: the clock is read only for entries that expire. */
static inline bool neap_entry_expired(const neap_cache *cache, const neap_entry *entry) {
  uint64_t expires = neap_life_expires(neap_entry_life(entry));
  return expires != NEAP_NEVER && expires <= neap_cache_now(cache);
}

/* --- seats and epochs (epoch.c) --- */
/* Whether the calling thread came here last: then neap_seats_last.seat is its seat. */
static inline bool neap_seat_recalled(const neap_cache *cache) {
  return NEAP_LIKELY(neap_seats_last.cache == cache->id);
}
static inline neap_seat *neap_seat_get(neap_cache *cache) {
  return neap_seat_recalled(cache) ? neap_seats_last.seat : neap_seat_find(cache);
}

#if defined(__SANITIZE_THREAD__)
#define NEAP_EPOCH_FENCED                                                                                    \
  1 /* TSan knows neither membarrier nor fences: order by sequentially consistent stores */
#else
#define NEAP_EPOCH_FENCED 0
#endif
extern bool neap_epoch_fenced; /* the system has no membarrier: set before the first cache is made */

/* hot: no fence. The reclaimer makes every thread pass one (membarrier) between unlinking and looking. */
static inline void neap_seat_enter(neap_cache *cache, neap_seat *seat) {
  if (NEAP_UNLIKELY(neap_seat_inside(seat))) {
    seat->depth++;
    return;
  }
  uint64_t epoch = atomic_load_explicit(&cache->epoch, memory_order_acquire);
  if (NEAP_EPOCH_FENCED || NEAP_UNLIKELY(neap_epoch_fenced)) {
    atomic_store(&seat->epoch, epoch);
    return;
  }
  atomic_store_explicit(&seat->epoch, epoch, memory_order_release);
  atomic_signal_fence(memory_order_seq_cst);
}
static inline void neap_seat_leave(neap_seat *seat) {
  if (NEAP_UNLIKELY(seat->depth > 0))
    seat->depth--;
  else
    atomic_store_explicit(&seat->epoch, 0, memory_order_release);
}

void neap_epoch_init(neap_cache *cache);
/* Makes all threads' enters visible and returns the epoch below which nobody is inside. */
uint64_t neap_epoch_pass(neap_cache *cache, const neap_seat *self);
/* Puts an unlinked slot on the retired list. Under maintenance. */
void neap_epoch_retire(neap_cache *cache, uint32_t slot);
/* Frees what no reader can hold any more. Under maintenance. */
void neap_epoch_reclaim(neap_cache *cache, const neap_seat *self);

/* --- memory (room.c) --- */
size_t neap_cache_good_size(neap_cache *cache, size_t bytes);
/* Reserves bytes and entries within the limits. */
bool neap_room_reserve(neap_cache *cache, uint64_t bytes, uint64_t entries);
void neap_room_release(neap_cache *cache, uint64_t bytes, uint64_t entries);
/* Books an entry that leaves the index (`live` to `retired`), and one that leaves the retired list. */
void neap_room_retire(neap_cache *cache, neap_entry *entry);
void neap_room_unretire(neap_cache *cache, const neap_entry *entry);
/* Charges what the policy's memory has grown by; returns what there was no room for. Under maintenance. */
uint64_t neap_room_charge_policy(neap_cache *cache);
/* The object that room is made for. */
typedef struct neap_candidate {
  uint64_t hash;
  uint64_t size; /* charged; 0: none */
} neap_candidate;
/* Reserves, evicting as needed. 0, NEAP_EROOM or NEAP_EREFUSED. No lock held, seat may be inside. */
int neap_room_make(neap_cache *cache, neap_seat *seat, uint64_t bytes, uint64_t entries,
                   const neap_candidate *candidate);
/* Evicts until the limits hold. Under maintenance. False: they cannot hold yet. */
bool neap_room_shrink(neap_cache *cache, neap_seat *seat);

/* --- events (events.c) --- */
typedef struct neap_record {
  uint32_t op; /* kind of event, below NEAP_SLOT_FIRST and not 0 */
  uint32_t slot, size, tick, carrier, reserved;
  uint64_t hash;
} neap_record;
enum {
  NEAP_OP_INSERT = 1,
  NEAP_OP_UPDATE = 2,
  NEAP_OP_REMOVE = 3,
  NEAP_OP_MISS = 4,
  NEAP_OP_TOUCH = 5,
  NEAP_OP_SHELVE = 6, /* a new entry that the policy is not told of yet */
  NEAP_OP_USE = 7     /* and its first use: now it is */
};
#define NEAP_TICK_NEVER UINT32_MAX /* of a record: does not expire */

/* Makes room for `words` on the seat's ring, draining where it must. No lock held. */
void neap_ring_ensure(neap_cache *cache, neap_seat *seat, uint32_t words);
/* Pushes a record; room was made. */
void neap_ring_push(neap_seat *seat, const neap_record *record);
/* What a HIT does when the ring needs attention. Returns 0. */
int neap_ring_attend(neap_seat *seat, uint32_t slot);
/* Drains all rings to the policy. Under maintenance. */
void neap_events_drain(neap_cache *cache, neap_seat *self);
/* Tells the policy one event, and all told so far. Under maintenance. */
void neap_events_tell(neap_cache *cache, int32_t kind, uint32_t slot, uint64_t size, uint64_t hash);
void neap_events_flush(neap_cache *cache);
/* The end of a slot that the holder of maintenance has unlinked. */
void neap_events_gone(neap_cache *cache, uint32_t slot);

/* hot: */
static inline int neap_ring_hit(neap_seat *seat, uint32_t slot) {
  uint32_t head = atomic_load_explicit(&seat->head, memory_order_relaxed);
  if (NEAP_UNLIKELY(head == seat->mark)) return neap_ring_attend(seat, slot);
  seat->ring[head & seat->mask] = slot;
  atomic_store_explicit(&seat->head, head + 1, memory_order_release);
  return 0;
}

/* --- the shelf (shelf.c) --- */
/* Takes an entry off the shelf, where it is on it. True for one caller alone, who tells its first use. */
static inline bool neap_shelf_take(neap_cache *cache, neap_entry *entry) {
  if (NEAP_LIKELY(!(neap_entry_life(entry) & NEAP_LIFE_UNUSED))) return false;
  uint64_t before = atomic_fetch_and_explicit(&entry->life, ~NEAP_LIFE_UNUSED, memory_order_relaxed);
  if (!(before & NEAP_LIFE_UNUSED)) return false;
  atomic_fetch_sub_explicit(&cache->shelved, 1, memory_order_relaxed);
  return true;
}
/* Evicts one entry off the shelf: where the policy has nothing left to give. Under maintenance. */
bool neap_shelf_evict(neap_cache *cache, neap_seat *seat);

/* --- expiry (expiry.c) --- */
static inline uint32_t neap_tick_of(uint64_t expires) {
  if (expires == NEAP_NEVER) return NEAP_TICK_NEVER;
  uint64_t tick = expires / NEAP_TICK_MS + 1;
  return tick < NEAP_TICK_NEVER - 1 ? (uint32_t)tick : NEAP_TICK_NEVER - 1;
}
uint64_t neap_expiry_of(const neap_cache *cache, uint64_t now, uint64_t ttl_ms);
/* Files a slot for `tick`, or unfiles it. Under maintenance. */
void neap_expiry_file(neap_cache *cache, uint32_t slot, uint32_t tick);
void neap_expiry_unfile(neap_cache *cache, uint32_t slot);
/* Reclaims up to `budget` expired entries. Under maintenance, seat inside. */
uint32_t neap_expiry_run(neap_cache *cache, neap_seat *seat, uint32_t budget);

/* --- entries in and out of the index (store.c) --- */
/* Takes a live entry out. False where another was faster. Counts nothing; the caller tells the events. */
bool neap_cache_unlink(neap_cache *cache, uint64_t hash, neap_entry *entry);

/* --- policy (evictor.c) --- */
/* Opens a policy and everything around it. On error nothing is left. */
int neap_evictor_create(neap_cache *cache, neap_registry *registry, const char *spec, const char *source,
                        const neap_param *params, size_t param_count, uint64_t generation, neap_evictor **out,
                        neap_err *err);
uint64_t neap_evictor_memory(const neap_evictor *evictor); /* bytes of its policy */
void neap_evictor_destroy(neap_cache *cache, neap_evictor **evictor);

#endif
