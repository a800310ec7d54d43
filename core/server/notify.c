/* What systemd is told (Type=notify), by hand: datagrams of "NAME=value" lines to the socket that it names.
 */
#include "server/gateway.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void send_to(const char *path, const char *text) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t size = strlen(path);
  if (size < 2 || size >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@')) return;
  memcpy(address.sun_path, path, size);
  if (path[0] == '@') address.sun_path[0] = '\0';
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
  sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address, length);
  close(fd);
}

void neap_notify(const neap_gateway *gateway, const char *format, ...) {
  const char *path = NULL;
  for (const char *const *one = gateway->options->environment; one && *one; one++)
    if (strncmp(*one, "NOTIFY_SOCKET=", 14) == 0) path = *one + 14;
  if (path == NULL) return;
  char text[512];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  send_to(path, text);
}

/* --- the watchdog: as long as the control thread turns, all is well */

static void on_watchdog(neap_timer *timer) {
  neap_gateway *gateway = NEAP_CONTAINER_OF(timer, neap_gateway, watchdog);
  neap_notify(gateway, "WATCHDOG=1");
  neap_timer_set(gateway->loop, timer, gateway->watchdog_ms);
}

void neap_notify_start(neap_gateway *gateway) {
  neap_timer_init(&gateway->watchdog, on_watchdog);
  for (const char *const *one = gateway->options->environment; one && *one; one++)
    if (strncmp(*one, "WATCHDOG_USEC=", 14) == 0)
      gateway->watchdog_ms = strtoull(*one + 14, NULL, 10) / 2000; /* twice as often as has to be */
  if (gateway->watchdog_ms) on_watchdog(&gateway->watchdog);
  neap_notify_state(gateway, "READY=1\n");
}

void neap_notify_state(const neap_gateway *gateway, const char *what) {
  neap_notify(gateway, "%sSTATUS=generation %llu serves with %u workers", what,
              (unsigned long long)gateway->last_generation, gateway->worker_count);
}
