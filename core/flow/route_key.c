/* The cache key by a route's own rule. Values cannot hold a line feed, so that lines tell them apart:
 * "=value" for each one that is there, an empty line after the last. It begins with a line feed, as no key of
 * HTTP does. */
#include "flow/acts.h"

#include <stdio.h>

enum { PORT_MAX = 7 }; /* ":65535", and its NUL */

typedef struct writer {
  char *at;
} writer;

static void put(writer *out, const char *bytes, int32_t size) {
  *out->at++ = '=';
  if (size > 0) memcpy(out->at, bytes, (size_t)size);
  out->at += size;
  *out->at++ = '\n';
}

/* Every field of that name: which of them a backend believes is not known here. */
static void put_headers(writer *out, const neap_request_board *board, const char *name) {
  neap_view wanted = neap_view_of(name);
  for (int32_t i = neap_request_header(board, wanted, 0); i >= 0;
       i = neap_request_header(board, wanted, i + 1))
    put(out, board->headers[i].value.ptr, board->headers[i].value.size);
}

/* With the port, where it is not that of HTTP. */
static void put_host(writer *out, const neap_exchange *exchange) {
  put(out, exchange->board.host.ptr, exchange->board.host.size);
  int32_t port = exchange->request.port;
  if (port != 0 && port != 80) out->at += sprintf(out->at - 1, ":%d\n", (int)port) - 1;
}

static void put_query(writer *out, const neap_http_request *request, const neap_key_rule *rule) {
  neap_slice query = {.ptr = request->query.ptr, .size = request->query.size};
  if (!request->has_query) return;
  size_t size = neap_query_filter(rule, query, out->at + 1);
  if (size == 0 && rule->query != NEAP_QUERY_ALL) return; /* nothing that counts: as if it had none */
  *out->at = '=';
  out->at += size + 1;
  *out->at++ = '\n';
}

static void put_part(writer *out, const neap_exchange *exchange, const neap_key_rule *rule,
                     const neap_part *part) {
  const neap_http_request *request = &exchange->request;
  switch (part->kind) {
  case NEAP_PART_HOST: put_host(out, exchange); break;
  case NEAP_PART_PATH: put(out, request->path.ptr, request->path.size); break; /* as rewritten */
  case NEAP_PART_QUERY: put_query(out, request, rule); break;
  case NEAP_PART_HEADER: put_headers(out, &exchange->board, part->text); break;
  default: {
    neap_slice value = neap_part_find(part, &exchange->board);
    if (value.ptr) put(out, value.ptr, value.size);
  }
  }
  *out->at++ = '\n';
}

static size_t part_bound(const neap_exchange *exchange, const neap_part *part) {
  const neap_http_request *request = &exchange->request;
  const neap_request_board *board = &exchange->board;
  size_t bytes = 3;
  switch (part->kind) {
  case NEAP_PART_HOST: return bytes + PORT_MAX + (size_t)board->host.size;
  case NEAP_PART_PATH: return bytes + (size_t)request->path.size;
  case NEAP_PART_QUERY: return bytes + (size_t)request->query.size;
  case NEAP_PART_HEADER: break;
  default: return bytes + (size_t)neap_part_find(part, board).size;
  }
  neap_view name = neap_view_of(part->text);
  for (int32_t i = neap_request_header(board, name, 0); i >= 0; i = neap_request_header(board, name, i + 1))
    bytes += 2 + (size_t)board->headers[i].value.size;
  return bytes;
}

int neap_acts_key(neap_exchange *exchange, const neap_key_rule *rule, neap_view *out) {
  size_t capacity = 1;
  for (size_t i = 0; i < rule->parts.count; i++) capacity += part_bound(exchange, &rule->parts.list[i]);
  char *key = neap_arena_take(&exchange->arena, capacity);
  if (key == NULL) return NEAP_ENOMEM;
  writer to = {.at = key};
  *to.at++ = '\n';
  for (size_t i = 0; i < rule->parts.count; i++) {
    if (rule->parts.list[i].kind == NEAP_PART_HOST && exchange->board.host.size == 0) return NEAP_EINVAL;
    put_part(&to, exchange, rule, &rule->parts.list[i]);
  }
  neap_assert((size_t)(to.at - key) <= capacity);
  neap_arena_trim(&exchange->arena, key, capacity, (size_t)(to.at - key));
  *out = (neap_view){key, (size_t)(to.at - key)};
  return 0;
}
