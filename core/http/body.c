/* Where a body ends. */
#include "http/body.h"

#include "http/head.h"

/* Places in a chunked body. */
enum {
  AT_SIZE,       /* hexadecimal digits */
  AT_BLANK,      /* white space between size and ";" */
  AT_EXTENSION,  /* after ";" */
  AT_SIZE_LF,    /* CR of the size line was seen */
  AT_DATA,       /* `left` bytes of payload */
  AT_DATA_CR,    /* the CR after them */
  AT_DATA_LF,    /* the LF after them */
  AT_TRAILER,    /* the start of a trailer line, or of the empty one */
  AT_NAME,       /* in the name of a trailer field */
  AT_VALUE,      /* in its value */
  AT_TRAILER_LF, /* CR of a trailer line was seen */
  AT_END_LF      /* CR of the empty line was seen */
};

enum { SIZE_DIGITS_MAX = 16, EXTENSION_FREE_BYTES = 64 << 10 };

void neap_http_body_init(neap_http_body *body, const neap_http_head *head) {
  *body = (neap_http_body){.limits = head->limits, .framing = (uint8_t)head->framing, .phase = AT_SIZE};
  if (head->framing == NEAP_HTTP_FRAMING_LENGTH) body->left = head->content_length;
  body->done = head->framing == NEAP_HTTP_FRAMING_NONE ||
               (head->framing == NEAP_HTTP_FRAMING_LENGTH && body->left == 0);
}

/* --- chunked ----------------------------------------------------------------------------------------- */

static int hex_value(char byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  byte = neap_http_lower(byte);
  return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static neap_http_reason take_digit(neap_http_body *body, int digit) {
  if (++body->digits > SIZE_DIGITS_MAX || body->left > (uint64_t)INT64_MAX >> 4)
    return NEAP_HTTP_REASON_CHUNK_SIZE_TOO_LARGE;
  body->left = body->left << 4 | (uint64_t)digit;
  return NEAP_HTTP_REASON_NONE;
}

/* After the digits of a size: white space only before an extension. */
static neap_http_reason after_size(neap_http_body *body, char byte) {
  if (body->digits == 0) return NEAP_HTTP_REASON_CHUNK_SIZE;
  if (byte == ';')
    body->phase = AT_EXTENSION;
  else if (neap_http_blank(byte))
    body->phase = AT_BLANK;
  else if (byte == '\r' && body->phase == AT_SIZE)
    body->phase = AT_SIZE_LF;
  else
    return byte == '\n' ? NEAP_HTTP_REASON_CHUNK_LINE_END : NEAP_HTTP_REASON_CHUNK_SIZE;
  return NEAP_HTTP_REASON_NONE;
}

/* Extensions are read over. A body of many small chunks with long extensions costs more than it brings, so
 * that their sum is bounded by the payload too. */
static neap_http_reason take_extension(neap_http_body *body, char byte) {
  if (byte == '\r') {
    body->phase = AT_SIZE_LF;
    return NEAP_HTTP_REASON_NONE;
  }
  if (byte == '\n') return NEAP_HTTP_REASON_CHUNK_LINE_END;
  if (((uint8_t)byte < 0x20 && byte != '\t') || byte == 0x7f) return NEAP_HTTP_REASON_CHUNK_EXTENSION;
  if (++body->line_bytes > body->limits->extension_bytes) return NEAP_HTTP_REASON_CHUNK_EXTENSION;
  if (++body->extension_total > EXTENSION_FREE_BYTES + body->total / 16)
    return NEAP_HTTP_REASON_CHUNK_EXTENSION;
  return NEAP_HTTP_REASON_NONE;
}

static neap_http_reason end_size(neap_http_body *body) {
  body->phase = body->left > 0 ? AT_DATA : AT_TRAILER;
  body->digits = 0;
  body->line_bytes = 0;
  return NEAP_HTTP_REASON_NONE;
}

/* Trailer fields are checked and dropped: nothing in them may come to mean something to anybody. */
static neap_http_reason take_trailer(neap_http_body *body, char byte) {
  if (++body->line_bytes > body->limits->trailer_bytes) return NEAP_HTTP_REASON_TRAILER_TOO_LONG;
  if (body->phase == AT_TRAILER && byte == '\r') {
    body->phase = AT_END_LF;
  } else if (body->phase == AT_VALUE) {
    if (byte == '\r')
      body->phase = AT_TRAILER_LF;
    else if (((uint8_t)byte < 0x20 && byte != '\t') || byte == 0x7f)
      return NEAP_HTTP_REASON_TRAILER;
  } else if (neap_http_byte_is(byte, NEAP_HTTP_BYTE_TOKEN)) {
    body->phase = AT_NAME;
  } else if (body->phase == AT_NAME && byte == ':') {
    body->phase = AT_VALUE;
  } else {
    return NEAP_HTTP_REASON_TRAILER;
  }
  return NEAP_HTTP_REASON_NONE;
}

static neap_http_reason expect_byte(neap_http_body *body, char byte, char expected, int next,
                                    neap_http_reason reason) {
  if (byte != expected) return reason;
  body->phase = (uint8_t)next;
  return NEAP_HTTP_REASON_NONE;
}

/* One byte that is not payload. */
static neap_http_reason take_byte(neap_http_body *body, char byte) {
  int digit;
  switch (body->phase) {
  case AT_SIZE: digit = hex_value(byte); return digit >= 0 ? take_digit(body, digit) : after_size(body, byte);
  case AT_BLANK:
    if (++body->line_bytes > body->limits->extension_bytes) return NEAP_HTTP_REASON_CHUNK_EXTENSION;
    return after_size(body, byte);
  case AT_EXTENSION: return take_extension(body, byte);
  case AT_SIZE_LF: return byte == '\n' ? end_size(body) : NEAP_HTTP_REASON_CHUNK_LINE_END;
  case AT_DATA_CR: return expect_byte(body, byte, '\r', AT_DATA_LF, NEAP_HTTP_REASON_CHUNK_DATA);
  case AT_DATA_LF: return expect_byte(body, byte, '\n', AT_SIZE, NEAP_HTTP_REASON_CHUNK_LINE_END);
  case AT_TRAILER_LF: return expect_byte(body, byte, '\n', AT_TRAILER, NEAP_HTTP_REASON_CHUNK_LINE_END);
  case AT_END_LF:
    body->done = byte == '\n';
    return body->done ? NEAP_HTTP_REASON_NONE : NEAP_HTTP_REASON_CHUNK_LINE_END;
  default: return take_trailer(body, byte);
  }
}

/* --- payload ----------------------------------------------------------------------------------------- */

/* Hands out what is left, or all there is. */
static size_t take_payload(neap_http_body *body, const char *bytes, size_t size, neap_view *payload) {
  size_t taken = body->left < size ? (size_t)body->left : size;
  *payload = (neap_view){bytes, taken};
  body->left -= taken;
  body->total += taken;
  return taken;
}

static ssize_t feed_chunked(neap_http_body *body, const char *bytes, size_t size, neap_view *payload) {
  for (size_t i = 0; i < size; i++) {
    if (body->phase == AT_DATA) {
      i += take_payload(body, bytes + i, size - i, payload);
      if (body->left == 0) body->phase = AT_DATA_CR;
      return (ssize_t)i;
    }
    body->reason = take_byte(body, bytes[i]);
    if (body->reason) return NEAP_ESYNTAX;
    if (body->done) return (ssize_t)(i + 1);
  }
  return (ssize_t)size;
}

ssize_t neap_http_body_feed(neap_http_body *body, const char *bytes, size_t size, neap_view *payload) {
  *payload = (neap_view){bytes, 0};
  if (body->reason) return NEAP_ESYNTAX;
  if (body->done) return 0;
  if (body->framing == NEAP_HTTP_FRAMING_CHUNKED) return feed_chunked(body, bytes, size, payload);
  if (body->framing == NEAP_HTTP_FRAMING_CLOSE) {
    *payload = (neap_view){bytes, size};
    body->total += size;
    return (ssize_t)size;
  }
  size_t taken = take_payload(body, bytes, size, payload);
  body->done = body->left == 0;
  return (ssize_t)taken;
}

int neap_http_body_close(neap_http_body *body) {
  if (body->reason) return NEAP_ESYNTAX;
  if (body->framing == NEAP_HTTP_FRAMING_CLOSE) body->done = true;
  if (body->done) return 0;
  body->reason = NEAP_HTTP_REASON_TRUNCATED;
  return NEAP_ESYNTAX;
}

size_t neap_http_chunk_head(char out[NEAP_HTTP_CHUNK_HEAD_MAX], uint64_t size) {
  size_t digits = 1, i;
  while (digits < 16 && size >> (4 * digits)) digits++;
  for (i = 0; i < digits; i++) out[i] = "0123456789abcdef"[size >> (4 * (digits - 1 - i)) & 15];
  out[i++] = '\r';
  out[i++] = '\n';
  return i;
}
