/* Any bytes as the head of a response. As for requests; and a stored head with its tail is a response again.
 */
#include <stdlib.h>

#include "../unit/http/referee.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static neap_http_field fields[3][NEAP_HTTP_FIELDS_MAX];
static const neap_http_times times = {.request_ms = 1000, .response_ms = 1500, .wall_s = 784111777};

static ssize_t parse_in_pieces(neap_http_response *response, const char *text, size_t size) {
  ssize_t got = 0;
  char *last = NULL;
  neap_http_response_init(response, fields[1], &neap_http_limits_default, NEAP_HTTP_METHOD_GET);
  for (size_t step = 1, end = 1; size > 0 && got == 0; step++) {
    char *copy = malloc(end);
    memcpy(copy, text, end);
    got = neap_http_response_parse(response, copy, end);
    free(last);
    last = copy;
    if (end == size) break;
    end = NEAP_MIN(end + step, size);
  }
  if (got > 0) neap_http_response_move(response, text);
  free(last);
  return got;
}

/* Accepted again, with that framing. */
static void check_again(const char *text, size_t size, neap_http_framing framing) {
  neap_http_response again;
  neap_http_limits limits = neap_http_limits_default;
  limits.head_bytes += NEAP_HTTP_HEAD_EXTRA;
  limits.field_count += 8;
  neap_http_response_init(&again, fields[1], &limits, NEAP_HTTP_METHOD_GET);
  neap_assert(neap_http_response_parse(&again, text, size) == (ssize_t)size);
  neap_assert(again.head.framing == framing);
  neap_assert(again.interim_count == 0);
}

static void check_stored(const neap_http_request *request, const neap_http_response *response, size_t size) {
  neap_http_decision decision;
  neap_http_stored stored;
  size_t capacity = size + 2 * NEAP_HTTP_HEAD_EXTRA;
  char *meta = malloc(capacity), *hit = malloc(capacity);
  neap_http_store_decide(&decision, request, response, &neap_http_rules_default, &times);
  if (decision.store == NEAP_HTTP_STORE_YES) {
    neap_assert(decision.ttl_ms > 0 && decision.age_ms < decision.lifetime_ms);
    ssize_t meta_size = neap_http_stored_write(meta, capacity, response, &decision, &times);
    neap_assert(meta_size > 0);
    neap_assert(neap_http_stored_open((neap_view){meta, (size_t)meta_size}, &stored) == 0);
    memcpy(hit, stored.head.ptr, stored.head.size);
    size_t tail =
        neap_http_stored_tail(hit + stored.head.size, &stored, NEAP_HTTP_SERVE_FULL, request, 5, 9999, true);
    check_again(hit, stored.head.size + tail,
                response->status == 204 ? NEAP_HTTP_FRAMING_NONE : NEAP_HTTP_FRAMING_LENGTH);
  }
  free(meta);
  free(hit);
}

static void check_written_again(const neap_http_request *request, const neap_http_response *response,
                                size_t size) {
  neap_http_reply reply = {.wall_s = times.wall_s, .fwd = NEAP_HTTP_FWD_MISS, .stored = true};
  size_t capacity = size + NEAP_HTTP_HEAD_EXTRA;
  char *out = malloc(capacity);
  neap_http_reply_plan(&reply, request, response, true);
  ssize_t written = neap_http_response_write(out, capacity, request, response, &reply);
  neap_assert(written > 0);
  check_again(out, (size_t)written, reply.framing);
  free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static const char ask[] = "GET / HTTP/1.1\r\nHost: a\r\nFoo: b\r\n\r\n";
  const char *text = (const char *)bytes;
  neap_http_request request;
  neap_http_response at_once, in_pieces;
  if (size == 0) return 0;
  neap_http_request_init(&request, fields[2], &neap_http_limits_default);
  neap_assert(neap_http_request_parse(&request, ask, sizeof ask - 1) > 0);
  neap_http_response_init(&at_once, fields[0], &neap_http_limits_default, NEAP_HTTP_METHOD_GET);
  ssize_t got = neap_http_response_parse(&at_once, text, size);
  neap_assert(parse_in_pieces(&in_pieces, text, size) == got);
  neap_assert(at_once.head.reason == in_pieces.head.reason);
  if (got <= 0) return 0;
  const char *difference = referee_of_response(&at_once, text, (size_t)got);
  if (difference) neap_fatal(__FILE__, __LINE__, difference);
  check_written_again(&request, &at_once, (size_t)got);
  check_stored(&request, &at_once, (size_t)got);
  return 0;
}
