#include "loop/loop.h"

#include <time.h>

static uint64_t read_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t neap_clock_now_ns(void *user) {
  (void)user;
  return read_ns(CLOCK_MONOTONIC);
}

uint64_t neap_clock_now_ms(void *user) {
  return neap_clock_now_ns(user) / 1000000u;
}

uint64_t neap_clock_thread_cpu_ns(void *user) {
  (void)user;
  return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t neap_clock_wall_ms(void) {
  return read_ns(CLOCK_REALTIME) / 1000000u;
}
