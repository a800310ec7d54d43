/* fetch: sends the request to the picked backend and waits for the head of its response.
 *
 *   begin -> (connected) -> request sent -> head read -> store
 *
 * A try that failed goes back to `balance` where the request may be sent again: nothing of it was sent, or it
 * is idempotent, the backend went away before its answer had a whole head, and nothing of a body is used up.
 * A backend that is merely slow is not asked twice: it may be all of them that are. */
#include "flow/steps.h"

#include <stdlib.h>

static const neap_pool_options *options_of(const neap_exchange *exchange) {
  return neap_pool_options_of(exchange->pool);
}

static bool is_idempotent(neap_http_method method) {
  switch (method) {
  case NEAP_HTTP_METHOD_GET:
  case NEAP_HTTP_METHOD_HEAD:
  case NEAP_HTTP_METHOD_OPTIONS:
  case NEAP_HTTP_METHOD_PUT:
  case NEAP_HTTP_METHOD_DELETE: return true;
  default: return false;
  }
}

/* --- when it fails */

static void blame(neap_exchange *exchange, neap_end end) {
  neap_pool_outcome outcome = neap_backend_outcome(exchange, 0);
  if (end == NEAP_END_CONNECT_FAILED || end == NEAP_END_CONNECT_TIMEOUT)
    neap_pool_unreachable(exchange->pool, exchange->member, &outcome, neap_loop_now_ms(exchange->flow->loop));
  else if (!exchange->stale)
    neap_pool_failed(exchange->pool, exchange->member, &outcome, neap_loop_now_ms(exchange->flow->loop));
}

static neap_step fail(neap_exchange *exchange, neap_end end) {
  bool unsent = exchange->connecting || exchange->connection == NULL;
  bool silent = exchange->block_end == 0;
  bool idempotent = is_idempotent(exchange->request.method_id);
  bool closed = end == NEAP_END_BACKEND_CLOSED;
  exchange->end = end;
  exchange->stale = closed && silent && exchange->reused;
  blame(exchange, end);
  if (silent && neap_hedge_take_over(exchange)) return NEAP_STEP_WAIT;
  neap_backend_release(exchange, false);
  exchange->block_end = 0;
  bool again = unsent || (closed && idempotent);
  if (again && !exchange->body_started) return NEAP_STEP_BALANCE;
  bool late = end == NEAP_END_BACKEND_TIMEOUT || end == NEAP_END_CONNECT_TIMEOUT;
  return neap_answer_error(exchange, late ? 504 : 502, end);
}

/* --- the request */

static void add_connect(neap_exchange *exchange) {
  uint64_t took_us = (neap_clock_now_ns(NULL) - exchange->sent_ns) / 1000;
  neap_timing_add(&neap_exchange_pool_tally(exchange)->phases[NEAP_PHASE_CONNECT], took_us);
}

static neap_step send_request(neap_exchange *exchange) {
  exchange->connecting = false;
  exchange->sent_ns = neap_clock_now_ns(NULL);
  switch (neap_backend_send(exchange)) {
  case 0:
    if (is_idempotent(exchange->request.method_id) && !exchange->ahead) neap_hedge_arm(exchange);
    return NEAP_STEP_WAIT;
  case NEAP_ETOOLARGE: return fail(exchange, NEAP_END_TOO_LARGE);
  case NEAP_ENOMEM: return fail(exchange, NEAP_END_NO_MEMORY);
  default: return fail(exchange, NEAP_END_BACKEND_CLOSED);
  }
}

/* A kept connection that is still good. What must not be sent twice is not sent where it might be lost. */
static neap_connection *take_kept(neap_exchange *exchange, neap_backend *backend) {
  if (exchange->stale) return NULL;
  neap_connections *connections = exchange->flow->connections;
  for (;;) {
    neap_connection *kept = neap_connection_take(connections, backend, &neap_backend_vt, exchange);
    if (kept == NULL || is_idempotent(exchange->request.method_id) || neap_connection_is_quiet(kept))
      return kept;
    neap_connection_drop(&kept);
  }
}

/* Another worker was quicker: this try did not take place. */
static neap_step too_late(neap_exchange *exchange) {
  exchange->stale = false;
  exchange->admitted = true;
  exchange->tries--;
  exchange->tried_count--;
  return NEAP_STEP_BALANCE;
}

static neap_step begin(neap_exchange *exchange) {
  neap_flow *flow = exchange->flow;
  exchange->in_flight = neap_pool_begin(exchange->pool, exchange->member);
  if (exchange->in_flight == 0) return too_late(exchange);
  exchange->admitted = false;
  exchange->counted = true;
  if (exchange->tries > 1) neap_count_add(&neap_exchange_pool_tally(exchange)->retries, 1);
  neap_backend *backend = neap_pool_backend(exchange->pool, exchange->member);
  exchange->connection = take_kept(exchange, backend);
  exchange->reused = exchange->connection != NULL;
  exchange->stale = false;
  if (exchange->reused) return send_request(exchange);
  exchange->connecting = true;
  exchange->sent_ns = neap_clock_now_ns(NULL);
  if (neap_connection_open(flow->connections, backend, &neap_backend_vt, exchange, &exchange->connection))
    return fail(exchange, NEAP_END_CONNECT_FAILED);
  neap_backend_wait(exchange, NEAP_STEP_FETCH, options_of(exchange)->connect_timeout_ms);
  return NEAP_STEP_WAIT;
}

/* --- the head of the response */

static bool prepare_response(neap_exchange *exchange) {
  const neap_http_limits *limits = &neap_http_limits_default;
  if (exchange->block == NULL) exchange->block = neap_blocks_take(&exchange->flow->blocks);
  if (exchange->response == NULL) {
    size_t rows = limits->field_count * sizeof(neap_http_field);
    exchange->response = neap_arena_take(&exchange->arena, sizeof *exchange->response + rows);
  }
  if (exchange->block == NULL || exchange->response == NULL) return false;
  neap_http_field *fields = (neap_http_field *)(void *)(exchange->response + 1);
  neap_http_response_init(exchange->response, fields, limits, exchange->request.method_id);
  return true;
}

static neap_step head_is_complete(neap_exchange *exchange, size_t size) {
  neap_loop *loop = exchange->flow->loop;
  uint64_t now_ms = neap_loop_now_ms(loop);
  neap_pool_outcome outcome = neap_backend_outcome(exchange, exchange->response->status);
  neap_report report;
  exchange->head_ns = exchange->sent_ns + outcome.took_us * 1000;
  neap_timing_add(&neap_exchange_pool_tally(exchange)->phases[NEAP_PHASE_FIRST_BYTE], outcome.took_us);
  neap_pool_answered(exchange->pool, exchange->member, &outcome, now_ms);
  if (NEAP_UNLIKELY(neap_load_report_of(&exchange->response->head, &report)))
    neap_pool_reported(exchange->pool, exchange->member, &report, now_ms);
  exchange->times.response_ms = now_ms;
  exchange->times.wall_s = neap_exchange_wall_s(exchange);
  exchange->block_at = size;
  exchange->end = NEAP_END_OK;
  return NEAP_STEP_STORE;
}

static neap_step read_head(neap_exchange *exchange) {
  if (exchange->block_end == 0 && !prepare_response(exchange)) return fail(exchange, NEAP_END_NO_MEMORY);
  ssize_t got = neap_stream_read(neap_connection_stream(exchange->connection),
                                 exchange->block + exchange->block_end, NEAP_BLOCK - exchange->block_end);
  if (got == NEAP_EBUSY) return NEAP_STEP_WAIT;
  if (got <= 0) return fail(exchange, NEAP_END_BACKEND_CLOSED);
  neap_hedge_drop(exchange); /* the first one speaks */
  exchange->block_end += (size_t)got;
  ssize_t size = neap_http_response_parse(exchange->response, exchange->block, exchange->block_end);
  if (size > 0) return head_is_complete(exchange, (size_t)size);
  if (size < 0 || exchange->block_end == NEAP_BLOCK) return fail(exchange, NEAP_END_BAD_RESPONSE);
  return NEAP_STEP_WAIT;
}

neap_step neap_step_fetch(neap_exchange *exchange) {
  backend_event event = exchange->event;
  exchange->event = EVENT_NONE;
  switch (event) {
  case EVENT_NONE: return begin(exchange);
  case EVENT_CONNECTED: add_connect(exchange); return send_request(exchange);
  case EVENT_UNREACHABLE: return fail(exchange, NEAP_END_CONNECT_FAILED);
  case EVENT_FAILED: exchange->body_broken = true; return read_head(exchange);
  case EVENT_READABLE: return read_head(exchange);
  case EVENT_TIMEOUT: break;
  }
  return fail(exchange, exchange->connecting ? NEAP_END_CONNECT_TIMEOUT : NEAP_END_BACKEND_TIMEOUT);
}
