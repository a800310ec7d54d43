/* Heads of requests and responses, parsed where they lie.
 *
 * The caller reads into one buffer per connection and calls the parser after every read with everything from
 * the first byte of the head on; the buffer may have moved in between. When the head is complete, the views
 * point into the buffer as it was given to that call, and stay valid as long as those bytes do.
 *
 *   neap_http_request_init(&request, fields, limits);          // fields: limits->field_count rows
 *   for (;;) {
 *     ssize_t n = neap_http_request_parse(&request, buffer, size);
 *     if (n > 0) break;                                        // head is buffer[0..n), body follows
 *     if (n < 0) answer request.head.reason and close;         // neap_http_reason_status(), _text()
 *     read more; grow the buffer up to limits->head_bytes when it is full
 *   }
 *
 * The verdict does not depend on how the bytes were cut. Work is linear in the bytes, whatever the cuts.
 */
#ifndef NEAP_HTTP_MESSAGE_H
#define NEAP_HTTP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/base.h"
#include "base/reasons.h"

/* --- words ------------------------------------------------------------------------------------------- */

/* The same memory as neap_slice and neap_header_row of policy/abi.h, so that a request board can point at
 * parsed fields (flow/ asserts it). `id` is that structs' `reserved`. */
typedef struct neap_http_slice {
  const char *ptr;
  int32_t size;
  int32_t id; /* of a field's name: enum neap_http_id; otherwise 0 */
} neap_http_slice;

typedef struct neap_http_field {
  neap_http_slice name;  /* as received */
  neap_http_slice value; /* without the white space around it */
} neap_http_field;

/* Methods that mean something to a gateway; others are OTHER and travel as they are. Name, safe. */
#define NEAP_HTTP_METHODS(X)                                                                                 \
  X(GET, 1) X(HEAD, 1) X(POST, 0) X(PUT, 0) X(DELETE, 0) X(OPTIONS, 1) X(PATCH, 0) X(CONNECT, 0) X(TRACE, 1)

/* Fields that mean something to a gateway. */
#define NEAP_HTTP_IDS(X)                                                                                     \
  X(AGE, "age")                                                                                              \
  X(AUTHORIZATION, "authorization")                                                                          \
  X(CACHE_CONTROL, "cache-control")                                                                          \
  X(CACHE_STATUS, "cache-status")                                                                            \
  X(CONNECTION, "connection")                                                                                \
  X(CONTENT_LENGTH, "content-length")                                                                        \
  X(CONTENT_LOCATION, "content-location")                                                                    \
  X(CONTENT_RANGE, "content-range")                                                                          \
  X(COOKIE, "cookie")                                                                                        \
  X(DATE, "date")                                                                                            \
  X(ENDPOINT_LOAD_METRICS, "endpoint-load-metrics")                                                          \
  X(ENDPOINT_LOAD_METRICS_BIN, "endpoint-load-metrics-bin")                                                  \
  X(ENDPOINT_LOAD_METRICS_JSON, "endpoint-load-metrics-json")                                                \
  X(ETAG, "etag")                                                                                            \
  X(EXPECT, "expect")                                                                                        \
  X(EXPIRES, "expires")                                                                                      \
  X(FORWARDED, "forwarded")                                                                                  \
  X(HOST, "host")                                                                                            \
  X(HTTP2_SETTINGS, "http2-settings")                                                                        \
  X(IF_MATCH, "if-match")                                                                                    \
  X(IF_MODIFIED_SINCE, "if-modified-since")                                                                  \
  X(IF_NONE_MATCH, "if-none-match")                                                                          \
  X(IF_RANGE, "if-range")                                                                                    \
  X(IF_UNMODIFIED_SINCE, "if-unmodified-since")                                                              \
  X(KEEP_ALIVE, "keep-alive")                                                                                \
  X(LAST_MODIFIED, "last-modified")                                                                          \
  X(MAX_FORWARDS, "max-forwards")                                                                            \
  X(PROXY_AUTHENTICATE, "proxy-authenticate")                                                                \
  X(PROXY_AUTHENTICATION_INFO, "proxy-authentication-info")                                                  \
  X(PROXY_AUTHORIZATION, "proxy-authorization")                                                              \
  X(PROXY_CONNECTION, "proxy-connection")                                                                    \
  X(RANGE, "range")                                                                                          \
  X(REFERER, "referer")                                                                                      \
  X(SET_COOKIE, "set-cookie")                                                                                \
  X(TE, "te")                                                                                                \
  X(TRAILER, "trailer")                                                                                      \
  X(TRANSFER_ENCODING, "transfer-encoding")                                                                  \
  X(UPGRADE, "upgrade")                                                                                      \
  X(USER_AGENT, "user-agent")                                                                                \
  X(VARY, "vary")                                                                                            \
  X(VIA, "via")                                                                                              \
  X(X_FORWARDED_FOR, "x-forwarded-for")                                                                      \
  X(X_FORWARDED_HOST, "x-forwarded-host")                                                                    \
  X(X_FORWARDED_PORT, "x-forwarded-port")                                                                    \
  X(X_FORWARDED_PROTO, "x-forwarded-proto")                                                                  \
  X(X_REQUEST_ID, "x-request-id")

#define NEAP_HTTP_ENUM1(NAME, a)          NEAP_HTTP_METHOD_##NAME,
#define NEAP_HTTP_ENUM2(NAME, a)          NEAP_HTTP_ID_##NAME,
#define NEAP_HTTP_ENUM5(G, NAME, a, b, c) NEAP_HTTP_REASON_##NAME,
typedef enum neap_http_method { NEAP_HTTP_METHOD_OTHER, NEAP_HTTP_METHODS(NEAP_HTTP_ENUM1) } neap_http_method;
/* NONE: a name not in the table. LOOKALIKE: a known name written with underscores (Content_Length), which an
 * origin behind CGI would mistake for the real one: never forwarded. */
typedef enum neap_http_id {
  NEAP_HTTP_ID_NONE,
  NEAP_HTTP_ID_LOOKALIKE,
  NEAP_HTTP_IDS(NEAP_HTTP_ENUM2) NEAP_HTTP_ID_COUNT
} neap_http_id;
/* Why a head or a body is refused; from an origin its status is always 502. */
typedef enum neap_http_reason {
  NEAP_REASONS_REFUSED(NEAP_HTTP_ENUM5) NEAP_HTTP_REASON_COUNT
} neap_http_reason;
#undef NEAP_HTTP_ENUM1
#undef NEAP_HTTP_ENUM2
#undef NEAP_HTTP_ENUM5

/* Status for the client, lower-case name for logs ("host_missing"), sentence for people. Static memory. */
int neap_http_reason_status(neap_http_reason reason);
const char *neap_http_reason_name(neap_http_reason reason);
const char *neap_http_reason_text(neap_http_reason reason);

/* The number of a field name, without regard to case. */
neap_http_id neap_http_id_of(const char *name, size_t size);
/* "OK" for 200; "" for what has no name. Static memory. */
const char *neap_http_status_text(int status);

/* --- limits ------------------------------------------------------------------------------------------ */

#define NEAP_HTTP_FIELDS_MAX 250 /* most rows that limits->field_count may ask for */

typedef struct neap_http_limits {
  uint32_t line_bytes;      /* request line or status line; 8 KiB */
  uint32_t field_bytes;     /* one field line; 16 KiB */
  uint32_t head_bytes;      /* the whole head, leading empty lines included; 32 KiB */
  uint32_t field_count;     /* 1..NEAP_HTTP_FIELDS_MAX; 100 */
  uint32_t extension_bytes; /* chunk extensions of one chunk; 1 KiB, over a body 64 KiB + 1/16 of its bytes */
  uint32_t trailer_bytes;   /* trailer section; 8 KiB */
} neap_http_limits;
extern const neap_http_limits neap_http_limits_default;

/* --- heads ------------------------------------------------------------------------------------------- */

typedef enum neap_http_framing {
  NEAP_HTTP_FRAMING_NONE,    /* no body */
  NEAP_HTTP_FRAMING_LENGTH,  /* content_length bytes; 0 is possible */
  NEAP_HTTP_FRAMING_CHUNKED, /* until the last chunk */
  NEAP_HTTP_FRAMING_CLOSE    /* until the connection closes; responses only */
} neap_http_framing;

/* What requests and responses have in common. Below `reason` is the parser's own. */
typedef struct neap_http_head {
  neap_http_field *fields; /* the caller's rows */
  int32_t field_count;
  int32_t version_minor;             /* 0, or 1 for 1.1 and later */
  neap_http_framing framing;         /* of the body that follows */
  bool keep_alive;                   /* as far as the other side is concerned */
  uint64_t content_length;           /* LENGTH: of the body. Responses to HEAD: as announced, if has_length */
  bool has_length;                   /* a valid Content-Length counts */
  neap_http_reason reason;           /* set when refused */
  uint8_t first[NEAP_HTTP_ID_COUNT]; /* 1 + index of the first field of that name; 0: there is none */
  const neap_http_limits *limits;
  const char *base;      /* buffer that the views point into, once complete */
  uint32_t line, cursor; /* offsets: of the line being read, of the first byte not yet looked at */
  uint32_t start;        /* offset of the first line that is not empty */
  uint8_t phase;
} neap_http_head;

typedef struct neap_http_request {
  neap_http_head head;
  neap_http_method method_id;
  neap_http_slice method; /* as received */
  neap_http_slice target; /* as received */
  neap_http_slice path;   /* of the target, "/" at least; "*" for OPTIONS * */
  neap_http_slice query;  /* without "?" */
  neap_http_slice
      authority; /* host and port: of an absolute target, else of Host; may be empty in HTTP/1.0 */
  neap_http_slice
      host; /* of the authority, without port and final dot; with the brackets of IPv6; case as received */
  int32_t port;         /* of the authority; 0: none */
  bool odd_path;        /* neap_http_path_is_odd */
  bool has_query;       /* "/a?" and "/a" are different */
  bool absolute;        /* the target is in absolute form */
  bool expect_continue; /* the client waits for a 100 (never set for HTTP/1.0) */
} neap_http_request;

typedef struct neap_http_response {
  neap_http_head head;
  int32_t status;         /* final: 200..999 */
  neap_http_slice phrase; /* may be empty */
  neap_http_method asked; /* the request's method */
  uint32_t interim_count; /* 1xx heads that were skipped */
} neap_http_response;

/* Prepares for one head. `fields` has limits->field_count rows; both are borrowed until the next init. */
void neap_http_request_init(neap_http_request *request, neap_http_field *fields,
                            const neap_http_limits *limits);
void neap_http_response_init(neap_http_response *response, neap_http_field *fields,
                             const neap_http_limits *limits, neap_http_method asked);

/* hot: Parses on. `buffer` holds everything from the first byte of the head on, `size` bytes of it.
 * Returns the bytes of the head (> 0) when it is complete, 0 when more are needed, NEAP_ESYNTAX when it is
 * refused (head.reason; the connection must not be used further). Call no more after > 0 or < 0. For a
 * response, 1xx heads are skipped and part of the size; a 101 is refused, since nobody asks for one. */
ssize_t neap_http_request_parse(neap_http_request *request, const char *buffer, size_t size);
ssize_t neap_http_response_parse(neap_http_response *response, const char *buffer, size_t size);

/* After the bytes of a complete head were copied elsewhere: lets every view point to the copy. */
void neap_http_request_move(neap_http_request *request, const char *to);
void neap_http_response_move(neap_http_response *response, const char *to);

/* --- paths: begin with "/" --------------------------------------------------------------------------- */

/* May its normal or its folded spelling be another one? It has "%", "\\", "//" or "/.". hot: */
bool neap_http_path_is_odd(neap_http_slice path);
/* Does it hold a dot segment that only some backends see: beside an encoded slash or a backslash, or with ";"
 * behind it? Such requests are refused. */
bool neap_http_path_is_ambiguous(neap_http_slice path);
/* Does it hold a dot segment that anybody sees? */
bool neap_http_path_has_dots(neap_http_slice path);
/* The normal spelling (RFC 3986, 6.2.2): dot segments carried out, letters that need no "%" without it,
 * capital hex digits. `out` has room for the path; returns the size. */
size_t neap_http_path_normal(neap_http_slice path, char *out);
/* As routes compare a normal path: what some backends take for a "/" is one, and several are one. Likewise.
 */
size_t neap_http_path_fold(neap_http_slice path, char *out);
/* Bytes of what stands at `at` and may be taken for a "/": itself, "\\", "%2F", "%5C"; 0: none. */
size_t neap_http_path_slash(const char *at, const char *end);

/* The first field of that name, or NULL; the next one after `field`, or NULL. For names in the table. */
static inline const neap_http_field *neap_http_field_first(const neap_http_head *head, neap_http_id id) {
  return head->first[id] ? &head->fields[head->first[id] - 1] : NULL;
}
const neap_http_field *neap_http_field_next(const neap_http_head *head, const neap_http_field *field);
/* The first field of any name, without regard to case, or NULL. */
const neap_http_field *neap_http_field_find(const neap_http_head *head, const char *name, size_t size);

/* --- text -------------------------------------------------------------------------------------------- */

static inline bool neap_http_slice_is(neap_http_slice slice, const char *text) {
  size_t size = strlen(text);
  return (size_t)slice.size == size && memcmp(slice.ptr, text, size) == 0;
}
/* Equal without regard to the case of ASCII letters. */
bool neap_http_same(const char *a, size_t a_size, const char *b, size_t b_size);

/* Walks a comma-separated list (quoted strings understood), one field line at a time: the next member that is
 * not empty, without the white space around it. `*cursor` starts as field->value.ptr. False at the end. */
bool neap_http_list_next(neap_http_slice value, const char **cursor, neap_http_slice *member);

#endif
