/* Histories and checks inside: operations with texts as numbers. Internal to sim/. */
#ifndef NEAP_SIM_VERIFY_IMPL_H
#define NEAP_SIM_VERIFY_IMPL_H

#include "base/base.h"
#include "sim/verify.h"

/* Values are numbers of texts; these two are none. */
enum { NEAP_VALUE_ABSENT = 0, NEAP_VALUE_ANY = UINT32_MAX };
#define NEAP_NEVER UINT64_MAX /* when an operation of unknown result returned */

typedef struct neap_op {
  uint64_t invoked, returned;
  uint64_t version, expect_version; /* 0: none */
  uint32_t client, key;             /* numbers of texts */
  uint32_t value, expect;
  uint32_t line;
  uint8_t kind, result;
  bool eventual;
} neap_op;

static inline bool neap_op_writes(const neap_op *op) {
  return op->kind != NEAP_OPERATION_GET && op->result != NEAP_RESULT_REFUSED;
}

const neap_op *neap_history_ops(const neap_history *history);
/* Texts there are: values, keys and clients are numbered from 1 up to it. */
uint32_t neap_history_texts(const neap_history *history);

/* Each fills its part of `result`, whose `findings` has room for as many as the options say. NEAP_ENOMEM. */
int neap_verify_linear(const neap_history *history, const neap_verify_options *options,
                       neap_check_result *result);
int neap_verify_session(const neap_history *history, const neap_verify_options *options, neap_check check,
                        neap_check_result *result);
int neap_verify_staleness(const neap_history *history, const neap_verify_options *options,
                          neap_check_result *result);

/* Counts a violation, and keeps it where there is room: a copy of `operations`. NEAP_ENOMEM. */
int neap_verify_found(neap_check_result *result, const neap_verify_options *options,
                      const uint32_t *operations, uint32_t count, neap_finding finding);

/* --- the order of one key (linear.c) --- */

typedef enum neap_linear {
  NEAP_LINEAR_YES,
  NEAP_LINEAR_NO,
  NEAP_LINEAR_LIMIT,
  NEAP_LINEAR_ENOMEM
} neap_linear;

/* Operations of one key. */
typedef struct neap_part {
  const neap_op **ops; /* sorted by invocation */
  uint32_t count;
} neap_part;

/* Makes a part that has no order smaller, in place, until no operation can be left out of it (minimal), or
 * `steps` are used up. Some of `ops` may come to point to `copies`, which has room for as many: operations
 * that had not returned when the fault showed. `whole` steps were needed for all of it. `marks` has
 * neap_history_texts() + 1 zeros. */
neap_linear neap_linear_reduce(neap_part *part, neap_op *copies, uint8_t *marks,
                               const neap_verify_options *options, uint64_t whole, uint64_t *steps,
                               bool *minimal);

/* Whether there is an order of these operations of one key, which are sorted by invocation. `steps` is
 * reduced by what the search took. */
neap_linear neap_linear_search(const neap_op *const *ops, uint32_t count, bool any_start, uint64_t memory,
                               uint64_t *steps);

#endif
