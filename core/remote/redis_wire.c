/* The bytes of a connection to Redis. All requests of a turn leave in one go, from where they lie; what comes
 * is understood where it was read, and belongs to the oldest request.
 */
#include "remote/redis_impl.h"

#include <stdlib.h>
#include <string.h>

enum { BUFFER = 16384, BUFFER_KEPT = 65536, LEAST_READ = 4096, ROUNDS_MAX = 16, TLS_ROUNDS_MAX = 256 };

/* --- plain or TLS */

static bool is_sending(const redis_connection *connection) {
  return connection->tls ? neap_tls_sending(connection->tls) : neap_stream_sending(connection->stream);
}

/* Bytes of requests that must stay where they are; TLS has copied them. */
static size_t kept(const redis_connection *connection) {
  return connection->tls ? 0 : neap_stream_kept(connection->stream);
}

static int send_pieces(redis_connection *connection, const struct iovec *pieces, int count) {
  return connection->tls ? neap_tls_send(connection->tls, pieces, count)
                         : neap_stream_send(connection->stream, pieces, count);
}

static ssize_t read_some(redis_connection *connection, char *buffer, size_t room) {
  return connection->tls ? neap_tls_read(connection->tls, buffer, room)
                         : neap_stream_read(connection->stream, buffer, room);
}

/* --- out */

static int gather(redis_connection *connection, struct iovec *pieces) {
  uint64_t now_ms = neap_loop_now_ms(connection->home->loop);
  neap_redis_request *request = connection->unsent;
  int count = 0;
  while (request && count < NEAP_STREAM_PIECES) {
    pieces[count++] = (struct iovec){request->bytes, request->size};
    request->sent = true;
    request->sent_ms = now_ms;
    request->sent_end = connection->handed += request->size;
    connection->home->info.sent_bytes += request->size;
    request = request->link.next == &connection->queue
                  ? NULL
                  : NEAP_CONTAINER_OF(request->link.next, neap_redis_request, link);
  }
  connection->unsent = request;
  return count;
}

void neap_redis_wire_flush(redis_connection *connection) {
  if (!redis_wire_is_open(connection) || connection->state < REDIS_SIGNING_IN) return;
  while (connection->unsent && !is_sending(connection)) {
    struct iovec pieces[NEAP_STREAM_PIECES];
    int count = gather(connection, pieces);
    int code = send_pieces(connection, pieces, count);
    if (code == NEAP_EBUSY) return;
    if (code) {
      neap_redis_connection_fail(connection, "the server has closed the connection");
      return;
    }
  }
}

static void on_sent(void *user) {
  neap_redis_wire_flush(user);
}

/* --- in */

/* The bytes of a request must stay until the kernel has them: an answer that comes before is none. */
static bool may_be_answered(const redis_connection *connection, const neap_redis_request *request) {
  return request->sent && request->sent_end <= connection->handed - kept(connection);
}

bool neap_redis_wire_answer(redis_connection *connection, const neap_resp_value *value) {
  neap_redis_request *request = NEAP_CONTAINER_OF(connection->queue.next, neap_redis_request, link);
  if (redis_list_is_empty(&connection->queue) || !may_be_answered(connection, request)) {
    neap_redis_connection_fail(connection, "an answer that nobody has asked for: %.*s",
                               (int)NEAP_MIN(value->text.size, (size_t)60), value->text.ptr);
    return false;
  }
  neap_redis_request_detach(request);
  if (!request->internal && value->type != NEAP_RESP_ERROR) {
    connection->answered = true;
    connection->failures = 0;
  }
  neap_redis_request_answered(request, connection, value);
  return redis_wire_is_open(connection);
}

static bool is_message(const redis_connection *connection, const neap_resp_value *value) {
  static const char *const kinds[] = {"message", "subscribe", "unsubscribe"};
  if (value->type == NEAP_RESP_PUSH) return true;
  neap_resp_cursor elements = value->elements;
  neap_resp_value kind;
  if (!connection->use->subscribes || connection->version3 || value->type != NEAP_RESP_ARRAY ||
      !neap_resp_next(&elements, &kind))
    return false;
  for (size_t i = 0; i < NEAP_COUNT_OF(kinds); i++)
    if (neap_view_is(kind.text, kinds[i])) return true;
  return false;
}

static bool take_value(redis_connection *connection, const neap_resp_value *value) {
  if (!is_message(connection, value)) return neap_redis_wire_answer(connection, value);
  if (connection->use->pushed) connection->use->pushed(connection, value);
  return redis_wire_is_open(connection);
}

/* False: the connection is gone. */
static bool understand(redis_connection *connection) {
  while (connection->from < connection->size) {
    const char *at = connection->buffer + connection->from;
    ssize_t size = neap_resp_scan_more(&connection->scan, at, connection->size - connection->from);
    if (size == 0) return true;
    if (size < 0) {
      neap_redis_connection_fail(connection, "%s", connection->scan.fault);
      return false;
    }
    neap_resp_cursor cursor = {at, at + size};
    neap_resp_value value;
    connection->from += (size_t)size;
    neap_resp_scan_init(&connection->scan, &connection->home->limits);
    if (neap_resp_next(&cursor, &value) && !take_value(connection, &value)) return false;
  }
  connection->from = connection->size = 0;
  if (connection->room > BUFFER_KEPT) {
    free(connection->buffer);
    connection->buffer = NULL;
    connection->room = 0;
  }
  return true;
}

/* Room to read into: what is understood goes first, then the buffer doubles; never because of what was
 * announced. */
static bool make_room(redis_connection *connection) {
  if (connection->from > 0) {
    connection->size -= connection->from;
    memmove(connection->buffer, connection->buffer + connection->from, connection->size);
    connection->from = 0;
  }
  if (connection->room - connection->size >= LEAST_READ) return true;
  size_t room = NEAP_MAX(2 * connection->room, (size_t)BUFFER);
  char *buffer = realloc(connection->buffer, room);
  if (buffer == NULL) return false;
  connection->buffer = buffer;
  connection->room = room;
  return true;
}

static void fail_read(redis_connection *connection) {
  const char *fault = connection->tls ? neap_tls_fault(connection->tls) : "";
  if (fault[0])
    neap_redis_connection_fail(connection, "TLS: %s", fault);
  else
    neap_redis_connection_fail(connection, "the server has closed the connection");
}

static void on_readable(void *user) {
  redis_connection *connection = user;
  int rounds = connection->tls ? TLS_ROUNDS_MAX : ROUNDS_MAX; /* others are to have their turn */
  for (int round = 0; round < rounds; round++) {
    if (!make_room(connection)) {
      neap_redis_connection_fail(connection, "out of memory");
      return;
    }
    size_t room = connection->room - connection->size;
    ssize_t got = read_some(connection, connection->buffer + connection->size, room);
    if (got == NEAP_EBUSY) return;
    if (got <= 0) {
      fail_read(connection);
      return;
    }
    connection->size += (size_t)got;
    connection->home->info.received_bytes += (size_t)got;
    if (!understand(connection) || (connection->tls == NULL && (size_t)got < room)) return;
  }
}

/* --- birth and death */

static void on_failed(void *user) {
  neap_redis_connection_fail(user, "the server has closed the connection");
}

static void on_connected(void *user, int error) {
  redis_connection *connection = user;
  if (error && connection->tls)
    neap_redis_connection_fail(connection, "TLS: %s", neap_tls_fault(connection->tls));
  else if (error)
    neap_redis_connection_fail(connection, "cannot connect");
  else
    neap_redis_connection_connected(connection);
}

void neap_redis_wire_connect(redis_connection *connection, const neap_address *address) {
  static const neap_stream_vt vt = {.name = "redis",
                                    .readable = on_readable,
                                    .sent = on_sent,
                                    .failed = on_failed,
                                    .connected = on_connected};
  neap_redis *redis = connection->home;
  char host[256];
  int code;
  neap_resp_scan_init(&connection->scan, &redis->limits);
  connection->handed = 0;
  neap_redis_address_host(connection->address, host);
  if (redis->tls)
    code = neap_tls_connect(redis->loop, redis->tls, address, redis->tls_name ? redis->tls_name : host, &vt,
                            connection, &connection->tls);
  else
    code = neap_stream_connect(redis->loop, address, &vt, connection, &connection->stream);
  if (code) neap_redis_connection_fail(connection, "cannot connect");
}

void neap_redis_wire_close(redis_connection *connection) {
  neap_stream_close(&connection->stream);
  neap_tls_close(&connection->tls);
  free(connection->buffer);
  connection->buffer = NULL;
  connection->from = connection->size = connection->room = 0;
}
