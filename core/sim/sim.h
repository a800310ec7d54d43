/* The facade of sim/: traces and their replay through the store, the way a live cache goes.
 *
 *   neap_tape *tape;
 *   neap_tape_open("trace.csv.zst", NULL, &tape, &err);
 *   neap_replay_options options = {.registry = registry, .host = host, .policy = "sieve", .size = 10000};
 *   neap_replay_result result;
 *   neap_replay_run(tape, &options, &result, &err);
 *   neap_tape_close(&tape);
 */
#ifndef NEAP_SIM_SIM_H
#define NEAP_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/policy.h"

/* --- traces
 * --------------------------------------------------------------------------------------------------- */

/* A trace made ready for several runs. Used by one thread at a time. */
typedef struct neap_tape neap_tape;

typedef struct neap_tape_options {
  uint64_t reel; /* most requests held in memory; 0: 16 Mi, which take 384 MiB */
  bool uniques;  /* count unique keys and their bytes */
} neap_tape_options;

typedef struct neap_tape_facts {
  const char *format; /* "csv" or "oracleGeneral" */
  uint64_t requests;
  uint64_t skipped;                   /* requests of size 0, which are left out */
  uint64_t bytes;                     /* sum of all sizes */
  uint64_t unique_keys, unique_bytes; /* of each key its first size; where they were asked for */
  bool in_memory;
} neap_tape_facts;

/* Reads `path` through: csv `time,key,size` or oracleGeneral, plain or zstd, told by content. `options` may
 * be NULL. Errors: NEAP_EIO, NEAP_EINVAL (not a trace, or an empty one), NEAP_ESYNTAX, NEAP_ENOMEM; the text
 * is "file: error: text" or "file:line: error: text". */
int neap_tape_open(const char *path, const neap_tape_options *options, neap_tape **out, neap_err *err);
void neap_tape_close(neap_tape **tape);
/* Valid as long as the tape. */
const neap_tape_facts *neap_tape_facts_get(const neap_tape *tape);

/* --- replay
 * --------------------------------------------------------------------------------------------------- */

typedef struct neap_replay_options {
  neap_registry *registry;
  const neap_host *host; /* complete, but time and `user` are the replay's: its functions must not look at
                            `user` */
  const char *policy;    /* as neap_cache_options.evict */
  const neap_param *params;
  size_t param_count;
  uint64_t size;    /* of the cache: in objects, or in bytes */
  bool bytes;       /* each object has its size from the trace; otherwise each is 1 */
  bool exact;       /* every event observed at once, one victim at a time */
  uint32_t threads; /* take requests from one counter; 0: 1 */
  uint32_t time_ms; /* milliseconds in the trace's unit of time; 0: 1000 */
  void (*progress)(void *user, uint64_t done); /* requests; now and then, from one thread; may be NULL */
  void *user;
} neap_replay_options;

typedef struct neap_replay_result {
  uint64_t requests, misses;
  uint64_t bytes, missed_bytes; /* sums of the sizes in the trace, whatever the unit */
  uint64_t elapsed_ns;          /* of the requests alone, reading the trace left out */
  uint64_t evictions_policy, evictions_fallback, events_dropped;
  neap_policy_counters policy;
} neap_replay_result;

/* Plays the whole tape through a new cache. Errors: those of neap_store_create, of reading the tape again,
 * NEAP_ENOMEM. */
int neap_replay_run(neap_tape *tape, const neap_replay_options *options, neap_replay_result *result,
                    neap_err *err);
/* Finds out whether a cache can be made of these options, without a tape: to complain before the long runs.
 */
int neap_replay_check(const neap_replay_options *options, neap_err *err);

#endif
