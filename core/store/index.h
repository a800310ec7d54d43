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
  /* Read by all. */
  _Alignas(NEAP_CACHE_LINE) _Atomic uint64_t moves;
  _Atomic uint32_t count; /* buckets */
  uint32_t limit;         /* of buckets, and of overflow buckets */
  neap_bucket *buckets, *overflow;
  /* Under the lock. */
  _Alignas(NEAP_CACHE_LINE) pthread_mutex_t lock;
  uint64_t entries;
  uint64_t version;                      /* last one counted up */
  uint32_t charged;                      /* buckets whose pages are reserved */
  uint32_t overflow_used, overflow_free; /* free: number + 1, linked */
} neap_shard;

/* Address space that the index of a cache of up to `entries` wants per shard, for buckets and as much again
 * for overflow; and its set-up. */
size_t neap_index_reserve_bytes(uint64_t entries, unsigned shards);
void neap_shard_init(neap_cache *cache, neap_shard *shard, char *base, size_t bytes);
void neap_shard_fini(neap_shard *shard);

/* In two steps, so that there may be one shard and a shift of 64. */
static inline neap_shard *neap_shard_of(neap_shard *shards, unsigned shard_shift, uint64_t hash) {
  return &shards[hash >> 1 >> (shard_shift - 1)];
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
