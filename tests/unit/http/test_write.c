/* What goes to the origin and to the client, to the byte. */
#include "helpers.h"

#define H   "Host: a:81\r\n"
#define END "\r\n"
#define OUR                                                                                                  \
  "Via: 1.1 neap\r\nX-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a:81\r\n"

static const neap_http_forward untrusted = {
    .client = {"10.0.0.9", 8}, .scheme = {"http", 4}, .fallback_host = {"backend:9001", 12}};

static const char *forwarded(text head, const neap_http_forward *forward) {
  static char out[4096];
  neap_http_request request;
  ssize_t got = parse_request(&request, head);
  if (got <= 0) fail_msg("%s: %s", head.ptr, neap_http_reason_name(request.head.reason));
  ssize_t size = neap_http_request_write(out, sizeof out - 1, &request, forward);
  assert_true(size > 0);
  assert_true((size_t)size <= head.size + NEAP_HTTP_HEAD_EXTRA);
  out[size] = 0;
  return out;
}

static void test_requests_are_written_anew(void **state) {
  (void)state;
  static const struct {
    text in;
    const char *out;
  } rows[] = {
      {TEXT("GET /a?b HTTP/1.1\r\n" H "X-y:  z \r\nCookie: c\r\n" END),
       "GET /a?b HTTP/1.1\r\n" H "X-y: z\r\nCookie: c\r\n" OUR END},
      {TEXT("GET /a? HTTP/1.1\r\n" H END), "GET /a? HTTP/1.1\r\n" H OUR END},
      /* 37: the authority of the target is the Host */
      {TEXT("GET http://a:81/x HTTP/1.1\r\nHost: evil\r\n" END), "GET /x HTTP/1.1\r\n" H OUR END},
      {TEXT("GET http://a:81 HTTP/1.1\r\nHost: evil\r\n" END), "GET / HTTP/1.1\r\n" H OUR END},
      {TEXT("OPTIONS http://a:81 HTTP/1.1\r\nHost: evil\r\n" END), "OPTIONS * HTTP/1.1\r\n" H OUR END},
      {TEXT("PURGE / HTTP/1.1\r\n" H END), "PURGE / HTTP/1.1\r\n" H OUR END},
      /* framing is ours; 33: lookalikes, and Expect, do not travel */
      {TEXT("POST / HTTP/1.1\r\n" H
            "Content_Length: 9\r\nContent-Length: 005\r\nExpect: 100-continue\r\n" END),
       "POST / HTTP/1.1\r\n" H OUR "Content-Length: 5\r\n" END},
      {TEXT("POST / HTTP/1.1\r\n" H "TRANSFER-ENCODING: CHUNKED\r\nTrailer: x\r\n" END),
       "POST / HTTP/1.1\r\n" H OUR "Transfer-Encoding: chunked\r\n" END},
      {TEXT("POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n" END),
       "POST / HTTP/1.1\r\n" H OUR "Content-Length: 0\r\n" END},
      /* 47, 48, 49: hop-by-hop fields */
      {TEXT("GET / HTTP/1.1\r\n" H
            "Connection: close, X-Hop, x-other\r\nX-Hop: 1\r\nKeep: 2\r\nX-Other: 3\r\nx-hop: 4\r\n" END),
       "GET / HTTP/1.1\r\n" H "Keep: 2\r\n" OUR END},
      {TEXT("GET / HTTP/1.1\r\nConnection: Host, Content-Length, Via, X-Forwarded-For\r\n" H
            "Content-Length: 5\r\n" END),
       "GET / HTTP/1.1\r\n" H OUR "Content-Length: 5\r\n" END},
      {TEXT("GET / HTTP/1.1\r\n" H
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\n"
            "Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\n" END),
       "GET / HTTP/1.1\r\n" H OUR END},
      {TEXT("GET / HTTP/1.1\r\n" H "Upgrade: h2c\r\nHTTP2-Settings: AAAA\r\n" END),
       "GET / HTTP/1.1\r\n" H OUR END},
      /* nobody speaks for our client but us */
      {TEXT("GET / HTTP/1.1\r\n" H
            "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\n"
            "X-Forwarded-Port: 1\r\nForwarded: for=1.2.3.4\r\nX_Forwarded_For: 1\r\nVia: 1.0 p\r\n" END),
       "GET / HTTP/1.1\r\n" H "Via: 1.0 p\r\n" OUR END},
      {TEXT("GET / HTTP/1.0\r\n" END), "GET / HTTP/1.1\r\nHost: backend:9001\r\nVia: 1.0 neap\r\n"
                                       "X-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Proto: http\r\n" END},
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++)
    assert_string_equal(forwarded(rows[i].in, &untrusted), rows[i].out);
}

static void test_a_trusted_client_is_believed_and_added_to(void **state) {
  (void)state;
  neap_http_forward trusted = untrusted;
  trusted.trust_client = true;
  assert_string_equal(
      forwarded(TEXT("GET / HTTP/1.1\r\n" H "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n"
                     "X-Forwarded-Host: b\r\nX-Forwarded-Proto: https\r\nForwarded: for=x\r\n" END),
                &trusted),
      "GET / HTTP/1.1\r\n" H "X-Forwarded-Host: b\r\nX-Forwarded-Proto: https\r\nForwarded: for=x\r\n"
      "Via: 1.1 neap\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8, 10.0.0.9\r\n" END);
  assert_string_equal(forwarded(TEXT("GET / HTTP/1.1\r\n" H END), &trusted), "GET / HTTP/1.1\r\n" H OUR END);
}

static void test_a_buffer_that_is_too_small_is_told(void **state) {
  (void)state;
  char out[512];
  neap_http_request request;
  assert_true(parse_request(&request, TEXT("GET / HTTP/1.1\r\n" H END)) > 0);
  ssize_t size = neap_http_request_write(out, sizeof out, &request, &untrusted);
  assert_true(size > 0);
  for (ssize_t capacity = 0; capacity < size; capacity++)
    assert_int_equal(neap_http_request_write(out, (size_t)capacity, &request, &untrusted), NEAP_ESMALL);
  assert_int_equal(neap_http_request_write(out, (size_t)size, &request, &untrusted), size);
}

/* --- to the client ----------------------------------------------------------------------------------- */

#define DATE  "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define NOW   784111777
#define V11   "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define V10   "GET / HTTP/1.0\r\n\r\n"
#define V10KA "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"

static const char *answered(text ask, text in, neap_http_fwd fwd, bool keep_alive) {
  static char out[4096];
  neap_http_request request;
  neap_http_response response;
  neap_http_reply reply = {.wall_s = NOW, .fwd = fwd, .stored = fwd == NEAP_HTTP_FWD_MISS};
  if (fwd == NEAP_HTTP_FWD_REQUEST) reply.detail = NEAP_REASON_LOOKUP_RANGE;
  if (fwd == NEAP_HTTP_FWD_METHOD) reply.detail = NEAP_REASON_LOOKUP_METHOD; /* says no more than fwd does */
  assert_true(parse_request(&request, ask) > 0);
  assert_true(parse_response(&response, in, request.method_id) > 0);
  neap_http_reply_plan(&reply, &request, &response, keep_alive);
  ssize_t size = neap_http_response_write(out, sizeof out - 1, &request, &response, &reply);
  assert_true(size > 0);
  out[size] = 0;
  return out;
}

static void test_responses_are_written_anew(void **state) {
  (void)state;
  static const struct {
    text ask, in;
    neap_http_fwd fwd;
    bool keep_alive;
    const char *out;
  } rows[] = {
      {TEXT(V11), TEXT("HTTP/1.1 200 Fine\r\nX: y\r\nContent-Length: 5\r\n" END), NEAP_HTTP_FWD_NONE, true,
       "HTTP/1.1 200 Fine\r\nX: y\r\n" DATE "Content-Length: 5\r\n" END},
      {TEXT(V11), TEXT("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\n" END), NEAP_HTTP_FWD_URI_MISS,
       true, "HTTP/1.1 200 OK\r\nDate: x\r\nCache-Status: neap; fwd=uri-miss\r\nContent-Length: 5\r\n" END},
      {TEXT(V11), TEXT("HTTP/1.1 200 OK\r\nCache-Status: cdn; hit\r\nTransfer-Encoding: chunked\r\n" END),
       NEAP_HTTP_FWD_MISS, true,
       "HTTP/1.1 200 OK\r\nCache-Status: cdn; hit\r\n" DATE
       "Cache-Status: neap; fwd=miss; stored\r\nTransfer-Encoding: chunked\r\n" END},
      {TEXT(V11), TEXT("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\n" END), NEAP_HTTP_FWD_REQUEST,
       true,
       "HTTP/1.1 200 OK\r\nDate: x\r\nCache-Status: neap; fwd=request; detail=range\r\nContent-Length: "
       "5\r\n" END},
      {TEXT(V11), TEXT("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\n" END), NEAP_HTTP_FWD_METHOD, true,
       "HTTP/1.1 200 OK\r\nDate: x\r\nCache-Status: neap; fwd=method\r\nContent-Length: 5\r\n" END},
      /* 56: of two framings only ours; an origin that closes does not close our client */
      {TEXT(V11),
       TEXT(
           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n" END),
       NEAP_HTTP_FWD_NONE, true, "HTTP/1.1 200 OK\r\n" DATE "Transfer-Encoding: chunked\r\n" END},
      {TEXT(V11), TEXT("HTTP/1.0 200 OK\r\n" END), NEAP_HTTP_FWD_NONE, true,
       "HTTP/1.1 200 OK\r\n" DATE "Transfer-Encoding: chunked\r\n" END},
      {TEXT(V11), TEXT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" END), NEAP_HTTP_FWD_NONE, false,
       "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 5\r\nConnection: close\r\n" END},
      /* 52: HTTP/1.0 knows no chunks */
      {TEXT(V10KA), TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" END), NEAP_HTTP_FWD_NONE, true,
       "HTTP/1.1 200 OK\r\n" DATE "Connection: close\r\n" END},
      {TEXT(V10KA), TEXT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" END), NEAP_HTTP_FWD_NONE, true,
       "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 5\r\nConnection: keep-alive\r\n" END},
      {TEXT(V10), TEXT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" END), NEAP_HTTP_FWD_NONE, true,
       "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 5\r\nConnection: close\r\n" END},
      {TEXT("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), TEXT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" END),
       NEAP_HTTP_FWD_NONE, true, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 5\r\n" END},
      {TEXT("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
       TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" END), NEAP_HTTP_FWD_NONE, true,
       "HTTP/1.1 200 OK\r\n" DATE END},
      {TEXT(V11), TEXT("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n" END), NEAP_HTTP_FWD_NONE, true,
       "HTTP/1.1 204 No Content\r\n" DATE END},
      {TEXT(V11), TEXT("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n" END), NEAP_HTTP_FWD_NONE, true,
       "HTTP/1.1 304 Not Modified\r\n" DATE "Content-Length: 5\r\n" END},
      /* 65 */
      {TEXT(V11),
       TEXT("HTTP/1.1 200 OK\r\nConnection: X, Date\r\nX: 1\r\nDate: x\r\nKeep-Alive: 1\r\nUpgrade: "
            "y\r\nProxy-Connection: z\r\n"
            "TE: t\r\nTrailer: u\r\nContent-Length: 0\r\n" END),
       NEAP_HTTP_FWD_NONE, true, "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 0\r\n" END},
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++)
    assert_string_equal(answered(rows[i].ask, rows[i].in, rows[i].fwd, rows[i].keep_alive), rows[i].out);
}

static void test_messages_of_our_own(void **state) {
  (void)state;
  char out[512];
  neap_http_request head;
  ssize_t size = neap_http_message_write(out, sizeof out, NULL, 400, neap_view_of("bad\n"), NOW, false);
  assert_string_equal((out[size] = 0, out), "HTTP/1.1 400 Bad Request\r\n" DATE
                                            "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 4\r\n"
                                            "Connection: close\r\n\r\nbad\n");
  assert_true(parse_request(&head, TEXT("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")) > 0);
  size = neap_http_message_write(out, sizeof out, &head, 503, neap_view_of("busy\n"), NOW, true);
  assert_string_equal((out[size] = 0, out),
                      "HTTP/1.1 503 Service Unavailable\r\n" DATE
                      "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\r\n");
  assert_int_equal(neap_http_message_write(out, 100, NULL, 400, neap_view_of("bad\n"), NOW, false),
                   NEAP_ESMALL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_requests_are_written_anew),
      cmocka_unit_test(test_a_trusted_client_is_believed_and_added_to),
      cmocka_unit_test(test_a_buffer_that_is_too_small_is_told),
      cmocka_unit_test(test_responses_are_written_anew),
      cmocka_unit_test(test_messages_of_our_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
