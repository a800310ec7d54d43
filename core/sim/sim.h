/* The facade of sim/: traces and their replay through the store, the way a live cache goes; and balance
 * policies before simulated backends.
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

/* A policy with its parameters. */
typedef struct neap_replay_policy {
  const char *name;
  const neap_param *params;
  size_t param_count;
} neap_replay_policy;

typedef struct neap_replay_options {
  neap_registry *registry;
  const neap_host *host; /* complete, but time and `user` are the replay's: its functions must not look at
                            `user` */
  const char *policy;    /* as neap_cache_options.evict */
  const neap_param *params;
  size_t param_count;
  uint64_t size;                      /* of the cache: in objects, or in bytes */
  bool bytes;                         /* each object has its size from the trace; otherwise each is 1 */
  bool exact;                         /* every event observed at once, one victim at a time */
  uint32_t threads;                   /* take requests from one counter; 0: 1 */
  uint32_t time_ms;                   /* milliseconds in the trace's unit of time; 0: 1000 */
  const neap_replay_policy *prefetch; /* policies that prefetch, together; then one thread */
  size_t prefetch_count;
  uint32_t prefetch_delay;                     /* requests from a wish to its arrival */
  void (*progress)(void *user, uint64_t done); /* requests; now and then, from one thread; may be NULL */
  void *user;
} neap_replay_options;

typedef struct neap_replay_result {
  uint64_t requests, misses;    /* late: a miss */
  uint64_t bytes, missed_bytes; /* sums of the sizes in the trace, whatever the unit */
  uint64_t elapsed_ns;          /* of the requests alone, reading the trace left out */
  uint64_t evictions_policy, evictions_fallback, events_dropped;
  neap_policy_counters policy;
  neap_prefetch_counters prefetch; /* of all policies that prefetch */
  neap_policy_counters prefetch_policy;
} neap_replay_result;

/* Plays the whole tape through a new cache. Errors: those of neap_store_create, of reading the tape again,
 * NEAP_ENOMEM. */
int neap_replay_run(neap_tape *tape, const neap_replay_options *options, neap_replay_result *result,
                    neap_err *err);
/* Finds out whether a cache can be made of these options, without a tape: to complain before the long runs.
 */
int neap_replay_check(const neap_replay_options *options, neap_err *err);

/* --- balance
 * --------------------------------------------------------------------------------------------------- */

/* Values that backends take in turn: backend i has value i % count. */
enum { NEAP_CYCLE_MAX = 16 };
typedef struct neap_cycle {
  uint32_t count;
  double values[NEAP_CYCLE_MAX];
} neap_cycle;

typedef enum neap_service_law {
  NEAP_SERVICE_FIXED,
  NEAP_SERVICE_EXPONENTIAL,
  NEAP_SERVICE_PARETO, /* bounded: a = alpha, b = largest / smallest */
  NEAP_SERVICE_BIMODAL /* a = share of the large ones, b = how many times as large */
} neap_service_law;

/* Something that happens to the first `count` backends during a part of the run; times are fractions of it.
 */
typedef struct neap_episode {
  uint32_t count;
  double value; /* slow: speed factor; errors: ms until the error is there */
  double from, until;
} neap_episode;

/* What backends, balancers and requests are like. docs/simulate.md says what each key of the text means. */
typedef struct neap_scenario {
  char name[32];
  char about[96];
  uint32_t backends, balancers;
  neap_cycle workers, speed, weight, delay_ms; /* speed is scaled to a mean of 1; delay is one-way */
  double load[2]; /* at the beginning and at the end: arrivals per what all backends together can do */
  neap_service_law service;
  double service_ms, service_a, service_b;
  bool cores; /* workers are cores that all requests share; otherwise each takes one, in order of arrival */
  neap_episode slow, errors;
  double noise_factor, noise_ms, noise_every_ms; /* each backend by itself: so slow, for so long, so often */
  uint32_t joining, leaving;                     /* so many backends, the last ones */
  double join_at, leave_at;
  uint32_t keys; /* of requests: Zipf */
  double key_skew;
  uint64_t requests;
} neap_scenario;

typedef struct neap_scenarios {
  neap_scenario *items;
  size_t count;
} neap_scenarios;

/* Reads scenarios from `text`; `file` is what errors call it: "file:line: error: text". NEAP_ESYNTAX,
 * NEAP_ENOMEM. The caller destroys `out`. */
int neap_scenarios_parse(const char *file, const char *text, neap_scenarios *out, neap_err *err);
/* "all", names of built-in ones with commas between them, or a file. NEAP_ENOTFOUND, NEAP_EIO as well. */
int neap_scenarios_open(const char *what, neap_scenarios *out, neap_err *err);
void neap_scenarios_destroy(neap_scenarios *scenarios);
/* The text of the built-in ones. */
extern const char neap_scenarios_builtin[];

typedef struct neap_balance_options {
  neap_registry *registry;
  const neap_host *host; /* as of neap_replay_options */
  const char *policy;    /* as neap_pool_options.balance */
  const neap_param *params;
  size_t param_count;
  bool reports;      /* backends tell their load with each answer, and when a policy probes them */
  uint64_t requests; /* 0: as the scenario says */
  uint64_t seed;     /* of the first run */
  uint32_t seeds;    /* runs, whose figures are averaged; 0: 1 */
} neap_balance_options;

/* The first tenth of the requests is not counted, nor is an answer that is an error, except in `failed`.
 * Excess is the response time less the request's own service at speed 1 and the shortest round trip: what the
 * balancing is responsible for. */
typedef struct neap_balance_result {
  uint64_t requests, failed; /* counted; and how many of all were errors */
  double mean_ms, p50_ms, p99_ms, p999_ms;
  double excess_mean_ms, excess_p99_ms;
  double spread;    /* utilisation of the backend that has most by their mean */
  double odd_share; /* of requests that went to the backends of the scenario's episodes */
  double probes;    /* per request */
  uint64_t faults;  /* of the policy */
} neap_balance_result;

/* The same options give the same result, to the last bit. Errors: those of neap_policy_open, NEAP_ENOMEM. */
int neap_balance_run(const neap_scenario *scenario, const neap_balance_options *options,
                     neap_balance_result *result, neap_err *err);

#endif
