/* Requests that wait for a backend: a queue per pool and worker, first come, first served.
 *
 * Who waits is woken when a request ends, to ask again. The end of a request here only marks this worker's
 * queues; they are gone through once per turn of the loop, so that no exchange runs inside another. Where
 * others wait too, their workers get a task, at most one at a time. What nobody tells of (a backend that is
 * up again, a weight) is seen by looking every LOOK_MS while somebody waits.
 *
 * The lock is taken when a request ends while another worker has somebody waiting, and by nothing else that
 * is hot.
 */
#include <stdlib.h>

#include "base/base.h"
#include "upstream/backends.h"
#include "upstream/pool.h"

enum { LOOK_MS = 50, ROUNDS_MAX = 1000 };

struct neap_queues {
  neap_backends *backends;
  neap_queues *next; /* of the process; under its lock */
  neap_loop *loop;
  neap_pool *pools;        /* in which somebody waits */
  _Atomic int32_t waiting; /* in all of them; written by this worker */
  bool changed;            /* something ended since they were gone through */
  _Atomic bool told;       /* the task is on its way */
  neap_task task;
  neap_timer look;
};

/* --- waking */

/* The oldest first, until one has to wait on. Who has tried some waits for what is left, which need not be
 * what the next one waits for. What runs here takes none but its own waiter out. */
static void go_through(neap_pool *pool) {
  neap_pool_look_again(pool);
  for (neap_pool_waiter *waiter = pool->queue.first, *next; waiter; waiter = next) {
    next = waiter->next;
    bool fresh = waiter->fresh;
    waiter->wake(waiter);
    if (waiter->waiting && fresh) return;
  }
}

void neap_queues_turn(neap_queues *queues) {
  for (int round = 0; queues->changed && round < ROUNDS_MAX; round++) {
    queues->changed = false;
    for (neap_pool *pool = queues->pools, *next; pool; pool = next) {
      next = pool->queue.next;
      go_through(pool);
    }
  }
}

static void on_task(neap_task *task) {
  neap_queues *queues = NEAP_CONTAINER_OF(task, neap_queues, task);
  atomic_store_explicit(&queues->told, false, memory_order_release);
  queues->changed = true;
}

static void on_look(neap_timer *timer) {
  neap_queues *queues = NEAP_CONTAINER_OF(timer, neap_queues, look);
  queues->changed = true;
  if (queues->pools) neap_timer_set(queues->loop, timer, LOOK_MS);
}

static void tell_others(neap_backends *backends, const neap_queues *own) {
  pthread_mutex_lock(&backends->queues_lock);
  for (neap_queues *queues = backends->queues; queues; queues = queues->next) {
    if (queues == own || atomic_load_explicit(&queues->waiting, memory_order_relaxed) == 0) continue;
    if (!atomic_exchange_explicit(&queues->told, true, memory_order_acq_rel))
      neap_loop_post(queues->loop, &queues->task);
  }
  pthread_mutex_unlock(&backends->queues_lock);
}

void neap_queues_something_ended(neap_pool *pool) {
  neap_queues *own = pool->queues;
  if (own == NULL) return;
  own->changed = own->pools != NULL;
  int32_t all = atomic_load_explicit(&own->backends->waiting, memory_order_relaxed);
  if (NEAP_UNLIKELY(all > atomic_load_explicit(&own->waiting, memory_order_relaxed)))
    tell_others(own->backends, own);
}

/* --- waiting */

static void count(neap_queues *queues, int32_t change) {
  atomic_fetch_add_explicit(&queues->waiting, change, memory_order_relaxed);
  atomic_fetch_add_explicit(&queues->backends->waiting, change, memory_order_relaxed);
}

static void begin_looking(neap_queues *queues, neap_pool *pool) {
  pool->queue.prev = NULL;
  pool->queue.next = queues->pools;
  if (queues->pools) queues->pools->queue.prev = pool;
  queues->pools = pool;
  if (!neap_timer_is_set(&queues->look)) neap_timer_set(queues->loop, &queues->look, LOOK_MS);
}

static void stop_looking(neap_queues *queues, neap_pool *pool) {
  if (pool->queue.next) pool->queue.next->queue.prev = pool->queue.prev;
  if (pool->queue.prev)
    pool->queue.prev->queue.next = pool->queue.next;
  else
    queues->pools = pool->queue.next;
}

int neap_pool_wait(neap_pool *pool, neap_pool_waiter *waiter, bool fresh) {
  if (waiter->waiting) return 0;
  neap_queues *queues = pool->queues;
  pool_queue *queue = &pool->queue;
  if (queues == NULL || queue->count >= pool->options.max_queue) return NEAP_EROOM;
  if (queue->count++ == 0) begin_looking(queues, pool);
  waiter->waiting = true;
  waiter->fresh = fresh;
  queue->fresh += fresh;
  waiter->prev = queue->last;
  waiter->next = NULL;
  if (queue->last)
    queue->last->next = waiter;
  else
    queue->first = waiter;
  queue->last = waiter;
  count(queues, 1);
  queues->changed = true; /* another worker's request may have ended before it could know of this one */
  return 0;
}

void neap_pool_stop_waiting(neap_pool *pool, neap_pool_waiter *waiter) {
  if (!waiter->waiting) return;
  pool_queue *queue = &pool->queue;
  waiter->waiting = false;
  queue->fresh -= waiter->fresh;
  if (waiter->prev)
    waiter->prev->next = waiter->next;
  else
    queue->first = waiter->next;
  if (waiter->next)
    waiter->next->prev = waiter->prev;
  else
    queue->last = waiter->prev;
  if (--queue->count == 0) stop_looking(pool->queues, pool);
  count(pool->queues, -1);
}

/* --- life */

int neap_queues_create(neap_backends *backends, neap_loop *loop, neap_queues **out) {
  neap_queues *queues = calloc(1, sizeof *queues);
  if (queues == NULL) return NEAP_ENOMEM;
  queues->backends = backends;
  queues->loop = loop;
  queues->task.run = on_task;
  neap_timer_init(&queues->look, on_look);
  pthread_mutex_lock(&backends->queues_lock);
  queues->next = backends->queues;
  backends->queues = queues;
  pthread_mutex_unlock(&backends->queues_lock);
  *out = queues;
  return 0;
}

void neap_queues_destroy(neap_queues **queues_ptr) {
  neap_queues *queues = *queues_ptr;
  if (queues == NULL) return;
  *queues_ptr = NULL;
  neap_assert(queues->pools == NULL);
  neap_backends *backends = queues->backends;
  pthread_mutex_lock(&backends->queues_lock);
  neap_queues **at = &backends->queues;
  while (*at != queues) at = &(*at)->next;
  *at = queues->next;
  pthread_mutex_unlock(&backends->queues_lock);
  neap_timer_clear(&queues->look);
  free(queues);
}
