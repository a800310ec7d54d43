/* Histories of a key-value store, and what they prove: is there one order of all operations on a key that
 * explains every answer (linearizable), and do clients see time go forwards (session guarantees, staleness)?
 *
 *   neap_history *history;
 *   neap_history_create(&history);
 *   neap_history_read(history, "history.jsonl", &err);      or neap_history_add() for each operation
 *   neap_verify_result result;
 *   neap_verify_run(history, &neap_verify_options_default, &result, &err);
 *   ... result.checks[NEAP_CHECK_LINEARIZABLE].verdict ...
 *   neap_verify_result_fini(&result);
 *   neap_history_destroy(&history);
 *
 * docs/consistency.md has the file format and what each check means. One thread at a time.
 */
#ifndef NEAP_SIM_VERIFY_H
#define NEAP_SIM_VERIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "neap/neap.h"

/* --- histories ------------------------------------------------------------------------------------------ */

typedef enum neap_operation_kind {
  NEAP_OPERATION_GET,
  NEAP_OPERATION_SET,
  NEAP_OPERATION_DELETE,
  NEAP_OPERATION_CAS
} neap_operation_kind;

typedef enum neap_operation_result {
  NEAP_RESULT_OK,
  NEAP_RESULT_REFUSED, /* cas: what was expected was not there */
  NEAP_RESULT_FAIL,    /* has had no effect and says nothing */
  NEAP_RESULT_UNKNOWN  /* may have had its effect, may have it later, or never */
} neap_operation_result;

/* A value: `ptr` NULL with `known` is "nothing there". */
typedef struct neap_operation_value {
  bool known;
  neap_view text;
} neap_operation_value;

/* One operation. Times are nanoseconds of one clock that all clients share; `returned` is ignored where the
 * result is unknown. Versions: 0 is none. */
typedef struct neap_operation {
  neap_operation_kind kind;
  neap_operation_result result;
  bool eventual;               /* a get that does not claim to be linearizable */
  neap_view client, key;       /* the client is who session guarantees are given to */
  neap_operation_value value;  /* what was read, or written */
  neap_operation_value expect; /* cas */
  uint64_t version, expect_version;
  uint64_t invoked, returned;
} neap_operation;

typedef struct neap_history neap_history;

enum { NEAP_HISTORY_OPERATIONS_MAX = 1 << 24, NEAP_HISTORY_LINE_MAX = 60 << 10 };

int neap_history_create(neap_history **out);
void neap_history_destroy(neap_history **history);
/* Adds an operation, which is copied; `line` is what findings call it. Errors: NEAP_EINVAL (what does not fit
 * together, such as a cas without an expectation), NEAP_ETOOLARGE, NEAP_ENOMEM. */
int neap_history_add(neap_history *history, const neap_operation *operation, uint32_t line, neap_err *err);
/* Adds the operations of a file, one JSON object per line, plain or zstd. Errors also: NEAP_EIO,
 * NEAP_ESYNTAX; their text is "file:line: error: text". */
int neap_history_read(neap_history *history, const char *path, neap_err *err);
/* The same over an open stream, which is taken even on failure; `name` is what errors call it. */
int neap_history_read_stream(neap_history *history, FILE *stream, const char *name, neap_err *err);

uint32_t neap_history_count(const neap_history *history);
uint32_t neap_history_keys(const neap_history *history);
uint32_t neap_history_clients(const neap_history *history);
/* The operation at `index`, as it was added; its views are borrowed from the history. Returns its line. */
uint32_t neap_history_get(const neap_history *history, uint32_t index, neap_operation *out);

extern const char *const neap_operation_kinds[], *const neap_operation_results[]; /* as files name them */

/* --- checks --------------------------------------------------------------------------------------------- */

/* NAME, name on the command line, name for people */
#define NEAP_CHECKS(X)                                                                                       \
  X(LINEARIZABLE, "linearizable", "linearizable")                                                            \
  X(MONOTONIC_READS, "monotonic-reads", "monotonic reads")                                                   \
  X(READ_YOUR_WRITES, "read-your-writes", "read your writes")                                                \
  X(MONOTONIC_WRITES, "monotonic-writes", "monotonic writes")                                                \
  X(STALENESS, "staleness", "bounded staleness")

#define NEAP_CHECK_ENUM(name, option, text) NEAP_CHECK_##name,
typedef enum neap_check { NEAP_CHECKS(NEAP_CHECK_ENUM) NEAP_CHECK_COUNT } neap_check;
#undef NEAP_CHECK_ENUM

extern const char *const neap_check_options[], *const neap_check_names[];

typedef enum neap_verdict {
  NEAP_VERDICT_SKIPPED,
  NEAP_VERDICT_HOLDS,
  NEAP_VERDICT_UNKNOWN, /* a limit came first, or nothing could be checked */
  NEAP_VERDICT_VIOLATED
} neap_verdict;

extern const char *const neap_verdict_names[];

typedef struct neap_verify_options {
  uint32_t checks;       /* bits, 1 << NEAP_CHECK_... */
  uint64_t staleness_ns; /* the bound */
  uint64_t steps;        /* of the search for an order, per key; what comes then is unknown */
  uint64_t memory;       /* bytes of states remembered, as well */
  bool any_start;        /* keys may have any value at first; otherwise there is nothing */
  uint32_t findings;     /* that are kept, of each check */
} neap_verify_options;

extern const neap_verify_options neap_verify_options_default; /* all checks but staleness */

/* A part of the history that breaks a promise by itself. Of an order that does not exist: the operations of
 * one key such that without any one of them there would be one. Of the others: the two that contradict. */
typedef struct neap_finding {
  uint32_t *operations; /* indexes, by time of invocation */
  uint32_t count;
  uint64_t excess_ns; /* staleness: how stale it was */
  bool minimal;       /* false: a limit came before it was as small as that */
} neap_finding;

typedef struct neap_check_result {
  neap_verdict verdict;
  uint64_t checked;    /* keys (linearizable), or operations */
  uint64_t unchecked;  /* keys for which a limit came first, or operations without a version */
  uint64_t violations; /* keys, or operations */
  uint64_t worst_ns;   /* staleness: the greatest that there was */
  neap_finding *findings;
  uint32_t finding_count;
} neap_check_result;

typedef struct neap_verify_result {
  neap_check_result checks[NEAP_CHECK_COUNT];
} neap_verify_result;

/* Runs the checks. NEAP_ENOMEM. The same history and options give the same result. */
int neap_verify_run(const neap_history *history, const neap_verify_options *options, neap_verify_result *out,
                    neap_err *err);
void neap_verify_result_fini(neap_verify_result *result);

#endif
