/* Any text as neap.lua: it is refused with a report that names places, or yields a configuration that keeps
 * the promises of script.h, that a worker can run again, and whose routes compile. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "loop/loop.h"
#include "route/route.h"
#include "script/script.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static neap_host host;

static void drop_line(void *user, neap_log_level level, const char *line) {
  (void)user, (void)level, (void)line;
}

static void check_report(const char *report) {
  for (const char *line = report; line && *line; line = strchr(line, '\n') + 1)
    neap_assert(strstr(line, ": error: ") || strstr(line, ": warning: "));
}

static void check_config(const neap_config *config) {
  neap_assert(config->listener_count > 0 && config->route_count > 0);
  neap_assert(config->cache.max_memory >= 65536 && config->cache.evict[0]);
  for (size_t i = 0; i < config->pool_count; i++) {
    const neap_config_pool *pool = &config->pools[i];
    neap_assert(pool->name[0] && pool->balance[0] && pool->backend_count > 0);
    for (size_t b = 0; b < pool->backend_count; b++)
      neap_assert(pool->backends[b].host[0] && pool->backends[b].port > 0 && pool->backends[b].weight > 0);
  }
  for (size_t i = 0; i < config->route_count; i++) {
    const neap_config_route *route = &config->routes[i];
    bool pool = route->action == NEAP_ACTION_POOL;
    neap_assert(pool == (route->pool >= 0) && route->pool < (int32_t)config->pool_count);
    neap_assert(pool || (route->status >= 200 && route->status <= 599));
  }
}

/* Compiles the routes and asks every predicate that is met on the way of one request. */
static void walk_routes(const neap_config *config, neap_worker_vm *worker) {
  const neap_match *matches[256];
  if (config->route_count > NEAP_COUNT_OF(matches)) return;
  for (size_t i = 0; i < config->route_count; i++) matches[i] = &config->routes[i].match;
  neap_routes *routes;
  if (neap_routes_create(matches, config->route_count, &routes)) return; /* too many methods */
  const neap_header_row row = {{.ptr = "x-a", .size = 3}, {.ptr = "b", .size = 1}};
  const neap_request_board request = {.method = {.ptr = "GET", .size = 3},
                                      .target = {.ptr = "/a?b=c", .size = 6},
                                      .path = {.ptr = "/a", .size = 2},
                                      .query = {.ptr = "b=c", .size = 3},
                                      .host = {.ptr = "h", .size = 1},
                                      .header_count = 1,
                                      .headers = &row};
  neap_route_walk walk;
  neap_routes_find(routes, &request, &walk);
  for (int32_t rule; (rule = neap_routes_next(&walk)) >= 0;)
    if (config->routes[rule].match.conditional) neap_worker_when(worker, rule, &request);
  neap_routes_destroy(&routes);
}

static void run_worker(const neap_config *config) {
  neap_worker_vm *worker;
  neap_err err;
  int status = neap_worker_vm_create(config, &host, NULL, &worker, &err);
  if (status) return; /* it may say another thing each time, or be just within its budget */
  walk_routes(config, worker);
  neap_worker_vm_destroy(&worker);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  const neap_host wanted = {.log = drop_line,
                            .now_ms = neap_clock_now_ms,
                            .now_ns = neap_clock_now_ns,
                            .thread_cpu_ns = neap_clock_thread_cpu_ns,
                            .seed = 1};
  neap_host_complete(&wanted, &host);
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static const char *const environment[] = {"CACHE_STRATEGY=", "NEAP_LOG_ACCESS=off", NULL};
  const neap_config_source source = {
      .name = "neap.lua", .text = (const char *)bytes, .size = size, .environment = environment};
  neap_config *config = NULL;
  char *report;
  int status = neap_config_load(&host, &source, 1, &config, &report);
  neap_assert((status == 0) == (config != NULL));
  neap_assert(status == 0 || report != NULL);
  check_report(report);
  if (config) check_config(config);
  if (config) run_worker(config);
  neap_config_destroy(&config);
  free(report);
  return 0;
}
