/* What the native policies share: lists linked by columns, the loop over events, parameters. Private to
 * policy/.
 *
 * Evict policies, native or Lua, keep these rules (tests/conformance):
 *   - an INSERT of a slot that is already known is a fresh INSERT of it;
 *   - HIT, UPDATE and REMOVE of a slot that is not known change nothing;
 *   - a victim is forgotten by the policy when it is proposed.
 */
#ifndef NEAP_POLICY_NATIVE_H
#define NEAP_POLICY_NATIVE_H

#include "base/base.h"
#include "policy/policy.h"

/* --- lists: circular, front first (neap_link) */
static inline void neap_list_init(neap_link *links, int32_t head) {
  links[head] = (neap_link){.prev = head, .next = head};
}
static inline bool neap_list_has(const neap_link *links, int32_t slot) {
  return links[slot].next != 0;
}
static inline void neap_list_remove(neap_link *links, int32_t slot) {
  neap_link link = links[slot];
  links[link.prev].next = link.next;
  links[link.next].prev = link.prev;
  links[slot] = (neap_link){0};
}
static inline void neap_list_push(neap_link *links, int32_t head, int32_t slot) {
  int32_t first = links[head].next;
  links[slot] = (neap_link){.prev = head, .next = first};
  links[first].prev = slot;
  links[head].next = slot;
}

/* --- events */
typedef struct neap_native_hooks {
  void (*hit)(void *self, int32_t slot);                             /* known or not */
  void (*insert)(void *self, int32_t slot, const neap_event *event); /* a slot that is not known */
  void (*update)(void *self, int32_t slot, const neap_event *event);
  void (*remove)(void *self, int32_t slot);
  void (*miss)(void *self, const neap_event *event); /* may be NULL */
} neap_native_hooks;

/* One loop for all; with constant hooks the compiler makes it one loop for each. */
__attribute__((always_inline)) static inline int neap_native_observe(void *self, const neap_link *links,
                                                                     const neap_event *events, int n,
                                                                     const neap_native_hooks hooks) {
  for (int i = 0; i < n; i++) {
    const neap_event *event = &events[i];
    int32_t slot = event->what & NEAP_SLOT_MASK;
    switch (event->what >> NEAP_EVENT_SHIFT) {
    case NEAP_EVENT_HIT: hooks.hit(self, slot); break;
    case NEAP_EVENT_INSERT:
      if (neap_list_has(links, slot)) hooks.remove(self, slot);
      hooks.insert(self, slot, event);
      break;
    case NEAP_EVENT_UPDATE:
      if (neap_list_has(links, slot)) hooks.update(self, slot, event);
      break;
    case NEAP_EVENT_REMOVE:
      if (neap_list_has(links, slot)) hooks.remove(self, slot);
      break;
    case NEAP_EVENT_MISS:
      if (hooks.miss != NULL) hooks.miss(self, event);
      break;
    default: break;
    }
  }
  return 0;
}

/* One loop for all questions: `step` gives a victim, 0 (ask again) or -1 (there is none). */
__attribute__((always_inline)) static inline int neap_native_decide(void *self, neap_evict_board *board,
                                                                    int32_t (*const step)(void *self)) {
  int32_t got = 0, calls = 0;
  while (got < board->want && calls < board->steps) {
    calls++;
    int32_t slot = step(self);
    if (slot > 0) board->victims[got++] = slot;
    if (slot < 0) break;
  }
  board->victim_count = got;
  board->calls = calls;
  return 0;
}

/* --- parameters */
typedef struct neap_native_param {
  const char *name;
  double least, most;
  double *value; /* holds the default before, the given value after */
} neap_native_param;

/* Reads `params` into `known` (ended by a NULL name). NEAP_EINVAL: unknown (with the nearest), no number, or
 * out of range. */
int neap_native_params(const char *policy, const neap_native_param *known, const neap_param *params,
                       size_t count, neap_err *err);

#endif
