/* How `neap simulate` shows what it found: tables for people, csv, or JSON; and regret, which compares
 * policies over all scenarios. */
#ifndef NEAP_BIN_SIMULATE_REPORT_H
#define NEAP_BIN_SIMULATE_REPORT_H

#include <stdio.h>

#include "sim/sim.h"

/* The figures of all scenarios and policies: item [scenario * policy_count + policy]. */
typedef struct neap_simulate_figures {
  const neap_scenarios *scenarios;
  const char *const *policies; /* as given */
  size_t policy_count;
  const neap_balance_result *results;
} neap_simulate_figures;

/* A format. `scenario` is called when the policies of one have been run, `end` after the last. All but
 * `scenario` may be NULL. */
typedef struct neap_simulate_format {
  const char *name;
  void (*begin)(FILE *out);
  void (*scenario)(FILE *out, const neap_simulate_figures *figures, size_t scenario);
  void (*end)(FILE *out, const neap_simulate_figures *figures);
} neap_simulate_format;

/* The formats, ended by NULL; the first is the default. */
extern const neap_simulate_format *const neap_simulate_formats[];

/* (excess p99 + 2 ms) / (that of the scenario's best policy + 2 ms). Excess below 0 counts as 0. */
double neap_simulate_regret(const neap_simulate_figures *figures, size_t scenario, size_t policy);
/* Whether it is one of those that regret is counted over: those without errors. */
bool neap_simulate_counts(const neap_scenario *scenario);

typedef struct neap_simulate_regrets {
  double mean, worst; /* geometric mean */
  size_t worst_scenario, count;
} neap_simulate_regrets;
neap_simulate_regrets neap_simulate_regrets_of(const neap_simulate_figures *figures, size_t policy);

#endif
