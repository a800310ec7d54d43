/* A loop: libuv's, with tasks from other threads, a hook once per turn and the time of the turn. */
#include "loop/inside.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/base.h"

static neap_task *take_tasks(neap_loop *loop) {
  pthread_mutex_lock(&loop->lock);
  neap_task *first = loop->first_task;
  loop->first_task = NULL;
  loop->last_task = &loop->first_task;
  pthread_mutex_unlock(&loop->lock);
  return first;
}

static void on_wake(uv_async_t *async) {
  neap_loop *loop = NEAP_CONTAINER_OF(async, neap_loop, wake);
  for (neap_task *task = take_tasks(loop), *next; task != NULL; task = next) {
    next = task->next; /* run() may free the task */
    task->run(task);
  }
}

static void run_soons(neap_loop *loop) {
  while (loop->soons.next != &loop->soons) {
    neap_soon *soon = loop->soons.next;
    neap_soon_clear(soon);
    soon->run(soon);
  }
}

/* The hook comes last, as it writes down what the turn has done; what it asks for is done as well. */
static void on_prepare(uv_prepare_t *prepare) {
  neap_loop *loop = NEAP_CONTAINER_OF(prepare, neap_loop, turn);
  run_soons(loop);
  if (loop->on_turn == NULL) return;
  loop->on_turn(loop->on_turn_user);
  run_soons(loop);
}

static int open_loop(neap_loop *loop) {
  if (uv_async_init(loop->uv, &loop->wake, on_wake)) return NEAP_EIO;
  uv_prepare_init(loop->uv, &loop->turn);
  uv_prepare_start(&loop->turn, on_prepare);
  uv_unref((uv_handle_t *)&loop->turn);
  loop->soons.prev = loop->soons.next = &loop->soons;
  neap_loop_timers_init(loop);
  pthread_mutex_init(&loop->lock, NULL);
  loop->last_task = &loop->first_task;
  return 0;
}

int neap_loop_create(neap_loop **out) {
  neap_loop *loop = calloc(1, sizeof *loop);
  if (loop == NULL) return NEAP_ENOMEM;
  if (uv_loop_init(&loop->own)) goto fail_loop;
  loop->uv = &loop->own;
  if (open_loop(loop)) goto fail_open;
  *out = loop;
  return 0;

fail_open:
  uv_loop_close(&loop->own);
fail_loop:
  free(loop);
  return NEAP_EIO;
}

int neap_loop_adopt(struct uv_loop_s *uv, neap_loop **out) {
  neap_loop *loop = calloc(1, sizeof *loop);
  if (loop == NULL) return NEAP_ENOMEM;
  loop->uv = uv;
  if (open_loop(loop)) {
    free(loop);
    return NEAP_EIO;
  }
  *out = loop;
  return 0;
}

static void free_loop(neap_loop *loop) {
  neap_streams_free(loop);
  pthread_mutex_destroy(&loop->lock);
  free(loop);
}

/* --- the end on a loop of the host: it tells the handles that were closed last first, so that the last of
 * ours is closed a turn later, when all streams have been told */

static void on_turn_closed(uv_handle_t *turn) {
  free_loop(NEAP_CONTAINER_OF((uv_prepare_t *)turn, neap_loop, turn));
}

static void on_wake_closed(uv_handle_t *wake) {
  neap_loop *loop = NEAP_CONTAINER_OF((uv_async_t *)wake, neap_loop, wake);
  uv_close((uv_handle_t *)&loop->turn, on_turn_closed);
}

void neap_loop_destroy(neap_loop **loop_ptr) {
  neap_loop *loop = *loop_ptr;
  if (loop == NULL) return;
  *loop_ptr = NULL;
  neap_streams_stop_lingering(loop);
  bool own = loop->uv == &loop->own;
  uv_close((uv_handle_t *)&loop->wheel.alarm, NULL);
  uv_close((uv_handle_t *)&loop->wake, own ? NULL : on_wake_closed);
  if (!own) return;
  uv_close((uv_handle_t *)&loop->turn, NULL);
  uv_run(loop->uv, UV_RUN_DEFAULT);
  neap_assert(uv_loop_close(loop->uv) == 0); /* fails where somebody has left something open */
  free_loop(loop);
}

void neap_loop_run(neap_loop *loop) {
  uv_run(loop->uv, UV_RUN_DEFAULT);
}

void neap_loop_stop(neap_loop *loop) {
  uv_stop(loop->uv);
}

uint64_t neap_loop_now_ms(const neap_loop *loop) {
  return uv_now(loop->uv);
}

uint64_t neap_loop_wall_ms(neap_loop *loop) {
  uint64_t now_ms = uv_now(loop->uv);
  if (loop->wall_read_ms != now_ms) {
    loop->wall_read_ms = now_ms;
    loop->wall_ms = neap_clock_wall_ms();
  }
  return loop->wall_ms;
}

char *neap_loop_scratch(neap_loop *loop) {
  return loop->scratch;
}

void neap_loop_on_turn(neap_loop *loop, void (*run)(void *user), void *user) {
  loop->on_turn = run;
  loop->on_turn_user = user;
}

void neap_soon_init(neap_soon *soon, void (*run)(neap_soon *soon)) {
  *soon = (neap_soon){.run = run};
}

void neap_soon_set(neap_loop *loop, neap_soon *soon) {
  if (soon->next != NULL) return;
  soon->prev = loop->soons.prev;
  soon->next = &loop->soons;
  soon->prev->next = soon;
  loop->soons.prev = soon;
}

void neap_soon_clear(neap_soon *soon) {
  if (soon->next == NULL) return;
  soon->prev->next = soon->next;
  soon->next->prev = soon->prev;
  soon->prev = soon->next = NULL;
}

void neap_loop_post(neap_loop *loop, neap_task *task) {
  task->next = NULL;
  pthread_mutex_lock(&loop->lock);
  *loop->last_task = task;
  loop->last_task = &task->next;
  pthread_mutex_unlock(&loop->lock);
  uv_async_send(&loop->wake);
}

bool neap_loop_take_back(neap_loop *loop, neap_task *wanted) {
  bool found = false;
  pthread_mutex_lock(&loop->lock);
  neap_task **at = &loop->first_task;
  while (*at != NULL && *at != wanted) at = &(*at)->next;
  if (*at != NULL) {
    found = true;
    *at = wanted->next;
    if (loop->last_task == &wanted->next) loop->last_task = at;
  }
  pthread_mutex_unlock(&loop->lock);
  return found;
}
