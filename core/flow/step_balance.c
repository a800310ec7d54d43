/* balance: picks a backend that this exchange has not tried. */
#include "flow/steps.h"

/* Whether a failed try may be followed by another; pays for it. */
static bool may_try_again(neap_exchange *exchange) {
  uint32_t most = NEAP_MIN(neap_pool_options_of(exchange->pool)->max_retries + 1, (uint32_t)NEAP_TRIES_MAX);
  return (uint32_t)exchange->tried_count < most &&
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

/* The backend that the client stays with, or the policy's. */
static int32_t pick(neap_exchange *exchange) {
  uint64_t now_ms = neap_loop_now_ms(exchange->flow->loop);
  int32_t member = neap_session_pick(exchange, now_ms);
  if (member >= 0) return member;
  neap_exchange_show_client(exchange);
  const neap_pool_options *options = neap_pool_options_of(exchange->pool);
  exchange->pick_key = neap_route_key(options->key, options->key_name, &exchange->board);
  return neap_pool_pick(exchange->pool, &exchange->board, exchange->pick_key, now_ms, exchange->tried,
                        exchange->tried_count);
}

neap_step neap_step_balance(neap_exchange *exchange) {
  exchange->event = EVENT_NONE; /* a pause is over */
  if (exchange->stale) {        /* it was the connection that failed, not the backend */
    exchange->tries++;
    return NEAP_STEP_FETCH;
  }
  if (exchange->tries == 0) {
    neap_pool_arrived(exchange->pool);
  } else {
    if (!exchange->delayed && !may_try_again(exchange)) return give_up(exchange);
    if (pause_first(exchange)) return NEAP_STEP_WAIT;
  }
  exchange->member = pick(exchange);
  if (exchange->member < 0) return give_up(exchange);
  exchange->tried[exchange->tried_count++] = exchange->member;
  exchange->tries++;
  return NEAP_STEP_FETCH;
}
