/* A request board filled from texts, for tests. Everything is borrowed. */
#ifndef NEAP_TESTS_REQUEST_BOARD_H
#define NEAP_TESTS_REQUEST_BOARD_H

#include <string.h>

#include "policy/abi.h"

#define BOARD_HEADERS 8

typedef struct board {
  neap_request_board request;
  neap_header_row headers[BOARD_HEADERS];
} board;

static inline neap_slice slice_of(const char *text) {
  return (neap_slice){.ptr = text, .size = (int32_t)strlen(text)};
}

/* `target` is split at its first "?". */
static inline void board_set(board *b, const char *method, const char *host, const char *target) {
  memset(b, 0, sizeof *b);
  neap_request_board *request = &b->request;
  request->method = slice_of(method);
  request->host = slice_of(host);
  request->target = request->path = slice_of(target);
  request->client = slice_of("127.0.0.1");
  request->version_minor = 1;
  request->headers = b->headers;
  const char *question = strchr(target, '?');
  if (question == NULL) return;
  request->path.size = (int32_t)(question - target);
  request->query = slice_of(question + 1);
}

static inline void board_header(board *b, const char *name, const char *value) {
  b->headers[b->request.header_count++] = (neap_header_row){.name = slice_of(name), .value = slice_of(value)};
}

#endif
