/* llhttp as a second opinion on heads that are accepted; the fuzz targets ask it about many more. */
#include "helpers.h"
#include "referee.h"

#define END "\r\n"

static void test_llhttp_understands_accepted_requests_alike(void **state) {
  (void)state;
  static const text heads[] = {
      TEXT("GET / HTTP/1.1\r\nHost: a\r\n" END),
      TEXT("\r\nGET /a?b HTTP/1.0\r\nX:\r\nY:  z \t\r\n" END),
      TEXT("OPTIONS * HTTP/1.1\r\nHost: a\r\nx: y\tz\xff\r\n" END),
      TEXT("GET http://a:81?q HTTP/1.1\r\nHost: b\r\nConnection: close, x\r\n" END),
      TEXT("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n" END),
      TEXT("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n" END),
      TEXT("DELETE /{}|\"<>\\^` HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n" END),
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(heads); i++) {
    neap_http_request request;
    assert_int_equal(parse_request(&request, heads[i]), heads[i].size);
    const char *difference = referee_of_request(&request, heads[i].ptr, heads[i].size);
    if (difference) fail_msg("%s: %s", heads[i].ptr, difference);
  }
}

static void test_llhttp_understands_accepted_responses_alike(void **state) {
  (void)state;
  static const text heads[] = {
      TEXT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" END),
      TEXT("HTTP/1.0 404\r\nX:\r\n" END),
      TEXT("HTTP/1.1 999 \r\nTransfer-Encoding: chunked\r\n" END),
      TEXT("HTTP/1.1 200 A long phrase\r\nContent-Length: 5\r\nConnection: x\r\n" END),
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(heads); i++) {
    neap_http_response response;
    assert_int_equal(parse_response(&response, heads[i], NEAP_HTTP_METHOD_GET), heads[i].size);
    const char *difference = referee_of_response(&response, heads[i].ptr, heads[i].size);
    if (difference) fail_msg("%s: %s", heads[i].ptr, difference);
  }
}

static void test_the_referee_sees_a_difference(void **state) {
  (void)state;
  neap_http_request request;
  text head = TEXT("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n" END);
  assert_true(parse_request(&request, head) > 0);
  request.head.content_length = 6;
  assert_string_equal(referee_of_request(&request, head.ptr, head.size), "the length");
  request.head.field_count = 1;
  assert_string_equal(referee_of_request(&request, head.ptr, head.size), "the number of fields");
}

static void test_llhttp_alone_would_let_pass_what_a_gateway_must_not(void **state) {
  (void)state;
  static const text heads[] = {
      TEXT("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n" END),
      TEXT("GET / HTTP/1.1\r\n" END),
      TEXT("GET / HTTP/1.1\r\nHost: a b\r\nHost: c\r\n" END),
      TEXT("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" END),
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(heads); i++) {
    referee seen;
    llhttp_t parser;
    neap_http_request request;
    const char *refused = referee_read(&seen, &parser, HTTP_REQUEST, heads[i].ptr, heads[i].size);
    if (refused) fail_msg("%s: %s", heads[i].ptr, refused);
    assert_int_equal(parse_request(&request, heads[i]), NEAP_ESYNTAX);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_llhttp_understands_accepted_requests_alike),
      cmocka_unit_test(test_llhttp_understands_accepted_responses_alike),
      cmocka_unit_test(test_the_referee_sees_a_difference),
      cmocka_unit_test(test_llhttp_alone_would_let_pass_what_a_gateway_must_not),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
