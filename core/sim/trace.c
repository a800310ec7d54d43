#include "sim/trace.h"

#include <stdlib.h>

#include "base/base.h"

enum {
  TRACE_MAGIC = 0x4e545243,
  PEEK_SIZE = 4096 /* bytes that a format is told by */
};

struct neap_trace {
  uint32_t magic;
  neap_source *source;
  const neap_trace_format_vt *format;
  uint64_t line;
  uint64_t skipped;
};

static const neap_trace_format_vt *const formats[] = {&neap_trace_csv, &neap_trace_oracle};

static int find_format(neap_trace *trace, neap_err *err) {
  int rc = neap_source_fill(trace->source, PEEK_SIZE, err);
  if (rc) return rc;
  const neap_span *span = neap_source_span(trace->source);
  size_t size = (size_t)(span->end - span->at);
  for (size_t i = 0; i < NEAP_COUNT_OF(formats) && trace->format == NULL; i++)
    if (formats[i]->fits(span->at, NEAP_MIN(size, (size_t)PEEK_SIZE))) trace->format = formats[i];
  if (trace->format) return 0;
  return neap_fail(
      err, NEAP_EINVAL,
      "%s: error: not a trace: neither csv 'time,key,size' nor oracleGeneral records of 24 bytes",
      neap_source_name(trace->source));
}

/* Takes `source`. */
static int open_source(neap_source *source, neap_trace **out, neap_err *err) {
  neap_trace *trace = calloc(1, sizeof *trace);
  if (trace == NULL) {
    neap_source_close(&source);
    return neap_fail(err, NEAP_ENOMEM, "out of memory");
  }
  trace->magic = TRACE_MAGIC;
  trace->source = source;
  int rc = find_format(trace, err);
  if (rc)
    neap_trace_close(&trace);
  else
    *out = trace;
  return rc;
}

int neap_trace_open(const char *path, neap_trace **out, neap_err *err) {
  neap_source *source;
  int rc = neap_source_open(path, &source, err);
  return rc ? rc : open_source(source, out, err);
}

int neap_trace_open_stream(FILE *stream, const char *name, neap_trace **out, neap_err *err) {
  neap_source *source;
  int rc = neap_source_open_stream(stream, name, &source, err);
  return rc ? rc : open_source(source, out, err);
}

void neap_trace_close(neap_trace **trace) {
  if (*trace == NULL) return;
  neap_check_magic(*trace, TRACE_MAGIC);
  (*trace)->magic = 0;
  neap_source_close(&(*trace)->source);
  free(*trace);
  *trace = NULL;
}

int neap_trace_read(neap_trace *trace, neap_trace_request *requests, int capacity, neap_err *err) {
  neap_check_magic(trace, TRACE_MAGIC);
  int count = 0;
  while (count < capacity) {
    int rc = trace->format->read(trace->source, &trace->line, &requests[count], err);
    if (rc < 0) return rc;
    if (rc == 0) break;
    if (requests[count].size > 0)
      count++;
    else
      trace->skipped++;
  }
  return count;
}

uint64_t neap_trace_skipped(const neap_trace *trace) {
  return trace->skipped;
}

const char *neap_trace_format(const neap_trace *trace) {
  return trace->format->name;
}
