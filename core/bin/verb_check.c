/* neap check: every problem of policy files and configurations, before they go live. */
#include <stdio.h>
#include <string.h>

#include "bin/verbs.h"
#include "server/server.h"

enum { OPT_QUIET };

static const neap_option options[] = {
    [OPT_QUIET] = {"quiet", 'q', NULL, "say what is wrong only, not what it costs"},
    {0},
};

/* Findings are what the program was asked for: they go to standard output. `user`: a bool, no notes. */
static void print_line(void *user, const char *line) {
  const bool *quiet = user;
  if (!*quiet || strstr(line, ": note: ") == NULL) puts(line);
}

static int check_files(const neap_args *args, bool quiet) {
  neap_engine *engine;
  neap_err err;
  if (neap_engine_create(NULL, &engine, &err)) return neap_verb_fail(args->verb, "%s", err.text);
  int status = 0;
  for (int i = 0; i < args->operand_count; i++)
    if (neap_engine_check(engine, args->operands[i], print_line, &quiet)) status = NEAP_EXIT_FAILED;
  neap_engine_destroy(&engine);
  return status;
}

static int run(neap_args *args) {
  bool quiet = false;
  for (int option; (option = neap_args_next(args)) != NEAP_ARGS_END;) {
    if (option == NEAP_ARGS_STOP) return args->status;
    if (option == OPT_QUIET) quiet = true;
  }
  if (args->operand_count == 0) return neap_args_fail(args, "which file?");
  return check_files(args, quiet);
}

const neap_verb neap_verb_check = {
    .name = "check",
    .summary = "Finds every problem of policy files and configurations.",
    .operands = "FILE...",
    .details = "Compiles, validates parameters, runs policies on sample events, and the functions of a\n"
               "configuration on sample requests, with missing and odd fields, and measures. Says every\n"
               "problem as file:line: error: text; warnings, such as a hot function that the compiler\n"
               "gave up on, and costs do not make it fail.",
    .options = options,
    .run = run,
};
