/* How `neap replay` shows what it found: a table for people, csv, or JSON. */
#ifndef NEAP_BIN_REPLAY_REPORT_H
#define NEAP_BIN_REPLAY_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "sim/sim.h"

typedef struct neap_replay_row {
  const char *trace;              /* as given */
  const char *policy;             /* as given */
  const char *size_label;         /* as given */
  const char *prefetch;           /* as given, or "none"; NULL: it was not asked for */
  const neap_replay_result *base; /* the same without prefetching */
  bool bytes;
  uint64_t size;
  neap_replay_result result;
} neap_replay_row;

/* A format. Called in this order: begin, then for each trace `trace`, for each of its sizes `rows` with the
 * rows of all policies, of which `before` were printed before, at last `end`. All but `rows` may be NULL. */
typedef struct neap_replay_format {
  const char *name;
  void (*begin)(FILE *out, bool prefetch); /* prefetch: rows will say what that brought */
  void (*trace)(FILE *out, const char *name, const neap_tape_facts *facts);
  void (*rows)(FILE *out, const neap_replay_row *rows, size_t count, size_t before);
  void (*end)(FILE *out);
} neap_replay_format;

/* The formats, ended by NULL; the first is the default. */
extern const neap_replay_format *const neap_replay_formats[];

/* Points of the hit ratio (hundredths) that prefetching brought. */
double neap_replay_gain(const neap_replay_row *row);
double neap_replay_miss_ratio(const neap_replay_result *result);
double neap_replay_byte_miss_ratio(const neap_replay_result *result);

#endif
