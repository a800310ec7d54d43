/* Writing into a bounded buffer. Not part of the facade. */
#ifndef NEAP_HTTP_OUT_H
#define NEAP_HTTP_OUT_H

#include "http/message.h"

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

#endif
