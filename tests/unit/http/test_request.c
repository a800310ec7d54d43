/* Requests: what is accepted, with its meaning, and what is refused, with its reason. The numbers are the
 * rows of the table in docs/http-security.md. */
#include "helpers.h"

#define H       "Host: a\r\n"
#define X64     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define GET     "GET / HTTP/1.1\r\n" H
#define POST    "POST / HTTP/1.1\r\n" H
#define END     "\r\n"
#define R(name) NEAP_HTTP_REASON_##name

typedef struct refusal_row {
  const char *what;
  text head;
  neap_http_reason reason;
} refusal_row;

static const refusal_row refusals[] = {
    {"1 length and coding", TEXT(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" END),
     R(LENGTH_AND_CODING)},
    {"1 coding and length", TEXT(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" END),
     R(LENGTH_AND_CODING)},
    {"3 different lengths", TEXT(POST "Content-Length: 5\r\nContent-Length: 3\r\n" END), R(LENGTH_REPEATED)},
    {"3 different lengths in a list", TEXT(POST "Content-Length: 5, 3\r\n" END), R(LENGTH)},
    {"4 equal lengths", TEXT(POST "Content-Length: 5\r\nContent-Length: 5\r\n" END), R(LENGTH_REPEATED)},
    {"4 equal lengths in a list", TEXT(POST "Content-Length: 5, 5\r\n" END), R(LENGTH)},
    {"5 plus", TEXT(POST "Content-Length: +5\r\n" END), R(LENGTH)},
    {"5 minus", TEXT(POST "Content-Length: -1\r\n" END), R(LENGTH)},
    {"5 hexadecimal", TEXT(POST "Content-Length: 0x5\r\n" END), R(LENGTH)},
    {"5 inner space", TEXT(POST "Content-Length: 1 1\r\n" END), R(LENGTH)},
    {"5 letter", TEXT(POST "Content-Length: 5a\r\n" END), R(LENGTH)},
    {"5 empty", TEXT(POST "Content-Length:\r\n" END), R(LENGTH)},
    {"5 empty beside a good one", TEXT(POST "Content-Length:\r\nContent-Length: 5\r\n" END),
     R(LENGTH_REPEATED)},
    {"6 2^63", TEXT(POST "Content-Length: 9223372036854775808\r\n" END), R(LENGTH)},
    {"6 2^64 + 5", TEXT(POST "Content-Length: 18446744073709551621\r\n" END), R(LENGTH)},
    {"6 forty digits", TEXT(POST "Content-Length: 1000000000000000000000000000000000000000\r\n" END),
     R(LENGTH)},
    {"7 space before colon, length", TEXT(POST "Content-Length : 5\r\n" END), R(FIELD_NAME)},
    {"7 space before colon, coding", TEXT(POST "Transfer-Encoding : chunked\r\n" END), R(FIELD_NAME)},
    {"7 tab before colon", TEXT(POST "Transfer-Encoding\t: chunked\r\n" END), R(FIELD_NAME)},
    {"8 xchunked", TEXT(POST "Transfer-Encoding: xchunked\r\n" END), R(CODING)},
    {"8 identity", TEXT(POST "Transfer-Encoding: identity\r\n" END), R(CODING)},
    {"8 quoted", TEXT(POST "Transfer-Encoding: \"chunked\"\r\n" END), R(CODING)},
    {"8 vertical tab", TEXT(POST "Transfer-Encoding: \vchunked\r\n" END), R(CONTROL_BYTE)},
    {"8 empty", TEXT(POST "Transfer-Encoding:\r\n" END), R(CODING)},
    {"8 gzip, chunked", TEXT(POST "Transfer-Encoding: gzip, chunked\r\n" END), R(CODING_UNKNOWN)},
    {"8 parameter", TEXT(POST "Transfer-Encoding: chunked;q=1\r\n" END), R(CODING)},
    {"8 trailing comma", TEXT(POST "Transfer-Encoding: chunked,\r\n" END), R(CODING)},
    {"9 not final", TEXT(POST "Transfer-Encoding: chunked, gzip\r\n" END), R(CODING)},
    {"10 twice", TEXT(POST "Transfer-Encoding: chunked, chunked\r\n" END), R(CODING)},
    {"10 second line", TEXT(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n" END),
     R(CODING)},
    {"10 second line first", TEXT(POST "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n" END),
     R(CODING)},
    {"12 coding in 1.0", TEXT("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" END), R(CODING_VERSION)},
    {"13 folded coding", TEXT(POST "Transfer-Encoding:\r\n chunked\r\n" END), R(FOLDED)},
    {"24 folded field", TEXT(GET "X: a\r\n b\r\n" END), R(FOLDED)},
    {"24 folded with tab", TEXT(GET "X: a\r\n\tb\r\n" END), R(FOLDED)},
    {"25 blank-led first field", TEXT("GET / HTTP/1.1\r\n Host: a\r\n" END), R(FOLDED)},
    {"26 space before colon", TEXT(GET "Name : v\r\n" END), R(FIELD_NAME)},
    {"27 empty name", TEXT(GET ": v\r\n" END), R(FIELD_NAME)},
    {"27 parenthesis in name", TEXT(GET "a(b: v\r\n" END), R(FIELD_NAME)},
    {"27 at sign in name", TEXT(GET "a@b: v\r\n" END), R(FIELD_NAME)},
    {"27 high byte in name", TEXT(GET "a\x80: v\r\n" END), R(FIELD_NAME)},
    {"27 no colon", TEXT(GET "abc\r\n" END), R(FIELD_NAME)},
    {"28 NUL in value", TEXT(GET "X: a\0b\r\n" END), R(CONTROL_BYTE)},
    {"28 NUL in name", TEXT(GET "X\0: a\r\n" END), R(CONTROL_BYTE)},
    {"29 bare CR in value", TEXT(GET "X: a\rb\r\n" END), R(LINE_END)},
    {"29 CR CR LF", TEXT(GET "X: a\r\r\n" END), R(LINE_END)},
    {"30 control byte in value", TEXT(GET "X: a\x01\r\n" END), R(CONTROL_BYTE)},
    {"30 DEL in value", TEXT(GET "X: a\x7f\r\n" END), R(CONTROL_BYTE)},
    {"31 CR only", TEXT("GET / HTTP/1.1\rHost: a\r\r"), R(LINE_END)},
    {"32 LF only", TEXT("GET / HTTP/1.1\nHost: a\n\n"), R(LINE_END)},
    {"32 one LF only", TEXT(GET "X: a\n" END), R(LINE_END)},
    {"32 LF ends the head", TEXT(GET "\n"), R(LINE_END)},
    {"34 no Host", TEXT("GET / HTTP/1.1\r\n" END), R(HOST_MISSING)},
    {"34 no Host, absolute target", TEXT("GET http://a/ HTTP/1.1\r\n" END), R(HOST_MISSING)},
    {"35 two Hosts", TEXT(GET H END), R(HOST_REPEATED)},
    {"35 two Hosts in 1.0", TEXT("GET / HTTP/1.0\r\n" H H END), R(HOST_REPEATED)},
    {"36 space", TEXT("GET / HTTP/1.1\r\nHost: a b\r\n" END), R(HOST)},
    {"36 slash", TEXT("GET / HTTP/1.1\r\nHost: a/b\r\n" END), R(HOST)},
    {"36 user", TEXT("GET / HTTP/1.1\r\nHost: u@h\r\n" END), R(HOST)},
    {"36 port 99999", TEXT("GET / HTTP/1.1\r\nHost: h:99999\r\n" END), R(HOST)},
    {"36 port 0", TEXT("GET / HTTP/1.1\r\nHost: h:0\r\n" END), R(HOST)},
    {"36 port x", TEXT("GET / HTTP/1.1\r\nHost: h:8x\r\n" END), R(HOST)},
    {"36 two ports", TEXT("GET / HTTP/1.1\r\nHost: h:80:81\r\n" END), R(HOST)},
    {"36 empty", TEXT("GET / HTTP/1.1\r\nHost:\r\n" END), R(HOST)},
    {"36 port only", TEXT("GET / HTTP/1.1\r\nHost: :80\r\n" END), R(HOST)},
    {"36 list", TEXT("GET / HTTP/1.1\r\nHost: a, b\r\n" END), R(HOST)},
    {"36 open bracket", TEXT("GET / HTTP/1.1\r\nHost: [::1\r\n" END), R(HOST)},
    {"36 bad IPv6", TEXT("GET / HTTP/1.1\r\nHost: [zz::1]\r\n" END), R(HOST)},
    {"36 bytes after bracket", TEXT("GET / HTTP/1.1\r\nHost: [::1]a\r\n" END), R(HOST)},
    {"37 bad Host beside absolute target", TEXT("GET http://a/ HTTP/1.1\r\nHost: a b\r\n" END), R(HOST)},
    {"38 space in target", TEXT("GET /a b HTTP/1.1\r\n" H END), R(START_LINE)},
    {"38 tab in target", TEXT("GET /a\tb HTTP/1.1\r\n" H END), R(TARGET)},
    {"38 control byte in target", TEXT("GET /a\x01 HTTP/1.1\r\n" H END), R(CONTROL_BYTE)},
    {"38 high byte in target", TEXT("GET /\xc3\xa4 HTTP/1.1\r\n" H END), R(TARGET)},
    {"39 no slash", TEXT("GET a HTTP/1.1\r\n" H END), R(TARGET)},
    {"39 GET *", TEXT("GET * HTTP/1.1\r\n" H END), R(TARGET)},
    {"39 other scheme", TEXT("GET ftp://a/ HTTP/1.1\r\n" H END), R(TARGET)},
    {"39 user in target", TEXT("GET http://u@a/ HTTP/1.1\r\n" H END), R(TARGET)},
    {"39 no host in target", TEXT("GET http:///a HTTP/1.1\r\n" H END), R(TARGET)},
    {"39 empty target", TEXT("GET  HTTP/1.1\r\n" H END), R(TARGET)},
    {"36 a dot alone", TEXT("GET / HTTP/1.1\r\nHost: .\r\n" END), R(HOST)},
    {"36 a name of 256 bytes", TEXT("GET / HTTP/1.1\r\nHost: " X64 X64 X64 X64 "\r\n" END), R(HOST)},
    {"40 fragment", TEXT("GET /a#b HTTP/1.1\r\n" H END), R(TARGET)},
    {"41 CONNECT", TEXT("CONNECT a:443 HTTP/1.1\r\n" H END), R(METHOD_REFUSED)},
    {"41 TRACE", TEXT("TRACE / HTTP/1.1\r\n" H END), R(METHOD_REFUSED)},
    {"42 method with parenthesis", TEXT("G(T / HTTP/1.1\r\n" H END), R(METHOD)},
    {"42 empty method", TEXT(" / HTTP/1.1\r\n" H END), R(METHOD)},
    {"42 method with high byte", TEXT("G\xc3T / HTTP/1.1\r\n" H END), R(METHOD)},
    {"43 HTTP/2.0", TEXT("GET / HTTP/2.0\r\n" H END), R(VERSION)},
    {"43 HTTP/0.9", TEXT("GET / HTTP/0.9\r\n" H END), R(VERSION)},
    {"43 HTTP/1.10", TEXT("GET / HTTP/1.10\r\n" H END), R(START_LINE)},
    {"43 http/1.1", TEXT("GET / http/1.1\r\n" H END), R(START_LINE)},
    {"43 no version", TEXT("GET /\r\n" END), R(START_LINE)},
    {"43 space after version", TEXT("GET / HTTP/1.1 \r\n" H END), R(START_LINE)},
    {"43 two spaces", TEXT("GET /  HTTP/1.1\r\n" H END), R(START_LINE)},
    {"44 too many empty lines", TEXT("\r\n\r\n\r\n\r\n\r\n" GET END), R(EMPTY_LINES)},
    {"44 LF as empty line", TEXT("\n" GET END), R(LINE_END)},
    {"TLS hello", TEXT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), R(CONTROL_BYTE)},
    {"HTTP/2 preface", TEXT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), R(VERSION)},
    {"expectation", TEXT(POST "Content-Length: 1\r\nExpect: 200-ok\r\n" END), R(EXPECTATION)},
    {"too many connection options",
     TEXT(GET "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,1,2,3,4,5,6,7\r\n" END),
     R(CONNECTION)},
};

static void test_what_is_malformed_is_refused_with_its_reason(void **state) {
  (void)state;
  for (size_t i = 0; i < NEAP_COUNT_OF(refusals); i++) {
    const refusal_row *row = &refusals[i];
    neap_http_request request;
    ssize_t got = parse_request(&request, row->head);
    if (got != NEAP_ESYNTAX || request.head.reason != row->reason)
      fail_msg("%s: %zd, %s", row->what, got, neap_http_reason_name(request.head.reason));
    assert_in_range(neap_http_reason_status(row->reason), 400, 505);
  }
}

static void test_refusals_do_not_depend_on_how_the_bytes_are_cut(void **state) {
  (void)state;
  for (size_t i = 0; i < NEAP_COUNT_OF(refusals); i++) {
    neap_http_request request;
    ssize_t got = drip_request(&request, refusals[i].head);
    if (got != NEAP_ESYNTAX || request.head.reason != refusals[i].reason)
      fail_msg("%s: %zd, %s", refusals[i].what, got, neap_http_reason_name(request.head.reason));
  }
}

typedef struct good_row {
  const char *what;
  text head;
  neap_http_method method;
  const char *path, *query, *authority, *host;
  int port;
  neap_http_framing framing;
  uint64_t length;
  bool keep_alive, expect;
} good_row;

#define NONE    NEAP_HTTP_FRAMING_NONE
#define LENGTH  NEAP_HTTP_FRAMING_LENGTH
#define CHUNKED NEAP_HTTP_FRAMING_CHUNKED
#define M(name) NEAP_HTTP_METHOD_##name

static const good_row good[] = {
    {"plain", TEXT(GET END), M(GET), "/", "", "a", "a", 0, NONE, 0, true, false},
    {"query", TEXT("GET /a/b?c=d?e HTTP/1.1\r\nHost: A.b:81\r\n" END), M(GET), "/a/b", "c=d?e", "A.b:81",
     "A.b", 81, NONE, 0, true, false},
    {"empty port", TEXT("GET / HTTP/1.1\r\nHost: a:\r\n" END), M(GET), "/", "", "a:", "a", 0, NONE, 0, true,
     false},
    {"IPv6", TEXT("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n" END), M(GET), "/", "", "[::1]:8080", "[::1]", 8080,
     NONE, 0, true, false},
    {"final dot", TEXT("GET / HTTP/1.1\r\nHost: A.b.:81\r\n" END), M(GET), "/", "", "A.b.:81", "A.b", 81,
     NONE, 0, true, false},
    {"no space after colon", TEXT("GET / HTTP/1.1\r\nHost:a\r\n" END), M(GET), "/", "", "a", "a", 0, NONE, 0,
     true, false},
    {"blanks around value", TEXT("GET / HTTP/1.1\r\nHost:\t a \t\r\n" END), M(GET), "/", "", "a", "a", 0,
     NONE, 0, true, false},
    {"tab and high bytes in value", TEXT(GET "X: a\tb\xff\r\n" END), M(GET), "/", "", "a", "a", 0, NONE, 0,
     true, false},
    {"length", TEXT(POST "Content-Length: 5\r\n" END), M(POST), "/", "", "a", "a", 0, LENGTH, 5, true, false},
    {"length with zeros", TEXT(POST "content-length: 0005\r\n" END), M(POST), "/", "", "a", "a", 0, LENGTH, 5,
     true, false},
    {"6 2^63 - 1", TEXT(POST "Content-Length: 9223372036854775807\r\n" END), M(POST), "/", "", "a", "a", 0,
     LENGTH, INT64_MAX, true, false},
    {"11 ChUnKeD", TEXT(POST "Transfer-Encoding: ChUnKeD\r\n" END), M(POST), "/", "", "a", "a", 0, CHUNKED, 0,
     true, false},
    {"33 lookalike does not frame", TEXT(POST "Content_Length: 9\r\nContent-Length: 5\r\n" END), M(POST), "/",
     "", "a", "a", 0, LENGTH, 5, true, false},
    {"33 lookalike coding", TEXT(POST "Transfer_Encoding: chunked\r\n" END), M(POST), "/", "", "a", "a", 0,
     NONE, 0, true, false},
    {"37 absolute target wins", TEXT("GET HTTP://b:82/x?y HTTP/1.1\r\n" H END), M(GET), "/x", "y", "b:82",
     "b", 82, NONE, 0, true, false},
    {"absolute without path", TEXT("GET http://b HTTP/1.1\r\n" H END), M(GET), "/", "", "b", "b", 0, NONE, 0,
     true, false},
    {"absolute with query only", TEXT("GET http://b?q HTTP/1.1\r\n" H END), M(GET), "/", "q", "b", "b", 0,
     NONE, 0, true, false},
    {"OPTIONS *", TEXT("OPTIONS * HTTP/1.1\r\n" H END), M(OPTIONS), "*", "", "a", "a", 0, NONE, 0, true,
     false},
    {"OPTIONS of a whole server", TEXT("OPTIONS http://b HTTP/1.1\r\n" H END), M(OPTIONS), "*", "", "b", "b",
     0, NONE, 0, true, false},
    {"two slashes", TEXT("GET //b/c HTTP/1.1\r\n" H END), M(GET), "//b/c", "", "a", "a", 0, NONE, 0, true,
     false},
    {"44 empty lines before", TEXT("\r\n\r\n" GET END), M(GET), "/", "", "a", "a", 0, NONE, 0, true, false},
    {"unknown method", TEXT("PURGE / HTTP/1.1\r\n" H END), M(OTHER), "/", "", "a", "a", 0, NONE, 0, true,
     false},
    {"methods have a case", TEXT("get / HTTP/1.1\r\n" H END), M(OTHER), "/", "", "a", "a", 0, NONE, 0, true,
     false},
    {"HTTP/1.0", TEXT("GET / HTTP/1.0\r\n" END), M(GET), "/", "", "", "", 0, NONE, 0, false, false},
    {"HTTP/1.0 keep-alive", TEXT("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n" END), M(GET), "/", "", "", "",
     0, NONE, 0, true, false},
    {"HTTP/1.2 is 1.1", TEXT("GET / HTTP/1.2\r\n" H END), M(GET), "/", "", "a", "a", 0, NONE, 0, true, false},
    {"close", TEXT(GET "Connection: x, Close\r\n" END), M(GET), "/", "", "a", "a", 0, NONE, 0, false, false},
    {"close in a second line", TEXT(GET "Connection: keep-alive\r\nConnection: close\r\n" END), M(GET), "/",
     "", "a", "a", 0, NONE, 0, false, false},
    {"50 expectation", TEXT(POST "Content-Length: 5\r\nExpect: 100-Continue\r\n" END), M(POST), "/", "", "a",
     "a", 0, LENGTH, 5, true, true},
    {"expectation without body", TEXT(GET "Expect: 100-continue\r\n" END), M(GET), "/", "", "a", "a", 0, NONE,
     0, true, false},
    {"51 expectation in 1.0", TEXT("POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n" END),
     M(POST), "/", "", "", "", 0, LENGTH, 5, false, false},
};

static void check_good(const good_row *row, const neap_http_request *request, ssize_t got) {
  if (got != (ssize_t)row->head.size)
    fail_msg("%s: %zd, %s", row->what, got, neap_http_reason_name(request->head.reason));
  assert_int_equal(request->method_id, row->method);
  assert_slice(request->path, row->path);
  assert_slice(request->query, row->query);
  assert_slice(request->authority, row->authority);
  assert_slice(request->host, row->host);
  assert_int_equal(request->port, row->port);
  assert_int_equal(request->head.framing, row->framing);
  assert_int_equal(request->head.content_length, row->length);
  assert_int_equal(request->head.keep_alive, row->keep_alive);
  assert_int_equal(request->expect_continue, row->expect);
}

static void test_what_is_right_is_taken_apart(void **state) {
  (void)state;
  for (size_t i = 0; i < NEAP_COUNT_OF(good); i++) {
    neap_http_request request;
    check_good(&good[i], &request, parse_request(&request, good[i].head));
    check_good(&good[i], &request, drip_request(&request, good[i].head));
  }
}

static void test_bytes_after_the_head_are_left_alone(void **state) {
  (void)state;
  neap_http_request request;
  text two = TEXT(GET END "GET /next HTTP/1.1\r\n");
  assert_int_equal(parse_request(&request, two), sizeof(GET END) - 1);
}

static void test_fields_keep_order_and_are_found(void **state) {
  (void)state;
  neap_http_request request;
  text head = TEXT(GET "X-a: 1\r\nCookie: b\r\nx-A: 2\r\ncookie: c\r\nEmpty:\r\n" END);
  assert_true(parse_request(&request, head) > 0);
  assert_int_equal(request.head.field_count, 6);
  const neap_http_field *cookie = neap_http_field_first(&request.head, NEAP_HTTP_ID_COOKIE);
  assert_slice(cookie->value, "b");
  cookie = neap_http_field_next(&request.head, cookie);
  assert_slice(cookie->value, "c");
  assert_null(neap_http_field_next(&request.head, cookie));
  assert_null(neap_http_field_first(&request.head, NEAP_HTTP_ID_RANGE));
  assert_slice(neap_http_field_find(&request.head, "x-A", 3)->value, "1");
  assert_slice(neap_http_field_find(&request.head, "empty", 5)->value, "");
  assert_null(neap_http_field_find(&request.head, "x-", 2));
}

static void test_views_follow_a_head_that_is_moved(void **state) {
  (void)state;
  neap_http_request request;
  text head = TEXT("GET http://b HTTP/1.1\r\n" H "X: y\r\n" END);
  assert_true(parse_request(&request, head) > 0);
  char copy[64];
  memcpy(copy, head.ptr, head.size);
  neap_http_request_move(&request, copy);
  memset(copy, 'z', head.size);
  assert_slice(request.host, "z");
  assert_slice(request.head.fields[1].value, "z");
  assert_slice(request.path, "/"); /* was never in the buffer */
}

/* --- limits ------------------------------------------------------------------------------------------ */

static const neap_http_limits small = {.line_bytes = 32,
                                       .field_bytes = 20,
                                       .head_bytes = 80,
                                       .field_count = 4,
                                       .extension_bytes = 8,
                                       .trailer_bytes = 16};

static neap_http_reason reason_within_small(text head, bool drip) {
  neap_http_request request;
  ssize_t got = 0;
  neap_http_request_init(&request, request_fields, &small);
  for (size_t size = drip ? 1 : head.size; size <= head.size && got == 0; size++)
    got = neap_http_request_parse(&request, head.ptr, size);
  return got < 0 ? request.head.reason : got > 0 ? NEAP_HTTP_REASON_NONE : NEAP_HTTP_REASON_COUNT;
}

static void test_limits_hold_to_the_byte(void **state) {
  (void)state;
  static const refusal_row rows[] = {
      {"line of 32", TEXT("GET /3456789012345678 HTTP/1.1\r\n" H END), R(NONE)},
      {"line of 33", TEXT("GET /34567890123456789012 HTTP/1.1\r\n" H END), R(START_LINE_TOO_LONG)},
      {"45 endless line", TEXT("GET /3456789012345678901234567890"), R(START_LINE_TOO_LONG)},
      {"field of 20", TEXT(GET "X: 45678901234567890\r\n" END), R(NONE)},
      {"field of 21", TEXT(GET "X: 456789012345678901\r\n" END), R(FIELD_TOO_LONG)},
      {"endless field", TEXT(GET "X: 456789012345678901"), R(FIELD_TOO_LONG)},
      {"4 fields", TEXT(GET "B:\r\nC:\r\nD:\r\n" END), R(NONE)},
      {"46 5 fields", TEXT(GET "B:\r\nC:\r\nD:\r\nE:\r\n" END), R(FIELD_COUNT)},
      {"head of 80", TEXT(GET "X: 45678901234567890\r\nY: 456789012345678\r\nZ: 456789\r\n" END), R(NONE)},
      {"head of 81", TEXT(GET "X: 45678901234567890\r\nY: 456789012345678\r\nZ: 4567890\r\n" END),
       R(HEAD_TOO_LONG)},
      {"incomplete", TEXT(GET "X: 4567"), R(COUNT)},
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    neap_http_reason at_once = reason_within_small(rows[i].head, false);
    neap_http_reason dripped = reason_within_small(rows[i].head, true);
    if (at_once != rows[i].reason || dripped != rows[i].reason)
      fail_msg("%s: %d, %d", rows[i].what, at_once, dripped);
  }
}

static void test_twenty_thousand_tiny_fields_are_refused_early(void **state) {
  (void)state;
  size_t size = sizeof(GET) - 1;
  char *head = malloc(size + 20000 * 4);
  neap_http_request request;
  memcpy(head, GET, size);
  for (int i = 0; i < 20000; i++, size += 4) memcpy(head + size, "a:\r\n", 4);
  assert_int_equal(parse_request(&request, (text){head, size}), NEAP_ESYNTAX);
  assert_int_equal(request.head.reason, NEAP_HTTP_REASON_FIELD_COUNT);
  assert_int_equal(neap_http_reason_status(request.head.reason), 431);
  free(head);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_is_malformed_is_refused_with_its_reason),
      cmocka_unit_test(test_refusals_do_not_depend_on_how_the_bytes_are_cut),
      cmocka_unit_test(test_what_is_right_is_taken_apart),
      cmocka_unit_test(test_bytes_after_the_head_are_left_alone),
      cmocka_unit_test(test_fields_keep_order_and_are_found),
      cmocka_unit_test(test_views_follow_a_head_that_is_moved),
      cmocka_unit_test(test_limits_hold_to_the_byte),
      cmocka_unit_test(test_twenty_thousand_tiny_fields_are_refused_early),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
