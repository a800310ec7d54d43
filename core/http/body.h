/* Where a body ends. Payload is handed out as views of the input: nothing is copied.
 *
 *   while (size > 0 && !body.done) {
 *     ssize_t n = neap_http_body_feed(&body, bytes, size, &payload);
 *     if (n < 0) refuse: body.reason
 *     use payload (may be empty); bytes += n; size -= n;
 *   }
 *   bytes that are left when `done` is set belong to the next message
 */
#ifndef NEAP_HTTP_BODY_H
#define NEAP_HTTP_BODY_H

#include "http/message.h"

typedef struct neap_http_body {
  uint64_t left;  /* of the length, or of the chunk */
  uint64_t total; /* payload bytes handed out so far */
  uint64_t extension_total;
  const neap_http_limits *limits;
  uint32_t line_bytes; /* of the extension or the trailer section being read */
  uint8_t framing, phase, digits;
  bool done;               /* the body ended as it should */
  neap_http_reason reason; /* set when refused */
} neap_http_body;

/* Prepares for the body that follows `head`. `done` at once where there is none. */
void neap_http_body_init(neap_http_body *body, const neap_http_head *head);

/* hot: Takes bytes from the front of the input, up to the end of one piece of payload.
 * Returns how many were taken (at least 1 if size > 0 and not done) or NEAP_ESYNTAX: refused, close. */
ssize_t neap_http_body_feed(neap_http_body *body, const char *bytes, size_t size, neap_view *payload);

/* The other side closed. 0: that was the end (sets `done`). NEAP_ESYNTAX: truncated; what was passed on must
 * end abnormally too and must not be stored. */
int neap_http_body_close(neap_http_body *body);

/* Writes the line that precedes a chunk of `size` (> 0) bytes, "1f4\r\n", and returns its length. After the
 * bytes follows NEAP_HTTP_CHUNK_END, after the last chunk NEAP_HTTP_CHUNK_LAST. */
#define NEAP_HTTP_CHUNK_HEAD_MAX 18
#define NEAP_HTTP_CHUNK_END      "\r\n"
#define NEAP_HTTP_CHUNK_LAST     "0\r\n\r\n"
size_t neap_http_chunk_head(char out[NEAP_HTTP_CHUNK_HEAD_MAX], uint64_t size);

#endif
