#include "sim/uniques.h"

#include <stdlib.h>

#include "base/base.h"

enum { CAPACITY_FIRST = 1 << 12 };

/* Keys of traces are often dense numbers: spreads them over the whole table (MurmurHash3's finaliser). */
static uint64_t spread(uint64_t key) {
  key = (key ^ key >> 33) * UINT64_C(0xff51afd7ed558ccd);
  key = (key ^ key >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
  return key ^ key >> 33;
}

/* Where `key` is, or the free place where it would be. */
static uint64_t *find(uint64_t *keys, uint64_t capacity, uint64_t key) {
  uint64_t at = spread(key) & (capacity - 1);
  while (keys[at] != 0 && keys[at] != key) at = (at + 1) & (capacity - 1);
  return &keys[at];
}

static int grow(neap_uniques *uniques) {
  uint64_t capacity = uniques->capacity ? uniques->capacity * 2 : CAPACITY_FIRST;
  uint64_t *keys = calloc(capacity, sizeof *keys);
  if (keys == NULL) return NEAP_ENOMEM;
  for (uint64_t i = 0; i < uniques->capacity; i++)
    if (uniques->keys[i]) *find(keys, capacity, uniques->keys[i]) = uniques->keys[i];
  free(uniques->keys);
  uniques->keys = keys;
  uniques->capacity = capacity;
  return 0;
}

int neap_uniques_add(neap_uniques *uniques, uint64_t key, uint32_t size) {
  if (key == 0) {
    if (!uniques->has_zero) uniques->bytes += size;
    uniques->has_zero = true;
    return 0;
  }
  if (uniques->used * 8 >= uniques->capacity * 5) { /* at most 5/8 full */
    int rc = grow(uniques);
    if (rc) return rc;
  }
  uint64_t *place = find(uniques->keys, uniques->capacity, key);
  if (*place == key) return 0;
  *place = key;
  uniques->used++;
  uniques->bytes += size;
  return 0;
}

uint64_t neap_uniques_count(const neap_uniques *uniques) {
  return uniques->used + uniques->has_zero;
}

void neap_uniques_fini(neap_uniques *uniques) {
  free(uniques->keys);
  *uniques = (neap_uniques){0};
}
