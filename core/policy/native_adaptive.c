/* Adaptive: what pools use unless they are told otherwise. No knobs: docs/decisions/0050-adaptive-balance.md.
 *
 * The backend where the request would be done soonest: its slowness (pace.h) times how crowded it is. What is
 * there besides our own requests is taken from the backends' reports, where there are any:
 *
 *   there  = our own in flight + others
 *   others = what there usually is, and part of what the newest report differs from that: less the older it
 *            is, and less the more requests everybody sends while a report is on its way, for all who read it
 *            set right the same difference
 *
 * so a single balancer sees exactly its own counts, and one of many the freshest guess of everything. Without
 * reports, among equals the one that has just answered fast is taken: nobody else's requests were in the way.
 * Where nobody else sends requests and a backend says how many it works on at once, requests are held rather
 * than sent into a line; a guess is not enough for that: who is held back never shows that it could do more.
 * A failure counts as a wait that doubles with each in a row and fades in seconds: a backend that fails fast
 * draws next to nothing.
 *
 * A weight decides among equals; what a share is below it, as in slow start, is taken off the capacity. */
#include <math.h>
#include <stdlib.h>

#include "policy/guard.h"
#include "policy/native_balance.h"
#include "policy/pace.h"

#define ADAPTIVE_MAGIC 0x4e616461u /* "Nada" */

static const double FRESH = 3.5;       /* answers' time in which a report loses most of its worth */
static const double OVERSHOOT = 8;     /* how much is made of what is sent while a report is on its way */
static const double FAST = 0.006;      /* what a fast answer is worth: less than a request more or less */
static const double PENALTY_MS = 1000; /* a penalty halves in that time */
static const double OTHERS_MIN = 0.02; /* requests per backend: below, we are alone */
enum { REMEMBERED = 64, USUAL = 32, PENALTY_MAX = 65536 };

typedef struct place {
  double others, usual;       /* by the newest report; on average */
  double penalty, penalty_ms; /* of failures; when it was reckoned */
  double wire;                /* our requests on the way there and back, where we are alone */
  double asked_ms;            /* a probe is on its way since; 0: none */
  int32_t own;                /* in flight, as the events tell */
  bool answered;              /* the next report came with an answer */
} place;

typedef struct adaptive {
  uint32_t magic;
  neap_pick_board *board;
  neap_pace pace;
  place *places;
  int32_t count;
  double others, own;                /* sums: over places; over rows at the last pick */
  double trip_ms, gap_ms, picked_ms; /* of probes there and back; between picks; the last one */
  double trust;                      /* 0..1, in what reports differ from the usual */
  bool weighted;                     /* shares differ */
  neap_random random;
  int32_t last;
} adaptive;

static int create(const neap_policy_env *env, const neap_param *params, size_t param_count, void **self,
                  neap_err *err) {
  const neap_native_param none[] = {{.name = NULL}};
  int code = neap_native_params("adaptive", none, params, param_count, err);
  if (code) return code;
  adaptive *a = calloc(1, sizeof *a);
  if (a == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  a->magic = ADAPTIVE_MAGIC;
  a->board = env->pick;
  a->random.state = env->seed;
  a->last = -1;
  neap_pace_init(&a->pace);
  *self = a;
  return 0;
}

static void destroy(void *self) {
  adaptive *a = self;
  neap_check_magic(a, ADAPTIVE_MAGIC);
  a->magic = 0;
  neap_pace_fini(&a->pace);
  free(a->places);
  free(a);
}

/* Only when the pool has grown. */
static bool fit(adaptive *a) {
  int32_t count = a->board->count;
  if (count <= a->count) return true;
  place *places = realloc(a->places, (size_t)count * sizeof *places);
  if (places == NULL) return false;
  a->places = places;
  if (neap_pace_fit(&a->pace, count)) return false;
  for (; a->count < count; a->count++) places[a->count] = (place){0};
  return true;
}

/* --- learning --- */

/* 1 for what is new, falling to 0 as it ages beside what an answer takes. */
static double fade(const adaptive *a, double age_ms) {
  double x = age_ms / (FRESH * a->pace.typical_ms);
  return x > 12 ? 0 : 1 / (1 + x + x * x / 2);
}

static double penalty_now(const place *p, double now_ms) {
  if (p->penalty == 0) return 0;
  double left = p->penalty * exp2(-(now_ms - p->penalty_ms) / PENALTY_MS);
  return left < 0.05 ? 0 : left; /* so that it is an equal again */
}

static void reported(adaptive *a, int32_t i) {
  const neap_backend_row *row = &a->board->rows[i];
  place *p = &a->places[i];
  if (row->load < 0) return;
  double others = NEAP_MAX(row->load - p->own, 0);
  a->others += others - p->others;
  p->others = others;
  p->usual += (others - p->usual) / USUAL;
  p->wire += (NEAP_MAX(p->own - row->load, 0) - p->wire) / REMEMBERED;
  if (!p->answered && p->asked_ms > 0) {
    a->trip_ms += (NEAP_MAX(row->load_ms - p->asked_ms, 0) - a->trip_ms) / REMEMBERED;
    p->asked_ms = 0;
  }
  p->answered = false;
}

static void back(adaptive *a, int32_t i, const neap_event *event, bool failed) {
  place *p = &a->places[i];
  double now_ms = a->board->now_ms, penalty = penalty_now(p, now_ms);
  if (p->own > 0) p->own--;
  p->answered = true;
  p->penalty = failed ? NEAP_MIN(penalty * 2 + 1, PENALTY_MAX) : penalty / 2;
  p->penalty_ms = now_ms;
  if (failed)
    neap_pace_failed(&a->pace, i, event->size);
  else
    neap_pace_done(&a->pace, i, event->size, p->others, a->board->rows[i].capacity, event->hash, now_ms);
}

static void forget(adaptive *a, int32_t i) {
  a->others -= a->places[i].others;
  a->places[i] = (place){0};
  neap_pace_forget(&a->pace, i);
}

/* hot: */
static int observe(void *self, const neap_event *events, int n) {
  adaptive *a = self;
  neap_check_magic(a, ADAPTIVE_MAGIC);
  if (!fit(a)) return NEAP_ENOMEM;
  for (int k = 0; k < n; k++) {
    int32_t i = events[k].what & NEAP_SLOT_MASK;
    if (i >= a->count) continue;
    switch (events[k].what >> NEAP_EVENT_SHIFT) {
    case NEAP_EVENT_SENT:
      a->places[i].own = events[k].size;
      neap_pace_sent(&a->pace, i, events[k].size);
      break;
    case NEAP_EVENT_DONE: back(a, i, &events[k], false); break;
    case NEAP_EVENT_FAILED: back(a, i, &events[k], true); break;
    case NEAP_EVENT_REPORT: reported(a, i); break;
    case NEAP_EVENT_JOINED:
    case NEAP_EVENT_LEFT: forget(a, i); break;
    default: break;
    }
  }
  return 0;
}

/* --- picking --- */

static bool alone(const adaptive *a) {
  return a->others <= OTHERS_MIN * a->board->count;
}

/* How many requests everybody sends to a backend while a probe is under way says how far to trust it. */
static void weigh_reports(adaptive *a) {
  const neap_pick_board *board = a->board;
  a->gap_ms += (NEAP_MIN(board->now_ms - a->picked_ms, 1000) - a->gap_ms) / REMEMBERED;
  a->picked_ms = board->now_ms;
  double everybody = 1 + a->others / NEAP_MAX(a->own, 1);
  double unseen = a->trip_ms / NEAP_MAX(a->gap_ms, 1e-6) * everybody / board->count;
  a->trust = 1 / (1 + OVERSHOOT * unseen);
}

static double there(const adaptive *a, int32_t i) {
  const neap_backend_row *row = &a->board->rows[i];
  const place *p = &a->places[i];
  if (row->load < 0 || alone(a)) return row->in_flight;
  return row->in_flight + p->usual +
         (p->others - p->usual) * a->trust * fade(a, a->board->now_ms - row->load_ms);
}

/* In services, more or less. */
static double wait_at(const adaptive *a, int32_t i) {
  const neap_backend_row *row = &a->board->rows[i];
  const place *p = &a->places[i];
  double now_ms = a->board->now_ms, capacity = neap_pace_capacity(&a->pace, i, row->capacity);
  if (row->share != row->weight) capacity *= row->share / NEAP_MAX(row->weight, 1);
  double wait = neap_pace_wait(neap_pace_slowness(&a->pace, i, now_ms), (there(a, i) + 1) / capacity);
  if (row->load < 0 && a->pace.rows[i].newest != 0)
    wait += FAST * a->pace.rows[i].newest * fade(a, now_ms - a->pace.rows[i].seen_ms) / capacity;
  return p->penalty == 0 ? wait : wait * (1 + penalty_now(p, now_ms));
}

/* Whether it has as many as it works on, those on the way aside, and some more, that it never runs dry. */
static bool is_full(const adaptive *a, int32_t i, int32_t *room) {
  const neap_backend_row *row = &a->board->rows[i];
  int32_t most = 0;
  bool bounded = row->capacity > 0 && neap_pace_is_bounded(&a->pace, i, row->capacity, &most);
  *room = most + NEAP_MAX(1, most / 8) + (int32_t)(a->places[i].wire + 0.5);
  return bounded && row->in_flight >= *room;
}

/* Probes: the backend of which the news are oldest, and the better two of four drawn. */
static void ask_for_loads(adaptive *a) {
  neap_pick_board *board = a->board;
  int32_t asked[3] = {-1, -1, -1};
  double least[3] = {0};
  for (int32_t i = 0; i < board->count; i++)
    if (neap_pick_usable(board, i) &&
        (asked[0] < 0 || board->rows[i].load_ms < board->rows[asked[0]].load_ms))
      asked[0] = i;
  for (int draw = 0; draw < 4; draw++) {
    int32_t i = (int32_t)neap_random_below(&a->random, (uint64_t)board->count);
    if (!neap_pick_usable(board, i) || i == asked[0] || i == asked[1] || i == asked[2]) continue;
    double wait = wait_at(a, i);
    int at = asked[1] < 0 || wait < least[1] ? 1 : asked[2] < 0 || wait < least[2] ? 2 : 3;
    if (at == 3) continue;
    if (at == 1) {
      asked[2] = asked[1];
      least[2] = least[1];
    }
    asked[at] = i;
    least[at] = wait;
  }
  for (int k = 0; k < 3; k++) {
    if (asked[k] < 0) continue;
    board->probes[board->probe_count++] = asked[k];
    if (a->places[asked[k]].asked_ms == 0) a->places[asked[k]].asked_ms = board->now_ms;
  }
}

/* Equals take turns, or are drawn by their shares where these differ. */
static int32_t first_look(adaptive *a) {
  int32_t count = a->board->count;
  if (a->last < 0) a->last = (int32_t)neap_random_below(&a->random, (uint64_t)count);
  return a->weighted ? NEAP_MIN(a->board->random1, count - 1) : (a->last + 1) % count;
}

/* hot: one look at each backend; a division or two, more where reports or penalties fade. */
static int decide(void *self, neap_ask ask) {
  adaptive *a = self;
  neap_check_magic(a, ADAPTIVE_MAGIC);
  if (ask != NEAP_ASK_PICK) return NEAP_EINVAL;
  if (!fit(a)) return NEAP_ENOMEM;
  neap_pick_board *board = a->board;
  board->answer = NEAP_PICK_NONE;
  if (board->count == 0) return 0;
  weigh_reports(a);
  bool by_itself = alone(a), may_hold = by_itself && board->may_wait, best_full = false;
  int64_t rooms = 0;
  int32_t best = -1, room, i = first_look(a);
  double least = 0, own = 0, share = board->rows[i].share;
  a->weighted = false;
  for (int32_t looks = 0; looks < board->count; looks++, i = i + 1 == board->count ? 0 : i + 1) {
    const neap_backend_row *row = &board->rows[i];
    if (!neap_pick_usable(board, i)) continue;
    a->weighted |= row->share != share;
    own += row->in_flight;
    bool full = may_hold && is_full(a, i, &room);
    double wait = wait_at(a, i);
    if (may_hold) rooms += room;
    if (best >= 0 && (full > best_full || (full == best_full && wait >= least))) continue;
    best = i;
    best_full = full;
    least = wait;
  }
  a->own = own;
  board->answer = best;
  if (best_full && board->waiting < rooms)
    board->answer = NEAP_PICK_WAIT;
  else if (best >= 0)
    a->last = best;
  if (!by_itself) ask_for_loads(a);
  return 0;
}

const neap_policy_vt neap_native_adaptive = {
    .name = "adaptive",
    .domain = NEAP_BALANCE,
    .create = create,
    .destroy = destroy,
    .observe = observe,
    .decide = decide,
};
