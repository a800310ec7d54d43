/* The plug point: one small vtable for everything that decides, native C and Lua alike.
 *
 *   registry  turns a name and parameters into a policy           (registry.c)
 *   guard     wraps every policy that it gives out                (guard.c)
 *   native_*  reference policies in C: twins of the Lua ones      (native_lru.c, native_sieve.c, ...)
 *   leaves    what policies are built from: columns, ghost lists, heap, sketch, random
 *
 * A caller holds a `neap_policy *` and never knows what is behind it. A policy instance is used by one thread
 * at a time: evict policies under the cache's maintenance lock, route and balance policies by their worker.
 *
 * What the guard promises to a caller of neap_policy_decide():
 *   - it returns 0, and the answer on the board is right: victims are live, evictable and distinct; a pick is
 * in range, may be used and has not been tried; or there is none and the board says so;
 *   - it returns within the budget of the policy plus that of the fallback;
 *   - whatever the policy did wrong has been counted, logged with file and line, and answered by the
 * fallback. After `trip_after` faults in a row, or one that kills the VM, the fallback stays until the next
 * generation. A pick that fails with NEAP_EINVAL is not among those: the request brought it about.
 */
#ifndef NEAP_POLICY_POLICY_H
#define NEAP_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/note.h"
#include "base/random.h"
#include "neap/neap.h"
#include "policy/abi.h"

typedef enum neap_domain {
  NEAP_EVICT,
  NEAP_BALANCE,
  NEAP_ROUTE,
  NEAP_PREFETCH,
  NEAP_DOMAIN_COUNT
} neap_domain;

typedef enum neap_ask {
  NEAP_ASK_VICTIMS, /* evict: `want` victims, or refuse the candidate */
  NEAP_ASK_PICK,    /* balance: one backend */
  NEAP_ASK_WISHES   /* prefetch: what to fetch, after the events on the board */
} neap_ask;

/* What an evict policy may read of an entry and what the guard needs of the cache. Called under the
 * maintenance lock, never with a slot that was not checked: each answers 0 (or false) for a slot that is not
 * live. */
typedef struct neap_entry_facts {
  void *cache;
  bool (*evictable)(void *cache, int32_t slot); /* live and unpinned */
  int32_t (*sample)(void *cache);               /* stateless fallback: an evictable slot, or 0 */
  double (*size)(void *cache, int32_t slot);    /* bytes charged */
  double (*cost)(void *cache, int32_t slot);
  double (*created_ms)(void *cache, int32_t slot);
  double (*expires_ms)(void *cache, int32_t slot); /* 2^53 for never */
  double (*last_access_ms)(void *cache, int32_t slot);
  double (*access_count)(void *cache, int32_t slot);
  double (*version)(void *cache, int32_t slot);
  double (*hash)(void *cache, int32_t slot);
  int32_t (*key)(void *cache, int32_t slot, char *out,
                 int32_t capacity); /* bytes of the key, cut to capacity */
  /* Calls `tell` with an INSERT for every live entry, least recently used first: for a policy that starts
   * late. */
  void (*replay)(void *cache, void (*tell)(void *user, const neap_event *events, int n), void *user);
} neap_entry_facts;

/* What a policy instance is made in. Borrowed until destroy. */
typedef struct neap_policy_env {
  const neap_host *host;         /* allocator, log, clocks; complete: every member set */
  uint64_t seed;                 /* of the policy's random numbers */
  uint64_t generation;           /* for logs */
  neap_evict_board *evict;       /* evict: the board, with slot_end and limit set; NULL otherwise */
  const neap_entry_facts *facts; /* evict */
  neap_pick_board *pick;         /* balance: the board; NULL otherwise */
  neap_prefetch_board *prefetch; /* prefetch: the board; NULL otherwise */
} neap_policy_env;

/* A figure that a policy tells of itself, for metrics. */
typedef struct neap_policy_stat {
  char name[32];
  double value;
} neap_policy_stat;

/* What an instance tells of itself. */
typedef struct neap_policy_report {
  size_t memory;          /* bytes, whatever the number of entries: VM, ghosts, heaps */
  size_t memory_per_slot; /* and for every slot in use: columns */
  uint64_t trace_aborts;
  const char *fault; /* newest, "file:line: text"; borrowed until the next call; NULL or "" for none */
  const neap_policy_stat *stats;
  size_t stat_count;
} neap_policy_report;

/* The vtable. `create` to `decide` are required, the others optional. All return 0 or NEAP_E... */
typedef struct neap_policy_vt {
  const char *name;
  neap_domain domain;
  int (*create)(const neap_policy_env *env, const neap_param *params, size_t param_count, void **self,
                neap_err *err);
  void (*destroy)(void *self);
  /* Told what happened, in order. hot: no allocation, no log. */
  int (*observe)(void *self, const neap_event *events, int n);
  /* Asked; question and answer are on the board. Events told before were observed before. */
  int (*decide)(void *self, neap_ask ask);
  /* Hands learned state from `self` to the next generation's instance, same vtable or not; NEAP_ESTATE when
   * they do not match: then live entries are replayed. */
  int (*load)(void *self, void *previous);
  void (*report)(void *self, neap_policy_report *out); /* `out` is zeroed before */
} neap_policy_vt;

/* A guarded policy. */
typedef struct neap_policy neap_policy;

typedef struct neap_policy_counters {
  uint64_t asks, batches, events;
  uint64_t faults_error, faults_fuel, faults_memory, faults_answer; /* by reason */
  uint64_t fallbacks;                                               /* asks that the fallback answered */
  uint64_t trips;
  uint64_t trace_aborts; /* of hot functions, where a JIT compiler is involved */
  size_t memory;         /* bytes of the instance now: columns, ghosts, VM */
} neap_policy_counters;

/* A registry: names to policies. Natives are in it from the start ("native:lru", ...); core/script adds the
 * Lua loader. Thread-safe after set-up. */
typedef struct neap_registry neap_registry;
int neap_registry_create(const neap_host *host, neap_registry **out);
void neap_registry_destroy(neap_registry **registry);

/* A loader makes policies of names that are not native. `source` is the whole text where the caller has it
 * already (rollback), else NULL; the loader returns the text it used in *text_out (malloc'd, may be NULL). */
typedef struct neap_loader {
  const char *name;
  void *user;
  int (*open)(void *user, neap_domain domain, const char *spec, const char *source,
              const neap_policy_env *env, const neap_param *params, size_t param_count,
              const neap_policy_vt **vt, void **self, char **text_out, neap_err *err);
} neap_loader;
void neap_registry_add(neap_registry *registry, const neap_loader *loader);

/* What the name of a policy means, for neap_policy_open: the same in a configuration, on a command line and
 * of a host. Balancing is native where there is a native policy, "lua:p2c" is its twin; eviction is in Lua,
 * "native:sieve" the twin. Case, "_" and "-" do not count ("RoundRobin"); some names of others ("leastconn")
 * are known. What is no such name, a file for one, stays as it is. False: does not fit. Any thread. */
bool neap_policy_resolve(neap_domain domain, const char *name, char *out, size_t size);
/* "WeightedRoundRobin", "weighted_round_robin" and "weighted-round-robin" are one. */
bool neap_policy_same_name(const char *a, const char *b);

/* Makes a guarded policy of `spec` (see neap_cache_options.evict). The spec's text is kept for
 * neap_policy_source. Errors: NEAP_ENOTFOUND (with the nearest names), NEAP_ESYNTAX, NEAP_EPOLICY,
 * NEAP_EINVAL, NEAP_ENOMEM. */
int neap_policy_open(neap_registry *registry, neap_domain domain, const char *spec, const char *source,
                     const neap_policy_env *env, const neap_param *params, size_t param_count,
                     neap_policy **out, neap_err *err);
void neap_policy_close(neap_policy **policy);

/* hot: both of them. What they promise stands above; neither fails. `n` events of the board, or of `events`.
 */
void neap_policy_observe(neap_policy *policy, const neap_event *events, int n);
void neap_policy_decide(neap_policy *policy, neap_ask ask);

/* Tells a balance policy what happened to the request that went to `backend` (NEAP_EVENT_SENT and so on). The
 * event waits on the board: it is observed before the next ask, or with the others when the board is full.
 * `status` is of the answer, 0 where there was none. hot: */
void neap_policy_tell(neap_policy *policy, int32_t kind, int32_t backend, int32_t in_flight, double took_us,
                      int32_t status);

/* Takes over what `previous` learned, or replays the live entries. */
void neap_policy_adopt(neap_policy *policy, neap_policy *previous);

const char *neap_policy_name(const neap_policy *policy);   /* "sieve", or "fallback" after a trip */
const char *neap_policy_source(const neap_policy *policy); /* text it was made of; NULL for natives */
const char *neap_policy_fault(const neap_policy *policy);  /* newest fault: "file:line: text", or "" */
/* The same with its time on the host's clock, while another thread uses the policy. False: there is none. */
bool neap_policy_fault_peek(const neap_policy *policy, uint64_t *at_ms, char out[NEAP_NOTE_TEXT]);
void neap_policy_counters_get(const neap_policy *policy, neap_policy_counters *out);
/* The same while another thread uses the policy; trace_aborts and memory are as of one of its newest asks.
 * Any thread. */
void neap_policy_counters_peek(const neap_policy *policy, neap_policy_counters *out);
/* The policy's own figures: copies up to `capacity`, returns how many there are. */
size_t neap_policy_stats_get(const neap_policy *policy, neap_policy_stat *out, size_t capacity);

/* The native references, ended by NULL. */
extern const neap_policy_vt *const neap_native_policies[];

/* Draws random1 and random2 of a pick board in proportion to the shares of those that may be picked: what
 * policies that look at two build on. Distinct where two may be picked; any places where none may.
 * `top_share` is the largest share of a row, or more: the nearer, the fewer draws. Two numbers where shares
 * are equal and nobody is barred; never more than 32 before it adds up the shares instead. hot: */
void neap_pick_draw(neap_pick_board *board, neap_random *random, double top_share);

/* Copies `host` (which may be NULL) to `out` and fills what it leaves zero, but for the clocks: those are the
 * caller's to set, since only loop/ reads one. */
void neap_host_complete(const neap_host *host, neap_host *out);
/* Logs one event through a complete host. Longer lines are cut. */
void neap_host_log(const neap_host *host, neap_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- parts of a request
 * -----------------------------------------------------------------------------------------------------
 * hot: all of them. What is found is a part of the request's own bytes, as sent: nothing is decoded. */

/* The first row at or after `from` with that header name, without regard to case; -1: none. */
int32_t neap_request_header(const neap_request_board *request, neap_view name, int32_t from);
/* A parameter of the query or a cookie, by its exact name; empty where it stands there without "=". */
bool neap_request_query(const neap_request_board *request, neap_view name, neap_slice *out);
bool neap_request_cookie(const neap_request_board *request, neap_view name, neap_slice *out);

/* --- leaves
 * --------------------------------------------------------------------------------------------------- */

/* A column: `width` bytes for each slot below `slot_end`, zeroed, at an address that never changes. Reserved
 * at once, committed by the system as it is touched. */
typedef struct neap_column {
  void *base;
  size_t width, bytes;
} neap_column;
int neap_column_init(neap_column *column, size_t width, int32_t slot_end);
void neap_column_fini(neap_column *column);
/* Moves what `from` holds to where `to` stands, without copying; `from` is gone then. Both initialised, for
 * the same slot_end. NEAP_ESTATE when their widths differ, NEAP_ENOMEM: nothing has changed. */
int neap_column_take(neap_column *to, neap_column *from);

/* A ghost list: the newest hashes put in, up to a total of sizes, oldest out first. */
typedef struct neap_ghost neap_ghost;
int neap_ghost_create(double limit, neap_ghost **out);
void neap_ghost_destroy(neap_ghost **ghost);
void neap_ghost_add(neap_ghost *ghost, double hash, double size); /* moves it to the front where it is in */
double neap_ghost_take(neap_ghost *ghost, double hash); /* its size, now out; -1 where it is not in */
bool neap_ghost_has(const neap_ghost *ghost, double hash);
void neap_ghost_resize(neap_ghost *ghost, double limit);
void neap_ghost_swap(neap_ghost *a, neap_ghost *b); /* what they hold, not their limits */
int32_t neap_ghost_count(const neap_ghost *ghost);
size_t neap_ghost_memory(const neap_ghost *ghost);

/* An indexed heap over slots: the least (key, order) first. */
typedef struct neap_heap neap_heap;
int neap_heap_create(int32_t slot_end, neap_heap **out);
void neap_heap_destroy(neap_heap **heap);
void neap_heap_put(neap_heap *heap, int32_t slot, double key, double order); /* or moves it */
void neap_heap_remove(neap_heap *heap, int32_t slot);                        /* nothing where it is not in */
int32_t neap_heap_min(const neap_heap *heap);                                /* 0: empty */
double neap_heap_key(const neap_heap *heap, int32_t slot);                   /* 0 where it is not in */
bool neap_heap_has(const neap_heap *heap, int32_t slot);
void neap_heap_swap(neap_heap *a, neap_heap *b); /* of the same slot_end */
int32_t neap_heap_count(const neap_heap *heap);
size_t neap_heap_memory(const neap_heap *heap);

/* A frequency sketch: count-min of 4-bit counters, halved as it ages (the TinyLFU paper, Einziger et al.
 * 2017). */
typedef struct neap_sketch neap_sketch;
int neap_sketch_create(int32_t width, neap_sketch **out);
void neap_sketch_destroy(neap_sketch **sketch);
void neap_sketch_add(neap_sketch *sketch, double hash);
int32_t neap_sketch_estimate(const neap_sketch *sketch, double hash);
void neap_sketch_swap(neap_sketch *a, neap_sketch *b);
size_t neap_sketch_memory(const neap_sketch *sketch);

/* Which key follows which: what the association policy stands on. `rows` of four successors each, with counts
 * that are halved as they age; a key is the successor of the `window` keys before it in its stream. Memory is
 * bounded by `rows`: a new key takes the place of the less used of two. */
int neap_assoc_create(int32_t rows, int32_t window, neap_assoc **out);
void neap_assoc_destroy(neap_assoc **assoc);
void neap_assoc_learn(neap_assoc *assoc, double hash, double stream);
/* The successors of a key, rank 0 the most frequent; 0 past the last. `share`: how often it followed, of the
 * times that the key was seen, 0 to 1; `count`: how often lately. */
double neap_assoc_next(const neap_assoc *assoc, double hash, int32_t rank);
double neap_assoc_share(const neap_assoc *assoc, double hash, int32_t rank);
int32_t neap_assoc_count(const neap_assoc *assoc, double hash, int32_t rank);
void neap_assoc_swap(neap_assoc *a, neap_assoc *b);
size_t neap_assoc_memory(const neap_assoc *assoc);

/* Runs of numbers at one distance, several at a time and interleaved: what the stride policy stands on. A
 * number within `reach` of the last of a run that is not yet one gives the distance; up to eight steps may be
 * left out. The run that was extended the longest time ago gives way to a new one. */
int neap_runs_create(int32_t count, double reach, neap_runs **out);
void neap_runs_destroy(neap_runs **runs);
int32_t neap_runs_observe(neap_runs *runs, double space, double number); /* its run; -1: it begins one */
int32_t neap_runs_length(const neap_runs *runs, int32_t run);            /* steps taken */
double neap_runs_stride(const neap_runs *runs, int32_t run);
double neap_runs_ahead(const neap_runs *runs,
                       int32_t run); /* what the caller has set, else the last number */
void neap_runs_set_ahead(neap_runs *runs, int32_t run, double number);
void neap_runs_swap(neap_runs *a, neap_runs *b);
size_t neap_runs_memory(const neap_runs *runs);

/* How slow each backend of a pool is, compared with the rest, learned from the outcomes that are told to the
 * policy. */
typedef struct neap_pace neap_pace;
int neap_pace_create(neap_pace **out);
void neap_pace_destroy(neap_pace **pace);
/* hot: a logarithm per answer. NEAP_ENOMEM, only where the pool has grown. */
int neap_pace_observe(neap_pace *pace, const neap_pick_board *board, const neap_event *events, int n);
/* 1: as the rest, or not known; 2: takes twice as long. hot: */
double neap_pace_of(const neap_pace *pace, int32_t place, double now_ms);

#include "policy/prefetch.h" /* needs all of the above */

#endif
