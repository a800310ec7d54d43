#include "bin/serve.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* One event per line and write, so that lines of several threads do not mix. */
static void log_line(void *user, neap_log_level level, const char *line) {
  static const char *const names[] = {"debug", "info", "warn", "error"};
  const _Atomic int *least = user;
  if ((int)level >= atomic_load_explicit(least, memory_order_relaxed))
    fprintf(stderr, "%s %s\n", names[level], line);
}

/* Many connections are the normal case, and a reader of our log that goes away is not the end. */
static void prepare_process(void) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  signal(SIGPIPE, SIG_IGN);
}

static void say_ready(const neap_gateway *gateway) {
  fputs("listening", stderr);
  for (size_t i = 0; i < neap_gateway_listener_count(gateway); i++)
    fprintf(stderr, " %s=%s", neap_gateway_listener_protocol(gateway, i),
            neap_gateway_listener_address(gateway, i));
  fprintf(stderr, " workers=%u\n", neap_gateway_worker_count(gateway));
}

/* The report names file and line of every problem. Where it only warns, the sentence says what was wrong. */
static int say_failure(const neap_verb *verb, const char *report, const neap_err *err) {
  if (report) fputs(report, stderr);
  if (report && strstr(report, ": error: ")) return NEAP_EXIT_FAILED;
  return neap_verb_fail(verb, "%s", err->text);
}

static int serve(const neap_verb *verb, neap_engine *engine, const neap_gateway_options *options) {
  neap_gateway *gateway;
  char *report = NULL;
  neap_err err = {0};
  int status = 0;
  if (neap_gateway_create(engine, options, &gateway, &report, &err)) {
    status = say_failure(verb, report, &err);
  } else {
    if (report) fputs(report, stderr); /* warnings */
    say_ready(gateway);
    neap_gateway_run(gateway);
    neap_gateway_destroy(&gateway);
  }
  free(report);
  return status;
}

static int check(const neap_verb *verb, neap_engine *engine, const neap_gateway_options *options) {
  char *report = NULL;
  neap_err err = {0};
  int code = neap_gateway_check(engine, options, &report, &err);
  int status = code ? say_failure(verb, report, &err) : 0;
  if (code == 0) fprintf(stderr, "%s%s: configuration is good\n", report ? report : "", options->name);
  free(report);
  return status;
}

int neap_serve(const neap_verb *verb, const neap_gateway_options *options, bool check_only) {
  prepare_process();
  neap_engine *engine;
  neap_err err = {0};
  _Atomic int log_level = NEAP_LOG_INFO;
  neap_gateway_options complete = *options;
  complete.log_level = &log_level;
  if (neap_engine_create(&(neap_host){.user = &log_level, .log = log_line}, &engine, &err))
    return neap_verb_fail(verb, "%s", err.text);
  int status = check_only ? check(verb, engine, &complete) : serve(verb, engine, &complete);
  neap_engine_destroy(&engine);
  return status;
}
