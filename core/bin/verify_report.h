/* How `neap verify` shows what it found: for people, or as JSON. */
#ifndef NEAP_BIN_VERIFY_REPORT_H
#define NEAP_BIN_VERIFY_REPORT_H

#include <stdio.h>

#include "sim/verify.h"

typedef struct neap_verify_report {
  const char *file;
  const neap_history *history;
  const neap_verify_options *options;
  const neap_verify_result *result;
} neap_verify_report;

typedef struct neap_verify_format {
  const char *name;
  void (*print)(FILE *out, const neap_verify_report *report);
} neap_verify_format;

/* The formats, ended by NULL; the first is the default. */
extern const neap_verify_format *const neap_verify_formats[];

#endif
