/* neap verify: does this history keep what was promised? */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/decimal.h"
#include "bin/verbs.h"
#include "bin/verify_report.h"

enum { OPT_CHECK, OPT_STALENESS, OPT_ANY_START, OPT_STEPS, OPT_MEMORY, OPT_FINDINGS, OPT_FORMAT };

static const neap_option options[] = {
    [OPT_CHECK] = {"check", 'c', "C[,C...]",
                   "what to check: linearizable, monotonic-reads, read-your-writes,\n"
                   "monotonic-writes, staleness; all by default, staleness where a\n"
                   "bound is given"},
    [OPT_STALENESS] = {"staleness", 's', "TIME", "the bound of staleness: 3s, 50ms, 20us, 100ns"},
    [OPT_ANY_START] = {"any-start", 'a', NULL, "keys may have any value at first; otherwise they have none"},
    [OPT_STEPS] = {"steps", 0, "N", "of the search, per key, until it says unknown (20000000)"},
    [OPT_MEMORY] = {"memory", 0, "SIZE", "for what the search remembers, as well (256MB)"},
    [OPT_FINDINGS] = {"findings", 'n', "N", "shown of each check (8)"},
    [OPT_FORMAT] = {"format", 'f', "FORMAT", "text (the default) or json"},
    {0},
};

typedef struct plan {
  neap_verify_options verify;
  bool chosen, bounded; /* --check, --staleness were given */
  const neap_verify_format *format;
} plan;

/* --- the command line --- */

static bool take_check(plan *p, const neap_args *args, neap_view name) {
  for (int check = 0; check < NEAP_CHECK_COUNT; check++)
    if (neap_view_is(name, neap_check_options[check])) {
      p->verify.checks |= 1u << check;
      return true;
    }
  neap_args_fail(args, "--check: '%.*s' is unknown", (int)name.size, name.ptr);
  return false;
}

static bool take_checks(plan *p, const neap_args *args) {
  if (!p->chosen) p->verify.checks = 0;
  p->chosen = true;
  for (const char *at = args->value;; at++) {
    size_t size = strcspn(at, ",");
    if (!take_check(p, args, (neap_view){at, size})) return false;
    at += size;
    if (*at == 0) return true;
  }
}

/* Bare numbers are seconds. */
static bool take_staleness(plan *p, const neap_args *args) {
  static const struct {
    const char *unit;
    double ns;
  } units[] = {{"", 1e9}, {"s", 1e9}, {"ms", 1e6}, {"us", 1e3}, {"ns", 1}};
  double value;
  const char *unit = neap_decimal_read(args->value, &value);
  for (size_t i = 0; unit && i < NEAP_COUNT_OF(units); i++) {
    if (strcmp(unit, units[i].unit) != 0 || value * units[i].ns >= 0x1p63) continue;
    p->verify.staleness_ns = (uint64_t)(value * units[i].ns);
    return p->bounded = true;
  }
  neap_args_fail(args, "--staleness: '%s' is no time (such as 50ms)", args->value);
  return false;
}

static bool take_memory(plan *p, const neap_args *args) {
  if (neap_parse_bytes(args->value, &p->verify.memory) && p->verify.memory >= 1 << 20) return true;
  neap_args_fail(args, "--memory: '%s' is no size from 1MB on", args->value);
  return false;
}

static bool take_findings(plan *p, const neap_args *args) {
  uint64_t findings;
  if (!neap_args_number(args, OPT_FINDINGS, 1, 1000, &findings)) return false;
  p->verify.findings = (uint32_t)findings;
  return true;
}

static bool take_format(plan *p, const neap_args *args) {
  for (int i = 0; neap_verify_formats[i]; i++) {
    if (strcmp(neap_verify_formats[i]->name, args->value) != 0) continue;
    p->format = neap_verify_formats[i];
    return true;
  }
  neap_args_fail(args, "--format: '%s' is unknown, there are text, json", args->value);
  return false;
}

static bool take_option(plan *p, const neap_args *args, int option) {
  switch (option) {
  case OPT_CHECK: return take_checks(p, args);
  case OPT_STALENESS: return take_staleness(p, args);
  case OPT_ANY_START: return p->verify.any_start = true;
  case OPT_STEPS: return neap_args_number(args, option, 1, UINT64_MAX, &p->verify.steps);
  case OPT_MEMORY: return take_memory(p, args);
  case OPT_FINDINGS: return take_findings(p, args);
  case OPT_FORMAT: return take_format(p, args);
  default: return false;
  }
}

/* The exit status, or -1 to go on. */
static int read_plan(plan *p, neap_args *args) {
  for (int option; (option = neap_args_next(args)) != NEAP_ARGS_END;) {
    if (option == NEAP_ARGS_STOP) return args->status;
    if (!take_option(p, args, option)) return NEAP_EXIT_USAGE;
  }
  if (args->operand_count == 0) return neap_args_fail(args, "which history?");
  bool staleness = p->verify.checks & 1u << NEAP_CHECK_STALENESS;
  if (p->chosen && staleness && !p->bounded)
    return neap_args_fail(args, "staleness needs a bound: --staleness");
  if (p->bounded) p->verify.checks |= 1u << NEAP_CHECK_STALENESS;
  return -1;
}

/* --- the run --- */

/* Whether all that was checked was shown to hold. */
static bool all_hold(const neap_verify_result *result) {
  for (int check = 0; check < NEAP_CHECK_COUNT; check++)
    if (result->checks[check].verdict > NEAP_VERDICT_HOLDS) return false;
  return true;
}

static int verify_file(const plan *p, const char *file, bool *hold, neap_err *err) {
  neap_history *history;
  if (neap_history_create(&history)) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  neap_verify_result result;
  int rc = neap_history_read(history, file, err);
  if (rc == 0) rc = neap_verify_run(history, &p->verify, &result, err);
  if (rc == 0) {
    const neap_verify_report report = {file, history, &p->verify, &result};
    p->format->print(stdout, &report);
    *hold = all_hold(&result) && *hold;
    neap_verify_result_fini(&result);
  }
  neap_history_destroy(&history);
  return rc;
}

static int run(neap_args *args) {
  plan p = {.verify = neap_verify_options_default, .format = neap_verify_formats[0]};
  int status = read_plan(&p, args);
  if (status >= 0) return status;
  bool hold = true;
  for (int i = 0; i < args->operand_count; i++) {
    neap_err err;
    if (verify_file(&p, args->operands[i], &hold, &err) == 0) continue;
    fprintf(stderr, "%s\n", err.text);
    hold = false;
  }
  return hold ? 0 : NEAP_EXIT_FAILED;
}

const neap_verb neap_verb_verify = {
    .name = "verify",
    .summary = "Checks recorded histories: linearizable? do clients see time go forwards?",
    .operands = "HISTORY...",
    .details =
        "HISTORY is a file of JSON lines, one operation each, plain or zstd-compressed. The exit status\n"
        "is 0 where all that was checked was shown to hold. See docs/consistency.md.",
    .options = options,
    .run = run,
};
