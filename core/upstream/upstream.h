/* The servers behind the gateway: backends, pools of them, and connections to them.
 *
 *   backends     all backends of the process, by address. Their state outlives reloads: what is known of a
 *                server (down, in flight, how fast) does not change because a file was read again. Any thread
 *   pool         one generation's set of backends with its balance policy, one instance per worker
 *   sessions     which backend a client stays with: by a signed cookie, or by a table of the process
 *   queues       one worker's requests that wait for a backend
 *   connections  one worker's connections: in use, or kept open for the next request
 */
#ifndef NEAP_UPSTREAM_UPSTREAM_H
#define NEAP_UPSTREAM_UPSTREAM_H

#include "base/care.h"
#include "base/match.h"
#include "base/timing.h"
#include "loop/loop.h"
#include "policy/policy.h"
#include "upstream/report.h"
#include "upstream/source.h"

/* --- backends */
typedef struct neap_backends neap_backends;
typedef struct neap_backend neap_backend;

int neap_backends_create(neap_backends **out);
/* Every backend must have been given back. */
void neap_backends_destroy(neap_backends **backends);
/* The backend `address` ("host:port"), made where it is new. A name is looked up, once: not on a worker. The
 * caller holds it until neap_backend_give. NEAP_EINVAL with a sentence, NEAP_ENOMEM. Any thread. */
int neap_backends_take(neap_backends *backends, const char *address, neap_backend **out, neap_err *err);
/* Whether it is held by somebody: then taking it looks nothing up. Any thread. */
bool neap_backends_have(neap_backends *backends, const char *address);
/* The same for a name that has been looked up: `text` as in neap_backends_take, `address` what it stands for,
 * unless it is held already. NEAP_ENOMEM. Any thread. */
int neap_backends_put(neap_backends *backends, const char *text, const neap_address *address,
                      neap_backend **out);
/* The same for a name that is never looked up: nobody can connect to it, and what is known of it is kept as
 * of any. NEAP_ENOMEM. Any thread. */
int neap_backends_name(neap_backends *backends, const char *name, neap_backend **out);
/* One more holder, which gives it back. The caller has it already. Any thread. */
neap_backend *neap_backend_hold(neap_backend *backend);
/* Any thread. The last one forgets what is known of the backend. */
void neap_backend_give(neap_backends *backends, neap_backend *backend);

const char *neap_backend_address(const neap_backend *backend);
enum { NEAP_CHECKS_MAX = 8 }; /* different rules by which one backend is probed */

/* What is known of a backend's health, and how often what happened. */
typedef struct neap_vitals_info {
  int32_t probed;      /* NEAP_BACKEND_UP, DOWN or UNKNOWN: what the pool's probes say */
  uint64_t checked_ms; /* when the last of them ended; 0: none did */
  bool check_good;     /* whether that one passed; it may take more for `probed` to change */
  uint64_t probes, probe_failures, transitions; /* by whichever rules */
  uint64_t ejected_until_ms;                    /* past or 0: it is not ejected */
  uint64_t ejections;
  enum { NEAP_BREAKER_CLOSED, NEAP_BREAKER_OPEN, NEAP_BREAKER_HALF } breaker;
  uint64_t breaker_opened;
  uint64_t errors;        /* outcomes that counted against it: 5xx, broken off, late, unreachable */
  uint64_t report_ms;     /* of its newest load report; 0: none came */
  int32_t load, capacity; /* by that report; -1 and 0: not said */
  double utilization;     /* -1: not said */
  double factor;          /* of its share, where weights are dynamic; 1 otherwise */
} neap_vitals_info;

enum { NEAP_BACKEND_ID = 37 }; /* of the text, NUL included */
/* Who it is for people: a UUID, as configured, or made of its address and so the same everywhere. Any thread.
 */
void neap_backend_id_get(neap_backend *backend, char out[NEAP_BACKEND_ID]);
/* `id` of the configuration; "": none. */
void neap_backend_set_id(neap_backend *backend, const char *id);
/* What is known of a backend; any thread, a snapshot. */
typedef struct neap_backend_info {
  int32_t state; /* NEAP_BACKEND_... */
  int32_t in_flight;
  double ewma_us;
  double error_rate; /* of its last some thirty requests, 0..1 */
  uint64_t requests, failures;
  neap_vitals_info vitals;
  neap_timing_sum response; /* from the request sent to the head of its response */
} neap_backend_info;
/* `check`: neap_care_health.key of the pool by whose probes it is judged. */
void neap_backend_info_get(const neap_backend *backend, uint64_t check, uint64_t now_ms,
                           neap_backend_info *out);

/* --- sessions: what outlives generations. Any thread. */

enum {
  NEAP_SESSION_SECRET = 32,      /* bytes of the process's own secret */
  NEAP_SESSION_SECRETS_MAX = 8,  /* configured ones of a pool */
  NEAP_SESSION_COOKIE_MAX = 320, /* bytes of a Set-Cookie value */
  NEAP_SESSION_TABLE = 1 << 17   /* sessions that the table holds, of all pools; the stalest go first */
};

typedef struct neap_sessions neap_sessions;

/* `secret` is random, copied, and signs cookies where no other is configured: so they outlive reloads, but
 * neither restarts nor other gateways. NEAP_ENOMEM. */
int neap_sessions_create(const uint8_t secret[NEAP_SESSION_SECRET], neap_sessions **out);
void neap_sessions_destroy(neap_sessions **sessions);

typedef enum neap_session_kind {
  NEAP_SESSION_OFF,
  NEAP_SESSION_COOKIE,
  NEAP_SESSION_TABLED
} neap_session_kind;

/* How the clients of a pool stay with their backends. Texts are borrowed until the pool is destroyed. */
typedef struct neap_session_options {
  neap_session_kind kind;
  const char *cookie;         /* COOKIE: its name */
  bool secure;                /* COOKIE: to be sent over TLS alone */
  const char *const *secrets; /* COOKIE: the first signs, all are believed; none: the process's own */
  size_t secret_count;        /* at most NEAP_SESSION_SECRETS_MAX */
  neap_match_key by;          /* TABLED: what tells clients apart */
  const char *by_name;
  uint64_t timeout_ms; /* without a request; cookies are renewed when a tenth of it is over */
} neap_session_options;

/* --- pools. Worker only; made on any thread. */
typedef struct neap_pool neap_pool;
typedef struct neap_queues neap_queues;

typedef struct neap_pool_member {
  neap_backend *backend; /* borrowed: the pool takes a hold of its own */
  int32_t weight;        /* 1 or more */
  int32_t priority;      /* 0..NEAP_PRIORITIES - 1 */
  int32_t limit;         /* most requests at once, over all workers and pools; 0: no limit */
  bool draining;         /* it takes no new requests */
} neap_pool_member;

typedef struct neap_pool_options {
  const char *name;   /* borrowed, as the rest */
  neap_match_key key; /* what it balances by; used by whoever picks */
  const char *key_name;
  const neap_pool_member *members; /* at first; read by create alone */
  size_t member_count;
  uint64_t connect_timeout_ms, response_timeout_ms, idle_timeout_ms, down_time_ms;
  uint32_t max_idle, max_retries;
  uint64_t retry_delay_ms;
  double retry_budget;     /* retries, as a share of the requests, beside NEAP_RETRIES_FREE a second */
  double hedge_percentile; /* when a second copy is sent: a share of the response times, 0..1 ... */
  uint64_t hedge_delay_ms; /* ... or a time; both 0: never */
  double hedge_budget;     /* copies, as a share of the requests */
  neap_session_options session;
  neap_sessions *sessions;   /* may be NULL where `session` is OFF */
  const neap_care *care;     /* NULL: what cannot be reached is left alone, and that is all */
  uint32_t max_queue;        /* most requests that wait for a backend, on this worker; 0: none */
  uint64_t queue_timeout_ms; /* for so long */
  /* The balance policy. */
  const char *balance, *source;
  const neap_param *params;
  size_t param_count;
  neap_registry *registry;
  const neap_host *host;
  uint64_t generation, seed;
  uint32_t series; /* what the pool is counted under; not used here */
} neap_pool_options;

/* `options` is copied, what it points to is borrowed until destroy. */
int neap_pool_create(const neap_pool_options *options, neap_pool **out, neap_err *err);
void neap_pool_destroy(neap_pool **pool);
const neap_pool_options *neap_pool_options_of(const neap_pool *pool);
neap_policy *neap_pool_policy(neap_pool *pool);

/* --- a balance policy that is asked beside the pool's, and whose answers nobody follows */
typedef struct neap_pool_shadow neap_pool_shadow;

/* With the policy that `like` has, which nobody uses meanwhile and which outlives it. Any thread. */
int neap_pool_shadow_create(const neap_pool *like, neap_pool_shadow **out, neap_err *err);
/* No pool may have it. On the thread that uses the VM of its policy. */
void neap_pool_shadow_destroy(neap_pool_shadow **shadow);
/* From now on the shadow is asked after the pool's policy, with the same board, and told the same events;
 * NULL: nobody is. Worker only. */
void neap_pool_set_shadow(neap_pool *pool, neap_pool_shadow *shadow);

typedef struct neap_pool_shadow_share {
  double id; /* neap_backend_row.id; 0: of all that there was no room for */
  uint64_t picks, would_be;
} neap_pool_shadow_share;
typedef struct neap_pool_shadow_sum {
  uint64_t asked, agreed;
  uint64_t failed; /* asks that its guard had to answer */
  bool rests;      /* it has failed too often, and is asked no more */
} neap_pool_shadow_sum;
/* Adds what was counted. Any thread. */
void neap_pool_shadow_gather(const neap_pool_shadow *shadow, neap_pool_shadow_sum *sum);
/* The share at `index`; false after the last. Any thread. */
bool neap_pool_shadow_share_at(const neap_pool_shadow *shadow, size_t index, neap_pool_shadow_share *out);
/* The id of the backend with that address. */
double neap_backend_id(const char *address);

/* Who is in it changes while it runs. Nothing that is known of the others is touched.
 * join: NEAP_EEXIST where the backend is in the pool already, NEAP_ENOMEM.
 * The others: NEAP_ENOTFOUND where no member has that address. */
int neap_pool_join(neap_pool *pool, const neap_pool_member *member);
int neap_pool_leave(neap_pool *pool, const char *address);
int neap_pool_set_weight(neap_pool *pool, const char *address, int32_t weight);
int neap_pool_set_draining(neap_pool *pool, const char *address, bool draining);

/* The member with that address, as it is now; NULL. Borrowed until the next change. */
const neap_pool_member *neap_pool_find(const neap_pool *pool, const char *address);

enum { NEAP_TRIES_MAX = 8 };     /* backends that one exchange may try */
enum { NEAP_RETRIES_FREE = 10 }; /* retries a second that a worker makes whatever the budget */

/* One that waits for a backend: embedded in its exchange. */
typedef struct neap_pool_waiter {
  struct neap_pool_waiter *prev, *next;
  bool waiting, fresh;
  void (*wake)(struct neap_pool_waiter *waiter); /* ask again, or leave the queue */
} neap_pool_waiter;

typedef struct neap_pool_ask {
  const neap_request_board *request;
  double key;
  uint64_t now_ms;
  const int32_t *tried;
  int tried_count;
  neap_queues *queues;            /* of the worker; NULL: nobody waits */
  const neap_pool_waiter *waiter; /* of the exchange; NULL: it cannot wait */
} neap_pool_ask;

/* Picks a member that is not among `tried`. Where no other is left that may be picked, one that is down is
 * tried rather than none. Its index, which the caller holds until neap_pool_let_go; NEAP_PICK_NONE when none
 * is left; NEAP_PICK_WAIT: neap_pool_wait, since the policy wants that, all are busy, or others wait already.
 * hot:
 */
int32_t neap_pool_pick(neap_pool *pool, const neap_pool_ask *ask);
/* The members whose load the policy wanted to know when it was asked last: those that may be there and whose
 * newest report is older than `fresh_ms`; the wish is taken. At most NEAP_PICK_PROBES_MAX; none where the
 * pool sends no load probes. hot: one load where it does not. */
int neap_pool_probes(neap_pool *pool, int32_t *members, uint64_t fresh_ms);
/* Holds a member that was not picked but found: a session's. */
void neap_pool_hold(neap_pool *pool, int32_t member);
void neap_pool_let_go(neap_pool *pool, int32_t member);
/* The backend of a member that the caller holds. */
neap_backend *neap_pool_backend(const neap_pool *pool, int32_t member);

/* Puts the waiter at the end of the queue; one that waits already stays where it is. It is woken, on the
 * worker's turn, when something may have changed: it asks again and waits on, or leaves. NEAP_EROOM: the
 * queue is full. */
int neap_pool_wait(neap_pool *pool, neap_pool_waiter *waiter, bool fresh);
/* Leaves the queue; nothing where it is in none. hot: */
void neap_pool_stop_waiting(neap_pool *pool, neap_pool_waiter *waiter);

/* One worker's queues. The end of a request on any worker wakes those of all, at once where it was this one,
 * else by a task; whatever else may help (a backend that is up again) is seen within 50 ms. */
int neap_queues_create(neap_backends *backends, neap_loop *loop, neap_queues **out);
/* Nobody may be waiting. On the worker's thread, or after it. */
void neap_queues_destroy(neap_queues **queues);
/* To be called once per turn of the loop, before it waits. hot: nothing to do is one comparison. */
void neap_queues_turn(neap_queues *queues);

/* The member that the cookie's value names: -1 where it is forged, too old, of another pool, or names one
 * that has left. *renew: the client is to be told again. hot: no allocation, a keyed SHA-256. */
int32_t neap_pool_session_read(neap_pool *pool, neap_view value, int64_t wall_s, bool *renew);
/* Writes the value of a Set-Cookie field that binds the client to `member`, up to NEAP_SESSION_COOKIE_MAX
 * bytes. Returns how many; NEAP_ESMALL. */
ssize_t neap_pool_session_write(neap_pool *pool, int32_t member, int64_t wall_s, char *out, size_t capacity);
/* The table: the member that the client with this key stays with, or -1; and that it stays with `member`. */
int32_t neap_pool_session_find(neap_pool *pool, double key, uint64_t now_ms);
void neap_pool_session_keep(neap_pool *pool, double key, int32_t member, uint64_t now_ms);
/* Why a member may not be picked now: NEAP_BAR_... bits, 0 where it may. */
/* The rows that the policy sees, as of the last pick; *count of them. */
const neap_backend_row *neap_pool_rows(const neap_pool *pool, int32_t *count);
int32_t neap_pool_barred(neap_pool *pool, int32_t member, uint64_t now_ms);

/* A request has come: it earns its share of the budgets. hot: */
void neap_pool_arrived(neap_pool *pool);
/* Whether there is budget for a retry, or a second copy; pays for it. */
bool neap_pool_may_retry(neap_pool *pool, uint64_t now_ms);
bool neap_pool_may_hedge(neap_pool *pool);
/* How long to wait for a response before a second copy is sent; 0: none is. hot: */
uint64_t neap_pool_hedge_delay_ms(neap_pool *pool, uint64_t now_ms);

/* What became of a request on a member. */
typedef struct neap_pool_outcome {
  int32_t in_flight; /* what neap_pool_begin gave */
  int32_t status;    /* of the answer; 0: there was none */
  uint64_t took_us;  /* from the request sent to the head of the answer, or to the failure */
} neap_pool_outcome;

/* Accounting of what happened on a member; the balance policy is told. hot: begin and end pair up, with at
 * most one outcome between them. begin gives the requests in flight on it, over all workers, this one
 * included. */
int32_t neap_pool_begin(neap_pool *pool, int32_t member);
void neap_pool_end(neap_pool *pool, int32_t member);
/* It answered, with whatever status. */
void neap_pool_answered(neap_pool *pool, int32_t member, const neap_pool_outcome *outcome, uint64_t now_ms);
/* It could not be reached: it is left alone for the pool's down time. */
void neap_pool_unreachable(neap_pool *pool, int32_t member, const neap_pool_outcome *outcome,
                           uint64_t now_ms);
/* It broke off or was too slow. */
void neap_pool_failed(neap_pool *pool, int32_t member, const neap_pool_outcome *outcome, uint64_t now_ms);
/* It said how busy it is. */
void neap_pool_reported(neap_pool *pool, int32_t member, const neap_report *report, uint64_t now_ms);

/* --- the keeper: probes, ejection by rate, dynamic weights. One thread, which is no worker. */
typedef struct neap_keeper neap_keeper;

/* A pool as the keeper sees it. */
typedef struct neap_keeper_pool {
  const char *name;
  const neap_care *care;
  const neap_pool_member *members;
  size_t member_count;
  /* Where its health is scripted: the verdict on an answer, 1 or 0; less: the plain rules are to judge. */
  int (*judge)(void *judge_user, int32_t pool, const neap_probe_board *probe);
  void *judge_user;
  int32_t index; /* of the pool, for `judge` */
} neap_keeper_pool;

/* `host` is complete and borrowed. NEAP_ENOMEM. */
int neap_keeper_create(neap_loop *loop, const neap_host *host, neap_keeper **out);
/* From now on these are all pools there are. What they point to is borrowed until the next call, their
 * backends as well. A backend is probed once for each set of rules that its pools have, and each pool goes by
 * what its own say. One that stays is probed on as if nothing had happened, unless the rules of a pool are
 * others: then it is asked at once, and what the pool knew of it stays. Pools are told by their names. */
void neap_keeper_set(neap_keeper *keeper, const neap_keeper_pool *pools, size_t count);
void neap_keeper_destroy(neap_keeper **keeper);

/* --- connections. Worker only. */
typedef struct neap_connections neap_connections;
typedef struct neap_connection neap_connection;

int neap_connections_create(neap_loop *loop, neap_connections **out);
/* Closes those that are kept open. None may be in use. */
void neap_connections_destroy(neap_connections **connections);

/* What the user of a connection is told; see neap_stream_vt. */
typedef struct neap_connection_vt {
  void (*connected)(void *user, int error); /* 0 or NEAP_EIO: of neap_connection_open */
  void (*readable)(void *user);
  void (*sent)(void *user);
  void (*failed)(void *user);
} neap_connection_vt;

/* The newest connection that is kept for the backend, or NULL: it can be used at once. hot: */
neap_connection *neap_connection_take(neap_connections *connections, neap_backend *backend,
                                      const neap_connection_vt *vt, void *user);
/* Makes a new one; `connected` is told. NEAP_EIO when it is refused at once, NEAP_ENOMEM. */
int neap_connection_open(neap_connections *connections, neap_backend *backend, const neap_connection_vt *vt,
                         void *user, neap_connection **out);
neap_stream *neap_connection_stream(neap_connection *connection);
/* From now on another is told of it. */
void neap_connection_serve(neap_connection *connection, const neap_connection_vt *vt, void *user);
/* A kept connection may have been closed by its backend, or hold bytes that nobody asked for. True where
 * nothing of that is known now; one system call, for requests that must not be sent twice. */
bool neap_connection_is_quiet(neap_connection *connection);
/* Gives back a connection whose response has been read to its end and nothing beyond it: kept for the next.
 * Clears the pointer. hot: */
/* How many are kept to a backend. Any thread, while there are these connections. */
uint32_t neap_connections_kept(const neap_connections *connections, const neap_backend *backend);
void neap_connection_keep(neap_connection **connection, uint64_t idle_timeout_ms, uint32_t max_idle);
/* Closes it. Clears the pointer. */
void neap_connection_drop(neap_connection **connection);

#endif
