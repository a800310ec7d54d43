/* Heads from string literals, at once and byte by byte. */
#ifndef NEAP_TESTS_HTTP_HELPERS_H
#define NEAP_TESTS_HTTP_HELPERS_H

#include "unit.h"

#include "http/http.h"

/* Bytes that may hold NUL. */
typedef struct text {
  const char *ptr;
  size_t size;
} text;
#define TEXT(literal) ((text){(literal), sizeof(literal) - 1})

static neap_http_field request_fields[NEAP_HTTP_FIELDS_MAX];
static neap_http_field response_fields[NEAP_HTTP_FIELDS_MAX];

static inline ssize_t parse_request(neap_http_request *request, text head) {
  neap_http_request_init(request, request_fields, &neap_http_limits_default);
  return neap_http_request_parse(request, head.ptr, head.size);
}

static inline ssize_t parse_response(neap_http_response *response, text head, neap_http_method asked) {
  neap_http_response_init(response, response_fields, &neap_http_limits_default, asked);
  return neap_http_response_parse(response, head.ptr, head.size);
}

/* Feeds one byte more at a time, each time in another buffer, as a connection that grows does. */
static inline ssize_t drip_request(neap_http_request *request, text head) {
  ssize_t got = 0;
  char *last = NULL;
  neap_http_request_init(request, request_fields, &neap_http_limits_default);
  for (size_t size = 1; size <= head.size && got == 0; size++) {
    char *copy = malloc(size);
    memcpy(copy, head.ptr, size);
    got = neap_http_request_parse(request, copy, size);
    free(last);
    last = copy;
  }
  if (got > 0) neap_http_request_move(request, head.ptr);
  free(last);
  return got;
}

static inline ssize_t drip_response(neap_http_response *response, text head, neap_http_method asked) {
  ssize_t got = 0;
  char *last = NULL;
  neap_http_response_init(response, response_fields, &neap_http_limits_default, asked);
  for (size_t size = 1; size <= head.size && got == 0; size++) {
    char *copy = malloc(size);
    memcpy(copy, head.ptr, size);
    got = neap_http_response_parse(response, copy, size);
    free(last);
    last = copy;
  }
  if (got > 0) neap_http_response_move(response, head.ptr);
  free(last);
  return got;
}

#define assert_slice(slice, literal)                                                                         \
  do {                                                                                                       \
    neap_http_slice slice_ = (slice);                                                                        \
    if ((size_t)slice_.size != strlen(literal) || memcmp(slice_.ptr, (literal), strlen(literal)) != 0)       \
      fail_msg("\"%.*s\" is not \"%s\"", (int)slice_.size, slice_.ptr, (literal));                           \
  } while (0)

#endif
