/* Any bytes as the value of Cache-Control. Ages are clamped, and "private" before or after it forbids
 * storing, whatever it says: also where a quote that is left open swallows it. */
#include <stdio.h>
#include <stdlib.h>

#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const neap_http_times times = {.request_ms = 1000, .response_ms = 1500, .wall_s = 784111777};

/* Decides on a response with these bytes, framed by two texts, as its Cache-Control. */
static bool is_stored(const char *before, const uint8_t *bytes, size_t size, const char *after,
                      neap_http_control *control) {
  static const char ask[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  static neap_http_field fields[2][NEAP_HTTP_FIELDS_MAX];
  neap_http_request request;
  neap_http_response response;
  neap_http_decision decision = {.store = NEAP_HTTP_STORE_STATUS};
  char *head = malloc(size + 256);
  int begin = sprintf(head, "HTTP/1.1 200 OK\r\nCache-Control: %s", before);
  memcpy(head + begin, bytes, size);
  size_t end = (size_t)begin + size + (size_t)sprintf(head + begin + size, "%s\r\n\r\n", after);
  neap_http_request_init(&request, fields[0], &neap_http_limits_default);
  neap_assert(neap_http_request_parse(&request, ask, sizeof ask - 1) > 0);
  neap_http_response_init(&response, fields[1], &neap_http_limits_default, NEAP_HTTP_METHOD_GET);
  if (neap_http_response_parse(&response, head, end) == (ssize_t)end) {
    neap_http_control_read(&response.head, control);
    neap_http_store_decide(&decision, &request, &response, &neap_http_rules_default, &times);
  }
  free(head);
  return decision.store == NEAP_HTTP_STORE_YES;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  neap_http_control control = {0};
  if (size > 1000 || memchr(bytes, '\n', size)) return 0; /* a value, not a head */
  bool stored = is_stored("", bytes, size, "", &control);
  neap_assert(control.max_age <= (int64_t)NEAP_HTTP_DELTA_MAX &&
              control.s_maxage <= (int64_t)NEAP_HTTP_DELTA_MAX);
  neap_assert(!stored || control.max_age > 0 || control.s_maxage > 0);
  neap_assert(!is_stored("private, ", bytes, size, "", &control));
  neap_assert(!is_stored("", bytes, size, ", private", &control));
  return 0;
}
