/* What one pick of a native balance policy costs, with the outcome it is told, by pool size.
 * Usage: bench_pick [SECONDS]. Prints nanoseconds of thread CPU time per request: two events and an ask. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "loop/loop.h"
#include "policy/policy.h"

enum { BACKENDS_MAX = 1000 };

typedef struct picking {
  neap_backend_row rows[BACKENDS_MAX];
  neap_pick_board board;
  neap_policy *policy;
  neap_random random;
} picking;

static void fail(const char *text) {
  fprintf(stderr, "bench_pick: %s\n", text);
  exit(1);
}

/* A request is picked for and sent, and one of those in flight at some backend comes back. */
static void once(picking *p, bool reports) {
  p->board.now_ms += 0.01;
  neap_pick_draw(&p->board, &p->random, 1);
  p->board.key = (double)(neap_random_next(&p->random) >> 11);
  neap_policy_decide(p->policy, NEAP_ASK_PICK);
  int32_t to = p->board.answer;
  if (to >= 0) {
    neap_policy_tell(p->policy, NEAP_EVENT_SENT, to, ++p->rows[to].in_flight, 0, 0);
  }
  int32_t from = (int32_t)neap_random_below(&p->random, (uint64_t)p->board.count);
  for (int32_t tries = 0; p->rows[from].in_flight <= 2 && tries < 4; tries++)
    from = (int32_t)neap_random_below(&p->random, (uint64_t)p->board.count);
  if (p->rows[from].in_flight == 0) return;
  double took_us = 1000 + neap_random_unit(&p->random) * 9000;
  neap_policy_tell(p->policy, NEAP_EVENT_DONE, from, p->rows[from].in_flight--, took_us, 200);
  if (!reports) return;
  p->rows[from].load = p->rows[from].in_flight + (int32_t)neap_random_below(&p->random, 3);
  p->rows[from].capacity = 4;
  p->rows[from].load_ms = p->board.now_ms;
  neap_policy_tell(p->policy, NEAP_EVENT_REPORT, from, 0, 0, 0);
}

static double measure(neap_registry *registry, const neap_host *host, const char *spec, int32_t count,
                      bool reports, double seconds) {
  static picking p;
  memset(&p, 0, sizeof p);
  p.board = (neap_pick_board){.count = count, .rows = p.rows, .now_ms = 1};
  for (int32_t i = 0; i < count; i++)
    p.rows[i] = (neap_backend_row){.weight = 1, .share = 1, .in_flight = i % 4, .load = -1, .id = i};
  const neap_policy_env env = {.host = host, .generation = 1, .seed = 1, .pick = &p.board};
  neap_err err;
  if (neap_policy_open(registry, NEAP_BALANCE, spec, NULL, &env, NULL, 0, &p.policy, &err)) fail(err.text);
  uint64_t done = 0, spent, begin;
  for (int i = 0; i < 20000; i++) once(&p, reports);
  begin = neap_clock_thread_cpu_ns(NULL);
  do {
    for (int i = 0; i < 1000; i++) once(&p, reports);
    done += 1000;
    spent = neap_clock_thread_cpu_ns(NULL) - begin;
  } while ((double)spent < seconds * 1e9);
  neap_policy_close(&p.policy);
  return (double)spent / (double)done;
}

int main(int argc, char **argv) {
  static const char *const specs[] = {
      "native:random",         "native:p2c",          "native:least_connections", "native:peak_ewma",
      "native:estimated_wait", "native:late_binding", "native:consistent_hash",   "native:adaptive"};
  static const int32_t counts[] = {4, 64, 1000};
  double seconds = argc > 1 ? atof(argv[1]) : 0.3;
  const neap_host wanted = {.now_ms = neap_clock_now_ms,
                            .now_ns = neap_clock_now_ns,
                            .thread_cpu_ns = neap_clock_thread_cpu_ns,
                            .seed = 1};
  neap_host host;
  neap_registry *registry;
  neap_host_complete(&wanted, &host);
  if (neap_registry_create(&host, &registry)) fail("out of memory");
  printf("%-34s %10s %10s %10s  ns per request\n", "backends", "4", "64", "1000");
  for (size_t i = 0; i <= NEAP_COUNT_OF(specs); i++) {
    bool reports = i == NEAP_COUNT_OF(specs); /* the last one once more */
    const char *spec = specs[reports ? i - 1 : i];
    printf("%s%-*s", spec, 34 - (int)strlen(spec), reports ? ", with reports" : "");
    for (size_t k = 0; k < NEAP_COUNT_OF(counts); k++)
      printf(" %10.1f", measure(registry, &host, spec, counts[k], reports, seconds));
    printf("\n");
    fflush(stdout);
  }
  neap_registry_destroy(&registry);
  return 0;
}
