/* Out of a key's operations that have no order, a smallest part that has none either.
 *
 * First the shortest beginning: if what happened until some moment has no order, neither has more of it, so
 * the moment is found by halving. What had not returned by then counts as unknown. Then operations are left
 * out, in ever smaller lots, as long as there is no order of what stays and what stays is a fault by itself:
 * reads may always go, a write only if nobody that stays has seen it (else its reader alone would seem
 * wrong).
 */
#include <stdlib.h>

#include "sim/verify_impl.h"

typedef struct reduction {
  const neap_verify_options *options;
  uint64_t *steps;
  uint8_t *marks;
  const neap_op **trial;
  uint64_t attempt; /* steps that one may take */
  bool limited;     /* some attempt was not decided */
} reduction;

enum { ATTEMPT_STEPS = 10000 };

/* One attempt gets a share of the steps, so that a hard one leaves some for others: what is not decided then
 * stays in. */
static neap_linear search(reduction *r, const neap_op *const *ops, uint32_t count) {
  uint64_t share = NEAP_MIN(*r->steps, r->attempt), left = share;
  neap_linear answer = neap_linear_search(ops, count, r->options->any_start, r->options->memory, &left);
  *r->steps -= share - left;
  if (answer != NEAP_LINEAR_LIMIT) return answer;
  r->limited = true;
  return *r->steps ? NEAP_LINEAR_YES : NEAP_LINEAR_LIMIT;
}

/* --- the shortest beginning -------------------------------------------------------------------------------
 */

/* What was invoked by `moment`, as it was known then. */
static uint32_t begin(const neap_part *part, uint64_t moment, const neap_op **ops, neap_op *copies) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < part->count && part->ops[i]->invoked <= moment; i++) {
    const neap_op *op = part->ops[i];
    if (op->returned > moment && op->returned != NEAP_NEVER) {
      if (!neap_op_writes(op)) continue;
      copies[count] = *op;
      copies[count].returned = NEAP_NEVER;
      copies[count].result = NEAP_RESULT_UNKNOWN;
      op = &copies[count];
    }
    ops[count++] = op;
  }
  return count;
}

static int by_number(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static uint32_t returns_of(const neap_part *part, uint64_t *returns) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < part->count; i++)
    if (part->ops[i]->returned != NEAP_NEVER) returns[count++] = part->ops[i]->returned;
  qsort(returns, count, sizeof *returns, by_number);
  return count;
}

static neap_linear shorten(reduction *r, neap_part *part, neap_op *copies) {
  uint64_t *returns = malloc((part->count + (size_t)1) * sizeof *returns);
  if (returns == NULL) return NEAP_LINEAR_ENOMEM;
  uint32_t low = 0, high = returns_of(part, returns) - 1; /* the last one is known to be a fault */
  neap_linear answer = NEAP_LINEAR_NO;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    uint32_t count = begin(part, returns[middle], r->trial, copies);
    answer = search(r, r->trial, count);
    if (answer > NEAP_LINEAR_NO) break; /* what is known by now is short enough */
    if (answer == NEAP_LINEAR_NO)
      high = middle;
    else
      low = middle + 1;
  }
  part->count = begin(part, returns[high], r->trial, copies);
  memcpy(part->ops, r->trial, part->count * sizeof *part->ops);
  free(returns);
  return answer == NEAP_LINEAR_YES ? NEAP_LINEAR_NO : answer;
}

/* --- leaving out ------------------------------------------------------------------------------------------
 */

/* What the operations that stay have seen. */
typedef struct sights {
  bool absent, anything; /* nothing there; or something that says no value, as a refusal: all writes count */
} sights;

static sights mark_seen(reduction *r, const neap_op *const *ops, uint32_t count, uint8_t mark) {
  sights seen = {0};
  for (uint32_t i = 0; i < count; i++) {
    const neap_op *op = ops[i];
    uint32_t value = op->kind == NEAP_OPERATION_GET ? op->value : op->expect;
    bool reads = op->kind == NEAP_OPERATION_GET || op->kind == NEAP_OPERATION_CAS;
    if (!reads) continue;
    if (value == NEAP_VALUE_ABSENT) seen.absent = true;
    if (value == NEAP_VALUE_ANY || op->result == NEAP_RESULT_REFUSED) seen.anything = true;
    if (value != NEAP_VALUE_ABSENT && value != NEAP_VALUE_ANY) r->marks[value] = mark;
  }
  return seen;
}

/* Whether operations from..to may go, the others being in r->trial. */
static bool may_go(reduction *r, const neap_part *part, uint32_t from, uint32_t to, uint32_t staying) {
  sights seen = mark_seen(r, r->trial, staying, 1);
  bool may = true;
  for (uint32_t i = from; i < to && may; i++) {
    const neap_op *op = part->ops[i];
    if (!neap_op_writes(op)) continue;
    may = !seen.anything && (op->value == NEAP_VALUE_ABSENT ? !seen.absent : !r->marks[op->value]);
  }
  mark_seen(r, r->trial, staying, 0);
  return may;
}

/* Leaves out from..to where what stays is still a fault. */
static neap_linear leave_out(reduction *r, neap_part *part, uint32_t from, uint32_t to) {
  uint32_t staying = part->count - (to - from);
  memcpy(r->trial, part->ops, from * sizeof *r->trial);
  memcpy(r->trial + from, part->ops + to, (part->count - to) * sizeof *r->trial);
  if (!may_go(r, part, from, to, staying)) return NEAP_LINEAR_YES;
  neap_linear answer = search(r, r->trial, staying);
  if (answer != NEAP_LINEAR_NO) return answer;
  memcpy(part->ops, r->trial, staying * sizeof *r->trial);
  part->count = staying;
  return NEAP_LINEAR_NO;
}

/* Lots of one size, from the end: readers come after what they have read. */
static neap_linear leave_out_lots(reduction *r, neap_part *part, uint32_t lot, bool *any) {
  for (uint32_t to = part->count; to > 0;) {
    uint32_t from = to > lot ? to - lot : 0;
    neap_linear answer = leave_out(r, part, from, to);
    if (answer > NEAP_LINEAR_NO) return answer;
    *any |= answer == NEAP_LINEAR_NO;
    to = from;
  }
  return NEAP_LINEAR_YES;
}

static neap_linear thin_out(reduction *r, neap_part *part, bool *minimal) {
  for (uint32_t lot = NEAP_MAX(part->count / 2, 1u);;) {
    bool any = false;
    neap_linear answer = leave_out_lots(r, part, lot, &any);
    if (answer > NEAP_LINEAR_NO) return answer;
    if (lot == 1 && !any) {
      *minimal = !r->limited;
      return NEAP_LINEAR_NO;
    }
    if (lot > 1) lot = (lot + 1) / 2;
  }
}

/* Mostly it is one answer that is wrong: the one with which the fault showed. Without all other reads, the
 * writes thin out in great lots. */
static neap_linear single_out(reduction *r, neap_part *part) {
  uint64_t last = 0;
  for (uint32_t i = 0; i < part->count; i++)
    if (part->ops[i]->returned != NEAP_NEVER) last = NEAP_MAX(last, part->ops[i]->returned);
  uint32_t count = 0, kept = 0;
  for (uint32_t i = 0; i < part->count; i++)
    if (neap_op_writes(part->ops[i]) || part->ops[i]->returned == last) r->trial[count++] = part->ops[i];
  sights seen = mark_seen(r, r->trial, count, 1);
  for (uint32_t i = 0; i < count; i++) { /* what may never have happened, and nobody has seen, goes as well */
    const neap_op *op = r->trial[i];
    bool stays = op->result != NEAP_RESULT_UNKNOWN || seen.anything || op->value == NEAP_VALUE_ABSENT ||
                 r->marks[op->value];
    if (stays) r->trial[kept++] = op;
  }
  mark_seen(r, part->ops, part->count, 0);
  count = kept;
  neap_linear answer = search(r, r->trial, count);
  if (answer != NEAP_LINEAR_NO) return answer;
  memcpy(part->ops, r->trial, count * sizeof *part->ops);
  part->count = count;
  return NEAP_LINEAR_NO;
}

neap_linear neap_linear_reduce(neap_part *part, neap_op *copies, uint8_t *marks,
                               const neap_verify_options *options, uint64_t whole, uint64_t *steps,
                               bool *minimal) {
  *minimal = false;
  reduction r = {.options = options, .steps = steps, .marks = marks, .attempt = ATTEMPT_STEPS + 2 * whole};
  r.trial = malloc((part->count + (size_t)1) * sizeof *r.trial);
  if (r.trial == NULL) return NEAP_LINEAR_ENOMEM;
  neap_linear answer = shorten(&r, part, copies);
  if (answer == NEAP_LINEAR_NO) answer = single_out(&r, part);
  if (answer <= NEAP_LINEAR_NO) answer = thin_out(&r, part, minimal);
  free(r.trial);
  return answer == NEAP_LINEAR_ENOMEM ? answer : NEAP_LINEAR_NO;
}
