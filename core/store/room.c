/* Room: every byte and entry is reserved here before it exists, and the policy is asked here when there is
 * none left.
 *
 *   soft limit   past it a put tries to get the maintenance lock and evicts as the policy says
 *   hard limit   `used` never passes it. A put that stands there while another holds the lock evicts by
 * sampling
 *
 * What is unlinked counts until it is freed, so with a reader that stays inside `used` stays high: then no
 * more is evicted than would do if the reader left, and puts fail with NEAP_EROOM. */
#include <sched.h>

#include "store/impl.h"

enum {
  ROUNDS = 8,          /* tries before a put waits for the maintenance lock */
  TURNS = 16,          /* given to others before a put evicts without the policy */
  SAMPLE = 16,         /* slots looked at by the stateless fallback */
  SAMPLED_AT_ONCE = 8, /* victims of it between two looks at the epochs */
  IDLE_ASKS = 3,       /* asks without a victim taken, then there is no room */
  EXPIRE_AT_ONCE = 1024,
  ASKS_PER_CHARGE = 64, /* between two looks at the policy's memory */
  WANT = 32
};

/* --- books
 * ------------------------------------------------------------------------------------------------- */

size_t neap_cache_good_size(neap_cache *cache, size_t bytes) {
  size_t cell = (bytes + 7) / 8;
  if (cell >= NEAP_GOOD_SIZES) return cache->host.good_size(cache->host.user, bytes);
  size_t good = atomic_load_explicit(&cache->good_sizes[cell], memory_order_relaxed);
  if (NEAP_LIKELY(good != 0)) return good;
  good = cache->host.good_size(cache->host.user, cell * 8);
  if (good <= UINT16_MAX)
    atomic_store_explicit(&cache->good_sizes[cell], (uint16_t)good, memory_order_relaxed);
  return good;
}

static uint64_t get(const _Atomic uint64_t *value) {
  return atomic_load_explicit((_Atomic uint64_t *)value, memory_order_relaxed);
}

static void add(_Atomic uint64_t *value, uint64_t n) {
  atomic_fetch_add_explicit(value, n, memory_order_relaxed);
}

static void subtract(_Atomic uint64_t *value, uint64_t n) {
  atomic_fetch_sub_explicit(value, n, memory_order_relaxed);
}

static bool raise_within(_Atomic uint64_t *value, uint64_t n, uint64_t limit) {
  uint64_t now = get(value);
  do {
    if (now + n > limit) return false;
  } while (!atomic_compare_exchange_weak_explicit(value, &now, now + n, memory_order_relaxed,
                                                  memory_order_relaxed));
  return true;
}

bool neap_room_reserve(neap_cache *cache, uint64_t bytes, uint64_t entries) {
  if (entries > 0 && !raise_within(&cache->held, entries, get(&cache->limits.entries))) return false;
  if (bytes == 0 || raise_within(&cache->used, bytes, get(&cache->limits.memory))) return true;
  subtract(&cache->held, entries);
  return false;
}

void neap_room_release(neap_cache *cache, uint64_t bytes, uint64_t entries) {
  if (bytes > 0) subtract(&cache->used, bytes);
  if (entries > 0) subtract(&cache->held, entries);
}

void neap_room_retire(neap_cache *cache, neap_entry *entry) {
  uint64_t charged = neap_entry_charged(cache, entry);
  neap_shelf_take(cache, entry);
  subtract(&cache->live_bytes, charged);
  if (cache->mode == NEAP_STORE_KEYS)
    subtract(&cache->used, charged);
  else
    add(&cache->retired_bytes, charged);
}

void neap_room_unretire(neap_cache *cache, const neap_entry *entry) {
  if (cache->mode != NEAP_STORE_KEYS) subtract(&cache->retired_bytes, neap_entry_charged(cache, entry));
}

/* Whether a put waits for the policy however long another holds the lock. In a replay nobody waits for the
 * put, and an eviction without the policy would answer another question. */
static bool patient(const neap_cache *cache) {
  return cache->synchronous || cache->mode == NEAP_STORE_KEYS;
}

/* Below the hard limit, so that who fails to get the maintenance lock can go on. Nothing where a put waits
 * for the lock, nor where only one thread has ever come: small caches feel every entry that they lack. */
static uint64_t slack(const neap_cache *cache, uint64_t limit) {
  bool alone = atomic_load_explicit((_Atomic uint32_t *)&cache->seat_count, memory_order_relaxed) < 2;
  return alone || patient(cache) || limit == UINT64_MAX ? 0 : NEAP_MIN(limit / 256, 1u << 20);
}

static bool over(const _Atomic uint64_t *used, uint64_t freed, uint64_t more, uint64_t limit) {
  uint64_t now = get(used);
  return (now > freed ? now - freed : 0) + more > limit;
}

static bool entries_bind(const neap_cache *cache, uint64_t entries) {
  uint64_t limit = get(&cache->limits.entries);
  return over(&cache->held, 0, entries, limit - slack(cache, limit));
}

/* Whether room must be made for so much; `freed` bytes are as good as free. */
static bool tight(const neap_cache *cache, uint64_t bytes, uint64_t entries, uint64_t freed) {
  uint64_t limit = get(&cache->limits.memory);
  return over(&cache->used, freed, bytes, limit - slack(cache, limit)) || entries_bind(cache, entries);
}

/* --- asking the policy
 * ----------------------------------------------------------------------------------- */

/* The memory of the policy counts, but for what it took before the first entry: a VM is the engine's, not the
 * cache's. What cannot be charged yet is returned, and room is made for it as for an object. */
uint64_t neap_room_charge_policy(neap_cache *cache) {
  if (cache->mode == NEAP_STORE_KEYS) return 0;
  neap_policy_counters counters;
  neap_policy_counters_get(cache->evictor->policy, &counters);
  uint64_t bytes = counters.memory > cache->evictor->base ? counters.memory - cache->evictor->base : 0;
  if (bytes > cache->policy_bytes && !neap_room_reserve(cache, bytes - cache->policy_bytes, 0))
    return bytes - cache->policy_bytes;
  if (bytes < cache->policy_bytes) neap_room_release(cache, cache->policy_bytes - bytes, 0);
  add(&cache->table_bytes, bytes - cache->policy_bytes);
  cache->policy_bytes = bytes;
  return 0;
}

/* How many victims to ask for: a batch, more where the object is large, fewer in small caches: what is
 * evicted ahead of time is missing, and at 1/64 of the entries SIEVE's miss ratios were off by 2 points. */
static int32_t wanted(const neap_cache *cache, uint64_t bytes) {
  if (cache->victims != 0) return (int32_t)NEAP_MIN(cache->victims, (uint32_t)NEAP_VICTIMS_MAX);
  uint64_t live = NEAP_MAX(get(&cache->live), 1), mean = get(&cache->live_bytes) / live + 1;
  uint64_t batch = NEAP_MAX(NEAP_MIN(live / 256, WANT), 1);
  return (int32_t)NEAP_MIN(NEAP_MAX(batch, bytes / mean), (uint64_t)NEAP_VICTIMS_MAX);
}

static void pose(neap_cache *cache, uint64_t bytes, uint64_t entries, const neap_candidate *candidate) {
  neap_evict_board *board = cache->evictor->board;
  uint64_t memory = get(&cache->limits.memory), tables = get(&cache->table_bytes);
  board->want = wanted(cache, bytes);
  board->steps = (int32_t)NEAP_MIN(2 * get(&cache->live) + 64u * (uint64_t)board->want, (uint64_t)INT32_MAX);
  board->candidate_size = (int32_t)NEAP_MIN(candidate->size, (uint64_t)INT32_MAX);
  board->candidate_hash = neap_hash_double(candidate->hash);
  board->used = (double)get(&cache->live_bytes);
  board->limit = (double)(memory > tables ? memory - tables : 0);
  if (entries_bind(cache, entries) && !over(&cache->used, 0, bytes, memory - slack(cache, memory)))
    board->limit = board->used; /* the count alone is full: all that may be held is held */
  board->now_ms = (double)(cache->start_ms + cache->now);
  board->victim_count = 0;
  board->refused = 0;
  board->calls = 0;
}

/* Evicts a slot that the policy has given up. False where it could not be taken: then the policy gets it
 * back, unless it is gone anyway. */
static bool take(neap_cache *cache, uint32_t number) {
  neap_slot *slot = &cache->slots[number];
  for (neap_entry *entry; (entry = neap_slot_live(slot)) != NULL;) {
    uint64_t hash = neap_cache_hash(cache, neap_entry_key(entry));
    if (atomic_load_explicit(&entry->refs, memory_order_relaxed) > 1) {
      neap_events_tell(cache, NEAP_EVENT_INSERT, number, neap_entry_charged(cache, entry), hash);
      return false;
    }
    if (!neap_cache_unlink(cache, hash, entry)) continue; /* replaced or removed this very moment */
    atomic_fetch_and_explicit(&slot->tally, ~(uint32_t)NEAP_TALLY_KNOWN, memory_order_relaxed);
    neap_events_gone(cache, number);
    return true;
  }
  atomic_fetch_and_explicit(&slot->tally, ~(uint32_t)NEAP_TALLY_KNOWN, memory_order_relaxed);
  return false; /* its REMOVE is under way, and not for the policy's ears */
}

/* One ask. Returns how many were evicted, or NEAP_EREFUSED. */
static int ask(neap_cache *cache, neap_seat *seat, uint64_t bytes, uint64_t entries,
               const neap_candidate *candidate) {
  neap_evict_board *board = cache->evictor->board;
  int taken = 0;
  neap_seat_enter(cache, seat);
  neap_events_flush(cache);
  pose(cache, bytes, entries, candidate);
  neap_policy_decide(cache->evictor->policy, NEAP_ASK_VICTIMS);
  atomic_store_explicit(&cache->admit_max, board->admit_max, memory_order_relaxed);
  int32_t count = board->refused && candidate->size > 0 ? 0 : board->victim_count, victims[NEAP_VICTIMS_MAX];
  memcpy(victims, board->victims, (size_t)count * sizeof victims[0]); /* take() may tell events */
  for (int32_t i = 0; i < count; i++) taken += take(cache, (uint32_t)victims[i]);
  neap_events_flush(cache);
  neap_seat_leave(seat);
  neap_seat_count(seat, NEAP_COUNT_evictions_policy, (uint64_t)taken);
  return board->refused && candidate->size > 0 ? NEAP_EREFUSED : taken;
}

static void expire(neap_cache *cache, neap_seat *seat, uint64_t bytes, uint64_t entries) {
  while (tight(cache, bytes, entries, get(&cache->retired_bytes)))
    if (neap_expiry_run(cache, seat, EXPIRE_AT_ONCE) < EXPIRE_AT_ONCE) break;
}

/* Makes room and reserves it. Under maintenance. 0, NEAP_EROOM or NEAP_EREFUSED. */
static int make_room(neap_cache *cache, neap_seat *seat, uint64_t bytes, uint64_t entries,
                     const neap_candidate *candidate) {
  neap_events_drain(cache, seat);
  uint64_t owed = cache->asks++ % ASKS_PER_CHARGE == 0 ? neap_room_charge_policy(cache) : 0;
  if (owed > 0) cache->asks--; /* look again the next time */
  expire(cache, seat, bytes + owed, entries);
  for (int idle = 0; idle < IDLE_ASKS && tight(cache, bytes + owed, entries, get(&cache->retired_bytes));) {
    int taken = ask(cache, seat, bytes, entries, candidate);
    if (taken < 0) return taken;
    if (taken == 0 && !neap_shelf_evict(cache, seat)) idle++;
  }
  if (cache->mode != NEAP_STORE_KEYS || cache->retired.count >= WANT) neap_epoch_reclaim(cache, seat);
  return neap_room_reserve(cache, bytes, entries) ? 0 : NEAP_EROOM;
}

bool neap_room_shrink(neap_cache *cache, neap_seat *seat) {
  static const neap_candidate none;
  make_room(cache, seat, 0, 0, &none);
  return get(&cache->used) <= get(&cache->limits.memory) && get(&cache->held) <= get(&cache->limits.entries);
}

/* --- without the policy
 * ---------------------------------------------------------------------------------- */

/* The least recently used of a few random slots, or NULL. The seat is inside. */
static neap_entry *sample(neap_cache *cache, neap_seat *seat) {
  neap_random random = {seat->random};
  uint32_t high = atomic_load_explicit(&cache->slots_high, memory_order_acquire), oldest = 0;
  neap_entry *victim = NULL;
  for (int i = 0; i < SAMPLE && high > NEAP_SLOT_FIRST; i++) {
    neap_slot *slot = &cache->slots[NEAP_SLOT_FIRST + neap_random_below(&random, high - NEAP_SLOT_FIRST)];
    neap_entry *entry = neap_slot_live(slot);
    if (entry == NULL || atomic_load_explicit(&entry->refs, memory_order_relaxed) > 1) continue;
    uint32_t seen = NEAP_MAX(atomic_load_explicit(&slot->seen, memory_order_relaxed), entry->created);
    if (victim == NULL || seen < oldest) victim = entry, oldest = seen;
  }
  seat->random = random.state;
  return victim;
}

/* Unlinks sampled entries until `bytes` are covered, at most a handful. Returns how many; their slots in
 * `slots`. */
static unsigned unlink_sampled(neap_cache *cache, neap_seat *seat, uint64_t bytes, uint32_t *slots) {
  unsigned count = 0;
  uint64_t freed = 0;
  neap_seat_enter(cache, seat);
  for (int tries = 0; tries < 2 * SAMPLED_AT_ONCE && count < SAMPLED_AT_ONCE && (count == 0 || freed < bytes);
       tries++) {
    neap_entry *entry = sample(cache, seat);
    if (entry == NULL) continue;
    uint64_t charged = neap_entry_charged(cache, entry);
    uint32_t slot = entry->slot & NEAP_SLOT_MASK;
    if (!neap_cache_unlink(cache, neap_cache_hash(cache, neap_entry_key(entry)), entry)) continue;
    slots[count++] = slot;
    freed += charged;
  }
  neap_seat_leave(seat);
  return count;
}

/* Evicts by stateless sampling, and frees at once what no reader can hold. What somebody may hold goes the
 * way of all entries: the slot carries it to the retired list. */
static void evict_sampled(neap_cache *cache, neap_seat *seat, uint64_t bytes) {
  uint32_t slots[SAMPLED_AT_ONCE];
  neap_ring_ensure(cache, seat, SAMPLED_AT_ONCE * NEAP_RECORD_WORDS);
  unsigned count = unlink_sampled(cache, seat, bytes, slots);
  uint64_t stamp = atomic_load(&cache->epoch);
  bool free_now = count > 0 && neap_epoch_pass(cache, seat) > stamp;
  for (unsigned i = 0; i < count; i++) {
    neap_slot *slot = &cache->slots[slots[i]];
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    if (free_now) {
      atomic_store_explicit(&slot->word, word & ~NEAP_WORD_POINTER, memory_order_release);
      neap_room_unretire(cache, neap_word_entry(word));
      neap_entry_drop(cache, neap_word_entry(word));
    }
    neap_ring_push(seat, &(neap_record){.op = NEAP_OP_REMOVE, .slot = slots[i]});
  }
  neap_seat_count(seat, NEAP_COUNT_evictions_fallback, count);
}

/* Gets the maintenance lock if its holder, who mostly needs a microsecond, is done within a few turns of
 * others; the patient always get it. */
static bool lock_soon(neap_cache *cache) {
  for (int turn = 0; turn < TURNS; turn++) {
    if (pthread_mutex_trylock(&cache->maintenance) == 0) return true;
    sched_yield();
  }
  return patient(cache) && pthread_mutex_lock(&cache->maintenance) == 0;
}

int neap_room_make(neap_cache *cache, neap_seat *seat, uint64_t bytes, uint64_t entries,
                   const neap_candidate *candidate) {
  if (!cache->synchronous && !tight(cache, bytes, entries, 0) && neap_room_reserve(cache, bytes, entries))
    return 0;
  if (bytes + get(&cache->table_bytes) > get(&cache->limits.memory))
    return NEAP_EROOM; /* not even in an empty one */
  int rc;
  for (int round = 0; round < ROUNDS; round++) {
    if (lock_soon(cache)) {
      rc = make_room(cache, seat, bytes, entries, candidate);
      pthread_mutex_unlock(&cache->maintenance);
      if (rc != NEAP_EROOM || round > 0) return rc;
      continue; /* others may have been faster: once more */
    }
    if (neap_room_reserve(cache, bytes, entries)) return 0;
    evict_sampled(cache, seat, bytes);
    if (neap_room_reserve(cache, bytes, entries)) return 0;
  }
  pthread_mutex_lock(&cache->maintenance);
  rc = make_room(cache, seat, bytes, entries, candidate);
  pthread_mutex_unlock(&cache->maintenance);
  return rc;
}
