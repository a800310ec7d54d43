/* Bytes and words inside http/: classes, tokens, numbers. Not part of the facade. */
#ifndef NEAP_HTTP_TEXT_H
#define NEAP_HTTP_TEXT_H

#include "http/message.h"

enum {
  NEAP_HTTP_BYTE_TOKEN = 1,  /* tchar */
  NEAP_HTTP_BYTE_TARGET = 2, /* may stand in a request target: printable ASCII but "#" */
  NEAP_HTTP_BYTE_HOST = 4,   /* may stand in a name or IPv4 address */
  NEAP_HTTP_BYTE_DIGIT = 8
};
extern const uint8_t neap_http_bytes[256];

static inline bool neap_http_byte_is(char byte, int classes) {
  return (neap_http_bytes[(uint8_t)byte] & classes) != 0;
}

static inline char neap_http_lower(char byte) {
  return byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
}

static inline bool neap_http_blank(char byte) {
  return byte == ' ' || byte == '\t';
}

/* Cuts white space off both ends. */
neap_http_slice neap_http_trim(const char *begin, const char *end);

/* Bytes from the front that are all of `classes`. */
size_t neap_http_span(const char *text, size_t size, int classes);

/* Bytes from the front that are neither control bytes nor DEL. */
size_t neap_http_plain_span(const char *text, size_t size);

static inline bool neap_http_token(neap_http_slice slice) {
  return slice.size > 0 &&
         neap_http_span(slice.ptr, (size_t)slice.size, NEAP_HTTP_BYTE_TOKEN) == (size_t)slice.size;
}

static inline bool neap_http_slice_same(neap_http_slice slice, const char *text) {
  return neap_http_same(slice.ptr, (size_t)slice.size, text, strlen(text));
}

/* Digits only, at least one. 0, NEAP_ESYNTAX, or NEAP_ETOOLARGE above `max`. */
int neap_http_number(const char *text, size_t size, uint64_t max, uint64_t *out);

#endif
