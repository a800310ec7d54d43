/* Stored heads on their way to other nodes: what comes back, how old it is, and what is refused. */
#include "helpers.h"

#define NOW   784111777
#define WALL  ((uint64_t)NOW * 1000)
#define OK    "HTTP/1.1 200 OK\r\n"
#define FRESH "Cache-Control: max-age=600\r\n"
#define END   "\r\n"

static neap_http_field rows[NEAP_HTTP_FIELDS_MAX];
static char made[4096], read_back[4096];

/* The record of a response that was stored at 5000 with an age of 10 s, made at `now_ms`. */
static neap_view record_of(text answer, uint64_t now_ms, uint64_t wall_ms) {
  neap_http_response response;
  char meta[2048];
  const neap_http_decision decision = {.shareable = true, .age_ms = 10000, .lifetime_ms = 600000};
  const neap_http_times times = {.request_ms = 5000, .response_ms = 5000, .wall_s = NOW};
  assert_true(parse_response(&response, answer, NEAP_HTTP_METHOD_GET) > 0);
  ssize_t size = neap_http_stored_write(meta, sizeof meta, &response, &decision, &times);
  assert_true(size > 0);
  size = neap_http_record_write(made, sizeof made, (neap_view){meta, (size_t)size}, now_ms, wall_ms);
  assert_true(size > 0);
  return (neap_view){made, (size_t)size};
}

static int read_at(neap_view record, uint64_t body_bytes, uint64_t now_ms, uint64_t wall_ms,
                   neap_http_record *out) {
  return neap_http_record_read(record, body_bytes, now_ms, wall_ms, rows, read_back, sizeof read_back, out);
}

static neap_http_stored read_good(neap_view record, uint64_t now_ms, uint64_t wall_ms, uint64_t *ttl_ms) {
  neap_http_record out;
  neap_http_stored stored;
  assert_int_equal(read_at(record, 5, now_ms, wall_ms, &out), 0);
  assert_int_equal(neap_http_stored_open(out.meta, &stored), 0);
  *ttl_ms = out.ttl_ms;
  return stored;
}

static void test_a_head_comes_back_as_it_was(void **state) {
  (void)state;
  uint64_t ttl_ms;
  neap_view record =
      record_of(TEXT(OK FRESH "ETag: \"a\"\r\nX-Own: b\r\nContent-Length: 5\r\n" END), 5000, WALL);
  neap_http_stored stored = read_good(record, 900, WALL, &ttl_ms);
  assert_int_equal(stored.status, 200);
  assert_true(stored.shareable && !stored.marker);
  assert_true(neap_view_is(stored.etag, "\"a\""));
  assert_true(neap_view_is(stored.head, OK FRESH "ETag: \"a\"\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                                 "X-Own: b\r\n"));
  assert_int_equal(ttl_ms, 590000);
}

/* On the clock of whoever reads: 10 s old when stored, 20 s in memory, 30 s on its way. */
static void test_age_goes_on_wherever_it_lies(void **state) {
  (void)state;
  uint64_t ttl_ms;
  neap_view record = record_of(TEXT(OK FRESH END), 25000, WALL);
  neap_http_stored stored = read_good(record, 77, WALL + 30000, &ttl_ms);
  assert_int_equal(neap_http_stored_age_s(&stored, 77), 60);
  assert_int_equal(neap_http_stored_age_s(&stored, 5077), 65);
  assert_int_equal(stored.lifetime_ms, 600000);
  assert_int_equal(ttl_ms, 540000);
}

static void test_a_clock_that_is_behind_makes_nothing_younger(void **state) {
  (void)state;
  uint64_t ttl_ms;
  neap_view record = record_of(TEXT(OK FRESH END), 25000, WALL);
  neap_http_stored stored = read_good(record, 77, WALL - 1000000, &ttl_ms);
  assert_int_equal(neap_http_stored_age_s(&stored, 77), 30);
}

static void test_what_is_over_is_over(void **state) {
  (void)state;
  neap_http_record out;
  neap_view record = record_of(TEXT(OK FRESH END), 5000, WALL);
  assert_int_equal(read_at(record, 0, 0, WALL + 589999, &out), 0);
  assert_int_equal(out.ttl_ms, 1);
  assert_int_equal(read_at(record, 0, 0, WALL + 590000, &out), NEAP_ENOTFOUND);
  assert_int_equal(read_at(record, 0, 0, UINT64_MAX, &out), NEAP_ENOTFOUND);
}

static void test_markers_travel_with_their_nonce(void **state) {
  (void)state;
  char meta[512];
  neap_http_response response;
  neap_http_record out;
  neap_http_stored first, second;
  assert_true(parse_response(&response, TEXT(OK "Vary: Accept, X-B\r\n" END), NEAP_HTTP_METHOD_GET) > 0);
  ssize_t size = neap_http_marker_write(meta, sizeof meta, &response, 77);
  assert_true(size > 0);
  neap_view whole = {meta, (size_t)size};
  assert_int_equal(neap_http_stored_open(whole, &first), 0);
  size = neap_http_record_write(made, sizeof made, whole, 1, WALL);
  assert_true(size > 0);
  neap_view record = {made, (size_t)size};
  assert_int_equal(read_at(record, 0, 1, WALL + 1000000000, &out), 0); /* its time is its keeper's to know */
  assert_int_equal(neap_http_stored_open(out.meta, &second), 0);
  assert_true(second.marker && second.nonce == 77 && neap_http_marker_matches(&first, &second));
  assert_int_equal(read_at(record, 1, 1, WALL, &out), NEAP_EINVAL); /* with a body */
}

static void test_every_cut_and_every_odd_byte_is_refused_or_harmless(void **state) {
  (void)state;
  neap_http_record out;
  neap_http_stored stored;
  char copy[sizeof made];
  neap_view record = record_of(TEXT(OK FRESH "ETag: \"a\"\r\n" END), 5000, WALL);
  for (size_t size = 0; size < record.size; size++) {
    memcpy(copy, record.ptr, size);
    assert_int_equal(read_at((neap_view){copy, size}, 0, 0, WALL, &out), NEAP_EINVAL);
  }
  memcpy(copy, record.ptr, record.size);
  for (size_t at = 0; at < record.size; at++)
    for (int bit = 0; bit < 8; bit++) {
      copy[at] = (char)(copy[at] ^ 1 << bit);
      if (read_at((neap_view){copy, record.size}, 0, 0, WALL, &out) == 0) {
        assert_int_equal(neap_http_stored_open(out.meta, &stored), 0);
        assert_true(out.ttl_ms > 0 && stored.head.ptr + stored.head.size <= read_back + sizeof read_back);
      }
      copy[at] = record.ptr[at];
    }
}

/* A forger who knows the format; the head is parsed as that of any backend. */
static void test_forged_heads_are_refused(void **state) {
  (void)state;
  static const text heads[] = {
      TEXT("HTTP/1.1 206 Partial\r\n" END),
      TEXT("HTTP/1.1 304 Not\r\n" END),
      TEXT("HTTP/1.1 101 Switched\r\n" END),
      TEXT("HTTP/1.1 100 Continue\r\n" END),
      TEXT(OK "A: b\n" END),
      TEXT(OK "A: b\r\n c\r\n" END),
      TEXT(OK "A b: c\r\n" END),
      TEXT(OK "A: b\0c\r\n" END),
      TEXT(OK END "HTTP/1.1 200 OK\r\n" END),
      TEXT(OK "Content-Length: 1\r\nContent-Length: 2\r\n" END),
      TEXT("HTTP/1.1 204 No Content\r\n" END), /* which has a body here */
      TEXT("GET / HTTP/1.1\r\n" END),
  };
  neap_http_record out;
  char copy[512];
  neap_view good = record_of(TEXT(OK FRESH END), 5000, WALL);
  for (size_t i = 0; i < NEAP_COUNT_OF(heads); i++) {
    memcpy(copy, good.ptr, NEAP_HTTP_RECORD_HEAD);
    memcpy(copy + NEAP_HTTP_RECORD_HEAD, heads[i].ptr, heads[i].size);
    int code = read_at((neap_view){copy, NEAP_HTTP_RECORD_HEAD + heads[i].size}, 5, 0, WALL, &out);
    if (code != NEAP_EINVAL) fail_msg("%zu: %d", i, code);
  }
}

static void test_a_buffer_that_is_too_small_is_said(void **state) {
  (void)state;
  neap_http_record out;
  char meta[2048], small[NEAP_HTTP_RECORD_HEAD + 8];
  neap_view record = record_of(TEXT(OK FRESH END), 5000, WALL);
  assert_int_equal(read_at(record, 0, 0, WALL, &out), 0);
  memcpy(meta, out.meta.ptr, out.meta.size);
  assert_int_equal(neap_http_record_write(small, sizeof small, (neap_view){meta, out.meta.size}, 0, WALL),
                   NEAP_ESMALL);
  assert_int_equal(neap_http_record_read(record, 0, 0, WALL, rows, small, sizeof small, &out), NEAP_ESMALL);
  assert_int_equal(neap_http_record_write(made, sizeof made, neap_view_of("nonsense"), 0, WALL), NEAP_EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_head_comes_back_as_it_was),
      cmocka_unit_test(test_age_goes_on_wherever_it_lies),
      cmocka_unit_test(test_a_clock_that_is_behind_makes_nothing_younger),
      cmocka_unit_test(test_what_is_over_is_over),
      cmocka_unit_test(test_markers_travel_with_their_nonce),
      cmocka_unit_test(test_every_cut_and_every_odd_byte_is_refused_or_harmless),
      cmocka_unit_test(test_forged_heads_are_refused),
      cmocka_unit_test(test_a_buffer_that_is_too_small_is_said),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
