/* Least connections: the backend with the fewest requests in flight; weighted: with the least to do for its
 * share, this request included, as a fraction. Equals take turns: the search begins behind the last answer.
 * One look at each backend: a heap would be cheaper from some hundred on, but the counts are moved by all
 * workers, and nothing tells this one. */
#include "policy/native_balance.h"

typedef bool is_less(const neap_backend_row *a, const neap_backend_row *b);

static inline bool has_fewer(const neap_backend_row *a, const neap_backend_row *b) {
  return a->in_flight < b->in_flight;
}

static inline bool has_less_to_do(const neap_backend_row *a, const neap_backend_row *b) {
  return !neap_pick_is_freer(b, a);
}

/* hot: */
__attribute__((always_inline)) static inline int pick(neap_native_board *least, neap_ask ask,
                                                      is_less *const less) {
  if (ask != NEAP_ASK_PICK) return NEAP_EINVAL;
  neap_pick_board *board = least->board;
  board->answer = NEAP_PICK_NONE;
  if (board->count == 0) return 0;
  int32_t best = -1, i = neap_native_board_start(least);
  for (int32_t looks = 0; looks < board->count; looks++) {
    if (neap_pick_usable(board, i) && (best < 0 || less(&board->rows[i], &board->rows[best]))) best = i;
    if (++i == board->count) i = 0;
  }
  if (best >= 0) least->last = best;
  board->answer = best;
  return 0;
}

static int decide_least(void *self, neap_ask ask) {
  return pick(self, ask, has_fewer);
}

static int decide_weighted(void *self, neap_ask ask) {
  return pick(self, ask, has_less_to_do);
}

static int create_least(const neap_policy_env *env, const neap_param *params, size_t param_count, void **self,
                        neap_err *err) {
  return neap_native_board_create("least_connections", env, params, param_count, self, err);
}

static int create_weighted(const neap_policy_env *env, const neap_param *params, size_t param_count,
                           void **self, neap_err *err) {
  return neap_native_board_create("weighted_least_connections", env, params, param_count, self, err);
}

const neap_policy_vt neap_native_least_connections = {
    .name = "least_connections",
    .domain = NEAP_BALANCE,
    .create = create_least,
    .destroy = neap_native_board_destroy,
    .observe = neap_native_board_observe,
    .decide = decide_least,
};

const neap_policy_vt neap_native_weighted_least_connections = {
    .name = "weighted_least_connections",
    .domain = NEAP_BALANCE,
    .create = create_weighted,
    .destroy = neap_native_board_destroy,
    .observe = neap_native_board_observe,
    .decide = decide_weighted,
};
