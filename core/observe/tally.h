/* What workers count. One tally per worker, written by that worker alone with plain stores and read by
 * anybody (relaxed): counting costs no lock and no shared cache line, reading never stops a worker.
 *
 * Counts are kept by the names of routes and pools, not by generation, so that they only grow over reloads.
 * The first NEAP_SERIES_MAX names that come up get a series each; what comes after that is counted as
 * "other".
 */
#ifndef NEAP_OBSERVE_TALLY_H
#define NEAP_OBSERVE_TALLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/reasons.h"
#include "base/timing.h"
#include "neap/neap.h"
#include "observe/expose.h"

enum { NEAP_SERIES_MAX = 500, NEAP_SERIES_OTHER = NEAP_SERIES_MAX };
enum { NEAP_SERIES_NO_ROUTE = 0, NEAP_SERIES_NO_POOL = 0 }; /* of what had none; their name is "" */

/* Of a status: 1xx to 5xx; "none" where nothing was answered. */
enum { NEAP_STATUS_CLASSES = 6 };

/* Where a response came from. */
#define NEAP_SOURCES(X)                                                                                      \
  X(GATEWAY, gateway) /* made here: errors, answers of routes */                                             \
  X(CACHE, cache)                                                                                            \
  X(BACKEND, backend)

/* Parts of a request that goes to a backend. */
#define NEAP_PHASES(X)                                                                                       \
  X(CONNECT, connect)       /* a new connection, from its begin to its being open */                         \
  X(FIRST_BYTE, first_byte) /* from the request sent to the head of the response */                          \
  X(BODY, body)             /* from there to the end of the response */

#define NEAP_TALLY_CACHE_ENUM(GROUP, NAME, name, status, text) NEAP_TALLY_CACHE_##NAME,
#define NEAP_TALLY_SOURCE_ENUM(NAME, name)                     NEAP_SOURCE_##NAME,
#define NEAP_TALLY_PHASE_ENUM(NAME, name)                      NEAP_PHASE_##NAME,
enum { NEAP_REASONS_FWD(NEAP_TALLY_CACHE_ENUM) NEAP_TALLY_CACHES };
typedef enum neap_source { NEAP_SOURCES(NEAP_TALLY_SOURCE_ENUM) NEAP_SOURCE_COUNT } neap_source;
typedef enum neap_phase { NEAP_PHASES(NEAP_TALLY_PHASE_ENUM) NEAP_PHASE_COUNT } neap_phase;
#undef NEAP_TALLY_CACHE_ENUM
#undef NEAP_TALLY_SOURCE_ENUM
#undef NEAP_TALLY_PHASE_ENUM

typedef _Atomic uint64_t neap_count;

enum { NEAP_STATUS_ROOM = 8 }; /* a power of two: every request is counted here */
_Static_assert((int)NEAP_STATUS_CLASSES <= (int)NEAP_STATUS_ROOM, "room for all");

typedef struct neap_route_tally {
  neap_count requests[NEAP_TALLY_CACHES][NEAP_STATUS_ROOM];
} neap_route_tally;

typedef struct neap_pool_tally {
  neap_count requests[NEAP_STATUS_CLASSES];
  neap_timing took[NEAP_SOURCE_COUNT];
  neap_timing phases[NEAP_PHASE_COUNT];
  neap_count body_bytes;                /* of responses, sent to clients */
  neap_count retries;                   /* tries on a further backend or connection */
  neap_count waited;                    /* for a backend to be free */
  neap_count hedges, hedges_won;        /* second copies of slow requests; that answered first */
  neap_count mirrored, mirrors_dropped; /* copies of requests to other pools; for which there was no room */
  neap_count mirrors_skipped;           /* since the request has a body */
  neap_count sessions_kept, sessions_moved; /* answered by the backend that the client stays with; not so */
} neap_pool_tally;

/* A worker's. */
typedef struct neap_tally {
  neap_count reasons[NEAP_REASON_COUNT];
  neap_count started, finished; /* exchanges */
  neap_count accepted, closed;  /* client connections */
  neap_count log_lines_lost;
  neap_route_tally *routes[NEAP_SERIES_MAX + 1]; /* by series; written before anybody knows of the series */
  neap_pool_tally *pools[NEAP_SERIES_MAX + 1];
} neap_tally;

/* hot: one writer. */
static inline void neap_count_add(neap_count *count, uint64_t more) {
  atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + more,
                        memory_order_relaxed);
}
static inline uint64_t neap_count_get(const neap_count *count) {
  return atomic_load_explicit((neap_count *)count, memory_order_relaxed);
}

/* A finished exchange, as it is counted. */
typedef struct neap_tally_record {
  uint32_t route, pool; /* series */
  int status;           /* 0: nothing was answered */
  int cache;            /* of NEAP_TALLY_CACHE_... */
  neap_source source;
  neap_reason end, lookup, store; /* NONE: not decided */
  uint64_t took_us, body_bytes;
} neap_tally_record;
/* hot: Adds one. Worker only. */
void neap_tally_add(neap_tally *tally, const neap_tally_record *record);

/* All tallies of a process. One thread at a time (the control thread), but for what workers do with theirs.
 */
typedef struct neap_tallies neap_tallies;

int neap_tallies_create(neap_tallies **out);
/* No worker may be left. */
void neap_tallies_destroy(neap_tallies **tallies);
/* The tally of worker `index` (0..255), made where it is new; as long as `tallies`. NEAP_ENOMEM. */
int neap_tallies_worker(neap_tallies *tallies, uint32_t index, neap_tally **out);
/* The series of a route with its pool ("" for none), or of a pool: known ones keep theirs. NEAP_SERIES_OTHER
 * when there are too many, or no memory. */
uint32_t neap_tallies_route(neap_tallies *tallies, const char *route, const char *pool);
uint32_t neap_tallies_pool(neap_tallies *tallies, const char *pool);
/* A backend has joined that pool, or left it. Any thread. */
void neap_tallies_member(neap_tallies *tallies, const char *pool, bool joined);
/* Writes every family that is made of tallies, in the order of the table. */
void neap_tallies_expose(neap_tallies *tallies, neap_exposition *out);

/* Sums over workers, for people. */
typedef struct neap_tally_sum {
  uint64_t requests, errors; /* finished; of these 5xx */
  uint64_t hits, lookups;    /* of these: from the cache, and those that the cache was asked for */
  uint64_t in_flight, clients;
  neap_timing_sum took;
} neap_tally_sum;
void neap_tallies_sum(neap_tallies *tallies, neap_tally_sum *out);

#endif
