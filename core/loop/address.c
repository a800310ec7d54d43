/* Addresses as operators write them. */
#include "loop/loop.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

/* Splits "host:port", "[host]:port" or ":port". */
static int split(const char *text, char host[NEAP_HOST_TEXT], const char **port, neap_err *err) {
  const char *colon = strrchr(text, ':');
  if (colon == NULL || colon[1] == '\0')
    return neap_fail(err, NEAP_EINVAL, "address \"%s\" has no port: write it as host:port", text);
  const char *from = text, *to = colon;
  if (text[0] == '[') {
    if (to == text || to[-1] != ']') return neap_fail(err, NEAP_EINVAL, "address \"%s\" has no \"]\"", text);
    from++, to--;
  } else if (memchr(text, ':', (size_t)(colon - text)) != NULL) {
    return neap_fail(err, NEAP_EINVAL, "address \"%s\": write IPv6 as [address]:port", text);
  }
  size_t size = (size_t)(to - from);
  if (size >= NEAP_HOST_TEXT) return neap_fail(err, NEAP_EINVAL, "address \"%.60s...\" is too long", text);
  memcpy(host, from, size);
  host[size] = '\0';
  *port = colon + 1;
  return 0;
}

static int check_port(const char *text, const char *port, neap_err *err) {
  char *end;
  unsigned long number = strtoul(port, &end, 10);
  if (port[0] < '0' || port[0] > '9' || *end != '\0' || number > 65535)
    return neap_fail(err, NEAP_EINVAL, "address \"%s\": port must be 0 to 65535", text);
  return 0;
}

/* `numeric`: names are not looked up, but NEAP_ENOTFOUND. */
static int find(const char *text, bool numeric, const char *host, const char *port, neap_address *out,
                neap_err *err) {
  bool any = host[0] == '\0' || strcmp(host, "*") == 0;
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                           .ai_flags = AI_NUMERICSERV | (any       ? AI_PASSIVE
                                                         : numeric ? AI_NUMERICHOST
                                                                   : 0)};
  if (any) hints.ai_family = AF_INET;
  struct addrinfo *found;
  int status = getaddrinfo(any ? NULL : host, port, &hints, &found);
  if (status && numeric && !any) return NEAP_ENOTFOUND;
  if (status) return neap_fail(err, NEAP_EINVAL, "address \"%s\": %s", text, gai_strerror(status));
  memset(out, 0, sizeof *out);
  memcpy(&out->bytes, found->ai_addr, found->ai_addrlen);
  out->size = found->ai_addrlen;
  freeaddrinfo(found);
  return 0;
}

int neap_address_parse(const char *text, neap_address *out, neap_err *err) {
  char host[NEAP_HOST_TEXT];
  const char *port = NULL;
  int code = split(text, host, &port, err);
  if (code == 0) code = check_port(text, port, err);
  return code ? code : find(text, false, host, port, out, err);
}

int neap_address_read(const char *text, neap_address *out, char host[NEAP_HOST_TEXT], uint16_t *port,
                      neap_err *err) {
  const char *digits = NULL;
  int code = split(text, host, &digits, err);
  if (code == 0) code = check_port(text, digits, err);
  if (code) return code;
  *port = (uint16_t)strtoul(digits, NULL, 10);
  return find(text, true, host, digits, out, err);
}

static bool is_v6(const neap_address *address) {
  return address->bytes.ss_family == AF_INET6;
}

/* A client of IPv4 that came to a listener of both is the same client: it is written as IPv4. */
size_t neap_address_format_host(const neap_address *address, char out[NEAP_ADDRESS_TEXT]) {
  const struct in6_addr *six = &((const struct sockaddr_in6 *)&address->bytes)->sin6_addr;
  bool mapped = is_v6(address) && IN6_IS_ADDR_V4MAPPED(six);
  const void *bytes = mapped ? (const void *)&six->s6_addr[12]
                      : is_v6(address)
                          ? (const void *)six
                          : (const void *)&((const struct sockaddr_in *)&address->bytes)->sin_addr;
  if (inet_ntop(mapped ? AF_INET : address->bytes.ss_family, bytes, out, NEAP_ADDRESS_TEXT) == NULL)
    strcpy(out, "-");
  return strlen(out);
}

size_t neap_address_format(const neap_address *address, char out[NEAP_ADDRESS_TEXT]) {
  char host[NEAP_ADDRESS_TEXT];
  neap_address_format_host(address, host);
  const char *pattern = strchr(host, ':') ? "[%.45s]:%u" : "%.45s:%u";
  return (size_t)snprintf(out, NEAP_ADDRESS_TEXT, pattern, host, neap_address_port(address));
}

uint16_t neap_address_port(const neap_address *address) {
  return ntohs(is_v6(address) ? ((const struct sockaddr_in6 *)&address->bytes)->sin6_port
                              : ((const struct sockaddr_in *)&address->bytes)->sin_port);
}

void neap_address_set_port(neap_address *address, uint16_t port) {
  if (is_v6(address))
    ((struct sockaddr_in6 *)&address->bytes)->sin6_port = htons(port);
  else
    ((struct sockaddr_in *)&address->bytes)->sin_port = htons(port);
}
