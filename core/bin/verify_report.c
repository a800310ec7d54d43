#include "bin/verify_report.h"

#include <inttypes.h>
#include <jansson.h>

#include "base/base.h"
#include "base/utf8.h"

enum { SHOWN_OPERATIONS = 40 }; /* of one finding, to people */

/* --- text --- */

static void print_time(FILE *out, uint64_t ns) {
  static const struct {
    double ns;
    const char *unit;
  } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}};
  size_t i = 0;
  while (i + 1 < NEAP_COUNT_OF(units) && (double)ns < units[i].ns) i++;
  fprintf(out, "%.4g %s", (double)ns / units[i].ns, units[i].unit);
}

static void print_name(FILE *out, neap_view text) {
  char shown[64];
  size_t size = NEAP_MIN(text.size, sizeof shown - 4);
  memcpy(shown, text.ptr, size);
  strcpy(shown + size, size < text.size ? "..." : "");
  for (size_t i = 0; i < size; i++)
    if (shown[i] == 0) shown[i] = '?';
  neap_text_tame(shown, 0);
  fputs(shown, out);
}

static void print_value(FILE *out, neap_operation_value value) {
  if (!value.known)
    putc('?', out);
  else if (value.text.ptr == NULL)
    fputs("nothing", out);
  else
    print_name(out, value.text);
}

static void print_operation(FILE *out, const neap_verify_report *r, uint32_t index) {
  neap_operation o;
  uint32_t line = neap_history_get(r->history, index, &o);
  fprintf(out, "    line %-6u ", line);
  print_name(out, o.client);
  fprintf(out, " %s ", o.kind == NEAP_OPERATION_GET ? "saw" : neap_operation_kinds[o.kind]);
  if (o.kind == NEAP_OPERATION_CAS) {
    print_value(out, o.expect);
    if (o.expect_version) fprintf(out, " (version %" PRIu64 ")", o.expect_version);
    fputs(" to ", out);
  }
  if (o.kind != NEAP_OPERATION_DELETE) print_value(out, o.value);
  if (o.version) fprintf(out, ", version %" PRIu64, o.version);
  if (o.result != NEAP_RESULT_OK) fprintf(out, ", %s", neap_operation_results[o.result]);
  if (o.result == NEAP_RESULT_UNKNOWN)
    fprintf(out, "  [%" PRIu64 ", ?]\n", o.invoked);
  else
    fprintf(out, "  [%" PRIu64 ", %" PRIu64 "]\n", o.invoked, o.returned);
}

static void print_finding(FILE *out, const neap_verify_report *r, neap_check check,
                          const neap_finding *finding) {
  neap_operation first;
  neap_history_get(r->history, finding->operations[0], &first);
  fputs("  key ", out);
  print_name(out, first.key);
  if (check == NEAP_CHECK_LINEARIZABLE) {
    fprintf(out, ": no order explains %s%u operations\n",
            finding->minimal ? "these " : "(not yet the smallest part) ", finding->count);
  } else if (check == NEAP_CHECK_STALENESS) {
    fputs(": stale by ", out);
    print_time(out, finding->excess_ns);
    putc('\n', out);
  } else {
    fputs(": these two contradict\n", out);
  }
  for (uint32_t i = 0; i < finding->count && i < SHOWN_OPERATIONS; i++)
    print_operation(out, r, finding->operations[i]);
  if (finding->count > SHOWN_OPERATIONS) fprintf(out, "    and %u more\n", finding->count - SHOWN_OPERATIONS);
}

static void print_check(FILE *out, const neap_verify_report *r, neap_check check) {
  const neap_check_result *c = &r->result->checks[check];
  bool keys = check == NEAP_CHECK_LINEARIZABLE;
  const char *unit = keys ? "keys" : check == NEAP_CHECK_MONOTONIC_WRITES ? "writes" : "reads";
  fprintf(out, "%-18s %-8s  %" PRIu64 " %s", neap_check_names[check], neap_verdict_names[c->verdict],
          c->checked, unit);
  if (c->violations) fprintf(out, ", %" PRIu64 " wrong", c->violations);
  if (c->unchecked)
    fprintf(out, ", %" PRIu64 " %s", c->unchecked,
            keys ? "not decided within the limits" : "without a version");
  if (check == NEAP_CHECK_STALENESS) {
    fputs(", worst ", out);
    print_time(out, c->worst_ns);
    fputs(" of ", out);
    print_time(out, r->options->staleness_ns);
  }
  putc('\n', out);
  for (uint32_t i = 0; i < c->finding_count; i++) print_finding(out, r, check, &c->findings[i]);
  if (c->violations > c->finding_count)
    fprintf(out, "  and %" PRIu64 " more\n", c->violations - c->finding_count);
}

static void print_text(FILE *out, const neap_verify_report *r) {
  fprintf(out, "%s: %u operations, %u keys, %u clients\n", r->file, neap_history_count(r->history),
          neap_history_keys(r->history), neap_history_clients(r->history));
  for (neap_check check = 0; check < NEAP_CHECK_COUNT; check++)
    if (r->result->checks[check].verdict != NEAP_VERDICT_SKIPPED) print_check(out, r, check);
}

/* --- json --- */

static json_t *json_text(neap_view text) {
  return json_stringn_nocheck(text.ptr, text.size); /* it was UTF-8 when it was read */
}

static json_t *json_value(neap_operation_value value) {
  return value.text.ptr ? json_text(value.text) : json_null();
}

/* As in the file, with its line. */
static json_t *json_operation(const neap_verify_report *r, uint32_t index) {
  neap_operation o;
  uint32_t line = neap_history_get(r->history, index, &o);
  json_t *json = json_pack("{s:I, s:o, s:s, s:o, s:s, s:I}", "line", (json_int_t)line, "client",
                           json_text(o.client), "op", neap_operation_kinds[o.kind], "key", json_text(o.key),
                           "result", neap_operation_results[o.result], "invoke", (json_int_t)o.invoked);
  if (o.result != NEAP_RESULT_UNKNOWN)
    json_object_set_new(json, "return", json_integer((json_int_t)o.returned));
  if (o.value.known && o.kind != NEAP_OPERATION_DELETE)
    json_object_set_new(json, "value", json_value(o.value));
  if (o.expect.known) json_object_set_new(json, "expect", json_value(o.expect));
  if (o.version) json_object_set_new(json, "version", json_integer((json_int_t)o.version));
  if (o.expect_version)
    json_object_set_new(json, "expect_version", json_integer((json_int_t)o.expect_version));
  if (o.eventual) json_object_set_new(json, "mode", json_string("eventual"));
  return json;
}

static json_t *json_finding(const neap_verify_report *r, neap_check check, const neap_finding *finding) {
  json_t *operations = json_array(), *json = json_object();
  for (uint32_t i = 0; i < finding->count; i++)
    json_array_append_new(operations, json_operation(r, finding->operations[i]));
  json_object_set_new(json, "operations", operations);
  json_object_set_new(json, "minimal", json_boolean(finding->minimal));
  if (check == NEAP_CHECK_STALENESS)
    json_object_set_new(json, "stale_ns", json_integer((json_int_t)finding->excess_ns));
  return json;
}

static json_t *json_check(const neap_verify_report *r, neap_check check) {
  const neap_check_result *c = &r->result->checks[check];
  json_t *findings = json_array();
  for (uint32_t i = 0; i < c->finding_count; i++)
    json_array_append_new(findings, json_finding(r, check, &c->findings[i]));
  json_t *json = json_pack("{s:s, s:s, s:I, s:I, s:I}", "check", neap_check_options[check], "verdict",
                           neap_verdict_names[c->verdict], "checked", (json_int_t)c->checked, "unchecked",
                           (json_int_t)c->unchecked, "violations", (json_int_t)c->violations);
  if (check == NEAP_CHECK_STALENESS) {
    json_object_set_new(json, "worst_ns", json_integer((json_int_t)c->worst_ns));
    json_object_set_new(json, "bound_ns", json_integer((json_int_t)r->options->staleness_ns));
  }
  json_object_set_new(json, "findings", findings);
  return json;
}

static void print_json(FILE *out, const neap_verify_report *r) {
  json_t *checks = json_array();
  for (neap_check check = 0; check < NEAP_CHECK_COUNT; check++)
    if (r->result->checks[check].verdict != NEAP_VERDICT_SKIPPED)
      json_array_append_new(checks, json_check(r, check));
  json_t *json =
      json_pack("{s:s, s:I, s:I, s:I, s:o}", "history", r->file, "operations",
                (json_int_t)neap_history_count(r->history), "keys", (json_int_t)neap_history_keys(r->history),
                "clients", (json_int_t)neap_history_clients(r->history), "checks", checks);
  if (json) json_dumpf(json, out, JSON_INDENT(2));
  putc('\n', out);
  json_decref(json);
}

static const neap_verify_format text_format = {"text", print_text}, json_format = {"json", print_json};
const neap_verify_format *const neap_verify_formats[] = {&text_format, &json_format, NULL};
