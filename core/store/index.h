/* The index: a hash table per shard in reserved address space.
 *
 *   bucket (64 bytes): link to an overflow bucket | 7 slots of tag:16 | entry pointer:48
 *
 * It grows by linear hashing: after every few inserts the next bucket in line is split, so that no insert
 * pays for more than one bucket and nothing ever moves in memory. Writers hold the shard's lock. Readers hold
 * nothing: a slot is one atomic word, entries outlive whoever may have read their pointer (epoch.c), and keys
 * are compared whole. A reader that finds nothing looks at `moves`: whoever moves an entry copies it first,
 * counts `moves` up, and only then clears the old place; so a miss with `moves` unchanged is a miss. Hits
 * never retry. */
#ifndef NEAP_STORE_INDEX_H
#define NEAP_STORE_INDEX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/base.h"
#include "neap/cache.h"

enum { NEAP_BUCKET_SLOTS = 7, NEAP_SHARDS_MAX = 64 };

typedef struct neap_bucket {
  _Alignas(64) _Atomic uint64_t link; /* overflow bucket's number + 1; 0: none */
  _Atomic uint64_t slots[NEAP_BUCKET_SLOTS];
} neap_bucket;

typedef struct neap_shard {
  /* Read by all; what changes here changes when the table grows. */
  _Alignas(NEAP_CACHE_LINE) _Atomic uint64_t moves;
  _Atomic uint64_t width; /* neap_index_width */
  neap_bucket *buckets, *overflow;
  uint32_t limit;                        /* of buckets, and of overflow buckets */
  uint32_t charged;                      /* buckets whose pages are reserved */
  uint32_t overflow_used, overflow_free; /* free: number + 1, linked */
  /* Under the lock. */
  _Alignas(NEAP_CACHE_LINE) pthread_mutex_t lock;
  uint64_t entries;
  uint64_t version; /* last one counted up */
} neap_shard;

/* The hash's top six bits, shifted and masked, are a shard's distance from the first. */
enum { NEAP_SHARD_BYTES = 2 * NEAP_CACHE_LINE, NEAP_SHARD_SHIFT = 64 - 6 - 7 };
_Static_assert(sizeof(neap_shard) == NEAP_SHARD_BYTES && NEAP_SHARD_BYTES == 1 << 7, "for the shift");
_Static_assert(NEAP_SHARDS_MAX == 1 << 6, "for the shift");

/* Address space that the index of a cache of up to `entries` wants per shard, for buckets and as much again
 * for overflow; and its set-up. */
size_t neap_index_reserve_bytes(uint64_t entries, unsigned shards);
void neap_shard_init(neap_cache *cache, neap_shard *shard, char *base, size_t bytes);
void neap_shard_fini(neap_shard *shard);

/* For so many shards, a power of two. */
static inline uint64_t neap_shard_mask(unsigned shards) {
  return (uint64_t)(shards - 1) * NEAP_SHARD_BYTES;
}
static inline neap_shard *neap_shard_of(neap_shard *shards, uint64_t mask, uint64_t hash) {
  return (neap_shard *)(void *)((char *)shards + (hash >> NEAP_SHARD_SHIFT & mask));
}

/* Under the lock: */
/* Where the entry of `key` is, or NULL; to be swapped by a store. */
_Atomic uint64_t *neap_index_place(neap_shard *shard, uint64_t hash, neap_view key);
/* Adds an entry whose key is not there. 0, or NEAP_EROOM: no memory for another page of the table. */
int neap_index_insert(neap_cache *cache, neap_shard *shard, uint64_t hash, neap_entry *entry);
void neap_index_swap(_Atomic uint64_t *place, neap_entry *entry);
neap_entry *neap_index_at(_Atomic uint64_t *place);
/* Takes out this very entry. False where it is not in. */
bool neap_index_remove(neap_shard *shard, uint64_t hash, const neap_entry *entry);

#endif
