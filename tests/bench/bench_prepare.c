/* What preparing a generation costs: a configuration checked, then a worker's VM with its functions.
 * Usage: bench_prepare [COUNT [ROUTES]]. Prints microseconds of thread CPU time, median of COUNT. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop/loop.h"
#include "script/script.h"

enum { COUNT_MAX = 10000 };

static const char head[] =
    "local neap = require 'neap'\n"
    "neap.listen { http = '127.0.0.1:0' }\n"
    "neap.pool { name = 'app', backends = { '127.0.0.1:9' }, balance = function(req, pool) return 1 end }\n"
    "neap.log { access = 'off' }\n"
    "neap.engine { workers = 4 }\n";

static uint64_t took_ns[3][COUNT_MAX];

static void fail(const char *text) {
  fprintf(stderr, "bench_prepare: %s\n", text);
  exit(1);
}

static int by_size(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static void show(const char *name, uint64_t *list, size_t count) {
  qsort(list, count, sizeof *list, by_size);
  printf("%8.1f us  %s\n", (double)list[count / 2] / 1e3, name);
}

static void drop_line(void *user, neap_log_level level, const char *line) {
  (void)user, (void)level, (void)line;
}

static char *config_text;

static void write_config(size_t routes) {
  config_text = malloc(sizeof head + routes * 128);
  if (config_text == NULL) fail("out of memory");
  char *at = config_text + sprintf(config_text, "%s", head);
  for (size_t i = 0; i < routes; i++)
    at += sprintf(
        at, "neap.route { path = '/%zu', respond = { body = '1' }, when = function(req) return true end }\n",
        i);
}

static void measure(const neap_host *host, neap_spares *spares, size_t count) {
  const neap_config_source source = {.name = "bench.lua", .text = config_text, .size = strlen(config_text)};
  for (size_t i = 0; i < count; i++) {
    neap_config *config;
    neap_worker_vm *worker;
    char *report;
    neap_err err;
    uint64_t at[4];
    if (spares) {
      neap_spares_want(spares, 1);
      neap_spares_await(spares);
    }
    at[0] = neap_clock_thread_cpu_ns(NULL);
    if (neap_config_load(host, &source, 1, &config, &report)) fail(report);
    at[1] = neap_clock_thread_cpu_ns(NULL);
    if (neap_worker_vm_create(config, host, spares, &worker, &err)) fail(err.text);
    at[2] = neap_clock_thread_cpu_ns(NULL);
    neap_worker_vm_destroy(&worker);
    at[3] = neap_clock_thread_cpu_ns(NULL);
    neap_config_destroy(&config);
    for (int k = 0; k < 3; k++) took_ns[k][i] = at[k + 1] - at[k];
  }
}

int main(int argc, char **argv) {
  size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 500;
  size_t routes = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
  if (count == 0 || count > COUNT_MAX) fail("COUNT is 1 to 10000");
  const neap_host wanted = {.log = drop_line,
                            .now_ms = neap_clock_now_ms,
                            .now_ns = neap_clock_now_ns,
                            .thread_cpu_ns = neap_clock_thread_cpu_ns,
                            .seed = 1};
  neap_host host;
  neap_host_complete(&wanted, &host);
  write_config(routes);
  measure(&host, NULL, count);
  show("configuration loaded and checked", took_ns[0], count);
  show("VM of a worker made", took_ns[1], count);
  show("VM of a worker destroyed", took_ns[2], count);
  neap_spares *spares;
  if (neap_spares_create(&host, &spares)) fail("no spares");
  measure(&host, spares, count);
  show("VM of a worker made of a spare one", took_ns[1], count);
  neap_spares_destroy(&spares);
  free(config_text);
  return 0;
}
