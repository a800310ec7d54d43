/* What the files of the gateway share. Internal to server/.
 *
 *   gateway.c     the control thread: start, signals, stop
 *   reload.c      a new generation: everything that can fail first, then the switch
 *   generation.c  a configuration as the workers use it
 *   worker.c      a thread that serves
 */
#ifndef NEAP_SERVER_GATEWAY_H
#define NEAP_SERVER_GATEWAY_H

#include <pthread.h>

#include "base/base.h"
#include "flow/flow.h"
#include "front/front.h"
#include "loop/loop.h"
#include "script/script.h"
#include "server/control.h"
#include "server/server.h"

enum { NEAP_WORKERS_MAX = 256 };

/* --- a generation, loaded. Made and freed by the control thread. */
typedef struct neap_loaded neap_loaded;

/* One worker's part. Used by the worker from commit to drained. */
typedef struct neap_loaded_part {
  neap_generation generation;
  neap_loaded *loaded;
  neap_worker_vm *vm;
  size_t pool_count;
  neap_task retire;
} neap_loaded_part;

struct neap_loaded {
  neap_gateway *gateway;
  neap_config *config;
  neap_routes *routes;
  neap_flow_route *rules;
  neap_pool_member **members; /* by pool */
  neap_generation_set *set;
  neap_loaded_part *parts; /* by worker */
  uint32_t part_count;
  _Atomic uint32_t undrained;
  neap_task drained; /* to the control thread, when the last part is */
  neap_loaded *next; /* of those that are retired and not yet drained */
};

/* Loads the configuration and prepares it for every worker. Nothing is left on failure. */
int neap_loaded_create(neap_gateway *gateway, uint64_t generation, neap_loaded **out, char **report,
                       neap_err *err);
/* Prepares `part_count` parts, which is to be set before: one per worker. */
int neap_loaded_prepare(neap_loaded *loaded, neap_err *err);
/* Retires it on every worker; frees it when all have let go of it. */
void neap_loaded_retire(neap_loaded *loaded);
void neap_loaded_destroy(neap_loaded **loaded);

/* --- listeners */
typedef struct neap_bound {
  uint32_t id;
  char configured[NEAP_ADDRESS_TEXT + 256]; /* its identity over reloads */
  char address[NEAP_ADDRESS_TEXT];          /* as bound */
  int sockets[NEAP_WORKERS_MAX];            /* until the workers have them */
} neap_bound;

/* What a worker does with one listener at a commit. */
typedef struct neap_listener_change {
  uint32_t id;
  enum { NEAP_LISTENER_OPEN, NEAP_LISTENER_UPDATE, NEAP_LISTENER_CLOSE } what;
  int socket; /* OPEN */
  neap_front_options options;
} neap_listener_change;

/* --- workers */
typedef struct neap_worker neap_worker;

/* Starts a thread that waits for orders. */
int neap_worker_create(neap_gateway *gateway, uint32_t index, neap_worker **out, neap_err *err);
/* Stops it at once and waits for its end. */
void neap_worker_destroy(neap_worker **worker);
neap_loop *neap_worker_loop(neap_worker *worker);
/* Orders are posted and done in order. */
/* Takes on the listeners and the log (taken; NULL for none) of a new generation. `changes` is copied. */
int neap_worker_commit(neap_worker *worker, const neap_listener_change *changes, size_t count,
                       neap_access_log *log);
typedef enum neap_worker_order {
  NEAP_WORKER_DRAIN, /* accept no more, finish what is under way, then tell the gateway */
  NEAP_WORKER_CLOSE, /* the same without finishing */
  NEAP_WORKER_REOPEN /* logs */
} neap_worker_order;
int neap_worker_tell(neap_worker *worker, neap_worker_order order);

/* --- rate limits: by name, over reloads. Control thread only. */
typedef struct neap_limiter_seat {
  char *name;
  neap_limiter *limiter;
  uint32_t uses;
  struct neap_limiter_seat *next;
} neap_limiter_seat;

/* The limiter of that name, made where there is none. Pairs with give. */
int neap_limiters_take(neap_gateway *gateway, const char *name, neap_limiter **out, neap_err *err);
void neap_limiters_give(neap_gateway *gateway, neap_limiter *limiter);

/* --- the gateway */
struct neap_gateway {
  neap_engine *engine;
  const neap_host *host;
  const neap_gateway_options *options;
  neap_loop *loop; /* of the control thread */
  neap_signal *signals[5];
  neap_backends *backends;
  neap_sessions *sessions;
  _Atomic(neap_cache *) cache;
  _Atomic(neap_generation_set *) current;
  neap_loaded *loaded; /* the one in force */
  neap_loaded *retired;
  uint64_t last_generation;
  neap_worker *workers[NEAP_WORKERS_MAX];
  uint32_t worker_count, workers_serving;
  neap_bound *bound;
  size_t bound_count;
  uint32_t last_listener_id;
  neap_control *control; /* NULL: none */
  neap_limiter_seat *limiters;
  neap_timer cache_tick, grace;
  bool stopping;
};

/* Loads and commits a new generation, or refuses it whole: the one in force stays. `loaded`: already loaded
 * (taken), or NULL. */
int neap_gateway_reload(neap_gateway *gateway, neap_loaded *loaded, char **report, neap_err *err);
/* Prepares the configuration for one worker that does not exist, and drops it. */
int neap_gateway_rehearse(neap_gateway *gateway, char **report, neap_err *err);
/* A worker that was told to drain or close has nothing left. On the worker; `done` lives as long as it. */
typedef struct neap_worker_done {
  neap_task task;
  neap_gateway *gateway;
} neap_worker_done;
void neap_gateway_worker_is_done(neap_gateway *gateway, neap_worker_done *done);
void neap_gateway_log(const neap_gateway *gateway, neap_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
