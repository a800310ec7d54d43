/* Keys, variants, and heads as they lie in the cache. */
#include "helpers.h"

#define NOW  784111777
#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define ASK  "GET / HTTP/1.1\r\nHost: a\r\n"
#define OK   "HTTP/1.1 200 OK\r\n"
#define END  "\r\n"

static const neap_http_times times = {.request_ms = 5000, .response_ms = 5000, .wall_s = NOW};

/* --- keys ---------------------------------------------------------------------------------------------- */

static void test_keys_name_the_target(void **state) {
  (void)state;
  static const struct {
    text ask;
    const char *scheme, *key;
  } rows[] = {
      {TEXT("GET /a?b=c HTTP/1.1\r\nHost: Ex.COM\r\n" END), "http", "http://ex.com/a?b=c"},
      {TEXT("GET /A HTTP/1.1\r\nHost: ex.com:80\r\n" END), "http", "http://ex.com/A"},
      {TEXT("GET / HTTP/1.1\r\nHost: ex.com:\r\n" END), "http", "http://ex.com/"},
      {TEXT("GET / HTTP/1.1\r\nHost: ex.com:443\r\n" END), "http", "http://ex.com:443/"},
      {TEXT("GET / HTTP/1.1\r\nHost: ex.com:443\r\n" END), "https", "https://ex.com/"},
      {TEXT("GET /? HTTP/1.1\r\nHost: ex.com:8080\r\n" END), "http", "http://ex.com:8080/?"},
      {TEXT("GET http://Ex.com:80 HTTP/1.1\r\nHost: other\r\n" END), "http", "http://ex.com/"},
      {TEXT("GET / HTTP/1.1\r\nHost: eX.com.:81\r\n" END), "http", "http://ex.com:81/"},
      {TEXT("HEAD / HTTP/1.1\r\nHost: [::1]\r\n" END), "http", "http://[::1]/"},
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    char key[128];
    neap_http_request request;
    assert_true(parse_request(&request, rows[i].ask) > 0);
    ssize_t size = neap_http_key(key, sizeof key - 1, &request, neap_view_of(rows[i].scheme));
    assert_true(size > 0);
    key[size] = 0;
    assert_string_equal(key, rows[i].key);
    assert_int_equal(neap_http_key(key, (size_t)size - 1, &request, neap_view_of(rows[i].scheme)),
                     NEAP_ESMALL);
  }
}

static void test_without_host_there_is_no_key(void **state) {
  (void)state;
  char key[64];
  neap_http_request request;
  assert_true(parse_request(&request, TEXT("GET / HTTP/1.0\r\n" END)) > 0);
  assert_int_equal(neap_http_key(key, sizeof key, &request, neap_view_of("http")), NEAP_EINVAL);
}

/* --- variants ------------------------------------------------------------------------------------------ */

static neap_http_stored marker_of(char *meta, size_t capacity, text answer, uint64_t nonce) {
  neap_http_response response;
  neap_http_stored marker;
  assert_true(parse_response(&response, answer, NEAP_HTTP_METHOD_GET) > 0);
  ssize_t size = neap_http_marker_write(meta, capacity, &response, nonce);
  assert_true(size > 0);
  assert_int_equal(neap_http_stored_open((neap_view){meta, (size_t)size}, &marker), 0);
  assert_true(marker.marker);
  return marker;
}

static const char *variant(const neap_http_stored *marker, text ask) {
  static char keys[8][256];
  static int next;
  char *key = keys[next++ % 8];
  neap_http_request request;
  assert_true(parse_request(&request, ask) > 0);
  ssize_t size = neap_http_variant_key(key, 255, neap_view_of("k"), marker, &request);
  assert_true(size > 0);
  key[size] = 0;
  return key;
}

static void test_a_marker_names_fields_sorted_and_once(void **state) {
  (void)state;
  char meta[512];
  neap_http_stored marker =
      marker_of(meta, sizeof meta, TEXT(OK "Vary: Foo, accept,\r\nVary: FOO,,Bar\r\n" END), 7);
  assert_int_equal(marker.nonce, 7);
  assert_int_equal(marker.names.size, strlen("accept,bar,foo"));
  assert_memory_equal(marker.names.ptr, "accept,bar,foo", marker.names.size);
}

static void test_variants_match_when_all_selecting_fields_do(void **state) {
  (void)state;
  char meta[512];
  neap_http_stored marker = marker_of(meta, sizeof meta, TEXT(OK "Vary: Foo, Bar\r\n" END), 7);
  const char *base = variant(&marker, TEXT(ASK "Foo: 1\r\nBar: 2\r\n" END));
  assert_string_equal(base, "k\n7\nbar=2\nfoo=1\n");
  assert_string_equal(variant(&marker, TEXT(ASK "bar:  2 \r\nX: y\r\nfoo:1\r\n" END)), base);
  assert_string_not_equal(variant(&marker, TEXT(ASK "Foo: 1\r\n" END)), base);
  assert_string_not_equal(variant(&marker, TEXT(ASK "Foo: 1\r\nBar: 3\r\n" END)), base);
  assert_string_not_equal(variant(&marker, TEXT(ASK "Foo: 2\r\nBar: 1\r\n" END)), base);
}

static void test_absent_is_not_empty_and_lines_are_joined(void **state) {
  (void)state;
  char meta[512];
  neap_http_stored marker = marker_of(meta, sizeof meta, TEXT(OK "Vary: Foo\r\n" END), 7);
  assert_string_not_equal(variant(&marker, TEXT(ASK END)), variant(&marker, TEXT(ASK "Foo:\r\n" END)));
  assert_string_equal(variant(&marker, TEXT(ASK "Foo: 1\r\nFoo: 2\r\n" END)),
                      variant(&marker, TEXT(ASK "Foo: 1, 2\r\n" END)));
}

static void test_a_marker_that_is_gone_takes_its_variants_along(void **state) {
  (void)state;
  char one[512], two[512], three[512];
  text answer = TEXT(OK "Vary: Foo\r\n" END);
  neap_http_stored old = marker_of(one, sizeof one, answer, 7), new = marker_of(two, sizeof two, answer, 8);
  neap_http_stored other = marker_of(three, sizeof three, TEXT(OK "Vary: Fox\r\n" END), 7);
  assert_string_not_equal(variant(&old, TEXT(ASK END)), variant(&new, TEXT(ASK END)));
  assert_true(neap_http_marker_matches(&old, &new));
  assert_false(neap_http_marker_matches(&old, &other));
}

/* --- stored heads -------------------------------------------------------------------------------------- */

static neap_http_stored store(char *meta, size_t capacity, text answer) {
  neap_http_response response;
  neap_http_stored stored;
  neap_http_decision decision = {.shareable = false, .age_ms = 2500, .lifetime_ms = 60000};
  assert_true(parse_response(&response, answer, NEAP_HTTP_METHOD_GET) > 0);
  ssize_t size = neap_http_stored_write(meta, capacity, &response, &decision, &times);
  assert_true(size > 0);
  assert_int_equal(neap_http_stored_open((neap_view){meta, (size_t)size}, &stored), 0);
  assert_false(stored.marker);
  return stored;
}

static void assert_view(neap_view view, const char *expected) {
  if (view.size != strlen(expected) || memcmp(view.ptr, expected, view.size) != 0)
    fail_msg("\"%.*s\" is not \"%s\"", (int)view.size, view.ptr, expected);
}

static void test_a_head_is_stored_without_what_belongs_to_a_hop(void **state) {
  (void)state;
  char meta[1024];
  neap_http_stored stored =
      store(meta, sizeof meta,
            TEXT("HTTP/1.1 404 Nope\r\nX: 1\r\nAge: 9\r\nConnection: Y\r\nY: 2\r\nETag: \"e\"\r\nx: 3\r\n"
                 "Keep-Alive: a\r\nTransfer-Encoding: chunked\r\nProxy-Authenticate: p\r\n"
                 "Proxy-Authentication-Info: p\r\nProxy-Authorization: p\r\nTE: t\r\nUpgrade: u\r\n"
                 "Proxy-Connection: c\r\nSet-Cookie: s\r\nLast-Modified: m\r\n" DATE END));
  assert_view(stored.head, "HTTP/1.1 404 Nope\r\nETag: \"e\"\r\n" DATE
                           "X: 1\r\nx: 3\r\nSet-Cookie: s\r\nLast-Modified: m\r\n");
  assert_view(stored.lines_304, "ETag: \"e\"\r\n" DATE);
  assert_view(stored.etag, "\"e\"");
  assert_view(stored.last_modified, "m");
  assert_int_equal(stored.status, 404);
}

static void test_a_missing_date_is_added_once_and_for_all(void **state) {
  (void)state;
  char meta[1024];
  neap_http_stored stored =
      store(meta, sizeof meta, TEXT(OK "Content-Length: 0\r\nLast-Modified: m\r\n" END));
  assert_view(stored.head, OK "Last-Modified: m\r\n" DATE);
  assert_view(stored.lines_304, "Last-Modified: m\r\n" DATE); /* the only validator */
  assert_view(stored.etag, "");
}

static void test_the_tail_completes_a_hit(void **state) {
  (void)state;
  static const struct {
    text ask, answer;
    neap_http_serve serve;
    bool keep_alive;
    const char *tail;
  } rows[] = {
      {TEXT(ASK END), TEXT(OK END), NEAP_HTTP_SERVE_FULL, true,
       "Content-Length: 12\r\nAge: 12\r\nCache-Status: neap; hit\r\n\r\n"},
      {TEXT(ASK END), TEXT(OK END), NEAP_HTTP_SERVE_FULL, false,
       "Content-Length: 12\r\nAge: 12\r\nCache-Status: neap; hit\r\nConnection: close\r\n\r\n"},
      {TEXT("GET / HTTP/1.0\r\n" END), TEXT(OK END), NEAP_HTTP_SERVE_FULL, true,
       "Content-Length: 12\r\nAge: 12\r\nCache-Status: neap; hit\r\nConnection: keep-alive\r\n\r\n"},
      {TEXT(ASK END), TEXT(OK END), NEAP_HTTP_SERVE_NOT_MODIFIED, true,
       "Age: 12\r\nCache-Status: neap; hit\r\n\r\n"},
      {TEXT(ASK END), TEXT("HTTP/1.1 204 No Content\r\n" END), NEAP_HTTP_SERVE_FULL, true,
       "Age: 12\r\nCache-Status: neap; hit\r\n\r\n"},
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    char meta[512], tail[NEAP_HTTP_TAIL_MAX];
    neap_http_request request;
    neap_http_stored stored = store(meta, sizeof meta, rows[i].answer);
    assert_true(parse_request(&request, rows[i].ask) > 0);
    size_t size =
        neap_http_stored_tail(tail, &stored, rows[i].serve, &request, 12, 5000 + 9999, rows[i].keep_alive);
    assert_view((neap_view){tail, size}, rows[i].tail);
  }
}

static void test_the_longest_tail_fits(void **state) {
  (void)state;
  char meta[512], tail[NEAP_HTTP_TAIL_MAX];
  neap_http_request request;
  neap_http_stored stored = store(meta, sizeof meta, TEXT(OK END));
  stored.age_ms = UINT64_MAX / 2;
  assert_true(parse_request(&request, TEXT("GET / HTTP/1.0\r\n" END)) > 0);
  assert_true(neap_http_stored_tail(tail, &stored, NEAP_HTTP_SERVE_FULL, &request, UINT64_MAX, UINT64_MAX / 2,
                                    true) > 0);
}

static void test_an_age_never_runs_backwards(void **state) {
  (void)state;
  char meta[512];
  neap_http_stored stored = store(meta, sizeof meta, TEXT(OK END));
  assert_int_equal(neap_http_stored_age_s(&stored, 4000), 2); /* before it arrived: another worker's clock */
  assert_int_equal(neap_http_stored_age_s(&stored, 5000), 2);
  assert_int_equal(neap_http_stored_age_s(&stored, 5500), 3);
}

static void test_what_is_not_a_stored_head_is_not_opened(void **state) {
  (void)state;
  char meta[512] = {0};
  neap_http_stored stored;
  assert_int_equal(neap_http_stored_open((neap_view){meta, 0}, &stored), NEAP_EINVAL);
  assert_int_equal(neap_http_stored_open((neap_view){meta, sizeof meta}, &stored), NEAP_EINVAL);
}

static void test_a_head_that_is_too_large_is_not_stored(void **state) {
  (void)state;
  char meta[80];
  neap_http_response response;
  neap_http_decision decision = {.lifetime_ms = 60000};
  assert_true(parse_response(&response, TEXT(OK "X: 123456789012345678901234567890\r\n" END),
                             NEAP_HTTP_METHOD_GET) > 0);
  assert_int_equal(neap_http_stored_write(meta, sizeof meta, &response, &decision, &times), NEAP_ESMALL);
}

/* --- conditions ---------------------------------------------------------------------------------------- */

#define FULL     NEAP_HTTP_SERVE_FULL
#define N304     NEAP_HTTP_SERVE_NOT_MODIFIED
#define MODIFIED "Last-Modified: Sun, 06 Nov 1994 08:39:37 GMT\r\n"

static void test_conditions_are_judged_from_the_store(void **state) {
  (void)state;
  static const struct {
    text answer, ask;
    neap_http_serve serve;
  } rows[] = {
      {TEXT(OK "ETag: \"a\"\r\n" END), TEXT(ASK END), FULL},
      {TEXT(OK "ETag: \"a\"\r\n" END), TEXT(ASK "If-None-Match: \"a\"\r\n" END), N304},
      {TEXT(OK "ETag: \"a\"\r\n" END), TEXT(ASK "If-None-Match: W/\"a\"\r\n" END), N304},
      {TEXT(OK "ETag: W/\"a\"\r\n" END), TEXT(ASK "If-None-Match: \"a\"\r\n" END), N304},
      {TEXT(OK "ETag: W/\"a\"\r\n" END), TEXT(ASK "If-None-Match: W/\"a\"\r\n" END), N304},
      {TEXT(OK "ETag: \"a\"\r\n" END), TEXT(ASK "If-None-Match: \"b\"\r\n" END), FULL},
      {TEXT(OK "ETag: \"a\"\r\n" END), TEXT(ASK "If-None-Match: \"A\"\r\n" END), FULL},
      {TEXT(OK "ETag: \"a\"\r\n" END), TEXT(ASK "If-None-Match: a\r\n" END), FULL},
      {TEXT(OK "ETag: \"a\"\r\n" END), TEXT(ASK "If-None-Match: \"b\", \"x,y\", \"a\"\r\n" END), N304},
      {TEXT(OK "ETag: \"a\"\r\n" END), TEXT(ASK "If-None-Match: \"b\"\r\nIf-None-Match: \"a\"\r\n" END),
       N304},
      {TEXT(OK "ETag: \"x,y\"\r\n" END), TEXT(ASK "If-None-Match: \"x,y\"\r\n" END), N304},
      {TEXT(OK "ETag: \"a\\\"\r\n" END), TEXT(ASK "If-None-Match: \"a\\\", \"b\"\r\n" END), N304},
      {TEXT(OK "ETag: \"a\"\r\n" END), TEXT(ASK "If-None-Match: *\r\n" END), N304},
      {TEXT(OK END), TEXT(ASK "If-None-Match: *\r\n" END), N304},
      {TEXT(OK END), TEXT(ASK "If-None-Match: \"a\"\r\n" END), FULL},
      {TEXT(OK "ETag: \"a\"\r\n" END), TEXT(ASK "If-None-Match: \"a\r\n" END), FULL},
      {TEXT(OK "ETag: \"a\"\r\n" END), TEXT(ASK "If-None-Match:\r\n" END), FULL},
      {TEXT("HTTP/1.1 404 No\r\nETag: \"a\"\r\n" END), TEXT(ASK "If-None-Match: \"a\"\r\n" END), FULL},
      {TEXT(OK MODIFIED END), TEXT(ASK "If-Modified-Since: Sun, 06 Nov 1994 08:39:37 GMT\r\n" END), N304},
      {TEXT(OK MODIFIED END), TEXT(ASK "If-Modified-Since: Sunday, 06-Nov-94 08:39:38 GMT\r\n" END), N304},
      {TEXT(OK MODIFIED END), TEXT(ASK "If-Modified-Since: Sun, 06 Nov 1994 08:39:36 GMT\r\n" END), FULL},
      {TEXT(OK MODIFIED END), TEXT(ASK "If-Modified-Since: yesterday\r\n" END), FULL},
      {TEXT(OK END), TEXT(ASK "If-Modified-Since: Sun, 06 Nov 1994 08:39:37 GMT\r\n" END), FULL},
      /* If-None-Match makes If-Modified-Since void, either way */
      {TEXT(OK "ETag: \"a\"\r\n" MODIFIED END),
       TEXT(ASK "If-None-Match: \"b\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:39:37 GMT\r\n" END), FULL},
      {TEXT(OK "ETag: \"a\"\r\n" MODIFIED END),
       TEXT(ASK "If-None-Match: \"a\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:39:36 GMT\r\n" END), N304},
      {TEXT(OK "ETag: \"a\"\r\n" END), TEXT(ASK "Authorization: x\r\n" END), NEAP_HTTP_SERVE_FORWARD},
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    char meta[512];
    neap_http_request request;
    neap_http_stored stored = store(meta, sizeof meta, rows[i].answer);
    assert_true(parse_request(&request, rows[i].ask) > 0);
    neap_http_serve got = neap_http_stored_match(&stored, &request, NOW);
    if (got != rows[i].serve) fail_msg("row %zu, %s: %d", i, rows[i].ask.ptr, got);
  }
}

static void test_the_shareable_answer_authorized_requests_too(void **state) {
  (void)state;
  char meta[512];
  neap_http_request request;
  neap_http_stored stored = store(meta, sizeof meta, TEXT(OK END));
  stored.shareable = true;
  assert_true(parse_request(&request, TEXT(ASK "Authorization: x\r\n" END)) > 0);
  assert_int_equal(neap_http_stored_match(&stored, &request, NOW), FULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_keys_name_the_target),
      cmocka_unit_test(test_without_host_there_is_no_key),
      cmocka_unit_test(test_a_marker_names_fields_sorted_and_once),
      cmocka_unit_test(test_variants_match_when_all_selecting_fields_do),
      cmocka_unit_test(test_absent_is_not_empty_and_lines_are_joined),
      cmocka_unit_test(test_a_marker_that_is_gone_takes_its_variants_along),
      cmocka_unit_test(test_a_head_is_stored_without_what_belongs_to_a_hop),
      cmocka_unit_test(test_a_missing_date_is_added_once_and_for_all),
      cmocka_unit_test(test_the_tail_completes_a_hit),
      cmocka_unit_test(test_the_longest_tail_fits),
      cmocka_unit_test(test_an_age_never_runs_backwards),
      cmocka_unit_test(test_what_is_not_a_stored_head_is_not_opened),
      cmocka_unit_test(test_a_head_that_is_too_large_is_not_stored),
      cmocka_unit_test(test_conditions_are_judged_from_the_store),
      cmocka_unit_test(test_the_shareable_answer_authorized_requests_too),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
