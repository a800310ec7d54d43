/* What a predicate and an action of a route and a pick in Lua cost, sandbox and fuel on.
 * Usage: bench_when [SECONDS]. Prints nanoseconds of thread CPU time per call and trace aborts. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loop/loop.h"
#include "script/script.h"

enum { ROUTES = 6, BACKENDS = 4, REQUESTS = 64 };

static const char *const predicates[ROUTES] = {
    "function() return true end",
    "function(req) return req.method == 'GET' end",
    "function(req) return req.path:starts '/api/' end",
    "function(req) local v = req:header 'x-version' return v and v:eq 'beta' end",
    "function(req) local v = req:header 'x-none' return v and v:eq 'beta' end",
    "function(req) local v = req:cookie 'group' return v ~= nil and v:hash() % 100 < 5 end",
};

static const char *const actions[] = {
    "action = function() end",
    "action = function(req, res) res:pool 'inline' end",
    "action = function(req, res) res:set_header('x-group', 'b') end",
    "action = function(req, res) res:set_header('x-group', req:header 'x-version') res:tag(req.method) end",
    "cache = { key = function(req) return req:header 'x-version' end }",
};
enum { ACTIONS = sizeof actions / sizeof *actions };

static const char config_text[] =
    "local neap = require 'neap'\n"
    "neap.listen { http = ':8080' }\n"
    "neap.pool { name = 'inline', backends = { 'a:1', 'b:1', 'c:1', 'd:1' }, balance = function(req, pool)\n"
    "  if req.path:starts '/admin' then return 1 end\n"
    "  local a, b = pool[pool.random1], pool[pool.random2]\n"
    "  if a.in_flight * b.weight <= b.in_flight * a.weight then return a.index end\n"
    "  return b.index\n"
    "end }\n";

static neap_host host;
static neap_header_row headers[REQUESTS][8];
static neap_request_board requests[REQUESTS];

static neap_slice slice_of(const char *text) {
  return (neap_slice){.ptr = text, .size = (int32_t)strlen(text)};
}

static void make_requests(void) {
  static const char *const names[] = {"Host",   "User-Agent", "Accept",    "Accept-Encoding",
                                      "Cookie", "X-Trace",    "X-Version", "Referer"};
  for (int i = 0; i < REQUESTS; i++) {
    for (int h = 0; h < 8; h++)
      headers[i][h] = (neap_header_row){slice_of(names[h]), slice_of("some-ordinary-value")};
    headers[i][4].value = slice_of("session=abcdef; group=g1");
    headers[i][6].value = slice_of(i % 2 ? "beta" : "stable");
    requests[i] = (neap_request_board){.method = slice_of("GET"),
                                       .target = slice_of("/api/v1/users/7"),
                                       .path = slice_of(i % 3 ? "/api/v1/users/7" : "/static/x.css"),
                                       .host = slice_of("www.example.com"),
                                       .client = slice_of("10.1.2.3"),
                                       .header_count = 8,
                                       .headers = headers[i]};
  }
}

static void fail(const char *text) {
  fprintf(stderr, "bench_when: %s\n", text);
  exit(1);
}

static neap_config *load_config(void) {
  char text[4096];
  size_t used = (size_t)snprintf(text, sizeof text, "%s", config_text);
  for (int i = 0; i < ROUTES; i++)
    used += (size_t)snprintf(text + used, sizeof text - used,
                             "neap.route { path = '/%d', pool = 'inline', when = %s }\n", i, predicates[i]);
  for (int i = 0; i < ACTIONS; i++)
    used += (size_t)snprintf(text + used, sizeof text - used,
                             "neap.route { path = '/a%d', pool = 'inline', %s }\n", i, actions[i]);
  const neap_config_source source = {.name = "bench.lua", .text = text, .size = used};
  neap_config *config;
  char *report;
  if (neap_config_load(&host, &source, 1, &config, &report)) fail(report);
  return config;
}

/* Nanoseconds per call of `once`, which is given the number of the call. */
static double measure(void (*once)(void *user, int i), void *user, double seconds) {
  uint64_t count = 0, begin = 0, spent;
  for (int i = 0; i < 2000; i++) once(user, i); /* until it is compiled */
  begin = neap_clock_thread_cpu_ns(NULL);
  do {
    for (int i = 0; i < 1000; i++) once(user, i);
    count += 1000;
    spent = neap_clock_thread_cpu_ns(NULL) - begin;
  } while ((double)spent < seconds * 1e9);
  return (double)spent / (double)count;
}

typedef struct asking {
  neap_worker_vm *worker;
  int32_t route;
} asking;

static void ask(void *user, int i) {
  const asking *a = user;
  if (neap_worker_when(a->worker, a->route, &requests[i % REQUESTS]) < 0) fail(neap_worker_fault(a->worker));
}

static void act(void *user, int i) {
  const asking *a = user;
  const neap_act_board *decided;
  if (neap_worker_act(a->worker, a->route, &requests[i % REQUESTS], &decided))
    fail(neap_worker_fault(a->worker));
}

typedef struct picking {
  neap_backend_row rows[BACKENDS];
  neap_pick_board board;
  neap_policy *policy;
} picking;

static void pick(void *user, int i) {
  picking *p = user;
  p->board.random1 = i & 3;
  p->board.random2 = (i + 1) & 3;
  p->board.request = &requests[i % REQUESTS];
  neap_policy_decide(p->policy, NEAP_ASK_PICK);
}

static void bench_pick(neap_worker_vm *worker, const char *spec, double seconds) {
  picking p = {.board = {.count = BACKENDS}};
  p.board.rows = p.rows;
  for (int i = 0; i < BACKENDS; i++)
    p.rows[i] = (neap_backend_row){.weight = 1, .share = 1, .in_flight = i, .load = -1};
  const neap_policy_env env = {.host = &host, .generation = 1, .pick = &p.board};
  neap_err err;
  if (neap_policy_open(neap_worker_registry(worker), NEAP_BALANCE, spec, NULL, &env, NULL, 0, &p.policy,
                       &err))
    fail(err.text);
  double ns = measure(pick, &p, seconds);
  neap_policy_counters counters;
  neap_policy_counters_get(p.policy, &counters);
  printf("%7.1f ns  pick, %s (%llu fallbacks)\n", ns, spec, (unsigned long long)counters.fallbacks);
  neap_policy_close(&p.policy);
}

static void drop_line(void *user, neap_log_level level, const char *line) {
  (void)user, (void)level, (void)line;
}

int main(int argc, char **argv) {
  double seconds = argc > 1 ? atof(argv[1]) : 0.5;
  const neap_host wanted = {.log = drop_line,
                            .now_ms = neap_clock_now_ms,
                            .now_ns = neap_clock_now_ns,
                            .thread_cpu_ns = neap_clock_thread_cpu_ns,
                            .seed = 1};
  neap_host_complete(&wanted, &host);
  make_requests();
  neap_config *config = load_config();
  neap_worker_vm *worker;
  neap_err err;
  if (neap_worker_vm_create(config, &host, NULL, &worker, &err)) fail(err.text);
  for (int32_t route = 0; route < ROUTES; route++) {
    asking a = {worker, route};
    printf("%7.1f ns  when = %s\n", measure(ask, &a, seconds), predicates[route]);
  }
  for (int32_t i = 0; i < ACTIONS; i++) {
    asking a = {worker, ROUTES + i};
    printf("%7.1f ns  %s\n", measure(act, &a, seconds), actions[i]);
  }
  bench_pick(worker, "inline:inline", seconds);
  bench_pick(worker, "p2c", seconds);
  bench_pick(worker, "consistent_hash", seconds);
  bench_pick(worker, "native:round_robin", seconds);
  neap_worker_counters counters;
  neap_worker_counters_get(worker, &counters);
  printf("%llu trace aborts, %zu KiB\n", (unsigned long long)counters.trace_aborts, counters.memory / 1024);
  neap_worker_vm_destroy(&worker);
  neap_config_destroy(&config);
  return 0;
}
