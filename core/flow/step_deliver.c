/* deliver: hands the response to the client, piece by piece where it or the client is slow. */
#include "flow/acts.h"
#include "flow/prefetch.h"
#include "flow/tiers.h"
#include "store/store.h"

enum { PAYLOADS_MAX = 16 }; /* of one send: many small chunks of a backend become one */

static struct iovec piece_of(neap_view view) {
  return (struct iovec){(char *)view.ptr, view.size};
}

/* True when all of it is with the kernel. */
static bool hand_over(neap_exchange *exchange, const struct iovec *pieces, int count, bool last) {
  exchange->begun = true;
  exchange->last_sent = last;
  if (exchange->client_vt->send(exchange->client, pieces, count, last)) return true;
  exchange->client_busy = true;
  return false;
}

/* --- from the cache */

/* The client is slow: the entry has to live longer than this turn. */
static void pin(neap_exchange *exchange) {
  if (!exchange->entered) return;
  exchange->pinned = neap_entry_ref(exchange->cache, exchange->entry);
  exchange->entered = false;
  neap_cache_leave(exchange->cache);
}

static int hit_head(neap_exchange *exchange, struct iovec *pieces) {
  const neap_http_stored *stored = &exchange->stored;
  char *tail = neap_arena_take(&exchange->arena, NEAP_HTTP_TAIL_MAX);
  if (tail == NULL) return 0;
  exchange->kept_alive = neap_answer_keep_alive(exchange);
  size_t size = neap_http_stored_tail(tail, stored, exchange->serve, &exchange->request,
                                      neap_entry_size(exchange->entry),
                                      neap_loop_now_ms(exchange->flow->loop), exchange->kept_alive);
  int count = 0;
  bool whole = exchange->serve != NEAP_HTTP_SERVE_NOT_MODIFIED;
  neap_view lines = whole ? stored->head : stored->lines_304, added = {NULL, 0};
  bool edited = neap_edits_any(&exchange->route->response) || neap_acts_response(exchange);
  if (edited && neap_acts_lines(exchange, &lines, &added)) return 0;
  exchange->status = whole ? stored->status : 304;
  if (!whole) pieces[count++] = piece_of(NEAP_BYTES(NEAP_HTTP_LINE_304));
  if (lines.size) pieces[count++] = piece_of(lines);
  if (added.size) pieces[count++] = piece_of(added);
  pieces[count++] = (struct iovec){tail, size};
  exchange->head = (neap_view){tail, size};
  return count;
}

static bool has_body(const neap_exchange *exchange) {
  return exchange->serve == NEAP_HTTP_SERVE_FULL && exchange->request.method_id != NEAP_HTTP_METHOD_HEAD;
}

/* Adds pieces of the body while there is room; true when those are the last. */
static bool hit_body(neap_exchange *exchange, struct iovec *pieces, int *count) {
  if (!has_body(exchange)) return true;
  for (;;) {
    neap_view piece = neap_entry_piece(exchange->entry, exchange->piece);
    if (piece.size == 0) return true;
    if (*count == NEAP_STREAM_PIECES) return false;
    pieces[(*count)++] = piece_of(piece);
    exchange->body_bytes += piece.size;
    exchange->piece++;
  }
}

/* hot: */
static neap_step deliver_hit(neap_exchange *exchange) {
  while (!exchange->last_sent) {
    struct iovec pieces[NEAP_STREAM_PIECES];
    int count = exchange->head.size ? 0 : hit_head(exchange, pieces);
    if (exchange->head.size == 0) return NEAP_STEP_FINISH; /* out of memory */
    bool last = hit_body(exchange, pieces, &count);
    if (!hand_over(exchange, pieces, count, last)) {
      pin(exchange);
      return NEAP_STEP_WAIT;
    }
  }
  return NEAP_STEP_FINISH;
}

/* --- made here */

/* Head and body lie in what the tier has answered, which lives as long as the exchange. */
static neap_step deliver_from_tier(neap_exchange *exchange) {
  struct iovec pieces[NEAP_TIER_HIT_PIECES];
  int count = exchange->last_sent ? 0 : neap_tiers_hit_pieces(exchange, pieces);
  if (count > 0 && !hand_over(exchange, pieces, count, true)) return NEAP_STEP_WAIT;
  neap_tiers_leave(exchange);
  return NEAP_STEP_FINISH;
}

static neap_step deliver_here(neap_exchange *exchange) {
  if (exchange->source == FROM_TIER) return deliver_from_tier(exchange);
  if (exchange->last_sent) return NEAP_STEP_FINISH;
  struct iovec piece = piece_of(exchange->head);
  return hand_over(exchange, &piece, 1, true) ? NEAP_STEP_FINISH : NEAP_STEP_WAIT;
}

/* --- from a backend */

/* The response cannot be completed: the client must see that, and nothing of it is stored. */
static neap_step break_off(neap_exchange *exchange, neap_end end) {
  neap_pool_outcome outcome = neap_backend_outcome(exchange, exchange->status);
  neap_pool_failed(exchange->pool, exchange->member, &outcome, neap_loop_now_ms(exchange->flow->loop));
  neap_backend_release(exchange, false);
  exchange->kept_alive = false;
  if (!exchange->begun) return neap_answer_error(exchange, 502, end);
  exchange->end = end;
  exchange->client_vt->abort(exchange->client);
  return NEAP_STEP_FINISH;
}

static void append(neap_exchange *exchange, neap_view payload) {
  if (exchange->fill == NULL) return;
  bool much = exchange->ahead && exchange->body_bytes + payload.size > exchange->ahead->most_bytes;
  int code = much ? NEAP_ETOOLARGE : neap_fill_append(exchange->fill, payload);
  if (code == 0) return;
  exchange->stored_as = neap_reason_not_stored(code);
  neap_fill_abort(&exchange->fill);
}

/* The backend's part is over, whatever the client still has to take. */
static void complete(neap_exchange *exchange) {
  bool surplus = exchange->block_at < exchange->block_end;
  neap_backend_release(exchange, exchange->response->head.keep_alive && !surplus);
  if (exchange->fill == NULL) return;
  bool shares = exchange->flow->tiers && exchange->route->tiers;
  neap_entry *entry = NULL;
  int code = neap_fill_commit(&exchange->fill, shares || exchange->ahead ? &entry : NULL);
  if (code) exchange->stored_as = neap_reason_not_stored(code);
  if (entry == NULL) return;
  if (exchange->ahead) {
    neap_entry_info info;
    neap_entry_info_get(exchange->cache, entry, &info);
    exchange->kept_bytes = info.charged;
  }
  if (shares) neap_tiers_share(exchange, entry);
  neap_entry_unref(exchange->cache, entry);
}

/* Cuts what was read into payloads. Their number, or NEAP_ESYNTAX. */
static int cut(neap_exchange *exchange, struct iovec *payloads, size_t *bytes) {
  int count = 0;
  while (exchange->block_at < exchange->block_end && !exchange->body.done && count < PAYLOADS_MAX) {
    neap_view payload;
    ssize_t used = neap_http_body_feed(&exchange->body, exchange->block + exchange->block_at,
                                       exchange->block_end - exchange->block_at, &payload);
    if (used < 0) return NEAP_ESYNTAX;
    exchange->block_at += (size_t)used;
    if (payload.size == 0) continue;
    append(exchange, payload);
    payloads[count++] = piece_of(payload);
    *bytes += payload.size;
  }
  return count;
}

/* Puts head, framing and payloads in a row; returns how many pieces. `payloads` are pieces[2..] already. */
static int frame(neap_exchange *exchange, struct iovec *pieces, int payloads, size_t bytes, bool last) {
  bool chunked = exchange->reply.framing == NEAP_HTTP_FRAMING_CHUNKED;
  int count = 0;
  if (exchange->head.size) pieces[count++] = piece_of(exchange->head);
  if (chunked && payloads)
    pieces[count++] = (struct iovec){exchange->chunk, neap_http_chunk_head(exchange->chunk, bytes)};
  if (exchange->reply.framing != NEAP_HTTP_FRAMING_NONE) {
    memmove(pieces + count, pieces + 2, (size_t)payloads * sizeof *pieces);
    count += payloads;
    exchange->body_bytes += bytes;
  }
  if (chunked && payloads) pieces[count++] = piece_of(NEAP_BYTES(NEAP_HTTP_CHUNK_END));
  if (chunked && last) pieces[count++] = piece_of(NEAP_BYTES(NEAP_HTTP_CHUNK_LAST));
  exchange->head.size = 0;
  return count;
}

/* Passes on what is in the block. WAIT: for more of it, or for the client. */
static neap_step pass_on(neap_exchange *exchange) {
  do {
    struct iovec pieces[PAYLOADS_MAX + 5];
    size_t bytes = 0;
    int payloads = cut(exchange, pieces + 2, &bytes);
    if (payloads < 0) return break_off(exchange, NEAP_END_BAD_RESPONSE);
    if (exchange->ahead && exchange->fill == NULL && exchange->kept_bytes == 0)
      return neap_prefetch_end(exchange);
    bool last = exchange->body.done;
    if (last) complete(exchange);
    int count = frame(exchange, pieces, payloads, bytes, last);
    if ((count > 0 || last) && !hand_over(exchange, pieces, count, last)) {
      if (exchange->connection) neap_stream_reading(neap_connection_stream(exchange->connection), false);
      return NEAP_STEP_WAIT;
    }
    if (last) return NEAP_STEP_FINISH;
  } while (exchange->block_at < exchange->block_end);
  neap_backend_wait(exchange, NEAP_STEP_DELIVER, neap_pool_options_of(exchange->pool)->response_timeout_ms);
  return NEAP_STEP_WAIT;
}

static neap_step read_more(neap_exchange *exchange) {
  ssize_t got = neap_stream_read(neap_connection_stream(exchange->connection), exchange->block, NEAP_BLOCK);
  if (got == NEAP_EBUSY) return NEAP_STEP_WAIT;
  if (got <= 0) {
    if (got < 0 || neap_http_body_close(&exchange->body)) return break_off(exchange, NEAP_END_TRUNCATED);
    exchange->response->head.keep_alive = false;
    got = 0;
  }
  exchange->block_at = 0;
  exchange->block_end = (size_t)got;
  return pass_on(exchange);
}

static neap_step deliver_response(neap_exchange *exchange) {
  backend_event event = exchange->event;
  exchange->event = EVENT_NONE;
  if (event == EVENT_TIMEOUT) return break_off(exchange, NEAP_END_BACKEND_TIMEOUT);
  if (exchange->client_busy) return NEAP_STEP_WAIT;
  if (exchange->last_sent) return NEAP_STEP_FINISH;
  if (event == EVENT_NONE) {
    if (exchange->connection) neap_stream_reading(neap_connection_stream(exchange->connection), true);
    return pass_on(exchange);
  }
  return read_more(exchange);
}

neap_step neap_step_deliver(neap_exchange *exchange) {
  switch (exchange->source) {
  case FROM_CACHE: return deliver_hit(exchange);
  case FROM_BACKEND: return deliver_response(exchange);
  default: return deliver_here(exchange);
  }
}
