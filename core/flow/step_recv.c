/* recv: takes the generation, once; refuses what must not go further. */
#include "flow/steps.h"

neap_step neap_step_recv(neap_exchange *exchange) {
  neap_flow *flow = exchange->flow;
  if (exchange->generation == NULL) {
    neap_generation_set *set = atomic_load_explicit(flow->current, memory_order_acquire);
    exchange->generation = set->of_worker[flow->worker];
    if (NEAP_UNLIKELY(flow->trial && !exchange->ahead))
      exchange->generation = neap_trial_choose(exchange, exchange->generation);
    neap_generation_count(exchange->generation, 1);
    if (NEAP_LIKELY(!exchange->explained && !exchange->ahead)) neap_count_add(&flow->tally->started, 1);
    neap_exchange_identify(exchange);
    exchange->start_ns = neap_clock_now_ns(NULL);
    if (flow->log) exchange->wall_ms = neap_loop_wall_ms(flow->loop);
  }
  if (NEAP_UNLIKELY(exchange->refusal)) {
    exchange->client_wants_keep_alive = false;
    return neap_answer_error(exchange, neap_reason_status(exchange->refusal), NEAP_END_REFUSED);
  }
  return NEAP_STEP_ROUTE;
}
