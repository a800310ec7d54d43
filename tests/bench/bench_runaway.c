/* How long a policy that runs away holds its thread: budget (5 ms of CPU) and what comes after it. Each
 * attack runs RUNS times in a VM of its own; CPU time of the thread, and wall time, which other processes
 * share. Usage: bench_runaway [RUNS] */
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "loop/loop.h"
#include "script/vm.h"

enum { RUNS_MAX = 1000 };

static const struct {
  const char *name, *text;
} attacks[] = {
    {"endless loop", "while true do end"},
    {"numeric loop", "local x = 0 for i = 1, 1e15 do x = x + i % 3 end"},
    {"goto", "local n = 0 ::top:: n = n + 1 goto top"},
    {"tail recursion", "local function f(n) return f(n + 1) end f(1)"},
    {"closures", "local t = {} local function g(i) t[i % 100] = i return i + 1 end local i = 0 while true do "
                 "i = g(i) end"},
    {"recursion to the end", "while true do local function f(n) return 1 + f(n + 1) end f(1) end"},
    {"garbage", "while true do local t = { 1, 2, {} } t[4] = tostring(t) end"},
    {"table bomb", "local t = {} while true do t[#t + 1] = {} end"},
    {"text bomb", "local s = 'x' while true do s = s .. s end"},
    {"joined texts", "local k = {} local s = ('x'):rep(200000) while true do k[1] = s .. #k end"},
    {"the same long text",
     "local s = ('x'):rep(1000000) local k = s .. 'y' while true do local x = s .. 'y' end"},
    {"case of long texts", "local s = ('a'):rep(1000000) while true do s:upper() end"},
    {"find", "local s, w = ('a'):rep(1000), ('a'):rep(500) .. 'b' while true do s:find(w) end"},
    {"concat of nothing", "local t = {} for i = 1, 60000 do t[i] = '' end while true do table.concat(t) end"},
    {"insert in front", "local t = {} while true do table.insert(t, 1, 1) end"},
    {"sort", "while true do local t = {} for i = 1, 300 do t[i] = (i * 7919) % 301 end table.sort(t) end"},
    {"sort that compares", "while true do local t = {} for i = 1, 300 do t[i] = (i * 7919) % 301 end "
                           "table.sort(t, function(a, b) return a < b end) end"},
    {"sort by rawequal",
     "local t = {} for i = 1, 65536 do t[i] = i end while true do table.sort(t, rawequal) end"},
    {"sums of long texts", "local s = (' '):rep(1000000) .. '1' while true do local x = s + 1 end"},
    {"order of long texts",
     "local s = ('x'):rep(1000000) local a, b = s .. 1, s .. 2 while true do local x = a < b end"},
    {"format",
     "while true do local t = {} for i = 1, 50 do t[i] = string.format('%5.2f %s', i / 3, i) end end"},
    {"error", "error('x')"},
};

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static int run(const neap_host *host, const char *body, double *cpu_ms, double *wall_ms) {
  char text[1024];
  snprintf(text, sizeof text, "return function() %s end", body);
  const neap_vm_options options = {.host = host, .name = "attack.lua"};
  neap_vm *vm;
  neap_err err;
  int ref;
  if (neap_vm_create(&options, &vm, &err) || neap_vm_load(vm, "attack.lua", text, strlen(text), &ref, &err)) {
    fprintf(stderr, "bench_runaway: %s\n", err.text);
    exit(2);
  }
  uint64_t wall = neap_clock_now_ns(NULL), cpu = neap_clock_thread_cpu_ns(NULL);
  int code = neap_vm_call(vm, ref);
  *cpu_ms = (double)(neap_clock_thread_cpu_ns(NULL) - cpu) / 1e6;
  *wall_ms = (double)(neap_clock_now_ns(NULL) - wall) / 1e6;
  neap_vm_destroy(&vm);
  return code;
}

int main(int argc, char **argv) {
  static double cpu[RUNS_MAX], wall[RUNS_MAX], medians[NEAP_COUNT_OF(attacks)];
  int runs = argc > 1 ? NEAP_MAX(1, NEAP_MIN(atoi(argv[1]), RUNS_MAX)) : 30;
  neap_host host;
  neap_host_complete(NULL, &host);
  host.now_ms = neap_clock_now_ms;
  host.now_ns = neap_clock_now_ns;
  host.thread_cpu_ns = neap_clock_thread_cpu_ns;
  for (size_t i = 0; i < NEAP_COUNT_OF(attacks); i++) {
    int code = 0;
    for (int r = 0; r < runs; r++) code = run(&host, attacks[i].text, &cpu[r], &wall[r]);
    qsort(cpu, (size_t)runs, sizeof *cpu, by_size);
    qsort(wall, (size_t)runs, sizeof *wall, by_size);
    medians[i] = cpu[runs / 2];
    printf("%-22s %-12s  cpu ms median %7.2f  most %7.2f   wall ms median %7.2f  most %7.2f\n",
           attacks[i].name, neap_errname(code), cpu[runs / 2], cpu[runs - 1], wall[runs / 2], wall[runs - 1]);
  }
  qsort(medians, NEAP_COUNT_OF(medians), sizeof *medians, by_size);
  printf("median of the medians: %.2f ms of CPU, worst median %.2f ms\n", medians[NEAP_COUNT_OF(medians) / 2],
         medians[NEAP_COUNT_OF(medians) - 1]);
  return 0;
}
