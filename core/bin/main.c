/* The `neap` program: one verb per task. The table below is the whole of it. */
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/nearest.h"
#include "bin/verb_ctl.h"
#include "bin/verbs.h"

static int run_version(neap_args *args);
static int run_help(neap_args *args);

static const neap_verb verb_version = {
    .name = "version", .summary = "Prints the version.", .operands = "", .run = run_version};
static const neap_verb verb_help = {
    .name = "help", .summary = "Explains a verb.", .operands = "[VERB]", .run = run_help};

static const neap_verb *const verbs[] = {
    &neap_verb_check,    &verb_help,     &neap_verb_proxy,  &neap_verb_replay, &neap_verb_run,
    &neap_verb_simulate, &neap_verb_top, &neap_verb_verify, &verb_version,
};

/* Those of the table and those that a running gateway is asked, as one sequence. False: there are no more. */
static bool verb_at(size_t index, neap_verb *out) {
  if (index >= NEAP_COUNT_OF(verbs)) return neap_verb_ctl_at(index - NEAP_COUNT_OF(verbs), out);
  *out = *verbs[index];
  return true;
}

static bool find_verb(const char *name, neap_verb *out) {
  for (size_t i = 0; verb_at(i, out); i++)
    if (strcmp(out->name, name) == 0) return true;
  return false;
}

static void print_overview(FILE *out) {
  fputs("usage: neap VERB [OPTION...]\n\n", out);
  neap_verb verb;
  for (size_t i = 0; verb_at(i, &verb); i++) {
    if (i == NEAP_COUNT_OF(verbs)) fputs("\nof a running gateway:\n\n", out);
    fprintf(out, "  %-10s %s\n", verb.name, verb.summary);
  }
  fputs("\n'neap help VERB' explains one of them.\n", out);
}

static int unknown_verb(const char *name) {
  neap_nearest nearest;
  neap_nearest_init(&nearest, name);
  neap_verb verb;
  for (size_t i = 0; verb_at(i, &verb); i++) neap_nearest_offer(&nearest, verb.name);
  if (nearest.name)
    fprintf(stderr, "neap: unknown verb '%s', did you mean '%s'? (see: neap help)\n", name, nearest.name);
  else
    fprintf(stderr, "neap: unknown verb '%s' (see: neap help)\n", name);
  return NEAP_EXIT_USAGE;
}

/* Takes the operands of a verb that has no options of its own. False: the program ends with args->status. */
static bool plain_operands(neap_args *args, int most) {
  if (neap_args_next(args) == NEAP_ARGS_STOP) return false;
  if (args->operand_count <= most) return true;
  args->status = neap_args_fail(args, "unexpected '%s'", args->operands[most]);
  return false;
}

static int run_version(neap_args *args) {
  if (!plain_operands(args, 0)) return args->status;
  printf("neap %s\n", neap_version());
  return 0;
}

static int run_help(neap_args *args) {
  if (!plain_operands(args, 1)) return args->status;
  if (args->operand_count == 0) {
    print_overview(stdout);
    return 0;
  }
  neap_verb verb;
  if (!find_verb(args->operands[0], &verb)) return unknown_verb(args->operands[0]);
  neap_verb_help(&verb, stdout);
  return 0;
}

/* Written out and ended well: a full disk or a closed pipe under our output is a failure. */
static int finish(int status) {
  if (fflush(stdout) == 0 && !ferror(stdout)) return status;
  if (status == 0) perror("neap: writing the output");
  return status ? status : NEAP_EXIT_FAILED;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    print_overview(stderr);
    return NEAP_EXIT_USAGE;
  }
  const char *name = argv[1];
  if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0) name = "help";
  if (strcmp(name, "-v") == 0 || strcmp(name, "-V") == 0 || strcmp(name, "--version") == 0) name = "version";
  neap_verb verb;
  if (!find_verb(name, &verb)) return unknown_verb(name);
  neap_args args;
  neap_args_init(&args, &verb, argc - 2, (const char **)argv + 2);
  return finish(verb.run(&args));
}
