/* What needs no search, since versions have an order: what a client has seen or written is not unseen, and
 * what was acknowledged is seen by everybody after a while.
 *
 * A session check is about pairs of one client and key, an earlier operation that had returned before a later
 * one was invoked: the later one's version must not be below (for two writes: nor equal). One pass in order
 * of invocation beside one in order of return finds, for each later one, the greatest earlier version.
 */
#include <stdlib.h>

#include "sim/verify_impl.h"

/* An operation with the version that it saw or made, 0 where that is not known. */
typedef struct sighting {
  const neap_op *op;
  uint64_t version;
} sighting;

typedef struct sightings {
  sighting *items;
  uint32_t count;
} sightings;

static bool is_read(const neap_op *op) {
  return op->kind == NEAP_OPERATION_GET && op->result == NEAP_RESULT_OK;
}
static bool is_write(const neap_op *op) {
  return op->kind != NEAP_OPERATION_GET && op->result == NEAP_RESULT_OK;
}

/* --- versions that only the writes tell --------------------------------------------------------------------
 */

/* Which version a key's value was written with; 0 where writes of several versions wrote it. */
typedef struct told {
  uint32_t key, value;
  uint64_t version;
} told;

static int by_value(const void *a, const void *b) {
  const told *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  return x->value < y->value ? -1 : x->value > y->value;
}

static uint32_t tell(const neap_history *history, told *out) {
  const neap_op *ops = neap_history_ops(history);
  uint32_t count = 0, kept = 0;
  for (uint32_t i = 0; i < neap_history_count(history); i++) /* also of unknown result: it may have been */
    if (neap_op_writes(&ops[i]) && ops[i].result != NEAP_RESULT_FAIL)
      out[count++] = (told){ops[i].key, ops[i].value, ops[i].version};
  qsort(out, count, sizeof *out, by_value);
  for (uint32_t i = 0; i < count; i++)
    if (kept && by_value(&out[kept - 1], &out[i]) == 0)
      out[kept - 1].version = out[kept - 1].version == out[i].version ? out[i].version : 0;
    else
      out[kept++] = out[i];
  return kept;
}

static uint64_t version_of(const neap_op *op, const told *all, uint32_t count) {
  if (op->version || op->value == NEAP_VALUE_ABSENT || op->value == NEAP_VALUE_ANY || count == 0)
    return op->version;
  const told wanted = {op->key, op->value, 0};
  const told *found = bsearch(&wanted, all, count, sizeof *all, by_value);
  return found ? found->version : 0;
}

/* --- sorting -----------------------------------------------------------------------------------------------
 */

static int by_key(const neap_op *x, const neap_op *y) {
  return x->key < y->key ? -1 : x->key > y->key;
}
static int by_client_and_key(const neap_op *x, const neap_op *y) {
  if (x->client != y->client) return x->client < y->client ? -1 : 1;
  return by_key(x, y);
}
static int by_number(uint64_t x, uint64_t y) {
  return x < y ? -1 : x > y;
}

static int by_return(const void *a, const void *b) {
  const sighting *x = a, *y = b;
  int order = by_client_and_key(x->op, y->op);
  return order ? order : by_number(x->op->returned, y->op->returned);
}
static int by_invocation(const void *a, const void *b) {
  const sighting *x = a, *y = b;
  int order = by_client_and_key(x->op, y->op);
  return order ? order : by_number(x->op->invoked, y->op->invoked);
}
static int by_version(const void *a, const void *b) {
  const sighting *x = a, *y = b;
  int order = by_key(x->op, y->op);
  return order ? order : by_number(x->version, y->version);
}

/* --- collecting --------------------------------------------------------------------------------------------
 */

typedef struct collection {
  told *told;
  uint32_t told_count;
  sightings earlier, later;
} collection;

/* Operations whose version is known; the others are counted where `unchecked` is given. */
static void collect(const neap_history *history, const collection *c, bool (*wanted)(const neap_op *),
                    sightings *out, uint64_t *unchecked) {
  const neap_op *ops = neap_history_ops(history);
  for (uint32_t i = 0; i < neap_history_count(history); i++) {
    if (!wanted(&ops[i])) continue;
    uint64_t version = version_of(&ops[i], c->told, c->told_count);
    if (version)
      out->items[out->count++] = (sighting){&ops[i], version};
    else if (unchecked)
      (*unchecked)++;
  }
}

static void collection_fini(collection *c) {
  free(c->told), free(c->earlier.items), free(c->later.items);
}

static int collection_init(collection *c, const neap_history *history, bool (*earlier)(const neap_op *),
                           bool (*later)(const neap_op *), uint64_t *unchecked) {
  size_t count = neap_history_count(history) + (size_t)1;
  *c = (collection){.told = malloc(count * sizeof *c->told)};
  c->earlier.items = malloc(count * sizeof *c->earlier.items);
  c->later.items = malloc(count * sizeof *c->later.items);
  if (c->told == NULL || c->earlier.items == NULL || c->later.items == NULL) {
    collection_fini(c);
    return NEAP_ENOMEM;
  }
  c->told_count = tell(history, c->told);
  collect(history, c, earlier, &c->earlier, NULL);
  collect(history, c, later, &c->later, unchecked);
  return 0;
}

/* --- checks ------------------------------------------------------------------------------------------------
 */

static int found(const neap_history *history, const neap_verify_options *options, neap_check_result *result,
                 const neap_op *earlier, const neap_op *later, uint64_t excess_ns) {
  const neap_op *all = neap_history_ops(history);
  const uint32_t pair[] = {(uint32_t)(earlier - all), (uint32_t)(later - all)};
  return neap_verify_found(result, options, pair, 2, (neap_finding){.excess_ns = excess_ns, .minimal = true});
}

int neap_verify_session(const neap_history *history, const neap_verify_options *options, neap_check check,
                        neap_check_result *result) {
  bool reads_first = check == NEAP_CHECK_MONOTONIC_READS, writes = check == NEAP_CHECK_MONOTONIC_WRITES;
  collection c;
  int rc = collection_init(&c, history, reads_first ? is_read : is_write, writes ? is_write : is_read,
                           &result->unchecked);
  if (rc) return rc;
  qsort(c.earlier.items, c.earlier.count, sizeof *c.earlier.items, by_return);
  qsort(c.later.items, c.later.count, sizeof *c.later.items, by_invocation);
  const sighting *greatest = NULL;
  uint32_t at = 0;
  for (uint32_t i = 0; i < c.later.count && rc == 0; i++) {
    const sighting *later = &c.later.items[i];
    if (i == 0 || by_client_and_key(later->op, c.later.items[i - 1].op)) greatest = NULL;
    for (; at < c.earlier.count; at++) {
      const sighting *earlier = &c.earlier.items[at];
      int order = by_client_and_key(earlier->op, later->op);
      if (order > 0 || (order == 0 && earlier->op->returned >= later->op->invoked)) break;
      if (order == 0 && (greatest == NULL || earlier->version > greatest->version)) greatest = earlier;
    }
    result->checked++;
    if (greatest && (later->version < greatest->version || (writes && later->version == greatest->version)))
      rc = found(history, options, result, greatest->op, later->op, 0);
  }
  collection_fini(&c);
  return rc;
}

/* From the last to the first version of each key: which of the versions from here on was acknowledged first.
 */
static void spread_first_returns(sightings *writes) {
  for (uint32_t i = writes->count; i-- > 1;) {
    sighting *newer = &writes->items[i], *older = &writes->items[i - 1];
    bool same_key = newer->op->key == older->op->key;
    if (same_key && newer->op->returned < older->op->returned) older->op = newer->op;
  }
}

/* The write above `version` of this key that was acknowledged first, or NULL. */
static const neap_op *first_newer(const sightings *writes, const sighting *read) {
  uint32_t low = 0, high = writes->count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (by_version(&writes->items[middle], read) <= 0)
      low = middle + 1;
    else
      high = middle;
  }
  bool there = low < writes->count && writes->items[low].op->key == read->op->key;
  return there ? writes->items[low].op : NULL;
}

int neap_verify_staleness(const neap_history *history, const neap_verify_options *options,
                          neap_check_result *result) {
  collection c;
  int rc = collection_init(&c, history, is_write, is_read, &result->unchecked);
  if (rc) return rc;
  qsort(c.earlier.items, c.earlier.count, sizeof *c.earlier.items, by_version);
  spread_first_returns(&c.earlier);
  for (uint32_t i = 0; i < c.later.count && rc == 0; i++) {
    const sighting *read = &c.later.items[i];
    const neap_op *newer = first_newer(&c.earlier, read);
    uint64_t stale_ns =
        newer && newer->returned < read->op->invoked ? read->op->invoked - newer->returned : 0;
    result->checked++;
    result->worst_ns = NEAP_MAX(result->worst_ns, stale_ns);
    if (stale_ns > options->staleness_ns) rc = found(history, options, result, newer, read->op, stale_ns);
  }
  collection_fini(&c);
  return rc;
}
