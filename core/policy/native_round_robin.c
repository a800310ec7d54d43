/* Round robin with weights, the smooth way: each backend that may be picked gains its weight, the one that
 * has most is picked and pays what all gained. Equal weights take turns in order; with weights 5, 1, 1 the
 * heavy one comes five times in seven, spread out and not in a row (the algorithm of nginx's upstream round
 * robin). Backends that are down, draining or tried neither gain nor pay, so that nothing is owed to them
 * later. O(backends) per pick. The state is one worker's: workers need not agree on whose turn it is. */
#include "policy/policy.h"

#include <stdlib.h>

#include "base/base.h"

#define ROUND_ROBIN_MAGIC 0x4e727262u /* "Nrrb" */

typedef struct round_robin {
  uint32_t magic;
  int32_t capacity;
  int64_t *gained; /* by backend */
  neap_pick_board *board;
} round_robin;

static int create(const neap_policy_env *env, const neap_param *params, size_t param_count, void **self,
                  neap_err *err) {
  if (param_count > 0)
    return neap_fail(err, NEAP_EINVAL, "round_robin has no parameter \"%s\"", params[0].name);
  round_robin *rr = calloc(1, sizeof *rr);
  if (rr == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  rr->magic = ROUND_ROBIN_MAGIC;
  rr->board = env->pick;
  *self = rr;
  return 0;
}

static void destroy(void *self) {
  round_robin *rr = self;
  neap_check_magic(rr, ROUND_ROBIN_MAGIC);
  rr->magic = 0;
  free(rr->gained);
  free(rr);
}

static int observe(void *self, const neap_event *events, int n) {
  (void)self, (void)events, (void)n;
  return 0;
}

/* Only when the pool has grown. */
static bool make_room(round_robin *rr, int32_t count) {
  int64_t *gained = realloc(rr->gained, (size_t)count * sizeof *gained);
  if (gained == NULL) return false;
  for (int32_t i = rr->capacity; i < count; i++) gained[i] = 0;
  rr->gained = gained;
  rr->capacity = count;
  return true;
}

/* hot: */
static int decide(void *self, neap_ask ask) {
  round_robin *rr = self;
  neap_check_magic(rr, ROUND_ROBIN_MAGIC);
  if (ask != NEAP_ASK_PICK) return NEAP_EINVAL;
  neap_pick_board *board = rr->board;
  if (board->count > rr->capacity && !make_room(rr, board->count)) return NEAP_ENOMEM;
  int64_t total = 0;
  int32_t best = -1;
  for (int32_t i = 0; i < board->count; i++) {
    const neap_backend_row *row = &board->rows[i];
    if (row->barred) continue;
    total += row->weight;
    rr->gained[i] += row->weight;
    if (best < 0 || rr->gained[i] > rr->gained[best]) best = i;
  }
  if (best >= 0) rr->gained[best] -= total;
  board->answer = best;
  return 0;
}

const neap_policy_vt neap_native_round_robin = {
    .name = "round_robin",
    .domain = NEAP_BALANCE,
    .create = create,
    .destroy = destroy,
    .observe = observe,
    .decide = decide,
};
