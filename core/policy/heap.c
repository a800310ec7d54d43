/* An indexed heap: a 4-ary heap of (key, order, slot), and for each slot its place in it. Four children of a
 * node share two cache lines, which makes sifting down about a third cheaper than with two. */
#include "policy/policy.h"

#include <stdlib.h>

#include "base/base.h"

typedef struct heap_node {
  double key, order;
  int32_t slot;
} heap_node;

struct neap_heap {
  neap_column nodes;  /* heap_node, from 0 */
  neap_column places; /* by slot: place in nodes + 1, 0 for none */
  int32_t slot_end, count, count_high, slot_high;
};

enum { ARITY = 4 };

static inline heap_node *nodes(const neap_heap *heap) {
  return heap->nodes.base;
}
static inline int32_t *places(const neap_heap *heap) {
  return heap->places.base;
}
static inline bool known(const neap_heap *heap, int32_t slot) {
  return slot > 0 && slot < heap->slot_end && places(heap)[slot] != 0;
}
static inline bool before(const heap_node *a, const heap_node *b) {
  return a->key < b->key || (a->key == b->key && a->order < b->order);
}

static inline void set(neap_heap *heap, int32_t at, heap_node node) {
  nodes(heap)[at] = node;
  places(heap)[node.slot] = at + 1;
}

/* Both put `node` where it belongs, starting from the hole `at`. */
static void sift_up(neap_heap *heap, int32_t at, heap_node node) {
  while (at > 0) {
    int32_t parent = (at - 1) / ARITY;
    if (!before(&node, &nodes(heap)[parent])) break;
    set(heap, at, nodes(heap)[parent]);
    at = parent;
  }
  set(heap, at, node);
}

static void sift_down(neap_heap *heap, int32_t at, heap_node node) {
  for (;;) {
    int32_t first = ARITY * at + 1, end = NEAP_MIN(first + ARITY, heap->count), least = first;
    if (first >= heap->count) break;
    for (int32_t child = first + 1; child < end; child++)
      if (before(&nodes(heap)[child], &nodes(heap)[least])) least = child;
    if (!before(&nodes(heap)[least], &node)) break;
    set(heap, at, nodes(heap)[least]);
    at = least;
  }
  set(heap, at, node);
}

static void settle(neap_heap *heap, int32_t at, heap_node node) {
  if (at > 0 && before(&node, &nodes(heap)[(at - 1) / ARITY]))
    sift_up(heap, at, node);
  else
    sift_down(heap, at, node);
}

int neap_heap_create(int32_t slot_end, neap_heap **out) {
  neap_heap *heap = calloc(1, sizeof *heap);
  if (heap == NULL) return NEAP_ENOMEM;
  heap->slot_end = slot_end;
  if (neap_column_init(&heap->nodes, sizeof(heap_node), slot_end)) goto fail_nodes;
  if (neap_column_init(&heap->places, sizeof(int32_t), slot_end)) goto fail_places;
  *out = heap;
  return 0;

fail_places:
  neap_column_fini(&heap->nodes);
fail_nodes:
  free(heap);
  return NEAP_ENOMEM;
}

void neap_heap_destroy(neap_heap **heap) {
  if (*heap == NULL) return;
  neap_column_fini(&(*heap)->nodes);
  neap_column_fini(&(*heap)->places);
  free(*heap);
  *heap = NULL;
}

void neap_heap_put(neap_heap *heap, int32_t slot, double key, double order) {
  if (slot <= 0 || slot >= heap->slot_end || key != key || order != order) return;
  heap_node node = {.key = key, .order = order, .slot = slot};
  int32_t place = places(heap)[slot];
  if (place != 0) {
    settle(heap, place - 1, node);
    return;
  }
  sift_up(heap, heap->count++, node);
  heap->count_high = NEAP_MAX(heap->count_high, heap->count);
  heap->slot_high = NEAP_MAX(heap->slot_high, slot + 1);
}

void neap_heap_remove(neap_heap *heap, int32_t slot) {
  if (!known(heap, slot)) return;
  int32_t at = places(heap)[slot] - 1;
  places(heap)[slot] = 0;
  heap_node last = nodes(heap)[--heap->count];
  if (last.slot != slot) settle(heap, at, last);
}

int32_t neap_heap_min(const neap_heap *heap) {
  return heap->count == 0 ? 0 : nodes(heap)[0].slot;
}

double neap_heap_key(const neap_heap *heap, int32_t slot) {
  return known(heap, slot) ? nodes(heap)[places(heap)[slot] - 1].key : 0;
}

bool neap_heap_has(const neap_heap *heap, int32_t slot) {
  return known(heap, slot);
}

int32_t neap_heap_count(const neap_heap *heap) {
  return heap->count;
}

void neap_heap_swap(neap_heap *a, neap_heap *b) {
  neap_heap other = *a;
  *a = *b;
  *b = other;
}

size_t neap_heap_memory(const neap_heap *heap) {
  return sizeof *heap + (size_t)heap->count_high * sizeof(heap_node) +
         (size_t)heap->slot_high * sizeof(int32_t);
}
