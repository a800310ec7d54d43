/* Estimated wait: the backend where this request would be done soonest, by its slowness (pace.h) times how
 * crowded it is, which is the requests in flight and this one over how many it works on at once. Equals take
 * turns. `concurrency` is a guess of the latter: too low costs little, too high lets queues grow unseen, so
 * it is low by default. Load reports are not looked at; what a configured share adds is capacity. */
#include <stdlib.h>

#include "policy/guard.h"
#include "policy/native_balance.h"
#include "policy/pace.h"

#define ESTIMATED_WAIT_MAGIC 0x4e657477u /* "Netw" */

typedef struct estimated_wait {
  uint32_t magic;
  neap_pick_board *board;
  double concurrency;
  neap_pace pace;
  neap_random random;
  int32_t last;
} estimated_wait;

static int create(const neap_policy_env *env, const neap_param *params, size_t param_count, void **self,
                  neap_err *err) {
  double concurrency = 2;
  const neap_native_param known[] = {{"concurrency", 1, 65536, &concurrency}, {.name = NULL}};
  int code = neap_native_params("estimated_wait", known, params, param_count, err);
  if (code) return code;
  estimated_wait *e = calloc(1, sizeof *e);
  if (e == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  e->magic = ESTIMATED_WAIT_MAGIC;
  e->board = env->pick;
  e->concurrency = concurrency;
  e->random.state = env->seed;
  e->last = -1;
  neap_pace_init(&e->pace);
  *self = e;
  return 0;
}

static void destroy(void *self) {
  estimated_wait *e = self;
  neap_check_magic(e, ESTIMATED_WAIT_MAGIC);
  e->magic = 0;
  neap_pace_fini(&e->pace);
  free(e);
}

static double crowd(const estimated_wait *e, int32_t present) {
  return present / e->concurrency;
}

/* hot: */
static int observe(void *self, const neap_event *events, int n) {
  estimated_wait *e = self;
  neap_check_magic(e, ESTIMATED_WAIT_MAGIC);
  return neap_pace_observe(&e->pace, e->board, events, n);
}

/* hot: */
static int decide(void *self, neap_ask ask) {
  estimated_wait *e = self;
  neap_check_magic(e, ESTIMATED_WAIT_MAGIC);
  if (ask != NEAP_ASK_PICK) return NEAP_EINVAL;
  neap_pick_board *board = e->board;
  if (neap_pace_fit(&e->pace, board->count)) return NEAP_ENOMEM;
  board->answer = NEAP_PICK_NONE;
  if (board->count == 0) return 0;
  if (e->last < 0) e->last = (int32_t)neap_random_below(&e->random, (uint64_t)board->count);
  int32_t best = -1, i = (e->last + 1) % board->count;
  double least = 0;
  for (int32_t looks = 0; looks < board->count; looks++) {
    if (neap_pick_usable(board, i)) {
      double wait = neap_pace_wait(neap_pace_slowness(&e->pace, i, board->now_ms),
                                   crowd(e, board->rows[i].in_flight + 1));
      if (best < 0 || wait < least) {
        best = i;
        least = wait;
      }
    }
    if (++i == board->count) i = 0;
  }
  if (best >= 0) e->last = best;
  board->answer = best;
  return 0;
}

const neap_policy_vt neap_native_estimated_wait = {
    .name = "estimated_wait",
    .domain = NEAP_BALANCE,
    .create = create,
    .destroy = destroy,
    .observe = observe,
    .decide = decide,
};
