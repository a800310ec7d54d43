/* neap replay: what would these policies have made of this trace? */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "bin/progress.h"
#include "bin/replay_report.h"
#include "bin/replay_spec.h"
#include "bin/verbs.h"
#include "server/server.h"
#include "sim/sim.h"

enum { OPT_POLICY, OPT_SIZE, OPT_UNIT, OPT_EXACT, OPT_THREADS, OPT_FORMAT, OPT_TIME_UNIT, OPT_SEED };

static const neap_option options[] = {
    [OPT_POLICY] = {"policy", 'p', "P[,P...]",
                    "policies to try, named as in a configuration: sieve,\n"
                    "native:sieve for the reference in C, or a Lua file;\n"
                    "parameters in parentheses: 's3fifo(small=0.2;ghost=0.9)'"},
    [OPT_SIZE] = {"size", 's', "S[,S...]",
                  "sizes to try: a number, in bytes with KB, MB, GB (powers of 2),\n"
                  "or a percentage of the trace's unique keys, or bytes: 0.1%"},
    [OPT_UNIT] = {"unit", 'u', "UNIT", "objects: each counts 1 (the default); bytes: as the trace says"},
    [OPT_EXACT] = {"exact", 'e', NULL,
                   "tell the policy each event at once, take one victim at a time:\n"
                   "the textbook's order, slower than a live cache"},
    [OPT_THREADS] = {"threads", 't', "N", "threads that take requests from one counter (1)"},
    [OPT_FORMAT] = {"format", 'f', "FORMAT", "text (the default), csv or json"},
    [OPT_TIME_UNIT] = {"time-unit", 0, "UNIT", "of the trace's times: s (the default) or ms"},
    [OPT_SEED] = {"seed", 0, "N", "of hashes and policies' random numbers (1)"},
    {0},
};

/* What the command line asks for. */
typedef struct plan {
  const neap_verb *verb;
  neap_policy_specs policies;
  neap_size_specs sizes;
  bool bytes, exact;
  uint64_t threads, time_ms, seed;
  const neap_replay_format *format;
  size_t rows; /* printed */
  bool faulty; /* some policy needed the fallback */
} plan;

/* --- the command line --- */

/* The index of args->value among `names`, ended by NULL; -1: has said what is wrong. */
static int choose(const neap_args *args, int option, const char *const *names) {
  for (int i = 0; names[i]; i++)
    if (strcmp(args->value, names[i]) == 0) return i;
  char all[64] = "";
  for (int i = 0; names[i]; i++)
    snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", names[i]);
  neap_args_fail(args, "--%s: '%s' is unknown, there are %s", args->verb->options[option].name, args->value,
                 all);
  return -1;
}

static bool take_format(plan *p, const neap_args *args) {
  const char *names[8] = {0};
  for (int i = 0; neap_replay_formats[i]; i++) names[i] = neap_replay_formats[i]->name;
  int chosen = choose(args, OPT_FORMAT, names);
  if (chosen >= 0) p->format = neap_replay_formats[chosen];
  return chosen >= 0;
}

static bool take_choice(const neap_args *args, int option, const char *first, const char *second,
                        bool *is_second) {
  int chosen = choose(args, option, (const char *const[]){first, second, NULL});
  *is_second = chosen == 1;
  return chosen >= 0;
}

/* Lists are kept until all options are known: the unit says how sizes are read. */
typedef struct lists {
  const char *policies, *sizes;
} lists;

static bool take_option(plan *p, lists *l, const neap_args *args, int option) {
  bool ms = false;
  switch (option) {
  case OPT_POLICY: l->policies = args->value; return true;
  case OPT_SIZE: l->sizes = args->value; return true;
  case OPT_UNIT: return take_choice(args, option, "objects", "bytes", &p->bytes);
  case OPT_EXACT: p->exact = true; return true;
  case OPT_THREADS: return neap_args_number(args, option, 1, 256, &p->threads);
  case OPT_FORMAT: return take_format(p, args);
  case OPT_TIME_UNIT:
    if (!take_choice(args, option, "s", "ms", &ms)) return false;
    p->time_ms = ms ? 1 : 1000;
    return true;
  case OPT_SEED: return neap_args_number(args, option, 1, UINT64_MAX, &p->seed);
  default: return false;
  }
}

/* The exit status, or -1 to go on. */
static int read_plan(plan *p, neap_args *args) {
  lists l = {0};
  for (int option; (option = neap_args_next(args)) != NEAP_ARGS_END;) {
    if (option == NEAP_ARGS_STOP) return args->status;
    if (!take_option(p, &l, args, option)) return NEAP_EXIT_USAGE;
  }
  if (args->operand_count == 0) return neap_args_fail(args, "which trace?");
  if (l.policies == NULL) return neap_args_fail(args, "which policies? --policy lru,sieve");
  if (l.sizes == NULL) return neap_args_fail(args, "which sizes? --size 1%%,10%%");
  neap_err err;
  if (neap_policy_specs_add(&p->policies, NEAP_EVICT, l.policies, &err) ||
      neap_size_specs_add(&p->sizes, l.sizes, p->bytes, &err))
    return neap_args_fail(args, "%s", err.text);
  return -1;
}

/* --- the runs --- */

static neap_replay_options run_options(const plan *p, neap_engine *engine, const neap_policy_spec *policy,
                                       uint64_t size) {
  return (neap_replay_options){
      .registry = neap_engine_registry(engine),
      .host = neap_engine_host(engine),
      .policy = policy->name,
      .params = policy->params,
      .param_count = policy->param_count,
      .size = size,
      .bytes = p->bytes,
      .exact = p->exact,
      .threads = (uint32_t)p->threads,
      .time_ms = (uint32_t)p->time_ms,
  };
}

/* Complains about every trace and policy that cannot be used, before the first long run. */
static bool check_plan(const plan *p, neap_engine *engine, const neap_args *args) {
  enum { SOME_SIZE = 1000 };
  bool good = true;
  for (int i = 0; i < args->operand_count; i++) {
    if (access(args->operands[i], R_OK) == 0) continue;
    fprintf(stderr, "%s: error: cannot open: %s\n", args->operands[i], strerror(errno));
    good = false;
  }
  for (size_t i = 0; i < p->policies.count; i++) {
    neap_err err;
    neap_replay_options o = run_options(p, engine, &p->policies.items[i], SOME_SIZE);
    if (neap_replay_check(&o, &err) == 0) continue;
    neap_verb_fail(p->verb, "--policy %s: %s", p->policies.items[i].label, err.text);
    good = false;
  }
  return good;
}

static void warn_of_faults(plan *p, const neap_replay_row *row) {
  const neap_policy_counters *c = &row->result.policy;
  uint64_t faults = c->faults_error + c->faults_fuel + c->faults_memory + c->faults_answer;
  if (faults == 0) return;
  p->faulty = true;
  neap_verb_fail(p->verb, "%s made %llu faults: its figures are partly those of the native fallback",
                 row->policy, (unsigned long long)faults);
}

/* All policies at one size. */
static int run_size(plan *p, neap_engine *engine, const char *path, neap_tape *tape,
                    const neap_size_spec *spec, neap_err *err) {
  const neap_tape_facts *facts = neap_tape_facts_get(tape);
  neap_replay_row rows[NEAP_SPECS_MAX];
  uint64_t size;
  int rc = neap_size_spec_resolve(spec, p->bytes ? facts->unique_bytes : facts->unique_keys, &size, err);
  for (size_t i = 0; i < p->policies.count && rc == 0; i++) {
    const neap_policy_spec *policy = &p->policies.items[i];
    neap_replay_options o = run_options(p, engine, policy, size);
    neap_progress progress;
    neap_progress_begin(&progress, o.host, path, policy->label, size, facts->requests);
    o.progress = neap_progress_show;
    o.user = &progress;
    rows[i] = (neap_replay_row){
        .trace = path, .policy = policy->label, .size_label = spec->label, .bytes = p->bytes, .size = size};
    rc = neap_replay_run(tape, &o, &rows[i].result, err);
    neap_progress_end(&progress);
    if (rc == 0) warn_of_faults(p, &rows[i]);
  }
  if (rc) return rc;
  p->format->rows(stdout, rows, p->policies.count, p->rows);
  p->rows += p->policies.count;
  return 0;
}

static bool wants_uniques(const plan *p) {
  for (size_t i = 0; i < p->sizes.count; i++)
    if (p->sizes.items[i].fraction > 0) return true;
  return p->format->trace != NULL; /* which shows them */
}

static int run_trace(plan *p, neap_engine *engine, const char *path, neap_err *err) {
  neap_tape *tape;
  int rc = neap_tape_open(path, &(neap_tape_options){.uniques = wants_uniques(p)}, &tape, err);
  if (rc) return rc;
  if (p->format->trace) p->format->trace(stdout, path, neap_tape_facts_get(tape));
  for (size_t i = 0; i < p->sizes.count && rc == 0; i++)
    rc = run_size(p, engine, path, tape, &p->sizes.items[i], err);
  neap_tape_close(&tape);
  return rc;
}

/* A trace that fails is reported, the others are still played. */
static int run_plan(plan *p, neap_engine *engine, const neap_args *args) {
  if (!check_plan(p, engine, args)) return NEAP_EXIT_FAILED;
  int status = 0;
  if (p->format->begin) p->format->begin(stdout);
  for (int i = 0; i < args->operand_count; i++) {
    neap_err err;
    if (run_trace(p, engine, args->operands[i], &err) == 0) continue;
    fprintf(stderr, "%s\n", err.text);
    status = NEAP_EXIT_FAILED;
  }
  if (p->format->end) p->format->end(stdout);
  return p->faulty ? NEAP_EXIT_FAILED : status;
}

static void log_line(void *user, neap_log_level level, const char *line) {
  (void)user;
  if (level >= NEAP_LOG_WARN) fprintf(stderr, "%s\n", line);
}

/* With an engine of its own, whose figures repeat. */
static int run_with_engine(plan *p, const neap_args *args) {
  neap_host host = {.log = log_line, .seed = p->seed};
  neap_engine *engine;
  neap_err err;
  if (neap_engine_create(&host, &engine, &err)) return neap_verb_fail(args->verb, "%s", err.text);
  int status = run_plan(p, engine, args);
  neap_engine_destroy(&engine);
  return status;
}

static int run(neap_args *args) {
  plan p = {.verb = args->verb, .threads = 1, .time_ms = 1000, .seed = 1, .format = neap_replay_formats[0]};
  int status = read_plan(&p, args);
  if (status < 0) status = run_with_engine(&p, args);
  neap_policy_specs_fini(&p.policies);
  neap_size_specs_fini(&p.sizes);
  return status;
}

const neap_verb neap_verb_replay = {
    .name = "replay",
    .summary = "Plays traces through a cache under several policies and sizes, and compares.",
    .operands = "TRACE...",
    .details = "TRACE is csv (time,key,size per line, integers) or libCacheSim's oracleGeneral, plain or\n"
               "zstd-compressed, told by content. Requests of size 0 are left out. See docs/replay.md.",
    .options = options,
    .run = run,
};
