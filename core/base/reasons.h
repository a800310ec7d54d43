/* Every reason that Neap gives for what it did: one line each. The code is what the access log, Cache-Status,
 * metrics and `neap explain` say; the sentence is for people. Codes are unique within their group, and never
 * change their meaning.
 *
 * A row is X(GROUP, NAME, code, status, sentence). A folder that decides takes the enum of its own group from
 * the rows (neap_end, neap_http_store, ...); the sum of all is neap_reason, in the same order, so that
 * NEAP_REASON_STORE_YES + store is the reason of a neap_http_store.
 */
#ifndef NEAP_BASE_REASONS_H
#define NEAP_BASE_REASONS_H

#include <stdint.h>

/* How an exchange ended. The status is what the client usually gets; 0: it got the response, or is gone. */
#define NEAP_REASONS_END(X)                                                                                  \
  X(END, OK, ok, 0, "answered")                                                                              \
  X(END, REFUSED, refused, 400, "the request was refused")                                                   \
  X(END, NO_ROUTE, no_route, 404, "no route matches")                                                        \
  X(END, RATE_LIMITED, rate_limited, 429, "too many requests")                                               \
  X(END, UNAUTHORIZED, unauthorized, 401, "credentials are missing or wrong")                                \
  X(END, ACTION_FAILED, action_failed, 503, "the route's action failed")                                     \
  X(END, VALUE_REFUSED, value_refused, 400,                                                                  \
    "a function of the route made a value of it that may not stand there, or had too many or too long ones") \
  X(END, NO_BACKEND, no_backend, 503, "every backend of the pool was tried")                                 \
  X(END, QUEUE_FULL, queue_full, 503, "too many requests wait for a backend")                                \
  X(END, QUEUE_TIMEOUT, queue_timeout, 503, "no backend was free in time")                                   \
  X(END, CONNECT_FAILED, connect_failed, 502, "the backend could not be reached")                            \
  X(END, CONNECT_TIMEOUT, connect_timeout, 504, "the backend did not accept the connection in time")         \
  X(END, BACKEND_CLOSED, backend_closed, 502, "the backend closed the connection before it answered")        \
  X(END, BACKEND_TIMEOUT, backend_timeout, 504, "the backend did not answer in time")                        \
  X(END, BAD_RESPONSE, bad_response, 502, "the backend's response is malformed")                             \
  X(END, TRUNCATED, response_truncated, 502, "the backend's response ended early")                           \
  X(END, TOO_LARGE, too_large, 502, "a head does not fit into its buffer")                                   \
  X(END, CLIENT_GONE, client_gone, 0, "the client went away")                                                \
  X(END, NO_MEMORY, no_memory, 502, "out of memory")                                                         \
  X(END, NOT_PREFETCHED, not_prefetched, 0,                                                                  \
    "a prefetch that was not needed, is not to be stored, or was not welcome in its pool")

/* Why a request was refused as it is, and the status for that. From a backend, the same is a bad response. */
#define NEAP_REASONS_REFUSED(X)                                                                              \
  X(REFUSED, NONE, none, 0, "nothing is wrong")                                                              \
  X(REFUSED, START_LINE, start_line, 400, "the first line is not one of HTTP/1")                             \
  X(REFUSED, START_LINE_TOO_LONG, start_line_too_long, 414, "the first line is too long")                    \
  X(REFUSED, EMPTY_LINES, empty_lines, 400, "too many empty lines before the request")                       \
  X(REFUSED, METHOD, method, 400, "the method is not a token")                                               \
  X(REFUSED, METHOD_REFUSED, method_refused, 501, "CONNECT and TRACE are not relayed")                       \
  X(REFUSED, TARGET, target, 400, "the request target is malformed")                                         \
  X(REFUSED, PATH, path, 400, "a dot segment stands where not everybody sees it")                            \
  X(REFUSED, VERSION, version, 505, "the protocol version is not supported")                                 \
  X(REFUSED, STATUS, status, 502, "the status code is not a number of three digits")                         \
  X(REFUSED, SWITCHED, switched, 502, "the origin switched protocols unasked")                               \
  X(REFUSED, CONTROL_BYTE, control_byte, 400, "a control byte stands in the head")                           \
  X(REFUSED, LINE_END, line_end, 400, "a line does not end with CR LF")                                      \
  X(REFUSED, FOLDED, folded, 400, "a field is folded over two lines")                                        \
  X(REFUSED, FIELD_NAME, field_name, 400, "a field name is empty or not a token")                            \
  X(REFUSED, FIELD_TOO_LONG, field_too_long, 431, "a field is too long")                                     \
  X(REFUSED, HEAD_TOO_LONG, head_too_long, 431, "the head is too long")                                      \
  X(REFUSED, FIELD_COUNT, field_count, 431, "the head has too many fields")                                  \
  X(REFUSED, HOST_MISSING, host_missing, 400, "there is no Host field")                                      \
  X(REFUSED, HOST_REPEATED, host_repeated, 400, "there is more than one Host field")                         \
  X(REFUSED, HOST, host, 400, "the host is malformed")                                                       \
  X(REFUSED, LENGTH, length, 400, "Content-Length is not one number")                                        \
  X(REFUSED, LENGTH_REPEATED, length_repeated, 400, "there is more than one Content-Length")                 \
  X(REFUSED, LENGTH_AND_CODING, length_and_coding, 400,                                                      \
    "there are both Content-Length and Transfer-Encoding")                                                   \
  X(REFUSED, CONNECTION, connection, 400, "Connection names too many options")                               \
  X(REFUSED, CODING, coding, 400, "Transfer-Encoding does not end with chunked, once")                       \
  X(REFUSED, CODING_UNKNOWN, coding_unknown, 501, "the transfer coding is not supported")                    \
  X(REFUSED, CODING_VERSION, coding_version, 400, "Transfer-Encoding in HTTP/1.0")                           \
  X(REFUSED, EXPECTATION, expectation, 417, "the expectation cannot be met")                                 \
  X(REFUSED, CHUNK_SIZE, chunk_size, 400, "a chunk size is not a hexadecimal number")                        \
  X(REFUSED, CHUNK_SIZE_TOO_LARGE, chunk_size_too_large, 413, "a chunk size is too large")                   \
  X(REFUSED, CHUNK_LINE_END, chunk_line_end, 400, "a line of the chunked body does not end with CR LF")      \
  X(REFUSED, CHUNK_EXTENSION, chunk_extension, 400, "a chunk extension is malformed or too long")            \
  X(REFUSED, CHUNK_DATA, chunk_data, 400, "a chunk is longer than its size")                                 \
  X(REFUSED, TRAILER, trailer, 400, "the trailer section is malformed")                                      \
  X(REFUSED, TRAILER_TOO_LONG, trailer_too_long, 431, "the trailer section is too long")                     \
  X(REFUSED, TRUNCATED, truncated, 400, "the body ended early")                                              \
  X(REFUSED, HEADER_TIMEOUT, header_timeout, 408, "the head of the request came too slowly")                 \
  X(REFUSED, BODY_TIMEOUT, body_timeout, 408, "the body came too slowly")

/* clang-format off */
/* What the cache did for a request: the words of Cache-Status (RFC 9211). */
#define NEAP_REASONS_FWD(X)                                                                                  \
  X(FWD, NONE, none, 0, "the cache had no part in it")                                                       \
  X(FWD, HIT, hit, 0, "answered from the cache")                                                             \
  X(FWD, BYPASS, bypass, 0, "the cache is not configured for this request")                                  \
  X(FWD, METHOD, method, 0, "only GET and HEAD are answered from the cache")                                 \
  X(FWD, URI_MISS, uri-miss, 0, "nothing is stored for its target")                                        \
  X(FWD, VARY_MISS, vary-miss, 0, "what is stored is for other fields of a request")                       \
  X(FWD, MISS, miss, 0, "nothing that fits is stored")                                                       \
  X(FWD, REQUEST, request, 0, "something in the request asks for the origin")                                \
  X(FWD, STALE, stale, 0, "what is stored is stale")                                                       \
  X(FWD, HIT_REDIS, hit-redis, 0, "answered from the Redis tier")                                          \
  X(FWD, HIT_CDN, hit-cdn, 0, "answered from the CDN tier")
/* clang-format on */

/* Whether the cache could be asked. */
#define NEAP_REASONS_LOOKUP(X)                                                                               \
  X(LOOKUP, USABLE, usable, 0, "may be answered from the cache")                                             \
  X(LOOKUP, METHOD, method, 0, "only GET and HEAD are answered from the cache")                              \
  X(LOOKUP, BODY, body, 0, "the request has a body")                                                         \
  X(LOOKUP, NO_HOST, no_host, 0, "the request names no host")                                                \
  X(LOOKUP, RANGE, range, 0, "a part is asked for")                                                          \
  X(LOOKUP, CONDITION, condition, 0, "If-Match, If-Unmodified-Since and If-Range are the origin's to judge") \
  X(LOOKUP, KEY, key, 0, "its key is too long to be made")

/* Why the tiers below memory had no answer, beside not having it. */
#define NEAP_REASONS_TIER(X)                                                                                 \
  X(TIER, LATE, tiers_late, 0, "the tiers below memory did not answer in time")                              \
  X(TIER, DOWN, tiers_down, 0, "a tier below memory could not be asked")                                     \
  X(TIER, BAD_RECORD, bad_record, 0, "what a tier had is no response that may be served")

/* Whether the response may be stored. */
#define NEAP_REASONS_STORE(X)                                                                                \
  X(STORE, YES, yes, 0, "may be stored")                                                                     \
  X(STORE, METHOD, method, 0, "the response is not one to GET")                                              \
  X(STORE, REQUEST, request, 0, "the request has a body, a range or a condition of the origin's")            \
  X(STORE, STATUS, status, 0, "a response of this status is not stored")                                     \
  X(STORE, NO_STORE, no_store, 0, "no-store")                                                                \
  X(STORE, PRIVATE, private, 0, "private")                                                                   \
  X(STORE, NO_CACHE, no_cache, 0, "no-cache: would have to be validated before every use")                   \
  X(STORE, AUTHORIZATION, authorization, 0,                                                                  \
    "the request is authorized and the response not declared shareable")                                     \
  X(STORE, SET_COOKIE, set_cookie, 0, "the response sets a cookie")                                          \
  X(STORE, VARY, vary, 0, "Vary: *, or a Vary that is malformed or too long")                                \
  X(STORE, NO_LIFETIME, no_lifetime, 0, "nothing says how long it is fresh")                                 \
  X(STORE, STALE, stale, 0, "it is stale already")

/* Why a response that may be stored was not. */
#define NEAP_REASONS_FILL(X)                                                                                 \
  X(FILL, ROOM, no_room, 0, "the cache has no room for it now")                                              \
  X(FILL, TOO_LARGE, too_large, 0, "it is larger than the cache takes")                                      \
  X(FILL, UNWANTED, refused_by_policy, 0, "the evict policy did not admit it")                               \
  X(FILL, OLDER, newer_stored, 0, "a newer version is stored")                                               \
  X(FILL, LENGTH, length, 0, "it was not as long as announced")                                              \
  X(FILL, FAILED, failed, 0, "it could not be stored")

/* Why a backend may not be picked now: bit n of neap_backend_row.barred is the n-th. */
#define NEAP_REASONS_BAR(X)                                                                                  \
  X(BAR, TRIED, tried, 0, "this request has tried it")                                                       \
  X(BAR, DOWN, down, 0, "its probes fail, or it could not be reached")                                       \
  X(BAR, DRAINING, draining, 0, "it takes no new requests")                                                  \
  X(BAR, EJECTED, ejected, 0, "it gave too many errors, or its breaker is open")                             \
  X(BAR, FULL, full, 0, "it has as many requests as it may have")                                            \
  X(BAR, SPARE, spare, 0, "backends of a better priority are there")                                         \
  X(BAR, GONE, gone, 0, "it has left the pool")

#define NEAP_REASONS(X)                                                                                      \
  NEAP_REASONS_END(X)                                                                                        \
  NEAP_REASONS_REFUSED(X)                                                                                    \
  NEAP_REASONS_FWD(X)                                                                                        \
  NEAP_REASONS_LOOKUP(X)                                                                                     \
  NEAP_REASONS_TIER(X)                                                                                       \
  NEAP_REASONS_STORE(X)                                                                                      \
  NEAP_REASONS_FILL(X)                                                                                       \
  NEAP_REASONS_BAR(X)

#define NEAP_REASON_ENUM(GROUP, NAME, name, status, text) NEAP_REASON_##GROUP##_##NAME,
typedef enum neap_reason {
  NEAP_REASON_NONE, /* nothing was decided */
  NEAP_REASONS(NEAP_REASON_ENUM) NEAP_REASON_COUNT
} neap_reason;
#undef NEAP_REASON_ENUM

/* Static memory, any thread. All of them "" and 0 for NEAP_REASON_NONE. */
const char *neap_reason_code(neap_reason reason);  /* "no_route" */
const char *neap_reason_group(neap_reason reason); /* "end" */
const char *neap_reason_text(neap_reason reason);  /* "no route matches" */
int neap_reason_status(neap_reason reason);        /* 404 */

#endif
