/* Watches: sockets that somebody else opens, uses and closes, such as libcurl's. */
#include "loop/inside.h"

#include <stdlib.h>

struct neap_watch {
  uv_poll_t uv;
  void (*ready)(void *user, int events);
  void *user;
  int wanted;
};

static void on_poll(uv_poll_t *uv, int status, int events) {
  neap_watch *watch = uv->data;
  int ready = 0;
  if (status < 0) { /* libuv polls no more: whoever reads or writes will see why */
    watch->ready(watch->user, watch->wanted);
    return;
  }
  if (events & UV_READABLE) ready |= NEAP_WATCH_READ;
  if (events & UV_WRITABLE) ready |= NEAP_WATCH_WRITE;
  watch->ready(watch->user, ready);
}

int neap_watch_open(neap_loop *loop, int socket, void (*ready)(void *user, int events), void *user,
                    neap_watch **out) {
  neap_watch *watch = calloc(1, sizeof *watch);
  if (watch == NULL) return NEAP_ENOMEM;
  if (uv_poll_init(loop->uv, &watch->uv, socket)) {
    free(watch);
    return NEAP_EIO;
  }
  watch->uv.data = watch;
  watch->ready = ready;
  watch->user = user;
  *out = watch;
  return 0;
}

void neap_watch_want(neap_watch *watch, int events) {
  watch->wanted = events;
  int wanted = (events & NEAP_WATCH_READ ? UV_READABLE : 0) | (events & NEAP_WATCH_WRITE ? UV_WRITABLE : 0);
  if (wanted)
    uv_poll_start(&watch->uv, wanted, on_poll);
  else
    uv_poll_stop(&watch->uv);
}

static void on_closed(uv_handle_t *handle) {
  free(handle->data);
}

void neap_watch_close(neap_watch **watch) {
  if (*watch == NULL) return;
  uv_close((uv_handle_t *)&(*watch)->uv, on_closed);
  *watch = NULL;
}
