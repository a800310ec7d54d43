/* A candidate beside the generation in force, as one worker sees it: what it decides with, and what comes of
 * it.
 *
 *   canary  a share of the requests, by hash, takes the candidate for its generation; both are counted apart
 *   shadow  every request is served by the generation in force; what the candidate would have decided is
 *           compared and forgotten
 *
 * The worker writes with plain stores, the control thread reads meanwhile. A worker that has no trial pays
 * for one comparison in `recv`, `route`, `lookup` and `finish` each. */
#ifndef NEAP_FLOW_TRIAL_H
#define NEAP_FLOW_TRIAL_H

#include "base/histogram.h"
#include "base/match.h"
#include "observe/observe.h"

struct neap_generation;

/* What became of those that were served by one generation. */
typedef struct neap_trial_side {
  neap_count requests;
  neap_count errors; /* 5xx, no route, or broken off by other than the client */
  neap_histogram took_us;
} neap_trial_side;

/* A request that the candidate's routes would have sent elsewhere. Texts are borrowed during the call. */
typedef struct neap_trial_difference {
  neap_view method, host, path;
  const char *route, *to;                     /* of the generation in force: "" for none; a pool, a status */
  const char *candidate_route, *candidate_to; /* the same of the candidate */
} neap_trial_difference;

/* A lookup in the cache with what it led to, for a cache of keys alone. */
typedef struct neap_trial_use {
  uint64_t key; /* hash, never 0 */
  uint32_t size;
  bool hit;
} neap_trial_use;

/* From one worker to one reader, without waiting: what finds no room is lost and counted. */
enum { NEAP_TRIAL_USES = 4096 };
typedef struct neap_trial_tape {
  uint64_t below; /* keys whose hash is not below are left out */
  neap_count lost;
  _Alignas(64) _Atomic uint32_t head; /* the worker's */
  _Alignas(64) _Atomic uint32_t tail; /* the reader's */
  neap_trial_use uses[NEAP_TRIAL_USES];
} neap_trial_tape;

typedef struct neap_trial {
  struct neap_generation *candidate, *in_force;
  /* Canary. */
  double share; /* 0: a shadow */
  neap_match_key by;
  const char *by_name;
  double unnamed; /* what neap_route_key says of a request without such a part: its address counts */
  uint64_t salt;
  neap_trial_side without, with;
  /* Shadow of routes. */
  bool routes;
  neap_count routed, agreed, failed;
  uint32_t examples; /* differences to be told yet */
  void (*differs)(struct neap_trial *trial, const neap_trial_difference *difference);
  /* Shadow of what evicts; NULL: none. */
  neap_trial_tape *tape;
} neap_trial;

/* The reader's side of a tape. False: there is nothing more. */
static inline bool neap_trial_tape_next(neap_trial_tape *tape, neap_trial_use *out) {
  uint32_t tail = atomic_load_explicit(&tape->tail, memory_order_relaxed);
  if (tail == atomic_load_explicit(&tape->head, memory_order_acquire)) return false;
  *out = tape->uses[tail % NEAP_TRIAL_USES];
  atomic_store_explicit(&tape->tail, tail + 1, memory_order_release);
  return true;
}

#endif
