/* The table of all metrics, and how they are written: Prometheus text 0.0.4, or OpenMetrics 1.0.
 *
 *   neap_exposition out;
 *   neap_expose_begin(&out, false);
 *   neap_expose(&out, NEAP_METRIC_BACKEND_UP, 1, (const char *[]){"app", "127.0.0.1:9001"});
 *   char *text = neap_expose_end(&out, &size);
 *
 * Families come in the order of the table, all samples of one together. docs/metrics.md is held to the table
 * by a test.
 */
#ifndef NEAP_OBSERVE_EXPOSE_H
#define NEAP_OBSERVE_EXPOSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/timing.h"

/* ID, name, type, labels, help. */
#define NEAP_METRICS(X)                                                                                      \
  X(BUILD_INFO, neap_build_info, GAUGE, "version", "Always 1; the version is a label.")                      \
  X(START_TIME, process_start_time_seconds, GAUGE, "", "When the process started, since 1970.")              \
  X(CPU, process_cpu_seconds_total, COUNTER, "", "CPU time, user and system.")                               \
  X(RESIDENT, process_resident_memory_bytes, GAUGE, "", "Memory that is resident.")                          \
  X(OPEN_FDS, process_open_fds, GAUGE, "", "File descriptors that are open.")                                \
  X(WORKERS, neap_workers, GAUGE, "", "Threads that serve.")                                                 \
  X(RELOADS, neap_config_reloads_total, COUNTER, "result", "Reloads: ok, or refused.")                       \
  X(RELOAD_OK, neap_config_last_reload_successful, GAUGE, "", "1 when the last reload was taken.")           \
  X(RELOAD_TIME, neap_config_last_reload_success_timestamp_seconds, GAUGE, "",                               \
    "When a configuration was last taken, since 1970.")                                                      \
  X(GENERATION, neap_config_generation, GAUGE, "", "The generation in force.")                               \
  X(GENERATIONS, neap_config_generations, GAUGE, "", "Generations that some exchange still uses.")           \
  X(REQUESTS, neap_requests_total, COUNTER, "route,pool,code,cache",                                         \
    "Requests finished, by class of status and what the cache did (the words of Cache-Status). pool: the "   \
    "route's.")                                                                                              \
  X(POOL_REQUESTS, neap_pool_requests_total, COUNTER, "pool,code",                                           \
    "The same by the pool that they went to; no pool: answered by a route.")                                 \
  X(IN_FLIGHT, neap_requests_in_flight, GAUGE, "", "Requests under way.")                                    \
  X(REASONS, neap_reasons_total, COUNTER, "group,reason",                                                    \
    "Decisions by reason: how requests ended, were refused, looked up, stored.")                             \
  X(DURATION, neap_request_duration_seconds, HISTOGRAM, "pool,source",                                       \
    "From the request's head to the response's last byte, by where the response came from.")                 \
  X(PHASE, neap_phase_duration_seconds, HISTOGRAM, "pool,phase", "Parts of requests that go to a backend.")  \
  X(BODY_BYTES, neap_response_body_bytes_total, COUNTER, "pool", "Bytes of bodies sent to clients.")         \
  X(RETRIES, neap_retries_total, COUNTER, "pool", "Tries on a further backend or connection.")               \
  X(WAITED, neap_requests_waited_total, COUNTER, "pool", "Requests that waited for a backend to be free.")   \
  X(HEDGES, neap_hedges_total, COUNTER, "pool", "Second copies of slow requests.")                           \
  X(HEDGES_WON, neap_hedges_won_total, COUNTER, "pool", "Second copies that answered first.")                \
  X(MIRRORED, neap_mirrored_total, COUNTER, "pool", "Copies of requests sent to this pool.")                 \
  X(MIRRORS_DROPPED, neap_mirrors_dropped_total, COUNTER, "pool",                                            \
    "Copies that were not made: too many were under way.")                                                   \
  X(MIRRORS_SKIPPED, neap_mirrors_skipped_total, COUNTER, "pool",                                            \
    "Copies that were not made: the request has a body.")                                                    \
  X(SESSIONS_KEPT, neap_sessions_kept_total, COUNTER, "pool",                                                \
    "Requests answered by the backend that their client stays with.")                                        \
  X(SESSIONS_MOVED, neap_sessions_moved_total, COUNTER, "pool",                                              \
    "Sessions that had to go to another backend.")                                                           \
  X(CLIENTS, neap_client_connections, GAUGE, "", "Connections of clients that are open.")                    \
  X(CLIENTS_TOTAL, neap_client_connections_total, COUNTER, "", "Connections of clients accepted.")           \
  X(LOG_LOST, neap_access_log_lines_lost_total, COUNTER, "",                                                 \
    "Lines of the access log lost because it could not be written.")                                         \
  X(ADDED, neap_pool_backends_added_total, COUNTER, "pool", "Backends that joined the pool.")                \
  X(REMOVED, neap_pool_backends_removed_total, COUNTER, "pool", "Backends that left the pool.")              \
  X(BACKENDS, neap_pool_backends, GAUGE, "pool,state", "Backends of the pool by state.")                     \
  X(BACKEND_UP, neap_backend_up, GAUGE, "pool,backend", "1 unless it is known to be down.")                  \
  X(BACKEND_WEIGHT, neap_backend_weight, GAUGE, "pool,backend", "Weight in its pool.")                       \
  X(BACKEND_IN_FLIGHT, neap_backend_requests_in_flight, GAUGE, "pool,backend",                               \
    "Requests under way to it, from all pools.")                                                             \
  X(BACKEND_EWMA, neap_backend_response_ewma_seconds, GAUGE, "pool,backend",                                 \
    "Response time as balancing sees it: slower answers count at once, faster ones wear it down.")           \
  X(BACKEND_REQUESTS, neap_backend_requests_total, COUNTER, "pool,backend", "Requests routed to it.")        \
  X(BACKEND_FAILURES, neap_backend_failures_total, COUNTER, "pool,backend",                                  \
    "Requests that it did not take, broke off or was too slow for.")                                         \
  X(BACKEND_ERRORS, neap_backend_errors_total, COUNTER, "pool,backend",                                      \
    "Outcomes that counted against it: 5xx, broken off, late, unreachable.")                                 \
  X(BACKEND_PROBES, neap_backend_probes_total, COUNTER, "pool,backend", "Health checks that ended.")         \
  X(BACKEND_PROBE_FAILURES, neap_backend_probe_failures_total, COUNTER, "pool,backend",                      \
    "Health checks that failed.")                                                                            \
  X(BACKEND_TRANSITIONS, neap_backend_transitions_total, COUNTER, "pool,backend",                            \
    "Times that its health checks changed their mind.")                                                      \
  X(BACKEND_EJECTED, neap_backend_ejected, GAUGE, "pool,backend", "1 while it is ejected for its errors.")   \
  X(BACKEND_EJECTIONS, neap_backend_ejections_total, COUNTER, "pool,backend",                                \
    "Times that it was ejected for its errors.")                                                             \
  X(BACKEND_BREAKER, neap_backend_breaker_opened_total, COUNTER, "pool,backend",                             \
    "Times that its circuit breaker opened.")                                                                \
  X(BACKEND_IDLE, neap_backend_idle_connections, GAUGE, "pool,backend",                                      \
    "Connections to it that are kept open, from all pools.")                                                 \
  X(BACKEND_RESPONSE, neap_backend_response_seconds, HISTOGRAM, "pool,backend",                              \
    "From the request sent to it to the head of its response.")                                              \
  X(CACHE_LOOKUPS, neap_cache_lookups_total, COUNTER, "result", "Look-ups of keys: hit or miss.")            \
  X(CACHE_PUTS, neap_cache_puts_total, COUNTER, "", "Entries stored.")                                       \
  X(CACHE_UPDATES, neap_cache_updates_total, COUNTER, "", "Of these, that replaced an entry.")               \
  X(CACHE_EVICTIONS, neap_cache_evictions_total, COUNTER, "reason",                                          \
    "Entries gone: policy, fallback, expired or removed.")                                                   \
  X(CACHE_REJECTIONS, neap_cache_rejections_total, COUNTER, "reason",                                        \
    "Puts refused: size, room, policy, version, or aborted.")                                                \
  X(CACHE_EVENTS_DROPPED, neap_cache_events_dropped_total, COUNTER, "",                                      \
    "Hits that the policy was not told of.")                                                                 \
  X(CACHE_ENTRIES, neap_cache_entries, GAUGE, "", "Entries that are stored.")                                \
  X(CACHE_BYTES, neap_cache_bytes, GAUGE, "kind",                                                            \
    "Memory by what it holds: entries, filling, retired, tables.")                                           \
  X(CACHE_LIMIT, neap_cache_limit_bytes, GAUGE, "", "Most memory that the cache may take.")                  \
  X(CACHE_CALL, neap_cache_call_seconds, GAUGE, "call,share",                                                \
    "Time of get and put since the start, sampled: what that share of calls does not exceed.")               \
  X(TIER_LOOKUPS, neap_tier_lookups_total, COUNTER, "tier,result",                                           \
    "Look-ups in a tier below memory: hit or miss.")                                                         \
  X(TIER_SETS, neap_tier_sets_total, COUNTER, "tier", "Responses and markers stored there.")                 \
  X(TIER_PROMOTIONS, neap_tier_promotions_total, COUNTER, "tier", "Of these, that came from a tier below.")  \
  X(TIER_DELETES, neap_tier_deletes_total, COUNTER, "tier", "Keys deleted there.")                           \
  X(TIER_ERRORS, neap_tier_errors_total, COUNTER, "tier", "Calls that failed.")                              \
  X(TIER_TIMEOUTS, neap_tier_timeouts_total, COUNTER, "tier", "Of these, that took too long.")               \
  X(TIER_SKIPPED, neap_tier_skipped_total, COUNTER, "tier",                                                  \
    "Calls not made because its circuit breaker was open.")                                                  \
  X(TIER_REJECTED, neap_tier_rejected_total, COUNTER, "tier",                                                \
    "Values it did not take: too large, or older than what is there.")                                       \
  X(TIER_WRITES, neap_tier_writes_total, COUNTER, "tier,what",                                               \
    "Writes put aside for later: queued, and of these coalesced, replayed, dropped.")                        \
  X(TIER_BYTES, neap_tier_bytes_total, COUNTER, "tier,direction", "Bytes of values: read or written.")       \
  X(TIER_WAITING, neap_tier_writes_waiting, GAUGE, "tier", "Writes that wait.")                              \
  X(TIER_OPENED, neap_tier_breaker_opened_total, COUNTER, "tier", "Times that its circuit breaker opened.")  \
  X(TIER_BREAKER, neap_tier_breaker, GAUGE, "tier,state",                                                    \
    "1 for the state that its circuit breaker is in: closed, open or half-open.")                            \
  X(TIER_CALL, neap_tier_call_seconds, GAUGE, "tier,share",                                                  \
    "Time of calls to it since the start: what that share of calls does not exceed.")                        \
  X(PREFETCH_ISSUED, neap_prefetch_issued_total, COUNTER, "issuer", "Prefetches sent, by who wanted them.")  \
  X(PREFETCH_USED, neap_prefetch_used_total, COUNTER, "issuer",                                              \
    "Of these, that a client asked for in time.")                                                            \
  X(PREFETCH_LATE, neap_prefetch_late_total, COUNTER, "issuer",                                              \
    "Of these, that a client asked for before they were there.")                                             \
  X(PREFETCH_WASTED, neap_prefetch_wasted_total, COUNTER, "issuer",                                          \
    "Of these, that failed or that nobody asked for.")                                                       \
  X(PREFETCH_HELD, neap_prefetch_held_total, COUNTER, "issuer", "Of these, that were in the cache already.") \
  X(PREFETCH_REFUSED, neap_prefetch_refused_total, COUNTER, "issuer",                                        \
    "Wishes that the budget had nothing left for.")                                                          \
  X(PREFETCH_PAUSED, neap_prefetch_paused_total, COUNTER, "issuer",                                          \
    "Wishes of issuers that are paused for their precision.")                                                \
  X(PREFETCH_TRIED, neap_prefetch_tried_total, COUNTER, "issuer",                                            \
    "Wishes of issuers on trial: noted, not sent.")                                                          \
  X(PREFETCH_PAUSES, neap_prefetch_pauses_total, COUNTER, "issuer", "Times that an issuer was paused.")      \
  X(PREFETCH_OPEN, neap_prefetch_open, GAUGE, "issuer", "1 while its wishes are fetched.")                   \
  X(PREFETCH_IN_FLIGHT, neap_prefetch_in_flight, GAUGE, "", "Prefetches under way.")                         \
  X(PREFETCH_WAITING, neap_prefetch_waiting_bytes, GAUGE, "",                                                \
    "Bytes under way or waiting for their first use.")                                                       \
  X(PREFETCH_MEMORY, neap_prefetch_targets_bytes, GAUGE, "", "Memory for targets of past requests.")         \
  X(PREFETCH_LOST, neap_prefetch_events_lost_total, COUNTER, "",                                             \
    "Events that the policies were not told of.")                                                            \
  X(POLICY_CALLS, neap_policy_calls_total, COUNTER, "kind,name,policy,generation",                           \
    "Questions to policies in force. name: of the pool or the cache.")                                       \
  X(POLICY_FAULTS, neap_policy_faults_total, COUNTER, "kind,name,policy,generation,reason",                  \
    "Calls that failed: error, fuel, memory, answer.")                                                       \
  X(POLICY_FALLBACKS, neap_policy_fallbacks_total, COUNTER, "kind,name,policy,generation",                   \
    "Questions that the native fallback answered.")                                                          \
  X(POLICY_TRIPS, neap_policy_trips_total, COUNTER, "kind,name,policy,generation",                           \
    "Times that the guard took a policy out.")                                                               \
  X(VALUES_REFUSED, neap_route_values_refused_total, COUNTER, "generation",                                  \
    "Values that functions of routes made and that may not stand where they were put, or were too much: "    \
    "clients may cause them.")                                                                               \
  X(POLICY_ABORTS, neap_policy_trace_aborts_total, COUNTER, "kind,name,policy,generation",                   \
    "Times that the JIT compiler gave up on a trace of the policy's VMs.")                                   \
  X(POLICY_MEMORY, neap_policy_memory_bytes, GAUGE, "kind,name,policy,generation",                           \
    "Memory of the policy with its VMs, over all workers.")                                                  \
  X(CANDIDATE, neap_candidate, GAUGE, "kind,subject,generation", "1 while a shadow or a canary is tried.")   \
  X(SHADOW_ASKED, neap_shadow_asked_total, COUNTER, "subject,pool",                                          \
    "Decisions that the shadow was asked for: balance by pool, or route.")                                   \
  X(SHADOW_AGREED, neap_shadow_agreed_total, COUNTER, "subject,pool",                                        \
    "Of these, that were the same as those in force.")                                                       \
  X(SHADOW_FAILED, neap_shadow_failed_total, COUNTER, "subject,pool", "Of these, that failed.")              \
  X(SHADOW_HITS, neap_shadow_hit_ratio, GAUGE, "side",                                                       \
    "Hit ratio of a shadow of the cache: live, replayed (the policy in force), would_be (the candidate).")   \
  X(CANARY_SHARE, neap_canary_share, GAUGE, "", "Share of requests that the canary is to serve.")            \
  X(CANARY_REQUESTS, neap_canary_requests_total, COUNTER, "side",                                            \
    "Requests finished since the canary began: in_force or candidate.")                                      \
  X(CANARY_ERRORS, neap_canary_errors_total, COUNTER, "side", "Of these, that ended in an error.")           \
  X(CANARY_P99, neap_canary_p99_seconds, GAUGE, "side",                                                      \
    "99th percentile of their time, since the canary began.")

#define NEAP_METRIC_ENUM(ID, name, type, labels, help) NEAP_METRIC_##ID,
typedef enum neap_metric { NEAP_METRICS(NEAP_METRIC_ENUM) NEAP_METRIC_COUNT } neap_metric;
#undef NEAP_METRIC_ENUM

typedef struct neap_metric_row {
  const char *name, *type, *labels, *help; /* type: "counter", "gauge", "histogram" */
} neap_metric_row;
extern const neap_metric_row neap_metric_table[NEAP_METRIC_COUNT];

typedef struct neap_exposition {
  char *text;
  size_t size, room;
  int metric; /* of the last sample; -1: none */
  bool open_metrics, failed;
} neap_exposition;

#define NEAP_EXPOSE_TEXT "text/plain; version=0.0.4; charset=utf-8"
#define NEAP_EXPOSE_OPEN "application/openmetrics-text; version=1.0.0; charset=utf-8"

void neap_expose_begin(neap_exposition *out, bool open_metrics);
/* Adds a sample. `values`: of the labels, as many as the table names; may be NULL where there are none. */
void neap_expose(neap_exposition *out, neap_metric metric, double value, const char *const *values);
void neap_expose_timing(neap_exposition *out, neap_metric metric, const neap_timing_sum *sum,
                        const char *const *values);
/* The text, to be given to free(); its size in *size. NULL when out of memory. */
char *neap_expose_end(neap_exposition *out, size_t *size);

#endif
