/* The facade of the only folder that knows libuv and reads clocks. */
#ifndef NEAP_LOOP_LOOP_H
#define NEAP_LOOP_LOOP_H

#include <stdint.h>

/* Clocks. Any thread. `user` is ignored: the signatures are those of neap_host. */
uint64_t neap_clock_now_ms(void *user);        /* monotonic */
uint64_t neap_clock_now_ns(void *user);        /* monotonic */
uint64_t neap_clock_thread_cpu_ns(void *user); /* CPU time of the calling thread */
uint64_t neap_clock_wall_ms(void);             /* since 1970, for the borders: HTTP dates, logs */

#endif
