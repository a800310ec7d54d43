/* Makes traces for the tests of core/sim/: bytes in temporary files, random requests in both formats. */
#ifndef NEAP_TESTS_SIM_MAKER_H
#define NEAP_TESTS_SIM_MAKER_H

#include "unit.h"

#include <inttypes.h>
#include <unistd.h>
#include <zstd.h>

#include "sim/trace.h"

/* Growing bytes. */
typedef struct bytes {
  char *at;
  size_t size, capacity;
} bytes;

static inline void add_bytes(bytes *b, const void *more, size_t size) {
  if (b->size + size > b->capacity) {
    b->capacity = (b->size + size) * 2;
    b->at = realloc(b->at, b->capacity);
    assert_non_null(b->at);
  }
  memcpy(b->at + b->size, more, size);
  b->size += size;
}

static inline void add_text(bytes *b, const char *text) {
  add_bytes(b, text, strlen(text));
}

/* The bytes as one zstd frame. */
static inline bytes packed(const bytes *plain) {
  bytes out = {.capacity = ZSTD_compressBound(plain->size)};
  out.at = malloc(out.capacity);
  out.size = ZSTD_compress(out.at, out.capacity, plain->at, plain->size, 1);
  assert_false(ZSTD_isError(out.size));
  return out;
}

/* A new temporary file with these bytes; `path` takes its name, which the caller unlinks. */
static inline void write_file(char path[32], const void *content, size_t size) {
  strcpy(path, "/tmp/neap-trace-XXXXXX");
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, content, size), size);
  close(fd);
}

/* A small generator with its seed in the caller's hand: the same tests every time. */
static inline uint64_t next_random(uint64_t *state) {
  *state += 0x9e3779b97f4a7c15u;
  uint64_t z = (*state ^ *state >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* Numbers of every length, not only long ones. */
static inline uint64_t random_number(uint64_t *state) {
  return next_random(state) >> (next_random(state) & 63);
}

/* Time of 32 bits and a size that is not 0, as oracleGeneral has them. */
static inline neap_trace_request random_request(uint64_t *state) {
  return (neap_trace_request){.time = (int64_t)(next_random(state) & UINT32_MAX),
                              .key = random_number(state),
                              .size = (uint32_t)(random_number(state) & UINT32_MAX) | 1};
}

/* One line of csv, as plain or as oddly written as is allowed. */
static inline void add_csv(bytes *b, const neap_trace_request *request, uint64_t oddity) {
  static const char *const blanks[] = {"", " ", "\t", " \t "};
  char line[160];
  snprintf(line, sizeof line, "%s%" PRId64 "%s,%s%" PRId64 ",%s%" PRIu32 "%s%s", blanks[oddity & 3],
           request->time, blanks[oddity >> 2 & 3], blanks[oddity >> 4 & 3], (int64_t)request->key,
           blanks[oddity >> 6 & 3], request->size, blanks[oddity >> 8 & 3], oddity >> 10 & 1 ? "\r\n" : "\n");
  add_text(b, line);
  if (oddity >> 11 & 1) add_text(b, oddity >> 12 & 1 ? "\n" : " \r\n");
}

/* One record of oracleGeneral. */
static inline void add_record(bytes *b, const neap_trace_request *request) {
  unsigned char record[24];
  uint64_t never = UINT64_MAX;
  for (int i = 0; i < 4; i++) record[i] = (unsigned char)((uint64_t)request->time >> 8 * i);
  for (int i = 0; i < 8; i++) record[4 + i] = (unsigned char)(request->key >> 8 * i);
  for (int i = 0; i < 4; i++) record[12 + i] = (unsigned char)(request->size >> 8 * i);
  memcpy(record + 16, &never, 8);
  add_bytes(b, record, sizeof record);
}

#endif
