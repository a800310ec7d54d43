#include "store/index.h"

#include "base/pages.h"
#include "store/impl.h"
#include "store/lookup.h"

/* Entries per bucket at which the next one is split: of 7 slots, because a bucket that waits for its split
 * holds up to half as much again, and an overflow bucket costs its readers a cache miss and a branch that
 * nobody could predict. With 5 one get in ten came to one, and spent an eighth of the time of all of them
 * there; with 4 it is one in thirty, for 2 bytes an entry. */
enum { LOAD = 4, FIRST_BUCKETS = 4 };

_Atomic uint64_t *neap_index_place(neap_shard *shard, uint64_t hash, neap_view key) {
  uint64_t word;
  return neap_index_search(shard, hash, key, &word);
}

neap_entry *neap_index_at(_Atomic uint64_t *place) {
  return neap_word_entry(neap_index_load(place));
}

void neap_index_swap(_Atomic uint64_t *place, neap_entry *entry) {
  neap_index_store(place, (neap_index_load(place) & ~NEAP_WORD_POINTER) | (uint64_t)(uintptr_t)entry);
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
    shard->overflow_free = (uint32_t)neap_index_load(&shard->overflow[number - 1].link);
    neap_index_store(&shard->overflow[number - 1].link, 0);
    return number;
  }
  if (shard->overflow_used == shard->limit || !reserve_page(cache, shard->overflow_used)) return 0;
  return ++shard->overflow_used;
}

/* Puts a word into the first free slot of a chain, which it lengthens where it must. */
static int chain_add(neap_cache *cache, neap_shard *shard, neap_bucket *bucket, uint64_t word) {
  for (;; bucket = neap_index_linked(shard, bucket)) {
    for (unsigned i = 0; i < NEAP_BUCKET_SLOTS; i++) {
      if (neap_index_load(&bucket->slots[i]) != 0) continue;
      neap_index_store(&bucket->slots[i], word);
      return 0;
    }
    if (neap_index_load(&bucket->link) != 0) continue;
    uint32_t number = overflow_take(cache, shard);
    if (number == 0) return NEAP_EROOM;
    neap_index_store(&bucket->link, number);
  }
}

/* Frees the overflow buckets of a chain that are empty. Readers in them find nothing, or what came there
 * since, whose key they compare; and they see that `moves` has changed. */
static void chain_trim(neap_shard *shard, neap_bucket *bucket) {
  while (neap_index_load(&bucket->link) != 0) {
    uint32_t number = (uint32_t)neap_index_load(&bucket->link);
    neap_bucket *next = &shard->overflow[number - 1];
    bool empty = true;
    for (unsigned i = 0; i < NEAP_BUCKET_SLOTS; i++) empty = empty && neap_index_load(&next->slots[i]) == 0;
    if (!empty) {
      bucket = next;
      continue;
    }
    neap_index_store(&bucket->link, neap_index_load(&next->link));
    neap_index_store(&shard->moves, neap_index_load(&shard->moves) + 1);
    neap_index_store(&next->link, shard->overflow_free);
    shard->overflow_free = number;
  }
}

static uint64_t hash_of(const neap_cache *cache, uint64_t word) {
  return neap_cache_hash(cache, neap_entry_key(neap_word_entry(word)));
}

/* Moves to bucket `to` what the chain of `from` holds for it: all copies first, then `width`, then `moves`,
 * then the old places. False where the copies found no room: then nothing has happened. */
static bool split_chain(neap_cache *cache, neap_shard *shard, uint32_t from, uint32_t to) {
  uint64_t width = neap_index_width(to + 1);
  neap_bucket *old = &shard->buckets[from], *young = &shard->buckets[to];
  for (neap_bucket *at = old; at != NULL; at = neap_index_linked(shard, at))
    for (unsigned i = 0; i < NEAP_BUCKET_SLOTS; i++) {
      uint64_t word = neap_index_load(&at->slots[i]);
      if (word == 0 || neap_index_number(hash_of(cache, word), width) != to) continue;
      if (chain_add(cache, shard, young, word)) return false;
    }
  neap_index_store(&shard->width, width);
  neap_index_store(&shard->moves, neap_index_load(&shard->moves) + 1);
  for (neap_bucket *at = old; at != NULL; at = neap_index_linked(shard, at))
    for (unsigned i = 0; i < NEAP_BUCKET_SLOTS; i++) {
      uint64_t word = neap_index_load(&at->slots[i]);
      if (word != 0 && neap_index_number(hash_of(cache, word), width) == to)
        neap_index_store(&at->slots[i], 0);
    }
  return true;
}

/* Clears a bucket that no reader has been led to yet. */
static void chain_clear(neap_shard *shard, neap_bucket *bucket) {
  for (neap_bucket *at = bucket; at != NULL; at = neap_index_linked(shard, at))
    for (unsigned i = 0; i < NEAP_BUCKET_SLOTS; i++) neap_index_store(&at->slots[i], 0);
  chain_trim(shard, bucket);
}

/* Splits the next bucket in line. Where there is no room for it the chains grow longer until there is. */
static void split(neap_cache *cache, neap_shard *shard) {
  uint32_t count = neap_index_count(shard);
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
  int rc = chain_add(cache, shard, neap_index_bucket(shard, hash), neap_index_word(hash, entry));
  if (rc) return rc;
  shard->entries++;
  if (shard->entries > (uint64_t)LOAD * neap_index_count(shard)) split(cache, shard);
  return 0;
}

bool neap_index_remove(neap_shard *shard, uint64_t hash, const neap_entry *entry) {
  uint64_t word = neap_index_word(hash, entry);
  for (neap_bucket *bucket = neap_index_bucket(shard, hash); bucket != NULL;
       bucket = neap_index_linked(shard, bucket))
    for (unsigned i = 0; i < NEAP_BUCKET_SLOTS; i++) {
      if (neap_index_load(&bucket->slots[i]) != word) continue;
      neap_index_store(&bucket->slots[i], 0);
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
  atomic_init(&shard->width, neap_index_width(FIRST_BUCKETS));
  shard->charged = NEAP_PAGE / sizeof(neap_bucket);
  neap_assert(reserve_page(cache, 0));
  pthread_mutex_init(&shard->lock, NULL);
}

void neap_shard_fini(neap_shard *shard) {
  pthread_mutex_destroy(&shard->lock);
}
