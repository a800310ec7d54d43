/* The connection of an exchange: the request goes out here, what happens on it is told to the waiting step.
 */
#include "flow/acts.h"

static void tell(neap_exchange *exchange, backend_event event) {
  exchange->event = event;
  neap_exchange_resume(exchange, exchange->awaiting);
}

static void on_connected(void *user, int error) {
  tell(user, error ? EVENT_UNREACHABLE : EVENT_CONNECTED);
}

static void on_readable(void *user) {
  tell(user, EVENT_READABLE);
}

static void on_failed(void *user) {
  tell(user, EVENT_FAILED);
}

/* The last call: the client may end the exchange from there. */
static void want_body(neap_exchange *exchange) {
  if (!neap_body_is_over(exchange) && !exchange->body_broken)
    exchange->client_vt->want_body(exchange->client, true);
}

static void on_sent(void *user) {
  neap_exchange *exchange = user;
  exchange->body_kept = false;
  want_body(exchange);
}

const neap_connection_vt neap_backend_vt = {
    .connected = on_connected, .readable = on_readable, .sent = on_sent, .failed = on_failed};

void neap_backend_wait(neap_exchange *exchange, neap_step awaiting, uint64_t limit_ms) {
  exchange->awaiting = awaiting;
  neap_timer_set(exchange->flow->loop, &exchange->timer, limit_ms);
}

/* --- head */

static int edit(neap_exchange *exchange) {
  if (exchange->edited) return 0;
  exchange->edited = true;
  const neap_flow_edits *own = neap_acts_request(exchange);
  int code = neap_session_hide(exchange);
  if (code == 0) code = neap_edits_apply(&exchange->route->request, &exchange->request.head);
  return code == 0 && own ? neap_edits_apply(own, &exchange->request.head) : code;
}

static int write_head(neap_exchange *exchange, int32_t to, struct iovec *out) {
  char id[NEAP_ID_SIZE];
  const neap_backend *backend = neap_pool_backend(exchange->pool, to);
  const neap_slice *client = &exchange->board.client;
  neap_http_forward forward = {.client = {client->ptr, (size_t)client->size},
                               .scheme = NEAP_BYTES("http"),
                               .request_id = neap_exchange_id(exchange, id),
                               .fallback_host = neap_view_of(neap_backend_address(backend))};
  const neap_http_request *request = &exchange->request;
  const neap_flow_edits *own = neap_acts_request(exchange);
  size_t capacity = request->head.cursor + NEAP_HTTP_HEAD_EXTRA +
                    neap_edits_bytes(&exchange->route->request) + exchange->hidden_bytes;
  if (exchange->acts) /* it may have grown */
    capacity += (size_t)request->path.size + (size_t)request->query.size + (own ? neap_edits_bytes(own) : 0);
  char *head = neap_arena_take(&exchange->arena, capacity);
  if (head == NULL) return NEAP_ENOMEM;
  ssize_t size = neap_http_request_write(head, capacity, &exchange->request, &forward);
  if (size < 0) return NEAP_ETOOLARGE;
  neap_arena_trim(&exchange->arena, head, capacity, (size_t)size);
  *out = (struct iovec){head, (size_t)size};
  return 0;
}

int neap_backend_send_head(neap_exchange *exchange, neap_connection *connection, int32_t member) {
  struct iovec head;
  int code = edit(exchange);
  if (code == 0) code = write_head(exchange, member, &head);
  return code ? code : neap_stream_send(neap_connection_stream(connection), &head, 1);
}

int neap_backend_send(neap_exchange *exchange) {
  exchange->times.request_ms = neap_loop_now_ms(exchange->flow->loop);
  neap_backend_wait(exchange, NEAP_STEP_FETCH, neap_pool_options_of(exchange->pool)->response_timeout_ms);
  int code = neap_backend_send_head(exchange, exchange->connection, exchange->member);
  if (code == NEAP_EBUSY) return 0; /* the body follows when the head is gone */
  if (code == 0) want_body(exchange);
  return code;
}

/* --- body */

bool neap_body_is_over(const neap_exchange *exchange) {
  const neap_http_head *head = &exchange->request.head;
  if (head->framing == NEAP_HTTP_FRAMING_NONE) return true;
  if (head->framing == NEAP_HTTP_FRAMING_LENGTH && head->content_length == 0) return true;
  return exchange->body_done && !exchange->body_kept;
}

static int frame_chunk(neap_exchange *exchange, struct iovec *pieces, const char *bytes, size_t size,
                       bool last) {
  int count = 0;
  if (size > 0) {
    size_t head = neap_http_chunk_head(exchange->body_chunk, size);
    pieces[count++] = (struct iovec){exchange->body_chunk, head};
    pieces[count++] = (struct iovec){(char *)bytes, size};
    pieces[count++] = (struct iovec){(char *)NEAP_HTTP_CHUNK_END, sizeof NEAP_HTTP_CHUNK_END - 1};
  }
  if (last) pieces[count++] = (struct iovec){(char *)NEAP_HTTP_CHUNK_LAST, sizeof NEAP_HTTP_CHUNK_LAST - 1};
  return count;
}

void neap_exchange_body(neap_exchange *exchange, const char *bytes, size_t size, bool last) {
  struct iovec pieces[4] = {{(char *)bytes, size}};
  bool chunked = exchange->request.head.framing == NEAP_HTTP_FRAMING_CHUNKED;
  int count = chunked ? frame_chunk(exchange, pieces, bytes, size, last) : size > 0;
  exchange->body_started = true;
  exchange->body_done = last;
  if (count == 0 || exchange->body_broken || exchange->connection == NULL) return;
  if (exchange->awaiting == NEAP_STEP_FETCH) /* the time to answer begins when the request is complete */
    neap_backend_wait(exchange, NEAP_STEP_FETCH, neap_pool_options_of(exchange->pool)->response_timeout_ms);
  int code = neap_stream_send(neap_connection_stream(exchange->connection), pieces, count);
  if (code == NEAP_EBUSY) {
    exchange->body_kept = true;
    exchange->client_vt->want_body(exchange->client, false);
  } else if (code) {
    exchange->body_broken = true; /* it may have answered already: reading tells */
  }
}

/* --- end */

neap_pool_outcome neap_backend_outcome(const neap_exchange *exchange, int32_t status) {
  return (neap_pool_outcome){.in_flight = exchange->in_flight,
                             .status = status,
                             .took_us = (neap_clock_now_ns(NULL) - exchange->sent_ns) / 1000};
}

void neap_backend_release(neap_exchange *exchange, bool reusable) {
  neap_hedge_drop(exchange);
  neap_balance_leave(exchange);
  if (exchange->counted) neap_pool_end(exchange->pool, exchange->member);
  exchange->counted = false;
  if (exchange->connection == NULL) return;
  const neap_pool_options *options = neap_pool_options_of(exchange->pool);
  if (reusable && neap_body_is_over(exchange) &&
      !neap_stream_sending(neap_connection_stream(exchange->connection)))
    neap_connection_keep(&exchange->connection, options->idle_timeout_ms, options->max_idle);
  else
    neap_connection_drop(&exchange->connection);
}
