/* What --policy and --size of `neap replay` say. */
#ifndef NEAP_BIN_REPLAY_SPEC_H
#define NEAP_BIN_REPLAY_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/sim.h"

enum { NEAP_SPECS_MAX = 64, NEAP_SPEC_PARAMS_MAX = 16 };

/* "sieve", "native:lru", "Custom(mine)", "dir/mine.lua"; any of them with "(param=value;...)" behind it. */
typedef struct neap_policy_spec {
  char *label; /* as given */
  char *name;  /* for the registry: see neap_policy_resolve */
  char *text;  /* that the parameters are cut from */
  neap_param params[NEAP_SPEC_PARAMS_MAX];
  size_t param_count;
} neap_policy_spec;

/* "1000", "64MB", or a percentage of what the trace holds: "0.1%". */
typedef struct neap_size_spec {
  char *label;
  uint64_t count;  /* where `fraction` is 0 */
  double fraction; /* 0.001 for "0.1%" */
} neap_size_spec;

/* Policies that prefetch together: "stride+association". */
enum { NEAP_TEAM_MAX = 8 };
typedef struct neap_team_spec {
  char *label; /* as given */
  neap_policy_spec members[NEAP_TEAM_MAX];
  size_t count;
} neap_team_spec;

typedef struct neap_team_specs {
  neap_team_spec items[NEAP_SPECS_MAX];
  size_t count;
} neap_team_specs;

typedef struct neap_policy_specs {
  neap_policy_spec items[NEAP_SPECS_MAX];
  size_t count;
} neap_policy_specs;

typedef struct neap_size_specs {
  neap_size_spec items[NEAP_SPECS_MAX];
  size_t count;
} neap_size_specs;

/* What the names mean in a configuration they mean here: the domain says whose names they are.
 * Read a list with commas between its items, those inside parentheses aside, and add to `specs`. `err` says
 * what is wrong: NEAP_EINVAL. The texts of the specs are allocated and live as long as the process. */
int neap_policy_specs_add(neap_policy_specs *specs, neap_domain domain, const char *list, neap_err *err);
/* Teams, their members joined by "+"; "default" stands for what ships. */
int neap_team_specs_add(neap_team_specs *specs, const char *list, neap_err *err);
void neap_team_specs_fini(neap_team_specs *specs);
/* `bytes`: units such as KB are understood. */
int neap_size_specs_add(neap_size_specs *specs, const char *list, bool bytes, neap_err *err);

void neap_policy_specs_fini(neap_policy_specs *specs);
void neap_size_specs_fini(neap_size_specs *specs);

/* The size in a trace with so many unique keys, or bytes: truncated, never 0. */
int neap_size_spec_resolve(const neap_size_spec *spec, uint64_t unique, uint64_t *out, neap_err *err);

#endif
