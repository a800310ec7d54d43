/* Timers of one port: a heap of what is due, ordered by time and then by when it was set, so that a run with
 * the same steps is the same run. One thread's. */
#ifndef NEAP_TIER_TIMERS_H
#define NEAP_TIER_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in what it is about. */
typedef struct neap_due {
  uint64_t due_ms, order;
  size_t place; /* in the heap, from 1; 0: not set */
  void (*fire)(struct neap_due *due);
} neap_due;

typedef struct neap_timers {
  neap_due **heap;
  size_t count, room;
  uint64_t order;
} neap_timers;

void neap_timers_fini(neap_timers *timers);
/* Sets `due`, replacing what was set before. NEAP_ENOMEM: it is not set. */
int neap_due_set(neap_timers *timers, neap_due *due, uint64_t due_ms);
void neap_due_clear(neap_timers *timers, neap_due *due);
static inline bool neap_due_is_set(const neap_due *due) {
  return due->place != 0;
}
/* Fires the first where it is due by `now_ms`. False: none is. */
bool neap_timers_fire(neap_timers *timers, uint64_t now_ms);
/* When the first is due; UINT64_MAX: none is set. */
uint64_t neap_timers_next(const neap_timers *timers);

#endif
