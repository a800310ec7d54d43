/* Responses of origins: the same strictness as for requests, with 502 as the outcome. */
#include "helpers.h"

#define OK      "HTTP/1.1 200 OK\r\n"
#define END     "\r\n"
#define R(name) NEAP_HTTP_REASON_##name
#define GET     NEAP_HTTP_METHOD_GET
#define HEAD    NEAP_HTTP_METHOD_HEAD

static const struct {
  const char *what;
  text head;
  neap_http_reason reason;
} refusals[] = {
    {"57 different lengths", TEXT(OK "Content-Length: 5\r\nContent-Length: 6\r\n" END), R(LENGTH_REPEATED)},
    {"57 list of lengths", TEXT(OK "Content-Length: 5, 6\r\n" END), R(LENGTH)},
    {"57 invalid length", TEXT(OK "Content-Length: abc\r\n" END), R(LENGTH)},
    {"57 negative length", TEXT(OK "Content-Length: -5\r\n" END), R(LENGTH)},
    {"57 invalid length beside a coding", TEXT(OK "Content-Length: x\r\nTransfer-Encoding: chunked\r\n" END),
     R(LENGTH)},
    {"unknown coding", TEXT(OK "Transfer-Encoding: gzip, chunked\r\n" END), R(CODING_UNKNOWN)},
    {"coding that is not chunked", TEXT(OK "Transfer-Encoding: gzip\r\n" END), R(CODING)},
    {"coding in 1.0", TEXT("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n" END), R(CODING_VERSION)},
    {"58 space before colon", TEXT(OK "X : v\r\n" END), R(FIELD_NAME)},
    {"58 folded", TEXT(OK "X: v\r\n w\r\n" END), R(FOLDED)},
    {"59 NUL", TEXT(OK "X: a\0b\r\n" END), R(CONTROL_BYTE)},
    {"59 bare CR", TEXT(OK "X: a\rb\r\n" END), R(LINE_END)},
    {"bare LF", TEXT(OK "X: a\n" END), R(LINE_END)},
    {"60 nonsense", TEXT("nonsense\r\n" END), R(START_LINE)},
    {"60 empty line first", TEXT("\r\n" OK END), R(START_LINE)},
    {"60 lower case", TEXT("http/1.1 200 OK\r\n" END), R(START_LINE)},
    {"60 HTTP/2", TEXT("HTTP/2.0 200 OK\r\n" END), R(VERSION)},
    {"60 no status", TEXT("HTTP/1.1 \r\n" END), R(STATUS)},
    {"60 two digits", TEXT("HTTP/1.1 20\r\n" END), R(STATUS)},
    {"60 four digits", TEXT("HTTP/1.1 2000 OK\r\n" END), R(STATUS)},
    {"60 letters", TEXT("HTTP/1.1 2x0 OK\r\n" END), R(STATUS)},
    {"60 below 100", TEXT("HTTP/1.1 099 OK\r\n" END), R(STATUS)},
    {"60 control byte in phrase", TEXT("HTTP/1.1 200 O\x01K\r\n" END), R(CONTROL_BYTE)},
    {"63 unasked switch", TEXT("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n" END), R(SWITCHED)},
    {"64 bad field in an interim response", TEXT("HTTP/1.1 103 Early\r\nX : y\r\n" END OK END),
     R(FIELD_NAME)},
};

static void test_what_is_malformed_is_refused_with_its_reason(void **state) {
  (void)state;
  for (size_t i = 0; i < NEAP_COUNT_OF(refusals); i++) {
    neap_http_response response;
    ssize_t at_once = parse_response(&response, refusals[i].head, GET);
    if (at_once != NEAP_ESYNTAX || response.head.reason != refusals[i].reason)
      fail_msg("%s: %zd, %s", refusals[i].what, at_once, neap_http_reason_name(response.head.reason));
    ssize_t dripped = drip_response(&response, refusals[i].head, GET);
    if (dripped != NEAP_ESYNTAX || response.head.reason != refusals[i].reason)
      fail_msg("%s, dripped: %zd, %s", refusals[i].what, dripped,
               neap_http_reason_name(response.head.reason));
  }
}

#define NONE    NEAP_HTTP_FRAMING_NONE
#define LENGTH  NEAP_HTTP_FRAMING_LENGTH
#define CHUNKED NEAP_HTTP_FRAMING_CHUNKED
#define CLOSE   NEAP_HTTP_FRAMING_CLOSE

typedef struct good_row {
  const char *what;
  text head;
  neap_http_method asked;
  int status;
  const char *phrase;
  neap_http_framing framing;
  bool has_length;
  uint64_t length;
  bool keep_alive;
  uint32_t interim;
} good_row;

static const good_row good[] = {
    {"length", TEXT(OK "Content-Length: 5\r\n" END), GET, 200, "OK", LENGTH, true, 5, true, 0},
    {"length of 0", TEXT(OK "Content-Length: 0\r\n" END), GET, 200, "OK", LENGTH, true, 0, true, 0},
    {"chunked", TEXT(OK "Transfer-Encoding: Chunked\r\n" END), GET, 200, "OK", CHUNKED, false, 0, true, 0},
    {"56 chunked and length", TEXT(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END), GET, 200,
     "OK", CHUNKED, false, 0, false, 0},
    {"until close", TEXT(OK END), GET, 200, "OK", CLOSE, false, 0, false, 0},
    {"no phrase", TEXT("HTTP/1.1 200 \r\nContent-Length: 0\r\n" END), GET, 200, "", LENGTH, true, 0, true, 0},
    {"no phrase, no space", TEXT("HTTP/1.1 200\r\nContent-Length: 0\r\n" END), GET, 200, "", LENGTH, true, 0,
     true, 0},
    {"long phrase", TEXT("HTTP/1.1 418 I'm a \xf0\x9f\xab\x96\r\nContent-Length: 0\r\n" END), GET, 418,
     "I'm a \xf0\x9f\xab\x96", LENGTH, true, 0, true, 0},
    {"HEAD", TEXT(OK "Content-Length: 5\r\n" END), HEAD, 200, "OK", NONE, true, 5, true, 0},
    {"HEAD without length", TEXT(OK END), HEAD, 200, "OK", NONE, false, 0, true, 0},
    {"HEAD chunked", TEXT(OK "Transfer-Encoding: chunked\r\n" END), HEAD, 200, "OK", NONE, false, 0, true, 0},
    {"204", TEXT("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n" END), GET, 204, "No Content", NONE, false,
     0, true, 0},
    {"304", TEXT("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n" END), GET, 304, "Not Modified", NONE,
     true, 5, true, 0},
    {"close", TEXT(OK "Content-Length: 5\r\nConnection: close\r\n" END), GET, 200, "OK", LENGTH, true, 5,
     false, 0},
    {"1.0", TEXT("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n" END), GET, 200, "OK", LENGTH, true, 5, false, 0},
    {"1.0 keep-alive", TEXT("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n" END), GET,
     200, "OK", LENGTH, true, 5, true, 0},
    {"64 early hints",
     TEXT("HTTP/1.1 100 Continue\r\n" END "HTTP/1.1 103 Early\r\nLink: x\r\nContent-Length: 9\r\n" END OK
          "Content-Length: 5\r\n" END),
     GET, 200, "OK", LENGTH, true, 5, true, 2},
    {"999", TEXT("HTTP/1.1 999 Denied\r\nContent-Length: 0\r\n" END), GET, 999, "Denied", LENGTH, true, 0,
     true, 0},
};

static void check_good(const good_row *row, const neap_http_response *response, ssize_t got) {
  if (got != (ssize_t)row->head.size)
    fail_msg("%s: %zd, %s", row->what, got, neap_http_reason_name(response->head.reason));
  if (response->status != row->status || response->head.framing != row->framing ||
      response->head.has_length != row->has_length || response->head.content_length != row->length ||
      response->head.keep_alive != row->keep_alive || response->interim_count != row->interim)
    fail_msg("%s: %d, framing %d, length %d %lu, keep-alive %d, interim %u", row->what, response->status,
             response->head.framing, response->head.has_length, response->head.content_length,
             response->head.keep_alive, response->interim_count);
  assert_slice(response->phrase, row->phrase);
}

static void test_what_is_right_is_taken_apart(void **state) {
  (void)state;
  for (size_t i = 0; i < NEAP_COUNT_OF(good); i++) {
    neap_http_response response;
    check_good(&good[i], &response, parse_response(&response, good[i].head, good[i].asked));
    check_good(&good[i], &response, drip_response(&response, good[i].head, good[i].asked));
  }
}

static void test_fields_of_interim_responses_do_not_leak(void **state) {
  (void)state;
  neap_http_response response;
  text head = TEXT("HTTP/1.1 103 Early\r\nLink: x\r\nAge: 9\r\n" END OK "X: y\r\n" END);
  assert_true(parse_response(&response, head, GET) > 0);
  assert_int_equal(response.head.field_count, 1);
  assert_null(neap_http_field_first(&response.head, NEAP_HTTP_ID_AGE));
}

static void test_endless_interim_responses_are_refused(void **state) {
  (void)state;
  static char heads[64 << 10];
  static const char interim[] = "HTTP/1.1 103 Early\r\n\r\n";
  neap_http_response response;
  size_t size = 0;
  for (; size + sizeof interim < sizeof heads; size += sizeof interim - 1)
    memcpy(heads + size, interim, sizeof interim - 1);
  assert_int_equal(parse_response(&response, (text){heads, size}, GET), NEAP_ESYNTAX);
  assert_int_equal(response.head.reason, R(HEAD_TOO_LONG));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_is_malformed_is_refused_with_its_reason),
      cmocka_unit_test(test_what_is_right_is_taken_apart),
      cmocka_unit_test(test_fields_of_interim_responses_do_not_leak),
      cmocka_unit_test(test_endless_interim_responses_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
