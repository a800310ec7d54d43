/* A second copy of a slow request: sent to another backend, and whoever answers first is listened to.
 *
 *   the timer fires while the head of a response is awaited -> another member is picked and asked
 *     the copy answers first   it takes the place of the first, which is dropped     win
 *     the first answers        the copy is dropped                                   neap_backend_release
 *     the first fails          the copy takes its place: no retry is needed          neap_hedge_take_over
 *
 * Only for requests without a body that are safe to repeat, and not where clients stay with a backend. */
#include "flow/steps.h"

static const neap_pool_options *options_of(const neap_exchange *exchange) {
  return neap_pool_options_of(exchange->pool);
}

/* The copy becomes the try that the steps know. */
static void install(neap_exchange *exchange, neap_connection *copy) {
  neap_balance_let_go(exchange);
  exchange->connection = copy;
  exchange->member = exchange->hedge_member;
  exchange->holds_member = true;
  exchange->in_flight = exchange->hedge_in_flight;
  exchange->connecting = exchange->hedge_connecting;
  exchange->reused = false; /* what it sends next decides; it is not tried again as a stale one */
  exchange->counted = true;
  exchange->sent_ns = exchange->hedge_sent_ns;
  neap_connection_serve(copy, &neap_backend_vt, exchange);
}

static neap_connection *take(neap_exchange *exchange) {
  neap_connection *copy = exchange->hedge;
  exchange->hedge = NULL;
  neap_timer_clear(&exchange->hedge_timer);
  return copy;
}

static void let_go(neap_exchange *exchange) {
  neap_pool_end(exchange->pool, exchange->hedge_member);
  neap_pool_let_go(exchange->pool, exchange->hedge_member);
}

static void give_up(neap_exchange *exchange) {
  neap_connection *copy = take(exchange);
  let_go(exchange);
  neap_connection_drop(&copy);
}

void neap_hedge_drop(neap_exchange *exchange) {
  neap_timer_clear(&exchange->hedge_timer);
  if (exchange->hedge) give_up(exchange);
}

bool neap_hedge_take_over(neap_exchange *exchange) {
  if (exchange->hedge == NULL) return false;
  neap_connection *copy = take(exchange);
  neap_backend_release(exchange, false);
  install(exchange, copy);
  neap_backend_wait(exchange, NEAP_STEP_FETCH,
                    exchange->connecting ? options_of(exchange)->connect_timeout_ms
                                         : options_of(exchange)->response_timeout_ms);
  return true;
}

/* --- what the copy's connection tells */

/* It failed: nobody waits for it, but its backend is to blame. */
static neap_pool_outcome failure(const neap_exchange *exchange) {
  return (neap_pool_outcome){.in_flight = exchange->hedge_in_flight,
                             .took_us = (neap_clock_now_ns(NULL) - exchange->hedge_sent_ns) / 1000};
}

static void send_copy(neap_exchange *exchange) {
  exchange->hedge_connecting = false;
  exchange->hedge_sent_ns = neap_clock_now_ns(NULL);
  int code = neap_backend_send_head(exchange, exchange->hedge, exchange->hedge_member);
  if (code && code != NEAP_EBUSY) give_up(exchange);
}

static void on_connected(void *user, int error) {
  neap_exchange *exchange = user;
  if (error == 0) {
    send_copy(exchange);
    return;
  }
  neap_pool_outcome outcome = failure(exchange);
  neap_pool_unreachable(exchange->pool, exchange->hedge_member, &outcome,
                        neap_loop_now_ms(exchange->flow->loop));
  give_up(exchange);
}

/* win */
static void on_readable(void *user) {
  neap_exchange *exchange = user;
  neap_connection *copy = take(exchange);
  neap_backend_release(exchange, false);
  install(exchange, copy);
  neap_count_add(&neap_exchange_pool_tally(exchange)->hedges_won, 1);
  exchange->event = EVENT_READABLE;
  neap_exchange_resume(exchange, NEAP_STEP_FETCH);
}

static void on_sent(void *user) {
  (void)user;
}

static void on_failed(void *user) {
  neap_exchange *exchange = user;
  neap_pool_outcome outcome = failure(exchange);
  neap_pool_failed(exchange->pool, exchange->hedge_member, &outcome, neap_loop_now_ms(exchange->flow->loop));
  give_up(exchange);
}

static const neap_connection_vt copy_vt = {
    .connected = on_connected, .readable = on_readable, .sent = on_sent, .failed = on_failed};

/* --- sending it */

void neap_hedge_arm(neap_exchange *exchange) {
  const neap_pool_options *options = options_of(exchange);
  if (NEAP_LIKELY(options->hedge_budget <= 0)) return;
  if (exchange->tries > 1 || options->session.kind != NEAP_SESSION_OFF) return;
  if (exchange->body_started || !neap_body_is_over(exchange)) return;
  uint64_t delay_ms = neap_pool_hedge_delay_ms(exchange->pool, neap_loop_now_ms(exchange->flow->loop));
  if (delay_ms > 0) neap_timer_set(exchange->flow->loop, &exchange->hedge_timer, delay_ms);
}

void neap_hedge_fire(neap_timer *timer) {
  neap_exchange *exchange = NEAP_CONTAINER_OF(timer, neap_exchange, hedge_timer);
  neap_flow *flow = exchange->flow;
  bool waits = exchange->connection && exchange->awaiting == NEAP_STEP_FETCH && exchange->block_end == 0;
  if (!waits || exchange->hedge || exchange->tried_count == NEAP_TRIES_MAX) return;
  if (!neap_pool_may_hedge(exchange->pool)) return;
  neap_pool *pool = exchange->pool;
  neap_pool_ask ask = {.request = &exchange->board,
                       .key = exchange->pick_key,
                       .now_ms = neap_loop_now_ms(flow->loop),
                       .tried = exchange->tried,
                       .tried_count = exchange->tried_count,
                       .queues = flow->queues};
  neap_exchange_read_tables(exchange, true);
  int32_t member = neap_pool_pick(pool, &ask);
  neap_exchange_read_tables(exchange, false);
  if (member < 0) return;
  exchange->hedge_in_flight = neap_pool_begin(pool, member);
  if (exchange->hedge_in_flight == 0) {
    neap_pool_let_go(pool, member);
    return;
  }
  exchange->tried[exchange->tried_count++] = member;
  exchange->hedge_member = member;
  neap_backend *backend = neap_pool_backend(pool, member);
  exchange->hedge_sent_ns = neap_clock_now_ns(NULL);
  neap_count_add(&neap_exchange_pool_tally(exchange)->hedges, 1);
  exchange->hedge = neap_connection_take(flow->connections, backend, &copy_vt, exchange);
  if (exchange->hedge) {
    send_copy(exchange);
    return;
  }
  exchange->hedge_connecting = true;
  if (neap_connection_open(flow->connections, backend, &copy_vt, exchange, &exchange->hedge))
    let_go(exchange);
}
