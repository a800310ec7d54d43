/* libCacheSim's oracleGeneral format: packed little-endian records of u32 time, u64 key, u32 size, i64 number
 * of the next request to the same key. The last is for Belady's policy and is not used here. */
#include "sim/trace.h"

#include <endian.h>
#include <string.h>

#include "base/base.h"

enum { RECORD_SIZE = 24 };

static uint32_t load_u32(const char *bytes) {
  uint32_t value;
  memcpy(&value, bytes, sizeof value);
  return le32toh(value);
}

static uint64_t load_u64(const char *bytes) {
  uint64_t value;
  memcpy(&value, bytes, sizeof value);
  return le64toh(value);
}

/* "No next request" is -1, in some writers' files -2 or the largest number. */
static bool next_is_sane(const char *record) {
  int64_t next = (int64_t)load_u64(record + 16);
  return next == INT64_MAX || (next >= -2 && next < INT64_C(1) << 48);
}

/* Any bytes could be numbers: all records at hand must have a sane `next`. */
static bool oracle_fits(const char *bytes, size_t size) {
  if (size < RECORD_SIZE) return false;
  for (size_t at = 0; at + RECORD_SIZE <= size; at += RECORD_SIZE)
    if (!next_is_sane(bytes + at)) return false;
  return true;
}

static int oracle_read(neap_source *source, uint64_t *line, neap_trace_request *request, neap_err *err) {
  neap_span *span = neap_source_span(source);
  if (NEAP_UNLIKELY(span->end - span->at < RECORD_SIZE)) {
    int rc = neap_source_fill(source, RECORD_SIZE, err);
    if (rc) return rc;
    if (span->at == span->end) return 0;
    if (span->end - span->at < RECORD_SIZE)
      return neap_fail(err, NEAP_ESYNTAX, "%s:%llu: error: the last record is cut short: %d of %d bytes",
                       neap_source_name(source), (unsigned long long)*line + 1, (int)(span->end - span->at),
                       RECORD_SIZE);
  }
  ++*line;
  request->time = load_u32(span->at);
  request->key = load_u64(span->at + 4);
  request->size = load_u32(span->at + 12);
  span->at += RECORD_SIZE;
  return 1;
}

const neap_trace_format_vt neap_trace_oracle = {
    .name = "oracleGeneral", .fits = oracle_fits, .read = oracle_read};
