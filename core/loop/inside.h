/* What the files of loop/ share, and nobody else sees. */
#ifndef NEAP_LOOP_INSIDE_H
#define NEAP_LOOP_INSIDE_H

#include <pthread.h>

#include <uv.h>

#include "loop/loop.h"

/* A wheel of slots, one tick apart. A timer sits in the slot of its time, or in the last one within reach;
 * when its slot comes and its time has not, because the deadline moved or is far away, it is put in again. */
enum { NEAP_TICK_MS = 16, NEAP_WHEEL_SLOTS = 256 };
typedef struct loop_wheel {
  neap_timer slots[NEAP_WHEEL_SLOTS]; /* heads of circular lists */
  uint64_t used[NEAP_WHEEL_SLOTS / 64];
  uint64_t done_tick; /* everything up to this tick has fired */
  uint64_t wake_tick; /* what `alarm` is set for; UINT64_MAX: nothing */
  uv_timer_t alarm;
} loop_wheel;

typedef struct neap_farewell neap_farewell; /* a stream that lingers */

struct neap_loop {
  uv_loop_t *uv; /* `own`, or the host's */
  uv_loop_t own;
  uv_async_t wake;
  uv_prepare_t turn;
  void (*on_turn)(void *user);
  void *on_turn_user;
  neap_soon soons; /* head of a circular list */
  uint64_t wall_ms, wall_read_ms;
  loop_wheel wheel;
  pthread_mutex_t lock; /* guards the two below */
  neap_task *first_task;
  neap_task **last_task;
  neap_stream *free_streams; /* memory of closed ones, for the next */
  unsigned free_stream_count;
  neap_farewell *farewells;
  char scratch[NEAP_LOOP_SCRATCH];
};

void neap_loop_timers_init(neap_loop *loop);

/* Makes a stream of a connected socket. The socket is closed on failure. */
int neap_stream_wrap(neap_loop *loop, int socket, neap_stream **out);
void neap_streams_stop_lingering(neap_loop *loop);
void neap_streams_free(neap_loop *loop);

#endif
