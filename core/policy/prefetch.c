/* The prefetcher: issuers and their standing, the budget, what is under way. prefetch.h has the picture. */
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "policy/ledger.h"
#include "policy/policy.h"

enum {
  PREFETCHER_MAGIC = 0x6e507266,
  SHELF_PART = 8,  /* one item takes at most such a part of the shelf */
  STALE = 4,       /* times the usual wait */
  MEAN_WEIGHT = 16 /* of the newest in means: one in so many */
};

typedef struct issuer {
  char name[64];
  neap_policy *policy; /* NULL: code of the engine */
  neap_prefetch_board *board;
  neap_prefetch_state state;
  bool trusted;
  uint32_t good, settled; /* of the trial, or in the window */
  uint32_t noted, trial;  /* wishes of this trial; its number */
  uint64_t until, pause;  /* paused: until that request; how long the next time */
  neap_prefetch_counters counters;
} issuer;

struct neap_prefetcher {
  uint32_t magic;
  neap_prefetch_options options;
  neap_prefetch_host host;
  issuer issuers[NEAP_ISSUERS_MAX];
  int issuer_count;
  neap_ledger real, dry; /* what is under way or on the shelf; what trials would have fetched */
  uint64_t requests;
  double tokens;
  double second_tokens; /* of options.rate */
  double now_ms;        /* of the newest turn */
  double delay, wait;   /* means, in requests: until it is there; from the wish to its use */
  double size;          /* mean of what is wished for */
  double waiting;       /* sizes of all in `real` */
  uint32_t in_flight;
  uint32_t allowed; /* of these, by neap_prefetcher_allow */
  double allowed_size;
  bool due, turning;
};

void neap_prefetch_options_init(neap_prefetch_options *options, double limit) {
  uint64_t objects = limit < 2048 ? (uint64_t)limit : 2048;
  *options = (neap_prefetch_options){.shelf = limit * 0.05,
                                     .share = 0.5,
                                     .burst = 64,
                                     .in_flight = 64,
                                     .precision = 0.4,
                                     .trial = 32,
                                     .window = 256,
                                     .pause = 2000,
                                     .pause_most = 32000,
                                     .horizon = 2 * objects + 1,
                                     .delay = 8};
}

static bool valid(const neap_prefetch_options *o) {
  return o->shelf >= 0 && o->share >= 0 && o->share <= 1000 && o->precision >= 0 && o->precision <= 1 &&
         o->trial > 0 && o->window >= o->trial && o->rate >= 0;
}

int neap_prefetcher_create(const neap_prefetch_options *options, const neap_prefetch_host *host,
                           neap_prefetcher **out) {
  if (!valid(options)) return NEAP_EINVAL;
  neap_prefetcher *p = calloc(1, sizeof *p);
  if (p == NULL) return NEAP_ENOMEM;
  p->magic = PREFETCHER_MAGIC;
  p->options = *options;
  p->host = *host;
  p->tokens = options->saved;
  p->delay = (double)options->delay;
  p->wait = (double)options->horizon / 8;
  p->size = 1;
  if (neap_ledger_init(&p->real) == 0 && neap_ledger_init(&p->dry) == 0) {
    *out = p;
    return 0;
  }
  neap_prefetcher_destroy(&p);
  return NEAP_ENOMEM;
}

void neap_prefetcher_destroy(neap_prefetcher **prefetcher) {
  neap_prefetcher *p = *prefetcher;
  if (p == NULL) return;
  neap_check_magic(p, PREFETCHER_MAGIC);
  for (int i = 0; i < p->issuer_count; i++) {
    neap_policy_close(&p->issuers[i].policy);
    free(p->issuers[i].board);
  }
  neap_ledger_fini(&p->real);
  neap_ledger_fini(&p->dry);
  p->magic = 0;
  free(p);
  *prefetcher = NULL;
}

int neap_prefetcher_add(neap_prefetcher *p, const char *name) {
  neap_check_magic(p, PREFETCHER_MAGIC);
  if (p->issuer_count == NEAP_ISSUERS_MAX) return NEAP_EROOM;
  issuer *one = &p->issuers[p->issuer_count];
  *one = (issuer){.state = NEAP_PREFETCH_OPEN, .pause = p->options.pause};
  snprintf(one->name, sizeof one->name, "%s", name);
  return p->issuer_count++;
}

int neap_prefetcher_open(neap_prefetcher *p, neap_registry *registry, const char *spec, const char *source,
                         const neap_param *params, size_t param_count, const neap_policy_env *env,
                         neap_err *err) {
  neap_check_magic(p, PREFETCHER_MAGIC);
  if (p->issuer_count == NEAP_ISSUERS_MAX)
    return neap_fail(err, NEAP_EROOM, "more than %d prefetch policies", NEAP_ISSUERS_MAX);
  neap_prefetch_board *board = calloc(1, sizeof *board);
  if (board == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  const neap_policy_env own = {
      .host = env->host, .seed = env->seed, .generation = env->generation, .prefetch = board};
  neap_policy *policy;
  int rc = neap_policy_open(registry, NEAP_PREFETCH, spec, source, &own, params, param_count, &policy, err);
  if (rc) {
    free(board);
    return rc;
  }
  int number = neap_prefetcher_add(p, neap_policy_name(policy));
  p->issuers[number].policy = policy;
  p->issuers[number].board = board;
  p->issuers[number].state = NEAP_PREFETCH_TRIAL;
  return number;
}

/* --- standing --- */

static void pause_issuer(neap_prefetcher *p, issuer *one) {
  one->state = NEAP_PREFETCH_PAUSED;
  one->until = p->requests + one->pause;
  one->pause = NEAP_MIN(2 * one->pause, p->options.pause_most);
  one->good = one->settled = 0;
  one->counters.pauses++;
}

/* A wish of the trial has come true or has not. A trial is of so many wishes, and waits for all of them as
 * far as it depends on them: what is used is known soon and what is wasted late, so that the first to be
 * settled would speak too well of it. */
static void judge_trial(neap_prefetcher *p, issuer *one, bool good) {
  const neap_prefetch_options *o = &p->options;
  double enough = o->precision * o->trial;
  one->good += good;
  one->settled++;
  if (one->good >= enough) {
    one->state = NEAP_PREFETCH_OPEN;
    one->pause = o->pause;
    one->good = one->settled = 0;
  } else if (one->settled - one->good > o->trial - enough) {
    pause_issuer(p, one);
  }
}

/* The same of what was fetched. */
static void judge(neap_prefetcher *p, issuer *one, bool good) {
  const neap_prefetch_options *o = &p->options;
  one->good += good;
  one->settled++;
  if (one->settled < o->trial) return;
  if (one->good < o->precision * one->settled)
    pause_issuer(p, one);
  else if (one->settled >= o->window)
    one->good /= 2, one->settled /= 2;
}

static void look_at_pause(neap_prefetcher *p, issuer *one) {
  if (one->state != NEAP_PREFETCH_PAUSED || p->requests < one->until) return;
  one->state = NEAP_PREFETCH_TRIAL;
  one->noted = 0;
  one->trial++;
}

/* --- telling --- */

static void run_issuer(neap_prefetcher *p, int number);

static void tell(neap_prefetcher *p, int number, const neap_prefetch_event *event) {
  neap_prefetch_board *board = p->issuers[number].board;
  if (board == NULL) return;
  /* Where a turn is under way, its own outcomes are what fills the board: the oldest stay. */
  if (board->event_count == NEAP_PREFETCH_EVENTS_MAX) {
    if (p->turning) return;
    run_issuer(p, number);
  }
  board->events[board->event_count++] = *event;
}

static void tell_all(neap_prefetcher *p, const neap_prefetch_event *event) {
  for (int i = 0; i < p->issuer_count; i++) tell(p, i, event);
}

static double short_hash(uint64_t hash) {
  return (double)(hash >> 11);
}

static void tell_outcome(neap_prefetcher *p, const neap_ledger_note *note, int32_t kind) {
  tell(p, note->issuer, &(neap_prefetch_event){.kind = kind, .hash = short_hash(note->item.hash)});
}

/* --- how wishes end --- */

static void end_dry(neap_prefetcher *p, neap_ledger_note *note, int32_t kind) {
  issuer *one = &p->issuers[note->issuer];
  neap_ledger_note over = *note;
  neap_ledger_end(&p->dry, note);
  bool counts = one->state == NEAP_PREFETCH_TRIAL && over.trial == one->trial; /* not of an earlier one */
  if (counts) judge_trial(p, one, kind == NEAP_PREFETCH_USED);
  tell_outcome(p, &over, kind);
}

static void end_real(neap_prefetcher *p, neap_ledger_note *note, int32_t kind) {
  issuer *one = &p->issuers[note->issuer];
  neap_ledger_note over = *note;
  double size = (double)note->item.size;
  p->waiting -= size;
  if (!note->landed) p->in_flight--;
  neap_ledger_end(&p->real, note);
  one->counters.used += kind == NEAP_PREFETCH_USED;
  one->counters.late += kind == NEAP_PREFETCH_LATE;
  one->counters.wasted += kind == NEAP_PREFETCH_WASTED;
  if (one->state == NEAP_PREFETCH_OPEN && !one->trusted) judge(p, one, kind == NEAP_PREFETCH_USED);
  tell_outcome(p, &over, kind);
}

static void drop(neap_prefetcher *p, neap_ledger_note *note) {
  neap_prefetch_item item = note->item;
  end_real(p, note, NEAP_PREFETCH_WASTED);
  p->host.drop(p->host.user, &item);
}

static void forget_old(neap_prefetcher *p) {
  neap_ledger_note *note;
  while ((note = neap_ledger_oldest(&p->dry, false)) != NULL && p->requests - note->at > p->options.horizon)
    end_dry(p, note, NEAP_PREFETCH_WASTED);
  while ((note = neap_ledger_oldest(&p->real, true)) != NULL && p->requests - note->at > p->options.horizon)
    drop(p, note);
}

/* --- what the host tells --- */

void neap_prefetcher_requests(neap_prefetcher *p, uint64_t count) {
  p->requests += count;
  p->tokens = NEAP_MIN(p->tokens + p->options.share * (double)count, (double)p->options.burst);
}

void neap_prefetcher_request(neap_prefetcher *p) {
  neap_prefetcher_requests(p, 1);
}

bool neap_prefetcher_miss(neap_prefetcher *p, uint64_t hash, const neap_prefetch_event *event) {
  neap_check_magic(p, PREFETCHER_MAGIC);
  neap_ledger_note *note = neap_ledger_find(&p->dry, hash);
  if (note != NULL)
    end_dry(p, note, (double)(p->requests - note->at) >= p->delay ? NEAP_PREFETCH_USED : NEAP_PREFETCH_LATE);
  note = neap_ledger_find(&p->real, hash);
  bool late = note != NULL && !note->landed;
  if (note != NULL) end_real(p, note, late ? NEAP_PREFETCH_LATE : NEAP_PREFETCH_WASTED);
  tell_all(p, event);
  p->due = true;
  return late;
}

void neap_prefetcher_used(neap_prefetcher *p, uint64_t hash, const neap_prefetch_event *event) {
  neap_check_magic(p, PREFETCHER_MAGIC);
  neap_ledger_note *note = neap_ledger_find(&p->real, hash);
  if (note != NULL) {
    p->wait += ((double)(p->requests - note->at) - p->wait) / MEAN_WEIGHT;
    end_real(p, note, NEAP_PREFETCH_USED);
  }
  tell_all(p, event);
  p->due = true;
}

void neap_prefetcher_hint(neap_prefetcher *p, const neap_prefetch_event *event) {
  neap_check_magic(p, PREFETCHER_MAGIC);
  tell_all(p, event);
  p->due = true;
}

bool neap_prefetcher_landed(neap_prefetcher *p, uint64_t hash) {
  neap_check_magic(p, PREFETCHER_MAGIC);
  neap_ledger_note *note = neap_ledger_find(&p->real, hash);
  if (note == NULL || note->landed) return false;
  p->delay += ((double)(p->requests - note->at) - p->delay) / MEAN_WEIGHT;
  note->landed = true;
  p->in_flight--;
  return true;
}

void neap_prefetcher_failed(neap_prefetcher *p, uint64_t hash) {
  neap_ledger_note *note = neap_ledger_find(&p->real, hash);
  if (note != NULL) end_real(p, note, NEAP_PREFETCH_WASTED);
}

void neap_prefetcher_held(neap_prefetcher *p, uint64_t hash) {
  neap_ledger_note *note = neap_ledger_find(&p->real, hash);
  if (note == NULL || note->landed) return;
  p->waiting -= (double)note->item.size;
  p->in_flight--;
  p->issuers[note->issuer].counters.held++;
  neap_ledger_end(&p->real, note);
}

void neap_prefetcher_weigh(neap_prefetcher *p, uint64_t hash, uint64_t size) {
  neap_ledger_note *note = neap_ledger_find(&p->real, hash);
  if (note == NULL) return;
  p->waiting += (double)size - (double)note->item.size;
  note->item.size = size;
}

void neap_prefetcher_drop_all(neap_prefetcher *p) {
  for (neap_ledger_note *note; (note = neap_ledger_oldest(&p->real, true)) != NULL;) drop(p, note);
}

/* --- the budget --- */

/* What is on the shelf much longer than others were until they were used gives way. */
static bool is_stale(const neap_prefetcher *p, const neap_ledger_note *note) {
  return (double)(p->requests - note->at) > STALE * p->wait;
}

/* Room on the shelf, those in flight included. */
static bool make_room(neap_prefetcher *p, double size) {
  neap_ledger_note *note;
  while (p->waiting + size > p->options.shelf && (note = neap_ledger_oldest(&p->real, true)) != NULL &&
         is_stale(p, note))
    drop(p, note);
  return p->waiting + size <= p->options.shelf;
}

static bool affordable(neap_prefetcher *p, const issuer *one, uint64_t size) {
  const neap_prefetch_options *o = &p->options;
  return (one->trusted || p->tokens >= 1) && (o->rate <= 0 || p->second_tokens >= 1) &&
         p->in_flight < o->in_flight && (double)size * SHELF_PART <= o->shelf && make_room(p, (double)size);
}

/* How many items of the usual size could be fetched now. */
static int32_t room_of(neap_prefetcher *p) {
  const neap_prefetch_options *o = &p->options;
  make_room(p, NEAP_MIN(p->size * NEAP_PREFETCH_EVENTS_MAX, o->shelf));
  double room = NEAP_MIN(p->tokens, (double)o->in_flight - p->in_flight);
  if (o->rate > 0) room = NEAP_MIN(room, p->second_tokens);
  room = NEAP_MIN(room, (o->shelf - p->waiting) / p->size);
  return (int32_t)NEAP_MAX(NEAP_MIN(room, (double)NEAP_PREFETCH_WISHES_MAX), 0);
}

static void pay(neap_prefetcher *p, const issuer *one) {
  if (!one->trusted) p->tokens--;
  p->second_tokens--;
}

/* A second's worth may be saved up. */
static void refill(neap_prefetcher *p, double now_ms) {
  double passed_s = p->now_ms > 0 && now_ms > p->now_ms ? (now_ms - p->now_ms) / 1e3 : p->now_ms > 0 ? 0 : 1;
  double most = NEAP_MAX(p->options.rate, 1);
  p->second_tokens = NEAP_MIN(NEAP_MAX(p->second_tokens, 0) + passed_s * p->options.rate, most);
  p->now_ms = now_ms;
}

bool neap_prefetcher_allow(neap_prefetcher *p, int number, uint64_t size) {
  neap_check_magic(p, PREFETCHER_MAGIC);
  issuer *one = &p->issuers[number];
  if (!affordable(p, one, size)) {
    one->counters.suppressed++;
    one->counters.refused++;
    return false;
  }
  pay(p, one);
  p->in_flight++;
  p->waiting += (double)size;
  p->allowed++;
  p->allowed_size += (double)size;
  one->counters.issued++;
  return true;
}

void neap_prefetcher_settle(neap_prefetcher *p, int number, uint64_t size, int32_t kind) {
  issuer *one = &p->issuers[number];
  neap_assert(p->allowed > 0);
  p->in_flight--;
  p->waiting -= (double)size;
  p->allowed--;
  p->allowed_size -= (double)size;
  one->counters.used += kind == NEAP_PREFETCH_USED;
  one->counters.late += kind == NEAP_PREFETCH_LATE;
  one->counters.wasted += kind == NEAP_PREFETCH_WASTED;
}

/* --- wishes --- */

static void note_dry(neap_prefetcher *p, int number, const neap_prefetch_item *item) {
  issuer *one = &p->issuers[number];
  if (one->noted == p->options.trial || (double)item->size * SHELF_PART > p->options.shelf) return;
  neap_ledger_note *note =
      neap_ledger_find(&p->dry, item->hash) == NULL ? neap_ledger_add(&p->dry, item) : NULL;
  if (note == NULL) return;
  note->at = p->requests;
  note->issuer = number;
  note->trial = one->trial;
  one->noted++;
  one->counters.tried++;
}

/* The host has too many under way, such as came late and go on. */
static int take_back(neap_prefetcher *p, issuer *one, uint64_t hash) {
  neap_prefetcher_held(p, hash);
  one->counters.held--;
  one->counters.issued--;
  one->counters.suppressed++;
  one->counters.refused++;
  return NEAP_EBUSY;
}

static int issue(neap_prefetcher *p, int number, const neap_prefetch_item *item) {
  issuer *one = &p->issuers[number];
  neap_ledger_note *note = affordable(p, one, item->size) ? neap_ledger_add(&p->real, item) : NULL;
  if (note == NULL) {
    one->counters.suppressed++;
    one->counters.refused++;
    return NEAP_EBUSY;
  }
  note->at = p->requests;
  note->issuer = number;
  pay(p, one);
  p->in_flight++;
  p->waiting += (double)item->size;
  one->counters.issued++;
  int code = p->host.fetch(p->host.user, item);
  if (code == 0) return 0;
  if (code == NEAP_EBUSY) return take_back(p, one, item->hash);
  neap_prefetcher_failed(p, item->hash);
  return NEAP_EIO;
}

static int carry_out(neap_prefetcher *p, int number, const neap_prefetch_item *item) {
  if (neap_ledger_find(&p->real, item->hash) != NULL || p->host.holds(p->host.user, item)) return NEAP_EEXIST;
  p->size += ((double)item->size - p->size) / MEAN_WEIGHT;
  switch (p->issuers[number].state) {
  case NEAP_PREFETCH_TRIAL: note_dry(p, number, item); return 0;
  case NEAP_PREFETCH_OPEN: return issue(p, number, item);
  case NEAP_PREFETCH_PAUSED: break;
  }
  p->issuers[number].counters.suppressed++;
  return NEAP_EREFUSED;
}

int neap_prefetcher_wish(neap_prefetcher *p, int number, const neap_prefetch_item *item) {
  neap_check_magic(p, PREFETCHER_MAGIC);
  look_at_pause(p, &p->issuers[number]);
  return carry_out(p, number, item);
}

void neap_prefetcher_trust(neap_prefetcher *p, int number) {
  p->issuers[number].trusted = true;
}

static void grant(neap_prefetcher *p, int number, const neap_wish *wish) {
  neap_prefetch_item item;
  if (p->host.resolve(p->host.user, wish, &item) && item.size > 0) carry_out(p, number, &item);
}

static void run_issuer(neap_prefetcher *p, int number) {
  issuer *one = &p->issuers[number];
  look_at_pause(p, one);
  if (one->board == NULL || one->board->event_count == 0) return;
  bool outer = p->turning;
  p->turning = true;
  one->board->room = room_of(p);
  neap_policy_decide(one->policy, NEAP_ASK_WISHES);
  one->board->event_count = 0;
  for (int32_t i = 0; i < one->board->wish_count; i++) grant(p, number, &one->board->wishes[i]);
  p->turning = outer;
}

void neap_prefetcher_turn(neap_prefetcher *p, double now_ms) {
  neap_check_magic(p, PREFETCHER_MAGIC);
  refill(p, now_ms);
  if (!p->due) return;
  p->due = false;
  forget_old(p);
  for (int i = 0; i < p->issuer_count; i++) {
    if (p->issuers[i].board != NULL) p->issuers[i].board->now_ms = now_ms;
    run_issuer(p, i);
  }
}

/* --- changes while it runs --- */

int neap_prefetcher_set_options(neap_prefetcher *p, const neap_prefetch_options *options) {
  neap_check_magic(p, PREFETCHER_MAGIC);
  if (!valid(options)) return NEAP_EINVAL;
  p->options = *options;
  return 0;
}

static int issuer_named(const neap_prefetcher *p, const char *name) {
  for (int i = 0; i < p->issuer_count; i++)
    if (strcmp(p->issuers[i].name, name) == 0) return i;
  return -1;
}

static void adopt_issuer(issuer *one, const issuer *old) {
  one->state = old->state;
  one->good = old->good, one->settled = old->settled;
  one->noted = old->noted, one->trial = old->trial;
  one->until = old->until, one->pause = old->pause;
  one->counters = old->counters;
  if (one->policy != NULL && old->policy != NULL) neap_policy_adopt(one->policy, old->policy);
}

/* What is under way goes over, oldest first; what is nobody's any more is dropped. Trials begin anew. */
static void adopt_notes(neap_prefetcher *p, neap_prefetcher *old, const int *numbers) {
  for (uint64_t i = old->real.first; i < old->real.end; i++) {
    neap_ledger_note *from = &old->real.notes[i % NEAP_LEDGER_MAX];
    if (!from->live) continue;
    int number = numbers[from->issuer];
    neap_ledger_note *to = number >= 0 ? neap_ledger_add(&p->real, &from->item) : NULL;
    if (to == NULL) {
      if (from->landed) p->host.drop(p->host.user, &from->item);
      continue;
    }
    to->at = from->at, to->landed = from->landed, to->issuer = number;
    p->waiting += (double)from->item.size;
    p->in_flight += !from->landed;
  }
}

void neap_prefetcher_adopt(neap_prefetcher *p, neap_prefetcher **from) {
  neap_prefetcher *old = *from;
  int numbers[NEAP_ISSUERS_MAX];
  neap_check_magic(p, PREFETCHER_MAGIC);
  neap_check_magic(old, PREFETCHER_MAGIC);
  for (int i = 0; i < old->issuer_count; i++) {
    numbers[i] = issuer_named(p, old->issuers[i].name);
    if (numbers[i] < 0) continue;
    issuer *one = &p->issuers[numbers[i]];
    adopt_issuer(one, &old->issuers[i]);
    if (one->state == NEAP_PREFETCH_TRIAL) one->noted = one->good = one->settled = 0;
  }
  p->requests = old->requests;
  p->tokens = old->tokens, p->second_tokens = old->second_tokens;
  p->now_ms = old->now_ms;
  p->delay = old->delay, p->wait = old->wait, p->size = old->size;
  adopt_notes(p, old, numbers);
  p->allowed = old->allowed, p->allowed_size = old->allowed_size;
  p->in_flight += old->allowed;
  p->waiting += old->allowed_size;
  neap_prefetcher_destroy(from);
}

/* --- seeing --- */

int neap_prefetcher_count(const neap_prefetcher *p) {
  return p->issuer_count;
}

uint32_t neap_prefetcher_in_flight(const neap_prefetcher *p) {
  return p->in_flight;
}

double neap_prefetcher_waiting(const neap_prefetcher *p) {
  return p->waiting;
}

neap_policy *neap_prefetcher_policy(const neap_prefetcher *p, int number) {
  return p->issuers[number].policy;
}

const char *neap_prefetcher_name(const neap_prefetcher *p, int number) {
  return p->issuers[number].name;
}

neap_prefetch_state neap_prefetcher_state(const neap_prefetcher *p, int number) {
  return p->issuers[number].state;
}

void neap_prefetcher_counters_get(const neap_prefetcher *p, int number, neap_prefetch_counters *out) {
  *out = (neap_prefetch_counters){0};
  for (int i = 0; i < p->issuer_count; i++) {
    const neap_prefetch_counters *one = &p->issuers[i].counters;
    if (number >= 0 && number != i) continue;
    out->issued += one->issued, out->used += one->used, out->late += one->late, out->wasted += one->wasted;
    out->held += one->held, out->refused += one->refused;
    out->suppressed += one->suppressed, out->tried += one->tried, out->pauses += one->pauses;
  }
}

void neap_prefetcher_policy_counters(const neap_prefetcher *p, neap_policy_counters *out) {
  *out = (neap_policy_counters){0};
  for (int i = 0; i < p->issuer_count; i++) {
    if (p->issuers[i].policy == NULL) continue;
    neap_policy_counters one;
    neap_policy_counters_get(p->issuers[i].policy, &one);
    out->asks += one.asks, out->fallbacks += one.fallbacks, out->trips += one.trips;
    out->faults_error += one.faults_error, out->faults_fuel += one.faults_fuel;
    out->faults_memory += one.faults_memory, out->faults_answer += one.faults_answer;
    out->trace_aborts += one.trace_aborts, out->memory += one.memory;
  }
}
