/* Streams: a non-blocking socket and libuv's poll handle.
 *
 * What is watched is changed as late as can be: reading that is no longer wanted stays watched until bytes
 * come in, and writing is watched only while a send waits. A request and its answer need no epoll_ctl at all.
 */
#include "loop/inside.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/base.h"

enum { FREE_STREAMS_MAX = 1024, LINGER_BYTES_MAX = 1 << 20 };

/* What a send could not hand over at once. */
typedef struct kept {
  int first, count;
  struct iovec pieces[NEAP_STREAM_PIECES];
} kept;

struct neap_farewell {
  neap_farewell *prev, *next;
  neap_timer limit;
  neap_stream *stream;
  size_t bytes_read;
};

struct neap_stream {
  union {
    uv_poll_t poll;
    neap_stream *next_free;
  };
  neap_loop *loop;
  const neap_stream_vt *vt;
  void *user;
  kept *kept;
  int socket;
  int watched; /* UV_READABLE | UV_WRITABLE, as libuv knows it */
  bool reading, connecting;
};

static void on_poll(uv_poll_t *poll, int status, int events);

static bool is_closing(const neap_stream *stream) {
  return uv_is_closing((const uv_handle_t *)&stream->poll);
}

static void watch(neap_stream *stream) {
  int wanted = (stream->reading ? UV_READABLE : 0) | (stream->kept || stream->connecting ? UV_WRITABLE : 0);
  if (wanted == stream->watched) return;
  stream->watched = wanted;
  if (wanted)
    uv_poll_start(&stream->poll, wanted, on_poll);
  else
    uv_poll_stop(&stream->poll);
}

static void tell_failed(neap_stream *stream) {
  free(stream->kept);
  stream->kept = NULL;
  if (stream->connecting) {
    stream->connecting = false;
    stream->vt->connected(stream->user, NEAP_EIO);
  } else {
    stream->vt->failed(stream->user);
  }
}

static void finish_connect(neap_stream *stream) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(stream->socket, SOL_SOCKET, SO_ERROR, &error, &size) || error) {
    tell_failed(stream);
    return;
  }
  stream->connecting = false;
  stream->reading = true;
  watch(stream);
  stream->vt->connected(stream->user, 0);
}

/* --- sending */

static ssize_t send_pieces(neap_stream *stream, const struct iovec *pieces, int count) {
  struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = (size_t)count};
  ssize_t sent;
  do
    sent = count == 1 ? send(stream->socket, pieces->iov_base, pieces->iov_len, MSG_NOSIGNAL)
                      : sendmsg(stream->socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent >= 0) return sent;
  return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : NEAP_EIO;
}

/* Moves past `sent` bytes; true when nothing is left. */
static bool advance(kept *rest, size_t sent) {
  while (rest->first < rest->count && sent >= rest->pieces[rest->first].iov_len)
    sent -= rest->pieces[rest->first++].iov_len;
  if (rest->first == rest->count) return true;
  struct iovec *piece = &rest->pieces[rest->first];
  piece->iov_base = (char *)piece->iov_base + sent;
  piece->iov_len -= sent;
  return false;
}

static void send_kept(neap_stream *stream) {
  kept *rest = stream->kept;
  ssize_t sent = send_pieces(stream, rest->pieces + rest->first, rest->count - rest->first);
  if (sent < 0) {
    tell_failed(stream);
    return;
  }
  if (!advance(rest, (size_t)sent)) return;
  free(rest);
  stream->kept = NULL;
  watch(stream);
  stream->vt->sent(stream->user);
}

int neap_stream_send(neap_stream *stream, const struct iovec *pieces, int count) {
  neap_assert(stream->kept == NULL && count > 0 && count <= NEAP_STREAM_PIECES);
  size_t size = 0;
  for (int i = 0; i < count; i++) size += pieces[i].iov_len;
  ssize_t sent = send_pieces(stream, pieces, count);
  if (sent < 0) return NEAP_EIO;
  if ((size_t)sent == size) return 0;
  kept *rest = malloc(offsetof(kept, pieces) + (size_t)count * sizeof *pieces); /* a slow reader, not a hit */
  if (rest == NULL) return NEAP_EIO;
  rest->first = 0;
  rest->count = count;
  memcpy(rest->pieces, pieces, (size_t)count * sizeof *pieces);
  advance(rest, (size_t)sent);
  stream->kept = rest;
  watch(stream);
  return NEAP_EBUSY;
}

bool neap_stream_sending(const neap_stream *stream) {
  return stream->kept != NULL;
}

size_t neap_stream_kept(const neap_stream *stream) {
  const kept *rest = stream->kept;
  size_t bytes = 0;
  for (int i = rest ? rest->first : 0; rest && i < rest->count; i++) bytes += rest->pieces[i].iov_len;
  return bytes;
}

size_t neap_stream_unsent(const neap_stream *stream) {
  int queued = 0;
  ioctl(stream->socket, SIOCOUTQ, &queued);
  return (size_t)queued + neap_stream_kept(stream);
}

/* --- reading */

static void on_readable(neap_stream *stream) {
  if (stream->reading)
    stream->vt->readable(stream->user);
  else
    watch(stream); /* unwanted since a while: stop watching now */
}

ssize_t neap_stream_read(neap_stream *stream, void *buffer, size_t capacity) {
  ssize_t got;
  do got = recv(stream->socket, buffer, capacity, 0);
  while (got < 0 && errno == EINTR);
  if (got >= 0) return got;
  return errno == EAGAIN || errno == EWOULDBLOCK ? NEAP_EBUSY : NEAP_EIO;
}

void neap_stream_reading(neap_stream *stream, bool wanted) {
  stream->reading = wanted;
  if (wanted && !(stream->watched & UV_READABLE)) watch(stream);
}

/* An error is pending and libuv has stopped polling. A reader still gets what arrived before the error, then
 * the error itself. */
static void on_error(neap_stream *stream) {
  stream->watched = 0;
  if (stream->connecting || stream->kept || !stream->reading) {
    tell_failed(stream);
    return;
  }
  stream->vt->readable(stream->user);
  if (!is_closing(stream)) watch(stream);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  neap_stream *stream = NEAP_CONTAINER_OF(poll, neap_stream, poll);
  if (status < 0) {
    on_error(stream);
    return;
  }
  if (events & UV_WRITABLE) {
    if (stream->connecting) {
      finish_connect(stream);
      return;
    }
    if (stream->kept) send_kept(stream);
    if (is_closing(stream)) return;
  }
  if (events & UV_READABLE) on_readable(stream);
}

/* --- birth and death */

static neap_stream *take_memory(neap_loop *loop) {
  neap_stream *stream = loop->free_streams;
  if (stream == NULL) return malloc(sizeof *stream);
  loop->free_streams = stream->next_free;
  loop->free_stream_count--;
  return stream;
}

static void give_memory(neap_loop *loop, neap_stream *stream) {
  if (loop->free_stream_count >= FREE_STREAMS_MAX) {
    free(stream);
    return;
  }
  stream->next_free = loop->free_streams;
  loop->free_streams = stream;
  loop->free_stream_count++;
}

void neap_streams_free(neap_loop *loop) {
  while (loop->free_streams) {
    neap_stream *stream = loop->free_streams;
    loop->free_streams = stream->next_free;
    free(stream);
  }
}

int neap_stream_wrap(neap_loop *loop, int socket, neap_stream **out) {
  neap_stream *stream = take_memory(loop);
  if (stream == NULL || uv_poll_init(loop->uv, &stream->poll, socket)) {
    if (stream) give_memory(loop, stream);
    close(socket);
    return NEAP_ENOMEM;
  }
  stream->loop = loop;
  stream->vt = NULL;
  stream->user = NULL;
  stream->kept = NULL;
  stream->socket = socket;
  stream->watched = 0;
  stream->reading = stream->connecting = false;
  *out = stream;
  return 0;
}

int neap_stream_connect(neap_loop *loop, const neap_address *address, const neap_stream_vt *vt, void *user,
                        neap_stream **out) {
  int one = 1, fd = socket(address->bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return NEAP_EIO;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(fd, (const struct sockaddr *)&address->bytes, address->size) && errno != EINPROGRESS) {
    close(fd);
    return NEAP_EIO;
  }
  neap_stream *stream;
  int code = neap_stream_wrap(loop, fd, &stream);
  if (code) return code;
  stream->vt = vt;
  stream->user = user;
  stream->connecting = true;
  watch(stream);
  *out = stream;
  return 0;
}

void neap_stream_own(neap_stream *stream, const neap_stream_vt *vt, void *user) {
  stream->vt = vt;
  stream->user = user;
  if (!stream->connecting) neap_stream_reading(stream, true);
}

static void on_closed(uv_handle_t *handle) {
  neap_stream *stream = NEAP_CONTAINER_OF(handle, neap_stream, poll);
  give_memory(stream->loop, stream);
}

void neap_stream_close(neap_stream **stream_ptr) {
  neap_stream *stream = *stream_ptr;
  if (stream == NULL) return;
  *stream_ptr = NULL;
  free(stream->kept);
  stream->kept = NULL;
  uv_close((uv_handle_t *)&stream->poll, on_closed);
  close(stream->socket); /* allowed as soon as the handle is closing */
}

void neap_stream_reset(neap_stream **stream) {
  if (*stream == NULL) return;
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt((*stream)->socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  neap_stream_close(stream);
}

void neap_stream_peer(const neap_stream *stream, neap_address *out) {
  memset(out, 0, sizeof *out);
  out->size = sizeof out->bytes;
  if (getpeername(stream->socket, (struct sockaddr *)&out->bytes, &out->size))
    out->bytes.ss_family = AF_UNSPEC;
}

/* --- lingering */

static void linger_end(neap_farewell *end) {
  neap_loop *loop = end->stream->loop;
  if (end->prev)
    end->prev->next = end->next;
  else
    loop->farewells = end->next;
  if (end->next) end->next->prev = end->prev;
  neap_timer_clear(&end->limit);
  neap_stream_close(&end->stream);
  free(end);
}

static void linger_readable(void *user) {
  neap_farewell *end = user;
  neap_loop *loop = end->stream->loop;
  ssize_t got = neap_stream_read(end->stream, neap_loop_scratch(loop), NEAP_LOOP_SCRATCH);
  if (got == NEAP_EBUSY) return;
  if (got > 0) end->bytes_read += (size_t)got;
  if (got <= 0 || end->bytes_read > LINGER_BYTES_MAX) linger_end(end);
}

static void linger_failed(void *user) {
  linger_end(user);
}

static void linger_timeout(neap_timer *timer) {
  linger_end(NEAP_CONTAINER_OF(timer, neap_farewell, limit));
}

void neap_stream_linger(neap_stream **stream_ptr, uint64_t limit_ms) {
  static const neap_stream_vt vt = {.name = "linger", .readable = linger_readable, .failed = linger_failed};
  neap_stream *stream = *stream_ptr;
  if (stream == NULL) return;
  neap_farewell *end = malloc(sizeof *end);
  if (end == NULL || shutdown(stream->socket, SHUT_WR)) {
    free(end);
    neap_stream_close(stream_ptr);
    return;
  }
  *stream_ptr = NULL;
  end->stream = stream;
  end->bytes_read = 0;
  end->prev = NULL;
  end->next = stream->loop->farewells;
  if (end->next) end->next->prev = end;
  stream->loop->farewells = end;
  free(stream->kept);
  stream->kept = NULL;
  neap_timer_init(&end->limit, linger_timeout);
  neap_timer_set(stream->loop, &end->limit, limit_ms);
  neap_stream_own(stream, &vt, end);
}

void neap_streams_stop_lingering(neap_loop *loop) {
  while (loop->farewells) linger_end(loop->farewells);
}
