/* neap simulate balance: which balance policy would be best here? */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "bin/replay_spec.h"
#include "bin/simulate_report.h"
#include "bin/verbs.h"
#include "server/server.h"
#include "sim/sim.h"

enum { OPT_SCENARIO, OPT_POLICY, OPT_REPORTS, OPT_SEED, OPT_SEEDS, OPT_REQUESTS, OPT_FORMAT, OPT_LIST };

static const neap_option options[] = {
    [OPT_SCENARIO] = {"scenario", 's', "FILE|all|S[,S...]",
                      "scenarios to run: a file, all built-in ones (the default), or\n"
                      "some of them by name"},
    [OPT_POLICY] = {"policy", 'p', "P[,P...]",
                    "policies to try, named as in a configuration: p2c, lua:p2c\n"
                    "for its twin in Lua, or a Lua file; parameters in\n"
                    "parentheses: 'estimated_wait(concurrency=2)';\n"
                    "all native ones by default"},
    [OPT_REPORTS] = {"reports", 'r', "on|off", "whether backends report their load, and answer probes (on)"},
    [OPT_SEED] = {"seed", 0, "N", "of all random numbers: the same seed gives the same bytes (1)"},
    [OPT_SEEDS] = {"seeds", 'n', "N", "runs with N seeds, counted up from --seed; their mean is shown (2)"},
    [OPT_REQUESTS] = {"requests", 0, "N", "of each run, instead of what the scenario says"},
    [OPT_FORMAT] = {"format", 'f', "FORMAT", "text (the default), csv or json"},
    [OPT_LIST] = {"list", 'l', NULL, "print the built-in scenarios, as a file would have them"},
    {0},
};

typedef struct plan {
  const neap_verb *verb;
  neap_policy_specs policies;
  const char *labels[NEAP_SPECS_MAX];
  neap_scenarios scenarios;
  const char *policy_list, *scenario_list;
  bool reports, list, faulty;
  uint64_t seed, seeds, requests;
  const neap_simulate_format *format;
} plan;

/* --- the command line --- */

static bool take_format(plan *p, const neap_args *args) {
  char all[64] = "";
  for (int i = 0; neap_simulate_formats[i]; i++) {
    snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "",
             neap_simulate_formats[i]->name);
    if (strcmp(neap_simulate_formats[i]->name, args->value) != 0) continue;
    p->format = neap_simulate_formats[i];
    return true;
  }
  neap_args_fail(args, "--format: '%s' is unknown, there are %s", args->value, all);
  return false;
}

static bool take_reports(plan *p, const neap_args *args) {
  p->reports = strcmp(args->value, "on") == 0;
  if (p->reports || strcmp(args->value, "off") == 0) return true;
  neap_args_fail(args, "--reports is on or off");
  return false;
}

static bool take_option(plan *p, const neap_args *args, int option) {
  switch (option) {
  case OPT_SCENARIO: p->scenario_list = args->value; return true;
  case OPT_POLICY: p->policy_list = args->value; return true;
  case OPT_REPORTS: return take_reports(p, args);
  case OPT_SEED: return neap_args_number(args, option, 0, UINT64_MAX, &p->seed);
  case OPT_SEEDS: return neap_args_number(args, option, 1, 1000, &p->seeds);
  case OPT_REQUESTS: return neap_args_number(args, option, 100, 100000000, &p->requests);
  case OPT_FORMAT: return take_format(p, args);
  case OPT_LIST: p->list = true; return true;
  default: return false;
  }
}

/* All native balance policies. */
static int add_natives(plan *p, neap_err *err) {
  int rc = 0;
  for (size_t i = 0; rc == 0 && neap_native_policies[i]; i++) {
    if (neap_native_policies[i]->domain != NEAP_BALANCE) continue;
    rc = neap_policy_specs_add(&p->policies, NEAP_BALANCE, neap_native_policies[i]->name, err);
  }
  return rc;
}

/* The exit status, or -1 to go on. */
static int read_plan(plan *p, neap_args *args) {
  for (int option; (option = neap_args_next(args)) != NEAP_ARGS_END;) {
    if (option == NEAP_ARGS_STOP) return args->status;
    if (!take_option(p, args, option)) return NEAP_EXIT_USAGE;
  }
  if (args->operand_count == 0) return neap_args_fail(args, "what is to be simulated? There is: balance");
  if (strcmp(args->operands[0], "balance") != 0)
    return neap_args_fail(args, "'%s' cannot be simulated, did you mean balance?", args->operands[0]);
  if (args->operand_count > 1) return neap_args_fail(args, "unexpected '%s'", args->operands[1]);
  neap_err err;
  int rc = p->policy_list ? neap_policy_specs_add(&p->policies, NEAP_BALANCE, p->policy_list, &err)
                          : add_natives(p, &err);
  if (rc) return neap_args_fail(args, "%s", err.text);
  for (size_t i = 0; i < p->policies.count; i++) p->labels[i] = p->policies.items[i].label;
  if (neap_scenarios_open(p->scenario_list, &p->scenarios, &err) == 0) return -1;
  fprintf(stderr, err.code == NEAP_ENOTFOUND ? "neap simulate: %s\n" : "%s\n", err.text);
  return NEAP_EXIT_FAILED;
}

/* --- the runs --- */

static int run_one(plan *p, neap_engine *engine, const neap_scenario *scenario,
                   const neap_policy_spec *policy, uint64_t requests, uint64_t seeds,
                   neap_balance_result *result) {
  const neap_balance_options o = {.registry = neap_engine_registry(engine),
                                  .host = neap_engine_host(engine),
                                  .policy = policy->name,
                                  .params = policy->params,
                                  .param_count = policy->param_count,
                                  .reports = p->reports,
                                  .requests = requests,
                                  .seed = p->seed,
                                  .seeds = (uint32_t)seeds};
  neap_err err;
  if (neap_balance_run(scenario, &o, result, &err) == 0) return 0;
  return neap_verb_fail(p->verb, "--policy %s: %s", policy->label, err.text);
}

/* Complains about every policy that cannot be used, before the first long run. */
static bool check_policies(plan *p, neap_engine *engine) {
  bool good = true;
  neap_balance_result ignored;
  for (size_t i = 0; i < p->policies.count; i++)
    good = run_one(p, engine, &p->scenarios.items[0], &p->policies.items[i], 1, 1, &ignored) == 0 && good;
  return good;
}

static int run_scenario(plan *p, neap_engine *engine, size_t scenario, neap_balance_result *results) {
  int status = 0;
  for (size_t i = 0; i < p->policies.count && status == 0; i++) {
    const neap_policy_spec *policy = &p->policies.items[i];
    status = run_one(p, engine, &p->scenarios.items[scenario], policy, p->requests, p->seeds, &results[i]);
    if (status || results[i].faults == 0) continue;
    p->faulty = true;
    neap_verb_fail(p->verb, "%s made %llu faults in %s: its figures are partly those of the native fallback",
                   policy->label, (unsigned long long)results[i].faults, p->scenarios.items[scenario].name);
  }
  return status;
}

static int run_plan(plan *p, neap_engine *engine) {
  if (!check_policies(p, engine)) return NEAP_EXIT_FAILED;
  size_t policies = p->policies.count;
  neap_balance_result *results = calloc(p->scenarios.count * policies, sizeof *results);
  if (results == NULL) return neap_verb_fail(p->verb, "out of memory");
  const neap_simulate_figures figures = {&p->scenarios, p->labels, policies, results};
  int status = 0;
  if (p->format->begin) p->format->begin(stdout);
  for (size_t i = 0; i < p->scenarios.count && status == 0; i++) {
    status = run_scenario(p, engine, i, results + i * policies);
    if (status == 0) p->format->scenario(stdout, &figures, i);
  }
  if (status == 0 && p->format->end) p->format->end(stdout, &figures);
  free(results);
  return p->faulty ? NEAP_EXIT_FAILED : status;
}

static void log_line(void *user, neap_log_level level, const char *line) {
  (void)user;
  if (level >= NEAP_LOG_WARN) fprintf(stderr, "%s\n", line);
}

static int run_with_engine(plan *p) {
  neap_host host = {.log = log_line, .seed = 1};
  neap_engine *engine;
  neap_err err;
  if (neap_engine_create(&host, &engine, &err)) return neap_verb_fail(p->verb, "%s", err.text);
  int status = run_plan(p, engine);
  neap_engine_destroy(&engine);
  return status;
}

static int run(neap_args *args) {
  plan p = {.verb = args->verb,
            .scenario_list = "all",
            .reports = true,
            .seed = 1,
            .seeds = 2,
            .format = neap_simulate_formats[0]};
  int status = read_plan(&p, args);
  if (status < 0 && p.list) {
    fputs(neap_scenarios_builtin, stdout);
    status = 0;
  }
  if (status < 0) status = run_with_engine(&p);
  neap_policy_specs_fini(&p.policies);
  neap_scenarios_destroy(&p.scenarios);
  return status;
}

const neap_verb neap_verb_simulate = {
    .name = "simulate",
    .summary = "Runs balance policies before simulated backends, and compares.",
    .operands = "balance",
    .details =
        "The figures are response times; excess is what the balancing adds to a request's own service and\n"
        "round trip. Regret compares a policy with the best of those given. See docs/simulate.md.",
    .options = options,
    .run = run,
};
