/* What the files of the gateway share. Internal to server/.
 *
 *   gateway.c         the control thread: start, signals, stop
 *   reload.c          who asked for a reload, one after the other: steps, results, history
 *   reload_plan.c     a new generation: everything that can fail first, then the switch
 *   generation.c      a configuration as the workers use it
 *   members.c         the members of pools: as configured, and as changed since
 *   member_edits.c    changing them; member_changes.c  what was changed
 *   discover.c        those that sources find
 *   tiers.c           what lies below the HTTP cache
 *   prefetch*.c       what is fetched before it is asked for
 *   listeners.c       sockets, and which worker accepts from which
 *   worker.c          a thread that serves
 *   candidate.c       a generation beside the one in force: shadow.c, shadow_cache.c, canary.c
 *   control*.c        what operators ask
 *   admin.c           the same over HTTP
 *   metrics.c         all figures, as Prometheus reads them
 */
#ifndef NEAP_SERVER_GATEWAY_H
#define NEAP_SERVER_GATEWAY_H

#include <pthread.h>

#include "base/base.h"
#include "flow/flow.h"
#include "front/front.h"
#include "loop/loop.h"
#include "script/script.h"
#include "server/admin.h"
#include "server/control.h"
#include "server/discover.h"
#include "server/members.h"
#include "server/names.h"
#include "server/prefetch.h"
#include "server/server.h"
#include "server/tiers.h"
#include "store/store.h"

/* A worker has a *place*: its index in everything that is by worker. It is free again when the worker has
 * ended, which may be long after its number was reduced. */
enum { NEAP_WORKERS_MAX = 256 };

/* --- a generation, loaded. Made by whoever prepares it, then the control thread's. */
typedef struct neap_loaded neap_loaded;

/* One worker's part. Used by the worker from commit to drained. */
typedef struct neap_loaded_part {
  neap_generation generation;
  neap_loaded *loaded; /* NULL: there is no such worker */
  neap_worker_vm *vm;
  size_t pool_count;
  neap_table_reader reader; /* of data tables, for the VM */
  neap_task retire;
} neap_loaded_part;

struct neap_loaded {
  neap_gateway *gateway;
  neap_config *config;
  uint64_t source; /* the generation that was first made of the same text, while that was in force or since */
  uint64_t before; /* the source that a rollback goes back to; 0: none */
  bool back;       /* made by a rollback: what `before` is was known then */
  bool of_file;    /* the gateway's file was read for it: no rollback, no promotion */
  uint64_t since_ms; /* committed then; wall clock */
  neap_routes *routes;
  neap_flow_route *rules;
  neap_members *members;   /* by pool */
  uint64_t members_serial; /* of the changes that they know of */
  neap_table **tables;     /* by their index in the configuration */
  neap_judge *judge;       /* of probes; NULL where no pool has a script for them */
  neap_generation_set *set;
  neap_loaded_part *parts; /* by place */
  uint32_t part_count;
  _Atomic uint32_t undrained;
  neap_task drained; /* to the control thread, when the last part is */
  neap_loaded *next; /* of those that are retired and not yet drained */
};

/* Loads the configuration: its file, another `file` where that is not NULL, or `record` where there is one.
 * Nothing is left on failure. Any thread. */
int neap_loaded_create(neap_gateway *gateway, uint64_t generation, const char *file,
                       neap_config_record *record, neap_loaded **out, char **report, neap_err *err);
/* Compiles its routes and takes its backends. Any thread. */
int neap_loaded_build(neap_loaded *loaded, neap_err *err);
/* Makes room for parts of `count` places, then opens one of them. Any thread. */
int neap_loaded_make_room(neap_loaded *loaded, uint32_t count, neap_err *err);
int neap_loaded_open_part(neap_loaded *loaded, uint32_t place, neap_err *err);
/* A part that its worker does not use (any more). */
void neap_loaded_close_part(neap_loaded *loaded, uint32_t place);
/* Has its pools looked after from now on, and those of a canary `beside` it (or NULL): those of other
 * generations may go. Control thread. */
void neap_loaded_keep(const neap_loaded *loaded, const neap_loaded *beside);
/* Retires it on every worker; frees it when all have let go of it. Control thread. */
void neap_loaded_retire(neap_loaded *loaded);
void neap_loaded_destroy(neap_loaded **loaded);

/* What two generations have in common. Texts may be NULL. */
bool neap_same_text(const char *a, const char *b);
bool neap_same_params(const neap_param *a, size_t a_count, const neap_param *b, size_t b_count);

/* --- listeners */

/* An address is listened on by several sockets, so that several workers can accept; the kernel spreads
 * connections over them. A socket stays as long as its address is configured: closing one would lose what
 * its queue holds. Where there are fewer workers than sockets, some accept from two. */
typedef struct neap_bound_socket {
  uint32_t id;   /* of it and its worker; 0: nobody accepts yet */
  int32_t place; /* of the worker that accepts */
  int own;       /* the control thread's descriptor, by which it can be handed on */
  int handed;    /* for the next worker, until it has it; -1: none */
} neap_bound_socket;

typedef struct neap_bound {
  char configured[NEAP_ADDRESS_TEXT + 256]; /* its identity over reloads, protocol included */
  char address[NEAP_ADDRESS_TEXT];          /* as bound */
  bool resp;                                /* else HTTP */
  uint32_t kept_count, socket_count;        /* those before `kept_count` are of the generation before */
  neap_bound_socket sockets[NEAP_WORKERS_MAX];
} neap_bound;

/* What a worker does with one socket at a commit. */
typedef struct neap_listener_change {
  uint32_t id;
  enum { NEAP_LISTENER_OPEN, NEAP_LISTENER_UPDATE, NEAP_LISTENER_CLOSE } what;
  int socket; /* OPEN */
  bool resp;  /* which of the two counts */
  neap_front_options options;
  neap_resp_options resp_options;
} neap_listener_change;

typedef struct neap_reload_plan neap_reload_plan;

/* Everything that can fail. What is bound so far is left in the plan. */
int neap_listeners_bind(neap_reload_plan *plan, neap_err *err);
void neap_listeners_undo(neap_reload_plan *plan);
/* At a commit, in this order, on the control thread. First: new sockets of addresses that are listened on
 * already get connections. */
void neap_listeners_listen(const neap_reload_plan *plan);
/* What is no longer listened on is the workers'
 * alone to close, once they have accepted what its queue holds. */
void neap_listeners_let_go(const neap_reload_plan *plan);
/* What the worker at `place` has to do; `changes` has room for all sockets, old and new. */
size_t neap_listeners_changes(const neap_reload_plan *plan, int32_t place, neap_listener_change *changes);
size_t neap_listeners_most_changes(const neap_reload_plan *plan);
/* The workers have been told: the plan's are the gateway's from now on. */
void neap_listeners_commit(neap_reload_plan *plan);
/* The gateway stops: what is in the sockets' queues is the workers'. */
void neap_listeners_close(neap_gateway *gateway);

/* --- workers */
typedef struct neap_worker neap_worker;

/* Starts a thread that waits for orders. Any thread. */
int neap_worker_create(neap_gateway *gateway, uint32_t place, neap_worker **out, neap_err *err);
/* Stops it at once and waits for its end. */
void neap_worker_destroy(neap_worker **worker);
neap_loop *neap_worker_loop(neap_worker *worker);
neap_flow *neap_worker_flow(neap_worker *worker); /* on its thread alone */
uint32_t neap_worker_place(const neap_worker *worker);
neap_flow *neap_worker_flow(neap_worker *worker); /* its own thread's */
/* Orders are posted and done in order. */
/* Takes on the listeners and the log (taken; NULL for none) of a new generation. `changes` is copied. */
int neap_worker_commit(neap_worker *worker, const neap_listener_change *changes, size_t count,
                       neap_access_log *log);
/* Asks those tiers from now on, NULL for none. */
void neap_worker_take_tiers(neap_worker *worker, neap_cascade *cascade);
typedef enum neap_worker_order {
  NEAP_WORKER_LEAVE, /* accept no more, give every client its next response, then tell the gateway */
  NEAP_WORKER_DRAIN, /* accept no more, finish what is under way, then tell the gateway */
  NEAP_WORKER_CLOSE, /* the same without finishing */
  NEAP_WORKER_REOPEN /* logs */
} neap_worker_order;
int neap_worker_tell(neap_worker *worker, neap_worker_order order);

/* Has VMs made for the next reload, while nobody waits for them. Control thread. */
void neap_gateway_make_spares(neap_gateway *gateway);

/* --- rate limits: by name, over reloads. Any thread. */
typedef struct neap_limiter_seat {
  char *name;
  neap_limiter *limiter;
  uint32_t uses;
  struct neap_limiter_seat *next;
} neap_limiter_seat;

/* The limiter of that name, made where there is none. Pairs with give. */
int neap_limiters_take(neap_gateway *gateway, const char *name, neap_limiter **out, neap_err *err);
void neap_limiters_give(neap_gateway *gateway, neap_limiter *limiter);

/* --- data tables: by name, kind and place, over reloads; and what watches their files. */
typedef struct neap_tables neap_tables;
typedef struct neap_table_seat neap_table_seat;

int neap_tables_create(neap_gateway *gateway, neap_tables **out);
/* All must have been given back. */
void neap_tables_destroy(neap_tables **tables);
/* Control thread: watches from now on; no more. */
void neap_tables_start(neap_tables *tables);
void neap_tables_stop(neap_tables *tables);
/* Control thread: looks at the files now; what has changed is built on a thread of its own. */
void neap_tables_look(neap_tables *tables);
/* The tables of a generation, loaded where they are new. Pairs with give. Any thread, but take is called by
 * one at a time. */
int neap_tables_take(neap_loaded *loaded, neap_err *err);
void neap_tables_give(neap_loaded *loaded);
/* Lets the functions of a part's VM read them. */
void neap_tables_show(neap_loaded_part *part);
/* Control thread: name, rows, age and newest error of each, as JSON. */
struct json_t *neap_tables_status(neap_tables *tables);
neap_table_readers *neap_tables_readers(neap_tables *tables);

/* --- history: what earlier generations were made of. Control thread only.
 *
 * It is one of texts, not of numbers. A text has the number of the generation that was first made of it, its
 * *source*, also when a reload finds it unchanged or a rollback brings it back. Each knows the one that was
 * in force *before* it, as the undo of an editor does: reloads and promotions put a text on top of the one in
 * force, a rollback goes back to where that was put on. What was gone back from is kept, and can be had by
 * its number, but is nobody's "before" any more. */
enum { NEAP_HISTORY_MAX = 100, NEAP_HISTORY_NUMBERS = 512 };
typedef struct neap_past {
  uint64_t source, before, since_ms;
  neap_config_record *record;
} neap_past;
typedef struct neap_history {
  size_t count;
  neap_past list[NEAP_HISTORY_MAX + 1]; /* in the order in which they were left */
  struct {
    uint64_t generation, source;
  } numbers[NEAP_HISTORY_NUMBERS]; /* of the newest generations: by the remainder */
} neap_history;

/* The first generation. */
void neap_history_begin(neap_history *history, const neap_loaded *first);
/* Notes that `next` follows `old`, and what that makes of its source and before. At most `keep` others are
 * kept. */
void neap_history_note(neap_history *history, const neap_loaded *old, neap_loaded *next, uint32_t keep);
/* What the generation `wanted` was made of, or, where that is 0, what was in force before `current` was. NULL
 * with a sentence in `err`. */
const neap_past *neap_history_find(const neap_history *history, uint64_t wanted, const neap_loaded *current,
                                   neap_err *err);
void neap_history_fini(neap_history *history);

/* --- reloads */

/* What a reload prepares, anywhere, and commits, on the control thread. The first start goes the same way. */
struct neap_reload_plan {
  neap_gateway *gateway;
  uint64_t generation;
  neap_config_record *record; /* referenced; NULL: the file is read */
  uint64_t source, before;    /* of `record`, as in neap_loaded */
  bool back;                  /* a rollback */
  const char *file;           /* to be read instead of the gateway's; NULL: that */
  bool promotion;             /* of a candidate */
  /* Told at the end of each step, on whatever thread prepares. */
  void (*step)(neap_reload_plan *plan, const char *text);
  neap_loaded *loaded;
  bool used[NEAP_WORKERS_MAX], serving[NEAP_WORKERS_MAX]; /* places when it began; used: not yet ended */
  uint32_t places[NEAP_WORKERS_MAX];                      /* of those that are to serve */
  uint32_t place_count;                                   /* of `places` */
  neap_worker *fresh[NEAP_WORKERS_MAX];                   /* by place: made new */
  neap_bound *bound;                                      /* all listeners of the new generation */
  size_t bound_count;
  neap_access_log *logs[NEAP_WORKERS_MAX]; /* by place */
  neap_cache *cache, *keys_cache;          /* made new, where there was none */
  neap_cascade *cascade; /* of tiers, made new, where they change; NULL: there are to be none */
  bool tiers_change;
  neap_keyspace *keys; /* the same */
  neap_cascade *keys_cascade;
  neap_prefetching_change prefetching;
  bool control_changes, admin_changes;
  int admin_socket;   /* bound anew; -1: none */
  neap_local control; /* made new; socket -1: none */
};

/* Control thread. */
void neap_plan_init(neap_reload_plan *plan, neap_gateway *gateway, uint64_t generation);
/* Everything that can fail. On failure undo it. Any thread, one at a time. */
int neap_plan_prepare(neap_reload_plan *plan, char **report, neap_err *err);
/* What a candidate needs: its generation, and a part for every worker that there is. */
int neap_plan_prepare_beside(neap_reload_plan *plan, char **report, neap_err *err);
/* The end of a step, for those who wait. */
void neap_plan_step(neap_reload_plan *plan, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Control thread, both of them. */
void neap_plan_undo(neap_reload_plan *plan);
void neap_plan_commit(neap_reload_plan *plan);
/* Prepares the configuration for one worker that does not exist, and drops it. */
int neap_plan_rehearse(neap_reload_plan *plan, char **report, neap_err *err);

typedef struct neap_reload neap_reload;
/* Loads and commits a new generation, or refuses it whole: the one in force stays. Does not wait: reloads are
 * done one after the other. `by` says who asked, for logs; `reply` is answered at the end, NULL for none. */
void neap_gateway_reload(neap_gateway *gateway, const char *by, neap_control_reply *reply);
/* The same with what the generation `to` was made of, 0 for the one before. */
void neap_gateway_rollback(neap_gateway *gateway, uint64_t to, neap_control_reply *reply);
/* Has a candidate (taken) tried, as a reload is done. */
typedef struct neap_candidate neap_candidate;
void neap_gateway_try(neap_gateway *gateway, neap_candidate *candidate, neap_control_reply *reply);
/* Makes the one that is tried the generation in force; `reply` as in reload. */
void neap_gateway_promote(neap_gateway *gateway, neap_control_reply *reply);
/* Waits until the one under way, where there is one, is prepared: nothing else reads what a plan reads. */
void neap_gateway_await_reload(neap_gateway *gateway);
/* When the loop runs no more: drops the one under way and answers all that wait. */
void neap_gateway_cancel_reloads(neap_gateway *gateway);

/* What became of the last one. */
typedef struct neap_reload_result {
  uint64_t at_ms; /* wall clock; 0: there was none */
  uint64_t took_us;
  bool ok;
  const char *by;
  char *report, *error; /* or NULL */
} neap_reload_result;

/* --- the service manager, where there is one. Control thread. */
void neap_notify(const neap_gateway *gateway, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* `what` ("READY=1\n") with a line for people. */
void neap_notify_state(const neap_gateway *gateway, const char *what);
/* It serves: says so, and from now on that it lives. */
void neap_notify_start(neap_gateway *gateway);

/* --- the file watch. Control thread. */
typedef struct neap_file_watch neap_file_watch;
/* At a commit: watches what the generation in force is made of, where its configuration says so. */
void neap_file_watch_set(neap_gateway *gateway);
void neap_file_watch_stop(neap_gateway *gateway);

/* --- the gateway */
struct neap_gateway {
  neap_engine *engine;
  const neap_host *host;
  const neap_gateway_options *options;
  neap_loop *loop; /* of the control thread */
  neap_signal *signals[5];
  neap_backends *backends;
  neap_keeper *keeper;
  neap_tallies *tallies;
  neap_sessions *sessions;
  neap_spares *spares; /* of VMs, for the next generation */
  _Atomic(neap_cache *) cache;
  neap_prefetching *prefetching; /* into it */
  neap_cascade *cascade;         /* below it; NULL: none */
  neap_cascade *cascades;        /* those that are left, too */
  neap_cache *keys_cache;        /* of the RESP ports; NULL: there has been none. Both stay, once made */
  neap_keyspace *keys;
  neap_cascade *keys_cascade; /* of tiers below them; NULL: none */
  uint32_t flushes;           /* of cascades, under way before the end */
  _Atomic(neap_generation_set *) current;
  neap_loaded *loaded; /* the one in force */
  neap_loaded *retired;
  uint64_t last_generation, started_ms;   /* monotonic */
  neap_worker *workers[NEAP_WORKERS_MAX]; /* by place; NULL: free */
  bool serving[NEAP_WORKERS_MAX];         /* by place; false for those that leave */
  uint32_t worker_count;                  /* of `serving` */
  neap_member_changes *changes;           /* of pools' members, at run time */
  neap_names *names;
  neap_discovery *discovery;
  neap_bound *bound;
  size_t bound_count;
  uint32_t last_listener_id;
  neap_reload *reloads; /* the first is under way */
  neap_reload_result last_reload;
  neap_candidate *candidate;        /* that is tried; NULL: none */
  neap_candidate *ended_candidates; /* of which workers have not yet let go */
  json_t *candidate_found;          /* by the last one that ended; NULL: there was none */
  uint64_t last_candidate;          /* its generation */
  bool canary_undone; /* the newest change was a canary, which is rolled back: nothing is left to undo */
  neap_history history;
  neap_file_watch *watch; /* NULL: nothing is watched */
  uint64_t reloads_taken, reloads_refused;
  neap_control *control; /* NULL: none */
  neap_admin *admin;     /* NULL: none */
  pthread_mutex_t limiters_lock;
  neap_limiter_seat *limiters;
  neap_tables *tables;
  neap_timer cache_tick, grace, watchdog;
  uint64_t watchdog_ms; /* 0: none */
  bool stopping;
};

/* A worker that was told to leave, drain or close has nothing left. On the worker; `done` lives as long as
 * it. */
typedef struct neap_worker_done {
  neap_task task;
  neap_gateway *gateway;
  neap_worker *worker;
} neap_worker_done;
void neap_gateway_worker_is_done(neap_gateway *gateway, neap_worker_done *done);
/* The text of all metrics, for free(); its size in *size. NULL when out of memory. Control thread. */
char *neap_gateway_metrics(neap_gateway *gateway, bool open_metrics, size_t *size);
#define neap_gateway_log(gateway, level, ...) neap_host_log((gateway)->host, level, __VA_ARGS__)

#endif
