/* Two backends drawn in proportion to their shares.
 *
 * By rejection: a place drawn evenly is taken with the probability share / top_share, which needs no sums and
 * no tables that shares in motion would spoil. Where most draws are refused (few may be picked, or one share
 * dwarfs the rest) the shares are added up once instead. */
#include "policy/pick.h"

enum { DRAWS_MAX = 16 };

static int32_t draw_by_sum(const neap_pick_board *board, neap_random *random, int32_t but) {
  double total = 0;
  for (int32_t i = 0; i < board->count; i++)
    if (i != but && neap_pick_usable(board, i)) total += board->rows[i].share;
  double at = neap_random_unit(random) * total;
  int32_t last = -1;
  for (int32_t i = 0; i < board->count; i++) {
    if (i == but || !neap_pick_usable(board, i)) continue;
    last = i;
    at -= board->rows[i].share;
    if (at < 0) break;
  }
  return last;
}

/* Any that may be picked, but not `but`; -1: there is none. */
static int32_t draw(const neap_pick_board *board, neap_random *random, double top_share, int32_t but) {
  for (int tries = 0; tries < DRAWS_MAX; tries++) {
    int32_t i = (int32_t)neap_random_below(random, (uint64_t)board->count);
    if (i == but || !neap_pick_usable(board, i)) continue;
    double share = board->rows[i].share;
    if (share >= top_share || neap_random_unit(random) * top_share < share) return i;
  }
  return draw_by_sum(board, random, but);
}

void neap_pick_draw(neap_pick_board *board, neap_random *random, double top_share) {
  board->random1 = board->random2 = 0;
  if (board->count <= 1) return;
  int32_t first = draw(board, random, top_share, -1);
  if (first < 0) first = (int32_t)neap_random_below(random, (uint64_t)board->count);
  int32_t second = draw(board, random, top_share, first);
  board->random1 = first;
  board->random2 = second < 0 ? (first + 1) % board->count : second;
}
