/* balance: picks a backend that this exchange has not tried, or waits for one.
 *
 * Who waits is asked again when a request ends, and leaves the queue when it has a backend, when its time is
 * over, or when its client goes away (neap_balance_leave). */
#include "flow/prefetch.h"
#include "flow/steps.h"

/* Whether a failed try may be followed by another; pays for it. */
static bool may_try_again(neap_exchange *exchange) {
  uint32_t most = NEAP_MIN(neap_pool_options_of(exchange->pool)->max_retries + 1, (uint32_t)NEAP_TRIES_MAX);
  return exchange->ahead == NULL && (uint32_t)exchange->tried_count < most &&
         neap_pool_may_retry(exchange->pool, neap_loop_now_ms(exchange->flow->loop));
}

/* Before a retry: doubled with each, and spread, so that those who failed together do not come back together.
 */
static uint64_t pause_ms(neap_exchange *exchange) {
  uint64_t delay_ms = neap_pool_options_of(exchange->pool)->retry_delay_ms;
  double spread = 0.5 + neap_random_unit(&exchange->flow->random);
  return (uint64_t)((double)(delay_ms << (exchange->tried_count - 1)) * spread);
}

/* True when the exchange has to wait before it tries again. */
static bool pause_first(neap_exchange *exchange) {
  uint64_t delay_ms = exchange->delayed ? 0 : pause_ms(exchange);
  exchange->delayed = delay_ms > 0;
  if (delay_ms > 0) neap_backend_wait(exchange, NEAP_STEP_BALANCE, delay_ms);
  return delay_ms > 0;
}

static neap_step give_up(neap_exchange *exchange) {
  if (exchange->tries == 0) return neap_answer_error(exchange, 503, NEAP_END_NO_BACKEND);
  bool late = exchange->end == NEAP_END_CONNECT_TIMEOUT || exchange->end == NEAP_END_BACKEND_TIMEOUT;
  return neap_answer_error(exchange, late ? 504 : 502, exchange->end);
}

void neap_balance_leave(neap_exchange *exchange) {
  if (!exchange->waiter.waiting) return;
  neap_pool_stop_waiting(exchange->pool, &exchange->waiter);
  neap_timer_clear(&exchange->timer);
}

void neap_balance_let_go(neap_exchange *exchange) {
  if (exchange->holds_member) neap_pool_let_go(exchange->pool, exchange->member);
  exchange->holds_member = false;
}

/* --- waiting */

static void on_wake(neap_pool_waiter *waiter) {
  neap_exchange_resume(NEAP_CONTAINER_OF(waiter, neap_exchange, waiter), NEAP_STEP_BALANCE);
}

/* One that has tried some and finds the queue full has failed for the reason that it had before. */
static neap_step wait(neap_exchange *exchange) {
  if (exchange->waiter.waiting) return NEAP_STEP_WAIT;
  if (exchange->ahead) return neap_prefetch_end(exchange); /* it is in no hurry, and others are */
  exchange->waiter.wake = on_wake;
  if (neap_pool_wait(exchange->pool, &exchange->waiter, exchange->tried_count == 0))
    return exchange->tries > 0 ? give_up(exchange) : neap_answer_error(exchange, 503, NEAP_END_QUEUE_FULL);
  neap_count_add(&neap_exchange_pool_tally(exchange)->waited, 1);
  neap_backend_wait(exchange, NEAP_STEP_BALANCE, neap_pool_options_of(exchange->pool)->queue_timeout_ms);
  return NEAP_STEP_WAIT;
}

/* --- picking */

/* The backend that the client stays with, or the policy's. */
static int32_t pick(neap_exchange *exchange) {
  neap_pool *pool = exchange->pool;
  uint64_t now_ms = neap_loop_now_ms(exchange->flow->loop);
  int32_t member = exchange->ahead ? -1 : neap_session_pick(exchange, now_ms);
  if (member >= 0) {
    neap_pool_hold(pool, member);
    return member;
  }
  neap_exchange_show_client(exchange);
  const neap_pool_options *options = neap_pool_options_of(pool);
  exchange->pick_key = neap_route_key(options->key, options->key_name, &exchange->board);
  neap_pool_ask ask = {.request = &exchange->board,
                       .key = exchange->pick_key,
                       .now_ms = now_ms,
                       .tried = exchange->tried,
                       .tried_count = exchange->tried_count,
                       .queues = exchange->flow->queues,
                       .waiter = &exchange->waiter};
  neap_exchange_read_tables(exchange, true);
  member = neap_pool_pick(pool, &ask);
  if (NEAP_UNLIKELY(options->care->load_probes)) neap_load_probes_begin(exchange);
  neap_exchange_read_tables(exchange, false);
  return member;
}

/* What a try needs before a backend is picked for it: budget, and a pause where it is a further one. */
typedef enum admission { ADMITTED, PAUSED, DENIED } admission;

static admission admit(neap_exchange *exchange) {
  if (exchange->admitted) return ADMITTED;
  if (exchange->tries == 0) {
    neap_pool_arrived(exchange->pool);
  } else {
    if (!exchange->delayed && !may_try_again(exchange)) return DENIED;
    if (pause_first(exchange)) return PAUSED;
  }
  exchange->admitted = true;
  return ADMITTED;
}

neap_step neap_step_balance(neap_exchange *exchange) {
  bool late = exchange->event == EVENT_TIMEOUT && exchange->waiter.waiting;
  exchange->event = EVENT_NONE; /* or a pause is over */
  if (late) {
    neap_balance_leave(exchange);
    return neap_answer_error(exchange, 503, NEAP_END_QUEUE_TIMEOUT);
  }
  if (exchange->stale) { /* it was the connection that failed, not the backend */
    exchange->tries++;
    return NEAP_STEP_FETCH;
  }
  if (NEAP_UNLIKELY(exchange->ahead != NULL) && neap_prefetch_is_unwelcome(exchange))
    return neap_prefetch_end(exchange);
  switch (admit(exchange)) {
  case ADMITTED: break;
  case PAUSED: return NEAP_STEP_WAIT;
  case DENIED: return give_up(exchange);
  }
  neap_balance_let_go(exchange);
  exchange->member = pick(exchange);
  if (exchange->member == NEAP_PICK_WAIT) return wait(exchange);
  neap_balance_leave(exchange);
  if (exchange->member < 0) return give_up(exchange);
  exchange->holds_member = true;
  exchange->tried[exchange->tried_count++] = exchange->member;
  exchange->tries++;
  return NEAP_STEP_FETCH;
}
