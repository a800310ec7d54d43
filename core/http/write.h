/* Heads written anew from parsed fields: for the origin and for the client.
 *
 * Writers fill a buffer of the caller and return the size, or NEAP_ESMALL when it does not fit (nothing that
 * was written then counts). NEAP_HTTP_HEAD_EXTRA bytes beyond the size of the received head always suffice.
 */
#ifndef NEAP_HTTP_WRITE_H
#define NEAP_HTTP_WRITE_H

#include "http/message.h"

#define NEAP_HTTP_HEAD_EXTRA 1024

/* --- to the origin ----------------------------------------------------------------------------------- */

typedef struct neap_http_forward {
  neap_view client;        /* address for X-Forwarded-For, at most 64 bytes */
  neap_view scheme;        /* "http" or "https", as the client came */
  neap_view fallback_host; /* Host for clients that sent none, at most 300 bytes: the backend's host:port */
  neap_view request_id;    /* replaces the client's X-Request-Id; empty: that is kept */
  bool trust_client; /* keep X-Forwarded-* and Forwarded of the client and add to them; false: drop them */
} neap_http_forward;

/* hot: The request as the origin gets it: origin-form target, HTTP/1.1, Host of the target, end-to-end
 * fields, Via, X-Forwarded-For/-Proto/-Host, framing rebuilt from request->head.framing (a chunked body is
 * sent on chunked). Dropped: hop-by-hop fields with those that Connection names, Expect, lookalikes. */
ssize_t neap_http_request_write(char *out, size_t capacity, const neap_http_request *request,
                                const neap_http_forward *forward);

/* --- to the client ----------------------------------------------------------------------------------- */

/* The member that this cache appends to Cache-Status (RFC 9211): hit, or why the request went forward. NONE:
 * no member is written. */
#define NEAP_HTTP_FWD_ENUM(GROUP, NAME, name, status, text) NEAP_HTTP_FWD_##NAME,
typedef enum neap_http_fwd { NEAP_REASONS_FWD(NEAP_HTTP_FWD_ENUM) NEAP_HTTP_FWD_COUNT } neap_http_fwd;
#undef NEAP_HTTP_FWD_ENUM
/* The token, such as "uri-miss". Static memory. */
const char *neap_http_fwd_text(neap_http_fwd fwd);

/* How one client is answered. */
typedef struct neap_http_reply {
  int64_t wall_s;     /* seconds since 1970: Date where the origin sent none */
  neap_http_fwd fwd;  /* for Cache-Status */
  bool stored;        /* the response is being stored */
  neap_reason detail; /* why it was not asked for in the cache, or is not stored; NONE: nothing to say */
  neap_http_framing framing; /* of the body to come, from neap_http_reply_plan */
  bool keep_alive;           /* the connection stays */
} neap_http_reply;

/* Decides how a response's body is delimited for the client of `request`, and whether the connection can
 * stay: sets reply->framing and reply->keep_alive; the latter only from `keep_alive` (what the front wants:
 * not draining, request body read to its end) and what the request and its framing allow. */
void neap_http_reply_plan(neap_http_reply *reply, const neap_http_request *request,
                          const neap_http_response *response, bool keep_alive);

/* hot: The head of a forwarded response. */
ssize_t neap_http_response_write(char *out, size_t capacity, const neap_http_request *request,
                                 const neap_http_response *response, const neap_http_reply *reply);

/* A whole small response made here: an error (a sentence as text/plain), or an answer of the gateway itself.
 * `request` may be NULL when its head was refused. No body is sent to HEAD. */
ssize_t neap_http_message_write(char *out, size_t capacity, const neap_http_request *request, int status,
                                neap_view text, int64_t wall_s, bool keep_alive);

/* What a client that waits with its body is sent when the body is wanted. */
#define NEAP_HTTP_CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

#endif
