/* What all writers of heads share: a bounded buffer, the lines that are ours, and which fields of a received
 * head travel on. Not part of the facade. */
#ifndef NEAP_HTTP_OUT_H
#define NEAP_HTTP_OUT_H

#include "http/head.h"

/* --- a bounded buffer -------------------------------------------------------------------------------- */

typedef struct neap_http_out {
  char *begin, *at, *end;
  bool full; /* something did not fit; nothing is written from then on */
} neap_http_out;

static inline neap_http_out neap_http_out_of(char *buffer, size_t capacity) {
  return (neap_http_out){buffer, buffer, buffer + capacity, false};
}

static inline void neap_http_put(neap_http_out *out, const char *bytes, size_t size) {
  if (out->full || size > (size_t)(out->end - out->at)) {
    out->full = true;
    return;
  }
  if (size > 0) memcpy(out->at, bytes, size);
  out->at += size;
}

/* A string literal. */
#define NEAP_HTTP_PUT(out, literal) neap_http_put(out, literal, sizeof(literal) - 1)

static inline void neap_http_put_slice(neap_http_out *out, neap_http_slice slice) {
  neap_http_put(out, slice.ptr, (size_t)slice.size);
}

static inline void neap_http_put_view(neap_http_out *out, neap_view view) {
  neap_http_put(out, view.ptr, view.size);
}

static inline void neap_http_put_number(neap_http_out *out, uint64_t number) {
  char digits[20];
  size_t i = sizeof digits;
  do digits[--i] = (char)('0' + number % 10);
  while (number /= 10);
  neap_http_put(out, digits + i, sizeof digits - i);
}

static inline void neap_http_put_field(neap_http_out *out, const neap_http_field *field) {
  neap_http_put_slice(out, field->name);
  NEAP_HTTP_PUT(out, ": ");
  neap_http_put_slice(out, field->value);
  NEAP_HTTP_PUT(out, "\r\n");
}

static inline ssize_t neap_http_out_size(const neap_http_out *out) {
  return out->full ? NEAP_ESMALL : (ssize_t)(out->at - out->begin);
}

/* --- lines of our own -------------------------------------------------------------------------------- */

void neap_http_put_status(neap_http_out *out, int32_t status, neap_http_slice phrase);
void neap_http_put_date(neap_http_out *out, int64_t wall_s);
void neap_http_put_length(neap_http_out *out, uint64_t length);
/* `client_minor`: what the client speaks. Nothing where it knows without being told. */
void neap_http_put_connection(neap_http_out *out, int32_t client_minor, bool keep_alive);

/* --- which fields travel on -------------------------------------------------------------------------- */

#define NEAP_HTTP_BIT(NAME) ((uint64_t)1 << NEAP_HTTP_ID_##NAME)
_Static_assert(NEAP_HTTP_ID_COUNT <= 64, "a set of field names is one word");

/* Fields that concern one connection only, and those that are written anew or mean nothing without it. Load
 * reports of a backend are for us alone. */
#define NEAP_HTTP_HOP_BY_HOP                                                                                 \
  (NEAP_HTTP_BIT(LOOKALIKE) | NEAP_HTTP_BIT(CONNECTION) | NEAP_HTTP_BIT(KEEP_ALIVE) |                        \
   NEAP_HTTP_BIT(PROXY_CONNECTION) | NEAP_HTTP_BIT(TE) | NEAP_HTTP_BIT(TRAILER) |                            \
   NEAP_HTTP_BIT(TRANSFER_ENCODING) | NEAP_HTTP_BIT(UPGRADE) | NEAP_HTTP_BIT(HTTP2_SETTINGS) |               \
   NEAP_HTTP_BIT(CONTENT_LENGTH) | NEAP_HTTP_BIT(ENDPOINT_LOAD_METRICS) |                                    \
   NEAP_HTTP_BIT(ENDPOINT_LOAD_METRICS_BIN) | NEAP_HTTP_BIT(ENDPOINT_LOAD_METRICS_JSON))

typedef struct neap_http_hops {
  uint64_t dropped; /* known names */
  int count;        /* of the names that Connection gives */
  const char *from,
      *to; /* the received head: what lies elsewhere was added here, and is not the sender's to drop */
  neap_http_slice named[NEAP_HTTP_CONNECTION_OPTIONS_MAX];
} neap_http_hops;

/* Reads Connection. `dropped`: known names that do not travel on, beside the hop-by-hop ones. */
void neap_http_hops_read(neap_http_hops *hops, const neap_http_head *head, uint64_t dropped);

bool neap_http_hops_named(const neap_http_hops *hops, neap_http_slice name);

static inline bool neap_http_hops_keeps(const neap_http_hops *hops, const neap_http_field *field) {
  if (hops->dropped >> field->name.id & 1) return false;
  if (NEAP_LIKELY(hops->count == 0)) return true;
  bool received = field->name.ptr >= hops->from && field->name.ptr < hops->to;
  return !received || !neap_http_hops_named(hops, field->name);
}

/* Does the head have a Date that travels on? */
bool neap_http_hops_keep_date(const neap_http_hops *hops, const neap_http_head *head);

#endif
