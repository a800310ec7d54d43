/* The guard: what stands between the engine and a policy. What it promises stands at the top of policy.h.
 *
 * A fault is a call that failed, or an answer that is wrong in itself: out of range, named twice, nothing
 * where something could be evicted. A victim that was pinned or has gone meanwhile is no fault: a policy
 * cannot know; it is left out, and given back to the policy where it still lives.
 *
 * A pick that fails with NEAP_EINVAL is the request's fault, which made the policy want too much: it is
 * answered and counted like others, but leaves the streak as it is, so that no client trips the policy for
 * the others.
 *
 *   phase 1  the policy answers; each fault is answered by stateless sampling, and the streak grows
 *   phase 2  after a trip: a native policy answers, fed with the live entries
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "base/utf8.h"
#include "policy/guard.h"
#include "policy/pick.h"

enum {
  GUARD_MAGIC = 0x6e477561,
  TRIP_AFTER = 3,      /* faults in a row, of observe or of decide */
  SAMPLES_MAX = 8,     /* victims that one ask takes from sampling: the caller asks again if it needs more */
  LOG_EVERY_MS = 1000, /* at most one line of a policy's faults in that time */
  SHOWN_EVERY = 64,    /* asks; a power of two */
  IDLE_ROUNDS = 4,     /* a policy may look at every slot so often before its first victim */
  SEEN_CELLS = 256     /* a power of two, at least 2 * NEAP_VICTIMS_MAX */
};

struct neap_policy {
  uint32_t magic;
  const neap_policy_vt *vt; /* after a trip: the native one */
  void *self;               /* NULL: not even a native one could be made; sampling goes on */
  bool tripped;
  neap_policy_env env;
  char *source;
  unsigned observe_streak, decide_streak;
  int64_t idle_steps; /* since the last victim */
  int32_t slot_high;  /* slots that have been told of are below */
  neap_policy_counters counters;
  uint64_t logged_ms, unlogged;
  char fault[NEAP_NOTE_TEXT];
  neap_note newest; /* fault, for others */
  size_t shown_memory;
  uint64_t shown_aborts; /* as the others, for neap_policy_counters_peek */
  uint32_t seen_ask;     /* marks the cells of this ask */
  struct {
    uint32_t ask;
    int32_t slot;
  } seen[SEEN_CELLS];
};

/* Counts are read by others meanwhile: neap_policy_counters_peek. */
static void bump(uint64_t *count, uint64_t more) {
  __atomic_store_n(count, *count + more, __ATOMIC_RELAXED);
}

neap_policy *neap_guard_wrap(const neap_policy_vt *vt, void *self, const neap_policy_env *env, char *source) {
  neap_policy *policy = calloc(1, sizeof *policy);
  if (policy == NULL) return NULL;
  policy->magic = GUARD_MAGIC;
  policy->vt = vt;
  policy->self = self;
  policy->env = *env;
  policy->source = source;
  policy->slot_high = NEAP_SLOT_FIRST;
  return policy;
}

void neap_policy_close(neap_policy **policy) {
  if (*policy == NULL) return;
  neap_check_magic(*policy, GUARD_MAGIC);
  if ((*policy)->self != NULL) (*policy)->vt->destroy((*policy)->self);
  (*policy)->magic = 0;
  free((*policy)->source);
  free(*policy);
  *policy = NULL;
}

/* --- faults ---
 */
static neap_policy_report report(const neap_policy *policy) {
  neap_policy_report out = {0};
  if (policy->self != NULL && policy->vt->report != NULL) policy->vt->report(policy->self, &out);
  return out;
}

static void count(neap_policy *policy, int code) {
  switch (code) {
  case NEAP_EFUEL: bump(&policy->counters.faults_fuel, 1); break;
  case NEAP_EMEMCAP: bump(&policy->counters.faults_memory, 1); break;
  case NEAP_EANSWER: bump(&policy->counters.faults_answer, 1); break;
  default: bump(&policy->counters.faults_error, 1); break;
  }
}

static const char *reason(int code) {
  switch (code) {
  case NEAP_EFUEL: return "fuel";
  case NEAP_EMEMCAP: return "memory";
  case NEAP_EANSWER: return "answer";
  default: return "error";
  }
}

static void log_line(neap_policy *policy, neap_log_level level, const char *what, int code) {
  const neap_host *host = policy->env.host;
  char line[768];
  int used = snprintf(line, sizeof line, "policy %s name=%s generation=%" PRIu64 " reason=%s", what,
                      policy->vt->name, policy->env.generation, reason(code));
  if (policy->unlogged > 0)
    used += snprintf(line + used, sizeof line - (size_t)used, " unlogged=%" PRIu64, policy->unlogged);
  snprintf(line + used, sizeof line - (size_t)used, " at=%s", policy->fault);
  neap_text_tame(line, 0);
  host->log(host->user, level, line);
}

/* Counts, remembers and logs a fault; `text` says what was wrong where the policy itself does not. */
static void fault(neap_policy *policy, int code, const char *text) {
  const neap_host *host = policy->env.host;
  const char *own = text == NULL ? report(policy).fault : NULL;
  if (text != NULL || own == NULL || *own == 0)
    snprintf(policy->fault, sizeof policy->fault, "%s: %s", policy->vt->name,
             text != NULL ? text : neap_strerror(code));
  else
    snprintf(policy->fault, sizeof policy->fault, "%s", own);
  count(policy, code);
  uint64_t now = host->now_ms(host->user);
  neap_note_write(&policy->newest, now, policy->fault);
  if (policy->logged_ms != 0 && now < policy->logged_ms + LOG_EVERY_MS) {
    policy->unlogged++;
    return;
  }
  log_line(policy, NEAP_LOG_WARN, "fault", code);
  policy->logged_ms = now == 0 ? 1 : now;
  policy->unlogged = 0;
}

/* --- telling --- */
static int tell(neap_policy *policy, const neap_event *events, int n) {
  return policy->self == NULL ? 0 : policy->vt->observe(policy->self, events, n);
}

static void tell_replayed(void *user, const neap_event *events, int n) {
  neap_policy_observe(user, events, n);
}

static void replay(neap_policy *policy) {
  const neap_entry_facts *facts = policy->env.facts;
  if (policy->env.evict != NULL) facts->replay(facts->cache, tell_replayed, policy);
}

static const neap_policy_vt *fallback_of(neap_domain domain) {
  switch (domain) {
  case NEAP_EVICT: return &neap_native_sieve;
  case NEAP_BALANCE: return &neap_native_weighted_round_robin;
  default: return NULL;
  }
}

/* The native policy takes over until the next generation. */
static void trip(neap_policy *policy, int code) {
  policy->counters.trace_aborts = report(policy).trace_aborts;
  bump(&policy->counters.trips, 1);
  log_line(policy, NEAP_LOG_ERROR, "tripped", code);
  const neap_policy_vt *fallback = fallback_of(policy->vt->domain);
  policy->vt->destroy(policy->self); /* which may hold its vtable */
  policy->self = NULL;
  policy->tripped = true;
  policy->vt = fallback;
  if (policy->env.evict != NULL) policy->env.evict->admit_max = 0;
  if (policy->vt == NULL || policy->vt->create(&policy->env, NULL, 0, &policy->self, NULL))
    policy->self = NULL;
  replay(policy);
}

/* One more or one less in a row. True: that was the last one, the policy is out. */
static bool settle(neap_policy *policy, unsigned *streak, int code) {
  if (code == 0) {
    *streak = 0;
    return false;
  }
  if (policy->tripped || (++*streak < TRIP_AFTER && code != NEAP_EMEMCAP)) return false;
  trip(policy, code);
  return true;
}

/* One past the highest slot that was ever inserted. Most batches are hits alone, which one look at all tells.
 */
static int32_t highest(const neap_event *events, int n, int32_t high) {
  int32_t kinds = 0;
  for (int i = 0; i < n; i++) kinds |= events[i].what;
  if (NEAP_LIKELY(kinds >> NEAP_EVENT_SHIFT == 0)) return high;
  for (int i = 0; i < n; i++) {
    if (NEAP_LIKELY(events[i].what >> NEAP_EVENT_SHIFT != NEAP_EVENT_INSERT)) continue;
    int32_t slot = events[i].what & NEAP_SLOT_MASK;
    high = slot >= high ? slot + 1 : high;
  }
  return high;
}

void neap_policy_observe(neap_policy *policy, const neap_event *events, int n) {
  bump(&policy->counters.batches, 1);
  bump(&policy->counters.events, (uint64_t)n);
  if (policy->env.evict != NULL) policy->slot_high = highest(events, n, policy->slot_high);
  int code = tell(policy, events, n);
  if (NEAP_UNLIKELY(code != 0)) fault(policy, code, NULL);
  if (NEAP_UNLIKELY(code != 0 || policy->observe_streak != 0)) settle(policy, &policy->observe_streak, code);
}

/* --- evict: checking and replacing answers --- */

/* False where this ask has named `slot` already. */
static bool first_named(neap_policy *policy, int32_t slot) {
  for (uint32_t at = (uint32_t)slot * 0x9e3779b1u >> 24;; at = (at + 1) % SEEN_CELLS) {
    if (policy->seen[at].ask != policy->seen_ask) {
      policy->seen[at].ask = policy->seen_ask;
      policy->seen[at].slot = slot;
      return true;
    }
    if (policy->seen[at].slot == slot) return false;
  }
}

static neap_event event_of(const neap_policy *policy, int32_t kind, int32_t slot) {
  const neap_entry_facts *facts = policy->env.facts;
  double size = facts->size(facts->cache, slot);
  return (neap_event){.what = (int32_t)((uint32_t)kind << NEAP_EVENT_SHIFT | (uint32_t)slot),
                      .size = size < INT32_MAX ? (int32_t)size : INT32_MAX,
                      .hash = facts->hash(facts->cache, slot)};
}

/* Keeps the victims that may be taken. 0 or NEAP_EANSWER with *text. */
static int check_victims(neap_policy *policy, const char **text) {
  neap_evict_board *board = policy->env.evict;
  const neap_entry_facts *facts = policy->env.facts;
  neap_event back[NEAP_VICTIMS_MAX];
  int32_t count = board->victim_count, kept = 0, returned = 0;
  int code = 0;
  board->victim_count = 0;
  policy->seen_ask++;
  if (count < 0 || count > board->want) {
    *text = "more victims than asked for";
    return NEAP_EANSWER;
  }
  for (int32_t i = 0; i < count; i++) {
    int32_t slot = board->victims[i];
    if (slot < NEAP_SLOT_FIRST || slot >= board->slot_end) {
      *text = "a victim that is no slot";
      code = NEAP_EANSWER;
    } else if (!first_named(policy, slot)) {
      *text = "a victim named twice";
      code = NEAP_EANSWER;
    } else if (facts->evictable(facts->cache, slot)) {
      board->victims[kept++] = slot;
    } else if (facts->size(facts->cache, slot) > 0) {
      back[returned++] = event_of(policy, NEAP_EVENT_INSERT, slot);
    }
  }
  board->victim_count = kept;
  if (returned > 0) tell(policy, back, returned);
  if (code == 0 && kept == 0 && returned == 0 && count > 0) {
    *text = "no victim that is live";
    code = NEAP_EANSWER;
  }
  return code;
}

/* Victims without any policy; the policy is told that they are gone. False: nothing can be evicted. */
static bool sample_victims(neap_policy *policy) {
  neap_evict_board *board = policy->env.evict;
  const neap_entry_facts *facts = policy->env.facts;
  neap_event gone[SAMPLES_MAX];
  int32_t want = NEAP_MIN(board->want, SAMPLES_MAX), got = 0;
  policy->seen_ask++;
  for (int32_t tries = 0; got < want && tries < 2 * SAMPLES_MAX; tries++) {
    int32_t slot = facts->sample(facts->cache);
    if (slot == 0) break;
    if (!first_named(policy, slot)) continue;
    gone[got] = event_of(policy, NEAP_EVENT_REMOVE, slot);
    board->victims[got++] = slot;
  }
  board->victim_count = got;
  if (got > 0) tell(policy, gone, got);
  return got > 0;
}

/* Nothing was offered, though something could be evicted: is that wrong of the policy? Not while it still
 * looks: it has used all its steps and has not yet looked at everything several times. */
static bool sulks(neap_policy *policy, int32_t calls) {
  const neap_evict_board *board = policy->env.evict;
  if (calls < board->steps) return true;
  policy->idle_steps += calls;
  return policy->idle_steps > (int64_t)IDLE_ROUNDS * policy->slot_high + board->steps;
}

static void give_back(neap_policy *policy) {
  neap_evict_board *board = policy->env.evict;
  neap_event back[NEAP_VICTIMS_MAX];
  for (int32_t i = 0; i < board->victim_count; i++)
    back[i] = event_of(policy, NEAP_EVENT_INSERT, board->victims[i]);
  if (board->victim_count > 0) tell(policy, back, board->victim_count);
  board->victim_count = 0;
}

static void decide_evict(neap_policy *policy) {
  neap_evict_board *board = policy->env.evict;
  const char *text = NULL;
  board->victim_count = board->refused = board->calls = 0;
  int code = policy->self == NULL ? 0 : policy->vt->decide(policy->self, NEAP_ASK_VICTIMS);
  int32_t calls = board->calls, offered = board->victim_count;
  if (code != 0) {
    fault(policy, code, NULL);
    board->refused = 0;
  }
  int answer = check_victims(policy, &text);
  if (board->refused && board->candidate_size > 0) {
    give_back(policy);
    settle(policy, &policy->decide_streak, 0);
    return;
  }
  board->refused = 0;
  if (board->victim_count > 0) {
    policy->idle_steps = 0;
  } else if (sample_victims(policy)) {
    bump(&policy->counters.fallbacks, 1);
    if (code == 0 && answer == 0 && offered == 0 && sulks(policy, calls)) {
      text = "no victim where there are some";
      answer = NEAP_EANSWER;
      policy->idle_steps = 0;
    }
  }
  if (answer != 0) fault(policy, answer, text);
  settle(policy, &policy->decide_streak, code != 0 ? code : answer);
}

/* --- balance --- */

static void tell_gathered(neap_policy *policy) {
  neap_pick_board *board = policy->env.pick;
  if (board->event_count == 0) return;
  neap_policy_observe(policy, board->events, board->event_count);
  board->event_count = 0;
}

void neap_policy_tell(neap_policy *policy, int32_t kind, int32_t backend, int32_t in_flight, double took_us,
                      int32_t status) {
  neap_pick_board *board = policy->env.pick;
  board->events[board->event_count] =
      (neap_event){.what = kind << NEAP_EVENT_SHIFT | backend, .size = in_flight, .hash = took_us};
  board->statuses[board->event_count] = status;
  if (++board->event_count == NEAP_PICK_EVENTS_MAX) tell_gathered(policy);
}

static bool is_right(const neap_pick_board *board) {
  if (board->answer == NEAP_PICK_WAIT) return board->may_wait;
  return board->answer >= 0 && board->answer < board->count && neap_pick_usable(board, board->answer);
}

static void decide_pick(neap_policy *policy) {
  neap_pick_board *board = policy->env.pick;
  tell_gathered(policy);
  board->answer = NEAP_PICK_NONE;
  board->probe_count = 0;
  int code = policy->self == NULL ? 0 : policy->vt->decide(policy->self, NEAP_ASK_PICK);
  const char *text = NULL;
  if (code == 0 && is_right(board)) {
    settle(policy, &policy->decide_streak, 0);
    return;
  }
  int32_t wrong = board->answer;
  board->answer = board->count > 0 ? neap_pick_from(board, board->random1) : NEAP_PICK_NONE;
  if (code == 0 && (wrong != NEAP_PICK_NONE || board->answer != NEAP_PICK_NONE)) {
    text = wrong == NEAP_PICK_NONE   ? "no backend where there are some"
           : wrong == NEAP_PICK_WAIT ? "to wait where that is no answer"
                                     : "a backend that may not be picked";
    code = NEAP_EANSWER;
  }
  if (code != 0) {
    bump(&policy->counters.fallbacks, 1);
    fault(policy, code, text);
  }
  if (code != NEAP_EINVAL) settle(policy, &policy->decide_streak, code);
}

/* --- prefetch --- */

/* The fallback is to wish for nothing. */
static void decide_wishes(neap_policy *policy) {
  neap_prefetch_board *board = policy->env.prefetch;
  board->wish_count = board->calls = 0;
  int code = policy->self == NULL ? 0 : policy->vt->decide(policy->self, NEAP_ASK_WISHES);
  const char *text = NULL;
  if (code == 0 && (board->wish_count < 0 || board->wish_count > NEAP_PREFETCH_WISHES_MAX)) {
    text = "more wishes than there is room for";
    code = NEAP_EANSWER;
  }
  if (code != 0) {
    board->wish_count = 0;
    bump(&policy->counters.fallbacks, 1);
    fault(policy, code, text);
  }
  settle(policy, &policy->decide_streak, code);
}

/* What only the policy knows, for others to look at. */
static void show(neap_policy *policy) {
  neap_policy_counters now;
  neap_policy_counters_get(policy, &now);
  __atomic_store_n(&policy->shown_memory, now.memory, __ATOMIC_RELAXED);
  __atomic_store_n(&policy->shown_aborts, now.trace_aborts, __ATOMIC_RELAXED);
}

void neap_policy_decide(neap_policy *policy, neap_ask ask) {
  if (policy->counters.asks % SHOWN_EVERY == 0) show(policy);
  bump(&policy->counters.asks, 1);
  bool fallback = policy->tripped;
  if (ask == NEAP_ASK_PICK)
    decide_pick(policy);
  else if (ask == NEAP_ASK_WISHES)
    decide_wishes(policy);
  else
    decide_evict(policy);
  if (fallback) bump(&policy->counters.fallbacks, 1);
}

/* --- seeing and handing over --- */
void neap_policy_adopt(neap_policy *policy, neap_policy *previous) {
  neap_check_magic(policy, GUARD_MAGIC);
  bool same = previous != NULL && previous->self != NULL && !previous->tripped && !policy->tripped &&
              previous->vt->load == policy->vt->load && policy->vt->load != NULL;
  if (same && policy->vt->load(policy->self, previous->self) == 0) {
    policy->slot_high = NEAP_MAX(policy->slot_high, previous->slot_high);
    return;
  }
  replay(policy);
}

const char *neap_policy_name(const neap_policy *policy) {
  return policy->tripped ? "fallback" : policy->vt->name;
}

const char *neap_policy_source(const neap_policy *policy) {
  return policy->source;
}

const char *neap_policy_fault(const neap_policy *policy) {
  return policy->fault;
}

bool neap_policy_fault_peek(const neap_policy *policy, uint64_t *at_ms, char out[NEAP_NOTE_TEXT]) {
  return neap_note_read(&policy->newest, at_ms, out);
}

size_t neap_policy_stats_get(const neap_policy *policy, neap_policy_stat *out, size_t capacity) {
  neap_policy_report now = report(policy);
  for (size_t i = 0; i < now.stat_count && i < capacity; i++) out[i] = now.stats[i];
  return now.stat_count;
}

void neap_policy_counters_get(const neap_policy *policy, neap_policy_counters *out) {
  neap_policy_report now = report(policy);
  *out = policy->counters;
  out->trace_aborts += now.trace_aborts;
  out->memory = sizeof *policy + now.memory + now.memory_per_slot * (size_t)policy->slot_high;
}

void neap_policy_counters_peek(const neap_policy *policy, neap_policy_counters *out) {
  const neap_policy_counters *from = &policy->counters;
  *out = (neap_policy_counters){0};
#define PEEK(name) out->name = __atomic_load_n(&from->name, __ATOMIC_RELAXED)
  PEEK(asks);
  PEEK(batches);
  PEEK(events);
  PEEK(faults_error);
  PEEK(faults_fuel);
  PEEK(faults_memory);
  PEEK(faults_answer);
  PEEK(fallbacks);
  PEEK(trips);
#undef PEEK
  out->memory = __atomic_load_n(&policy->shown_memory, __ATOMIC_RELAXED);
  out->trace_aborts = __atomic_load_n(&policy->shown_aborts, __ATOMIC_RELAXED);
}
