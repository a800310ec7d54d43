/* Power of two choices (Mitzenmacher, 2001): of the two backends drawn, the one with less to do for its
 * share. Nearly as even as looking at all of them, without the herd that runs to the one that looks idle. The
 * draw is in proportion to shares, so that one large backend among many small ones gets its part. O(1). */
#include "policy/native_balance.h"

/* hot: */
static int decide(void *self, neap_ask ask) {
  neap_native_board *p2c = self;
  if (ask != NEAP_ASK_PICK) return NEAP_EINVAL;
  neap_pick_board *board = p2c->board;
  board->answer = NEAP_PICK_NONE;
  if (board->count == 0) return 0;
  int32_t a = neap_pick_from(board, board->random1), b = neap_pick_from(board, board->random2);
  if (a >= 0) board->answer = neap_pick_is_freer(&board->rows[a], &board->rows[b]) ? a : b;
  return 0;
}

static int create(const neap_policy_env *env, const neap_param *params, size_t param_count, void **self,
                  neap_err *err) {
  return neap_native_board_create("p2c", env, params, param_count, self, err);
}

const neap_policy_vt neap_native_p2c = {
    .name = "p2c",
    .domain = NEAP_BALANCE,
    .create = create,
    .destroy = neap_native_board_destroy,
    .observe = neap_native_board_observe,
    .decide = decide,
};
