#include "store/index.h"

#include "base/pages.h"
#include "store/impl.h"

/* Entries per bucket at which the next one is split: of 7 slots, because a bucket that waits for its split
 * holds up to half as much again, and an overflow bucket costs its readers a cache miss. */
enum { LOAD = 5, FIRST_BUCKETS = 4, TAG_SHIFT = 48 };

/* Bits of the hash: the top six choose the shard, the low ones the bucket, those between are the tag. */
static uint64_t tag_of(uint64_t hash) {
  return (hash >> 36 & 0xffff) << TAG_SHIFT;
}

static neap_entry *entry_of(uint64_t word) {
  return (neap_entry *)(uintptr_t)(word & NEAP_WORD_POINTER);
}

static uint64_t word_of(uint64_t hash, const neap_entry *entry) {
  return tag_of(hash) | (uint64_t)(uintptr_t)entry;
}

static uint64_t load(const _Atomic uint64_t *word) {
  return atomic_load_explicit((_Atomic uint64_t *)word, memory_order_acquire);
}

static void store(_Atomic uint64_t *word, uint64_t value) {
  atomic_store_explicit(word, value, memory_order_release);
}

/* With n buckets: as many low bits as n - 1 has, one less for those whose split is still to come. */
static uint32_t number_of(uint64_t hash, uint32_t count) {
  uint32_t mask = UINT32_MAX >> __builtin_clz(count - 1);
  uint32_t number = (uint32_t)hash & mask;
  return number < count ? number : number & mask >> 1;
}

static neap_bucket *linked(const neap_shard *shard, const neap_bucket *bucket) {
  uint64_t link = load(&bucket->link);
  return link != 0 ? &shard->overflow[link - 1] : NULL;
}

static neap_bucket *bucket_of(const neap_shard *shard, uint64_t hash) {
  uint32_t count = atomic_load_explicit((_Atomic uint32_t *)&shard->count, memory_order_acquire);
  return &shard->buckets[number_of(hash, count)];
}

static bool same_key(const neap_entry *entry, neap_view key) {
  return entry->key_size == key.size && memcmp(neap_entry_key_ptr(entry), key.ptr, key.size) == 0;
}

/* Where the key is in the chain of its bucket, and the word read there. */
static inline _Atomic uint64_t *search(const neap_shard *shard, uint64_t hash, neap_view key,
                                       uint64_t *found) {
  uint64_t tag = tag_of(hash);
  for (neap_bucket *bucket = bucket_of(shard, hash); bucket != NULL; bucket = linked(shard, bucket)) {
    for (unsigned i = 0; i < NEAP_BUCKET_SLOTS; i++) {
      uint64_t word = load(&bucket->slots[i]);
      if ((word ^ tag) >> TAG_SHIFT != 0 || entry_of(word) == NULL) continue;
      if (NEAP_UNLIKELY(!same_key(entry_of(word), key))) continue;
      *found = word;
      return &bucket->slots[i];
    }
  }
  return NULL;
}

neap_entry *neap_index_find(neap_shard *shard, uint64_t hash, neap_view key) {
  for (;;) {
    uint64_t moves = load(&shard->moves), word;
    if (NEAP_LIKELY(search(shard, hash, key, &word) != NULL)) return entry_of(word);
    if (NEAP_LIKELY(load(&shard->moves) == moves)) return NULL;
  }
}

void neap_index_prefetch(const neap_shard *shard, uint64_t hash) {
  __builtin_prefetch(bucket_of(shard, hash));
}

_Atomic uint64_t *neap_index_place(neap_shard *shard, uint64_t hash, neap_view key) {
  uint64_t word;
  return search(shard, hash, key, &word);
}

neap_entry *neap_index_at(_Atomic uint64_t *place) {
  return entry_of(load(place));
}

void neap_index_swap(_Atomic uint64_t *place, neap_entry *entry) {
  store(place, (load(place) & ~NEAP_WORD_POINTER) | (uint64_t)(uintptr_t)entry);
}

/* --- growing
 * ----------------------------------------------------------------------------------------------- */

/* Reserves the page where bucket `number` of a table lies, if it is the first there. */
static bool reserve_page(neap_cache *cache, uint32_t number) {
  if (number % (NEAP_PAGE / sizeof(neap_bucket)) != 0 || cache->mode == NEAP_STORE_KEYS) return true;
  if (!neap_room_reserve(cache, NEAP_PAGE, 0)) return false;
  atomic_fetch_add_explicit(&cache->table_bytes, NEAP_PAGE, memory_order_relaxed);
  return true;
}

/* A cleared overflow bucket's number + 1; 0: no room. */
static uint32_t overflow_take(neap_cache *cache, neap_shard *shard) {
  uint32_t number = shard->overflow_free;
  if (number != 0) {
    shard->overflow_free = (uint32_t)load(&shard->overflow[number - 1].link);
    store(&shard->overflow[number - 1].link, 0);
    return number;
  }
  if (shard->overflow_used == shard->limit || !reserve_page(cache, shard->overflow_used)) return 0;
  return ++shard->overflow_used;
}

/* Puts a word into the first free slot of a chain, which it lengthens where it must. */
static int chain_add(neap_cache *cache, neap_shard *shard, neap_bucket *bucket, uint64_t word) {
  for (;; bucket = linked(shard, bucket)) {
    for (unsigned i = 0; i < NEAP_BUCKET_SLOTS; i++) {
      if (load(&bucket->slots[i]) != 0) continue;
      store(&bucket->slots[i], word);
      return 0;
    }
    if (load(&bucket->link) != 0) continue;
    uint32_t number = overflow_take(cache, shard);
    if (number == 0) return NEAP_EROOM;
    store(&bucket->link, number);
  }
}

/* Frees the overflow buckets of a chain that are empty. Readers in them find nothing, or what came there
 * since, whose key they compare; and they see that `moves` has changed. */
static void chain_trim(neap_shard *shard, neap_bucket *bucket) {
  while (load(&bucket->link) != 0) {
    uint32_t number = (uint32_t)load(&bucket->link);
    neap_bucket *next = &shard->overflow[number - 1];
    bool empty = true;
    for (unsigned i = 0; i < NEAP_BUCKET_SLOTS; i++) empty = empty && load(&next->slots[i]) == 0;
    if (!empty) {
      bucket = next;
      continue;
    }
    store(&bucket->link, load(&next->link));
    store(&shard->moves, load(&shard->moves) + 1);
    store(&next->link, shard->overflow_free);
    shard->overflow_free = number;
  }
}

static uint64_t hash_of(const neap_cache *cache, uint64_t word) {
  return neap_cache_hash(cache, neap_entry_key(entry_of(word)));
}

/* Moves to bucket `to` what the chain of `from` holds for it: all copies first, then `count`, then `moves`,
 * then the old places. False where the copies found no room: then nothing has happened. */
static bool split_chain(neap_cache *cache, neap_shard *shard, uint32_t from, uint32_t to) {
  neap_bucket *old = &shard->buckets[from], *young = &shard->buckets[to];
  for (neap_bucket *at = old; at != NULL; at = linked(shard, at))
    for (unsigned i = 0; i < NEAP_BUCKET_SLOTS; i++) {
      uint64_t word = load(&at->slots[i]);
      if (word == 0 || number_of(hash_of(cache, word), to + 1) != to) continue;
      if (chain_add(cache, shard, young, word)) return false;
    }
  atomic_store_explicit(&shard->count, to + 1, memory_order_release);
  store(&shard->moves, load(&shard->moves) + 1);
  for (neap_bucket *at = old; at != NULL; at = linked(shard, at))
    for (unsigned i = 0; i < NEAP_BUCKET_SLOTS; i++) {
      uint64_t word = load(&at->slots[i]);
      if (word != 0 && number_of(hash_of(cache, word), to + 1) == to) store(&at->slots[i], 0);
    }
  return true;
}

/* Clears a bucket that no reader has been led to yet. */
static void chain_clear(neap_shard *shard, neap_bucket *bucket) {
  for (neap_bucket *at = bucket; at != NULL; at = linked(shard, at))
    for (unsigned i = 0; i < NEAP_BUCKET_SLOTS; i++) store(&at->slots[i], 0);
  chain_trim(shard, bucket);
}

/* Splits the next bucket in line. Where there is no room for it the chains grow longer until there is. */
static void split(neap_cache *cache, neap_shard *shard) {
  uint32_t count = atomic_load_explicit(&shard->count, memory_order_relaxed);
  if (count == shard->limit) return;
  if (count == shard->charged) {
    if (!reserve_page(cache, count)) return;
    shard->charged = (count / (NEAP_PAGE / sizeof(neap_bucket)) + 1) * (NEAP_PAGE / sizeof(neap_bucket));
  }
  uint32_t from = count & (UINT32_MAX >> __builtin_clz(count)) >> 1;
  if (split_chain(cache, shard, from, count))
    chain_trim(shard, &shard->buckets[from]);
  else
    chain_clear(shard, &shard->buckets[count]);
}

int neap_index_insert(neap_cache *cache, neap_shard *shard, uint64_t hash, neap_entry *entry) {
  int rc = chain_add(cache, shard, bucket_of(shard, hash), word_of(hash, entry));
  if (rc) return rc;
  shard->entries++;
  if (shard->entries > (uint64_t)LOAD * atomic_load_explicit(&shard->count, memory_order_relaxed))
    split(cache, shard);
  return 0;
}

bool neap_index_remove(neap_shard *shard, uint64_t hash, const neap_entry *entry) {
  uint64_t word = word_of(hash, entry);
  for (neap_bucket *bucket = bucket_of(shard, hash); bucket != NULL; bucket = linked(shard, bucket))
    for (unsigned i = 0; i < NEAP_BUCKET_SLOTS; i++) {
      if (load(&bucket->slots[i]) != word) continue;
      store(&bucket->slots[i], 0);
      shard->entries--;
      return true;
    }
  return false;
}

/* --- set-up
 * ------------------------------------------------------------------------------------------------ */

size_t neap_index_reserve_bytes(uint64_t entries, unsigned shards) {
  /* Twice the even share, for hashes are not even; half of it buckets, half overflow. */
  uint64_t buckets = entries / LOAD / shards * 2 + 2 * NEAP_PAGE / sizeof(neap_bucket);
  return 2 * neap_pages_round(buckets * sizeof(neap_bucket));
}

void neap_shard_init(neap_cache *cache, neap_shard *shard, char *base, size_t bytes) {
  memset(shard, 0, sizeof *shard);
  shard->buckets = (neap_bucket *)(void *)base;
  shard->overflow = (neap_bucket *)(void *)(base + bytes / 2);
  shard->limit = (uint32_t)NEAP_MIN(bytes / 2 / sizeof(neap_bucket), UINT32_MAX / 4);
  atomic_init(&shard->count, FIRST_BUCKETS);
  shard->charged = NEAP_PAGE / sizeof(neap_bucket);
  neap_assert(reserve_page(cache, 0));
  pthread_mutex_init(&shard->lock, NULL);
}

void neap_shard_fini(neap_shard *shard) {
  pthread_mutex_destroy(&shard->lock);
}
