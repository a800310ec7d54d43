/* The worker's VM of tests: a configuration, and what is logged. */
#ifndef NEAP_TESTS_SCRIPT_WORKER_H
#define NEAP_TESTS_SCRIPT_WORKER_H

#include "unit.h"

#include "../route/request_board.h"
#include "loop/loop.h"
#include "script/script.h"

static char logged[4096];

static void keep_line(void *user, neap_log_level level, const char *line) {
  (void)user, (void)level;
  size_t used = strlen(logged);
  snprintf(logged + used, sizeof logged - used, "%s\n", line);
}

static neap_host host;

static int set_up(void **state) {
  (void)state;
  const neap_host wanted = {.log = keep_line,
                            .now_ms = neap_clock_now_ms,
                            .now_ns = neap_clock_now_ns,
                            .thread_cpu_ns = neap_clock_thread_cpu_ns,
                            .seed = 1};
  neap_host_complete(&wanted, &host);
  logged[0] = 0;
  return 0;
}

/* --- a configuration and its worker --- */

typedef struct fixture {
  neap_config *config;
  neap_worker_vm *worker;
} fixture;

static void start(fixture *f, const char *text) {
  char *report;
  const neap_config_source source = {.name = "neap.lua", .text = text, .size = strlen(text)};
  int status = neap_config_load(&host, &source, 3, &f->config, &report);
  if (status) print_message("%s\n", report ? report : "");
  free(report);
  assert_int_equal(status, 0);
  neap_err err;
  status = neap_worker_vm_create(f->config, &host, NULL, &f->worker, &err);
  if (status) print_message("%s\n", err.text);
  assert_int_equal(status, 0);
}

static void stop(fixture *f) {
  neap_worker_vm_destroy(&f->worker);
  neap_config_destroy(&f->config);
}

#define START                                                                                                \
  "local neap = require 'neap' neap.listen { http = ':8080' }\n"                                             \
  "neap.pool { name = 'app', backends = { 'a:1', 'b:2', 'c:3' } }\n"

static void sample(board *b) {
  board_set(b, "GET", "Example.com", "/api/v2/users?id=7&debug");
  board_header(b, "X-Version", "beta-2");
  board_header(b, "Cookie", "a=1; group=b");
  board_header(b, "X-Share", "42");
}

#endif
