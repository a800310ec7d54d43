/* Listening sockets: one per worker and address, shared by SO_REUSEPORT. */
#include "loop/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

enum { BACKLOG = 4096, ACCEPTS_PER_TURN = 64, PAUSE_MS = 100 };

struct neap_listener {
  uv_poll_t poll;
  neap_loop *loop;
  neap_timer pause; /* while the process has no descriptor left */
  int socket;
  void (*accepted)(void *user, neap_stream *stream);
  void *user;
};

int neap_listen_socket(const neap_address *address, bool share, int *out, neap_err *err) {
  char text[NEAP_ADDRESS_TEXT];
  neap_address_format(address, text);
  int one = 1, fd = socket(address->bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return neap_fail(err, NEAP_EIO, "cannot listen on %s: %s", text, strerror(errno));
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* inherited by what it accepts */
  if (share) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  if (bind(fd, (const struct sockaddr *)&address->bytes, address->size)) goto fail;
  /* Bound alone, so nobody else listens; from now on our own may. */
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  if (!share && listen(fd, BACKLOG)) goto fail;
  *out = fd;
  return 0;

fail:
  neap_fail(err, NEAP_EIO, "cannot listen on %s: %s", text, strerror(errno));
  close(fd);
  return NEAP_EIO;
}

int neap_socket_listen(int socket) {
  return listen(socket, BACKLOG) ? NEAP_EIO : 0;
}

int neap_socket_address(int socket, neap_address *out) {
  memset(out, 0, sizeof *out);
  out->size = sizeof out->bytes;
  return getsockname(socket, (struct sockaddr *)&out->bytes, &out->size) ? NEAP_EIO : 0;
}

int neap_socket_copy(int socket, int *out) {
  int copy = fcntl(socket, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return NEAP_EIO;
  *out = copy;
  return 0;
}

void neap_socket_close(int socket) {
  close(socket);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void on_pause_over(neap_timer *timer) {
  neap_listener *listener = NEAP_CONTAINER_OF(timer, neap_listener, pause);
  uv_poll_start(&listener->poll, UV_READABLE, on_poll);
}

/* Accepts one connection; false when there is none, or no room for it. */
static bool accept_one(neap_listener *listener) {
  int fd = accept4(listener->socket, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    if (errno == ECONNABORTED || errno == EINTR) return true;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
    /* Out of descriptors or memory: the kernel would tell us again at once and forever. */
    uv_poll_stop(&listener->poll);
    neap_timer_set(listener->loop, &listener->pause, PAUSE_MS);
    return false;
  }
  neap_stream *stream;
  if (neap_stream_wrap(listener->loop, fd, &stream) == 0) listener->accepted(listener->user, stream);
  return true;
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  neap_listener *listener = NEAP_CONTAINER_OF(poll, neap_listener, poll);
  (void)status, (void)events;
  for (int i = 0; i < ACCEPTS_PER_TURN && accept_one(listener); i++) {
  }
}

int neap_listener_open(neap_loop *loop, int socket, void (*accepted)(void *user, neap_stream *stream),
                       void *user, neap_listener **out) {
  neap_listener *listener = calloc(1, sizeof *listener);
  if (listener == NULL) return NEAP_ENOMEM;
  *listener = (neap_listener){.loop = loop, .socket = socket, .accepted = accepted, .user = user};
  neap_timer_init(&listener->pause, on_pause_over);
  if (uv_poll_init(loop->uv, &listener->poll, socket)) {
    free(listener);
    return NEAP_EIO;
  }
  uv_poll_start(&listener->poll, UV_READABLE, on_poll);
  *out = listener;
  return 0;
}

static void on_closed(uv_handle_t *handle) {
  free(NEAP_CONTAINER_OF(handle, neap_listener, poll));
}

void neap_listener_close(neap_listener **listener_ptr) {
  neap_listener *listener = *listener_ptr;
  if (listener == NULL) return;
  *listener_ptr = NULL;
  for (int i = 0; i < BACKLOG && accept_one(listener); i++) {
  }
  neap_timer_clear(&listener->pause);
  uv_close((uv_handle_t *)&listener->poll, on_closed);
  close(listener->socket);
}
