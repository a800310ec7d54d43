/* HTTP/1 connections: keep-alive, pipelining, limits, timeouts; what a request means is flow's business.
 *
 *   idle --bytes--> head --complete--> serving --done--> idle | closing
 *
 * Bytes lie in one block: [at, end) is not yet used. While an exchange is under way the head lies there too,
 * in front of `body_from`, because the parsed request points into it; the body is read behind it. Bytes of
 * the next request wait until the response is over, in order.
 */
#include "front/front.h"

#include <stdlib.h>

#include "base/base.h"

enum {
  LINGER_MS = 2000,
  PROGRESS_MS = 10000, /* in this time a body has to move ... */
  PROGRESS_BYTES = 1000,
  HEADER_BYTES_MAX = 49152,
  CLIENT_MAGIC = 0x436c6931
};

typedef enum phase { PHASE_IDLE, PHASE_HEAD, PHASE_SERVING, PHASE_CLOSING } phase;

typedef struct http1 {
  uint32_t magic;
  phase phase;
  neap_front *front;
  struct http1 *prev, *next;
  neap_stream *stream;
  neap_exchange *exchange; /* from the first byte of a head until done */
  char *block;
  uint32_t at, end, body_from;
  neap_http_body body;
  neap_timer timer;
  size_t progress;             /* when last looked: bytes received of a body, or unsent ones */
  bool body_wanted, continued; /* continued: the client need not be told to go on */
  bool advancing;              /* its loop is on the stack */
  bool reset;                  /* the response was cut off: close so that the client sees it */
  bool refused;                /* nothing that it sends is read any more */
  uint8_t address_size;
  char address[NEAP_ADDRESS_TEXT];
} http1;

struct neap_front {
  neap_flow *flow;
  uint64_t header_timeout_ms, idle_timeout_ms;
  neap_http_limits limits;
  http1 *clients, *free;
  size_t count;
  bool draining, gently; /* gently: what was told that it may ask again is let */
};

static void advance(http1 *client);

/* --- life */

static void give_block(http1 *client) {
  neap_blocks_give(&client->front->flow->blocks, client->block);
  client->block = NULL;
  client->at = client->end = 0;
}

static void forget(http1 *client) {
  neap_front *front = client->front;
  neap_timer_clear(&client->timer);
  give_block(client);
  if (client->prev)
    client->prev->next = client->next;
  else
    front->clients = client->next;
  if (client->next) client->next->prev = client->prev;
  front->count--;
  neap_count_add(&front->flow->tally->closed, 1);
  client->magic = 0;
  client->next = front->free;
  front->free = client;
}

/* Closes a connection whose exchange is over, or has not begun. */
static void close_client(http1 *client) {
  if (client->exchange) neap_exchange_give(client->exchange);
  client->exchange = NULL;
  if (client->reset)
    neap_stream_reset(&client->stream);
  else if (client->refused || client->at < client->end || !client->body.done)
    neap_stream_linger(&client->stream, LINGER_MS);
  else
    neap_stream_close(&client->stream);
  forget(client);
}

/* --- the body of a request */

static void refuse(http1 *client, neap_http_reason reason) {
  client->refused = true;
  neap_exchange_refuse(client->exchange, (neap_reason)(NEAP_REASON_REFUSED_NONE + (int)reason));
}

/* Hands over what lies in the block; false when the exchange is to be left alone now. */
static bool feed(http1 *client) {
  while (client->at < client->end && !client->body.done) {
    neap_view payload;
    ssize_t used =
        neap_http_body_feed(&client->body, client->block + client->at, client->end - client->at, &payload);
    if (used < 0) {
      refuse(client, client->body.reason);
      return false;
    }
    client->at += (uint32_t)used;
    if (payload.size == 0 && !client->body.done) continue;
    neap_exchange_body(client->exchange, payload.ptr, payload.size, client->body.done);
    if (client->exchange == NULL || !client->body_wanted) return false;
  }
  return !client->body.done;
}

static void watch_progress(http1 *client, size_t progress) {
  client->progress = progress;
  neap_timer_set(client->front->flow->loop, &client->timer, PROGRESS_MS);
}

static void read_body(http1 *client) {
  if (!feed(client)) return;
  client->at = client->end = client->body_from;
  ssize_t got = neap_stream_read(client->stream, client->block + client->end, NEAP_BLOCK - client->end);
  if (got == NEAP_EBUSY) {
    neap_stream_reading(client->stream, true);
    return;
  }
  if (got <= 0) { /* in the middle of its body: the backend must not take it for complete */
    client->reset = true;
    neap_exchange_client_gone(client->exchange);
    return;
  }
  client->end += (uint32_t)got;
  if (feed(client))
    neap_stream_reading(client->stream, true);
  else if (client->exchange)
    neap_stream_reading(client->stream, false);
}

/* A client that waits to be asked for its body is asked, once. */
static void ask_for_body(http1 *client) {
  if (client->continued || !neap_exchange_request(client->exchange)->expect_continue) return;
  client->continued = true;
  if (client->at < client->end) return; /* it did not wait */
  struct iovec line = {(char *)NEAP_HTTP_CONTINUE, sizeof NEAP_HTTP_CONTINUE - 1};
  neap_stream_send(client->stream, &line,
                   1); /* nothing has been sent on this exchange: there is room for a line */
}

/* --- for the exchange */

static void vt_want_body(void *user, bool wanted) {
  http1 *client = user;
  neap_check_magic(client, CLIENT_MAGIC);
  bool more = wanted && !client->body_wanted;
  client->body_wanted = wanted;
  if (!wanted) neap_stream_reading(client->stream, false);
  if (!more || client->body.done) return;
  ask_for_body(client);
  watch_progress(client, 0);
  if (!client->advancing) read_body(client);
}

static bool vt_send(void *user, const struct iovec *pieces, int count, bool last) {
  http1 *client = user;
  neap_check_magic(client, CLIENT_MAGIC);
  (void)last;
  int code = client->reset ? NEAP_EIO : neap_stream_send(client->stream, pieces, count);
  if (code == 0) return true;
  if (code == NEAP_EBUSY) {
    watch_progress(client, neap_stream_unsent(client->stream));
    return false;
  }
  client->reset = true;
  neap_exchange_client_gone(client->exchange);
  return true;
}

static void vt_abort(void *user) {
  http1 *client = user;
  client->reset = true;
}

static neap_view vt_address(void *user) {
  http1 *client = user;
  if (client->address_size == 0) {
    neap_address peer;
    neap_stream_peer(client->stream, &peer);
    client->address_size = (uint8_t)neap_address_format_host(&peer, client->address);
  }
  return (neap_view){client->address, client->address_size};
}

static void vt_done(void *user) {
  http1 *client = user;
  neap_check_magic(client, CLIENT_MAGIC);
  bool kept =
      neap_exchange_kept_alive(client->exchange) && client->body.done && !client->refused && !client->reset;
  client->exchange = NULL;
  client->body_wanted = false;
  client->phase = kept && (!client->front->draining || client->front->gently) ? PHASE_IDLE : PHASE_CLOSING;
  if (!client->advancing) advance(client);
}

static const neap_client_vt client_vt = {.name = "http/1",
                                         .send = vt_send,
                                         .abort = vt_abort,
                                         .want_body = vt_want_body,
                                         .done = vt_done,
                                         .address = vt_address};

/* --- heads */

static bool take_exchange(http1 *client) {
  neap_front *front = client->front;
  if (client->exchange) return true;
  client->exchange = neap_exchange_take(front->flow, &front->limits, &client_vt, client);
  return client->exchange != NULL;
}

/* All that was read is answered. */
static void rest(http1 *client) {
  give_block(client);
  client->phase = PHASE_IDLE;
  neap_stream_reading(client->stream, true);
  neap_timer_set(client->front->flow->loop, &client->timer, client->front->idle_timeout_ms);
}

static void wait_for_head(http1 *client) {
  uint32_t bytes = client->end - client->at;
  if (client->at > 0) memmove(client->block, client->block + client->at, bytes);
  client->at = 0;
  client->end = bytes;
  neap_stream_reading(client->stream, true);
  if (client->phase == PHASE_HEAD) return; /* its time is running */
  client->phase = PHASE_HEAD;
  neap_timer_set(client->front->flow->loop, &client->timer, client->front->header_timeout_ms);
}

static void serve(http1 *client, size_t head_bytes) {
  neap_exchange *exchange = client->exchange;
  client->at += (uint32_t)head_bytes;
  client->body_from = client->at;
  client->phase = PHASE_SERVING;
  client->continued = false;
  neap_http_body_init(&client->body, &neap_exchange_request(exchange)->head);
  neap_exchange_keep_alive(exchange, !client->front->draining);
  neap_stream_reading(client->stream, false);
  neap_exchange_start(exchange);
  if (client->exchange && client->body_wanted && !client->body.done) read_body(client);
}

/* Reads one head and serves it; false when the connection has to wait, or is to be closed. */
static bool step(http1 *client) {
  if (client->at == client->end) {
    if (client->exchange == NULL) rest(client);
    return false;
  }
  if (!take_exchange(client)) {
    client->phase = PHASE_CLOSING;
    return false;
  }
  ssize_t size = neap_http_request_parse(neap_exchange_request(client->exchange), client->block + client->at,
                                         client->end - client->at);
  if (size > 0) {
    serve(client, (size_t)size);
  } else if (size < 0) {
    client->phase = PHASE_SERVING;
    refuse(client, neap_exchange_request(client->exchange)->head.reason);
  } else {
    wait_for_head(client);
    return false;
  }
  return client->phase == PHASE_IDLE;
}

/* Serves what lies in the block, one request after the other. May close the connection. hot: */
static void advance(http1 *client) {
  client->advancing = true;
  while (client->phase < PHASE_SERVING && step(client)) {
  }
  client->advancing = false;
  if (client->phase == PHASE_CLOSING) close_client(client);
}

/* --- what the stream tells */

static void read_head(http1 *client) {
  if (client->block == NULL) client->block = neap_blocks_take(&client->front->flow->blocks);
  if (client->block == NULL) {
    close_client(client);
    return;
  }
  ssize_t got = neap_stream_read(client->stream, client->block + client->end, NEAP_BLOCK - client->end);
  if (got > 0) {
    client->end += (uint32_t)got;
    advance(client);
  } else if (got != NEAP_EBUSY) {
    client->end = client->at; /* an unfinished head at the end: there is nobody to tell */
    close_client(client);
  } else if (client->phase == PHASE_IDLE) {
    give_block(client);
  }
}

static void on_readable(void *user) {
  http1 *client = user;
  neap_check_magic(client, CLIENT_MAGIC);
  if (client->phase != PHASE_SERVING)
    read_head(client);
  else if (client->body_wanted)
    read_body(client);
  else
    neap_stream_reading(client->stream, false);
}

static void on_sent(void *user) {
  http1 *client = user;
  if (client->exchange) neap_exchange_sent(client->exchange);
}

static void on_failed(void *user) {
  http1 *client = user;
  client->reset = true;
  if (client->phase == PHASE_SERVING)
    neap_exchange_client_gone(client->exchange);
  else
    close_client(client);
}

static const neap_stream_vt stream_vt = {
    .name = "http/1", .readable = on_readable, .sent = on_sent, .failed = on_failed};

/* --- time */

/* A body moves too slowly in the direction in which it should. */
static void check_progress(http1 *client) {
  if (neap_stream_sending(client->stream)) {
    size_t unsent = neap_stream_unsent(client->stream);
    bool moves = unsent + PROGRESS_BYTES <= client->progress;
    if (moves) {
      watch_progress(client, unsent);
    } else {
      client->reset = true;
      neap_exchange_client_gone(client->exchange);
    }
  } else if (client->body_wanted && !client->body.done) {
    size_t received = (size_t)client->body.total;
    if (received >= client->progress + PROGRESS_BYTES)
      watch_progress(client, received);
    else
      refuse(client, NEAP_HTTP_REASON_BODY_TIMEOUT);
  }
}

static void on_time(neap_timer *timer) {
  http1 *client = NEAP_CONTAINER_OF(timer, http1, timer);
  neap_check_magic(client, CLIENT_MAGIC);
  switch (client->phase) {
  case PHASE_IDLE: close_client(client); return;
  case PHASE_SERVING: check_progress(client); return;
  case PHASE_HEAD:
    client->phase = PHASE_SERVING;
    client->advancing = true;
    refuse(client, NEAP_HTTP_REASON_HEADER_TIMEOUT);
    advance(client);
    return;
  case PHASE_CLOSING: return;
  }
}

/* --- the front */

void neap_front_set_options(neap_front *front, const neap_front_options *options) {
  front->header_timeout_ms = options->header_timeout_ms;
  front->idle_timeout_ms = options->idle_timeout_ms;
  front->limits = neap_http_limits_default;
  front->limits.head_bytes = NEAP_MIN(options->max_header_bytes, (uint32_t)HEADER_BYTES_MAX);
}

int neap_front_create(neap_flow *flow, const neap_front_options *options, neap_front **out) {
  neap_front *front = calloc(1, sizeof *front);
  if (front == NULL) return NEAP_ENOMEM;
  front->flow = flow;
  neap_front_set_options(front, options);
  *out = front;
  return 0;
}

void neap_front_destroy(neap_front **front_ptr) {
  neap_front *front = *front_ptr;
  if (front == NULL) return;
  neap_assert(front->count == 0);
  while (front->free) {
    http1 *client = front->free;
    front->free = client->next;
    free(client);
  }
  free(front);
  *front_ptr = NULL;
}

void neap_front_accept(void *front_ptr, neap_stream *stream) {
  neap_front *front = front_ptr;
  http1 *made = front->free;
  if (made)
    front->free = made->next;
  else
    made = malloc(sizeof *made);
  if (made == NULL) {
    neap_stream_close(&stream);
    return;
  }
  *made = (http1){.magic = CLIENT_MAGIC, .front = front, .stream = stream, .next = front->clients};
  made->body.done = true;
  if (front->clients) front->clients->prev = made;
  front->clients = made;
  front->count++;
  neap_count_add(&front->flow->tally->accepted, 1);
  neap_timer_init(&made->timer, on_time);
  neap_timer_set(front->flow->loop, &made->timer, front->header_timeout_ms);
  neap_stream_own(stream, &stream_vt, made);
}

void neap_front_drain(neap_front *front, bool gently) {
  front->draining = true;
  front->gently = gently;
  for (http1 *client = front->clients, *next; client && !gently; client = next) {
    next = client->next;
    if (client->phase == PHASE_IDLE) close_client(client);
  }
}

void neap_front_close(neap_front *front) {
  front->draining = true;
  while (front->clients) {
    http1 *client = front->clients;
    client->reset = true;
    if (client->phase == PHASE_SERVING)
      neap_exchange_client_gone(client->exchange); /* forgets it */
    else
      close_client(client);
  }
}

size_t neap_front_connection_count(const neap_front *front) {
  return front->count;
}
