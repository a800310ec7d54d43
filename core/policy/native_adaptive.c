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
 * A weight decides among equals; what a share is below it, as in slow start, is taken off the capacity.
 *
 * A small pool is looked at from end to end. In a larger one each backend's wait is kept in a tournament: a
 * pick reckons anew those that something happened to, some more in turn, since time changes waits, too, and
 * who is about to win. So no wait is older than count / LOOKS picks, and the winner's is as of now. */
#include <math.h>
#include <stdlib.h>

#include "policy/guard.h"
#include "policy/native_balance.h"
#include "policy/pace.h"
#include "policy/tournament.h"

#define ADAPTIVE_MAGIC 0x4e616461u /* "Nada" */

static const double FRESH = 3.5;       /* answers' time in which a report loses most of its worth */
static const double OVERSHOOT = 8;     /* how much is made of what is sent while a report is on its way */
static const double FAST = 0.006;      /* what a fast answer is worth: less than a request more or less */
static const double PENALTY_MS = 1000; /* a penalty halves in that time */
static const double OTHERS_MIN = 0.02; /* requests per backend: below, we are alone */
static const double FULL = 1e9;        /* more than anybody waits: who is full comes after all who are not */
enum { REMEMBERED = 64, USUAL = 32, PENALTY_MAX = 65536 };
enum {
  SMALL = 16, /* a pool of so many is looked at from end to end */
  LOOKS = 4,  /* in a larger one, at so many in turn for each pick */
  WINNERS = 8 /* and at so many who might win, before all are looked at */
};

typedef struct place {
  double others, usual;       /* by the newest report; on average */
  double penalty, penalty_ms; /* of failures; when it was reckoned */
  double wire;                /* our requests on the way there and back, where we are alone */
  double asked_ms;            /* a probe is on its way since; 0: none */
  int32_t own;                /* in flight, as the events tell */
  int32_t counted, room;      /* its part of `own` and `rooms` of the pool */
  bool answered;              /* the next report came with an answer */
  bool stale;                 /* something happened to it since its wait was reckoned */
} place;

typedef struct adaptive {
  uint32_t magic;
  neap_pick_board *board;
  neap_pace pace;
  place *places;
  int32_t count;
  double others, own;                /* sums: over places; over rows at the last pick */
  int64_t rooms;                     /* sum of what backends have room for, while requests may be held */
  neap_tournament waits;             /* of a large pool */
  int32_t reckoned, turn;            /* places at the last pick; whose turn it is to be looked at */
  int32_t *stale, stale_count;       /* places, `count` of them at most */
  double share;                      /* of the one that was looked at last */
  int32_t usual;                     /* neap_pace_usual at the last pick */
  bool by_itself;                    /* at the last pick: nobody else sends requests */
  bool holds, differ;                /* requests may be held now; shares of those looked at differ */
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
  neap_tournament_fini(&a->waits);
  free(a->stale);
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
  int32_t *stale = realloc(a->stale, (size_t)count * sizeof *stale);
  if (stale == NULL) return false;
  a->stale = stale;
  if (neap_pace_fit(&a->pace, count) || neap_tournament_fit(&a->waits, count)) return false;
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
  /* Nobody has lines longer than that; who says so is not to bring the reports of all into doubt. */
  double most = 16.0 * neap_pace_capacity(&a->pace, i, row->capacity) + 64;
  double others = NEAP_MIN(NEAP_MAX((double)row->load - p->own, 0), most);
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
  place *p = &a->places[i];
  a->others -= p->others;
  *p = (place){.counted = p->counted, .room = p->room, .stale = p->stale};
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
    if (a->reckoned > SMALL && !a->places[i].stale) {
      a->places[i].stale = true;
      a->stale[a->stale_count++] = i;
    }
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

__attribute__((always_inline)) static inline double there(const adaptive *a, int32_t i) {
  const neap_backend_row *row = &a->board->rows[i];
  const place *p = &a->places[i];
  if (row->load < 0 || alone(a)) return row->in_flight;
  return row->in_flight + p->usual +
         (p->others - p->usual) * a->trust * fade(a, a->board->now_ms - row->load_ms);
}

/* In services, more or less. hot: inlined, as what else each look takes. */
__attribute__((always_inline)) static inline double wait_at(const adaptive *a, int32_t i) {
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

/* Probes: the backend of which the news are oldest, and the better two of four drawn. In a large pool, the
 * oldest of those whose turn it was. */
static void ask_for_loads(adaptive *a, int32_t from, int32_t looks) {
  neap_pick_board *board = a->board;
  int32_t asked[3] = {-1, -1, -1};
  double least[3] = {0};
  for (int32_t k = 0, i = from; k < looks; k++, i = i + 1 == board->count ? 0 : i + 1)
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

/* How a place stands, and what it adds to the sums. */
typedef struct standing {
  double wait; /* FULL more where it is full; infinity: it may not be picked */
  int32_t own, room;
} standing;

/* hot: inlined, for in a small pool it is all there is. */
__attribute__((always_inline)) static inline standing reckon(const adaptive *a, int32_t i) {
  const neap_backend_row *row = &a->board->rows[i];
  standing s = {.wait = INFINITY};
  if (row->barred & ~NEAP_BAR_TRIED) return s;
  bool full = a->holds && is_full(a, i, &s.room);
  double wait = wait_at(a, i);
  s.wait = (wait < FULL / 2 ? wait : FULL / 2) + (full ? FULL : 0);
  s.own = row->in_flight;
  return s;
}

/* Puts it where the next picks find it. The sums are set right by who calls. */
static void keep(adaptive *a, int32_t i, const standing *s) {
  a->places[i].counted = s->own;
  a->places[i].room = s->room;
  neap_tournament_set(&a->waits, i, s->wait);
}

/* From end to end. The best that may be picked; -1: there is none. */
static int32_t look_at_all(adaptive *a, int32_t from, double *least) {
  const neap_pick_board *board = a->board;
  int32_t best = -1;
  int64_t own = 0, rooms = 0;
  double share = board->rows[from].share;
  bool large = board->count > SMALL;
  a->weighted = a->differ = false;
  for (int32_t k = 0, i = from; k < board->count; k++, i = i + 1 == board->count ? 0 : i + 1) {
    standing s = reckon(a, i);
    own += s.own;
    rooms += s.room;
    if (large) keep(a, i, &s);
    if (!neap_pick_usable(board, i)) continue;
    a->weighted |= board->rows[i].share != share;
    if (best >= 0 && s.wait >= *least) continue;
    best = i;
    *least = s.wait;
  }
  a->own = (double)own;
  a->rooms = rooms;
  a->share = share;
  return best;
}

static double look_at(adaptive *a, int32_t i) {
  standing s = reckon(a, i);
  if (s.wait < INFINITY) {
    a->differ |= a->board->rows[i].share != a->share;
    a->share = a->board->rows[i].share;
  }
  a->own += s.own - a->places[i].counted;
  a->rooms += s.room - a->places[i].room;
  keep(a, i, &s);
  return s.wait;
}

/* Those that something happened to, and those whose turn it is. */
static void look_at_some(adaptive *a) {
  int32_t count = a->board->count;
  while (a->stale_count > 0) {
    int32_t i = a->stale[--a->stale_count];
    a->places[i].stale = false;
    if (i < count) look_at(a, i);
  }
  for (int k = 0; k < LOOKS; k++) {
    look_at(a, a->turn);
    if (++a->turn < count) continue;
    a->turn = 0;
    a->weighted = a->differ;
    a->differ = false;
  }
  a->weighted |= a->differ;
}

/* Who wins, its wait being as of now; -1 where that takes more than a few looks, or nobody can. Whom this
 * exchange has tried steps aside meanwhile. */
static int32_t winner(adaptive *a, int32_t from, double *least) {
  int32_t aside[WINNERS], aside_count = 0, won = -1;
  for (int k = 0; k < WINNERS && won < 0; k++) {
    int32_t i = neap_tournament_first(&a->waits, from);
    if (i < 0) break;
    if (a->board->rows[i].barred & NEAP_BAR_TRIED) {
      neap_tournament_set(&a->waits, i, INFINITY);
      aside[aside_count++] = i;
      continue;
    }
    *least = look_at(a, i);
    if (*least < INFINITY && *least <= a->waits.nodes[1]) won = i;
  }
  while (aside_count > 0) look_at(a, aside[--aside_count]);
  return won;
}

/* The places are others than at the last pick: all will be looked at. */
static void start_over(adaptive *a) {
  for (int32_t i = 0; i < a->count; i++) {
    a->places[i].stale = false;
    neap_tournament_set(&a->waits, i, INFINITY);
  }
  a->stale_count = a->turn = 0;
  a->reckoned = a->board->count;
}

/* hot: a look at each backend of a small pool; at some, and as many levels of a tree, of a large one. */
static int decide(void *self, neap_ask ask) {
  adaptive *a = self;
  neap_check_magic(a, ADAPTIVE_MAGIC);
  if (ask != NEAP_ASK_PICK) return NEAP_EINVAL;
  if (!fit(a)) return NEAP_ENOMEM;
  neap_pick_board *board = a->board;
  board->answer = NEAP_PICK_NONE;
  if (board->count == 0) return 0;
  weigh_reports(a);
  bool by_itself = alone(a), large = board->count > SMALL, fresh = a->reckoned != board->count;
  int32_t usual = neap_pace_usual(&a->pace);
  bool differs = usual != a->usual || by_itself != a->by_itself; /* for all backends at once */
  int32_t best = -1, turn = a->turn, from = first_look(a);
  double least = 0;
  a->holds = by_itself && board->may_wait;
  if (fresh) start_over(a);
  a->by_itself = by_itself;
  a->usual = usual;
  if (large && !fresh && !differs) {
    look_at_some(a);
    best = winner(a, from, &least);
  }
  if (best < 0) best = look_at_all(a, from, &least);
  board->answer = best;
  if (best >= 0 && least >= FULL && board->waiting < a->rooms)
    board->answer = NEAP_PICK_WAIT;
  else if (best >= 0)
    a->last = best;
  if (!by_itself) ask_for_loads(a, large ? turn : 0, large ? LOOKS : board->count);
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
