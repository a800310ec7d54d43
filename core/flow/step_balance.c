/* balance: picks a backend that this exchange has not tried. */
#include "flow/steps.h"

/* Whether a failed try may be followed by another. */
static bool tries_left(const neap_exchange *exchange) {
  uint32_t most = NEAP_MIN(neap_pool_options_of(exchange->pool)->max_retries + 1, (uint32_t)NEAP_TRIES_MAX);
  return (uint32_t)exchange->tried_count < most;
}

static neap_step give_up(neap_exchange *exchange) {
  if (exchange->tries == 0) return neap_answer_error(exchange, 503, NEAP_END_NO_BACKEND);
  bool late = exchange->end == NEAP_END_CONNECT_TIMEOUT || exchange->end == NEAP_END_BACKEND_TIMEOUT;
  return neap_answer_error(exchange, late ? 504 : 502, exchange->end);
}

neap_step neap_step_balance(neap_exchange *exchange) {
  neap_pool *pool = exchange->pool;
  if (exchange->stale) { /* it was the connection that failed, not the backend */
    exchange->tries++;
    return NEAP_STEP_FETCH;
  }
  if (exchange->tries > 0 && !tries_left(exchange)) return give_up(exchange);
  neap_exchange_show_client(exchange);
  const neap_pool_options *options = neap_pool_options_of(pool);
  double key = neap_route_key(options->key, options->key_name, &exchange->board);
  exchange->member = neap_pool_pick(pool, &exchange->board, key, neap_loop_now_ms(exchange->flow->loop),
                                    exchange->tried, exchange->tried_count);
  if (exchange->member < 0) return give_up(exchange);
  exchange->tried[exchange->tried_count++] = exchange->member;
  exchange->tries++;
  return NEAP_STEP_FETCH;
}
