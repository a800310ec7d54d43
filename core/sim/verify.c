/* The checks: keys one by one for an order, and what every check has in common. */
#include <stdlib.h>

#include "sim/verify_impl.h"

#define CHECK_OPTION(name, option, text) option,
#define CHECK_TEXT(name, option, text)   text,
const char *const neap_check_options[] = {NEAP_CHECKS(CHECK_OPTION) NULL};
const char *const neap_check_names[] = {NEAP_CHECKS(CHECK_TEXT) NULL};
const char *const neap_verdict_names[] = {"skipped", "holds", "unknown", "violated"};

const neap_verify_options neap_verify_options_default = {
    .checks = (1u << NEAP_CHECK_COUNT) - 1 - (1u << NEAP_CHECK_STALENESS),
    .steps = 20 * 1000 * 1000,
    .memory = 256 << 20,
    .findings = 8,
};

int neap_verify_found(neap_check_result *result, const neap_verify_options *options,
                      const uint32_t *operations, uint32_t count, neap_finding finding) {
  result->violations++;
  if (result->finding_count == options->findings) return 0;
  finding.operations = malloc(count * sizeof *operations);
  if (finding.operations == NULL) return NEAP_ENOMEM;
  memcpy(finding.operations, operations, count * sizeof *operations);
  finding.count = count;
  result->findings[result->finding_count++] = finding;
  return 0;
}

/* --- an order for each key --------------------------------------------------------------------------------
 */

typedef struct keys_check {
  const neap_history *history;
  const neap_verify_options *options;
  neap_check_result *result;
  neap_part part;
  const neap_op **kept;
  neap_op *copies;
  uint32_t *indexes;
  uint8_t *marks;
} keys_check;

static int by_key_and_time(const void *a, const void *b) {
  const neap_op *x = *(const neap_op *const *)a, *y = *(const neap_op *const *)b;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  if (x->invoked != y->invoked) return x->invoked < y->invoked ? -1 : 1;
  return x < y ? -1 : x > y;
}

/* A write that nobody can have seen, and that may never have happened, explains nothing: without it the
 * search branches less. `seen` marks values. */
static bool explains(const neap_op *op, const uint8_t *seen, bool all) {
  return op->result != NEAP_RESULT_UNKNOWN || all || op->value == NEAP_VALUE_ABSENT || seen[op->value];
}

static void mark_values(neap_part *part, uint8_t *seen, uint8_t mark, bool *all) {
  for (uint32_t i = 0; i < part->count; i++) {
    const neap_op *op = part->ops[i];
    uint32_t value = op->kind == NEAP_OPERATION_GET ? op->value : op->expect;
    if (op->kind != NEAP_OPERATION_GET && op->kind != NEAP_OPERATION_CAS) continue;
    if (value == NEAP_VALUE_ANY || op->result == NEAP_RESULT_REFUSED) *all = true;
    if (value != NEAP_VALUE_ANY && value != NEAP_VALUE_ABSENT) seen[value] = mark;
  }
}

static void drop_unseen(keys_check *c) {
  bool all = false;
  uint32_t kept = 0;
  mark_values(&c->part, c->marks, 1, &all);
  for (uint32_t i = 0; i < c->part.count; i++) {
    const neap_op *op = c->part.ops[i];
    if (!neap_op_writes(op) || explains(op, c->marks, all)) c->kept[kept++] = op;
  }
  mark_values(&c->part, c->marks, 0, &all);
  memcpy(c->part.ops, c->kept, kept * sizeof *c->kept);
  c->part.count = kept;
}

/* As findings call them. An operation that was cut short by the reduction is the one that it is a copy of. */
static void index_part(keys_check *c, const neap_op *const *key_ops, uint32_t key_count) {
  const neap_op *all = neap_history_ops(c->history);
  for (uint32_t i = 0; i < c->part.count; i++) {
    const neap_op *op = c->part.ops[i];
    if (op >= c->copies && op < c->copies + neap_history_count(c->history))
      for (uint32_t j = 0; j < key_count; j++)
        if (key_ops[j]->line == op->line && key_ops[j]->invoked == op->invoked &&
            key_ops[j]->client == op->client) {
          op = key_ops[j];
          break;
        }
    c->indexes[i] = (uint32_t)(op - all);
  }
}

static int check_key(keys_check *c, const neap_op **ops, uint32_t count) {
  memcpy(c->part.ops, ops, count * sizeof *ops);
  c->part.count = count;
  drop_unseen(c);
  uint64_t steps = c->options->steps;
  neap_linear answer =
      neap_linear_search(c->part.ops, c->part.count, c->options->any_start, c->options->memory, &steps);
  if (answer == NEAP_LINEAR_ENOMEM) return NEAP_ENOMEM;
  if (answer == NEAP_LINEAR_LIMIT) {
    c->result->unchecked++;
    return 0;
  }
  c->result->checked++;
  if (answer == NEAP_LINEAR_YES) return 0;
  neap_finding finding = {.count = 0};
  uint64_t whole = c->options->steps - steps;
  steps = c->options->steps;
  if (c->result->finding_count < c->options->findings &&
      neap_linear_reduce(&c->part, c->copies, c->marks, c->options, whole, &steps, &finding.minimal) ==
          NEAP_LINEAR_ENOMEM)
    return NEAP_ENOMEM;
  index_part(c, ops, count);
  return neap_verify_found(c->result, c->options, c->indexes, c->part.count, finding);
}

/* Those that say something about the order. */
static uint32_t choose(const neap_history *history, const neap_op **out) {
  const neap_op *ops = neap_history_ops(history);
  uint32_t count = 0;
  for (uint32_t i = 0; i < neap_history_count(history); i++) {
    bool silent = ops[i].result == NEAP_RESULT_FAIL ||
                  (ops[i].kind == NEAP_OPERATION_GET && ops[i].result != NEAP_RESULT_OK);
    if (!silent && !ops[i].eventual) out[count++] = &ops[i];
  }
  qsort(out, count, sizeof *out, by_key_and_time);
  return count;
}

static int check_keys(keys_check *c, const neap_op **ops) {
  uint32_t count = choose(c->history, ops);
  int rc = 0;
  for (uint32_t from = 0, to; from < count && rc == 0; from = to) {
    for (to = from + 1; to < count && ops[to]->key == ops[from]->key;) to++;
    rc = check_key(c, ops + from, to - from);
  }
  return rc;
}

int neap_verify_linear(const neap_history *history, const neap_verify_options *options,
                       neap_check_result *result) {
  size_t count = neap_history_count(history) + (size_t)1;
  keys_check c = {.history = history, .options = options, .result = result};
  const neap_op **ops = malloc(count * sizeof *ops);
  c.part.ops = malloc(count * sizeof *c.part.ops);
  c.kept = malloc(count * sizeof *c.kept);
  c.copies = malloc(count * sizeof *c.copies);
  c.indexes = malloc(count * sizeof *c.indexes);
  c.marks = calloc(neap_history_texts(history) + (size_t)1, 1);
  bool memory = ops && c.part.ops && c.kept && c.copies && c.indexes && c.marks;
  int rc = memory ? check_keys(&c, ops) : NEAP_ENOMEM;
  free(ops), free(c.part.ops), free(c.kept), free(c.copies), free(c.indexes), free(c.marks);
  return rc;
}

/* --- all checks --------------------------------------------------------------------------------------------
 */

static int run_check(const neap_history *history, const neap_verify_options *options, neap_check check,
                     neap_check_result *result) {
  result->findings = calloc(NEAP_MAX(options->findings, 1u), sizeof *result->findings);
  if (result->findings == NULL) return NEAP_ENOMEM;
  int rc = check == NEAP_CHECK_LINEARIZABLE ? neap_verify_linear(history, options, result)
           : check == NEAP_CHECK_STALENESS  ? neap_verify_staleness(history, options, result)
                                            : neap_verify_session(history, options, check, result);
  if (rc) return rc;
  bool all = check != NEAP_CHECK_LINEARIZABLE || result->unchecked == 0;
  result->verdict = result->violations                                   ? NEAP_VERDICT_VIOLATED
                    : all && (result->checked || result->unchecked == 0) ? NEAP_VERDICT_HOLDS
                                                                         : NEAP_VERDICT_UNKNOWN;
  return 0;
}

int neap_verify_run(const neap_history *history, const neap_verify_options *options, neap_verify_result *out,
                    neap_err *err) {
  neap_verify_result result = {.checks = {{0}}};
  for (neap_check check = 0; check < NEAP_CHECK_COUNT; check++) {
    if (!(options->checks & 1u << check)) continue;
    if (run_check(history, options, check, &result.checks[check]) == 0) continue;
    neap_verify_result_fini(&result);
    return neap_fail(err, NEAP_ENOMEM, "out of memory");
  }
  *out = result;
  return 0;
}

void neap_verify_result_fini(neap_verify_result *result) {
  for (int check = 0; check < NEAP_CHECK_COUNT; check++) {
    neap_check_result *r = &result->checks[check];
    for (uint32_t i = 0; i < r->finding_count; i++) free(r->findings[i].operations);
    free(r->findings);
    *r = (neap_check_result){0};
  }
}
