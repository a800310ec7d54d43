/* Round robin: everybody that may be picked, in turn, whatever its weight. Begins anywhere. O(1) while nobody
 * is barred. The state is one worker's: workers need not agree on whose turn it is. */
#include "policy/native_balance.h"

/* hot: */
static int decide(void *self, neap_ask ask) {
  neap_native_board *turns = self;
  if (ask != NEAP_ASK_PICK) return NEAP_EINVAL;
  neap_pick_board *board = turns->board;
  board->answer = NEAP_PICK_NONE;
  if (board->count == 0) return 0;
  board->answer = neap_pick_from(board, neap_native_board_start(turns));
  if (board->answer >= 0) turns->last = board->answer;
  return 0;
}

static int create(const neap_policy_env *env, const neap_param *params, size_t param_count, void **self,
                  neap_err *err) {
  return neap_native_board_create("round_robin", env, params, param_count, self, err);
}

const neap_policy_vt neap_native_round_robin = {
    .name = "round_robin",
    .domain = NEAP_BALANCE,
    .create = create,
    .destroy = neap_native_board_destroy,
    .observe = neap_native_board_observe,
    .decide = decide,
};
