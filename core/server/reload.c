/* A new generation: everything that can fail is done first and undone if the rest fails; then the switch,
 * which cannot fail. The first start goes the same way. */
#include "server/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a reload has prepared and not yet committed. */
typedef struct reload_plan {
  neap_gateway *gateway;
  neap_loaded *loaded;
  neap_bound *bound; /* all listeners of the new generation */
  size_t bound_count;
  neap_access_log **logs; /* by worker */
  neap_cache *cache;      /* made new, where there was none */
  bool control_changes;
  neap_local control; /* made new; socket -1: none */
} reload_plan;

/* --- listeners */

static neap_bound *find_bound(neap_bound *bound, size_t count, const char *configured) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(bound[i].configured, configured) == 0) return &bound[i];
  return NULL;
}

/* One socket per worker. The first is bound alone, so that an address in use is noticed. */
static int bind_sockets(neap_gateway *gateway, neap_bound *bound, const neap_config_listener *listener,
                        neap_err *err) {
  neap_address address;
  int code = neap_address_parse(listener->address, &address, err);
  for (uint32_t i = 0; i < gateway->worker_count && code == 0; i++) {
    code = neap_listen_socket(&address, i > 0, &bound->sockets[i], err);
    if (code == 0 && i == 0) neap_socket_address(bound->sockets[0], &address); /* port 0 is now a port */
  }
  neap_address_format(&address, bound->address);
  return code;
}

static void close_sockets(neap_bound *bound) {
  for (size_t i = 0; i < NEAP_WORKERS_MAX; i++)
    if (bound->sockets[i] >= 0) neap_socket_close(bound->sockets[i]);
}

static int bind_listeners(reload_plan *plan, neap_err *err) {
  neap_gateway *gateway = plan->gateway;
  const neap_config *config = plan->loaded->config;
  plan->bound = calloc(config->listener_count + 1, sizeof *plan->bound);
  if (plan->bound == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  for (size_t i = 0; i < config->listener_count; i++) {
    neap_bound *bound = &plan->bound[i];
    snprintf(bound->configured, sizeof bound->configured, "%s", config->listeners[i].address);
    memset(bound->sockets, 0xff, sizeof bound->sockets);
    plan->bound_count = i + 1;
    const neap_bound *kept = find_bound(gateway->bound, gateway->bound_count, bound->configured);
    if (kept) {
      bound->id = kept->id;
      memcpy(bound->address, kept->address, sizeof bound->address);
      continue;
    }
    bound->id = ++gateway->last_listener_id;
    int code = bind_sockets(gateway, bound, &config->listeners[i], err);
    if (code) return code;
  }
  return 0;
}

/* --- logs */

static int open_logs(reload_plan *plan, neap_err *err) {
  const char *path = plan->loaded->config->access_log;
  uint32_t count = plan->gateway->worker_count;
  plan->logs = calloc(count, sizeof *plan->logs);
  if (plan->logs == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  int code = 0;
  for (uint32_t i = 0; i < count && path[0] != '\0' && code == 0; i++)
    code = neap_access_log_open(path, &plan->logs[i], err);
  return code;
}

/* --- cache */

static bool same_text(const char *a, const char *b) {
  return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_policy(const neap_config *a, const neap_config *b) {
  if (!same_text(a->cache.evict, b->cache.evict) || !same_text(a->cache_source, b->cache_source))
    return false;
  if (a->cache.param_count != b->cache.param_count) return false;
  for (size_t i = 0; i < a->cache.param_count; i++) {
    const neap_param *x = &a->cache.params[i], *y = &b->cache.params[i];
    if (strcmp(x->name, y->name) || x->number != y->number || !same_text(x->text, y->text)) return false;
  }
  return true;
}

/* The last that may fail. The cache itself stays as long as the gateway, also where routes no longer use it.
 */
static int prepare_cache(reload_plan *plan, neap_err *err) {
  neap_gateway *gateway = plan->gateway;
  const neap_config *config = plan->loaded->config;
  neap_cache *cache = atomic_load(&gateway->cache);
  if (!config->cache_enabled) return 0;
  if (cache == NULL) return neap_cache_create(gateway->engine, &config->cache, &plan->cache, err);
  if (gateway->loaded->config->cache_enabled && same_policy(gateway->loaded->config, config)) return 0;
  return neap_cache_set_evict(cache, config->cache.evict, config->cache.params, config->cache.param_count,
                              err);
}

static void commit_cache(reload_plan *plan) {
  neap_gateway *gateway = plan->gateway;
  const neap_cache_options *options = &plan->loaded->config->cache;
  if (plan->cache) {
    atomic_store(&gateway->cache, plan->cache);
  } else if (plan->loaded->config->cache_enabled) {
    int code = neap_cache_set_limits(atomic_load(&gateway->cache), options->max_entries, options->max_memory,
                                     options->max_object_size);
    if (code)
      neap_gateway_log(gateway, NEAP_LOG_WARN, "server cache_limits_pending error=\"%s\"",
                       neap_strerror(code));
  }
}

/* --- the control socket */

/* The first place where it can be. There being none is worth a warning, not a refusal. */
static void find_control_place(reload_plan *plan) {
  const neap_gateway *gateway = plan->gateway;
  const neap_gateway_options *options = gateway->options;
  neap_err err = {0};
  char path[NEAP_LOCAL_PATH];
  if (options->text) return;
  for (size_t i = 0; i < NEAP_CONTROL_PLACES; i++) {
    if (!neap_control_place(options->name, options->environment, i, path, sizeof path)) continue;
    int code = neap_local_listen(path, plan->loaded->config->control_mode, &plan->control, &err);
    if (code == 0) return;
    plan->control.socket = -1;
    if (code == NEAP_EEXIST) break;
  }
  neap_gateway_log(gateway, NEAP_LOG_WARN, "server no_control_socket error=\"%s\"", err.text);
}

static int prepare_control(reload_plan *plan, neap_err *err) {
  const neap_gateway *gateway = plan->gateway;
  const neap_config *config = plan->loaded->config;
  const char *wanted = config->control_socket;
  if (gateway->loaded && strcmp(gateway->loaded->config->control_socket, wanted) == 0) return 0;
  plan->control_changes = true;
  if (strcmp(wanted, "off") == 0) return 0;
  if (strcmp(wanted, "auto") != 0)
    return neap_local_listen(wanted, config->control_mode, &plan->control, err);
  find_control_place(plan);
  return 0;
}

static void undo_control(reload_plan *plan) {
  if (plan->control.socket < 0) return;
  neap_local_remove(&plan->control);
  neap_socket_close(plan->control.socket);
}

static void commit_control(reload_plan *plan) {
  neap_gateway *gateway = plan->gateway;
  neap_err err;
  if (!plan->control_changes) {
    if (gateway->control) neap_control_set_mode(gateway->control, plan->loaded->config->control_mode);
    return;
  }
  neap_control_close(&gateway->control, false);
  if (plan->control.socket >= 0 && neap_control_open(gateway, &plan->control, &gateway->control, &err))
    neap_gateway_log(gateway, NEAP_LOG_ERROR, "server no_control_socket error=\"%s\"", err.text);
}

/* --- all or nothing */

static int prepare(reload_plan *plan, char **report, neap_err *err) {
  neap_gateway *gateway = plan->gateway;
  int code = 0;
  if (plan->loaded == NULL)
    code = neap_loaded_create(gateway, gateway->last_generation + 1, &plan->loaded, report, err);
  if (code == 0) plan->loaded->part_count = gateway->worker_count;
  if (code == 0) code = neap_loaded_prepare(plan->loaded, err);
  if (code == 0) code = bind_listeners(plan, err);
  if (code == 0) code = open_logs(plan, err);
  if (code == 0) code = prepare_control(plan, err);
  if (code == 0) code = prepare_cache(plan, err);
  return code;
}

static void undo(reload_plan *plan) {
  for (size_t i = 0; i < plan->bound_count; i++) close_sockets(&plan->bound[i]);
  free(plan->bound);
  for (uint32_t i = 0; plan->logs && i < plan->gateway->worker_count; i++)
    neap_access_log_close(&plan->logs[i]);
  free(plan->logs);
  undo_control(plan);
  neap_cache_destroy(&plan->cache);
  neap_loaded_destroy(&plan->loaded);
}

static size_t changes_for(const reload_plan *plan, uint32_t worker, neap_listener_change *changes) {
  const neap_gateway *gateway = plan->gateway;
  size_t count = 0;
  for (size_t i = 0; i < plan->bound_count; i++) {
    const neap_config_listener *listener = &plan->loaded->config->listeners[i];
    int socket = plan->bound[i].sockets[worker];
    changes[count++] = (neap_listener_change){
        .id = plan->bound[i].id,
        .what = socket >= 0 ? NEAP_LISTENER_OPEN : NEAP_LISTENER_UPDATE,
        .socket = socket,
        .options = {.header_timeout_ms = listener->header_timeout_ms,
                    .idle_timeout_ms = listener->idle_timeout_ms,
                    .max_header_bytes = (uint32_t)NEAP_MIN(listener->max_header_size, (uint64_t)UINT32_MAX)},
    };
  }
  for (size_t i = 0; i < gateway->bound_count; i++)
    if (find_bound(plan->bound, plan->bound_count, gateway->bound[i].configured) == NULL)
      changes[count++] = (neap_listener_change){.id = gateway->bound[i].id, .what = NEAP_LISTENER_CLOSE};
  return count;
}

static void commit(reload_plan *plan) {
  neap_gateway *gateway = plan->gateway;
  neap_listener_change *changes = calloc(plan->bound_count + gateway->bound_count + 1, sizeof *changes);
  neap_assert(changes != NULL);
  commit_cache(plan);
  commit_control(plan);
  atomic_store_explicit(&gateway->current, plan->loaded->set, memory_order_release); /* the switch */
  for (uint32_t i = 0; i < gateway->worker_count; i++) {
    size_t count = changes_for(plan, i, changes);
    neap_assert(neap_worker_commit(gateway->workers[i], changes, count, plan->logs[i]) == 0);
  }
  free(changes);
  free(plan->logs);
  if (gateway->loaded) neap_loaded_retire(gateway->loaded);
  gateway->loaded = plan->loaded;
  gateway->last_generation = plan->loaded->set->number;
  free(gateway->bound);
  gateway->bound = plan->bound;
  gateway->bound_count = plan->bound_count;
}

int neap_gateway_reload(neap_gateway *gateway, neap_loaded *loaded, char **report, neap_err *err) {
  reload_plan plan = {.gateway = gateway, .loaded = loaded, .control.socket = -1};
  int code = prepare(&plan, report, err);
  if (code)
    undo(&plan);
  else
    commit(&plan);
  return code;
}

int neap_gateway_rehearse(neap_gateway *gateway, char **report, neap_err *err) {
  neap_loaded *loaded;
  int code = neap_loaded_create(gateway, 1, &loaded, report, err);
  if (code) return code;
  loaded->part_count = 1;
  code = neap_loaded_prepare(loaded, err);
  if (code == 0 && loaded->config->cache_enabled) {
    neap_cache *cache;
    code = neap_cache_create(gateway->engine, &loaded->config->cache, &cache, err);
    if (code == 0) neap_cache_destroy(&cache);
  }
  neap_loaded_destroy(&loaded);
  return code;
}
