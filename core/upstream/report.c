/* Reads load reports: numbers by name out of a small JSON object or a list of name=number. */
#include "upstream/report.h"

#include <string.h>
#include <strings.h>

#include "base/base.h"

enum { DEPTH_MAX = 8 /* of what is skipped */, KNOWN_DEPTH = 2 /* whose names are looked at */ };
#define COUNT_LARGEST       1e9
#define UTILIZATION_LARGEST 100.0

typedef enum meaning { LOAD, CAPACITY, UTILIZATION } meaning;

static const struct {
  const char *name;
  meaning what;
} known[] = {{"in_flight", LOAD},
             {"rif", LOAD},
             {"requests_in_flight", LOAD},
             {"active_requests", LOAD},
             {"capacity", CAPACITY},
             {"concurrency", CAPACITY},
             {"max_concurrency", CAPACITY},
             {"application_utilization", UTILIZATION}, /* of these the first counts that is there */
             {"utilization", UTILIZATION},
             {"cpu_utilization", UTILIZATION},
             {"cpu", UTILIZATION}};

typedef struct reader {
  const char *at, *end;
  neap_report *out;
  size_t utilization_rank; /* in `known`, of the one that was taken */
  bool any;
} reader;

static void take(reader *r, neap_view name, double number) {
  size_t i = 0;
  while (i < NEAP_COUNT_OF(known) && !neap_view_is(name, known[i].name)) i++;
  if (i == NEAP_COUNT_OF(known) || !(number >= 0)) return;
  switch (known[i].what) {
  case LOAD: r->out->load = (int32_t)NEAP_MIN(number, COUNT_LARGEST); break;
  case CAPACITY: r->out->capacity = (int32_t)NEAP_MIN(number, COUNT_LARGEST); break;
  case UTILIZATION:
    if (i > r->utilization_rank) return;
    r->utilization_rank = i;
    r->out->utilization = NEAP_MIN(number, UTILIZATION_LARGEST);
  }
  r->any = true;
}

/* --- characters */

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static void skip_space(reader *r) {
  while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\r' || *r->at == '\n')) r->at++;
}

static bool skip(reader *r, char c) {
  skip_space(r);
  if (r->at == r->end || *r->at != c) return false;
  r->at++;
  return true;
}

/* A decimal number, whatever the locale; digits beyond what a double holds change nothing much. */
static bool read_number(reader *r, double *out) {
  double number = 0, scale = 1;
  bool negative = r->at < r->end && *r->at == '-', digits = false;
  r->at += negative;
  for (; r->at < r->end && is_digit(*r->at); r->at++, digits = true) number = number * 10 + (*r->at - '0');
  if (r->at < r->end && *r->at == '.')
    for (r->at++; r->at < r->end && is_digit(*r->at); r->at++, digits = true)
      number += (*r->at - '0') * (scale /= 10);
  if (!digits) return false;
  if (r->at < r->end && (*r->at | 32) == 'e') {
    r->at++;
    bool down = r->at < r->end && *r->at == '-';
    if (r->at < r->end && (*r->at == '-' || *r->at == '+')) r->at++;
    int power = 0;
    for (digits = false; r->at < r->end && is_digit(*r->at); r->at++, digits = true)
      power = NEAP_MIN(power * 10 + (*r->at - '0'), 400);
    if (!digits) return false;
    while (power-- > 0) number = down ? number / 10 : number * 10;
  }
  *out = negative ? -number : number;
  return true;
}

/* --- JSON */

/* A string, its escapes left as they are: no known name has any. */
static bool read_string(reader *r, neap_view *out) {
  if (!skip(r, '"')) return false;
  const char *from = r->at;
  for (; r->at < r->end && *r->at != '"'; r->at++)
    if (*r->at == '\\' && ++r->at == r->end) return false;
  if (r->at == r->end) return false;
  *out = (neap_view){from, (size_t)(r->at++ - from)};
  return true;
}

static bool read_value(reader *r, neap_view name, int depth);

static bool read_object(reader *r, int depth) {
  if (skip(r, '}')) return true;
  do {
    neap_view name;
    if (!read_string(r, &name) || !skip(r, ':') || !read_value(r, name, depth + 1)) return false;
  } while (skip(r, ','));
  return skip(r, '}');
}

static bool read_list(reader *r, int depth) {
  if (skip(r, ']')) return true;
  do
    if (!read_value(r, neap_view_of(""), depth + 1)) return false;
  while (skip(r, ','));
  return skip(r, ']');
}

static bool read_word(reader *r) {
  const char *from = r->at;
  while (r->at < r->end && *r->at >= 'a' && *r->at <= 'z') r->at++;
  return r->at > from;
}

static bool read_value(reader *r, neap_view name, int depth) {
  double number;
  neap_view text;
  skip_space(r);
  if (r->at == r->end || depth > DEPTH_MAX) return false;
  switch (*r->at) {
  case '{': r->at++; return read_object(r, depth);
  case '[': r->at++; return read_list(r, depth);
  case '"': return read_string(r, &text);
  case 't':
  case 'f':
  case 'n': return read_word(r);
  default:
    if (!read_number(r, &number)) return false;
    if (depth <= KNOWN_DEPTH) take(r, name, number);
    return true;
  }
}

/* --- name=number,name=number */

static void read_pairs(reader *r) {
  do {
    skip_space(r);
    const char *from = r->at;
    while (r->at < r->end && *r->at != '=' && *r->at != ',') {
      if (*r->at == '.') from = r->at + 1; /* named_metrics.in_flight */
      r->at++;
    }
    neap_view name = {from, (size_t)(r->at - from)};
    double number;
    if (!skip(r, '=')) continue;
    skip_space(r);
    if (!read_number(r, &number)) return;
    take(r, name, number);
  } while (skip(r, ','));
}

static bool skip_kind(reader *r, const char *word) {
  size_t size = strlen(word);
  if ((size_t)(r->end - r->at) <= size || r->at[size] != ' ' || strncasecmp(r->at, word, size) != 0)
    return false;
  r->at += size;
  return true;
}

bool neap_report_parse(neap_view text, neap_report *out) {
  neap_report report = {.load = -1, .utilization = -1};
  reader r = {.at = text.ptr, .end = text.ptr + text.size, .out = &report};
  r.utilization_rank = NEAP_COUNT_OF(known);
  skip_space(&r);
  if (skip_kind(&r, "JSON") || (r.at < r.end && *r.at == '{'))
    read_value(&r, neap_view_of(""), 0);
  else if (skip_kind(&r, "TEXT") || r.at < r.end)
    read_pairs(&r);
  if (r.any) *out = report;
  return r.any;
}

bool neap_report_is_field(neap_view name) {
  static const char *const names[] = {"endpoint-load-metrics", "endpoint-load-metrics-json"};
  for (int i = 0; i < 2; i++)
    if (name.size == strlen(names[i]) && strncasecmp(name.ptr, names[i], name.size) == 0) return true;
  return false;
}
