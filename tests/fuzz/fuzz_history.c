/* Histories: whatever a file holds, it is read or refused with its line, and checked within the limits. A
 * part that is called a fault is one by itself. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "sim/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const neap_verify_options options = {.checks = (1u << NEAP_CHECK_COUNT) - 1,
                                            .staleness_ns = 5,
                                            .steps = 20000,
                                            .memory = 1 << 20,
                                            .findings = 2};

/* The operations of a finding of the search, alone, have no order either. */
static void check_finding(const neap_history *history, const neap_finding *finding) {
  neap_history *part;
  neap_verify_result result;
  neap_verify_options linear = options;
  linear.checks = 1u << NEAP_CHECK_LINEARIZABLE;
  neap_assert(neap_history_create(&part) == 0);
  for (uint32_t i = 0; i < finding->count; i++) {
    neap_operation operation;
    uint32_t line = neap_history_get(history, finding->operations[i], &operation);
    neap_assert(neap_history_add(part, &operation, line, NULL) == 0);
  }
  neap_assert(neap_verify_run(part, &linear, &result, NULL) == 0);
  neap_assert(result.checks[NEAP_CHECK_LINEARIZABLE].verdict != NEAP_VERDICT_HOLDS);
  neap_verify_result_fini(&result);
  neap_history_destroy(&part);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  if (size == 0) return 0;
  FILE *stream = fmemopen((void *)(uintptr_t)bytes, size, "r");
  neap_history *history;
  neap_verify_result result;
  neap_err err;
  neap_assert(stream != NULL && neap_history_create(&history) == 0);
  int rc = neap_history_read_stream(history, stream, "input", &err);
  if (rc) neap_assert(memcmp(err.text, "input:", 6) == 0);
  neap_assert(neap_verify_run(history, &options, &result, &err) == 0); /* of what was read until then */
  const neap_check_result *linear = &result.checks[NEAP_CHECK_LINEARIZABLE];
  for (uint32_t i = 0; i < linear->finding_count; i++) check_finding(history, &linear->findings[i]);
  neap_verify_result_fini(&result);
  neap_history_destroy(&history);
  return 0;
}
