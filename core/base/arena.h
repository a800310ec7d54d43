/* Memory of one request: handed out in rising order, given back all at once. And blocks: equal buffers kept
 * for the next who needs one. Both belong to one thread. */
#ifndef NEAP_BASE_ARENA_H
#define NEAP_BASE_ARENA_H

#include <stddef.h>

/* An arena begins in memory of its owner, so that a request that needs little allocates nothing. */
typedef struct neap_arena {
  char *at, *end;
  char *first, *first_end; /* the owner's */
  struct neap_arena_chunk *chunks;
} neap_arena;

void neap_arena_init(neap_arena *arena, void *first, size_t size);
/* Gives everything back. The arena may be used again. hot: */
void neap_arena_reset(neap_arena *arena);
/* `size` bytes, aligned to 16; NULL when out of memory. hot: */
void *neap_arena_take(neap_arena *arena, size_t size);
/* Gives back what lies beyond the first `used` bytes of the newest piece, which was `size` bytes. hot: */
void neap_arena_trim(neap_arena *arena, void *newest, size_t size, size_t used);

/* The newest given back is the next taken: it is still in the processor's cache. */
typedef struct neap_blocks {
  struct neap_block *free;
  size_t size;             /* of a block */
  size_t free_count, keep; /* blocks beyond `keep` go back to the heap */
} neap_blocks;

void neap_blocks_init(neap_blocks *blocks, size_t size, size_t keep);
void neap_blocks_fini(neap_blocks *blocks);
/* NULL when out of memory. hot: */
void *neap_blocks_take(neap_blocks *blocks);
/* hot: `block` may be NULL. */
void neap_blocks_give(neap_blocks *blocks, void *block);

#endif
