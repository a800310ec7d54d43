#include "tier/timers.h"

#include <stdlib.h>

#include "base/base.h"

static bool before(const neap_due *a, const neap_due *b) {
  return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void put(neap_timers *timers, size_t place, neap_due *due) {
  timers->heap[place - 1] = due;
  due->place = place;
}

static void rise(neap_timers *timers, size_t place, neap_due *due) {
  for (; place > 1 && before(due, timers->heap[place / 2 - 1]); place /= 2)
    put(timers, place, timers->heap[place / 2 - 1]);
  put(timers, place, due);
}

static void sink(neap_timers *timers, size_t place, neap_due *due) {
  for (size_t child; (child = 2 * place) <= timers->count; place = child) {
    if (child < timers->count && before(timers->heap[child], timers->heap[child - 1])) child++;
    if (!before(timers->heap[child - 1], due)) break;
    put(timers, place, timers->heap[child - 1]);
  }
  put(timers, place, due);
}

void neap_timers_fini(neap_timers *timers) {
  free(timers->heap);
  *timers = (neap_timers){0};
}

void neap_due_clear(neap_timers *timers, neap_due *due) {
  size_t place = due->place;
  if (place == 0) return;
  due->place = 0;
  neap_due *last = timers->heap[--timers->count];
  if (last == due) return;
  if (place > 1 && before(last, timers->heap[place / 2 - 1]))
    rise(timers, place, last);
  else
    sink(timers, place, last);
}

static bool grow(neap_timers *timers) {
  if (timers->count < timers->room) return true;
  size_t room = NEAP_MAX(2 * timers->room, 64);
  neap_due **heap = realloc(timers->heap, room * sizeof(neap_due *));
  if (heap == NULL) return false;
  timers->heap = heap;
  timers->room = room;
  return true;
}

int neap_due_set(neap_timers *timers, neap_due *due, uint64_t due_ms) {
  neap_due_clear(timers, due);
  if (!grow(timers)) return NEAP_ENOMEM;
  due->due_ms = due_ms;
  due->order = timers->order++;
  rise(timers, ++timers->count, due);
  return 0;
}

bool neap_timers_fire(neap_timers *timers, uint64_t now_ms) {
  if (timers->count == 0 || timers->heap[0]->due_ms > now_ms) return false;
  neap_due *due = timers->heap[0];
  neap_due_clear(timers, due);
  due->fire(due);
  return true;
}

uint64_t neap_timers_next(const neap_timers *timers) {
  return timers->count == 0 ? UINT64_MAX : timers->heap[0]->due_ms;
}
