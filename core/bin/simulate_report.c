#include "bin/simulate_report.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/base.h"

/* --- regret --- */

static const neap_balance_result *result_of(const neap_simulate_figures *figures, size_t scenario,
                                            size_t policy) {
  return &figures->results[scenario * figures->policy_count + policy];
}

static double padded(const neap_balance_result *result) {
  const double floor_ms = 2; /* nobody feels what is below */
  return NEAP_MAX(result->excess_p99_ms, 0) + floor_ms;
}

double neap_simulate_regret(const neap_simulate_figures *figures, size_t scenario, size_t policy) {
  double best = INFINITY;
  for (size_t i = 0; i < figures->policy_count; i++)
    best = NEAP_MIN(best, padded(result_of(figures, scenario, i)));
  return padded(result_of(figures, scenario, policy)) / best;
}

bool neap_simulate_counts(const neap_scenario *scenario) {
  return scenario->errors.count == 0;
}

neap_simulate_regrets neap_simulate_regrets_of(const neap_simulate_figures *figures, size_t policy) {
  neap_simulate_regrets out = {0};
  double logs = 0;
  for (size_t i = 0; i < figures->scenarios->count; i++) {
    if (!neap_simulate_counts(&figures->scenarios->items[i])) continue;
    double regret = neap_simulate_regret(figures, i, policy);
    logs += log(regret);
    out.count++;
    if (regret > out.worst) {
      out.worst = regret;
      out.worst_scenario = i;
    }
  }
  out.mean = out.count ? exp(logs / (double)out.count) : 0;
  return out;
}

/* --- csv --- */

static void csv_begin(FILE *out) {
  fputs("scenario,policy,mean_ms,p50_ms,p99_ms,p999_ms,excess_mean_ms,excess_p99_ms,spread,failed,odd_share,"
        "probes,regret\n",
        out);
}

static void csv_scenario(FILE *out, const neap_simulate_figures *figures, size_t scenario) {
  for (size_t i = 0; i < figures->policy_count; i++) {
    const neap_balance_result *r = result_of(figures, scenario, i);
    bool quoted = strpbrk(figures->policies[i], ",\"") != NULL;
    fprintf(out, quoted ? "%s,\"%s\"" : "%s,%s", figures->scenarios->items[scenario].name,
            figures->policies[i]);
    fprintf(out, ",%.4f,%.4f,%.4f,%.4f,%.4f,%.4f,%.4f,%" PRIu64 ",%.6f,%.4f,%.4f\n", r->mean_ms, r->p50_ms,
            r->p99_ms, r->p999_ms, r->excess_mean_ms, r->excess_p99_ms, r->spread, r->failed, r->odd_share,
            r->probes, neap_simulate_regret(figures, scenario, i));
  }
  fflush(out);
}

/* --- json: {"runs": [...], "regret": [...]} --- */

static void json_begin(FILE *out) {
  fputs("{\"runs\": [", out);
}

static void json_scenario(FILE *out, const neap_simulate_figures *figures, size_t scenario) {
  for (size_t i = 0; i < figures->policy_count; i++) {
    const neap_balance_result *r = result_of(figures, scenario, i);
    json_t *row = json_pack(
        "{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:f, s:f, s:f}", "scenario",
        figures->scenarios->items[scenario].name, "policy", figures->policies[i], "mean_ms", r->mean_ms,
        "p50_ms", r->p50_ms, "p99_ms", r->p99_ms, "p999_ms", r->p999_ms, "excess_mean_ms", r->excess_mean_ms,
        "excess_p99_ms", r->excess_p99_ms, "spread", r->spread, "failed", (json_int_t)r->failed, "odd_share",
        r->odd_share, "probes", r->probes, "regret", neap_simulate_regret(figures, scenario, i));
    fputs(scenario + i == 0 ? "\n" : ",\n", out);
    if (row) json_dumpf(row, out, JSON_REAL_PRECISION(6));
    json_decref(row);
  }
}

static void json_end(FILE *out, const neap_simulate_figures *figures) {
  fputs("\n], \"regret\": [", out);
  for (size_t i = 0; i < figures->policy_count; i++) {
    neap_simulate_regrets r = neap_simulate_regrets_of(figures, i);
    json_t *row = json_pack(
        "{s:s, s:f, s:f, s:s, s:I}", "policy", figures->policies[i], "mean", r.mean, "worst", r.worst,
        "worst_scenario", figures->scenarios->items[r.worst_scenario].name, "scenarios", (json_int_t)r.count);
    fputs(i == 0 ? "\n" : ",\n", out);
    if (row) json_dumpf(row, out, JSON_REAL_PRECISION(6));
    json_decref(row);
  }
  fputs("\n]}\n", out);
}

/* --- text --- */

static int width_of(const neap_simulate_figures *figures) {
  size_t longest = strlen("policy");
  for (size_t i = 0; i < figures->policy_count; i++)
    longest = NEAP_MAX(longest, strlen(figures->policies[i]));
  return (int)longest;
}

static void text_scenario(FILE *out, const neap_simulate_figures *figures, size_t scenario) {
  const neap_scenario *s = &figures->scenarios->items[scenario];
  int width = width_of(figures);
  fprintf(out, "%s%s%s%s\n  %-*s %9s %9s %9s %9s %10s %7s %7s %7s\n", s->name, *s->about ? ": " : "",
          s->about, s->errors.count ? " (failed: of all requests)" : "", width, "policy", "mean ms", "p50",
          "p99", "p99.9", "excess p99", "spread", "probes", s->errors.count ? "failed" : "regret");
  for (size_t i = 0; i < figures->policy_count; i++) {
    const neap_balance_result *r = result_of(figures, scenario, i);
    fprintf(out, "  %-*s %9.2f %9.2f %9.2f %9.2f %10.2f %7.2f %7.2f ", width, figures->policies[i],
            r->mean_ms, r->p50_ms, r->p99_ms, r->p999_ms, r->excess_p99_ms, r->spread, r->probes);
    if (s->errors.count)
      fprintf(out, "%7" PRIu64 "\n", r->failed);
    else
      fprintf(out, "%7.2f\n", neap_simulate_regret(figures, scenario, i));
  }
  fputc('\n', out);
  fflush(out);
}

static void text_end(FILE *out, const neap_simulate_figures *figures) {
  if (figures->policy_count < 2 || neap_simulate_regrets_of(figures, 0).count < 2) return;
  int width = width_of(figures);
  fprintf(out, "regret: (excess p99 + 2 ms) / (that of the scenario's best policy + 2 ms)\n  %-*s %7s %7s\n",
          width, "policy", "mean", "worst");
  for (size_t i = 0; i < figures->policy_count; i++) {
    neap_simulate_regrets r = neap_simulate_regrets_of(figures, i);
    fprintf(out, "  %-*s %7.2f %7.2f in %s\n", width, figures->policies[i], r.mean, r.worst,
            figures->scenarios->items[r.worst_scenario].name);
  }
}

/* --- the formats --- */

static const neap_simulate_format text = {.name = "text", .scenario = text_scenario, .end = text_end};
static const neap_simulate_format csv = {.name = "csv", .begin = csv_begin, .scenario = csv_scenario};
static const neap_simulate_format json = {
    .name = "json", .begin = json_begin, .scenario = json_scenario, .end = json_end};

const neap_simulate_format *const neap_simulate_formats[] = {&text, &csv, &json, NULL};
