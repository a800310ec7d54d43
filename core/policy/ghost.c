/* The ghost list: a doubly linked list of hashes in the order they were put in, and a chained hash table that
 * finds them. The table grows by linear hashing (W. Litwin, VLDB 1980), one bucket for each add, in reserved
 * address space: no add ever copies the whole list, since that could take longer than a policy's budget. */
#include "policy/policy.h"

#include <stdlib.h>

#include "base/base.h"
#include "base/hash.h"
#include "base/pages.h"

typedef struct ghost_node {
  uint64_t hash;
  uint32_t size;
  uint32_t older, newer; /* in the list, a ring through node 0 */
  uint32_t chain;        /* next of the same bucket, or next free node; 0 ends it */
} ghost_node;

struct neap_ghost {
  double limit, held; /* sums of sizes */
  ghost_node *nodes; /* NULL before the first add; node 0 is the ends of the list: newer the oldest, older the
                        newest */
  uint32_t *buckets; /* first node of each chain */
  uint32_t bucket_count;
  uint32_t nodes_used; /* ever, node 0 included */
  uint32_t free;       /* first of the nodes given back */
  int32_t count;
};

enum { NODES_MAX = 1 << 26, FIRST_BUCKETS = 64 };

/* As in store/lookup.h: as many low bits as bucket_count - 1 has, one less for a bucket that is not split
 * yet. */
static uint32_t bucket_of(const neap_ghost *ghost, uint64_t hash) {
  uint32_t mask = UINT32_MAX >> __builtin_clz(ghost->bucket_count - 1);
  uint32_t number = (uint32_t)neap_hash_mix(hash, UINT64_C(0x9e3779b97f4a7c15)) & mask;
  return number & mask >> (number >= ghost->bucket_count);
}

/* The link that leads to the node of `hash`, or the one that ends its chain. */
static uint32_t *find(const neap_ghost *ghost, uint64_t hash) {
  uint32_t *link = &ghost->buckets[bucket_of(ghost, hash)];
  while (*link != 0 && ghost->nodes[*link].hash != hash) link = &ghost->nodes[*link].chain;
  return link;
}

/* Opens one more bucket and moves there what belongs to it, from the one it splits off. */
static void split(neap_ghost *ghost) {
  uint32_t added = ghost->bucket_count, half = (UINT32_MAX >> __builtin_clz(added)) >> 1;
  uint32_t *from = &ghost->buckets[added & half], *to = &ghost->buckets[added];
  ghost->bucket_count++;
  while (*from != 0) {
    ghost_node *node = &ghost->nodes[*from];
    if (bucket_of(ghost, node->hash) != added) {
      from = &node->chain;
      continue;
    }
    uint32_t moved = *from;
    *from = node->chain;
    node->chain = *to;
    *to = moved;
  }
}

static void forget(neap_ghost *ghost, uint32_t *link) {
  uint32_t number = *link;
  ghost_node *node = &ghost->nodes[number];
  *link = node->chain;
  ghost->nodes[node->older].newer = node->newer;
  ghost->nodes[node->newer].older = node->older;
  ghost->held -= node->size;
  ghost->count--;
  node->chain = ghost->free;
  ghost->free = number;
}

static void drop_oldest(neap_ghost *ghost) {
  forget(ghost, find(ghost, ghost->nodes[ghost->nodes[0].newer].hash));
}

static bool reserve(neap_ghost *ghost) {
  if (ghost->nodes != NULL) return true;
  ghost->nodes = neap_pages_reserve(NODES_MAX * sizeof *ghost->nodes);
  ghost->buckets = neap_pages_reserve(NODES_MAX * sizeof *ghost->buckets);
  if (ghost->nodes != NULL && ghost->buckets != NULL) return true;
  neap_pages_release(ghost->nodes, NODES_MAX * sizeof *ghost->nodes);
  neap_pages_release(ghost->buckets, NODES_MAX * sizeof *ghost->buckets);
  ghost->nodes = NULL;
  ghost->buckets = NULL;
  return false;
}

/* A node to be filled: one given back, a new one, or that of the oldest. */
static uint32_t take_node(neap_ghost *ghost) {
  if (ghost->free == 0 && ghost->nodes_used == NODES_MAX) drop_oldest(ghost);
  uint32_t number = ghost->free;
  if (number == 0) return ghost->nodes_used++;
  ghost->free = ghost->nodes[number].chain;
  return number;
}

int neap_ghost_create(double limit, neap_ghost **out) {
  neap_ghost *ghost = calloc(1, sizeof *ghost);
  if (ghost == NULL) return NEAP_ENOMEM;
  ghost->limit = limit;
  ghost->bucket_count = FIRST_BUCKETS;
  ghost->nodes_used = 1;
  *out = ghost;
  return 0;
}

void neap_ghost_destroy(neap_ghost **ghost) {
  if (*ghost == NULL) return;
  neap_pages_release((*ghost)->nodes, NODES_MAX * sizeof *(*ghost)->nodes);
  neap_pages_release((*ghost)->buckets, NODES_MAX * sizeof *(*ghost)->buckets);
  free(*ghost);
  *ghost = NULL;
}

void neap_ghost_add(neap_ghost *ghost, double hash, double size) {
  if (!(hash >= 0 && hash < 0x1p53 && size >= 0 && size <= ghost->limit && size <= UINT32_MAX)) return;
  neap_ghost_take(ghost, hash);
  while (ghost->held + size > ghost->limit) drop_oldest(ghost);
  if (!reserve(ghost)) return;
  uint32_t number = take_node(ghost), newest = ghost->nodes[0].older;
  uint32_t *bucket = &ghost->buckets[bucket_of(ghost, (uint64_t)hash)];
  ghost->nodes[number] = (ghost_node){
      .hash = (uint64_t)hash, .size = (uint32_t)size, .older = newest, .newer = 0, .chain = *bucket};
  *bucket = number;
  ghost->nodes[newest].newer = number;
  ghost->nodes[0].older = number;
  ghost->held += (uint32_t)size;
  if ((uint32_t)++ghost->count > ghost->bucket_count) split(ghost);
}

double neap_ghost_take(neap_ghost *ghost, double hash) {
  if (!neap_ghost_has(ghost, hash)) return -1;
  uint32_t *link = find(ghost, (uint64_t)hash);
  double size = ghost->nodes[*link].size;
  forget(ghost, link);
  return size;
}

bool neap_ghost_has(const neap_ghost *ghost, double hash) {
  if (ghost->count == 0 || !(hash >= 0 && hash < 0x1p53)) return false;
  return *find(ghost, (uint64_t)hash) != 0;
}

void neap_ghost_resize(neap_ghost *ghost, double limit) {
  ghost->limit = limit;
  while (ghost->count > 0 && ghost->held > limit) drop_oldest(ghost);
}

void neap_ghost_swap(neap_ghost *a, neap_ghost *b) {
  neap_ghost other = *a;
  double limit = b->limit;
  *a = *b;
  *b = other;
  neap_ghost_resize(b, limit);
  neap_ghost_resize(a, other.limit);
}

int32_t neap_ghost_count(const neap_ghost *ghost) {
  return ghost->count;
}

size_t neap_ghost_memory(const neap_ghost *ghost) {
  if (ghost->nodes == NULL) return sizeof *ghost;
  return sizeof *ghost + ghost->nodes_used * sizeof *ghost->nodes +
         ghost->bucket_count * sizeof *ghost->buckets;
}
