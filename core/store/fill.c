/* Writing: a fill reserves room, takes the bytes in, and becomes an entry at commit. A put is a fill in one
 * go.
 *
 *   length known, at most 64 KiB - 1   the entry is allocated at begin, bytes go straight into it
 *   length known, more                 a body of large pieces, reserved whole at begin
 *   length unknown                     a body of pieces that double; a small one is copied into an entry at
 * commit */
#include <math.h>

#include "store/impl.h"
#include "store/lookup.h"

enum {
  PIECE_FIRST = 4 << 10,
  PIECE_MOST = 256 << 10,
  META_MOST = 64 << 10,
  PIECES_FIRST = 8,
  COMMIT_TRIES = 16 /* rounds of making room for a page of a table, or for one more entry */
};

struct neap_fill {
  uint32_t magic;
  bool counted; /* holds one of max_entries */
  bool failed;  /* only abort is left */
  bool shelved; /* prefetched: the policy hears of it at its first use */
  neap_cache *cache;
  neap_entry *entry; /* length known and small */
  neap_body *body;   /* otherwise */
  neap_view key, meta;
  uint64_t hash;
  uint64_t length, written;
  uint64_t reserved; /* bytes of `used` that wait for the entry */
  uint64_t own;      /* and those of this struct, where it is on the heap */
  uint64_t version, ttl_ms;
  uint16_t cost;
};

enum { NEAP_FILL_MAGIC = 0x6e46696c };

static void count_failure(neap_seat *seat, int rc) {
  switch (rc) {
  case NEAP_ETOOLARGE: NEAP_COUNT(seat, rejected_size); break;
  case NEAP_EROOM: NEAP_COUNT(seat, rejected_room); break;
  case NEAP_EREFUSED: NEAP_COUNT(seat, rejected_policy); break;
  case NEAP_EVERSION: NEAP_COUNT(seat, rejected_version); break;
  default: break;
  }
}

/* --- room
 * -------------------------------------------------------------------------------------------------- */

static int reserve(neap_fill *fill, uint64_t bytes, uint64_t entries) {
  neap_cache *cache = fill->cache;
  neap_seat *seat = neap_seat_get(cache);
  neap_candidate candidate = {fill->hash, fill->reserved + bytes};
  neap_ring_ensure(cache, seat, NEAP_PUT_WORDS);
  int rc = neap_room_make(cache, seat, bytes, entries, &candidate);
  if (rc) return rc;
  fill->reserved += bytes;
  fill->counted = fill->counted || entries > 0;
  atomic_fetch_add_explicit(&cache->filling_bytes, bytes, memory_order_relaxed);
  return 0;
}

static void unreserve(neap_fill *fill, uint64_t bytes) {
  fill->reserved -= bytes;
  atomic_fetch_sub_explicit(&fill->cache->filling_bytes, bytes, memory_order_relaxed);
  neap_room_release(fill->cache, bytes, 0);
}

static void uncount(neap_fill *fill) {
  if (fill->counted) neap_room_release(fill->cache, 0, 1);
  fill->counted = false;
}

/* --- begin
 * ------------------------------------------------------------------------------------------------- */

static int check(const neap_cache *cache, neap_view key, uint64_t length, const neap_put_options *options) {
  if (key.size - 1 >= NEAP_KEY_MAX) return NEAP_EKEY;
  if (options->meta.size > META_MOST) return NEAP_ETOOLARGE;
  if (!(options->cost >= 0) || isinf(options->cost)) return NEAP_EINVAL;
  uint64_t most = atomic_load_explicit((_Atomic uint64_t *)&cache->limits.object, memory_order_relaxed);
  uint64_t known = length == NEAP_LENGTH_UNKNOWN ? 0 : length, around = key.size + options->meta.size;
  return around > most || known > most - around ? NEAP_ETOOLARGE : 0;
}

static uint32_t piece_count(uint64_t length) {
  return (uint32_t)((length + PIECE_MOST - 1) / PIECE_MOST);
}

static uint64_t body_cost(neap_cache *cache, uint32_t pieces) {
  return neap_cache_good_size(cache, sizeof(neap_body) + pieces * sizeof(neap_piece));
}

/* Bytes that an entry of this shape is charged in the end; of unknown length, what it takes to begin. */
static uint64_t cost_of(neap_cache *cache, const neap_shape *shape) {
  uint64_t bytes = neap_cache_good_size(cache, neap_entry_bytes(shape));
  if (shape->length <= NEAP_ENTRY_INLINE_MAX) return bytes;
  if (shape->length == NEAP_LENGTH_UNKNOWN) return bytes + body_cost(cache, PIECES_FIRST);
  uint32_t count = piece_count(shape->length);
  uint64_t last = shape->length - (uint64_t)(count - 1) * PIECE_MOST;
  return bytes + body_cost(cache, count) + (count - 1) * (uint64_t)neap_cache_good_size(cache, PIECE_MOST) +
         neap_cache_good_size(cache, (size_t)last);
}

static void tell_miss(neap_cache *cache, neap_seat *seat, uint64_t hash, uint64_t size) {
  neap_ring_ensure(cache, seat, NEAP_PUT_WORDS);
  neap_ring_push(seat, &(neap_record){.op = NEAP_OP_MISS,
                                      .size = (uint32_t)NEAP_MIN(size, (uint64_t)INT32_MAX),
                                      .hash = hash});
}

static bool key_is_there(neap_cache *cache, neap_seat *seat, uint64_t hash, neap_view key) {
  neap_seat_enter(cache, seat);
  bool there = neap_index_find(neap_cache_shard(cache, hash), hash, key) != NULL;
  neap_seat_leave(seat);
  return there;
}

/* Reserves what is known to be needed and allocates it. */
static int start(neap_fill *fill) {
  neap_cache *cache = fill->cache;
  neap_seat *seat = neap_seat_get(cache);
  neap_shape shape = {fill->key, fill->meta, fill->length, NULL};
  bool known = fill->length != NEAP_LENGTH_UNKNOWN, keys = cache->mode == NEAP_STORE_KEYS;
  uint64_t bytes = keys ? fill->version : cost_of(cache, &shape);
  if (!fill->shelved) tell_miss(cache, seat, fill->hash, known ? bytes : 0);
  int32_t admit = atomic_load_explicit(&cache->admit_max, memory_order_relaxed);
  if (admit > 0 && bytes > (uint64_t)admit) return NEAP_EREFUSED;
  /* Replacing an entry takes no place of another. Should it be gone by then, commit counts it. */
  int rc = reserve(fill, bytes, !keys && key_is_there(cache, seat, fill->hash, fill->key) ? 0 : 1);
  if (rc) return rc;
  if (fill->length <= NEAP_ENTRY_INLINE_MAX)
    fill->entry = neap_entry_create(cache, &shape);
  else
    fill->body = neap_body_create(cache, known ? piece_count(fill->length) : PIECES_FIRST);
  return fill->entry != NULL || fill->body != NULL ? 0 : NEAP_ENOMEM;
}

/* --- append
 * ------------------------------------------------------------------------------------------------ */

static uint32_t next_room(const neap_fill *fill) {
  if (fill->length != NEAP_LENGTH_UNKNOWN)
    return (uint32_t)NEAP_MIN(fill->length - fill->body->size, (uint64_t)PIECE_MOST);
  return fill->body->count == 0 ? PIECE_FIRST
                                : NEAP_MIN(fill->body->pieces[fill->body->count - 1].room * 2, PIECE_MOST);
}

/* One more piece. Of unknown length it is reserved first, with room for a wider body. */
static int grow(neap_fill *fill) {
  neap_cache *cache = fill->cache;
  uint32_t room = next_room(fill);
  if (fill->length == NEAP_LENGTH_UNKNOWN) {
    bool widens = fill->body->count == fill->body->capacity;
    size_t wide = sizeof(neap_body) + (widens ? 2 * fill->body->capacity * sizeof(neap_piece) : 0);
    int rc = reserve(fill,
                     neap_cache_good_size(cache, room) + (widens ? neap_cache_good_size(cache, wide) : 0), 0);
    if (rc) return rc;
  }
  return neap_body_grow(cache, &fill->body, room);
}

static int append_to_body(neap_fill *fill, neap_view bytes) {
  while (bytes.size > 0) {
    size_t done = neap_body_append(fill->body, bytes);
    bytes = (neap_view){bytes.ptr + done, bytes.size - done};
    int rc = bytes.size > 0 ? grow(fill) : 0;
    if (rc) return rc;
  }
  return 0;
}

static int append(neap_fill *fill, neap_view bytes) {
  uint64_t most = atomic_load_explicit(&fill->cache->limits.object, memory_order_relaxed);
  uint64_t length = fill->length == NEAP_LENGTH_UNKNOWN
                        ? most - NEAP_MIN(most, fill->key.size + fill->meta.size)
                        : fill->length;
  if (bytes.size > length - fill->written)
    return fill->length == NEAP_LENGTH_UNKNOWN ? NEAP_ETOOLARGE : NEAP_ELENGTH;
  if (fill->entry != NULL && bytes.size > 0)
    memcpy(neap_entry_value(fill->entry) + fill->written, bytes.ptr, bytes.size);
  int rc = fill->entry != NULL ? 0 : append_to_body(fill, bytes);
  fill->written += rc == 0 ? bytes.size : 0;
  return rc;
}

/* --- commit
 * ------------------------------------------------------------------------------------------------ */

/* A body of unknown length that turned out small moves into an entry; of a large one the last piece is cut to
 * size, where that saves something. Both need the old and the new for a moment. */
static int settle_small(neap_fill *fill) {
  neap_shape shape = {fill->key, fill->meta, fill->written, NULL};
  int rc = reserve(fill, cost_of(fill->cache, &shape), 0);
  if (rc) return rc;
  fill->entry = neap_entry_create(fill->cache, &shape);
  if (fill->entry == NULL) return NEAP_ENOMEM;
  char *to = neap_entry_value(fill->entry);
  for (uint32_t i = 0; i < fill->body->count; to += fill->body->pieces[i++].size)
    memcpy(to, fill->body->pieces[i].ptr, fill->body->pieces[i].size);
  neap_body_unref(fill->cache, fill->body);
  fill->body = NULL;
  return 0;
}

static void trim_last(neap_fill *fill) {
  neap_cache *cache = fill->cache;
  neap_piece *last = &fill->body->pieces[fill->body->count - 1];
  uint64_t old = neap_cache_good_size(cache, last->room), fit = neap_cache_good_size(cache, last->size);
  if (fit > old / 2 || reserve(fill, fit, 0)) return;
  char *ptr = cache->host.alloc(cache->host.user, last->size);
  if (ptr == NULL) return;
  memcpy(ptr, last->ptr, last->size);
  cache->host.free(cache->host.user, last->ptr, last->room);
  *last = (neap_piece){ptr, last->size, last->size};
  fill->body->charged -= old - fit;
}

/* Makes the entry of what has been filled, and reserves exactly what it is charged. */
static int settle(neap_fill *fill) {
  neap_cache *cache = fill->cache;
  if (fill->body != NULL && fill->length == NEAP_LENGTH_UNKNOWN && fill->written <= NEAP_ENTRY_INLINE_MAX) {
    int rc = settle_small(fill);
    if (rc) return rc;
  }
  if (fill->body != NULL) {
    if (fill->length == NEAP_LENGTH_UNKNOWN) trim_last(fill);
    neap_shape shape = {fill->key, fill->meta, 0, fill->body};
    fill->entry = neap_entry_create(cache, &shape);
    if (fill->entry == NULL) return NEAP_ENOMEM;
    fill->body = NULL; /* the entry's */
  }
  fill->entry->version = fill->version; /* of keys: the size, which is what they are charged */
  uint64_t charged = neap_entry_charged(cache, fill->entry);
  neap_assert(fill->reserved >= charged);
  if (fill->reserved > charged) unreserve(fill, fill->reserved - charged);
  return 0;
}

/* What commit found under the lock. */
typedef struct outcome {
  neap_entry *old;        /* replaced, or NULL */
  bool expired;           /* it had */
  uint32_t slot, carrier; /* slot: with its generation */
} outcome;

/* Puts the new entry where the old one was. The next slot of the hand carries the old one to the retired
 * list. */
static int replace(neap_fill *fill, neap_seat *seat, neap_shard *shard, _Atomic uint64_t *place,
                   outcome *out) {
  neap_cache *cache = fill->cache;
  neap_entry *entry = fill->entry, *old = neap_index_at(place);
  out->expired = neap_entry_expired(cache, old);
  if (!out->expired && fill->version != 0 && fill->version < old->version) return NEAP_EVERSION;
  if (fill->version == 0) entry->version = NEAP_MAX(++shard->version, old->version + 1);
  out->old = old;
  out->slot = old->slot;
  out->carrier = neap_slots_take(seat);
  entry->slot = old->slot;
  uint32_t generation = neap_word_generation(atomic_load(&cache->slots[out->carrier].word));
  neap_index_swap(place, entry);
  atomic_store_explicit(&cache->slots[old->slot & NEAP_SLOT_MASK].word,
                        neap_word_pack(entry, NEAP_WORD_LIVE, old->slot >> NEAP_EVENT_SHIFT),
                        memory_order_release);
  atomic_store_explicit(&cache->slots[out->carrier].word, neap_word_pack(old, NEAP_WORD_DEAD, generation),
                        memory_order_release);
  neap_room_retire(cache, old);
  return 0;
}

/* A prefetched entry that replaces another is no newcomer: it is not shelved. */
static void shelve(neap_cache *cache, neap_entry *entry) {
  atomic_fetch_or_explicit(&entry->life, NEAP_LIFE_UNUSED, memory_order_relaxed);
  atomic_fetch_add_explicit(&cache->shelved, 1, memory_order_relaxed);
}

static int insert(neap_fill *fill, neap_seat *seat, neap_shard *shard, outcome *out) {
  neap_cache *cache = fill->cache;
  neap_entry *entry = fill->entry;
  uint32_t number = seat->hand[seat->hand_count - 1];
  neap_slot *slot = &cache->slots[number];
  uint32_t generation = neap_word_generation(atomic_load(&slot->word));
  out->slot = entry->slot = generation << NEAP_EVENT_SHIFT | number;
  if (fill->version == 0) entry->version = ++shard->version;
  if (fill->shelved) shelve(cache, entry);
  atomic_store_explicit(&slot->seen, entry->created, memory_order_relaxed);
  int rc = neap_index_insert(cache, shard, fill->hash, entry);
  if (rc) {
    neap_shelf_take(cache, entry);
    return rc;
  }
  neap_slots_take(seat);
  atomic_store_explicit(&slot->word, neap_word_pack(entry, NEAP_WORD_LIVE, generation), memory_order_release);
  atomic_fetch_add_explicit(&cache->live, 1, memory_order_relaxed);
  return 0;
}

enum { COMMIT_COUNT = 1 }; /* the entry must be counted first */

static int publish(neap_fill *fill, neap_seat *seat, outcome *out) {
  neap_cache *cache = fill->cache;
  neap_shard *shard = neap_cache_shard(cache, fill->hash);
  int rc;
  pthread_mutex_lock(&shard->lock);
  _Atomic uint64_t *place = neap_index_place(shard, fill->hash, fill->key);
  if (place != NULL)
    rc = replace(fill, seat, shard, place, out);
  else
    rc = fill->counted ? insert(fill, seat, shard, out) : COMMIT_COUNT;
  pthread_mutex_unlock(&shard->lock);
  return rc;
}

/* Publishes, making room for slots, pages of the index and the count of entries as it turns out to be needed.
 */
static int publish_with_room(neap_fill *fill, neap_seat *seat, outcome *out) {
  static const neap_candidate none;
  neap_cache *cache = fill->cache;
  int rc = NEAP_EROOM;
  for (int i = 0; i < COMMIT_TRIES; i++) {
    neap_ring_ensure(cache, seat, NEAP_PUT_WORDS);
    rc = neap_slots_ensure(cache, seat);
    if (rc == 0) rc = publish(fill, seat, out);
    if (rc != COMMIT_COUNT && rc != NEAP_EROOM) return rc;
    int made =
        rc == COMMIT_COUNT ? reserve(fill, 0, 1) : neap_room_make(cache, seat, NEAP_MAKE_TABLE, 0, &none);
    if (made) return made;
    if (rc == NEAP_EROOM) neap_room_release(cache, NEAP_MAKE_TABLE, 0);
  }
  return rc == COMMIT_COUNT ? NEAP_EROOM : rc;
}

/* The first entry that expires: the links of the wheel must be paid for. */
static int ensure_timed(neap_fill *fill) {
  for (int i = 0; i < COMMIT_TRIES; i++) {
    if (neap_slots_ensure_timed(fill->cache) == 0) return 0;
    uint64_t bytes = neap_slots_timed_bytes(fill->cache);
    int rc = reserve(fill, bytes, 0);
    if (rc) return rc;
    unreserve(fill, bytes);
  }
  return NEAP_EROOM;
}

/* The time of what is to be stored is when it is stored. */
static int stamp(neap_fill *fill) {
  neap_cache *cache = fill->cache;
  if (cache->mode == NEAP_STORE_KEYS) return 0; /* knows no time */
  uint64_t now = neap_cache_now(cache), expires = neap_expiry_of(cache, now, fill->ttl_ms);
  unsigned flags = neap_life_flags(neap_entry_life(fill->entry));
  fill->entry->created = (uint32_t)(now / NEAP_TICK_MS);
  atomic_store_explicit(&fill->entry->life, neap_life_pack(expires, flags, fill->cost), memory_order_relaxed);
  return expires == NEAP_NEVER ? 0 : ensure_timed(fill);
}

static void tell_commit(neap_fill *fill, neap_seat *seat, const outcome *out, uint64_t expires) {
  neap_record record = {.op = out->old != NULL ? NEAP_OP_UPDATE
                              : fill->shelved  ? NEAP_OP_SHELVE
                                               : NEAP_OP_INSERT,
                        .slot = out->slot,
                        .size = (uint32_t)NEAP_MIN(fill->reserved, (uint64_t)INT32_MAX),
                        .tick = neap_tick_of(expires),
                        .carrier = out->carrier,
                        .hash = fill->hash};
  neap_ring_push(seat, &record);
  NEAP_COUNT(seat, puts);
  if (out->old != NULL && out->expired)
    NEAP_COUNT(seat, expirations);
  else if (out->old != NULL)
    NEAP_COUNT(seat, updates);
}

/* Makes the entry visible. On success the fill holds nothing any more. */
static int commit(neap_fill *fill, neap_entry **kept) {
  neap_cache *cache = fill->cache;
  neap_seat *seat = neap_seat_get(cache);
  if (fill->failed) return NEAP_ESTATE;
  if (fill->length != NEAP_LENGTH_UNKNOWN && fill->written != fill->length) return NEAP_ELENGTH;
  int rc = settle(fill);
  if (rc == 0) rc = stamp(fill);
  if (rc) return rc;
  neap_entry *entry = fill->entry;
  uint64_t expires = neap_life_expires(neap_entry_life(entry));
  if (kept != NULL) atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
  /* Booked before it can be seen, because from then on anyone may evict it. */
  atomic_fetch_add_explicit(&cache->live_bytes, fill->reserved, memory_order_relaxed);
  atomic_fetch_sub_explicit(&cache->filling_bytes, fill->reserved, memory_order_relaxed);
  outcome out = {0};
  rc = publish_with_room(fill, seat, &out);
  if (rc) {
    atomic_fetch_sub_explicit(&cache->live_bytes, fill->reserved, memory_order_relaxed);
    atomic_fetch_add_explicit(&cache->filling_bytes, fill->reserved, memory_order_relaxed);
    return rc;
  }
  fill->entry = NULL;
  if (out.old != NULL) uncount(fill);
  fill->counted = false; /* the live entry's */
  tell_commit(fill, seat, &out, expires);
  fill->reserved = 0;
  if (kept != NULL) *kept = entry;
  return 0;
}

/* Gives back whatever the fill holds. */
static void discard(neap_fill *fill) {
  if (fill->entry != NULL) neap_entry_free(fill->cache, fill->entry);
  if (fill->body != NULL) neap_body_unref(fill->cache, fill->body);
  unreserve(fill, fill->reserved);
  uncount(fill);
}

/* --- public
 * ------------------------------------------------------------------------------------------------ */

static const neap_put_options no_options;

static neap_fill fill_of(neap_cache *cache, neap_view key, uint64_t length, const neap_put_options *options) {
  return (neap_fill){.magic = NEAP_FILL_MAGIC,
                     .cache = cache,
                     .key = key,
                     .meta = options->meta,
                     .hash = neap_cache_hash(cache, key),
                     .length = length,
                     .version = options->version,
                     .ttl_ms = options->ttl_ms,
                     .cost = neap_cost_pack(options->cost)};
}

static int put(neap_cache *cache, neap_view key, neap_view value, const neap_put_options *options) {
  int rc = check(cache, key, value.size, options);
  if (rc) return rc;
  neap_fill fill = fill_of(cache, key, value.size, options);
  rc = start(&fill);
  if (rc == 0) rc = append(&fill, value);
  if (rc == 0) rc = commit(&fill, NULL);
  if (rc) discard(&fill);
  return rc;
}

int neap_cache_put(neap_cache *cache, neap_view key, neap_view value, const neap_put_options *options) {
  neap_check_magic(cache, NEAP_CACHE_MAGIC);
  neap_seat *seat = neap_seat_get(cache);
  bool timed = neap_seat_sampled(seat);
  uint64_t start_ns = timed ? cache->host.now_ns(cache->host.user) : 0;
  int rc = put(cache, key, value, options != NULL ? options : &no_options);
  if (rc) count_failure(seat, rc);
  if (timed) neap_histogram_add(&seat->put, cache->host.now_ns(cache->host.user) - start_ns);
  return rc;
}

static size_t fill_bytes(const neap_fill *fill) {
  return sizeof *fill + fill->key.size + fill->meta.size;
}

/* A fill on the heap, with copies of key and meta. Its own bytes are charged, too. */
static int fill_create(neap_fill *form, neap_fill **out) {
  neap_cache *cache = form->cache;
  size_t bytes = fill_bytes(form);
  int rc = reserve(form, neap_cache_good_size(cache, bytes), 0);
  if (rc) return rc;
  neap_fill *fill = cache->host.alloc(cache->host.user, bytes);
  if (fill == NULL) {
    discard(form);
    return NEAP_ENOMEM;
  }
  *fill = *form;
  fill->own = form->reserved;
  fill->reserved = 0;
  char *copy = (char *)(fill + 1);
  memcpy(copy, form->key.ptr, form->key.size);
  if (form->meta.size > 0) memcpy(copy + form->key.size, form->meta.ptr, form->meta.size);
  fill->key.ptr = copy;
  fill->meta.ptr = copy + form->key.size;
  *out = fill;
  return 0;
}

static void fill_destroy(neap_fill **pointer) {
  neap_fill *fill = *pointer;
  neap_cache *cache = fill->cache;
  uint64_t own = fill->own;
  *pointer = NULL;
  discard(fill);
  fill->magic = 0;
  cache->host.free(cache->host.user, fill, fill_bytes(fill));
  atomic_fetch_sub_explicit(&cache->filling_bytes, own, memory_order_relaxed);
  neap_room_release(cache, own, 0);
}

static int begin(neap_cache *cache, neap_view key, uint64_t length, const neap_put_options *options,
                 bool shelved, neap_fill **out) {
  neap_check_magic(cache, NEAP_CACHE_MAGIC);
  if (options == NULL) options = &no_options;
  neap_fill *fill = NULL;
  int rc = check(cache, key, length, options);
  if (rc == 0) {
    neap_fill form = fill_of(cache, key, length, options);
    form.shelved = shelved;
    rc = fill_create(&form, &fill);
  }
  if (rc == 0) rc = start(fill);
  if (rc == 0) {
    *out = fill;
    return 0;
  }
  count_failure(neap_seat_get(cache), rc);
  if (fill != NULL) fill_destroy(&fill);
  return rc;
}

int neap_cache_put_begin(neap_cache *cache, neap_view key, uint64_t length, const neap_put_options *options,
                         neap_fill **out) {
  return begin(cache, key, length, options, false, out);
}

int neap_store_shelve_begin(neap_cache *cache, neap_view key, uint64_t length,
                            const neap_put_options *options, neap_fill **out) {
  return begin(cache, key, length, options, true, out);
}

int neap_fill_append(neap_fill *fill, neap_view bytes) {
  neap_check_magic(fill, NEAP_FILL_MAGIC);
  if (fill->failed) return NEAP_ESTATE;
  int rc = append(fill, bytes);
  if (rc) count_failure(neap_seat_get(fill->cache), rc);
  fill->failed = rc != 0;
  return rc;
}

int neap_fill_commit(neap_fill **pointer, neap_entry **out) {
  neap_check_magic(*pointer, NEAP_FILL_MAGIC);
  neap_seat *seat = neap_seat_get((*pointer)->cache);
  int rc = commit(*pointer, out);
  if (rc) {
    count_failure(seat, rc);
    NEAP_COUNT(seat, aborted_fills);
  }
  fill_destroy(pointer);
  return rc;
}

void neap_fill_abort(neap_fill **pointer) {
  neap_check_magic(*pointer, NEAP_FILL_MAGIC);
  NEAP_COUNT(neap_seat_get((*pointer)->cache), aborted_fills);
  fill_destroy(pointer);
}

/* --- replay: requests of a trace, the way that gets and puts of a live cache go
 * ------------------------- */

static int put_key(neap_cache *cache, neap_seat *seat, neap_view key, uint64_t hash, uint32_t size,
                   bool shelved) {
  neap_fill fill = {.magic = NEAP_FILL_MAGIC,
                    .shelved = shelved,
                    .cache = cache,
                    .key = key,
                    .hash = hash,
                    .version = size};
  int rc = start(&fill);
  if (rc == 0) rc = commit(&fill, NULL);
  if (rc == 0) return 0;
  count_failure(seat, rc);
  discard(&fill);
  return rc;
}

static void tell_use(neap_cache *cache, neap_seat *seat, uint32_t slot, uint32_t size, uint64_t hash) {
  neap_ring_ensure(cache, seat, NEAP_PUT_WORDS);
  neap_ring_push(
      seat,
      &(neap_record){.op = NEAP_OP_USE, .slot = slot, .size = size, .tick = NEAP_TICK_NEVER, .hash = hash});
}

uint64_t neap_store_prefetch(neap_cache *cache, uint64_t key) {
  uint64_t hash = neap_cache_hash(cache, (neap_view){(const char *)&key, sizeof key});
  neap_index_prefetch(neap_cache_shard(cache, hash), hash);
  return hash;
}

int neap_store_shelve(neap_cache *cache, uint64_t key, uint64_t hash, uint32_t size) {
  neap_debug_assert(cache->mode == NEAP_STORE_KEYS);
  return put_key(cache, neap_seat_get(cache), (neap_view){(const char *)&key, sizeof key}, hash, size, true);
}

/* Looks up, and tells of what was found. */
static neap_store_found look(neap_cache *cache, uint64_t key, uint64_t hash) {
  neap_debug_assert(cache->mode == NEAP_STORE_KEYS);
  neap_seat *seat = neap_seat_get(cache);
  neap_view view = {(const char *)&key, sizeof key};
  neap_seat_enter(cache, seat);
  neap_entry *entry = neap_index_find(neap_cache_shard(cache, hash), hash, view);
  bool first = entry != NULL && neap_shelf_take(cache, entry);
  uint32_t slot = entry != NULL ? entry->slot : 0, held = first ? (uint32_t)entry->version : 0;
  if (entry != NULL && !first) neap_ring_hit(seat, slot);
  neap_seat_leave(seat);
  neap_seat_count(seat, NEAP_COUNT_hits, entry != NULL);
  if (first) tell_use(cache, seat, slot, held, hash);
  return entry == NULL ? NEAP_STORE_MISS : first ? NEAP_STORE_FIRST_USE : NEAP_STORE_HIT;
}

bool neap_store_replay_hit(neap_cache *cache, uint64_t key, uint64_t hash) {
  return look(cache, key, hash) != NEAP_STORE_MISS;
}

neap_store_found neap_store_replay(neap_cache *cache, uint64_t key, uint64_t hash, uint32_t size) {
  neap_store_found found = look(cache, key, hash);
  if (found != NEAP_STORE_MISS) return found;
  neap_seat *seat = neap_seat_get(cache);
  NEAP_COUNT(seat, misses);
  put_key(cache, seat, (neap_view){(const char *)&key, sizeof key}, hash, size, false);
  return NEAP_STORE_MISS;
}
