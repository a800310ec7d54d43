/* A backend at random, in proportion to shares: the first of the two that were drawn. */
#include "policy/native_balance.h"

/* hot: */
static int decide(void *self, neap_ask ask) {
  neap_native_board *random = self;
  if (ask != NEAP_ASK_PICK) return NEAP_EINVAL;
  neap_pick_board *board = random->board;
  board->answer = board->count > 0 ? neap_pick_from(board, board->random1) : NEAP_PICK_NONE;
  return 0;
}

static int create(const neap_policy_env *env, const neap_param *params, size_t param_count, void **self,
                  neap_err *err) {
  return neap_native_board_create("random", env, params, param_count, self, err);
}

const neap_policy_vt neap_native_random = {
    .name = "random",
    .domain = NEAP_BALANCE,
    .create = create,
    .destroy = neap_native_board_destroy,
    .observe = neap_native_board_observe,
    .decide = decide,
};
