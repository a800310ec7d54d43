#include "base/wheel.h"

#include <string.h>

#include "base/base.h"

#define FIRST 0x80000000u /* marks a prev that is a bucket, not a thing */

void neap_wheel_init(neap_wheel *wheel, neap_wheel_link *links, uint64_t now) {
  memset(wheel, 0, sizeof *wheel);
  wheel->links = links;
  wheel->now = now;
}

/* The bucket for `due`: in the finest ring where it is less than one turn ahead. The last ring takes all that
 * is farther as far out as it reaches; what is found there early is filed again. */
static uint32_t bucket_of(const neap_wheel *wheel, uint64_t due) {
  uint64_t when = NEAP_MAX(due, wheel->now);
  unsigned ring = 0;
  while (ring < NEAP_WHEEL_RINGS - 1 &&
         (when >> (6 * ring)) - (wheel->now >> (6 * ring)) >= NEAP_WHEEL_BUCKETS)
    ring++;
  uint64_t unit = wheel->now >> (6 * ring), ahead = (when >> (6 * ring)) - unit;
  uint64_t at = unit + NEAP_MIN(ahead, NEAP_WHEEL_BUCKETS - 1u);
  return ring * NEAP_WHEEL_BUCKETS + (uint32_t)(at & (NEAP_WHEEL_BUCKETS - 1));
}

static void put_in(neap_wheel *wheel, uint32_t id, uint32_t bucket) {
  uint32_t next = wheel->heads[bucket];
  wheel->links[id] = (neap_wheel_link){FIRST | bucket, next};
  if (next != 0) wheel->links[next].prev = id;
  wheel->heads[bucket] = id;
  wheel->held[bucket / NEAP_WHEEL_BUCKETS] |= 1ull << bucket % NEAP_WHEEL_BUCKETS;
}

static void set_head(neap_wheel *wheel, uint32_t bucket, uint32_t id) {
  wheel->heads[bucket] = id;
  if (id == 0) wheel->held[bucket / NEAP_WHEEL_BUCKETS] &= ~(1ull << bucket % NEAP_WHEEL_BUCKETS);
}

void neap_wheel_file(neap_wheel *wheel, uint32_t id, uint64_t due) {
  neap_debug_assert(id != 0 && id < FIRST);
  put_in(wheel, id, bucket_of(wheel, due));
  wheel->filed++;
}

void neap_wheel_unfile(neap_wheel *wheel, uint32_t id) {
  neap_wheel_link link = wheel->links[id];
  if (link.prev & FIRST)
    set_head(wheel, link.prev & ~FIRST, link.next);
  else
    wheel->links[link.prev].next = link.next;
  if (link.next != 0) wheel->links[link.next].prev = link.prev;
  wheel->filed--;
}

/* Hands the things of a coarse bucket down to the rings below. */
static void cascade(neap_wheel *wheel, unsigned ring, const neap_wheel_calls *calls) {
  uint32_t bucket =
      ring * NEAP_WHEEL_BUCKETS + (uint32_t)(wheel->now >> (6 * ring) & (NEAP_WHEEL_BUCKETS - 1));
  uint32_t id = wheel->heads[bucket];
  set_head(wheel, bucket, 0);
  while (id != 0) {
    uint32_t next = wheel->links[id].next;
    put_in(wheel, id, bucket_of(wheel, calls->due(calls->user, id)));
    id = next;
  }
}

/* Tells the bucket of this very tick. Returns how many; stops at `budget`. */
static uint32_t tell_due(neap_wheel *wheel, uint32_t budget, const neap_wheel_calls *calls) {
  uint32_t *head = &wheel->heads[wheel->now & (NEAP_WHEEL_BUCKETS - 1)], told = 0;
  while (*head != 0 && told < budget) {
    uint32_t id = *head;
    uint64_t due = calls->due(calls->user, id);
    neap_wheel_unfile(wheel, id);
    if (due > wheel->now) {
      neap_wheel_file(wheel, id, due);
    } else {
      calls->told(calls->user, id);
      told++;
    }
  }
  return told;
}

/* On to the next tick where something may be due, at most to `now`: rings that hold nothing are skipped.
 * Coarse buckets first, so that what they hold can be due at once. */
static void step(neap_wheel *wheel, uint64_t now, const neap_wheel_calls *calls) {
  unsigned empty = 0;
  while (empty < NEAP_WHEEL_RINGS && wheel->held[empty] == 0) empty++;
  wheel->now = NEAP_MIN(now, (wheel->now | ((1ull << (6 * empty)) - 1)) + 1);
  for (unsigned ring = NEAP_WHEEL_RINGS - 1; ring > 0; ring--)
    if ((wheel->now & ((1ull << (6 * ring)) - 1)) == 0) cascade(wheel, ring, calls);
}

uint32_t neap_wheel_advance(neap_wheel *wheel, uint64_t now, uint32_t budget, const neap_wheel_calls *calls) {
  uint32_t told = 0;
  for (;;) {
    told += tell_due(wheel, budget - told, calls);
    if (told >= budget || wheel->now >= now) return told;
    step(wheel, now, calls);
  }
}
