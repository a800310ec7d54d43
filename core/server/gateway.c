/* The gateway's control thread: start, signals, housekeeping, stop. Nothing here touches a request. */
#include "server/candidate.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum { CACHE_TICK_MS = 100 };

/* --- stop */

static void tell_all(neap_gateway *gateway, neap_worker_order order) {
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX; i++)
    if (gateway->workers[i] && neap_worker_tell(gateway->workers[i], order))
      neap_gateway_log(gateway, NEAP_LOG_ERROR, "server order_lost worker=%u", i);
}

static void on_grace_over(neap_timer *timer) {
  neap_gateway *gateway = NEAP_CONTAINER_OF(timer, neap_gateway, grace);
  neap_gateway_log(gateway, NEAP_LOG_WARN, "server grace_over");
  tell_all(gateway, NEAP_WORKER_CLOSE);
}

/* `bounded`: what is not finished within the configured time is cut off. */
static void stop(neap_gateway *gateway, bool bounded) {
  if (gateway->stopping && bounded) { /* asked twice: now */
    neap_loop_stop(gateway->loop);
    return;
  }
  gateway->stopping = true;
  neap_gateway_await_reload(gateway); /* what it has prepared is dropped */
  neap_listeners_close(gateway);
  neap_gateway_log(gateway, NEAP_LOG_INFO, "server stopping");
  neap_notify(gateway, "STOPPING=1");
  tell_all(gateway, NEAP_WORKER_DRAIN);
  if (bounded) neap_timer_set(gateway->loop, &gateway->grace, gateway->loaded->config->grace_ms);
}

/* It has left: its place is free. */
static void on_worker_done(neap_task *task) {
  const neap_worker_done *done = NEAP_CONTAINER_OF(task, neap_worker_done, task);
  neap_gateway *gateway = done->gateway;
  uint32_t place = neap_worker_place(done->worker);
  neap_worker_destroy(&gateway->workers[place]);
  neap_prefetching_worker_gone(gateway->prefetching, place);
  neap_candidate_worker_gone(gateway, place);
  neap_loaded_close_part(gateway->loaded, place);
  if (!gateway->stopping) neap_gateway_log(gateway, NEAP_LOG_INFO, "server worker_ended place=%u", place);
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX; i++)
    if (gateway->workers[i]) return;
  neap_cascades_stop(gateway);
}

void neap_gateway_worker_is_done(neap_gateway *gateway, neap_worker_done *done) {
  done->gateway = gateway;
  done->task.run = on_worker_done;
  neap_loop_post(gateway->loop, &done->task);
}

/* --- signals */

static void on_signal(void *user, int number) {
  neap_gateway *gateway = user;
  switch (number) {
  case SIGHUP:
    if (!gateway->stopping) neap_gateway_reload(gateway, "signal", NULL);
    return;
  case SIGUSR1: tell_all(gateway, NEAP_WORKER_REOPEN); return;
  case SIGQUIT: stop(gateway, false); return;
  default: stop(gateway, true);
  }
}

static int watch_signals(neap_gateway *gateway, neap_err *err) {
  static const int numbers[] = {SIGHUP, SIGUSR1, SIGQUIT, SIGTERM, SIGINT};
  _Static_assert(NEAP_COUNT_OF(numbers) == NEAP_COUNT_OF(gateway->signals), "a place for each");
  for (size_t i = 0; i < NEAP_COUNT_OF(numbers); i++)
    if (neap_signal_open(gateway->loop, numbers[i], on_signal, gateway, &gateway->signals[i]))
      return neap_fail(err, NEAP_EIO, "cannot watch signals");
  return 0;
}

/* --- housekeeping */

/* One for each worker and one for the dry run. */
void neap_gateway_make_spares(neap_gateway *gateway) {
  neap_spares_want(gateway->spares, gateway->worker_count + 1);
}

static void on_cache_tick(neap_timer *timer) {
  neap_gateway *gateway = NEAP_CONTAINER_OF(timer, neap_gateway, cache_tick);
  neap_cache *cache = atomic_load(&gateway->cache);
  if (cache) neap_cache_tick(cache);
  if (gateway->keys_cache) neap_cache_tick(gateway->keys_cache);
  neap_timer_set(gateway->loop, timer, CACHE_TICK_MS);
}

/* --- life */

static int start(neap_gateway *gateway, char **report, neap_err *err) {
  neap_reload_plan plan;
  int code = watch_signals(gateway, err);
  if (code) return code;
  neap_plan_init(&plan, gateway, 1);
  code = neap_plan_prepare(&plan, report, err);
  if (code)
    neap_plan_undo(&plan);
  else
    neap_plan_commit(&plan);
  return code;
}

static int make_sessions(neap_gateway *gateway) {
  uint8_t secret[NEAP_SESSION_SECRET];
  if (getrandom(secret, sizeof secret, 0) != sizeof secret) return NEAP_EIO;
  return neap_sessions_create(secret, &gateway->sessions);
}

static int make(neap_engine *engine, const neap_gateway_options *options, neap_gateway **out, neap_err *err) {
  neap_gateway *gateway = calloc(1, sizeof *gateway);
  if (gateway == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  gateway->engine = engine;
  gateway->host = neap_engine_host(engine);
  gateway->options = options;
  pthread_mutex_init(&gateway->limiters_lock, NULL);
  gateway->started_ms = gateway->host->now_ms(gateway->host->user);
  neap_timer_init(&gateway->cache_tick, on_cache_tick);
  neap_timer_init(&gateway->grace, on_grace_over);
  int code = neap_loop_create(&gateway->loop);
  if (code == 0) code = neap_backends_create(&gateway->backends);
  if (code == 0) code = neap_keeper_create(gateway->loop, gateway->host, &gateway->keeper);
  if (code == 0) code = neap_member_changes_create(gateway->backends, &gateway->changes);
  if (code == 0) code = neap_tallies_create(&gateway->tallies);
  if (code == 0) code = neap_names_create(gateway->loop, gateway->backends, &gateway->names);
  if (code == 0) code = neap_discovery_create(gateway, &gateway->discovery);
  if (code == 0) code = make_sessions(gateway);
  if (code == 0) code = neap_spares_create(gateway->host, &gateway->spares);
  if (code == 0) code = neap_tables_create(gateway, &gateway->tables);
  if (code == 0) code = neap_prefetching_create(gateway, &gateway->prefetching);
  if (code) {
    neap_gateway_destroy(&gateway);
    return neap_fail(err, code, "%s", neap_strerror(code));
  }
  *out = gateway;
  return 0;
}

int neap_gateway_create(neap_engine *engine, const neap_gateway_options *options, neap_gateway **out,
                        char **report, neap_err *err) {
  *report = NULL;
  neap_gateway *gateway;
  int code = make(engine, options, &gateway, err);
  if (code) return code;
  code = start(gateway, report, err);
  if (code)
    neap_gateway_destroy(&gateway);
  else
    *out = gateway;
  return code;
}

int neap_gateway_check(neap_engine *engine, const neap_gateway_options *options, char **report,
                       neap_err *err) {
  *report = NULL;
  neap_gateway *gateway;
  int code = make(engine, options, &gateway, err);
  if (code) return code;
  neap_reload_plan plan;
  neap_plan_init(&plan, gateway, 1);
  code = neap_plan_rehearse(&plan, report, err);
  neap_plan_undo(&plan);
  neap_gateway_destroy(&gateway);
  return code;
}

void neap_gateway_destroy(neap_gateway **gateway_ptr) {
  neap_gateway *gateway = *gateway_ptr;
  if (gateway == NULL) return;
  *gateway_ptr = NULL;
  neap_gateway_cancel_reloads(gateway);
  neap_discovery_destroy(&gateway->discovery); /* before the names that it asks for */
  neap_names_destroy(&gateway->names);
  neap_tables_stop(gateway->tables);
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX; i++) neap_worker_destroy(&gateway->workers[i]);
  neap_prefetching_destroy(&gateway->prefetching);
  neap_keeper_destroy(&gateway->keeper);
  neap_candidate_close(gateway);
  neap_loaded_destroy(&gateway->loaded);
  while (gateway->retired) {
    neap_loaded *loaded = gateway->retired;
    gateway->retired = loaded->next;
    neap_loaded_destroy(&loaded);
  }
  neap_cascades_destroy(gateway); /* which takes what is deleted out of the cache */
  neap_cache *cache = atomic_load(&gateway->cache);
  neap_cache_destroy(&cache);
  neap_keyspace_destroy(&gateway->keys);
  neap_cache_destroy(&gateway->keys_cache);
  neap_member_changes_destroy(&gateway->changes);
  neap_backends_destroy(&gateway->backends);
  neap_sessions_destroy(&gateway->sessions);
  neap_spares_destroy(&gateway->spares);
  neap_tables_destroy(&gateway->tables);
  for (size_t i = 0; i < NEAP_COUNT_OF(gateway->signals); i++) neap_signal_close(&gateway->signals[i]);
  neap_file_watch_stop(gateway);
  neap_control_close(&gateway->control, true);
  neap_admin_close(&gateway->admin);
  neap_timer_clear(&gateway->cache_tick);
  neap_timer_clear(&gateway->grace);
  neap_timer_clear(&gateway->watchdog);
  neap_loop_destroy(&gateway->loop);
  neap_tallies_destroy(&gateway->tallies);
  neap_listeners_close(gateway);
  neap_history_fini(&gateway->history);
  free(gateway->bound);
  pthread_mutex_destroy(&gateway->limiters_lock);
  free(gateway);
}

void neap_gateway_run(neap_gateway *gateway) {
  neap_notify_start(gateway);
  neap_timer_set(gateway->loop, &gateway->cache_tick, CACHE_TICK_MS);
  neap_tables_start(gateway->tables);
  neap_gateway_make_spares(gateway);
  neap_loop_run(gateway->loop);
}

uint32_t neap_gateway_worker_count(const neap_gateway *gateway) {
  return gateway->worker_count;
}

size_t neap_gateway_listener_count(const neap_gateway *gateway) {
  return gateway->bound_count;
}

const char *neap_gateway_listener_protocol(const neap_gateway *gateway, size_t index) {
  return gateway->bound[index].resp ? "resp" : "http";
}

const char *neap_gateway_listener_address(const neap_gateway *gateway, size_t index) {
  return gateway->bound[index].address;
}
