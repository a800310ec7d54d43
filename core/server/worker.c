/* A worker: one thread, one loop, its listeners and fronts. */
#include "server/gateway.h"

#include <signal.h>
#include <stdlib.h>

enum { LOG_WAIT_MS = 100 }; /* a line waits for others: a write for each would be a third call of every hit */

typedef struct worker_mouth { /* a listener of this worker with what speaks to its clients */
  struct worker_mouth *next;
  uint32_t id;
  neap_listener *listener; /* NULL: closed, its connections are ending */
  neap_front *front;
  neap_resp_front *resp; /* one of the two */
} worker_mouth;

struct neap_worker {
  neap_gateway *gateway;
  uint32_t place;
  pthread_t thread;
  neap_loop *loop;
  neap_connections *connections;
  neap_queues *queues;
  neap_flow flow;
  neap_timer log_wait;
  worker_mouth *mouths;
  neap_cascade *cascade;      /* of tiers; NULL: none */
  neap_flow_tiers tiers;      /* as its exchanges see it */
  neap_tiers_port *keys_port; /* to the tiers of keys; NULL: none, or none yet */
  bool draining, told;
  neap_worker_done done;
  neap_task stop;
};

/* What the control thread wants done. Owned by the worker once posted. */
typedef struct worker_order {
  neap_task task;
  neap_worker *worker;
  neap_worker_order what;
  neap_access_log *log;
  size_t change_count;
  neap_listener_change changes[];
} worker_order;

/* --- mouths */

static int open_http(neap_worker *worker, worker_mouth *made, const neap_listener_change *change) {
  int code = neap_front_create(&worker->flow, &change->options, &made->front);
  if (code) return code;
  return neap_listener_open(worker->loop, change->socket, neap_front_accept, made->front, &made->listener);
}

static int open_resp(neap_worker *worker, worker_mouth *made, const neap_listener_change *change) {
  neap_cascade *cascade = worker->gateway->keys_cascade;
  neap_err err;
  int code = 0;
  if (cascade && worker->keys_port == NULL)
    code = neap_cascade_attach_keys(cascade, worker->loop, &worker->keys_port, &err);
  if (code == 0)
    code = neap_resp_front_create(worker->loop, worker->gateway->keys, worker->keys_port,
                                  &change->resp_options, &made->resp);
  if (code) return code;
  return neap_listener_open(worker->loop, change->socket, neap_resp_front_accept, made->resp,
                            &made->listener);
}

static void free_mouth(worker_mouth *mouth) {
  neap_front_destroy(&mouth->front);
  neap_resp_front_destroy(&mouth->resp);
  free(mouth);
}

static size_t connections_of(const worker_mouth *mouth) {
  return mouth->resp ? neap_resp_front_connection_count(mouth->resp)
                     : neap_front_connection_count(mouth->front);
}

static void cut_off(worker_mouth *mouth) {
  if (mouth->resp)
    neap_resp_front_close(mouth->resp);
  else
    neap_front_close(mouth->front);
}

static void open_mouth(neap_worker *worker, const neap_listener_change *change) {
  worker_mouth *made = calloc(1, sizeof *made);
  if (made == NULL || (change->resp ? open_resp : open_http)(worker, made, change)) {
    neap_gateway_log(worker->gateway, NEAP_LOG_ERROR, "server listener_failed worker=%u", worker->place);
    if (made) free_mouth(made);
    neap_socket_close(change->socket);
    return;
  }
  made->id = change->id;
  made->next = worker->mouths;
  worker->mouths = made;
}

static void close_mouth(worker_mouth *mouth, bool gently) {
  neap_listener_close(&mouth->listener);
  if (mouth->resp)
    neap_resp_front_drain(mouth->resp, gently);
  else
    neap_front_drain(mouth->front, gently);
}

static void apply(neap_worker *worker, const neap_listener_change *change) {
  if (change->what == NEAP_LISTENER_OPEN) {
    open_mouth(worker, change);
    return;
  }
  for (worker_mouth *mouth = worker->mouths; mouth; mouth = mouth->next) {
    if (mouth->id != change->id) continue;
    if (change->what == NEAP_LISTENER_CLOSE)
      close_mouth(mouth, true);
    else if (mouth->resp)
      neap_resp_front_set_options(mouth->resp, &change->resp_options);
    else
      neap_front_set_options(mouth->front, &change->options);
  }
}

/* Frees those that are closed and have no connection left. */
static void sweep(neap_worker *worker) {
  for (worker_mouth **at = &worker->mouths; *at;) {
    worker_mouth *mouth = *at;
    if (mouth->listener || connections_of(mouth) > 0) {
      at = &mouth->next;
      continue;
    }
    *at = mouth->next;
    free_mouth(mouth);
  }
}

/* --- orders */

/* On the control thread. */
static void on_old_log(neap_task *task) {
  worker_order *order = NEAP_CONTAINER_OF(task, worker_order, task);
  neap_access_log_close(&order->log);
  free(order);
}

static void on_commit(neap_task *task) {
  worker_order *order = NEAP_CONTAINER_OF(task, worker_order, task);
  neap_worker *worker = order->worker;
  neap_access_log *old = worker->flow.log;
  worker->flow.log = order->log;
  if (order->log) neap_access_log_count_lost(order->log, &worker->flow.tally->log_lines_lost);
  for (size_t i = 0; i < order->change_count; i++) apply(worker, &order->changes[i]);
  if (old == NULL) {
    free(order);
    return;
  }
  order->log = old;
  order->task.run = on_old_log; /* closing may wait for whoever reads it: not here */
  neap_loop_post(worker->gateway->loop, &order->task);
}

static void reopen(neap_worker *worker) {
  neap_err err;
  if (worker->flow.log && neap_access_log_reopen(worker->flow.log, &err))
    neap_gateway_log(worker->gateway, NEAP_LOG_ERROR, "server reopen_failed worker=%u error=\"%s\"",
                     worker->place, err.text);
}

static void on_order(neap_task *task) {
  worker_order *order = NEAP_CONTAINER_OF(task, worker_order, task);
  neap_worker *worker = order->worker;
  neap_worker_order what = order->what;
  free(order);
  if (what == NEAP_WORKER_REOPEN) {
    reopen(worker);
    return;
  }
  worker->draining = true;
  for (worker_mouth *mouth = worker->mouths; mouth; mouth = mouth->next) {
    close_mouth(mouth, what == NEAP_WORKER_LEAVE);
    if (what == NEAP_WORKER_CLOSE) cut_off(mouth);
  }
}

/* --- tiers */

typedef struct tiers_order {
  neap_task task;
  neap_worker *worker;
  neap_cascade *cascade;
} tiers_order;

static void leave_tiers(neap_worker *worker) {
  neap_flow_set_tiers(&worker->flow, NULL);
  neap_tiers_detach(&worker->tiers.port);
}

/* On the control thread. */
static void on_old_tiers(neap_task *task) {
  tiers_order *order = NEAP_CONTAINER_OF(task, tiers_order, task);
  if (order->cascade) neap_cascade_give(order->cascade);
  free(order);
}

static void on_take_tiers(neap_task *task) {
  tiers_order *order = NEAP_CONTAINER_OF(task, tiers_order, task);
  neap_worker *worker = order->worker;
  neap_cascade *old = worker->cascade;
  neap_err err;
  if (order->cascade != old) {
    leave_tiers(worker);
    worker->cascade = order->cascade;
    if (worker->cascade) {
      if (neap_cascade_attach(worker->cascade, worker->loop, &worker->tiers, &err))
        neap_gateway_log(worker->gateway, NEAP_LOG_ERROR, "server tiers_failed worker=%u error=\"%s\"",
                         worker->place, err.text);
      else
        neap_flow_set_tiers(&worker->flow, &worker->tiers);
    }
  }
  order->cascade = old; /* where it is the same: used once more than it has to be */
  order->task.run = on_old_tiers;
  neap_loop_post(worker->gateway->loop, &order->task);
}

void neap_worker_take_tiers(neap_worker *worker, neap_cascade *cascade) {
  tiers_order *made = calloc(1, sizeof *made);
  neap_assert(made != NULL);
  *made = (tiers_order){.task = {.run = on_take_tiers}, .worker = worker, .cascade = cascade};
  if (cascade) neap_cascade_use(cascade);
  neap_loop_post(worker->loop, &made->task);
}

static worker_order *make_order(neap_worker *worker, size_t changes, void (*run)(neap_task *task)) {
  worker_order *made = calloc(1, sizeof *made + changes * sizeof *made->changes);
  if (made == NULL) return NULL;
  made->worker = worker;
  made->task.run = run;
  made->change_count = changes;
  return made;
}

int neap_worker_commit(neap_worker *worker, const neap_listener_change *changes, size_t count,
                       neap_access_log *log) {
  worker_order *made = make_order(worker, count, on_commit);
  if (made == NULL) return NEAP_ENOMEM;
  made->log = log;
  memcpy(made->changes, changes, count * sizeof *changes);
  neap_loop_post(worker->loop, &made->task);
  return 0;
}

int neap_worker_tell(neap_worker *worker, neap_worker_order what) {
  worker_order *made = make_order(worker, 0, on_order);
  if (made == NULL) return NEAP_ENOMEM;
  made->what = what;
  neap_loop_post(worker->loop, &made->task);
  return 0;
}

/* --- the thread */

static void on_log_wait(neap_timer *timer) {
  neap_worker *worker = NEAP_CONTAINER_OF(timer, neap_worker, log_wait);
  if (worker->flow.log) neap_access_log_flush(worker->flow.log);
}

/* Once per turn, before the wait. */
static void on_turn(void *user) {
  neap_worker *worker = user;
  neap_queues_turn(worker->queues);
  if (worker->flow.log && neap_access_log_pending(worker->flow.log) && !neap_timer_is_set(&worker->log_wait))
    neap_timer_set(worker->loop, &worker->log_wait, LOG_WAIT_MS);
  sweep(worker);
  if (worker->draining && worker->mouths == NULL) neap_flow_drop_mirrors(&worker->flow);
  if (worker->draining && !worker->told && worker->mouths == NULL && worker->flow.exchanges == 0) {
    worker->told = true;
    worker->done.worker = worker;
    neap_gateway_worker_is_done(worker->gateway, &worker->done);
  }
}

static void on_stop(neap_task *task) {
  neap_worker *worker = NEAP_CONTAINER_OF(task, neap_worker, stop);
  for (worker_mouth *mouth = worker->mouths; mouth; mouth = mouth->next) {
    close_mouth(mouth, false);
    cut_off(mouth);
  }
  neap_loop_stop(worker->loop);
}

static void *run(void *user) {
  neap_worker *worker = user;
  neap_loop_run(worker->loop);
  sweep(worker);
  neap_flow_drop_mirrors(&worker->flow);
  leave_tiers(worker);
  neap_tiers_detach(&worker->keys_port);
  neap_timer_clear(&worker->log_wait);
  neap_access_log_close(&worker->flow.log);
  neap_flow_stop_probes(&worker->flow);
  neap_connections_destroy(&worker->connections);
  neap_queues_destroy(&worker->queues);
  neap_flow_fini(&worker->flow);
  neap_loop_destroy(&worker->loop);
  return NULL;
}

static int start(neap_worker *worker) {
  sigset_t all, before; /* signals are for the control thread */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failed = pthread_create(&worker->thread, NULL, run, worker);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return failed ? NEAP_EIO : 0;
}

int neap_worker_create(neap_gateway *gateway, uint32_t place, neap_worker **out, neap_err *err) {
  neap_worker *worker = calloc(1, sizeof *worker);
  if (worker == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  worker->gateway = gateway;
  worker->place = place;
  worker->stop.run = on_stop;
  neap_timer_init(&worker->log_wait, on_log_wait);
  neap_tally *tally;
  if (neap_tallies_worker(gateway->tallies, place, &tally)) goto fail_loop;
  if (neap_loop_create(&worker->loop)) goto fail_loop;
  if (neap_connections_create(worker->loop, &worker->connections)) goto fail_connections;
  if (neap_queues_create(gateway->backends, worker->loop, &worker->queues)) goto fail_queues;
  neap_flow_init(&worker->flow, worker->loop, place, &gateway->current, worker->connections, &gateway->cache,
                 tally, gateway->host->seed ^ ((uint64_t)place << 48));
  worker->flow.queues = worker->queues;
  worker->flow.feed = neap_prefetching_feed(gateway->prefetching, place);
  neap_loop_on_turn(worker->loop, on_turn, worker);
  if (start(worker)) goto fail_thread;
  *out = worker;
  return 0;

fail_thread:
  neap_queues_destroy(&worker->queues);
fail_queues:
  neap_connections_destroy(&worker->connections);
fail_connections:
  neap_loop_destroy(&worker->loop);
fail_loop:
  free(worker);
  return neap_fail(err, NEAP_EIO, "cannot start a worker");
}

void neap_worker_destroy(neap_worker **worker) {
  if (*worker == NULL) return;
  neap_loop_post((*worker)->loop, &(*worker)->stop);
  pthread_join((*worker)->thread, NULL);
  neap_loop_take_back((*worker)->gateway->loop, &(*worker)->done.task); /* stopped before it was heard */
  if ((*worker)->cascade) neap_cascade_give((*worker)->cascade);
  free(*worker);
  *worker = NULL;
}

uint32_t neap_worker_place(const neap_worker *worker) {
  return worker->place;
}

neap_flow *neap_worker_flow(neap_worker *worker) {
  return &worker->flow;
}

neap_loop *neap_worker_loop(neap_worker *worker) {
  return worker->loop;
}
