/* The ghost list: a ring of hashes in the order they were put in, and an open-addressed table that finds a
 * hash's place in the ring. What is taken out leaves a hole in the ring until the oldest end has passed it.
 */
#include "policy/policy.h"

#include <stdlib.h>

#include "base/base.h"

typedef struct ghost_row {
  uint64_t hash;
  uint32_t size;
  uint32_t live; /* 0: a hole */
} ghost_row;

struct neap_ghost {
  double limit, held; /* sums of sizes */
  ghost_row *rows;    /* the ring; row of `seq` is rows[seq & mask] */
  uint32_t *places;   /* 2 * capacity of them: place in the ring + 1, 0 for none */
  uint32_t capacity;  /* of the ring, a power of two; 0 before the first add */
  uint32_t oldest, next;
  int32_t count;
};

enum { FIRST_CAPACITY = 64, LAST_CAPACITY = 1 << 29 };

static inline uint32_t home(const neap_ghost *ghost, uint64_t hash) {
  return (uint32_t)(hash * 0x9e3779b97f4a7c15u >> 32) & (2 * ghost->capacity - 1);
}

/* Where `hash` stands in `places`, or where it would stand. */
static uint32_t find(const neap_ghost *ghost, uint64_t hash) {
  uint32_t mask = 2 * ghost->capacity - 1;
  for (uint32_t at = home(ghost, hash);; at = (at + 1) & mask) {
    uint32_t place = ghost->places[at];
    if (place == 0 || ghost->rows[place - 1].hash == hash) return at;
  }
}

/* Empties places[at] and moves up those behind it that were displaced by it. */
static void vacate(neap_ghost *ghost, uint32_t at) {
  uint32_t mask = 2 * ghost->capacity - 1, hole = at;
  for (uint32_t look = (at + 1) & mask; ghost->places[look] != 0; look = (look + 1) & mask) {
    uint32_t wants = home(ghost, ghost->rows[ghost->places[look] - 1].hash);
    if (((look - wants) & mask) < ((look - hole) & mask)) continue;
    ghost->places[hole] = ghost->places[look];
    hole = look;
  }
  ghost->places[hole] = 0;
}

static void forget(neap_ghost *ghost, uint32_t at) {
  ghost_row *row = &ghost->rows[ghost->places[at] - 1];
  row->live = 0;
  ghost->held -= row->size;
  ghost->count--;
  vacate(ghost, at);
}

static void drop_oldest(neap_ghost *ghost) {
  ghost_row *row = &ghost->rows[ghost->oldest & (ghost->capacity - 1)];
  if (row->live) forget(ghost, find(ghost, row->hash));
  ghost->oldest++;
}

static void append(neap_ghost *ghost, uint64_t hash, uint32_t size) {
  uint32_t place = ghost->next++ & (ghost->capacity - 1);
  ghost->rows[place] = (ghost_row){.hash = hash, .size = size, .live = 1};
  ghost->places[find(ghost, hash)] = place + 1;
  ghost->held += size;
  ghost->count++;
}

/* Gives the ring `capacity` rows without its holes. False: no memory; nothing has changed. */
static bool rebuild(neap_ghost *ghost, uint32_t capacity) {
  neap_ghost larger = {.limit = ghost->limit, .capacity = capacity};
  larger.rows = calloc(capacity, sizeof *larger.rows);
  larger.places = calloc(2 * (size_t)capacity, sizeof *larger.places);
  if (larger.rows == NULL || larger.places == NULL) {
    free(larger.rows);
    free(larger.places);
    return false;
  }
  for (uint32_t seq = ghost->oldest; seq != ghost->next; seq++) {
    const ghost_row *row = &ghost->rows[seq & (ghost->capacity - 1)];
    if (row->live) append(&larger, row->hash, row->size);
  }
  free(ghost->rows);
  free(ghost->places);
  *ghost = larger;
  return true;
}

/* Makes sure that one more row fits: by closing holes where they are a quarter, else by growing; without
 * memory the oldest goes. */
static bool ensure_row(neap_ghost *ghost) {
  if (ghost->next - ghost->oldest < ghost->capacity) return true;
  uint32_t capacity = ghost->capacity;
  bool holes = (uint32_t)ghost->count < capacity - capacity / 4;
  uint32_t wanted = capacity == 0                        ? FIRST_CAPACITY
                    : holes || capacity == LAST_CAPACITY ? capacity
                                                         : 2 * capacity;
  if (rebuild(ghost, wanted)) {
    if (ghost->next - ghost->oldest == ghost->capacity) drop_oldest(ghost);
    return true;
  }
  if (capacity == 0) return false;
  drop_oldest(ghost);
  return true;
}

int neap_ghost_create(double limit, neap_ghost **out) {
  neap_ghost *ghost = calloc(1, sizeof *ghost);
  if (ghost == NULL) return NEAP_ENOMEM;
  ghost->limit = limit;
  *out = ghost;
  return 0;
}

void neap_ghost_destroy(neap_ghost **ghost) {
  if (*ghost == NULL) return;
  free((*ghost)->rows);
  free((*ghost)->places);
  free(*ghost);
  *ghost = NULL;
}

void neap_ghost_add(neap_ghost *ghost, double hash, double size) {
  if (!(hash >= 0 && hash < 0x1p53 && size >= 0 && size <= ghost->limit && size <= UINT32_MAX)) return;
  neap_ghost_take(ghost, hash);
  while (ghost->held + size > ghost->limit) drop_oldest(ghost);
  if (ensure_row(ghost)) append(ghost, (uint64_t)hash, (uint32_t)size);
}

double neap_ghost_take(neap_ghost *ghost, double hash) {
  if (!neap_ghost_has(ghost, hash)) return -1;
  uint32_t at = find(ghost, (uint64_t)hash);
  double size = ghost->rows[ghost->places[at] - 1].size;
  forget(ghost, at);
  return size;
}

bool neap_ghost_has(const neap_ghost *ghost, double hash) {
  if (ghost->count == 0 || !(hash >= 0 && hash < 0x1p53)) return false;
  return ghost->places[find(ghost, (uint64_t)hash)] != 0;
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
  return sizeof *ghost + ghost->capacity * (sizeof(ghost_row) + 2 * sizeof(uint32_t));
}
