/* The facade of the only folder that knows LuaJIT: policies and configuration written in Lua.
 * script/vm.h has the virtual machine, script/evict.c and script/balance.c the policies, script/config.c the
 * configuration, script/worker.c the functions in it. */
#ifndef NEAP_SCRIPT_SCRIPT_H
#define NEAP_SCRIPT_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/actions.h"
#include "base/care.h"
#include "base/match.h"
#include "neap/cache.h"
#include "policy/policy.h"

/* Proves that the lua_* functions this library is bound to are LuaJIT's. 0 or NEAP_EHOSTLUA. */
int neap_script_check_host(neap_err *err);

/* Adds the loader of Lua policies: shipped names, "Custom(name)", files. `host` is complete and borrowed. */
void neap_script_register(neap_registry *registry, const neap_host *host);

/* --- checking
 * ----------------------------------------------------------------------------------------------------
 * What `neap check` tells of one file, line by line, without line ends: "file:line: error: text",
 * "file:line: warning: text" (a trace abort in a hot function), "file: note: text" (cost per decision). */
typedef void (*neap_check_tell)(void *user, const char *line);

/* What a file is, by what it requires and returns. */
typedef enum neap_file_kind {
  NEAP_FILE_EVICT,
  NEAP_FILE_BALANCE,
  NEAP_FILE_PREFETCH,
  NEAP_FILE_CONFIGURATION,
  NEAP_FILE_RULES, /* a function of options, which returns one that is asked of requests */
  NEAP_FILE_PROBES /* the same, which is asked of the replies to probes */
} neap_file_kind;
/* NEAP_EIO with the reason in `err`. Any thread. */
int neap_script_kind(const char *path, neap_file_kind *out, neap_err *err);
/* Whether a policy of that name comes with the engine, native or not. Any thread. */
bool neap_script_ships(neap_domain domain, const char *name);

/* Checks a policy file of any domain, or a configuration with the policies it names: compiles, validates
 * parameters, dry-runs, measures. `host` is complete and borrowed during the call. 0: usable, though there
 * may be warnings; NEAP_EINVAL: errors were told; NEAP_EIO: not readable (told too); NEAP_ENOMEM. */
int neap_script_check(const neap_host *host, const char *path, neap_check_tell tell, void *user);

/* --- configuration
 * -------------------------------------------------------------------------------------------------
 * neap.lua is run in the sandbox and yields a plain table, which is checked whole: every problem is reported,
 * none is skipped. What comes out is this struct, immutable, shared by all workers of a generation. Times are
 * milliseconds, sizes bytes, indexes count from 0, texts are never NULL unless it says so. */

typedef struct neap_config_listener {
  const char *address;        /* as given, for logs: "127.0.0.1:8080" */
  const char *host;           /* "" for all interfaces; IPv6 without brackets */
  uint16_t port;              /* 0: any free port */
  uint64_t header_timeout_ms; /* from the first byte of a request head (or the accept) to its end */
  uint64_t idle_timeout_ms;   /* between requests of a connection */
  uint64_t max_header_size;   /* request line and headers together */
  bool resp;                  /* for clients of Redis: of those above, address, host and port count */
  const char *password;       /* of it; "" none. At most 256 bytes */
  uint32_t max_clients;
  uint64_t client_timeout_ms; /* 0: none */
  uint64_t stall_timeout_ms;
  uint64_t client_memory;
} neap_config_listener;

typedef struct neap_config_backend {
  const char *address; /* "127.0.0.1:9001": its identity over reloads */
  const char *host;    /* an IP address without brackets, or a name */
  uint16_t port;       /* 1..65535 */
  int32_t weight;      /* 1..1000 */
  int32_t priority;    /* 0..NEAP_PRIORITIES - 1: 0 first */
  int32_t limit;       /* most requests at once, over all workers; 0: no limit */
  const char *id;      /* as given; "": made of the address */
} neap_config_backend;

/* How clients of a pool stay with their backend. */
typedef struct neap_config_session {
  bool cookie, table; /* at most one of them */
  const char *name;   /* of the cookie */
  bool secure;
  const char *const *secrets; /* the first signs; none: random */
  size_t secret_count;
  neap_match_key by; /* for neap_route_key: what the table tells clients apart by */
  const char *by_name;
} neap_config_session;

typedef struct neap_config_pool {
  const char *name;
  const char
      *balance;       /* for neap_policy_open in NEAP_BALANCE with neap_worker_registry: "native:round_robin",
                         "p2c", a file's path, "inline:app" for a function in neap.lua */
  const char *source; /* text of the file that `balance` names, read once for all workers; NULL: shipped */
  const neap_param *params;
  size_t param_count;
  neap_match_key key;   /* for neap_route_key in route/route.h */
  const char *key_name; /* of the header, the cookie or the parameter; "" for the others */
  const neap_config_backend *backends;
  size_t backend_count;       /* may be 0 where some are discovered */
  const char *const *sources; /* of more: "dns:...", "file:..." */
  size_t source_count;
  uint64_t source_refresh_ms;
  uint64_t connect_timeout_ms;  /* to a backend */
  uint64_t response_timeout_ms; /* from the request sent to the head received, and between parts of a body */
  uint64_t idle_timeout_ms;     /* of a kept connection */
  uint32_t max_idle;            /* kept connections per backend and worker */
  uint32_t max_retries;         /* other backends tried after the first, for requests safe to repeat */
  uint32_t max_queue;           /* most requests that wait for a backend, on each worker; 0: none */
  uint64_t queue_timeout_ms;    /* for so long */
  uint64_t down_time_ms;        /* a backend that refused a connection is left alone for so long */
  uint64_t retry_delay_ms;      /* before the first retry; doubles */
  double retry_budget;          /* retries, as a share of the requests */
  double hedge_percentile;      /* 0..1; 0: hedge_delay_ms counts */
  uint64_t hedge_delay_ms;      /* both 0: no second copies */
  double hedge_budget;          /* second copies, as a share of the requests */
  neap_config_session session;
  uint64_t session_timeout_ms;
  neap_care care; /* probes, ejection, breaker, slow start, panic */
} neap_config_pool;

/* Changes to a head, applied in this order: remove, then set (which replaces all of that name). */
typedef struct neap_config_edits {
  const char *const *remove;
  size_t remove_count;
  const neap_match_field *set;
  size_t set_count;
} neap_config_edits;

typedef enum neap_config_action {
  NEAP_ACTION_POOL,
  NEAP_ACTION_RESPOND,
  NEAP_ACTION_REDIRECT
} neap_config_action;

typedef struct neap_config_route {
  const char *name; /* as given, or made of its matchers: "GET example.com/api"; for logs and metrics */
  neap_match match; /* match.conditional: ask neap_worker_when before it is taken */
  bool passes;      /* a request that wants too much of its predicate goes on to the next route */
  neap_config_action action;
  int32_t pool; /* NEAP_ACTION_POOL: index; -1 otherwise */

  bool cache;              /* may its responses be stored and served from the cache */
  uint64_t cache_ttl_ms;   /* of responses that do not state their freshness; 0: those are not stored */
  const char *cache_space; /* part of the cache key; "": the name of the pool that is taken */
  bool cache_prefetch;     /* what is prefetched may go there */
  uint32_t cache_tiers;    /* NEAP_TIER_FLAG_...: where they lie beside memory */

  int32_t status;           /* RESPOND, REDIRECT */
  const char *body;         /* RESPOND; may be empty, never holds a NUL */
  const char *content_type; /* RESPOND */
  const char *location;     /* REDIRECT: absolute, or a path */

  neap_config_edits request;   /* to the head sent to the backend */
  neap_config_edits response;  /* to the head sent to the client */
  const neap_actions *actions; /* NULL: none */
} neap_config_route;

typedef struct neap_config_table {
  const char *name;
  neap_table_kind kind;
  const char *file; /* relative to the configuration's folder; "": the rows are here */
  const char *rows; /* lines, as in a file */
  uint64_t hash;    /* of `rows` */
  bool rates;       /* a limit takes its rates from it */
} neap_config_table;

/* What a tier below memory has, of whatever kind. */
typedef struct neap_config_tier {
  bool set;            /* it is there */
  uint64_t ttl_ms;     /* most that lies there; 0: as long as it is fresh */
  uint64_t timeout_ms; /* of a call */
  uint64_t max_object; /* bytes */
  uint32_t breaker_min, breaker_percent, breaker_window_ms, breaker_open_ms, breaker_open_max_ms;
} neap_config_tier;

typedef enum neap_config_redis_layout {
  NEAP_CONFIG_REDIS_SINGLE,
  NEAP_CONFIG_REDIS_SENTINEL,
  NEAP_CONFIG_REDIS_CLUSTER
} neap_config_redis_layout;

typedef struct neap_config_redis {
  neap_config_tier tier;
  neap_config_redis_layout layout;
  const char *const *addresses; /* ended by NULL */
  /* NULL where they are not said */
  const char *group, *user, *password, *sentinel_user, *sentinel_password;
  const char *ca_file, *server_name, *certificate_file, *key_file;
  uint32_t database, connections;
  bool tls;
  uint64_t connect_timeout_ms;
  const char *prefix;
} neap_config_redis;

typedef struct neap_config_cdn {
  neap_config_tier tier;
  const char *url;
  const char *bearer, *header, *surrogate; /* NULL where they are not said */
  const char *purge_method;
} neap_config_cdn;

/* The tiers of the HTTP cache below memory. */
typedef struct neap_config_tiers {
  bool enabled; /* there is one */
  bool through; /* writes are sent at once, not a moment later */
  bool local;   /* what others delete does not leave memory */
  uint64_t soft_timeout_ms, negative_ttl_ms;
  neap_config_redis redis;
  neap_config_cdn cdn;
  uint64_t hash; /* of all of it: equal settings hash alike */
} neap_config_tiers;

typedef enum neap_config_mode {
  NEAP_CONFIG_THROUGH,
  NEAP_CONFIG_BEHIND,
  NEAP_CONFIG_AROUND
} neap_config_mode;
typedef enum neap_config_consistency {
  NEAP_CONFIG_LOCAL,
  NEAP_CONFIG_EVENTUAL,
  NEAP_CONFIG_STRONG
} neap_config_consistency;

/* The keys of RESP ports in those tiers. */
typedef struct neap_config_keys {
  uint32_t tiers; /* NEAP_TIER_FLAG_...; 0: they lie in memory alone */
  neap_config_mode mode;
  neap_config_consistency consistency; /* of clients that say nothing */
  const char *prefix;                  /* in Redis */
  uint64_t timeout_ms;                 /* of a command, for all tiers */
  bool failures_shown;                 /* a read that no tier answers is an error */
  uint64_t hash;                       /* of all of it */
} neap_config_keys;

enum { NEAP_TIER_FLAG_REDIS = 1, NEAP_TIER_FLAG_CDN = 2 };

typedef struct neap_config_prefetch_policy {
  const char *name;
  const char *source; /* text of the file that it names; NULL: a shipped one */
  const neap_param *params;
  size_t param_count;
} neap_config_prefetch_policy;

/* What is fetched before it is asked for. */
typedef struct neap_config_prefetch {
  bool enabled, links;
  double refresh; /* in this last part of their lifetime; 0: none is */
  double precision, per_second, share, shelf;
  uint32_t in_flight;
  uint64_t memory; /* bytes, for targets */
  const neap_config_prefetch_policy *policies;
  size_t policy_count;
  uint64_t hash; /* of names and parameters of the policies */
} neap_config_prefetch;

typedef struct neap_config {
  const neap_config_listener *listeners;
  size_t listener_count; /* at least 1 */
  bool cache_enabled;    /* neap.cache{} was called, or a route caches */
  neap_cache_options cache;
  const char *cache_source;      /* text of the file that cache.evict names, as in neap_config_pool.source */
  neap_config_prefetch prefetch; /* into that cache */
  neap_config_tiers tiers;       /* of that cache */
  bool keys_enabled;             /* there is a RESP port */
  neap_cache_options keys;       /* what it serves */
  const char *keys_source;
  neap_config_keys keys_tiers;
  const neap_config_pool *pools;
  size_t pool_count;
  const neap_config_table *tables;
  size_t table_count;
  const neap_config_route *routes; /* in order of declaration */
  size_t route_count;
  uint32_t workers;                /* 0: as many as there are cores */
  uint64_t grace_ms;               /* for exchanges in flight when stopping */
  const char *const *name_servers; /* for what pools discover; none: the system's */
  size_t name_server_count;
  const char *control_socket; /* a path, "auto" or "off" */
  uint32_t control_mode;      /* permissions of that path */
  const char *admin_address;  /* "" none */
  const char *admin_token;    /* "" none */
  bool reload_watch, reload_dry_run;
  uint32_t reload_keep;   /* old generations for a rollback */
  const char *access_log; /* a file's path; "-": standard output; "" none */
  bool access_combined;   /* else JSON */
  uint64_t hash;          /* of all of the above: equal tables hash alike */
  uint64_t generation;
} neap_config;

/* A policy in the place of the one that the file names. */
typedef struct neap_config_instead {
  const char *pool; /* "": what evicts from the cache */
  const char *policy;
} neap_config_instead;

/* Where a configuration comes from. Borrowed during the call, kept as a copy in the neap_config. */
typedef struct neap_config_source {
  const char *name;   /* for messages: the path as the user gave it */
  const char *folder; /* relative policy files and `require` start here; NULL: neither is allowed */
  const char *text;
  size_t size;
  const char *const *environment;     /* "NAME=value", ended by NULL: overrides. NULL: none */
  const neap_config_instead *instead; /* goes before file and environment */
  size_t instead_count;
} neap_config_source;

/* Runs and checks a configuration in a scratch VM. `host` is complete and borrowed during the call.
 * `*report` is set in every case: NULL, or lines "file:line: error: text\n" ("warning:" where it may go on),
 * to be given to free(). 0, or NEAP_EINVAL (checked, and wrong), NEAP_ESYNTAX, NEAP_EFAULT, NEAP_EFUEL,
 * NEAP_EMEMCAP (its own code did not run through), NEAP_ENOMEM. Any thread. */
int neap_config_load(const neap_host *host, const neap_config_source *source, uint64_t generation,
                     neap_config **out, char **report);
void neap_config_destroy(neap_config **config);

/* All that a configuration is made of: its text, the policies it names, what they require. Kept in memory, so
 * that it can be loaded again when the files have changed or are gone. Any thread. */
typedef struct neap_config_record neap_config_record;
/* Of a configuration; a reference. */
neap_config_record *neap_config_record_of(const neap_config *config);
neap_config_record *neap_config_record_ref(neap_config_record *record);
void neap_config_record_unref(neap_config_record **record);
/* The same once more but for one policy, which is read anew where it is a file: all else stays as the record
 * has it. A reference; NULL when out of memory. */
neap_config_record *neap_config_record_with(const neap_config_record *record,
                                            const neap_config_instead *instead);
/* The policies in the place of others. Borrowed from `record`. */
const neap_config_instead *neap_config_record_instead(const neap_config_record *record, size_t *count);
/* What messages call it: its file. Borrowed from `record`. */
const char *neap_config_record_name(const neap_config_record *record);
/* Byte for byte. */
bool neap_config_record_same(const neap_config_record *a, const neap_config_record *b);
/* Tells every file that was read, the configuration first. */
void neap_config_record_each(const neap_config_record *record,
                             void (*tell)(void *user, const char *path, neap_view text), void *user);
/* As neap_config_load; reads nothing. */
int neap_config_load_record(const neap_host *host, neap_config_record *record, uint64_t generation,
                            neap_config **out, char **report);
/* From now on nothing is read for this configuration: every policy has been opened once. Before workers share
 * it. */
void neap_config_seal(neap_config *config);

/* The configuration in force as JSON, keys sorted, functions shown as "function". Borrowed from `config`. */
const char *neap_config_json(const neap_config *config);

/* --- one worker's VM
 * -----------------------------------------------------------------------------------------------
 * Runs the same file once more, in a VM of the worker, and keeps its functions: predicates of routes and
 * inline balance policies. Used by one thread at a time. */
typedef struct neap_worker_vm neap_worker_vm;

/* VMs that have run the runtime and nothing else, made before they are needed by a thread of low priority: a
 * reload finds half of the work done. Any thread. */
typedef struct neap_spares neap_spares;
enum { NEAP_SPARES_MAX = 32 };
/* There are none until some are wanted. `host` (complete) is borrowed until destroy. NEAP_ENOMEM, NEAP_EIO.
 */
int neap_spares_create(const neap_host *host, neap_spares **out);
/* Waits for one that is being made. */
void neap_spares_destroy(neap_spares **spares);
/* Fills up to `count`, at most NEAP_SPARES_MAX, in the background; those beyond it are freed. What is taken
 * afterwards is not made again until this is called once more. */
void neap_spares_want(neap_spares *spares, size_t count);
/* Waits until there are as many as were wanted, or memory is out. */
void neap_spares_await(neap_spares *spares);
size_t neap_spares_count(neap_spares *spares);

/* `config` and `host` (complete) are borrowed until destroy; policies opened through the VM's registry must
 * be closed before. `spares`, of the same host, has one less afterwards, where there was one; NULL: none.
 * NEAP_ESTATE when the file yields another table than the one in `config`. */
int neap_worker_vm_create(const neap_config *config, const neap_host *host, neap_spares *spares,
                          neap_worker_vm **out, neap_err *err);
void neap_worker_vm_destroy(neap_worker_vm **vm);

/* The natives, the shipped policies, files as the configuration's record has them, and the functions of this
 * VM ("inline:<pool>"). */
neap_registry *neap_worker_registry(neap_worker_vm *vm);

/* Where the functions of a VM read data tables, by their index in the configuration: during a call of a
 * predicate, an action or a balance policy. What is found stays as it is until the call is over. */
typedef struct neap_table_reader {
  void *user;
  bool (*get)(void *user, int32_t table, neap_slice key, neap_slice *value);
  bool (*draw)(void *user, int32_t table, double number, neap_slice *name); /* number: 0 to below 1 */
} neap_table_reader;
/* `reader` is borrowed. Without one, tables are empty. */
void neap_worker_read_tables(neap_worker_vm *vm, const neap_table_reader *reader);

/* Asks the predicate of a route. 1: it matches, or there is none; 0: it does not; NEAP_EFAULT (an error, or
 * an answer that is neither true nor false nor nil), NEAP_EFUEL, NEAP_EMEMCAP: it failed, which was counted
 * and logged, and counts as 0. NEAP_EINVAL: the request made it want too much of the request's values, which
 * was counted and logged, and is no failure. After three failures in a row (or one that kills the VM) it is
 * asked no more: NEAP_ESTATE until the next generation. hot: no allocation. */
int neap_worker_when(neap_worker_vm *vm, int32_t route, const neap_request_board *request);

/* Runs the action of a route. 0: what it decided is on *out, until the next call; or NEAP_EFAULT and so on,
 * as above: nothing was decided, and the route's own behaviour holds. NEAP_EINVAL: it gave a value that may
 * not stand where it was put, or wanted too much of the request's values, which was counted and logged and
 * decides nothing either; such values may be a client's, so they never take the function out. hot: no
 * allocation. */
int neap_worker_act(neap_worker_vm *vm, int32_t route, const neap_request_board *request,
                    const neap_act_board **out);

/* --- the control thread's VM
 * ------------------------------------------------------------------------------------------
 * Runs the same file once more and keeps the functions that judge probes. Used by one thread at a time. */
typedef struct neap_judge neap_judge;

/* `config` and `host` (complete) are borrowed until destroy. Errors as neap_worker_vm_create. */
int neap_judge_create(const neap_config *config, const neap_host *host, neap_judge **out, neap_err *err);
void neap_judge_destroy(neap_judge **judge);
/* The verdict on what a probe of `pool` brought, which is borrowed during the call. 1: well, 0: not;
 * NEAP_E... there is none, since the function failed (which was logged), was taken out after three failures
 * in a row, or is not there: the plain rules are to judge. */
int neap_judge_ask(neap_judge *judge, int32_t pool, const neap_probe_board *probe);
/* The newest fault, "file:line: text"; "" before the first. Valid until the next ask. */
const char *neap_judge_fault(const neap_judge *judge);
/* What the function of `pool` was asked and how often it failed; memory and aborts stay 0, since the VM is
 * all pools'. The thread that asks. */
void neap_judge_counters(const neap_judge *judge, int32_t pool, neap_policy_counters *out);
/* Its newest fault: see neap_policy_fault_peek. */
bool neap_judge_fault_peek(const neap_judge *judge, int32_t pool, uint64_t *at_ms, char out[NEAP_NOTE_TEXT]);

typedef struct neap_worker_counters {
  uint64_t asks, faults, trips; /* of predicates and actions */
  uint64_t refused;             /* values of actions that may not stand where they were put */
  uint64_t trace_aborts;
  size_t memory; /* bytes of the VM */
} neap_worker_counters;
void neap_worker_counters_get(const neap_worker_vm *vm, neap_worker_counters *out);
/* The same while another thread uses the VM; trace_aborts and memory are as of one of its newest asks. Any
 * thread. */
void neap_worker_counters_peek(const neap_worker_vm *vm, neap_worker_counters *out);
/* The newest fault of a predicate or an action, or value that was refused, "file:line: text"; "" before the
 * first. */
const char *neap_worker_fault(const neap_worker_vm *vm);
/* The newest fault with its time on the host's clock, while another thread uses the VM. False: there is none.
 * Any thread. */
bool neap_worker_fault_peek(const neap_worker_vm *vm, uint64_t *at_ms, char out[NEAP_NOTE_TEXT]);

#endif
