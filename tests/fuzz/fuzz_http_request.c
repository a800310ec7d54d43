/* Any bytes as the head of a request. The verdict does not depend on the cuts; what is accepted, llhttp
 * understands alike; what is written for the origin is accepted again, with the same meaning. */
#include <stdlib.h>

#include "../unit/http/referee.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static neap_http_field fields[2][NEAP_HTTP_FIELDS_MAX];

/* In pieces of 1, 2, 3, ... bytes, each time in other memory. */
static ssize_t parse_in_pieces(neap_http_request *request, const char *text, size_t size) {
  ssize_t got = 0;
  char *last = NULL;
  neap_http_request_init(request, fields[1], &neap_http_limits_default);
  for (size_t step = 1, end = 1; size > 0 && got == 0; step++) {
    char *copy = malloc(end);
    memcpy(copy, text, end);
    got = neap_http_request_parse(request, copy, end);
    free(last);
    last = copy;
    if (end == size) break;
    end = NEAP_MIN(end + step, size);
  }
  if (got > 0) neap_http_request_move(request, text);
  free(last);
  return got;
}

static void check_written_again(const neap_http_request *request, size_t size) {
  static const neap_http_forward forward = {
      .client = {"127.0.0.1", 9}, .scheme = {"http", 4}, .fallback_host = {"b:1", 3}};
  size_t capacity = size + NEAP_HTTP_HEAD_EXTRA;
  char *out = malloc(capacity);
  neap_http_request again;
  neap_http_limits limits = neap_http_limits_default;
  limits.head_bytes += NEAP_HTTP_HEAD_EXTRA;
  limits.field_count += 8;
  ssize_t written = neap_http_request_write(out, capacity, request, &forward);
  neap_assert(written > 0);
  neap_http_request_init(&again, fields[1], &limits);
  neap_assert(neap_http_request_parse(&again, out, (size_t)written) == written);
  neap_assert(again.head.framing == request->head.framing);
  neap_assert(again.head.content_length == request->head.content_length);
  neap_assert(referee_same(again.method, request->method));
  neap_assert(referee_same(again.path, request->path) && referee_same(again.query, request->query));
  free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  const char *text = (const char *)bytes;
  neap_http_request at_once, in_pieces;
  char key[NEAP_HTTP_HEAD_EXTRA + 32768];
  if (size == 0) return 0;
  neap_http_request_init(&at_once, fields[0], &neap_http_limits_default);
  ssize_t got = neap_http_request_parse(&at_once, text, size);
  neap_assert(parse_in_pieces(&in_pieces, text, size) == got);
  neap_assert(at_once.head.reason == in_pieces.head.reason);
  if (got <= 0) return 0;
  neap_assert(referee_same(at_once.target, in_pieces.target));
  const char *difference = referee_of_request(&at_once, text, (size_t)got);
  if (difference) neap_fatal(__FILE__, __LINE__, difference);
  ssize_t key_size = neap_http_key(key, sizeof key, &at_once, (neap_view){"http", 4});
  neap_assert(key_size > 0 || at_once.host.size == 0);
  check_written_again(&at_once, (size_t)got);
  return 0;
}
