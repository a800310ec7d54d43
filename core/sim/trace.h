/* A trace: what was asked for, when, how large. Read from csv or oracleGeneral, told by content; internal to
 * sim/. The formats' decoders are csv.c and oracle.c. */
#ifndef NEAP_SIM_TRACE_H
#define NEAP_SIM_TRACE_H

#include "sim/source.h"

#include <stdint.h>

typedef struct neap_trace_request {
  int64_t time; /* in the trace's unit, from wherever it counts */
  uint64_t key; /* negative keys of a csv are two's complement */
  uint32_t size;
} neap_trace_request;

typedef struct neap_trace neap_trace;

/* Opens a trace and finds out its format. Errors, here and in read: "file: error: text", or
 * "file:line: error: text"; a line of a binary trace is a record, counted from 1. */
int neap_trace_open(const char *path, neap_trace **out, neap_err *err);
int neap_trace_open_stream(FILE *stream, const char *name, neap_trace **out, neap_err *err);
void neap_trace_close(neap_trace **trace);

/* Reads up to `capacity` requests. Their number; 0 at the end; negative NEAP_E... Requests of size 0 are left
 * out and counted. */
int neap_trace_read(neap_trace *trace, neap_trace_request *requests, int capacity, neap_err *err);

uint64_t neap_trace_skipped(const neap_trace *trace); /* so far: requests of size 0 */
const char *neap_trace_format(const neap_trace *trace);

/* A format. `fits` looks at the first bytes of the (unpacked) trace. `read`
 * decodes the next request: 1, 0 at the end, or negative. hot. */
typedef struct neap_trace_format_vt {
  const char *name;
  bool (*fits)(const char *bytes, size_t size);
  int (*read)(neap_source *source, uint64_t *line, neap_trace_request *request, neap_err *err);
} neap_trace_format_vt;

extern const neap_trace_format_vt neap_trace_csv, neap_trace_oracle;

#endif
