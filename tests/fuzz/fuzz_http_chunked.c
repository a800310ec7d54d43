/* Any bytes as a chunked body. Payload and verdict do not depend on the cuts; what was decoded comes out the
 * same when it is encoded and decoded once more. */
#include <stdlib.h>

#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

typedef struct outcome {
  char *payload;
  size_t size, taken;
  neap_http_body body;
} outcome;

static outcome decode(const char *text, size_t size, size_t cut) {
  neap_http_head head = {.limits = &neap_http_limits_default, .framing = NEAP_HTTP_FRAMING_CHUNKED};
  outcome out = {.payload = malloc(size + 1)};
  neap_http_body_init(&out.body, &head);
  while (out.taken < size && !out.body.done) {
    neap_view piece;
    ssize_t n = neap_http_body_feed(&out.body, text + out.taken, NEAP_MIN(cut, size - out.taken), &piece);
    if (n < 0) break;
    neap_assert(n > 0 && out.size + piece.size <= size);
    memcpy(out.payload + out.size, piece.ptr, piece.size);
    out.size += piece.size;
    out.taken += (size_t)n;
  }
  neap_assert(out.body.total == out.size);
  return out;
}

static void check_encoded_again(const outcome *first) {
  size_t size = 0;
  char *text = malloc(first->size + NEAP_HTTP_CHUNK_HEAD_MAX + 16);
  if (first->size > 0) {
    size = neap_http_chunk_head(text, first->size);
    memcpy(text + size, first->payload, first->size);
    memcpy(text + size + first->size, NEAP_HTTP_CHUNK_END, 2);
    size += first->size + 2;
  }
  memcpy(text + size, NEAP_HTTP_CHUNK_LAST, 5);
  outcome again = decode(text, size + 5, size + 5);
  neap_assert(again.body.done && again.taken == size + 5 && again.size == first->size);
  neap_assert(memcmp(again.payload, first->payload, first->size) == 0);
  free(again.payload);
  free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  outcome at_once = decode((const char *)bytes, size, size);
  outcome dripped = decode((const char *)bytes, size, 1);
  neap_assert(at_once.body.reason == dripped.body.reason && at_once.body.done == dripped.body.done);
  neap_assert(at_once.size == dripped.size && memcmp(at_once.payload, dripped.payload, at_once.size) == 0);
  if (at_once.body.done) {
    neap_assert(at_once.taken == dripped.taken);
    check_encoded_again(&at_once);
  }
  free(at_once.payload);
  free(dripped.payload);
  return 0;
}
