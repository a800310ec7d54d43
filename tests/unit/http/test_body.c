/* Bodies: where they end, whatever the cuts. */
#include "helpers.h"

#define R(name)    NEAP_HTTP_REASON_##name
#define UNFINISHED NEAP_HTTP_REASON_COUNT

typedef struct result {
  neap_http_reason reason; /* NONE: done */
  char payload[256];
  size_t size, rest; /* of the payload; bytes after the end */
} result;

/* Feeds `input` in cuts of `cut` bytes. */
static result feed(neap_http_body *body, text input, size_t cut) {
  result out = {.reason = R(NONE)};
  size_t at = 0;
  while (at < input.size && !body->done) {
    neap_view payload;
    ssize_t n = neap_http_body_feed(body, input.ptr + at, NEAP_MIN(cut, input.size - at), &payload);
    if (n < 0) {
      out.reason = body->reason;
      return out;
    }
    assert_true(n > 0);
    assert_true(out.size + payload.size < sizeof out.payload);
    memcpy(out.payload + out.size, payload.ptr, payload.size);
    out.size += payload.size;
    at += (size_t)n;
  }
  out.rest = input.size - at;
  if (!body->done) out.reason = UNFINISHED;
  return out;
}

static neap_http_body body_of(neap_http_framing framing, uint64_t length) {
  neap_http_head head = {.limits = &neap_http_limits_default, .framing = framing, .content_length = length};
  neap_http_body body;
  neap_http_body_init(&body, &head);
  return body;
}

typedef struct chunked_row {
  const char *what;
  text input;
  neap_http_reason reason;
  const char *payload;
} chunked_row;

static const chunked_row rows[] = {
    {"two chunks", TEXT("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), R(NONE), "hello!"},
    {"empty", TEXT("0\r\n\r\n"), R(NONE), ""},
    {"hexadecimal sizes", TEXT("A\r\n0123456789\r\nb\r\n0123456789x\r\n0\r\n\r\n"), R(NONE),
     "01234567890123456789x"},
    {"14 0x5", TEXT("0x5\r\nhello\r\n0\r\n\r\n"), R(CHUNK_SIZE), ""},
    {"14 -5", TEXT("-5\r\nhello\r\n0\r\n\r\n"), R(CHUNK_SIZE), ""},
    {"14 +5", TEXT("+5\r\nhello\r\n0\r\n\r\n"), R(CHUNK_SIZE), ""},
    {"14 5g", TEXT("5g\r\nhello\r\n0\r\n\r\n"), R(CHUNK_SIZE), ""},
    {"14 empty", TEXT("\r\nhello\r\n0\r\n\r\n"), R(CHUNK_SIZE), ""},
    {"14 blank first", TEXT(" 5\r\nhello\r\n0\r\n\r\n"), R(CHUNK_SIZE), ""},
    {"14 blank after", TEXT("5 \r\nhello\r\n0\r\n\r\n"), R(CHUNK_SIZE), ""},
    {"14 extension only", TEXT(";a\r\nhello\r\n0\r\n\r\n"), R(CHUNK_SIZE), ""},
    {"15 2^64 + 5", TEXT("10000000000000005\r\nhello\r\n0\r\n\r\n"), R(CHUNK_SIZE_TOO_LARGE), ""},
    {"15 2^63", TEXT("8000000000000000\r\nhello\r\n0\r\n\r\n"), R(CHUNK_SIZE_TOO_LARGE), ""},
    {"15 seventeen zeros", TEXT("00000000000000000\r\n\r\n"), R(CHUNK_SIZE_TOO_LARGE), ""},
    {"16 data longer", TEXT("5\r\nhelloX\r\n0\r\n\r\n"), R(CHUNK_DATA), "hello"},
    {"16 data shorter", TEXT("5\r\nhell\r\n0\r\n\r\n"), R(CHUNK_DATA), "hell\r"},
    {"17 LF after size", TEXT("5\nhello\r\n0\r\n\r\n"), R(CHUNK_LINE_END), ""},
    {"17 CR alone after size", TEXT("5\rhello\r\n0\r\n\r\n"), R(CHUNK_LINE_END), ""},
    {"17 LF after data", TEXT("5\r\nhello\n0\r\n\r\n"), R(CHUNK_DATA), "hello"},
    {"17 CR alone after data", TEXT("5\r\nhello\rX0\r\n\r\n"), R(CHUNK_LINE_END), "hello"},
    {"17 LF at the end", TEXT("0\r\n\n"), R(TRAILER), ""},
    {"17 CR X at the end", TEXT("0\r\n\rX"), R(CHUNK_LINE_END), ""},
    {"18 LF in extension", TEXT("5;\nhello\r\n0\r\n\r\n"), R(CHUNK_LINE_END), ""},
    {"18 CR in extension", TEXT("5;a\rb\r\nhello\r\n0\r\n\r\n"), R(CHUNK_LINE_END), ""},
    {"18 NUL in extension", TEXT("5;a\0\r\nhello\r\n0\r\n\r\n"), R(CHUNK_EXTENSION), ""},
    {"19 extensions", TEXT("5;a=b;c=\"d\"\r\nhello\r\n0;x\r\n\r\n"), R(NONE), "hello"},
    {"19 blanks before an extension", TEXT("5 \t;a\r\nhello\r\n0\r\n\r\n"), R(NONE), "hello"},
    {"21 zeros before", TEXT("0005\r\nhello\r\n000\r\n\r\n"), R(NONE), "hello"},
    {"22 trailers", TEXT("5\r\nhello\r\n0\r\nContent-Length: 9\r\nHost: b\r\n\r\n"), R(NONE), "hello"},
    {"22 trailer without colon", TEXT("0\r\nabc\r\n\r\n"), R(TRAILER), ""},
    {"22 trailer without name", TEXT("0\r\n: abc\r\n\r\n"), R(TRAILER), ""},
    {"22 folded trailer", TEXT("0\r\nA: b\r\n c\r\n\r\n"), R(TRAILER), ""},
    {"22 LF in trailer", TEXT("0\r\nA: b\n\r\n"), R(TRAILER), ""},
    {"22 NUL in trailer", TEXT("0\r\nA: \0\r\n\r\n"), R(TRAILER), ""},
    {"no last chunk", TEXT("5\r\nhello\r\n"), UNFINISHED, "hello"},
    {"no last empty line", TEXT("5\r\nhello\r\n0\r\n"), UNFINISHED, "hello"},
    {"middle of a chunk", TEXT("5\r\nhel"), UNFINISHED, "hel"},
};

static void test_chunked_bodies_end_where_they_should(void **state) {
  (void)state;
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++)
    for (size_t cut = 1; cut <= rows[i].input.size; cut++) {
      neap_http_body body = body_of(NEAP_HTTP_FRAMING_CHUNKED, 0);
      result got = feed(&body, rows[i].input, cut);
      if (got.reason != rows[i].reason || got.size != strlen(rows[i].payload) ||
          memcmp(got.payload, rows[i].payload, got.size) != 0)
        fail_msg("%s, cut %zu: %s, \"%.*s\"", rows[i].what, cut,
                 got.reason == UNFINISHED ? "unfinished" : neap_http_reason_name(got.reason), (int)got.size,
                 got.payload);
    }
}

static void test_bytes_after_a_body_are_left_alone(void **state) {
  (void)state;
  neap_http_body body = body_of(NEAP_HTTP_FRAMING_CHUNKED, 0);
  assert_int_equal(feed(&body, TEXT("0\r\n\r\nGET /"), 64).rest, 5);
  body = body_of(NEAP_HTTP_FRAMING_LENGTH, 3);
  result got = feed(&body, TEXT("abcGET /"), 64);
  assert_int_equal(got.rest, 5);
  assert_int_equal(got.size, 3);
}

static void test_no_body_is_done_at_once(void **state) {
  (void)state;
  assert_true(body_of(NEAP_HTTP_FRAMING_NONE, 0).done);
  assert_true(body_of(NEAP_HTTP_FRAMING_LENGTH, 0).done);
  assert_false(body_of(NEAP_HTTP_FRAMING_LENGTH, 1).done);
  assert_false(body_of(NEAP_HTTP_FRAMING_CHUNKED, 0).done);
  assert_false(body_of(NEAP_HTTP_FRAMING_CLOSE, 0).done);
}

static void test_only_a_close_delimited_body_may_end_by_closing(void **state) {
  (void)state;
  neap_http_body body = body_of(NEAP_HTTP_FRAMING_CLOSE, 0);
  assert_int_equal(feed(&body, TEXT("abc"), 2).size, 3);
  assert_int_equal(neap_http_body_close(&body), 0);
  assert_true(body.done);
  body = body_of(NEAP_HTTP_FRAMING_LENGTH, 4);
  feed(&body, TEXT("abc"), 3);
  assert_int_equal(neap_http_body_close(&body), NEAP_ESYNTAX);
  assert_int_equal(body.reason, R(TRUNCATED));
  body = body_of(NEAP_HTTP_FRAMING_CHUNKED, 0);
  feed(&body, TEXT("3\r\nabc\r\n"), 9);
  assert_int_equal(neap_http_body_close(&body), NEAP_ESYNTAX);
  assert_false(body.done);
  body = body_of(NEAP_HTTP_FRAMING_LENGTH, 1);
  feed(&body, TEXT("a"), 1);
  assert_int_equal(neap_http_body_close(&body), 0);
}

static void test_a_refused_body_stays_refused(void **state) {
  (void)state;
  neap_http_body body = body_of(NEAP_HTTP_FRAMING_CHUNKED, 0);
  neap_view payload;
  assert_int_equal(feed(&body, TEXT("x"), 1).reason, R(CHUNK_SIZE));
  assert_int_equal(neap_http_body_feed(&body, "0\r\n\r\n", 5, &payload), NEAP_ESYNTAX);
  assert_int_equal(neap_http_body_close(&body), NEAP_ESYNTAX);
}

/* Feeds `head`, then `count` times `filler`, and tells what came of it. */
static neap_http_reason flood(neap_http_body *body, const char *head, const char *filler, size_t count) {
  result got = feed(body, (text){head, strlen(head)}, 64);
  for (size_t i = 0; i < count && got.reason == UNFINISHED; i++) {
    neap_view payload;
    for (size_t at = 0; at < strlen(filler);) {
      ssize_t n = neap_http_body_feed(body, filler + at, strlen(filler) - at, &payload);
      if (n < 0) return body->reason;
      at += (size_t)n;
    }
  }
  return got.reason;
}

static void test_what_is_read_over_is_bounded(void **state) {
  (void)state;
  neap_http_body body = body_of(NEAP_HTTP_FRAMING_CHUNKED, 0);
  assert_int_equal(flood(&body, "5;", "aaaaaaaaaa", 10240), R(CHUNK_EXTENSION)); /* 20 */
  body = body_of(NEAP_HTTP_FRAMING_CHUNKED, 0);
  assert_int_equal(flood(&body, "5 ", "          ", 10240), R(CHUNK_EXTENSION));
  body = body_of(NEAP_HTTP_FRAMING_CHUNKED, 0);
  assert_int_equal(flood(&body, "0\r\n", "a: b\r\n", 10240), R(TRAILER_TOO_LONG));
  body = body_of(NEAP_HTTP_FRAMING_CHUNKED, 0); /* one byte of payload for every hundred */
  assert_int_equal(flood(&body, "",
                         "1;"
                         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                         "aaaaaaaaaaaaaa\r\n"
                         "x\r\n",
                         10240),
                   R(CHUNK_EXTENSION));
}

static void test_chunk_heads_are_written_in_hexadecimal(void **state) {
  (void)state;
  static const struct {
    uint64_t size;
    const char *head;
  } sizes[] = {{1, "1\r\n"},       {15, "f\r\n"},        {16, "10\r\n"},
               {0x1f4, "1f4\r\n"}, {65536, "10000\r\n"}, {UINT64_MAX, "ffffffffffffffff\r\n"}};
  for (size_t i = 0; i < NEAP_COUNT_OF(sizes); i++) {
    char out[NEAP_HTTP_CHUNK_HEAD_MAX];
    assert_int_equal(neap_http_chunk_head(out, sizes[i].size), strlen(sizes[i].head));
    assert_memory_equal(out, sizes[i].head, strlen(sizes[i].head));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_chunked_bodies_end_where_they_should),
      cmocka_unit_test(test_bytes_after_a_body_are_left_alone),
      cmocka_unit_test(test_no_body_is_done_at_once),
      cmocka_unit_test(test_only_a_close_delimited_body_may_end_by_closing),
      cmocka_unit_test(test_a_refused_body_stays_refused),
      cmocka_unit_test(test_what_is_read_over_is_bounded),
      cmocka_unit_test(test_chunk_heads_are_written_in_hexadecimal),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
