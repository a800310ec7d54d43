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

enum {
  OPT_POLICY,
  OPT_SIZE,
  OPT_UNIT,
  OPT_EXACT,
  OPT_THREADS,
  OPT_FORMAT,
  OPT_TIME_UNIT,
  OPT_SEED,
  OPT_PREFETCH,
  OPT_DELAY
};

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
    [OPT_PREFETCH] = {"prefetch", 0, "P[,P...]",
                      "play again with these policies that prefetch and show the gain:\n"
                      "a shipped name or a Lua file, several together with + between\n"
                      "them; default: stride+association"},
    [OPT_DELAY] = {"prefetch-delay", 0, "N", "requests that come while something is prefetched (8)"},
    {0},
};

/* What the command line asks for. */
typedef struct plan {
  const neap_verb *verb;
  neap_policy_specs policies;
  neap_size_specs sizes;
  neap_team_specs teams; /* none: nobody prefetches, and the output is without it */
  bool bytes, exact;
  uint64_t threads, time_ms, seed, delay;
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
  const char *policies, *sizes, *teams;
} lists;

static bool take_list(const char **list, const neap_args *args, int option) {
  const neap_option *named = &args->verb->options[option];
  if (*list) neap_args_fail(args, "--%s is given twice: write %s, with commas", named->name, named->value);
  bool first = *list == NULL;
  *list = args->value;
  return first;
}

static bool take_option(plan *p, lists *l, const neap_args *args, int option) {
  bool ms = false;
  switch (option) {
  case OPT_POLICY: return take_list(&l->policies, args, option);
  case OPT_SIZE: return take_list(&l->sizes, args, option);
  case OPT_UNIT: return take_choice(args, option, "objects", "bytes", &p->bytes);
  case OPT_EXACT: p->exact = true; return true;
  case OPT_THREADS: return neap_args_number(args, option, 1, 256, &p->threads);
  case OPT_FORMAT: return take_format(p, args);
  case OPT_TIME_UNIT:
    if (!take_choice(args, option, "s", "ms", &ms)) return false;
    p->time_ms = ms ? 1 : 1000;
    return true;
  case OPT_PREFETCH: return take_list(&l->teams, args, option);
  case OPT_DELAY: return neap_args_number(args, option, 1, 1000, &p->delay);
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
      neap_size_specs_add(&p->sizes, l.sizes, p->bytes, &err) ||
      (l.teams && neap_team_specs_add(&p->teams, l.teams, &err)))
    return neap_args_fail(args, "%s", err.text);
  if (p->teams.count > 0 && p->threads > 1) return neap_args_fail(args, "--prefetch is played on one thread");
  return -1;
}

/* --- the runs --- */

/* A team as neap_replay_run takes it. */
typedef struct members {
  neap_replay_policy items[NEAP_TEAM_MAX];
} members;

static members members_of(const neap_team_spec *team) {
  members m;
  for (size_t i = 0; i < team->count; i++)
    m.items[i] =
        (neap_replay_policy){team->members[i].name, team->members[i].params, team->members[i].param_count};
  return m;
}

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
      .prefetch_delay = (uint32_t)p->delay,
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
  for (size_t i = 0; i < p->teams.count && good; i++) {
    neap_err err;
    neap_replay_options o = run_options(p, engine, &p->policies.items[0], SOME_SIZE);
    members m = members_of(&p->teams.items[i]);
    o.prefetch = m.items;
    o.prefetch_count = p->teams.items[i].count;
    if (neap_replay_check(&o, &err) == 0) continue;
    neap_verb_fail(p->verb, "--prefetch %s: %s", p->teams.items[i].label, err.text);
    good = false;
  }
  return good;
}

static uint64_t faults_of(const neap_policy_counters *c) {
  return c->faults_error + c->faults_fuel + c->faults_memory + c->faults_answer;
}

static void warn_of_faults(plan *p, const neap_replay_row *row) {
  uint64_t faults = faults_of(&row->result.policy), prefetch = faults_of(&row->result.prefetch_policy);
  p->faulty = p->faulty || faults > 0 || prefetch > 0;
  if (faults > 0)
    neap_verb_fail(p->verb, "%s made %llu faults: its figures are partly those of the native fallback",
                   row->policy, (unsigned long long)faults);
  if (prefetch > 0)
    neap_verb_fail(p->verb, "%s made %llu faults: then nothing was prefetched", row->prefetch,
                   (unsigned long long)prefetch);
}

/* One run, of which `row` says all but the result. */
static int run_row(plan *p, neap_engine *engine, neap_tape *tape, const neap_policy_spec *policy,
                   const neap_team_spec *team, neap_replay_row *row, neap_err *err) {
  neap_replay_options o = run_options(p, engine, policy, row->size);
  members m;
  if (team) {
    m = members_of(team);
    o.prefetch = m.items;
    o.prefetch_count = team->count;
  }
  neap_progress progress;
  neap_progress_begin(&progress, o.host, row->trace, row->policy, row->size,
                      neap_tape_facts_get(tape)->requests);
  o.progress = neap_progress_show;
  o.user = &progress;
  int rc = neap_replay_run(tape, &o, &row->result, err);
  neap_progress_end(&progress);
  if (rc == 0) warn_of_faults(p, row);
  return rc;
}

/* One policy at one size: without prefetching, then with each team. */
static int run_policy(plan *p, neap_engine *engine, neap_tape *tape, const neap_policy_spec *policy,
                      const neap_replay_row *form, neap_replay_row *rows, neap_err *err) {
  int rc = 0;
  for (size_t i = 0; i <= p->teams.count && rc == 0; i++) {
    const neap_team_spec *team = i > 0 ? &p->teams.items[i - 1] : NULL;
    rows[i] = *form;
    rows[i].policy = policy->label;
    if (p->teams.count > 0) rows[i].prefetch = team ? team->label : "none";
    rows[i].base = &rows[0].result;
    rc = run_row(p, engine, tape, policy, team, &rows[i], err);
  }
  return rc;
}

/* All policies at one size. */
static int run_size(plan *p, neap_engine *engine, const char *path, neap_tape *tape,
                    const neap_size_spec *spec, neap_err *err) {
  const neap_tape_facts *facts = neap_tape_facts_get(tape);
  size_t each = p->teams.count + 1, count = p->policies.count * each;
  neap_replay_row form = {.trace = path, .size_label = spec->label, .bytes = p->bytes};
  neap_err why;
  int rc =
      neap_size_spec_resolve(spec, p->bytes ? facts->unique_bytes : facts->unique_keys, &form.size, &why);
  if (rc) return neap_fail(err, rc, "%s: error: %s", path, why.text);
  neap_replay_row *rows = calloc(count, sizeof *rows);
  if (rows == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  for (size_t i = 0; i < p->policies.count && rc == 0; i++)
    rc = run_policy(p, engine, tape, &p->policies.items[i], &form, &rows[i * each], err);
  if (rc == 0) p->format->rows(stdout, rows, count, p->rows);
  p->rows += count;
  free(rows);
  return rc;
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
  if (p->format->begin) p->format->begin(stdout, p->teams.count > 0);
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
  plan p = {.verb = args->verb,
            .threads = 1,
            .time_ms = 1000,
            .seed = 1,
            .delay = 8,
            .format = neap_replay_formats[0]};
  int status = read_plan(&p, args);
  if (status < 0) status = run_with_engine(&p, args);
  neap_policy_specs_fini(&p.policies);
  neap_size_specs_fini(&p.sizes);
  neap_team_specs_fini(&p.teams);
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
