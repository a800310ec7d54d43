/* The look-up: what every get goes through, in one inlined piece. About a hundred instructions from key to
 * entry, and no branch that could not be predicted, so that the processor is already waiting for the memory
 * of the next look-up while this one still waits for its own. */
#ifndef NEAP_STORE_LOOKUP_H
#define NEAP_STORE_LOOKUP_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/keyed_hash.h"
#include "store/index.h"
#include "store/slots.h"

enum { NEAP_TAG_SHIFT = 48 };

/* Bits of the hash: the top six choose the shard, the low ones the bucket, those between are the tag. Its
 * last bit is set, so that an empty slot has none. */
static inline uint64_t neap_index_tag(uint64_t hash) {
  return (hash >> 36 & 0xffff) | 1;
}

static inline uint64_t neap_index_word(uint64_t hash, const neap_entry *entry) {
  return neap_index_tag(hash) << NEAP_TAG_SHIFT | (uint64_t)(uintptr_t)entry;
}

static inline uint64_t neap_index_load(const _Atomic uint64_t *word) {
  return atomic_load_explicit((_Atomic uint64_t *)word, memory_order_acquire);
}

static inline void neap_index_store(_Atomic uint64_t *word, uint64_t value) {
  atomic_store_explicit(word, value, memory_order_release);
}

/* A table's width: its number of buckets and, in the upper half, as many low bits as the last one's number
 * has. Both in one word, so that a reader gets them together and works out neither. */
static inline uint64_t neap_index_width(uint32_t count) {
  return (uint64_t)(UINT32_MAX >> __builtin_clz(count - 1)) << 32 | count;
}

static inline uint32_t neap_index_count(const neap_shard *shard) {
  return (uint32_t)neap_index_load(&shard->width);
}

/* A hash's bucket: as many low bits as there are, one less for those whose split is still to come. No branch:
 * nobody could predict it. */
static inline uint32_t neap_index_number(uint64_t hash, uint64_t width) {
  uint32_t mask = (uint32_t)(width >> 32), number = (uint32_t)hash & mask;
  return number & mask >> (number >= (uint32_t)width);
}

static inline neap_bucket *neap_index_linked(const neap_shard *shard, const neap_bucket *bucket) {
  uint64_t link = neap_index_load(&bucket->link);
  return link != 0 ? &shard->overflow[link - 1] : NULL;
}

static inline neap_bucket *neap_index_bucket(const neap_shard *shard, uint64_t hash) {
  return &shard->buckets[neap_index_number(hash, neap_index_load(&shard->width))];
}

/* Starts to fetch the bucket where `hash` is looked up first. Any thread. */
static inline void neap_index_prefetch(const neap_shard *shard, uint64_t hash) {
  __builtin_prefetch(neap_index_bucket(shard, hash));
}

NEAP_INLINE bool neap_index_same_key(const neap_entry *entry, neap_view key) {
  return entry->key_size == key.size && neap_hash_same(entry->bytes, key.ptr, key.size);
}

/* Which slots of a bucket have the tag: bits to be taken by neap_index_first, lowest first. Without a branch
 * for each, which could not be predicted: then the processor runs ahead into the next look-up while this one
 * waits for memory. Two bits for each word of the bucket, the upper one counts; the first word is the link.
 */
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
static inline unsigned neap_index_tagged(const neap_bucket *bucket, uint64_t tag) {
  enum { SLOTS = 0xaaa8 };
  const __m128 *quarters =
      (const __m128 *)(const void *)bucket; /* each half of one is loaded as one, as words are */
  __m128i wanted = _mm_set1_epi16((short)tag);
  __m128i low = _mm_castps_si128(_mm_shuffle_ps(quarters[0], quarters[1], _MM_SHUFFLE(3, 1, 3, 1)));
  __m128i high = _mm_castps_si128(_mm_shuffle_ps(quarters[2], quarters[3], _MM_SHUFFLE(3, 1, 3, 1)));
  __m128i all = _mm_packs_epi16(_mm_cmpeq_epi16(low, wanted), _mm_cmpeq_epi16(high, wanted));
  return (unsigned)_mm_movemask_epi8(all) & SLOTS;
}
#else
static inline unsigned neap_index_tagged(const neap_bucket *bucket, uint64_t tag) {
  unsigned found = 0;
  for (unsigned i = 0; i < NEAP_BUCKET_SLOTS; i++)
    found |= (unsigned)(neap_index_load(&bucket->slots[i]) >> NEAP_TAG_SHIFT == tag) << (2 * i + 3);
  return found;
}
#endif

static inline _Atomic uint64_t *neap_index_first(neap_bucket *bucket, unsigned tagged) {
  return (_Atomic uint64_t *)bucket + ((unsigned)__builtin_ctz(tagged) >> 1);
}

/* Where the key is in the chain of its bucket, and the word read there. */
static inline _Atomic uint64_t *neap_index_search(const neap_shard *shard, uint64_t hash, neap_view key,
                                                  uint64_t *found) {
  uint64_t tag = neap_index_tag(hash);
  for (neap_bucket *bucket = neap_index_bucket(shard, hash); bucket != NULL;
       bucket = neap_index_linked(shard, bucket)) {
    for (unsigned rest = neap_index_tagged(bucket, tag); rest != 0; rest &= rest - 1) {
      _Atomic uint64_t *place = neap_index_first(bucket, rest);
      uint64_t word = neap_index_load(place); /* again: it may have changed */
      if (NEAP_UNLIKELY(word >> NEAP_TAG_SHIFT != tag || !neap_index_same_key(neap_word_entry(word), key)))
        continue;
      *found = word;
      return place;
    }
  }
  return NULL;
}

/* Starts to fetch the entry that neap_index_glance would look at. Any thread that is inside. */
static inline void neap_index_prefetch_entry(const neap_shard *shard, uint64_t hash) {
  neap_bucket *bucket = neap_index_bucket(shard, hash);
  unsigned tagged = neap_index_tagged(bucket, neap_index_tag(hash));
  if (tagged != 0) __builtin_prefetch(neap_word_entry(neap_index_load(neap_index_first(bucket, tagged))));
}

/* Finds the entry of `key` where it is the first with its tag in its first bucket, as nine of ten are. NULL:
 * look fully. hot: any thread that is inside. */
NEAP_INLINE neap_entry *neap_index_glance(const neap_shard *shard, uint64_t hash, neap_view key) {
  uint64_t tag = neap_index_tag(hash);
  neap_bucket *bucket = neap_index_bucket(shard, hash);
  unsigned tagged = neap_index_tagged(bucket, tag);
  if (NEAP_UNLIKELY(tagged == 0)) return NULL;
  uint64_t word = neap_index_load(neap_index_first(bucket, tagged)); /* again: it may have changed */
  neap_entry *entry = neap_word_entry(word);
  return NEAP_LIKELY(word >> NEAP_TAG_SHIFT == tag && neap_index_same_key(entry, key)) ? entry : NULL;
}

/* Finds the entry of `key`. Any thread that is inside, or under the lock. */
static inline neap_entry *neap_index_find(neap_shard *shard, uint64_t hash, neap_view key) {
  for (;;) {
    uint64_t moves = neap_index_load(&shard->moves), word;
    if (NEAP_LIKELY(neap_index_search(shard, hash, key, &word) != NULL)) return neap_word_entry(word);
    if (NEAP_LIKELY(neap_index_load(&shard->moves) == moves)) return NULL;
  }
}

#endif
