/* What the native balance policies share. Private to policy/. */
#ifndef NEAP_POLICY_NATIVE_BALANCE_H
#define NEAP_POLICY_NATIVE_BALANCE_H

#include "base/base.h"
#include "policy/native.h"
#include "policy/pick.h"

/* A policy without parameters that keeps at most one number: the place of its last answer. */
typedef struct neap_native_board {
  neap_pick_board *board;
  neap_random random;
  int32_t last; /* -1 before the first */
} neap_native_board;

int neap_native_board_create(const char *name, const neap_policy_env *env, const neap_param *params,
                             size_t param_count, void **self, neap_err *err);
void neap_native_board_destroy(void *self);
/* Nothing that happens matters to it. */
int neap_native_board_observe(void *self, const neap_event *events, int n);

/* Where to begin looking: behind the last answer, so that equals take turns; the first time anywhere, so that
 * many balancers do not begin alike. The pool has members. hot: */
static inline int32_t neap_native_board_start(neap_native_board *self) {
  int32_t count = self->board->count;
  if (self->last < 0) self->last = (int32_t)(neap_random_unit(&self->random) * count);
  return (self->last + 1) % count;
}

#endif
