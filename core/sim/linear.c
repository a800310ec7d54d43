/* Is there an order of one key's operations that explains every answer? The search of Wing and Gong (1993) as
 * Lowe (2017) has it: walk along calls and returns in time; take a call's operation next where the register
 * allows it, and begin again; at the return of an operation that was not taken, take back the last one. What
 * was tried is remembered as (set of operations taken, state of the register): the same pair again leads
 * nowhere.
 *
 *   - An operation of unknown result has a call and no return: it may be taken at any later time, or never.
 *   - A read that the register allows and does not change by is taken at once and for good: whatever order
 *     there is, it may as well stand here. Only writes branch.
 *   - Of operations of unknown result that are alike, such as deletes, the one that was invoked first goes
 *     first; one that would change nothing does not go at all.
 *   - A set of operations is remembered by 128 random bits per member, exclusive-ored: 2^30 states give a
 *     chance of 2^-68 that two look alike.
 */
#include <stdlib.h>

#include "base/random.h"
#include "sim/verify_impl.h"

typedef struct state {
  uint32_t value;   /* NEAP_VALUE_ANY: not known yet */
  uint64_t version; /* 0: not known */
} state;

typedef struct event { /* a call or a return, in a list without those of operations taken */
  uint64_t at;
  uint32_t op;
  bool is_return;
  struct event *previous, *next, *other; /* other: the return of this call, or NULL */
} event;

typedef struct seal {
  uint64_t a, b;
} seal;

typedef struct step_taken {
  event *call;
  state before;
  bool pure;
} step_taken;

typedef struct search {
  const neap_op *const *ops;
  uint32_t count, definite; /* still to be taken, of those that have a return */
  event *events, head;
  step_taken *stack;
  uint32_t depth;
  uint32_t *twins; /* of an operation of unknown result: one like it that was invoked before; else itself */
  bool *done;
  state now;
  seal taken;
  seal *seen; /* open addressing; zeros: free */
  uint64_t seen_count, seen_mask, seen_most;
} search;

enum { TWIN_REACH = 4096 }; /* operations back */

/* --- the register ----------------------------------------------------------------------------------------
 */

static bool may_be(uint32_t a, uint32_t b) {
  return a == b || a == NEAP_VALUE_ANY || b == NEAP_VALUE_ANY;
}
static bool may_be_version(uint64_t a, uint64_t b) {
  return a == b || a == 0 || b == 0;
}

/* What is known of a state that a read has seen. */
static state seen_by(state now, uint32_t value, uint64_t version) {
  return (state){now.value == NEAP_VALUE_ANY ? value : now.value, now.version ? now.version : version};
}

/* Whether a refusal can be right: not where all that was expected is there for certain. */
static bool may_refuse(const neap_op *op, state now) {
  bool value = op->expect == NEAP_VALUE_ANY || op->expect == now.value;
  bool version = op->expect_version == 0 || op->expect_version == now.version;
  return !(value && version) && may_be_version(op->version, now.version);
}

/* Versions grow with each write. */
static bool may_write(const neap_op *op, state now) {
  return op->version == 0 || now.version == 0 || op->version > now.version;
}

static bool apply(const neap_op *op, state now, state *out) {
  if (op->result == NEAP_RESULT_REFUSED) {
    *out = seen_by(now, NEAP_VALUE_ANY, op->version);
    return may_refuse(op, now);
  }
  if (op->kind == NEAP_OPERATION_GET) {
    *out = seen_by(now, op->value, op->version);
    return may_be(op->value, now.value) && may_be_version(op->version, now.version);
  }
  *out = (state){op->value, op->version};
  if (op->kind == NEAP_OPERATION_CAS &&
      !(may_be(op->expect, now.value) && may_be_version(op->expect_version, now.version)))
    return false;
  return may_write(op, now);
}

/* --- states remembered -----------------------------------------------------------------------------------
 */

static seal seal_of(uint64_t number, uint64_t salt) {
  neap_random random = {number * UINT64_C(0xd1342543de82ef95) + salt};
  seal s;
  s.a = neap_random_next(&random);
  s.b = neap_random_next(&random);
  return s;
}

static seal both(seal x, seal y) {
  return (seal){x.a ^ y.a, x.b ^ y.b};
}

static seal *place_of(const search *s, seal key) {
  for (uint64_t at = key.a & s->seen_mask;; at = (at + 1) & s->seen_mask)
    if ((s->seen[at].a | s->seen[at].b) == 0 || (s->seen[at].a == key.a && s->seen[at].b == key.b))
      return &s->seen[at];
}

static neap_linear grow_seen(search *s) {
  uint64_t slots = (s->seen_mask + 1) * 2;
  if (slots > s->seen_most) return NEAP_LINEAR_LIMIT;
  seal *old = s->seen, *seen = calloc(slots, sizeof *seen);
  if (seen == NULL) return NEAP_LINEAR_ENOMEM;
  uint64_t old_slots = s->seen_mask + 1;
  s->seen = seen;
  s->seen_mask = slots - 1;
  for (uint64_t i = 0; i < old_slots; i++)
    if (old[i].a | old[i].b) *place_of(s, old[i]) = old[i];
  free(old);
  return NEAP_LINEAR_YES;
}

/* NO: this set of operations with this state was here before. */
static neap_linear remember(search *s, seal taken, state now) {
  seal key = both(both(taken, seal_of(now.value, 1)), seal_of(now.version, 2));
  seal *place = place_of(s, key);
  if (place->a | place->b) return NEAP_LINEAR_NO;
  *place = key;
  if (++s->seen_count * 2 <= s->seen_mask) return NEAP_LINEAR_YES;
  return grow_seen(s);
}

/* --- calls and returns -----------------------------------------------------------------------------------
 */

/* At the same time calls come first: what touches, overlaps. */
static int by_time(const void *a, const void *b) {
  const event *x = a, *y = b;
  if (x->at != y->at) return x->at < y->at ? -1 : 1;
  if (x->is_return != y->is_return) return x->is_return ? 1 : -1;
  return x->op < y->op ? -1 : x->op > y->op;
}

static bool make_events(search *s) {
  s->events = malloc(((size_t)s->count * 2 + 1) * sizeof *s->events);
  event **calls = malloc((s->count + (size_t)1) * sizeof(event *));
  if (s->events == NULL || calls == NULL) {
    free(calls);
    return false;
  }
  uint32_t count = 0;
  for (uint32_t i = 0; i < s->count; i++) {
    const neap_op *op = s->ops[i];
    s->events[count++] = (event){.at = op->invoked, .op = i};
    if (op->returned == NEAP_NEVER) continue;
    s->events[count++] = (event){.at = op->returned, .op = i, .is_return = true};
    s->definite++;
  }
  qsort(s->events, count, sizeof *s->events, by_time);
  event *last = &s->head;
  for (uint32_t i = 0; i < count; i++, last = last->next) {
    event *e = &s->events[i];
    last->next = e;
    e->previous = last;
    if (e->is_return)
      calls[e->op]->other = e;
    else
      calls[e->op] = e;
  }
  free(calls);
  return true;
}

static void unlink_event(event *e) {
  e->previous->next = e->next;
  if (e->next) e->next->previous = e->previous;
}
static void link_event(event *e) {
  e->previous->next = e;
  if (e->next) e->next->previous = e;
}

/* For each operation of unknown result the last one before it that does the same. */
static void find_twins(search *s) {
  for (uint32_t i = 0; i < s->count; i++) {
    const neap_op *op = s->ops[i];
    s->twins[i] = i;
    if (op->returned != NEAP_NEVER) continue;
    for (uint32_t j = i; j-- > 0 && i - j <= TWIN_REACH;) {
      const neap_op *other = s->ops[j];
      if (other->returned != NEAP_NEVER || other->kind != op->kind || other->value != op->value ||
          other->expect != op->expect || other->version != op->version ||
          other->expect_version != op->expect_version)
        continue;
      s->twins[i] = j;
      break;
    }
  }
}

/* Whether trying this operation now can lead anywhere that others do not. */
static bool is_worth(const search *s, uint32_t index, state after) {
  if (s->ops[index]->returned != NEAP_NEVER) return true;
  bool changes = after.value != s->now.value || after.version != s->now.version;
  return changes && (s->twins[index] == index || s->done[s->twins[index]]);
}

static void take(search *s, event *call, state after, seal taken) {
  bool pure =
      after.value == s->now.value && after.version == s->now.version && !neap_op_writes(s->ops[call->op]);
  s->stack[s->depth++] = (step_taken){call, s->now, pure};
  s->now = after;
  s->taken = taken;
  s->done[call->op] = true;
  unlink_event(call);
  if (call->other == NULL) return;
  unlink_event(call->other);
  s->definite--;
}

/* Takes back the last one, and what was certain after it. Where to go on; NULL: everything was tried. */
static event *take_back(search *s) {
  while (s->depth > 0) {
    step_taken last = s->stack[--s->depth];
    if (last.call->other) {
      link_event(last.call->other);
      s->definite++;
    }
    link_event(last.call);
    s->done[last.call->op] = false;
    s->now = last.before;
    s->taken = both(s->taken, seal_of(last.call->op, 0));
    if (!last.pure) return last.call->next; /* before the return where the walk ended, so there is one */
  }
  return NULL;
}

static neap_linear run(search *s, uint64_t *steps) {
  for (event *at = s->head.next; s->definite > 0; (*steps)--) {
    if (*steps == 0) return NEAP_LINEAR_LIMIT;
    state after;
    if (!at->is_return) {
      seal taken = both(s->taken, seal_of(at->op, 0));
      bool may = apply(s->ops[at->op], s->now, &after) && is_worth(s, at->op, after);
      neap_linear is_new = may ? remember(s, taken, after) : NEAP_LINEAR_NO;
      if (is_new > NEAP_LINEAR_NO) return is_new;
      if (is_new == NEAP_LINEAR_NO) {
        at = at->next; /* there is one: the return of something definite */
        continue;
      }
      take(s, at, after, taken);
      at = s->head.next;
      continue;
    }
    at = take_back(s);
    if (at == NULL) return NEAP_LINEAR_NO;
  }
  return NEAP_LINEAR_YES;
}

neap_linear neap_linear_search(const neap_op *const *ops, uint32_t count, bool any_start, uint64_t memory,
                               uint64_t *steps) {
  search s = {.ops = ops, .count = count, .seen_mask = 255, .seen_most = memory / sizeof(seal)};
  s.now = (state){any_start ? (uint32_t)NEAP_VALUE_ANY : NEAP_VALUE_ABSENT, 0};
  s.stack = malloc((count + (size_t)1) * sizeof *s.stack);
  s.twins = malloc((count + (size_t)1) * sizeof *s.twins);
  s.done = calloc(count + (size_t)1, sizeof *s.done);
  s.seen = calloc(s.seen_mask + 1, sizeof *s.seen);
  neap_linear answer = NEAP_LINEAR_ENOMEM;
  if (s.stack && s.twins && s.done && s.seen && make_events(&s)) {
    find_twins(&s);
    answer = run(&s, steps);
  }
  free(s.stack), free(s.twins), free(s.done), free(s.seen), free(s.events);
  return answer;
}
