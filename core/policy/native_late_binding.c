/* Late binding: requests wait in the gateway, in one line, until a backend can work on them, rather than
 * before a backend chosen too early. A backend gets as many as it works on at once and `ahead` more, which
 * hide the way there and back. How many those are is told by the backend's reports, or learned
 * (concurrency.h); `concurrency` is where learning starts. While it is not sure of each backend that it
 * makes more requests wait, none is held and none counts as full: else all would go to those of which nothing
 * is known, which are the smallest. When more are held than all backends are given, the rest goes out as
 * well: a guess that is too low costs little and mends itself. Among those that have room the one with the
 * fewest requests for its slowness (pace.h) is picked; equals take turns. */
#include <stdlib.h>

#include "policy/guard.h"
#include "policy/native_balance.h"
#include "policy/pace.h"

#define LATE_BINDING_MAGIC 0x4e6c6174u /* "Nlat" */

typedef struct late_binding {
  uint32_t magic;
  neap_pick_board *board;
  int32_t guess, ahead;
  neap_pace pace;
  neap_random random;
  int32_t last;
} late_binding;

static int create(const neap_policy_env *env, const neap_param *params, size_t param_count, void **self,
                  neap_err *err) {
  double concurrency = 1, ahead = 1;
  const neap_native_param known[] = {
      {"concurrency", 1, NEAP_CROWD_MAX - 2, &concurrency}, {"ahead", 0, 65536, &ahead}, {.name = NULL}};
  int code = neap_native_params("late_binding", known, params, param_count, err);
  if (code) return code;
  late_binding *l = calloc(1, sizeof *l);
  if (l == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  l->magic = LATE_BINDING_MAGIC;
  l->board = env->pick;
  l->guess = (int32_t)concurrency;
  l->ahead = (int32_t)ahead;
  l->random.state = env->seed;
  l->last = -1;
  neap_pace_init(&l->pace);
  *self = l;
  return 0;
}

static void destroy(void *self) {
  late_binding *l = self;
  neap_check_magic(l, LATE_BINDING_MAGIC);
  l->magic = 0;
  neap_pace_fini(&l->pace);
  free(l);
}

/* --- learning --- */

static void done(late_binding *l, int32_t place, const neap_event *event) {
  const neap_backend_row *row = &l->board->rows[place];
  neap_pace_done(&l->pace, place, event->size, 0, row->capacity, event->hash, l->board->now_ms);
}

/* hot: */
static int observe(void *self, const neap_event *events, int n) {
  late_binding *l = self;
  neap_check_magic(l, LATE_BINDING_MAGIC);
  if (neap_pace_fit(&l->pace, l->board->count)) return NEAP_ENOMEM;
  for (int i = 0; i < n; i++) {
    int32_t place = events[i].what & NEAP_SLOT_MASK;
    if (place >= l->pace.count) continue;
    switch (events[i].what >> NEAP_EVENT_SHIFT) {
    case NEAP_EVENT_SENT: neap_pace_sent(&l->pace, place, events[i].size); break;
    case NEAP_EVENT_DONE: done(l, place, &events[i]); break;
    case NEAP_EVENT_FAILED: neap_pace_failed(&l->pace, place, events[i].size); break;
    case NEAP_EVENT_JOINED: neap_pace_forget(&l->pace, place); break;
    default: break;
    }
  }
  return 0;
}

/* --- picking --- */

/* The backend where the wait is least. */
typedef struct choice {
  int32_t backend; /* -1: none yet */
  double wait;
} choice;

static inline void offer(choice *c, int32_t backend, double wait) {
  if (c->backend < 0 || wait < c->wait) *c = (choice){backend, wait};
}

/* hot: */
static int decide(void *self, neap_ask ask) {
  late_binding *l = self;
  neap_check_magic(l, LATE_BINDING_MAGIC);
  if (ask != NEAP_ASK_PICK) return NEAP_EINVAL;
  if (neap_pace_fit(&l->pace, l->board->count)) return NEAP_ENOMEM;
  neap_pick_board *board = l->board;
  board->answer = NEAP_PICK_NONE;
  if (board->count == 0) return 0;
  if (l->last < 0) l->last = (int32_t)neap_random_below(&l->random, (uint64_t)board->count);
  int64_t given = 0;
  int32_t i = (l->last + 1) % board->count;
  bool all_bounded = true;
  choice any = {.backend = -1}, with_room = {.backend = -1};
  for (int32_t looks = 0; looks < board->count; looks++, i = i + 1 == board->count ? 0 : i + 1) {
    if (!neap_pick_usable(board, i)) continue;
    const neap_backend_row *row = &board->rows[i];
    int32_t most;
    bool bounded = neap_pace_is_bounded(&l->pace, i, row->capacity, &most);
    most = NEAP_MAX(most, l->guess);
    double c = neap_pace_capacity(&l->pace, i, row->capacity);
    double wait = neap_pace_wait(neap_pace_slowness(&l->pace, i, board->now_ms), (row->in_flight + 1) / c);
    given += most + l->ahead;
    all_bounded &= bounded;
    offer(&any, i, wait);
    if (!bounded || row->in_flight < most + l->ahead) offer(&with_room, i, wait);
  }
  int32_t best = all_bounded && with_room.backend >= 0 ? with_room.backend : any.backend;
  bool all_full = all_bounded && with_room.backend < 0;
  bool hold = best >= 0 && all_full && board->may_wait && board->waiting < given;
  if (best >= 0 && !hold) l->last = best;
  board->answer = hold ? NEAP_PICK_WAIT : best;
  return 0;
}

const neap_policy_vt neap_native_late_binding = {
    .name = "late_binding",
    .domain = NEAP_BALANCE,
    .create = create,
    .destroy = destroy,
    .observe = observe,
    .decide = decide,
};
