/* A configuration as the workers use it: compiled routes and backends, shared; a VM and pools for each. */
#include "server/gateway.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"

/* --- what is shared */

/* `any`: a pipe will do, too, as at the start of `neap run -c <(...)`. */
static int read_file(const char *path, bool any, char **text, size_t *size, neap_err *err) {
  enum { CONFIG_MAX = 16 << 20 };
  FILE *file = any ? fopen(path, "re") : neap_file_open(path);
  if (file == NULL) return neap_fail(err, NEAP_EIO, "cannot read %s: %s", path, strerror(errno));
  char *bytes = NULL;
  size_t used = 0, room = 0, got;
  do {
    if (room - used < 4096) {
      char *grown = room < CONFIG_MAX ? realloc(bytes, room += 65536) : NULL;
      if (grown == NULL) goto fail;
      bytes = grown;
    }
    used += got = fread(bytes + used, 1, room - used, file);
  } while (got > 0);
  if (ferror(file)) goto fail;
  fclose(file);
  *text = bytes;
  *size = used;
  return 0;

fail:
  neap_fail(err, NEAP_EIO, "cannot read %s: %s", path, ferror(file) ? strerror(errno) : "too large");
  free(bytes);
  fclose(file);
  return NEAP_EIO;
}

/* `other`: a file instead of the gateway's own; NULL: that. */
static int read_config(neap_loaded *loaded, uint64_t generation, const char *other, char **report,
                       neap_err *err) {
  const neap_gateway_options *options = loaded->gateway->options;
  char *text = NULL, *folder = NULL;
  neap_config_source source = {.name = other ? other : options->name,
                               .text = other ? NULL : options->text,
                               .environment = options->environment};
  if (source.text) {
    source.size = strlen(source.text);
  } else {
    int code = read_file(source.name, other == NULL && generation == 1, &text, &source.size, err);
    if (code) return code;
    source.text = text;
    const char *slash = strrchr(source.name, '/');
    folder =
        slash ? strndup(source.name, (size_t)(slash - source.name) + (slash == source.name)) : strdup(".");
    source.folder = folder;
  }
  int code = neap_config_load(loaded->gateway->host, &source, generation, &loaded->config, report);
  free(text);
  free(folder);
  return code;
}

static int load_config(neap_loaded *loaded, uint64_t generation, const char *file, neap_config_record *record,
                       char **report, neap_err *err) {
  neap_err why = {0};
  int code = record
                 ? neap_config_load_record(loaded->gateway->host, record, generation, &loaded->config, report)
                 : read_config(loaded, generation, file, report, &why);
  if (code == 0) return 0;
  if (why.text[0]) return neap_fail(err, code, "%s", why.text);
  return neap_fail(err, code, "%s: %s", file ? file : loaded->gateway->options->name,
                   code == NEAP_EINVAL ? "the configuration is wrong" : neap_strerror(code));
}

static neap_flow_edits edits_of(const neap_config_edits *from) {
  return (neap_flow_edits){.remove = from->remove,
                           .remove_count = from->remove_count,
                           .set = from->set,
                           .set_count = from->set_count};
}

_Static_assert(NEAP_TIER_FLAG_REDIS == 1 << NEAP_FLOW_REDIS && NEAP_TIER_FLAG_CDN == 1 << NEAP_FLOW_CDN,
               "the flags of the configuration are those of the routes");

static uint8_t prefetch_of(const neap_config *config, const neap_config_route *route) {
  if (!config->prefetch.enabled || !route->cache) return 0;
  if (!route->cache_prefetch) return NEAP_FLOW_PREFETCH_SHARED;
  return NEAP_FLOW_PREFETCH | (config->prefetch.links ? NEAP_FLOW_PREFETCH_LINKS : 0);
}

static uint16_t refresh_of(const neap_config *config, const neap_config_route *route) {
  return prefetch_of(config, route) & NEAP_FLOW_PREFETCH ? (uint16_t)(config->prefetch.refresh * 1024 + 0.5)
                                                         : 0;
}

static neap_flow_route rule_of(const neap_config *config, const neap_config_route *from) {
  return (neap_flow_route){
      .name = from->name,
      .conditional = from->match.conditional,
      .passes = from->passes,
      .action = from->action == NEAP_ACTION_POOL ? NEAP_FLOW_POOL : NEAP_FLOW_ANSWER,
      .pool = from->pool,
      .cache = from->cache,
      .prefetch = prefetch_of(config, from),
      .refresh = refresh_of(config, from),
      .cache_ttl_ms = from->cache_ttl_ms,
      .cache_space = neap_view_of(from->cache_space),
      .tiers = (uint8_t)from->cache_tiers,
      .answer = {.status = from->status,
                 .body = neap_view_of(from->body),
                 .content_type = from->action == NEAP_ACTION_RESPOND ? from->content_type : NULL,
                 .location = from->location[0] ? from->location : NULL},
      .request = edits_of(&from->request),
      .response = edits_of(&from->response),
      .actions = from->actions,
  };
}

static uint32_t series_of(const neap_loaded *loaded, const neap_config_route *route) {
  const char *pool = route->pool >= 0 ? loaded->config->pools[route->pool].name : "";
  return neap_tallies_route(loaded->gateway->tallies, route->name, pool);
}

static int compile_routes(neap_loaded *loaded, neap_err *err) {
  const neap_config *config = loaded->config;
  const neap_match **matches = calloc(config->route_count + 1, sizeof *matches);
  loaded->rules = calloc(config->route_count + 1, sizeof *loaded->rules);
  int code = NEAP_ENOMEM;
  if (matches && loaded->rules) {
    for (size_t i = 0; i < config->route_count; i++) {
      matches[i] = &config->routes[i].match;
      loaded->rules[i] = rule_of(config, &config->routes[i]);
      loaded->rules[i].series = series_of(loaded, &config->routes[i]);
    }
    code = neap_routes_create(matches, config->route_count, &loaded->routes);
  }
  free(matches);
  return code ? neap_fail(err, code, "routes: %s", neap_strerror(code)) : 0;
}

static int take_limiters(neap_loaded *loaded, neap_err *err) {
  for (size_t i = 0; i < loaded->config->route_count; i++) {
    const neap_actions *actions = loaded->rules[i].actions;
    if (actions == NULL || !actions->limit.set) continue;
    int code = neap_limiters_take(loaded->gateway, actions->limit.name, &loaded->rules[i].limiter, err);
    if (code) return code;
  }
  return 0;
}

static void give_limiters(neap_loaded *loaded) {
  for (size_t i = 0; loaded->rules && i < loaded->config->route_count; i++)
    if (loaded->rules[i].limiter) neap_limiters_give(loaded->gateway, loaded->rules[i].limiter);
}

/* --- one worker's part */

static int ask_when(void *user, int32_t route, const neap_request_board *request) {
  return neap_worker_when(user, route, request);
}

static int ask_act(void *user, int32_t route, const neap_request_board *request, const neap_act_board **out) {
  return neap_worker_act(user, route, request, out);
}

static void close_part(neap_loaded_part *part) {
  for (size_t i = 0; i < part->pool_count; i++) neap_pool_destroy(&part->generation.pools[i]);
  free(part->generation.pools);
  part->generation.pools = NULL;
  part->pool_count = 0;
  neap_worker_vm_destroy(&part->vm);
}

static void on_loaded_drained(neap_task *task) {
  neap_loaded *loaded = NEAP_CONTAINER_OF(task, neap_loaded, drained);
  neap_gateway *gateway = loaded->gateway;
  neap_loaded **at = &gateway->retired;
  while (*at && *at != loaded) at = &(*at)->next;
  if (*at) *at = loaded->next;
  neap_gateway_log(gateway, NEAP_LOG_INFO, "server generation_freed generation=%llu",
                   (unsigned long long)loaded->set->number);
  neap_loaded_destroy(&loaded);
}

/* On the worker: its part is used no more. */
static void on_part_drained(neap_generation *generation) {
  neap_loaded_part *part = NEAP_CONTAINER_OF(generation, neap_loaded_part, generation);
  neap_loaded *loaded = part->loaded;
  close_part(part);
  if (atomic_fetch_sub(&loaded->undrained, 1) == 1) neap_loop_post(loaded->gateway->loop, &loaded->drained);
}

static void on_retire(neap_task *task) {
  neap_generation_retire(&NEAP_CONTAINER_OF(task, neap_loaded_part, retire)->generation);
}

static neap_session_options session_of(const neap_config_pool *pool) {
  const neap_config_session *from = &pool->session;
  return (neap_session_options){
      .kind = from->cookie  ? NEAP_SESSION_COOKIE
              : from->table ? NEAP_SESSION_TABLED
                            : NEAP_SESSION_OFF,
      .cookie = from->name,
      .secure = from->secure,
      .secrets = from->secrets,
      .secret_count = NEAP_MIN(from->secret_count, (size_t)NEAP_SESSION_SECRETS_MAX),
      .by = from->by,
      .by_name = from->by_name,
      .timeout_ms = pool->session_timeout_ms,
  };
}

static int open_pools(neap_loaded_part *part, uint64_t seed, neap_err *err) {
  const neap_loaded *loaded = part->loaded;
  const neap_config *config = loaded->config;
  part->generation.pools = calloc(config->pool_count + 1, sizeof *part->generation.pools);
  if (part->generation.pools == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  for (size_t i = 0; i < config->pool_count; i++) {
    const neap_config_pool *from = &config->pools[i];
    neap_pool_options options = {
        .name = from->name,
        .key = from->key,
        .key_name = from->key_name,
        .members = loaded->members[i].list,
        .member_count = loaded->members[i].count,
        .connect_timeout_ms = from->connect_timeout_ms,
        .response_timeout_ms = from->response_timeout_ms,
        .idle_timeout_ms = from->idle_timeout_ms,
        .down_time_ms = from->down_time_ms,
        .max_idle = from->max_idle,
        .max_retries = from->max_retries,
        .retry_delay_ms = from->retry_delay_ms,
        .retry_budget = from->retry_budget,
        .hedge_percentile = from->hedge_percentile,
        .hedge_delay_ms = from->hedge_delay_ms,
        .hedge_budget = from->hedge_budget,
        .session = session_of(from),
        .sessions = loaded->gateway->sessions,
        .max_queue = from->max_queue,
        .queue_timeout_ms = from->queue_timeout_ms,
        .care = &from->care,
        .balance = from->balance,
        .source = from->source,
        .params = from->params,
        .param_count = from->param_count,
        .registry = neap_worker_registry(part->vm),
        .host = loaded->gateway->host,
        .generation = config->generation,
        .seed = seed + i,
        .series = neap_tallies_pool(loaded->gateway->tallies, from->name),
    };
    int code = neap_pool_create(&options, &part->generation.pools[i], err);
    if (code) return code;
    part->generation.pool_count = part->pool_count = i + 1;
  }
  return 0;
}

int neap_loaded_make_room(neap_loaded *loaded, uint32_t count, neap_err *err) {
  loaded->parts = calloc(count, sizeof *loaded->parts);
  loaded->set = calloc(1, sizeof *loaded->set + count * sizeof(neap_generation *));
  if (loaded->parts == NULL || loaded->set == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  loaded->part_count = count;
  loaded->set->number = loaded->config->generation;
  loaded->set->worker_count = count;
  loaded->drained.run = on_loaded_drained;
  return 0;
}

int neap_loaded_open_part(neap_loaded *loaded, uint32_t place, neap_err *err) {
  neap_loaded_part *part = &loaded->parts[place];
  part->loaded = loaded;
  part->retire.run = on_retire;
  int code =
      neap_worker_vm_create(loaded->config, loaded->gateway->host, loaded->gateway->spares, &part->vm, err);
  if (code) return code;
  neap_tables_show(part);
  part->generation = (neap_generation){
      .number = loaded->config->generation,
      .routes = loaded->routes,
      .rules = loaded->rules,
      .tables = loaded->config->table_count > 0 ? loaded->tables : NULL,
      .readers = neap_tables_readers(loaded->gateway->tables),
      .has_cache = loaded->config->cache_enabled,
      .when = ask_when,
      .act = ask_act,
      .when_user = part->vm,
      .drained = on_part_drained,
  };
  loaded->set->of_worker[place] = &part->generation;
  return open_pools(part, loaded->gateway->host->seed + ((uint64_t)place << 32), err);
}

void neap_loaded_close_part(neap_loaded *loaded, uint32_t place) {
  close_part(&loaded->parts[place]);
  loaded->parts[place].loaded = NULL;
  loaded->set->of_worker[place] = NULL;
}

/* --- life */

int neap_loaded_create(neap_gateway *gateway, uint64_t generation, const char *file,
                       neap_config_record *record, neap_loaded **out, char **report, neap_err *err) {
  neap_loaded *loaded = calloc(1, sizeof *loaded);
  if (loaded == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  loaded->gateway = gateway;
  loaded->source = generation;
  int code = load_config(loaded, generation, file, record, report, err);
  if (code)
    neap_loaded_destroy(&loaded);
  else
    *out = loaded;
  return code;
}

/* For the scripts that judge probes, where there are any. */
static int open_judge(neap_loaded *loaded, neap_err *err) {
  const neap_config *config = loaded->config;
  for (size_t i = 0; i < config->pool_count; i++)
    if (config->pools[i].care.health.scripted)
      return neap_judge_create(config, loaded->gateway->host, &loaded->judge, err);
  return 0;
}

int neap_loaded_build(neap_loaded *loaded, neap_err *err) {
  int code = compile_routes(loaded, err);
  if (code == 0) code = open_judge(loaded, err);
  if (code == 0) code = take_limiters(loaded, err);
  if (code == 0) code = neap_tables_take(loaded, err);
  if (code == 0) code = neap_members_take(loaded, err);
  return code;
}

static int ask_judge(void *user, int32_t pool, const neap_probe_board *probe) {
  return neap_judge_ask(user, pool, probe);
}

static size_t keep_pools(const neap_loaded *loaded, neap_keeper_pool *out) {
  const neap_config *config = loaded->config;
  for (size_t i = 0; i < config->pool_count; i++)
    out[i] = (neap_keeper_pool){.name = config->pools[i].name,
                                .care = &config->pools[i].care,
                                .members = loaded->members[i].list,
                                .member_count = loaded->members[i].count,
                                .judge = loaded->judge ? ask_judge : NULL,
                                .judge_user = loaded->judge,
                                .index = (int32_t)i};
  return config->pool_count;
}

void neap_loaded_keep(const neap_loaded *loaded, const neap_loaded *beside) {
  size_t most = loaded->config->pool_count + (beside ? beside->config->pool_count : 0);
  neap_keeper_pool *pools = calloc(most + 1, sizeof *pools);
  neap_assert(pools != NULL);
  size_t count = keep_pools(loaded, pools);
  if (beside) count += keep_pools(beside, pools + count);
  neap_keeper_set(loaded->gateway->keeper, pools, count);
  free(pools);
}

void neap_loaded_retire(neap_loaded *loaded) {
  neap_gateway *gateway = loaded->gateway;
  loaded->next = gateway->retired;
  gateway->retired = loaded;
  uint32_t count = 0;
  for (uint32_t i = 0; i < loaded->part_count; i++) count += loaded->parts[i].loaded != NULL;
  atomic_store(&loaded->undrained, count);
  for (uint32_t i = 0; i < loaded->part_count; i++)
    if (loaded->parts[i].loaded)
      neap_loop_post(neap_worker_loop(gateway->workers[i]), &loaded->parts[i].retire);
}

void neap_loaded_destroy(neap_loaded **loaded_ptr) {
  neap_loaded *loaded = *loaded_ptr;
  if (loaded == NULL) return;
  for (uint32_t i = 0; loaded->parts && i < loaded->part_count; i++) close_part(&loaded->parts[i]);
  free(loaded->parts);
  free(loaded->set);
  give_limiters(loaded);
  neap_tables_give(loaded);
  neap_members_give(loaded);
  neap_judge_destroy(&loaded->judge);
  neap_routes_destroy(&loaded->routes);
  free(loaded->rules);
  neap_config_destroy(&loaded->config);
  free(loaded);
  *loaded_ptr = NULL;
}

/* --- comparing */

bool neap_same_text(const char *a, const char *b) {
  return a == b || (a && b && strcmp(a, b) == 0);
}

bool neap_same_params(const neap_param *a, size_t a_count, const neap_param *b, size_t b_count) {
  if (a_count != b_count) return false;
  for (size_t i = 0; i < a_count; i++)
    if (strcmp(a[i].name, b[i].name) || a[i].number != b[i].number || !neap_same_text(a[i].text, b[i].text))
      return false;
  return true;
}
