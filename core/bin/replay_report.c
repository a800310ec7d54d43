#include "bin/replay_report.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/base.h"

double neap_replay_miss_ratio(const neap_replay_result *result) {
  return (double)result->misses / (double)result->requests;
}

double neap_replay_byte_miss_ratio(const neap_replay_result *result) {
  return (double)result->missed_bytes / (double)result->bytes;
}

double neap_replay_gain(const neap_replay_row *row) {
  return 100 * (neap_replay_miss_ratio(row->base) - neap_replay_miss_ratio(&row->result));
}

static double ns_per_request(const neap_replay_result *result) {
  return (double)result->elapsed_ns / (double)result->requests;
}

static const char *unit_of(const neap_replay_row *row) {
  return row->bytes ? "bytes" : "objects";
}

/* --- csv --- */

static void csv_begin(FILE *out, bool prefetch) {
  fputs("trace,policy,unit,size,requests,misses,miss_ratio,byte_miss_ratio,ns_per_request", out);
  fputs(prefetch ? ",prefetch,gain,issued,used,late,wasted,suppressed\n" : "\n", out);
}

/* A field, quoted where it has to be (RFC 4180). */
static void csv_field(FILE *out, const char *text) {
  if (text[strcspn(text, ",\"\r\n")] == '\0') {
    fputs(text, out);
    return;
  }
  fputc('"', out);
  for (; *text; text++) fprintf(out, *text == '"' ? "\"\"" : "%c", *text);
  fputc('"', out);
}

static void csv_prefetch(FILE *out, const neap_replay_row *row) {
  const neap_prefetch_counters *c = &row->result.prefetch;
  fputc(',', out);
  csv_field(out, row->prefetch);
  fprintf(out, ",%.4f,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64, neap_replay_gain(row),
          c->issued, c->used, c->late, c->wasted, c->suppressed);
}

static void csv_rows(FILE *out, const neap_replay_row *rows, size_t count, size_t before) {
  (void)before;
  for (const neap_replay_row *row = rows; row < rows + count; row++) {
    csv_field(out, row->trace);
    fputc(',', out);
    csv_field(out, row->policy);
    fprintf(out, ",%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%.6f,%.6f,%.1f", unit_of(row), row->size,
            row->result.requests, row->result.misses, neap_replay_miss_ratio(&row->result),
            neap_replay_byte_miss_ratio(&row->result), ns_per_request(&row->result));
    if (row->prefetch) csv_prefetch(out, row);
    fputc('\n', out);
  }
  fflush(out);
}

/* --- json: one array of rows; the csv's columns, and how the policy did --- */

static json_t *json_row(const neap_replay_row *row) {
  const neap_replay_result *r = &row->result;
  const neap_policy_counters *p = &r->policy;
  return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I}", "trace",
                   row->trace, "policy", row->policy, "unit", unit_of(row), "size", (json_int_t)row->size,
                   "requests", (json_int_t)r->requests, "misses", (json_int_t)r->misses, "miss_ratio",
                   neap_replay_miss_ratio(r), "byte_miss_ratio", neap_replay_byte_miss_ratio(r),
                   "ns_per_request", ns_per_request(r), "evictions_policy", (json_int_t)r->evictions_policy,
                   "evictions_fallback", (json_int_t)r->evictions_fallback, "events_dropped",
                   (json_int_t)r->events_dropped, "faults",
                   (json_int_t)(p->faults_error + p->faults_fuel + p->faults_memory + p->faults_answer),
                   "trace_aborts", (json_int_t)p->trace_aborts);
}

static json_t *json_prefetch(const neap_replay_row *row) {
  const neap_prefetch_counters *c = &row->result.prefetch;
  return json_pack("{s:s, s:f, s:I, s:I, s:I, s:I, s:I}", "prefetch", row->prefetch, "gain",
                   neap_replay_gain(row), "issued", (json_int_t)c->issued, "used", (json_int_t)c->used,
                   "late", (json_int_t)c->late, "wasted", (json_int_t)c->wasted, "suppressed",
                   (json_int_t)c->suppressed);
}

static void json_begin(FILE *out, bool prefetch) {
  (void)prefetch;
  fputc('[', out);
}

static void json_rows(FILE *out, const neap_replay_row *rows, size_t count, size_t before) {
  for (size_t i = 0; i < count; i++) {
    json_t *row = json_row(&rows[i]);
    if (rows[i].prefetch) json_object_update_new(row, json_prefetch(&rows[i]));
    fputs(before + i == 0 ? "\n" : ",\n", out);
    if (row) json_dumpf(row, out, JSON_REAL_PRECISION(6));
    json_decref(row);
  }
}

static void json_end(FILE *out) {
  fputs("\n]\n", out);
}

/* --- text --- */

/* 1234567 -> "1,234,567". */
typedef struct number_text {
  char text[32];
} number_text;

static number_text grouped(uint64_t value) {
  char digits[24];
  number_text out;
  int count = snprintf(digits, sizeof digits, "%" PRIu64, value), at = 0;
  for (int i = 0; i < count; i++) {
    if (i > 0 && (count - i) % 3 == 0) out.text[at++] = ',';
    out.text[at++] = digits[i];
  }
  out.text[at] = '\0';
  return out;
}

static void text_trace(FILE *out, const char *name, const neap_tape_facts *facts) {
  const char *slash = strrchr(name, '/');
  fprintf(out, "%s: %s requests", slash ? slash + 1 : name, grouped(facts->requests).text);
  if (facts->unique_keys)
    fprintf(out, ", %s unique keys, %s unique bytes", grouped(facts->unique_keys).text,
            grouped(facts->unique_bytes).text);
  fprintf(out, " (%s)\n", facts->format);
  if (facts->skipped) fprintf(out, "%s requests of size 0 left out\n", grouped(facts->skipped).text);
}

static uint64_t fewest_misses(const neap_replay_row *rows, size_t count) {
  uint64_t fewest = UINT64_MAX;
  for (size_t i = 0; i < count; i++) fewest = NEAP_MIN(fewest, rows[i].result.misses);
  return fewest;
}

static int longest_name(const neap_replay_row *rows, size_t count) {
  size_t longest = strlen("policy");
  for (size_t i = 0; i < count; i++) longest = NEAP_MAX(longest, strlen(rows[i].policy));
  return (int)longest;
}

/* Who won: all policies with the fewest misses, unless that is all of them. */
static void text_winner(FILE *out, const neap_replay_row *rows, size_t count, uint64_t fewest) {
  size_t winners = 0;
  for (size_t i = 0; i < count; i++) winners += rows[i].result.misses == fewest;
  if (count == 1) return;
  if (winners == count) {
    fputs("  all alike\n", out);
    return;
  }
  fputs("  fewest misses:", out);
  for (size_t i = 0; i < count; i++)
    if (rows[i].result.misses == fewest)
      fprintf(out, rows[i].prefetch ? " %s (%s)" : " %s", rows[i].policy, rows[i].prefetch);
  fputc('\n', out);
}

static int longest_prefetch(const neap_replay_row *rows, size_t count) {
  size_t longest = strlen("prefetch");
  for (size_t i = 0; i < count; i++) longest = NEAP_MAX(longest, strlen(rows[i].prefetch));
  return (int)longest;
}

static void text_prefetch_head(FILE *out, const neap_replay_row *rows, size_t count) {
  fprintf(out, "  %-*s  %8s  %12s  %12s  %10s  %10s", longest_prefetch(rows, count), "prefetch", "gain",
          "issued", "used", "late", "wasted");
}

/* The gain in points of the hit ratio. */
static void text_prefetch(FILE *out, const neap_replay_row *row, const neap_replay_row *rows, size_t count) {
  const neap_prefetch_counters *c = &row->result.prefetch;
  fprintf(out, "  %-*s  %+8.3f  %12s  %12s  %10s  %10s", longest_prefetch(rows, count), row->prefetch,
          neap_replay_gain(row), grouped(c->issued).text, grouped(c->used).text, grouped(c->late).text,
          grouped(c->wasted).text);
}

static void text_rows(FILE *out, const neap_replay_row *rows, size_t count, size_t before) {
  (void)before;
  int width = longest_name(rows, count);
  uint64_t fewest = fewest_misses(rows, count);
  fprintf(out, "\n%s %s", grouped(rows[0].size).text, unit_of(&rows[0]));
  if (strchr(rows[0].size_label, '%')) fprintf(out, " (%s)", rows[0].size_label);
  fprintf(out, "\n  %-*s  %10s  %10s  %14s  %10s", width, "policy", "miss ratio", "of bytes", "misses",
          "ns/request");
  if (rows[0].prefetch) text_prefetch_head(out, rows, count);
  fputc('\n', out);
  for (size_t i = 0; i < count; i++) {
    const neap_replay_result *r = &rows[i].result;
    fprintf(out, "%c %-*s  %10.6f  %10.6f  %14s  %10.1f", count > 1 && r->misses == fewest ? '*' : ' ', width,
            rows[i].policy, neap_replay_miss_ratio(r), neap_replay_byte_miss_ratio(r),
            grouped(r->misses).text, ns_per_request(r));
    if (rows[i].prefetch) text_prefetch(out, &rows[i], rows, count);
    fputc('\n', out);
  }
  text_winner(out, rows, count, fewest);
  fflush(out);
}

/* --- the formats --- */

static const neap_replay_format text = {.name = "text", .trace = text_trace, .rows = text_rows};
static const neap_replay_format csv = {.name = "csv", .begin = csv_begin, .rows = csv_rows};
static const neap_replay_format json = {
    .name = "json", .begin = json_begin, .rows = json_rows, .end = json_end};

const neap_replay_format *const neap_replay_formats[] = {&text, &csv, &json, NULL};
