/* A candidate: a generation that is tried beside the one in force, as a shadow or as a canary. At most one at
 * a time. Internal to server/; control thread, but for what says otherwise.
 *
 *   1 wished     in the queue of reloads
 *   2 preparing  on the thread of a reload: loaded, checked, dry-run, a part for every worker. What fails
 * here is refused whole 3 running    the workers have a trial of it (flow/trial.h) 4 ended      stopped,
 * rolled back, promoted or overtaken by a reload: what was found is kept as JSON; the workers let go of the
 * trial, then of its generation, as of any that is retired
 *
 * FILE is a configuration, or a policy that is tried in the place of one: then all else is as in force. */
#ifndef NEAP_SERVER_CANDIDATE_H
#define NEAP_SERVER_CANDIDATE_H

#include "server/gateway.h"
#include "server/shadow_cache.h"

enum { NEAP_CANDIDATE_FILE = 1024, NEAP_CANDIDATE_EXAMPLES = 16 };

typedef enum neap_candidate_kind { NEAP_CANDIDATE_SHADOW, NEAP_CANDIDATE_CANARY } neap_candidate_kind;

/* When a canary is over. Shares are 0..1. */
typedef struct neap_canary_terms {
  double share;
  neap_match_key by;
  char by_name[128];
  double max_errors; /* the share of errors may be greater by so much */
  double max_p99;    /* the 99th percentile may be greater by this part of it */
  uint64_t for_ms;
  uint64_t min_requests; /* on each side, before anything is said */
  bool promote;          /* when it has been healthy for so long */
} neap_canary_terms;

typedef struct neap_candidate_part {
  neap_task attach, detach;
  neap_candidate *candidate; /* NULL: there is no such worker */
  neap_flow *flow;
  neap_trial trial;
  neap_pool_shadow **shadows; /* by pool in force; NULL: not compared */
} neap_candidate_part;

struct neap_candidate {
  neap_gateway *gateway;
  neap_candidate *next_ended;
  neap_candidate_kind kind;
  neap_file_kind subject;
  char file[NEAP_CANDIDATE_FILE]; /* or the name of a shipped policy */
  char pool[65];                  /* whose policy it is to be; "": none's */
  neap_canary_terms terms;
  uint64_t number, salt, started_ms;
  neap_loaded *loaded; /* owned until it is retired */
  neap_candidate_part *parts;
  uint32_t part_count;
  size_t pool_count; /* of the generation in force */
  neap_shadow_cache *cache;
  json_t *examples;
  neap_timer watch; /* of a canary */
  bool healthy;
  _Atomic uint32_t attached;
  neap_task detached; /* to the control thread, when no worker has it */
};

/* On a reload's thread: all that can fail. What is left on failure goes with drop and neap_plan_undo, in this
 * order. */
int neap_candidate_prepare(neap_candidate *candidate, neap_reload_plan *plan, char **report, neap_err *err);
/* What the plan is to load. */
int neap_candidate_plan(neap_candidate *candidate, neap_reload_plan *plan, neap_err *err);
/* Takes the plan's generation and has it tried. */
void neap_candidate_begin(neap_candidate *candidate, neap_reload_plan *plan, neap_control_reply *reply);
/* One that never began. */
void neap_candidate_drop(neap_candidate **candidate);
/* Ends the one that runs, where one does. `state`: "stopped", "rolled back", ...; `why` may be NULL. */
void neap_candidate_end(neap_gateway *gateway, const char *state, const char *why);
/* A worker has ended, or all have: its part is nobody's. */
void neap_candidate_worker_gone(neap_gateway *gateway, uint32_t place);
/* The generation of the canary that runs; NULL: none does. */
neap_loaded *neap_candidate_canary(const neap_gateway *gateway);
/* What it has found so far. */
json_t *neap_candidate_json(const neap_candidate *candidate);
/* The gateway's end: no worker is left. */
void neap_candidate_close(neap_gateway *gateway);

/* shadow.c */
int neap_shadow_prepare(neap_candidate *candidate, neap_err *err);
void neap_shadow_json(const neap_candidate *candidate, json_t *out);

/* canary.c */
void neap_canary_begin(neap_candidate *candidate);
void neap_canary_json(const neap_candidate *candidate, json_t *out);

#endif
