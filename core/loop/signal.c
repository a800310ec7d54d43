/* Signals, told on a loop. */
#include "loop/inside.h"

#include <poll.h>
#include <stdlib.h>

struct neap_signal {
  uv_signal_t uv;
  void (*caught)(void *user, int number);
  void *user;
};

static void on_signal(uv_signal_t *uv, int number) {
  neap_signal *signal = uv->data;
  signal->caught(signal->user, number);
}

static void on_closed(uv_handle_t *handle) {
  free(handle->data);
}

/* TSan makes a thread's record of signals at its first call that may block, and loses one that comes while it
 * does. So that call is made before anybody can know that signals are caught. */
static void make_record(void) {
#ifdef __SANITIZE_THREAD__
  poll(NULL, 0, 0);
#endif
}

int neap_signal_open(neap_loop *loop, int number, void (*caught)(void *user, int number), void *user,
                     neap_signal **out) {
  neap_signal *signal = calloc(1, sizeof *signal);
  if (signal == NULL) return NEAP_ENOMEM;
  *signal = (neap_signal){.caught = caught, .user = user};
  make_record();
  uv_signal_init(loop->uv, &signal->uv);
  signal->uv.data = signal;
  if (uv_signal_start(&signal->uv, on_signal, number)) {
    uv_close((uv_handle_t *)&signal->uv, on_closed);
    return NEAP_EIO;
  }
  *out = signal;
  return 0;
}

void neap_signal_close(neap_signal **signal) {
  if (*signal == NULL) return;
  uv_close((uv_handle_t *)&(*signal)->uv, on_closed);
  *signal = NULL;
}
