#include "observe/expose.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/utf8.h"

#define TYPE_COUNTER   "counter"
#define TYPE_GAUGE     "gauge"
#define TYPE_HISTOGRAM "histogram"
const neap_metric_row neap_metric_table[NEAP_METRIC_COUNT] = {
#define METRIC(ID, name, type, labels, help) {#name, TYPE_##type, labels, help},
    NEAP_METRICS(METRIC)
#undef METRIC
};

/* --- text */

static void put(neap_exposition *out, const char *bytes, size_t size) {
  if (out->failed) return;
  if (out->room - out->size < size) {
    size_t room = NEAP_MAX(out->room * 2, out->size + size + 4096);
    char *grown = realloc(out->text, room);
    if (grown == NULL) {
      out->failed = true;
      return;
    }
    out->text = grown;
    out->room = room;
  }
  memcpy(out->text + out->size, bytes, size);
  out->size += size;
}

static void put_text(neap_exposition *out, const char *text) {
  put(out, text, strlen(text));
}

/* A label's value. Names of routes are what operators write: anything. */
static void put_value(neap_exposition *out, const char *text) {
  size_t size = strlen(text);
  for (size_t i = 0; i < size;) {
    size_t length = neap_utf8_size(text + i, size - i);
    if (length == 0)
      put_text(out, "\xef\xbf\xbd"); /* U+FFFD */
    else if (text[i] == '"' || text[i] == '\\')
      put(out, (char[]){'\\', text[i]}, 2);
    else if (text[i] == '\n')
      put_text(out, "\\n");
    else
      put(out, text + i, length);
    i += length ? length : 1;
  }
}

static void put_number(neap_exposition *out, double value) {
  char text[40];
  bool whole = fabs(value) < 0x1p53 && value == floor(value);
  snprintf(text, sizeof text, whole ? "%.0f" : "%.9g", value);
  put_text(out, text);
}

/* --- families */

/* In OpenMetrics a counter's family is named without its "_total". */
static void put_family(neap_exposition *out, const neap_metric_row *row) {
  size_t size = strlen(row->name);
  if (out->open_metrics && strcmp(row->type, TYPE_COUNTER) == 0) size -= strlen("_total");
  put(out, row->name, size);
}

static void begin_family(neap_exposition *out, neap_metric metric) {
  if (out->metric == (int)metric) return;
  neap_debug_assert((int)metric > out->metric); /* a family's samples stand together */
  out->metric = (int)metric;
  const neap_metric_row *row = &neap_metric_table[metric];
  put_text(out, "# HELP ");
  put_family(out, row);
  put_text(out, " ");
  put_text(out, row->help);
  put_text(out, "\n# TYPE ");
  put_family(out, row);
  put_text(out, " ");
  put_text(out, row->type);
  put_text(out, "\n");
}

/* name{labels,le="edge"} */
static void put_series(neap_exposition *out, const neap_metric_row *row, const char *suffix,
                       const char *const *values, const char *edge) {
  const char *label = row->labels;
  bool any = false;
  put_text(out, row->name);
  put_text(out, suffix);
  for (size_t i = 0; *label; i++) {
    size_t size = strcspn(label, ",");
    put_text(out, any ? "," : "{");
    put(out, label, size);
    put_text(out, "=\"");
    put_value(out, values[i]);
    put_text(out, "\"");
    any = true;
    label += size + (label[size] == ',');
  }
  if (edge) {
    put_text(out, any ? ",le=\"" : "{le=\"");
    put_text(out, edge);
    put_text(out, "\"");
    any = true;
  }
  put_text(out, any ? "} " : " ");
}

void neap_expose_begin(neap_exposition *out, bool open_metrics) {
  *out = (neap_exposition){.metric = -1, .open_metrics = open_metrics};
}

void neap_expose(neap_exposition *out, neap_metric metric, double value, const char *const *values) {
  begin_family(out, metric);
  put_series(out, &neap_metric_table[metric], "", values, NULL);
  put_number(out, value);
  put_text(out, "\n");
}

void neap_expose_timing(neap_exposition *out, neap_metric metric, const neap_timing_sum *sum,
                        const char *const *values) {
  const neap_metric_row *row = &neap_metric_table[metric];
  uint64_t below = 0;
  begin_family(out, metric);
  for (unsigned i = 0; i <= NEAP_TIMING_EDGE_COUNT; i++) {
    below += sum->cells[i];
    put_series(out, row, "_bucket", values, i < NEAP_TIMING_EDGE_COUNT ? neap_timing_edge(i) : "+Inf");
    put_number(out, (double)below);
    put_text(out, "\n");
  }
  put_series(out, row, "_sum", values, NULL);
  put_number(out, (double)sum->sum_us / 1e6);
  put_text(out, "\n");
  put_series(out, row, "_count", values, NULL);
  put_number(out, (double)below);
  put_text(out, "\n");
}

char *neap_expose_end(neap_exposition *out, size_t *size) {
  if (out->open_metrics) put_text(out, "# EOF\n");
  put(out, "", 1); /* ends it for whoever takes it as a string */
  if (out->failed) {
    free(out->text);
    return NULL;
  }
  *size = out->size - 1;
  return out->text;
}
