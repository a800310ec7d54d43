/* Any bytes as a trace: read or refused, never more than the reader's own buffers, the same each time. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/base.h"
#include "sim/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* A small trace can be a large one unpacked: enough of it is read. */
enum { READ_COUNT = 1000, READS_MAX = 100 };

static int read_through(const uint8_t *bytes, size_t size, uint64_t *sum) {
  FILE *stream = fmemopen((void *)(uintptr_t)bytes, size, "rb");
  if (stream == NULL) return 0;
  neap_trace *trace;
  neap_err err = {0};
  int rc = neap_trace_open_stream(stream, "fuzz", &trace, &err);
  neap_trace_request requests[READ_COUNT];
  for (int i = 0; rc >= 0 && i < READS_MAX; i++) {
    rc = neap_trace_read(trace, requests, READ_COUNT, &err);
    for (int j = 0; j < rc; j++) {
      neap_assert(requests[j].size > 0);
      *sum = *sum * 31 + requests[j].key + (uint64_t)requests[j].time + requests[j].size;
    }
    if (rc <= 0) {
      neap_trace_close(&trace);
      break;
    }
  }
  if (rc > 0) neap_trace_close(&trace);
  neap_assert(rc >= 0 || (err.code == rc && err.text[0]));
  return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  uint64_t sums[2] = {0, 0};
  int first = read_through(bytes, size, &sums[0]);
  neap_assert(read_through(bytes, size, &sums[1]) == first && sums[0] == sums[1]);
  return 0;
}
