/* neap run: the gateway, as a configuration says. */
#include <unistd.h>

#include "bin/serve.h"
#include "bin/verbs.h"

enum { OPT_CONFIG, OPT_WORKERS, OPT_CHECK, WORKERS_MAX = 256 };

static const neap_option options[] = {
    [OPT_CONFIG] = {"config", 'c', "FILE", "the configuration (neap.lua)"},
    [OPT_WORKERS] = {"workers", 'w', "N", "threads that serve (as configured, or one per core)"},
    [OPT_CHECK] = {"check", 't', NULL, "check the configuration with its policies, then end"},
    {0},
};

static int run(neap_args *args) {
  neap_gateway_options gateway = {.name = "neap.lua", .environment = (const char *const *)environ};
  uint64_t workers = 0;
  bool check_only = false;
  for (int option; (option = neap_args_next(args)) != NEAP_ARGS_END;) switch (option) {
    case OPT_CONFIG: gateway.name = args->value; break;
    case OPT_WORKERS:
      if (!neap_args_number(args, option, 1, WORKERS_MAX, &workers)) return NEAP_EXIT_USAGE;
      break;
    case OPT_CHECK: check_only = true; break;
    case NEAP_ARGS_STOP: return args->status;
    }
  if (args->operand_count > 0) return neap_args_fail(args, "unexpected '%s'", args->operands[0]);
  gateway.workers = (uint32_t)workers;
  return neap_serve(args->verb, &gateway, check_only);
}

const neap_verb neap_verb_run = {
    .name = "run",
    .summary = "Serves as a configuration says.",
    .operands = "",
    .details = "Signals: HUP reloads the configuration or refuses it whole, TERM and INT stop within\n"
               "the configured time (a second one: now), QUIT finishes what is under way, USR1\n"
               "opens the logs anew.",
    .options = options,
    .run = run,
};
