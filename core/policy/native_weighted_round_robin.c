/* Round robin with weights, the smooth way: each backend that may be picked gains its share, the one that has
 * most is picked and pays what all gained. With shares 5, 1, 1 the heavy one comes five times in seven,
 * spread out and not in a row (the algorithm of nginx's upstream round robin). Backends that are barred
 * neither gain nor pay, so that nothing is owed to them later. Everybody begins with a random part of its
 * share: balancers that begin alike would stay in step and hit the same backend at the same time. O(backends)
 * per pick. */
#include "policy/native_balance.h"

#include <stdlib.h>

#define ROUND_ROBIN_MAGIC 0x4e727262u /* "Nrrb" */

typedef struct round_robin {
  uint32_t magic;
  int32_t capacity;
  double *gained; /* by place */
  neap_pick_board *board;
  neap_random random;
} round_robin;

static int create(const neap_policy_env *env, const neap_param *params, size_t param_count, void **self,
                  neap_err *err) {
  const neap_native_param none[] = {{.name = NULL}};
  int code = neap_native_params("weighted_round_robin", none, params, param_count, err);
  if (code) return code;
  round_robin *rr = calloc(1, sizeof *rr);
  if (rr == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  rr->magic = ROUND_ROBIN_MAGIC;
  rr->board = env->pick;
  rr->random.state = env->seed;
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

static void begin_at(round_robin *rr, int32_t place) {
  rr->gained[place] = neap_random_unit(&rr->random) * rr->board->rows[place].share;
}

static int observe(void *self, const neap_event *events, int n) {
  round_robin *rr = self;
  for (int i = 0; i < n; i++) {
    int32_t place = events[i].what & NEAP_SLOT_MASK;
    if (events[i].what >> NEAP_EVENT_SHIFT == NEAP_EVENT_JOINED && place < rr->capacity) begin_at(rr, place);
  }
  return 0;
}

/* Only when the pool has grown. */
static bool make_room(round_robin *rr, int32_t count) {
  double *gained = realloc(rr->gained, (size_t)count * sizeof *gained);
  if (gained == NULL) return false;
  rr->gained = gained;
  for (; rr->capacity < count; rr->capacity++) begin_at(rr, rr->capacity);
  return true;
}

/* hot: */
static int decide(void *self, neap_ask ask) {
  round_robin *rr = self;
  neap_check_magic(rr, ROUND_ROBIN_MAGIC);
  if (ask != NEAP_ASK_PICK) return NEAP_EINVAL;
  neap_pick_board *board = rr->board;
  if (board->count > rr->capacity && !make_room(rr, board->count)) return NEAP_ENOMEM;
  double total = 0;
  int32_t best = -1;
  for (int32_t i = 0; i < board->count; i++) {
    const neap_backend_row *row = &board->rows[i];
    if (row->barred) continue;
    total += row->share;
    rr->gained[i] += row->share;
    if (best < 0 || rr->gained[i] > rr->gained[best]) best = i;
  }
  if (best >= 0) rr->gained[best] -= total;
  board->answer = best;
  return 0;
}

const neap_policy_vt neap_native_weighted_round_robin = {
    .name = "weighted_round_robin",
    .domain = NEAP_BALANCE,
    .create = create,
    .destroy = destroy,
    .observe = observe,
    .decide = decide,
};
