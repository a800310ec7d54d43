/* The gateway's control thread: start, signals, housekeeping, stop. Nothing here touches a request. */
#include "server/gateway.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum { CACHE_TICK_MS = 100 };

void neap_gateway_log(const neap_gateway *gateway, neap_log_level level, const char *format, ...) {
  char line[1400];
  va_list list;
  va_start(list, format);
  vsnprintf(line, sizeof line, format, list);
  va_end(list);
  gateway->host->log(gateway->host->user, level, line);
}

/* --- reload */

/* One event per problem, so that each has its line in the log. */
static void log_report(const neap_gateway *gateway, char *report) {
  char *rest = report;
  for (char *line; (line = strtok_r(rest, "\n", &rest)) != NULL;)
    neap_gateway_log(gateway, NEAP_LOG_ERROR, "server reload_problem %s", line);
}

/* The report as a list of its lines. */
static json_t *lines_of(char *report) {
  json_t *list = json_array();
  char *rest = report;
  for (char *line; rest && (line = strtok_r(rest, "\n", &rest)) != NULL;)
    json_array_append_new(list, neap_control_string(line));
  return list;
}

void neap_control_reload(neap_gateway *gateway, neap_control_args *args, neap_control_reply *reply) {
  if (!neap_control_args_end(args)) return;
  char *report = NULL;
  neap_err err = {0};
  int code = neap_gateway_reload(gateway, NULL, &report, &err);
  json_t *body = json_pack("{s:I, s:o}", "generation", (json_int_t)gateway->last_generation, "problems",
                           lines_of(report));
  free(report);
  if (code)
    neap_control_fail_with(reply, body, "%s", err.text[0] ? err.text : neap_strerror(code));
  else
    neap_control_done(reply, body);
}

static void reload(neap_gateway *gateway) {
  char *report = NULL;
  neap_err err = {0};
  int code = neap_gateway_reload(gateway, NULL, &report, &err);
  if (report) log_report(gateway, report);
  free(report);
  if (code)
    neap_gateway_log(gateway, NEAP_LOG_ERROR, "server reload_refused generation=%llu error=\"%s\"",
                     (unsigned long long)gateway->last_generation,
                     err.text[0] ? err.text : neap_strerror(code));
  else
    neap_gateway_log(gateway, NEAP_LOG_INFO, "server reloaded generation=%llu",
                     (unsigned long long)gateway->last_generation);
}

/* --- stop */

static void tell_all(neap_gateway *gateway, neap_worker_order order) {
  for (uint32_t i = 0; i < gateway->worker_count; i++)
    if (neap_worker_tell(gateway->workers[i], order))
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
  neap_gateway_log(gateway, NEAP_LOG_INFO, "server stopping");
  tell_all(gateway, NEAP_WORKER_DRAIN);
  if (bounded) neap_timer_set(gateway->loop, &gateway->grace, gateway->loaded->config->grace_ms);
}

static void on_worker_done(neap_task *task) {
  neap_gateway *gateway = NEAP_CONTAINER_OF(task, neap_worker_done, task)->gateway;
  if (--gateway->workers_serving == 0) neap_loop_stop(gateway->loop);
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
    if (!gateway->stopping) reload(gateway);
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

static void on_cache_tick(neap_timer *timer) {
  neap_gateway *gateway = NEAP_CONTAINER_OF(timer, neap_gateway, cache_tick);
  neap_cache *cache = atomic_load(&gateway->cache);
  if (cache) neap_cache_tick(cache);
  neap_timer_set(gateway->loop, timer, CACHE_TICK_MS);
}

/* --- life */

static uint32_t wanted_workers(const neap_gateway *gateway, const neap_config *config) {
  uint32_t wanted = gateway->options->workers ? gateway->options->workers : config->workers;
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  if (wanted == 0) wanted = cores > 0 ? (uint32_t)cores : 1;
  return NEAP_MIN(wanted, (uint32_t)NEAP_WORKERS_MAX);
}

static int start_workers(neap_gateway *gateway, uint32_t count, neap_err *err) {
  while (gateway->worker_count < count) {
    int code =
        neap_worker_create(gateway, gateway->worker_count, &gateway->workers[gateway->worker_count], err);
    if (code) return code;
    gateway->worker_count++;
  }
  gateway->workers_serving = count;
  return 0;
}

static int start(neap_gateway *gateway, char **report, neap_err *err) {
  neap_loaded *loaded;
  int code = neap_loaded_create(gateway, 1, &loaded, report, err);
  if (code) return code;
  code = start_workers(gateway, wanted_workers(gateway, loaded->config), err);
  if (code == 0) code = watch_signals(gateway, err);
  if (code) {
    neap_loaded_destroy(&loaded);
    return code;
  }
  return neap_gateway_reload(gateway, loaded, report, err);
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
  neap_timer_init(&gateway->cache_tick, on_cache_tick);
  neap_timer_init(&gateway->grace, on_grace_over);
  int code = neap_loop_create(&gateway->loop);
  if (code == 0) code = neap_backends_create(&gateway->backends);
  if (code == 0) code = make_sessions(gateway);
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
  code = neap_gateway_rehearse(gateway, report, err);
  neap_gateway_destroy(&gateway);
  return code;
}

void neap_gateway_destroy(neap_gateway **gateway_ptr) {
  neap_gateway *gateway = *gateway_ptr;
  if (gateway == NULL) return;
  *gateway_ptr = NULL;
  for (uint32_t i = 0; i < gateway->worker_count; i++) neap_worker_destroy(&gateway->workers[i]);
  neap_loaded_destroy(&gateway->loaded);
  while (gateway->retired) {
    neap_loaded *loaded = gateway->retired;
    gateway->retired = loaded->next;
    neap_loaded_destroy(&loaded);
  }
  neap_cache *cache = atomic_load(&gateway->cache);
  neap_cache_destroy(&cache);
  neap_backends_destroy(&gateway->backends);
  neap_sessions_destroy(&gateway->sessions);
  for (size_t i = 0; i < NEAP_COUNT_OF(gateway->signals); i++) neap_signal_close(&gateway->signals[i]);
  neap_control_close(&gateway->control, true);
  neap_timer_clear(&gateway->cache_tick);
  neap_timer_clear(&gateway->grace);
  neap_loop_destroy(&gateway->loop);
  free(gateway->bound);
  free(gateway);
}

void neap_gateway_run(neap_gateway *gateway) {
  neap_timer_set(gateway->loop, &gateway->cache_tick, CACHE_TICK_MS);
  neap_loop_run(gateway->loop);
}

uint32_t neap_gateway_worker_count(const neap_gateway *gateway) {
  return gateway->worker_count;
}

size_t neap_gateway_listener_count(const neap_gateway *gateway) {
  return gateway->bound_count;
}

const char *neap_gateway_listener_address(const neap_gateway *gateway, size_t index) {
  return gateway->bound[index].address;
}
