/* What the guard and the native balance policies share: who may be picked, and how busy it is. Private to
 * policy/. */
#ifndef NEAP_POLICY_PICK_H
#define NEAP_POLICY_PICK_H

#include "policy/policy.h"

static inline bool neap_pick_usable(const neap_pick_board *board, int32_t backend) {
  return board->rows[backend].barred == 0;
}

/* The first usable backend from `start` on, going round; -1 where there is none. */
static inline int32_t neap_pick_from(const neap_pick_board *board, int32_t start) {
  for (int32_t i = 0; i < board->count; i++) {
    int32_t backend = (int32_t)(((int64_t)start + i) % board->count);
    if (neap_pick_usable(board, backend)) return backend;
  }
  return -1;
}

/* Whether `a` has no more to do than `b` for its share, this request included: 3 in flight of share 4 is less
 * than 1 of share 1. Fractions are compared crosswise, so that nothing is rounded and nothing divided. */
static inline bool neap_pick_is_freer(const neap_backend_row *a, const neap_backend_row *b) {
  return (a->in_flight + 1) * b->share <= (b->in_flight + 1) * a->share;
}

#endif
