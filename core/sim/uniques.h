/* Which keys a trace has, and how large each was when first seen: what percentages of it are taken of.
 * Internal to sim/. */
#ifndef NEAP_SIM_UNIQUES_H
#define NEAP_SIM_UNIQUES_H

#include <stdbool.h>
#include <stdint.h>

/* A set of keys by open addressing; zeroed it is empty. */
typedef struct neap_uniques {
  uint64_t *keys;    /* 0: free */
  uint64_t capacity; /* a power of 2, or 0 */
  uint64_t used;
  bool has_zero;  /* key 0 is kept apart */
  uint64_t bytes; /* sum of first sizes */
} neap_uniques;

void neap_uniques_fini(neap_uniques *uniques);
/* 0 or NEAP_ENOMEM. */
int neap_uniques_add(neap_uniques *uniques, uint64_t key, uint32_t size);
uint64_t neap_uniques_count(const neap_uniques *uniques);

#endif
