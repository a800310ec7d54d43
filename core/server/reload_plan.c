/* A new generation: everything that can fail is done first and undone if the rest fails; then the switch,
 * which cannot fail. The first start goes the same way. */
#include "server/candidate.h"
#include "server/dry_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- workers */

static uint32_t wanted_workers(const neap_gateway *gateway, const neap_config *config) {
  uint32_t wanted = gateway->options->workers ? gateway->options->workers : config->workers;
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  if (wanted == 0) wanted = cores > 0 ? (uint32_t)cores : 1;
  return NEAP_MIN(wanted, (uint32_t)NEAP_WORKERS_MAX / 2); /* more may still be leaving */
}

/* Those that serve go on; what is missing is started in free places. */
static int choose_workers(neap_reload_plan *plan, neap_err *err) {
  neap_gateway *gateway = plan->gateway;
  uint32_t wanted = wanted_workers(gateway, plan->loaded->config);
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX && plan->place_count < wanted; i++)
    if (plan->serving[i]) plan->places[plan->place_count++] = i;
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX && plan->place_count < wanted; i++) {
    if (plan->used[i]) continue;
    int code = neap_worker_create(gateway, i, &plan->fresh[i], err);
    if (code) return code;
    plan->places[plan->place_count++] = i;
  }
  if (plan->place_count < wanted)
    return neap_fail(err, NEAP_EBUSY, "workers of an earlier number are still finishing: try again later");
  return 0;
}

/* In a place of its own, for which there always is room: see wanted_workers. */
static int dry_run(neap_reload_plan *plan, uint32_t place, char **report, neap_err *err) {
  const neap_config *config = plan->loaded->config;
  if (!config->reload_dry_run || neap_dry_run_subjects(config) == 0 || place == NEAP_WORKERS_MAX) return 0;
  int code = neap_loaded_open_part(plan->loaded, place, err);
  if (code == 0) code = neap_dry_run(&plan->loaded->parts[place], place, report, err);
  neap_loaded_close_part(plan->loaded, place);
  if (code == 0) neap_plan_step(plan, "dry run");
  return code;
}

/* A part for everyone who may still take a request. */
static int open_parts(neap_reload_plan *plan, char **report, neap_err *err) {
  uint32_t count = 0, total = 0, done = 0, free_place = 0;
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX; i++)
    if (plan->used[i] || plan->fresh[i]) count = i + 1, total++;
  while (free_place < NEAP_WORKERS_MAX && (plan->used[free_place] || plan->fresh[free_place])) free_place++;
  int code = neap_loaded_make_room(plan->loaded, NEAP_MAX(count, free_place + 1), err);
  if (code == 0) code = dry_run(plan, free_place, report, err);
  for (uint32_t i = 0; i < count && code == 0; i++) {
    if (!plan->used[i] && plan->fresh[i] == NULL) continue;
    neap_err why = {0};
    code = neap_loaded_open_part(plan->loaded, i, &why);
    done++;
    if (code)
      neap_fail(err, code, "worker %u of %u: %s", done, total, why.text);
    else
      neap_plan_step(plan, "prepare worker %u of %u", done, total);
  }
  return code;
}

/* --- logs */

static int open_logs(neap_reload_plan *plan, neap_err *err) {
  const char *path = plan->loaded->config->access_log;
  int code = 0;
  for (uint32_t i = 0; i < plan->place_count && path[0] != '\0' && code == 0; i++)
    code = neap_access_log_open(
        path, plan->loaded->config->access_combined ? NEAP_ACCESS_COMBINED : NEAP_ACCESS_JSON,
        &plan->logs[plan->places[i]], err);
  return code;
}

/* --- cache */

static bool same_policy(const neap_cache_options *a, const neap_cache_options *b, const char *source) {
  if (source) return false; /* what it requires may have changed: it hands over to itself */
  return neap_same_text(a->evict, b->evict) &&
         neap_same_params(a->params, a->param_count, b->params, b->param_count);
}

/* Of any part: policies as the configuration's record has them. */
static neap_registry *registry_of(const neap_reload_plan *plan) {
  const neap_loaded_part *part = plan->loaded->parts;
  while (part->vm == NULL) part++;
  return neap_worker_registry(part->vm);
}

/* A cache that is there, or made in *made, gets its policy. */
static int prepare_policy(const neap_reload_plan *plan, neap_cache *cache, const neap_cache_options *wanted,
                          neap_cache **made, neap_err *err) {
  if (cache == NULL) { /* a native policy first: the configured one then comes the way of every reload */
    neap_cache_options options = *wanted;
    options.evict = "native:lru";
    options.param_count = 0;
    int code = neap_cache_create(plan->gateway->engine, &options, made, err);
    if (code) return code;
    cache = *made;
  }
  return neap_store_set_evict(cache, registry_of(plan), wanted->evict, wanted->params, wanted->param_count,
                              err);
}

static int prepare_cache(neap_reload_plan *plan, neap_err *err) {
  const neap_gateway *gateway = plan->gateway;
  const neap_config *config = plan->loaded->config, *old = gateway->loaded ? gateway->loaded->config : NULL;
  neap_cache *cache = atomic_load((_Atomic(neap_cache *) *)&gateway->cache);
  if (!config->cache_enabled) return 0;
  if (cache && old->cache_enabled && same_policy(&old->cache, &config->cache, config->cache_source)) return 0;
  return prepare_policy(plan, cache, &config->cache, &plan->cache, err);
}

/* What the RESP ports serve. */
static int prepare_keys(neap_reload_plan *plan, neap_err *err) {
  const neap_gateway *gateway = plan->gateway;
  const neap_config *config = plan->loaded->config, *old = gateway->loaded ? gateway->loaded->config : NULL;
  if (!config->keys_enabled) return 0;
  if (gateway->keys && old->keys_enabled && same_policy(&old->keys, &config->keys, config->keys_source))
    return 0;
  neap_cache_options options = config->keys;
  options.name = "keys";
  int code = prepare_policy(plan, gateway->keys_cache, &options, &plan->keys_cache, err);
  if (code || gateway->keys) return code;
  code = neap_keyspace_create(plan->keys_cache, gateway->host, &plan->keys);
  if (code) return neap_fail(err, code, "no keys: %s", neap_strerror(code));
  if (config->keys_tiers.tiers == 0) return 0;
  code = neap_cascade_create_keys(plan->gateway, config, plan->keys_cache, &plan->keys_cascade, err);
  if (code) return code;
  const neap_keyspace_tiers tiers = neap_cascade_of_keyspace(plan->keys_cascade, config);
  neap_keyspace_set_tiers(plan->keys, &tiers);
  return 0;
}

static int prepare_tiers(neap_reload_plan *plan, neap_err *err) {
  const neap_config_tiers *config = &plan->loaded->config->tiers;
  if (neap_cascade_is_same(plan->gateway->cascade, config)) return 0;
  plan->tiers_change = true;
  return config->enabled ? neap_cascade_create(plan->gateway, config, &plan->cascade, err) : 0;
}

/* The last that may fail. The caches themselves stay as long as the gateway, also where nobody uses them any
 * more. */
static int prepare_caches(neap_reload_plan *plan, neap_err *err) {
  int code = prepare_tiers(plan, err);
  if (code == 0) code = prepare_cache(plan, err);
  if (code == 0) code = prepare_keys(plan, err);
  if (code) return code;
  return neap_prefetching_prepare(plan->gateway->prefetching, plan->loaded->config, registry_of(plan),
                                  &plan->prefetching, err);
}

static void set_limits(const neap_gateway *gateway, neap_cache *cache, const neap_cache_options *options) {
  int code =
      neap_cache_set_limits(cache, options->max_entries, options->max_memory, options->max_object_size);
  if (code)
    neap_gateway_log(gateway, NEAP_LOG_WARN, "server cache_limits_pending error=\"%s\"", neap_strerror(code));
}

static void commit_caches(neap_reload_plan *plan) {
  neap_gateway *gateway = plan->gateway;
  const neap_config *config = plan->loaded->config;
  if (plan->cache)
    atomic_store(&gateway->cache, plan->cache);
  else if (config->cache_enabled)
    set_limits(gateway, atomic_load(&gateway->cache), &config->cache);
  if (plan->keys_cache) {
    gateway->keys_cache = plan->keys_cache;
    gateway->keys = plan->keys;
    if (plan->keys_cascade) neap_cascade_commit_keys(gateway, &plan->keys_cascade);
  } else if (config->keys_enabled) {
    set_limits(gateway, gateway->keys_cache, &config->keys);
    if (!neap_cascade_is_keys_same(gateway->keys_cascade, config))
      neap_gateway_log(
          gateway, NEAP_LOG_WARN,
          "server keys_tiers_pending text=\"tiers of keys change when the gateway starts anew\"");
  }
}

/* --- the control socket */

/* The first place where it can be. There being none is worth a warning, not a refusal. */
static void find_control_place(neap_reload_plan *plan) {
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

static int prepare_control(neap_reload_plan *plan, neap_err *err) {
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

/* --- the admin interface */

static int prepare_admin(neap_reload_plan *plan, neap_err *err) {
  const neap_gateway *gateway = plan->gateway;
  const char *wanted = plan->loaded->config->admin_address;
  neap_address address;
  if (gateway->loaded && strcmp(gateway->loaded->config->admin_address, wanted) == 0) return 0;
  plan->admin_changes = true;
  if (wanted[0] == '\0') return 0;
  int code = neap_address_parse(wanted, &address, err);
  return code ? code : neap_listen_socket(&address, false, &plan->admin_socket, err);
}

static void commit_admin(neap_reload_plan *plan) {
  neap_gateway *gateway = plan->gateway;
  neap_err err;
  if (plan->admin_changes) {
    neap_admin_close(&gateway->admin);
    if (plan->admin_socket >= 0 && neap_admin_open(gateway, plan->admin_socket, &gateway->admin, &err))
      neap_gateway_log(gateway, NEAP_LOG_ERROR, "server no_admin error=\"%s\"", err.text);
    plan->admin_socket = -1;
  }
  if (gateway->admin) neap_admin_set_token(gateway->admin, plan->loaded->config->admin_token);
}

static void undo_control(neap_reload_plan *plan) {
  if (plan->control.socket < 0) return;
  neap_local_remove(&plan->control);
  neap_socket_close(plan->control.socket);
}

static void commit_control(neap_reload_plan *plan) {
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

void neap_plan_step(neap_reload_plan *plan, const char *format, ...) {
  char text[96];
  va_list list;
  if (plan->step == NULL) return;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  plan->step(plan, text);
}

void neap_plan_init(neap_reload_plan *plan, neap_gateway *gateway, uint64_t generation) {
  *plan = (neap_reload_plan){
      .gateway = gateway, .generation = generation, .control.socket = -1, .admin_socket = -1};
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX; i++) {
    plan->used[i] = gateway->workers[i] != NULL;
    plan->serving[i] = gateway->serving[i];
  }
}

static int load(neap_reload_plan *plan, char **report, neap_err *err) {
  int code = neap_loaded_create(plan->gateway, plan->generation, plan->file, plan->record, &plan->loaded,
                                report, err);
  if (code) return code;
  plan->loaded->of_file = plan->record == NULL && plan->file == NULL;
  if (plan->record) plan->loaded->source = plan->source;
  plan->loaded->before = plan->before;
  plan->loaded->back = plan->back;
  neap_plan_step(plan, "compile");
  code = neap_loaded_build(plan->loaded, err);
  if (code == 0) neap_plan_step(plan, "check");
  return code;
}

int neap_plan_prepare(neap_reload_plan *plan, char **report, neap_err *err) {
  int code = load(plan, report, err);
  if (code == 0) code = choose_workers(plan, err);
  if (code == 0) code = open_parts(plan, report, err);
  if (code == 0) code = neap_listeners_bind(plan, err);
  if (code == 0) code = open_logs(plan, err);
  if (code == 0) code = prepare_control(plan, err);
  if (code == 0) code = prepare_admin(plan, err);
  if (code == 0) code = prepare_caches(plan, err);
  if (code == 0) neap_config_seal(plan->loaded->config);
  return code;
}

int neap_plan_prepare_beside(neap_reload_plan *plan, char **report, neap_err *err) {
  int code = load(plan, report, err);
  return code ? code : open_parts(plan, report, err);
}

int neap_plan_rehearse(neap_reload_plan *plan, char **report, neap_err *err) {
  int code = load(plan, report, err);
  plan->used[0] = true;
  if (code == 0) code = open_parts(plan, report, err);
  if (code == 0) code = prepare_caches(plan, err);
  return code;
}

void neap_plan_undo(neap_reload_plan *plan) {
  neap_listeners_undo(plan);
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX; i++) {
    neap_worker_destroy(&plan->fresh[i]);
    neap_access_log_close(&plan->logs[i]);
  }
  undo_control(plan);
  if (plan->admin_socket >= 0) neap_socket_close(plan->admin_socket);
  neap_config_record_unref(&plan->record);
  neap_prefetching_undo(&plan->prefetching);
  neap_cascade_destroy(&plan->cascade);
  neap_cache_destroy(&plan->cache);
  neap_keyspace_destroy(&plan->keys);
  neap_cascade_destroy(&plan->keys_cascade);
  neap_cache_destroy(&plan->keys_cache);
  neap_loaded_destroy(&plan->loaded);
}

/* Workers that have ended since it began need no part. */
static void forget_the_gone(neap_reload_plan *plan) {
  for (uint32_t i = 0; i < plan->loaded->part_count; i++)
    if (plan->gateway->workers[i] == NULL) neap_loaded_close_part(plan->loaded, i);
}

static bool is_to_serve(const neap_reload_plan *plan, uint32_t place) {
  for (uint32_t i = 0; i < plan->place_count; i++)
    if (plan->places[i] == place) return true;
  return false;
}

/* Listeners and logs of one worker; one that is to serve no more leaves. */
static void tell_worker(neap_reload_plan *plan, uint32_t place, neap_listener_change *changes) {
  neap_gateway *gateway = plan->gateway;
  neap_worker *worker = gateway->workers[place];
  bool serves = is_to_serve(plan, place), leaves = gateway->serving[place] && !serves;
  if (!serves && !leaves) return; /* it has been told before */
  if (serves) {
    size_t count = neap_listeners_changes(plan, (int32_t)place, changes);
    neap_assert(neap_worker_commit(worker, changes, count, plan->logs[place]) == 0);
  } else {
    neap_assert(neap_worker_tell(worker, NEAP_WORKER_LEAVE) == 0);
  }
  plan->logs[place] = NULL;
  gateway->serving[place] = serves;
}

/* It was tried beside the generation before. */
static void end_candidate(const neap_reload_plan *plan) {
  neap_gateway *gateway = plan->gateway;
  bool canary = neap_candidate_canary(gateway) != NULL;
  const char *state = plan->promotion        ? "promoted"
                      : plan->back && canary ? "rolled back"
                      : plan->back           ? "overtaken by a rollback"
                                             : "overtaken by a reload";
  neap_candidate_end(gateway, state, NULL);
  gateway->canary_undone = false;
}

void neap_plan_commit(neap_reload_plan *plan) {
  neap_gateway *gateway = plan->gateway;
  neap_listener_change *changes = calloc(neap_listeners_most_changes(plan) + 1, sizeof *changes);
  neap_assert(changes != NULL);
  commit_caches(plan);
  neap_prefetching_commit(gateway->prefetching, plan->loaded->config, &plan->prefetching);
  commit_control(plan);
  commit_admin(plan);
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX; i++)
    if (plan->fresh[i]) gateway->workers[i] = plan->fresh[i];
  forget_the_gone(plan);
  neap_listeners_listen(plan);
  neap_listeners_let_go(plan);
  atomic_store_explicit(&gateway->current, plan->loaded->set, memory_order_release); /* the switch */
  end_candidate(plan);
  for (uint32_t i = 0; i < NEAP_WORKERS_MAX; i++)
    if (gateway->workers[i]) tell_worker(plan, i, changes);
  neap_cascade_commit(gateway, &plan->cascade, plan->tiers_change);
  free(changes);
  gateway->worker_count = plan->place_count;
  neap_listeners_commit(plan);
  neap_loaded_keep(plan->loaded, NULL);
  neap_members_count(gateway, gateway->loaded, plan->loaded);
  if (gateway->loaded) {
    neap_history_note(&gateway->history, gateway->loaded, plan->loaded, plan->loaded->config->reload_keep);
    neap_loaded_retire(gateway->loaded);
  } else {
    neap_history_begin(&gateway->history, plan->loaded);
  }
  neap_config_record_unref(&plan->record);
  gateway->loaded = plan->loaded;
  gateway->loaded->since_ms = neap_clock_wall_ms();
  gateway->last_generation = plan->generation;
  plan->loaded = NULL;
  neap_members_catch_up(gateway);
  neap_discovery_follow(gateway->discovery);
  neap_file_watch_set(gateway);
}
