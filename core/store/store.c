/* The cache: made, read, emptied. Writing is in fill.c, room in room.c, the policy in evictor.c. */
#include "store/store.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/pages.h"
#include "store/impl.h"
#include "store/lookup.h"

enum {
  MEMORY_LEAST = 64 << 10,
  ENTRY_LEAST = 48,      /* bytes: no entry is smaller */
  SHARD_BYTES = 1 << 20, /* max_memory per shard, in small caches */
  SLOTS_SPARE = 8,       /* times more slots than the limits ask for, so that limits can be raised */
  SLOTS_LEAST = 1 << 16,
  FEW = 16,           /* keys looked up together */
  TICK_EXPIRE = 4096, /* entries that one tick reclaims at most */
  TICK_TELL_MS = 1000
};

void neap_cache_options_init(neap_cache_options *options) {
  *options = (neap_cache_options){.name = "cache", .max_memory = 64u << 20, .evict = "sieve"};
}

/* --- limits
 * ------------------------------------------------------------------------------------------------ */

static uint64_t derived_object(uint64_t memory) {
  return NEAP_MIN(memory / 20, 1u << 30);
}

static void set_limits(neap_cache *cache, uint64_t entries, uint64_t memory, uint64_t object) {
  if (entries != 0) atomic_store(&cache->limits.entries, entries);
  if (memory != 0) atomic_store(&cache->limits.memory, memory);
  if (object != 0) cache->limits.object_derived = false;
  if (object == 0 && cache->limits.object_derived)
    object = derived_object(atomic_load(&cache->limits.memory));
  if (object != 0) atomic_store(&cache->limits.object, object);
}

int neap_cache_set_limits(neap_cache *cache, uint64_t max_entries, uint64_t max_memory,
                          uint64_t max_object_size) {
  neap_check_magic(cache, NEAP_CACHE_MAGIC);
  if (max_memory != 0 && max_memory < MEMORY_LEAST && cache->mode == NEAP_STORE_VALUES) return NEAP_EINVAL;
  neap_seat *seat = neap_seat_get(cache);
  pthread_mutex_lock(&cache->maintenance);
  set_limits(cache, max_entries, max_memory, max_object_size);
  bool holds = neap_room_shrink(cache, seat);
  pthread_mutex_unlock(&cache->maintenance);
  return holds ? 0 : NEAP_EROOM;
}

/* --- create and destroy
 * ------------------------------------------------------------------------------------ */

static int check_options(const neap_cache_options *options, neap_store_mode mode, neap_err *err) {
  if (mode == NEAP_STORE_VALUES && options->max_memory < MEMORY_LEAST)
    return neap_fail(err, NEAP_EINVAL, "max_memory is %llu: at least 64 KiB (65536) are needed",
                     (unsigned long long)options->max_memory);
  if (options->max_memory == 0) return neap_fail(err, NEAP_EINVAL, "max_memory is 0: nothing would fit");
  if (options->max_object_size > options->max_memory)
    return neap_fail(err, NEAP_EINVAL, "max_object_size is %llu, more than max_memory",
                     (unsigned long long)options->max_object_size);
  if (options->victims > NEAP_VICTIMS_MAX)
    return neap_fail(err, NEAP_EINVAL, "victims is %u: at most %d", options->victims, NEAP_VICTIMS_MAX);
  if (options->evict == NULL || *options->evict == '\0')
    return neap_fail(err, NEAP_EINVAL, "evict is empty: name a policy, such as \"sieve\"");
  return 0;
}

static uint64_t seed_of(const neap_host *host) {
  uint64_t seed = host->seed;
  if (seed == 0 && getrandom(&seed, sizeof seed, 0) != sizeof seed)
    seed = host->now_ns(host->user) ^ (uintptr_t)host;
  return seed;
}

/* Slots and shards for what the limits can hold. */
static void set_sizes(neap_cache *cache, const neap_cache_options *options) {
  uint64_t most = options->max_memory / (cache->mode == NEAP_STORE_KEYS ? 1 : ENTRY_LEAST);
  uint64_t slots =
      most < NEAP_SLOT_MASK / SLOTS_SPARE ? NEAP_MAX(most * SLOTS_SPARE, SLOTS_LEAST) : NEAP_SLOT_MASK;
  uint64_t scale = cache->mode == NEAP_STORE_KEYS ? options->max_memory * 64 : options->max_memory;
  cache->slot_end = (int32_t)slots;
  cache->shard_count = 1;
  while (cache->shard_count < NEAP_SHARDS_MAX && cache->shard_count * (uint64_t)SHARD_BYTES < scale)
    cache->shard_count *= 2;
  cache->shard_mask = neap_shard_mask(cache->shard_count);
  cache->ring_words = scale < 1u << 20 ? 512 : scale < 16u << 20 ? 1024 : 4096;
}

/* One reservation: slots, links of the wheel, buckets of every shard. */
static int reserve_region(neap_cache *cache) {
  size_t slots = neap_pages_round((size_t)cache->slot_end * sizeof(neap_slot));
  size_t links = neap_pages_round((size_t)cache->slot_end * sizeof(neap_wheel_link));
  size_t index = neap_index_reserve_bytes((uint64_t)cache->slot_end, cache->shard_count);
  cache->region_bytes = slots + links + index * cache->shard_count;
  cache->region = neap_pages_reserve(cache->region_bytes);
  cache->shards = aligned_alloc(NEAP_CACHE_LINE, cache->shard_count * sizeof(neap_shard));
  if (cache->region == NULL || cache->shards == NULL) return NEAP_ENOMEM;
  char *base = cache->region;
  cache->slots = (neap_slot *)cache->region;
  cache->links = (neap_wheel_link *)(void *)(base + slots);
  for (unsigned i = 0; i < cache->shard_count; i++)
    neap_shard_init(cache, &cache->shards[i], base + slots + links + i * index, index);
  return 0;
}

static void free_region(neap_cache *cache) {
  neap_pages_release(cache->region, cache->region_bytes);
  free(cache->shards);
}

static void set_up(neap_cache *cache, const neap_host *host, const neap_cache_options *options) {
  cache->magic = NEAP_CACHE_MAGIC;
  cache->host = *host;
  cache->id = neap_seats_cache_id();
  cache->start_ms = host->now_ms(host->user);
  cache->seed = seed_of(host);
  cache->random.state = cache->seed;
  cache->hash_key = (neap_hash_key){neap_random_next(&cache->random), neap_random_next(&cache->random),
                                    neap_random_next(&cache->random)};
  cache->synchronous = options->synchronous != 0;
  cache->victims = options->victims;
  cache->default_ttl_ms = options->default_ttl_ms;
  cache->limits.object_derived = options->max_object_size == 0;
  set_limits(cache, options->max_entries != 0 ? options->max_entries : UINT64_MAX, options->max_memory,
             options->max_object_size);
  atomic_init(&cache->slots_high, NEAP_SLOT_FIRST);
  pthread_mutex_init(&cache->slots_lock, NULL);
  pthread_mutex_init(&cache->maintenance, NULL);
  pthread_mutex_init(&cache->evict_change, NULL);
  neap_epoch_init(cache);
  set_sizes(cache, options);
}

static void tear_down(neap_cache *cache) {
  pthread_mutex_destroy(&cache->slots_lock);
  pthread_mutex_destroy(&cache->maintenance);
  pthread_mutex_destroy(&cache->evict_change);
  free(cache->name);
  cache->magic = 0;
  free(cache);
}

int neap_store_create(neap_registry *registry, const neap_host *host, const neap_cache_options *options,
                      neap_store_mode mode, neap_cache **out, neap_err *err) {
  int rc = check_options(options, mode, err);
  if (rc) return rc;
  neap_cache *cache = aligned_alloc(NEAP_CACHE_LINE, sizeof *cache);
  if (cache == NULL) return neap_fail(err, NEAP_ENOMEM, "no memory for a cache");
  memset(cache, 0, sizeof *cache);
  cache->registry = registry;
  cache->mode = mode;
  set_up(cache, host, options);
  cache->name = strdup(options->name != NULL ? options->name : "cache");
  rc = cache->name == NULL ? NEAP_ENOMEM : reserve_region(cache);
  if (rc) {
    neap_fail(err, rc, "no memory for the tables of cache %s", cache->name ? cache->name : "");
    goto fail_region;
  }
  neap_wheel_init(&cache->wheel, cache->links, 0);
  rc = neap_evictor_create(cache, registry, options->evict, NULL, options->params, options->param_count, 1,
                           &cache->evictor, err);
  if (rc) goto fail_region;
  *out = cache;
  return 0;
fail_region:
  free_region(cache);
  tear_down(cache);
  return rc;
}

void neap_cache_destroy(neap_cache **pointer) {
  neap_cache *cache = *pointer;
  if (cache == NULL) return;
  neap_check_magic(cache, NEAP_CACHE_MAGIC);
  *pointer = NULL;
  neap_evictor_destroy(cache, &cache->evictor);
  neap_evictor_destroy(cache, &cache->previous);
  uint32_t high = atomic_load(&cache->slots_high);
  for (uint32_t slot = NEAP_SLOT_FIRST; slot < high; slot++) {
    neap_entry *entry = neap_word_entry(atomic_load(&cache->slots[slot].word));
    if (entry != NULL) neap_entry_free(cache, entry);
  }
  neap_seats_destroy(cache);
  for (unsigned i = 0; i < cache->shard_count; i++) neap_shard_fini(&cache->shards[i]);
  free_region(cache);
  tear_down(cache);
}

/* --- reading
 * ------------------------------------------------------------------------------------------------ */

/* The functions here that are marked hot end in a call where they make one, so that they save no registers:
 * the fewer instructions a get has, the more of them the processor has under way at once. */

static NEAP_SELDOM void enter_found(neap_cache *cache) {
  neap_seat_enter(cache, neap_seat_find(cache));
}

/* hot: */
void neap_cache_enter(neap_cache *cache) {
  if (!neap_seat_recalled(cache))
    enter_found(cache);
  else
    neap_seat_enter(cache, neap_seats_last.seat);
}

static NEAP_SELDOM void leave_found(neap_cache *cache) {
  neap_seat_find(cache);
  neap_cache_leave(cache);
}

/* hot: */
void neap_cache_leave(neap_cache *cache) {
  if (!neap_seat_recalled(cache)) {
    leave_found(cache);
    return;
  }
  neap_seat *seat = neap_seats_last.seat;
  neap_assert(neap_seat_inside(seat));
  neap_seat_leave(seat);
}

/* Finds a live, unexpired entry. The seat is inside. */
static inline neap_entry *find(neap_cache *cache, uint64_t hash, neap_view key) {
  neap_entry *entry = neap_index_find(neap_cache_shard(cache, hash), hash, key);
  return entry != NULL && NEAP_LIKELY(!neap_entry_expired(cache, entry)) ? entry : NULL;
}

static bool key_ok(neap_view key) {
  return key.size - 1 < NEAP_KEY_MAX; /* 0 wraps round */
}

static inline int missed(neap_seat *seat) {
  NEAP_COUNT(seat, misses);
  return NEAP_ENOTFOUND;
}

static inline int hit(neap_seat *seat, neap_entry *entry, neap_entry **out) {
  NEAP_COUNT(seat, hits);
  *out = entry;
  return neap_ring_hit(seat, entry->slot);
}

/* What seldom comes after a look-up takes the cache from the seat: so nobody has to keep it that long. */

/* An entry that does not live for ever. */
static __attribute__((noinline)) int hit_in_time(neap_seat *seat, neap_entry *entry, neap_entry **out) {
  return neap_entry_expired(seat->cache, entry) ? missed(seat) : hit(seat, entry, out);
}

static __attribute__((noinline)) int look_up_fully(neap_seat *seat, neap_view key, neap_entry **out) {
  neap_entry *entry = find(seat->cache, neap_cache_hash(seat->cache, key), key);
  return entry == NULL ? missed(seat) : hit(seat, entry, out);
}

/* hot: finds and counts. The seat is inside, the key fits. */
NEAP_INLINE int look_up_hashed(neap_cache *cache, neap_seat *seat, neap_view key, uint64_t hash,
                               neap_entry **out) {
  neap_entry *entry = neap_index_glance(neap_cache_shard(cache, hash), hash, key);
  if (NEAP_UNLIKELY(entry == NULL)) return look_up_fully(seat, key, out);
  if (neap_life_expires(neap_entry_life(entry)) != NEAP_NEVER) return hit_in_time(seat, entry, out);
  return hit(seat, entry, out);
}

static __attribute__((noinline)) int look_up_any(neap_seat *seat, neap_view key, neap_entry **out) {
  if (NEAP_UNLIKELY(!key_ok(key))) return NEAP_EKEY;
  return look_up_hashed(seat->cache, seat, key, neap_cache_hash(seat->cache, key), out);
}

/* Keys of 8 to 16 bytes need no loop: what is left of hash and compare then takes few registers. */
NEAP_INLINE int look_up(neap_cache *cache, neap_seat *seat, neap_view key, neap_entry **out) {
  if (NEAP_UNLIKELY(key.size - 8 > 8)) return look_up_any(seat, key, out);
  return look_up_hashed(cache, seat, key, neap_cache_hash(cache, key), out);
}

static NEAP_SELDOM int look_up_timed(neap_cache *cache, neap_seat *seat, neap_view key, neap_entry **out) {
  uint64_t start = cache->host.now_ns(cache->host.user);
  int rc = look_up(cache, seat, key, out);
  neap_histogram_add(&seat->get, cache->host.now_ns(cache->host.user) - start);
  return rc;
}

/* hot: one call in so many is timed. */
NEAP_INLINE int look_up_sampled(neap_cache *cache, neap_seat *seat, neap_view key, neap_entry **out) {
  if (NEAP_UNLIKELY(neap_seat_sampled(seat))) return look_up_timed(cache, seat, key, out);
  return look_up(cache, seat, key, out);
}

static NEAP_SELDOM int get_found(neap_cache *cache, neap_view key, const neap_entry **out) {
  neap_seat_find(cache);
  return neap_cache_get(cache, key, out);
}

/* hot: */
int neap_cache_get(neap_cache *cache, neap_view key, const neap_entry **out) {
  if (!neap_seat_recalled(cache)) return get_found(cache, key, out);
  neap_seat *seat = neap_seats_last.seat;
  neap_assert(neap_seat_inside(seat));
  return look_up_sampled(cache, seat, key, (neap_entry **)out);
}

int neap_store_find(neap_cache *cache, neap_view key, const neap_entry **out) {
  if (!key_ok(key)) return NEAP_EKEY;
  neap_assert(neap_seat_inside(neap_seat_get(cache)));
  const neap_entry *entry = find(cache, neap_cache_hash(cache, key), key);
  if (entry == NULL) return NEAP_ENOTFOUND;
  *out = entry;
  return 0;
}

void neap_store_mark(const neap_entry *entry) {
  atomic_fetch_or(&((neap_entry *)entry)->life, (uint64_t)NEAP_ENTRY_MARKED << 16);
}

bool neap_store_marked(const neap_entry *entry) {
  return neap_life_flags(neap_entry_life(entry)) & NEAP_ENTRY_MARKED;
}

/* hot: a few keys at a time: all buckets are on their way before the first is read, and all entries before
 * the first key is compared. */
static size_t get_few(neap_cache *cache, neap_seat *seat, const neap_view *keys, size_t count,
                      const neap_entry **out) {
  uint64_t hashes[FEW];
  size_t found = 0;
  for (size_t i = 0; i < count; i++) {
    hashes[i] = key_ok(keys[i]) ? neap_cache_hash(cache, keys[i]) : 0;
    neap_index_prefetch(neap_cache_shard(cache, hashes[i]), hashes[i]);
  }
  for (size_t i = 0; i < count; i++) neap_index_prefetch_entry(neap_cache_shard(cache, hashes[i]), hashes[i]);
  for (size_t i = 0; i < count; i++) {
    neap_entry *entry = NULL;
    if (NEAP_LIKELY(key_ok(keys[i]))) look_up_hashed(cache, seat, keys[i], hashes[i], &entry);
    out[i] = entry;
    found += entry != NULL;
  }
  return found;
}

size_t neap_cache_get_many(neap_cache *cache, const neap_view *keys, size_t count, const neap_entry **out) {
  neap_seat *seat = neap_seat_get(cache);
  neap_assert(neap_seat_inside(seat));
  size_t found = 0;
  for (size_t at = 0; at < count; at += FEW)
    found += get_few(cache, seat, keys + at, NEAP_MIN(count - at, (size_t)FEW), out + at);
  return found;
}

int neap_cache_get_ref(neap_cache *cache, neap_view key, neap_entry **out) {
  neap_seat *seat = neap_seat_get(cache);
  neap_seat_enter(cache, seat);
  int rc = look_up_sampled(cache, seat, key, out);
  if (rc == 0) neap_entry_ref(cache, *out);
  neap_seat_leave(seat);
  return rc;
}

/* Copies the value, which fits. */
static void copy_out(const neap_entry *entry, char *buffer) {
  neap_view piece;
  for (size_t i = 0; (piece = neap_entry_piece(entry, i)).size > 0; i++) {
    memcpy(buffer, piece.ptr, piece.size);
    buffer += piece.size;
  }
}

int neap_cache_get_copy(neap_cache *cache, neap_view key, void *buffer, size_t capacity, size_t *size) {
  neap_seat *seat = neap_seat_get(cache);
  neap_seat_enter(cache, seat);
  neap_entry *entry;
  int rc = look_up_sampled(cache, seat, key, &entry);
  if (rc == 0) {
    *size = (size_t)neap_entry_size(entry);
    if (*size <= capacity)
      copy_out(entry, buffer);
    else
      rc = NEAP_ESMALL;
  }
  neap_seat_leave(seat);
  return rc;
}

/* --- removing
 * ----------------------------------------------------------------------------------------------- */

bool neap_cache_unlink(neap_cache *cache, uint64_t hash, neap_entry *entry) {
  neap_shard *shard = neap_cache_shard(cache, hash);
  pthread_mutex_lock(&shard->lock);
  bool mine = neap_index_remove(shard, hash, entry);
  if (mine) {
    neap_slot *slot = &cache->slots[entry->slot & NEAP_SLOT_MASK];
    atomic_store_explicit(&slot->word, neap_word_pack(entry, NEAP_WORD_DEAD, entry->slot >> NEAP_EVENT_SHIFT),
                          memory_order_release);
    neap_room_retire(cache, entry);
    atomic_fetch_sub_explicit(&cache->live, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&cache->held, 1, memory_order_relaxed);
  }
  pthread_mutex_unlock(&shard->lock);
  return mine;
}

/* Removes an entry that the seat, inside, has found. */
static int remove_entry(neap_cache *cache, neap_seat *seat, uint64_t hash, neap_entry *entry) {
  uint32_t slot = entry->slot & NEAP_SLOT_MASK; /* afterwards the drainer may reuse it */
  if (!neap_cache_unlink(cache, hash, entry)) return NEAP_ENOTFOUND;
  neap_ring_push(seat, &(neap_record){.op = NEAP_OP_REMOVE, .slot = slot});
  return 0;
}

int neap_cache_remove(neap_cache *cache, neap_view key) {
  if (!key_ok(key)) return NEAP_EKEY;
  neap_seat *seat = neap_seat_get(cache);
  neap_ring_ensure(cache, seat, NEAP_PUT_WORDS);
  uint64_t hash = neap_cache_hash(cache, key);
  int rc = NEAP_ENOTFOUND;
  neap_seat_enter(cache, seat);
  for (neap_entry *entry; rc != 0 && (entry = find(cache, hash, key)) != NULL;)
    rc = remove_entry(cache, seat, hash, entry); /* a replaced one: its successor is to go */
  neap_seat_leave(seat);
  if (rc == 0) NEAP_COUNT(seat, removes);
  return rc;
}

int neap_cache_remove_entry(neap_cache *cache, const neap_entry *entry) {
  neap_seat *seat = neap_seat_get(cache);
  neap_ring_ensure(cache, seat, NEAP_PUT_WORDS);
  int rc = remove_entry(cache, seat, neap_cache_hash(cache, neap_entry_key(entry)), (neap_entry *)entry);
  if (rc == 0) NEAP_COUNT(seat, removes);
  return rc;
}

/* Calls `visit` for the entry of every slot. The walk is inside only during each call, so that it holds
 * nothing up. */
static int walk(neap_cache *cache, bool expired_too, int (*visit)(void *user, const neap_entry *entry),
                void *user) {
  neap_seat *seat = neap_seat_get(cache);
  uint32_t high = atomic_load_explicit(&cache->slots_high, memory_order_acquire);
  int rc = 0;
  for (uint32_t slot = NEAP_SLOT_FIRST; slot < high && rc == 0; slot++) {
    neap_ring_ensure(cache, seat, NEAP_PUT_WORDS);
    neap_seat_enter(cache, seat);
    const neap_entry *entry = neap_slot_live(&cache->slots[slot]);
    if (entry != NULL && (expired_too || !neap_entry_expired(cache, entry))) rc = visit(user, entry);
    neap_seat_leave(seat);
  }
  return rc;
}

int neap_cache_iterate(neap_cache *cache, int (*visit)(void *user, const neap_entry *entry), void *user) {
  neap_check_magic(cache, NEAP_CACHE_MAGIC);
  return walk(cache, false, visit, user);
}

static int clear_one(void *user, const neap_entry *entry) {
  neap_cache *cache = user;
  neap_seat *seat = neap_seat_get(cache);
  uint64_t hash = neap_cache_hash(cache, neap_entry_key(entry));
  if (remove_entry(cache, seat, hash, (neap_entry *)entry) == 0) NEAP_COUNT(seat, removes);
  return 0;
}

void neap_cache_clear(neap_cache *cache) {
  neap_check_magic(cache, NEAP_CACHE_MAGIC);
  walk(cache, true, clear_one, cache);
  neap_cache_tick(cache); /* gives the memory back */
}

/* --- keeping
 * ------------------------------------------------------------------------------------------------ */

int neap_cache_touch(neap_cache *cache, neap_view key, uint64_t ttl_ms) {
  if (!key_ok(key)) return NEAP_EKEY;
  neap_seat *seat = neap_seat_get(cache);
  neap_ring_ensure(cache, seat, NEAP_PUT_WORDS);
  uint64_t expires = neap_expiry_of(cache, neap_cache_now(cache), ttl_ms);
  if (expires != NEAP_NEVER) (void)neap_slots_ensure_timed(cache); /* see neap_expiry_file */
  neap_seat_enter(cache, seat);
  neap_entry *entry = find(cache, neap_cache_hash(cache, key), key);
  if (entry != NULL) {
    uint64_t life = neap_entry_life(entry);
    while (!atomic_compare_exchange_weak(&entry->life, &life, (life & 0xfffff) | expires << 20)) continue;
    neap_ring_push(seat,
                   &(neap_record){.op = NEAP_OP_TOUCH, .slot = entry->slot, .tick = neap_tick_of(expires)});
  }
  neap_seat_leave(seat);
  return entry != NULL ? 0 : NEAP_ENOTFOUND;
}

static void tell_time(neap_cache *cache) {
  if (cache->now - cache->told_tick < TICK_TELL_MS && cache->told_tick != 0) return;
  cache->told_tick = cache->now;
  neap_events_tell(cache, NEAP_EVENT_TICK, 0, 0, 0);
  neap_events_flush(cache);
}

uint64_t neap_cache_tick(neap_cache *cache) {
  neap_check_magic(cache, NEAP_CACHE_MAGIC);
  neap_seat *seat = neap_seat_get(cache);
  if (pthread_mutex_trylock(&cache->maintenance) != 0) return 0; /* who holds it does the same */
  neap_events_drain(cache, seat);
  neap_seat_enter(cache, seat);
  uint64_t expired = neap_expiry_run(cache, seat, TICK_EXPIRE);
  tell_time(cache);
  neap_seat_leave(seat);
  neap_epoch_reclaim(cache, seat);
  neap_room_charge_policy(cache);
  pthread_mutex_unlock(&cache->maintenance);
  return expired;
}
