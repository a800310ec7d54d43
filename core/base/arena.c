#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/base.h"

enum { ALIGN = 16, CHUNK = 16384 };

typedef struct neap_arena_chunk {
  struct neap_arena_chunk *next;
  size_t size;
  _Alignas(ALIGN) char bytes[];
} neap_arena_chunk;

typedef struct neap_block {
  struct neap_block *next;
} neap_block;

static size_t round_up(size_t size) {
  return (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

void neap_arena_init(neap_arena *arena, void *first, size_t size) {
  char *from = (char *)round_up((uintptr_t)first);
  *arena =
      (neap_arena){.at = from, .first = from, .end = (char *)first + size, .first_end = (char *)first + size};
}

void neap_arena_reset(neap_arena *arena) {
  while (arena->chunks) {
    neap_arena_chunk *chunk = arena->chunks;
    arena->chunks = chunk->next;
    free(chunk);
  }
  arena->at = arena->first;
  arena->end = arena->first_end;
}

static void *take_from_new_chunk(neap_arena *arena, size_t size) {
  size_t bytes = NEAP_MAX(size, (size_t)CHUNK);
  neap_arena_chunk *chunk = malloc(sizeof *chunk + bytes);
  if (chunk == NULL) return NULL;
  chunk->next = arena->chunks;
  chunk->size = bytes;
  arena->chunks = chunk;
  arena->at = chunk->bytes + size;
  arena->end = chunk->bytes + bytes;
  return chunk->bytes;
}

void *neap_arena_take(neap_arena *arena, size_t size) {
  size = round_up(size);
  if (NEAP_UNLIKELY((size_t)(arena->end - arena->at) < size)) return take_from_new_chunk(arena, size);
  void *taken = arena->at;
  arena->at += size;
  return taken;
}

void neap_arena_trim(neap_arena *arena, void *newest, size_t size, size_t used) {
  neap_debug_assert(arena->at == (char *)newest + round_up(size));
  (void)size;
  arena->at = (char *)newest + round_up(used);
}

void neap_blocks_init(neap_blocks *blocks, size_t size, size_t keep) {
  *blocks = (neap_blocks){.size = NEAP_MAX(size, sizeof(neap_block)), .keep = keep};
}

void neap_blocks_fini(neap_blocks *blocks) {
  while (blocks->free) {
    neap_block *block = blocks->free;
    blocks->free = block->next;
    free(block);
  }
  blocks->free_count = 0;
}

void *neap_blocks_take(neap_blocks *blocks) {
  neap_block *block = blocks->free;
  if (block == NULL) return malloc(blocks->size);
  blocks->free = block->next;
  blocks->free_count--;
  return block;
}

void neap_blocks_give(neap_blocks *blocks, void *memory) {
  if (memory == NULL) return;
  if (blocks->free_count >= blocks->keep) {
    free(memory);
    return;
  }
  neap_block *block = memory;
  block->next = blocks->free;
  blocks->free = block;
  blocks->free_count++;
}
