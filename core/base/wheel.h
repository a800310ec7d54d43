/* A hierarchical timer wheel over numbered things (Varghese and Lauck, 1987): five rings of 64 buckets, each
 * 64 times coarser than the one below. Filing and unfiling are O(1); a thing moves down at most four times.
 *
 * The links are a column that the caller owns: element i belongs to thing i, 8 bytes, touched only while i is
 * filed. Times are ticks of any length. Not thread-safe. */
#ifndef NEAP_BASE_WHEEL_H
#define NEAP_BASE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

enum { NEAP_WHEEL_RINGS = 5, NEAP_WHEEL_BUCKETS = 64 };

typedef struct neap_wheel_link {
  uint32_t prev, next; /* 0: end; prev of the first: 1 << 31 | bucket */
} neap_wheel_link;

typedef struct neap_wheel {
  neap_wheel_link *links;
  uint64_t now;                    /* ticks; everything due before it has been told */
  uint64_t held[NEAP_WHEEL_RINGS]; /* a bit for each bucket that is not empty */
  uint32_t filed;
  uint32_t heads[NEAP_WHEEL_RINGS * NEAP_WHEEL_BUCKETS];
} neap_wheel;

void neap_wheel_init(neap_wheel *wheel, neap_wheel_link *links, uint64_t now);

/* Files thing `id` (1 .. 2^31 - 1, not filed) to be told at `due`; what is due already is told at the next
 * tick. */
void neap_wheel_file(neap_wheel *wheel, uint32_t id, uint64_t due);
/* Takes a filed thing out. */
void neap_wheel_unfile(neap_wheel *wheel, uint32_t id);

/* Goes on to `now` and calls `told` for what is due, which is not filed any more and may be filed again;
 * `due` tells when a thing is due by now, which may be later than it was filed for. Stops early when `budget`
 * things have been told. Returns how many. */
typedef struct neap_wheel_calls {
  void *user;
  uint64_t (*due)(void *user, uint32_t id);
  void (*told)(void *user, uint32_t id);
} neap_wheel_calls;
uint32_t neap_wheel_advance(neap_wheel *wheel, uint64_t now, uint32_t budget, const neap_wheel_calls *calls);

#endif
