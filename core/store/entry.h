/* One stored object: a header of 32 bytes and, in the same allocation, what follows it:
 *
 *   header | key | body pointer (chunked) | meta size (with meta) | meta | value (not chunked)
 *
 * Life (numbers as in neap/cache.h):
 *   1 filling   built by one fill, invisible                             fill.c
 *   2 live      in the index; its slot's word is LIVE                    index.c, slots.h
 *   3 unlinked  out of the index, the slot's word DEAD, REMOVE on a ring events.c
 *   4 retired   on the retired list, stamped with the epoch              epoch.c
 *   5 pinned    the store's reference dropped, others hold it            entry.c
 *   6 freed     the bytes are returned                                   entry.c
 * Key, meta, body and sizes never change from 2 on. `life` and `refs` are atomics. */
#ifndef NEAP_STORE_ENTRY_H
#define NEAP_STORE_ENTRY_H

#include <stdatomic.h>
#include <stdbool.h>

#include "neap/cache.h"

enum {
  NEAP_ENTRY_CHUNKED = 1, /* the value lies in a body of pieces */
  NEAP_ENTRY_META = 2,    /* a meta part lies beside it */
  NEAP_ENTRY_MARKED = 4,  /* by neap_store_mark */
  NEAP_ENTRY_UNUSED = 8   /* prefetched, and nobody has asked for it yet: on the shelf */
};

#define NEAP_ENTRY_INLINE_MAX 65535u             /* largest value inside the entry */
#define NEAP_NEVER            ((1ull << 44) - 1) /* expiry that does not come, ms since the cache was made */

struct neap_entry {
  uint64_t version; /* in a cache of keys: the size it was told */
  _Atomic uint64_t
      life; /* expires:44 (ms since the cache was made) | flags:4 | cost:16. One load tells a reader all */
  _Atomic uint32_t refs; /* the store's own and those of handles */
  uint32_t slot;         /* generation:4 | slot:28, as in a HIT event */
  uint32_t created;      /* 100 ms since the cache was made */
  uint16_t value_size;   /* of an inline value */
  uint16_t key_size;
  char bytes[];
};

/* A piece of a chunked value. */
typedef struct neap_piece {
  char *ptr;
  uint32_t size, room; /* used and allocated */
} neap_piece;

/* A chunked value. Counted apart from the entry, so that an entry with new meta can share it. */
typedef struct neap_body {
  _Atomic uint32_t refs;
  uint32_t count, capacity; /* pieces used, pieces there is room for */
  uint32_t reserved;
  uint64_t size;    /* bytes of the value */
  uint64_t charged; /* of this struct and all pieces */
  neap_piece pieces[];
} neap_body;

/* What an entry is made of. */
typedef struct neap_shape {
  neap_view key, meta;
  uint64_t length; /* of the value */
  neap_body *body; /* taken where not NULL; then `length` is not looked at */
} neap_shape;

static inline uint64_t neap_life_pack(uint64_t expires, unsigned flags, uint16_t cost) {
  return expires << 20 | (uint64_t)flags << 16 | cost;
}
static inline uint64_t neap_life_expires(uint64_t life) {
  return life >> 20;
}
static inline unsigned neap_life_flags(uint64_t life) {
  return (unsigned)(life >> 16 & 15);
}

#define NEAP_LIFE_UNUSED ((uint64_t)NEAP_ENTRY_UNUSED << 16)

static inline uint64_t neap_entry_life(const neap_entry *entry) {
  return atomic_load_explicit(&entry->life, memory_order_relaxed);
}

neap_body *neap_entry_body(const neap_entry *entry); /* NULL where it is inline */

/* Bytes to ask of the allocator for an entry of this shape. */
size_t neap_entry_bytes(const neap_shape *shape);
/* Bytes that an entry was allocated with. */
size_t neap_entry_allocated(const neap_entry *entry);
/* Bytes charged for an entry: allocator rounding and body included; in a cache of keys, what it was told. */
uint64_t neap_entry_charged(neap_cache *cache, const neap_entry *entry);

/* Allocates an entry in phase 1 with one reference, key and meta written, no value, no expiry. NULL when out
 * of memory. Its bytes have been reserved before. Takes shape->body. */
neap_entry *neap_entry_create(neap_cache *cache, const neap_shape *shape);
/* Where the inline value is written to. */
char *neap_entry_value(neap_entry *entry);
/* Frees an entry that nobody can reach, and returns what was charged. */
void neap_entry_free(neap_cache *cache, neap_entry *entry);
/* Drops one reference; frees at the last. */
void neap_entry_drop(neap_cache *cache, neap_entry *entry);

/* Cost as 16 bits: 6 of exponent, 10 of mantissa; 0 stays apart as "1, the default". */
uint16_t neap_cost_pack(double cost);
double neap_cost_unpack(uint16_t cost);

/* Bodies, while they are filled. Room is reserved by the caller; `append` copies what fits into the last
 * piece and returns how much. */
neap_body *neap_body_create(neap_cache *cache, uint32_t capacity);
size_t neap_body_append(neap_body *body, neap_view bytes);
/* Adds an empty piece of `room` bytes. NEAP_ENOMEM. *body may move. */
int neap_body_grow(neap_cache *cache, neap_body **body, uint32_t room);
void neap_body_unref(neap_cache *cache, neap_body *body);

#endif
