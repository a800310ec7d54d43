/* A head as it lies in the cache's meta part, so that a hit is written with one small edit.
 *
 *   | fixed part | "HTTP/1.1 200 OK\r\n" | fields that a 304 repeats | other fields |
 *                 '----------------- head ------------------------------------------'
 *
 * A hit is sent as  head + tail + body pieces:  the tail, made per request, holds Content-Length, Age,
 * Cache-Status, Connection and the empty line. Hop-by-hop fields, Age and Content-Length are not in the head.
 * All of it is position-independent bytes of this machine; the cache does not outlive the process.
 */
#ifndef NEAP_HTTP_STORED_H
#define NEAP_HTTP_STORED_H

#include "http/caching.h"

#define NEAP_HTTP_STORED_MAX 65536 /* a meta part is at most this, as the cache has it */

/* A meta part, opened. The views are borrowed from it. */
typedef struct neap_http_stored {
  bool marker;    /* not a response: names what a response varies by */
  bool shareable; /* may answer requests with Authorization */
  int32_t status;
  uint64_t response_ms, age_ms, lifetime_ms; /* age at engine time t: age_ms + (t - response_ms) */
  uint64_t nonce;                            /* of a marker */
  neap_view head;                            /* ready to be sent, up to where the tail goes */
  neap_view lines_304;                       /* of these, the fields that a 304 repeats */
  neap_view etag, last_modified;             /* field values; empty where absent */
  neap_view names;                           /* of a marker: lower case, sorted, comma-separated */
} neap_http_stored;

/* Writes the meta part of a response. Returns its size or NEAP_ESMALL (then it is not stored). */
ssize_t neap_http_stored_write(char *out, size_t capacity, const neap_http_response *response,
                               const neap_http_decision *decision, const neap_http_times *times);
/* hot: Opens a meta part. 0, or NEAP_EINVAL when it is not one. */
int neap_http_stored_open(neap_view meta, neap_http_stored *out);

/* hot: Age in whole seconds at engine time `now_ms`. */
uint64_t neap_http_stored_age_s(const neap_http_stored *stored, uint64_t now_ms);

/* What a request gets of a fresh stored response. */
typedef enum neap_http_serve {
  NEAP_HTTP_SERVE_FULL,         /* head, tail, body (no body to HEAD) */
  NEAP_HTTP_SERVE_NOT_MODIFIED, /* NEAP_HTTP_LINE_304, lines_304, tail */
  NEAP_HTTP_SERVE_FORWARD       /* not from the cache: authorized request, response not shareable */
} neap_http_serve;
#define NEAP_HTTP_LINE_304 "HTTP/1.1 304 Not Modified\r\n"
/* hot: `wall_s` reads two-digit years of If-Modified-Since. */
neap_http_serve neap_http_stored_match(const neap_http_stored *stored, const neap_http_request *request,
                                       int64_t wall_s);

/* hot: The end of a hit's head. `body_bytes`: size of the stored body, sent as Content-Length (not with a
 * 304). Always fits. `keep_alive`: the connection stays. */
#define NEAP_HTTP_TAIL_MAX 192
size_t neap_http_stored_tail(char out[NEAP_HTTP_TAIL_MAX], const neap_http_stored *stored,
                             neap_http_serve serve, const neap_http_request *request, uint64_t body_bytes,
                             uint64_t now_ms, bool keep_alive);

/* The same of one that a tier below memory had: `tier` is its name, at most 20 bytes of a token. */
size_t neap_http_stored_tail_of(char out[NEAP_HTTP_TAIL_MAX], const neap_http_stored *stored,
                                const char *tier, neap_http_serve serve, const neap_http_request *request,
                                uint64_t body_bytes, uint64_t now_ms, bool keep_alive);

/* --- Vary -------------------------------------------------------------------------------------------- */

/* Writes the marker for a response with decision.vary: its meta part. NEAP_ESMALL: do not store. */
ssize_t neap_http_marker_write(char *out, size_t capacity, const neap_http_response *response,
                               uint64_t nonce);
/* `marker` names the same fields as `other`, so that its nonce is to be kept. */
bool neap_http_marker_matches(const neap_http_stored *marker, const neap_http_stored *other);

/* hot: The key of the variant that `request` selects under a marker: `key`, nonce, and per name its
 * normalised value or its absence. Returns the size or NEAP_ESMALL (then forward and do not store). `out` may
 * not overlap `key`. */
ssize_t neap_http_variant_key(char *out, size_t capacity, neap_view key, const neap_http_stored *marker,
                              const neap_http_request *request);

#endif
