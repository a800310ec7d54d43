/* Addresses of Redis as operators write them: "host:port", "[v6]:port", "unix:/path". */
#include "remote/redis_impl.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/un.h>

enum { HOST_MAX = 253 };

static const char unix_prefix[] = "unix:";

static const char *path_of(const char *text) {
  size_t size = sizeof unix_prefix - 1;
  return strncmp(text, unix_prefix, size) == 0 ? text + size : NULL;
}

static bool is_port(const char *text) {
  int64_t port;
  return neap_resp_integer(neap_view_of(text), &port) && port >= 1 && port <= 65535;
}

static int check_path(const char *text, const char *path, neap_err *err) {
  if (path[0] != '/') return neap_fail(err, NEAP_EINVAL, "address \"%s\": a path begins with \"/\"", text);
  if (strlen(path) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
    return neap_fail(err, NEAP_EINVAL, "address \"%.60s...\": the path is too long", text);
  return 0;
}

int neap_redis_address_check(const char *text, neap_err *err) {
  const char *path = path_of(text), *colon = strrchr(text, ':');
  if (path) return check_path(text, path, err);
  if (colon == NULL || colon == text || !is_port(colon + 1))
    return neap_fail(err, NEAP_EINVAL, "address \"%.100s\": write it as host:port or unix:/path", text);
  size_t size = (size_t)(colon - text);
  if (size > HOST_MAX) return neap_fail(err, NEAP_EINVAL, "address \"%.60s...\" is too long", text);
  bool bracketed = text[0] == '[';
  if (bracketed ? colon[-1] != ']' || size < 3 : memchr(text, ':', size) != NULL)
    return neap_fail(err, NEAP_EINVAL, "address \"%.100s\": write IPv6 as [address]:port", text);
  return 0;
}

void neap_redis_address_host(const char *text, char host[256]) {
  const char *colon = strrchr(text, ':');
  bool bracketed = text[0] == '[';
  host[0] = '\0';
  if (path_of(text) || colon == NULL || colon - text > HOST_MAX) return;
  size_t size = (size_t)(colon - text) - (bracketed ? 2 : 0);
  memcpy(host, text + bracketed, size);
  host[size] = '\0';
}

static int read_path(const char *path, neap_address *out) {
  struct sockaddr_un *address = (struct sockaddr_un *)(void *)&out->bytes;
  memset(out, 0, sizeof *out);
  address->sun_family = AF_UNIX;
  strcpy(address->sun_path, path); /* checked to fit */
  out->size = sizeof *address;
  return 0;
}

int neap_redis_address_read(const char *text, neap_address *out) {
  char host[256];
  unsigned char numbers[16];
  const char *path = path_of(text);
  if (path) return read_path(path, out);
  neap_redis_address_host(text, host);
  if (inet_pton(AF_INET, host, numbers) != 1 && inet_pton(AF_INET6, host, numbers) != 1) return NEAP_EBUSY;
  return neap_address_parse(text, out, NULL);
}
