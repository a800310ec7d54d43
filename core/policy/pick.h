/* Which backends may be picked: one rule for the guard and for the native policies. Private to policy/. */
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

#endif
