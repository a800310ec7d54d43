/* Store or not, and for how long: sections 1 and 3 of the caching rules in docs/http-caching.md. */
#include "helpers.h"

#define NOW     784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define DATE    "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define ASK     "GET / HTTP/1.1\r\nHost: a\r\n"
#define OK      "HTTP/1.1 200 OK\r\n"
#define FRESH   "Cache-Control: max-age=60\r\n"
#define END     "\r\n"
#define S(name) NEAP_HTTP_STORE_##name

static const neap_http_times at_once = {.request_ms = 5000, .response_ms = 5000, .wall_s = NOW};

static neap_http_decision decide(text ask, text answer, const neap_http_rules *rules,
                                 const neap_http_times *times) {
  neap_http_request request;
  neap_http_response response;
  neap_http_decision out;
  ssize_t asked = parse_request(&request, ask);
  if (asked <= 0) fail_msg("%s: %s", ask.ptr, neap_http_reason_name(request.head.reason));
  ssize_t got = parse_response(&response, answer, request.method_id);
  if (got <= 0) fail_msg("%s: %s", answer.ptr, neap_http_reason_name(response.head.reason));
  neap_http_store_decide(&out, &request, &response, rules, times);
  return out;
}

/* --- store or not ------------------------------------------------------------------------------------- */

static void test_who_may_be_stored(void **state) {
  (void)state;
  static const struct {
    text ask, answer;
    neap_http_store store;
  } rows[] = {
      {TEXT(ASK END), TEXT(OK FRESH END), S(YES)},
      {TEXT("HEAD / HTTP/1.1\r\nHost: a\r\n" END), TEXT(OK FRESH END), S(METHOD)},
      {TEXT("POST / HTTP/1.1\r\nHost: a\r\n" END), TEXT(OK FRESH END), S(METHOD)},
      {TEXT("PURGE / HTTP/1.1\r\nHost: a\r\n" END), TEXT(OK FRESH END), S(METHOD)},
      {TEXT(ASK "Content-Length: 5\r\n" END), TEXT(OK FRESH END), S(REQUEST)},
      {TEXT(ASK "Content-Length: 0\r\n" END), TEXT(OK FRESH END), S(YES)},
      {TEXT(ASK "Transfer-Encoding: chunked\r\n" END), TEXT(OK FRESH END), S(REQUEST)},
      {TEXT(ASK "Range: bytes=0-1\r\n" END), TEXT(OK FRESH END), S(REQUEST)},
      {TEXT("GET / HTTP/1.0\r\n" END), TEXT(OK FRESH END), S(REQUEST)},
      {TEXT(ASK END), TEXT("HTTP/1.1 206 Partial Content\r\n" FRESH END), S(STATUS)},
      {TEXT(ASK END), TEXT("HTTP/1.1 304 Not Modified\r\n" FRESH END), S(STATUS)},
      {TEXT(ASK END), TEXT("HTTP/1.1 404 Not Found\r\n" FRESH END), S(YES)},
      {TEXT(ASK END), TEXT("HTTP/1.1 500 Internal Server Error\r\n" FRESH END), S(YES)},
      {TEXT(ASK END), TEXT("HTTP/1.1 599 What\r\n" FRESH END), S(YES)},
      {TEXT(ASK END), TEXT("HTTP/1.1 599 What\r\nCache-Control: max-age=60, must-understand\r\n" END),
       S(STATUS)},
      {TEXT(ASK END), TEXT(OK "Cache-Control: max-age=60, must-understand, no-store\r\n" END), S(YES)},
      {TEXT(ASK END), TEXT(OK "Cache-Control: no-store\r\n" FRESH END), S(NO_STORE)},
      {TEXT(ASK END), TEXT(OK FRESH "Cache-Control: NO-STORE\r\n" END), S(NO_STORE)},
      {TEXT(ASK END), TEXT(OK "Cache-Control: max-age=60, no-store=x\r\n" END), S(NO_STORE)},
      {TEXT(ASK END), TEXT(OK "Cache-Control: private, max-age=60\r\n" END), S(PRIVATE)},
      {TEXT(ASK END), TEXT(OK "Cache-Control: private=\"x, y\", max-age=60\r\n" END), S(PRIVATE)},
      {TEXT(ASK END), TEXT(OK "Cache-Control: no-cache, max-age=60\r\n" END), S(NO_CACHE)},
      {TEXT(ASK END), TEXT(OK "Cache-Control: no-cache=\"set-cookie\", max-age=60\r\n" END), S(NO_CACHE)},
      {TEXT(ASK END), TEXT(OK "Cache-Control: must-revalidate, max-age=60\r\n" END), S(YES)},
      {TEXT(ASK END), TEXT(OK "Pragma: no-cache\r\n" FRESH END), S(YES)},
      {TEXT(ASK "Cache-Control: no-store\r\n" END), TEXT(OK FRESH END),
       S(YES)}, /* the client's is advisory */
      {TEXT(ASK "Authorization: x\r\n" END), TEXT(OK FRESH END), S(AUTHORIZATION)},
      {TEXT(ASK "Authorization: x\r\n" END), TEXT(OK "Cache-Control: public, max-age=60\r\n" END), S(YES)},
      {TEXT(ASK "Authorization: x\r\n" END), TEXT(OK "Cache-Control: s-maxage=60\r\n" END), S(YES)},
      {TEXT(ASK "Authorization: x\r\n" END), TEXT(OK "Cache-Control: must-revalidate, max-age=60\r\n" END),
       S(YES)},
      {TEXT(ASK "Authorization: x\r\n" END), TEXT(OK "Cache-Control: public=x, max-age=60\r\n" END),
       S(AUTHORIZATION)},
      {TEXT(ASK END), TEXT(OK FRESH "Set-Cookie: a=b\r\n" END), S(SET_COOKIE)},
      {TEXT(ASK END), TEXT(OK FRESH "Vary: *\r\n" END), S(VARY)},
      {TEXT(ASK END), TEXT(OK FRESH "Vary: accept\r\nVary: foo, , *\r\n" END), S(VARY)},
      {TEXT(ASK END), TEXT(OK FRESH "Vary: a b\r\n" END), S(VARY)},
      {TEXT(ASK END), TEXT(OK FRESH "Vary: X-Forwarded-For\r\n" END), S(VARY)}, /* rewritten by us */
      {TEXT(ASK END), TEXT(OK FRESH "Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\r\n" END), S(VARY)},
      {TEXT(ASK END), TEXT(OK FRESH "Vary: Accept-Encoding\r\n" END), S(YES)},
      {TEXT(ASK END), TEXT(OK END), S(NO_LIFETIME)},
      {TEXT(ASK END), TEXT(OK "Cache-Control: public\r\n" END), S(NO_LIFETIME)},
      {TEXT(ASK END), TEXT(OK "Cache-Control: max-age=0\r\n" END), S(STALE)},
      {TEXT(ASK END), TEXT(OK FRESH "Age: 60\r\n" END), S(STALE)},
      {TEXT(ASK END), TEXT(OK "Cache-Control: foo=\"max-age=60, bar\"\r\n" END), S(NO_LIFETIME)},
      {TEXT(ASK END), TEXT(OK "Cache-Control: foo=\"no-store\", max-age=60\r\n" END), S(YES)},
      {TEXT(ASK END), TEXT(OK "Cache-Control: max-age=60, foo=\"no-store\r\n" END),
       S(PRIVATE)}, /* open quote */
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    neap_http_decision got = decide(rows[i].ask, rows[i].answer, &neap_http_rules_default, &at_once);
    if (got.store != rows[i].store)
      fail_msg("row %zu, %s: %s", i, rows[i].answer.ptr, neap_http_store_name(got.store));
    if (got.store == S(YES)) assert_true(got.ttl_ms > 0 && got.ttl_ms <= got.lifetime_ms);
  }
}

static void test_a_cookie_is_stored_only_where_the_operator_says_so(void **state) {
  (void)state;
  neap_http_rules rules = neap_http_rules_default;
  rules.store_set_cookie = true;
  assert_int_equal(decide(TEXT(ASK END), TEXT(OK FRESH "Set-Cookie: a=b\r\n" END), &rules, &at_once).store,
                   S(YES));
}

static void test_what_is_shareable_says_so(void **state) {
  (void)state;
  static const struct {
    text answer;
    bool shareable;
  } rows[] = {
      {TEXT(OK FRESH END), false},
      {TEXT(OK "Cache-Control: public, max-age=60\r\n" END), true},
      {TEXT(OK "Cache-Control: s-maxage=60\r\n" END), true},
      {TEXT(OK "Cache-Control: must-revalidate, max-age=60\r\n" END), true},
      {TEXT(OK "Cache-Control: proxy-revalidate, max-age=60\r\n" END), false},
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++)
    assert_int_equal(decide(TEXT(ASK END), rows[i].answer, &neap_http_rules_default, &at_once).shareable,
                     rows[i].shareable);
}

/* --- lifetime ------------------------------------------------------------------------------------------ */

static void test_lifetimes(void **state) {
  (void)state;
  static const struct {
    text answer;
    int64_t lifetime_s; /* 0: stale from the start; -1: none */
  } rows[] = {
      {TEXT(OK "Cache-Control: max-age=60\r\n" END), 60},
      {TEXT(OK "Cache-Control: MAX-AGE=60\r\n" END), 60},
      {TEXT(OK "Cache-Control: max-age=\"60\"\r\n" END), 60},
      {TEXT(OK "Cache-Control: max-age=007\r\n" END), 7},
      {TEXT(OK "Cache-Control: s-maxage=30, max-age=60\r\n" END), 30},
      {TEXT(OK "Cache-Control: max-age=60\r\nCache-Control: s-maxage=90\r\n" END), 90},
      {TEXT(OK "Cache-Control: max-age=60, max-age=30\r\n" END), 30},
      {TEXT(OK "Cache-Control: max-age=30, max-age=60\r\n" END), 30},
      {TEXT(OK "Cache-Control: max-age=99999999999\r\n" END), 2147483648},
      {TEXT(OK "Cache-Control: max-age=18446744073709551617\r\n" END), 2147483648},
      {TEXT(OK "Cache-Control: max-age=-1\r\n" END), 0},
      {TEXT(OK "Cache-Control: max-age=+60\r\n" END), 0},
      {TEXT(OK "Cache-Control: max-age=60.5\r\n" END), 0},
      {TEXT(OK "Cache-Control: max-age=1e3\r\n" END), 0},
      {TEXT(OK "Cache-Control: max-age=\r\n" END), 0},
      {TEXT(OK "Cache-Control: max-age\r\n" END), 0},
      {TEXT(OK "Cache-Control: max-age = 60\r\n" END), 0},
      {TEXT(OK "Cache-Control: max-age=60 60\r\n" END), 0},
      {TEXT(OK "Cache-Control: max-age=\"60\r\n" END), -2},
      {TEXT(OK "Cache-Control: max-age=x, s-maxage=60\r\n" END), 60},
      {TEXT(OK "Cache-Control: max-age=60, s-maxage=x\r\n" END), 0},
      {TEXT(OK "Cache-Control: xmax-age=60\r\n" END), -1},
      {TEXT(OK DATE "Expires: Sun, 06 Nov 1994 08:50:37 GMT\r\n" END), 60},
      {TEXT(OK "Expires: Sun, 06 Nov 1994 08:50:37 GMT\r\n" END), 60}, /* receipt time for Date */
      {TEXT(OK DATE "Expires: Sunday, 06-Nov-94 08:50:37 GMT\r\n" END), 60},
      {TEXT(OK DATE "Expires: Sun Nov  6 08:50:37 1994\r\n" END), 60},
      {TEXT(OK DATE "Expires: Sun, 06 Nov 1994 08:49:37 GMT\r\n" END), 0},
      {TEXT(OK DATE "Expires: Sun, 06 Nov 1994 08:48:37 GMT\r\n" END), 0},
      {TEXT(OK DATE "Expires: 0\r\n" END), 0},
      {TEXT(OK DATE "Expires:\r\n" END), 0},
      {TEXT(OK DATE "Expires: Sun, 06 Nov 1994 08:50:37 UTC\r\n" END), 0},
      {TEXT(OK DATE
            "Expires: Sun, 06 Nov 1994 08:50:37 GMT\r\nExpires: Sun, 06 Nov 1994 09:50:37 GMT\r\n" END),
       0},
      {TEXT(OK DATE "Expires: Fri, 31 Dec 9999 23:59:59 GMT\r\n" END), 2147483648},
      {TEXT(OK DATE "Cache-Control: max-age=5\r\nExpires: Sun, 06 Nov 1994 08:50:37 GMT\r\n" END), 5},
      {TEXT(OK DATE "Cache-Control: max-age=5\r\nExpires: 0\r\n" END), 5},
      {TEXT(OK DATE "Cache-Control: max-age=x\r\nExpires: Sun, 06 Nov 1994 08:50:37 GMT\r\n" END), 0},
      /* heuristics: a tenth of the age since Last-Modified, an hour at most */
      {TEXT(OK DATE "Last-Modified: Sun, 06 Nov 1994 08:39:37 GMT\r\n" END), 60},
      {TEXT(OK DATE "Last-Modified: Sun, 06 Nov 1904 08:39:37 GMT\r\n" END), 3600},
      {TEXT(OK DATE "Last-Modified: Sun, 06 Nov 1994 09:39:37 GMT\r\n" END), -1},
      {TEXT(OK DATE "Last-Modified: yesterday\r\n" END), -1},
      {TEXT("HTTP/1.1 404 Not Found\r\n" DATE "Last-Modified: Sun, 06 Nov 1994 08:39:37 GMT\r\n" END), 60},
      {TEXT("HTTP/1.1 302 Found\r\n" DATE "Last-Modified: Sun, 06 Nov 1994 08:39:37 GMT\r\n" END), -1},
      {TEXT("HTTP/1.1 302 Found\r\nCache-Control: public\r\n" DATE
            "Last-Modified: Sun, 06 Nov 1994 08:39:37 GMT\r\n" END),
       60},
      {TEXT(OK DATE "Cache-Control: max-age=0\r\nLast-Modified: Sun, 06 Nov 1994 08:39:37 GMT\r\n" END), 0},
      {TEXT(OK DATE "Expires: 0\r\nLast-Modified: Sun, 06 Nov 1994 08:39:37 GMT\r\n" END), 0},
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    neap_http_decision got = decide(TEXT(ASK END), rows[i].answer, &neap_http_rules_default, &at_once);
    int64_t expected = rows[i].lifetime_s;
    neap_http_store store = expected == -2   ? S(PRIVATE)
                            : expected == -1 ? S(NO_LIFETIME)
                            : expected == 0  ? S(STALE)
                                             : S(YES);
    if (got.store != store || (expected > 0 && got.lifetime_ms != (uint64_t)expected * 1000))
      fail_msg("%s: %s, %llu ms", rows[i].answer.ptr, neap_http_store_name(got.store),
               (unsigned long long)got.lifetime_ms);
  }
}

static void test_heuristics_can_be_turned_off(void **state) {
  (void)state;
  neap_http_rules rules = {.heuristic_percent = 0};
  assert_int_equal(decide(TEXT(ASK END), TEXT(OK DATE "Last-Modified: Sun, 06 Nov 1994 08:39:37 GMT\r\n" END),
                          &rules, &at_once)
                       .store,
                   S(NO_LIFETIME));
}

static void test_the_operator_may_say_what_the_response_does_not(void **state) {
  (void)state;
  static const struct {
    text answer;
    int64_t lifetime_s;
  } rows[] = {
      {TEXT(OK END), 90},
      {TEXT("HTTP/1.1 404 Not Found\r\n" END), 90},
      {TEXT("HTTP/1.1 500 Oops\r\n" END), -1},
      {TEXT("HTTP/1.1 302 Found\r\n" END), -1},
      {TEXT("HTTP/1.1 302 Found\r\nCache-Control: public\r\n" END), 90},
      {TEXT(OK "Cache-Control: max-age=5\r\n" END), 5},
      {TEXT(OK "Cache-Control: max-age=0\r\n" END), 0},
      {TEXT(OK "Expires: 0\r\n" END), 0},
      {TEXT(OK "Age: 100\r\n" END), 0},
      {TEXT(OK DATE "Last-Modified: Sun, 06 Nov 1994 08:39:37 GMT\r\n" END), 90},
  };
  static const neap_http_rules rules = {.default_ms = 90000};
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    neap_http_decision got = decide(TEXT(ASK END), rows[i].answer, &rules, &at_once);
    neap_http_store store = rows[i].lifetime_s < 0    ? S(NO_LIFETIME)
                            : rows[i].lifetime_s == 0 ? S(STALE)
                                                      : S(YES);
    if (got.store != store || (store == S(YES) && got.lifetime_ms != (uint64_t)rows[i].lifetime_s * 1000))
      fail_msg("%s: %s", rows[i].answer.ptr, neap_http_store_name(got.store));
  }
}

/* --- age ----------------------------------------------------------------------------------------------- */

static void test_ages(void **state) {
  (void)state;
  static const struct {
    text answer;
    uint64_t delay_ms, age_ms;
  } rows[] = {
      {TEXT(OK FRESH END), 0, 0},
      {TEXT(OK FRESH END), 700, 700},
      {TEXT(OK FRESH DATE END), 0, 0},
      {TEXT(OK FRESH "Date: Sun, 06 Nov 1994 08:49:27 GMT\r\n" END), 0, 10000},
      {TEXT(OK FRESH "Date: Sun, 06 Nov 1994 08:49:47 GMT\r\n" END), 0, 0}, /* from the future */
      {TEXT(OK FRESH "Date: nonsense\r\n" END), 0, 0},
      {TEXT(OK FRESH "Age: 20\r\n" END), 300, 20300},
      {TEXT(OK FRESH "Age: 20, 30\r\n" END), 0, 20000},
      {TEXT(OK FRESH "Age: 20\r\nAge: 30\r\n" END), 0, 20000},
      {TEXT(OK FRESH "Age: -20\r\n" END), 0, 0},
      {TEXT(OK FRESH "Age: 2.5\r\n" END), 0, 0},
      {TEXT(OK FRESH "Age: x\r\n" END), 0, 0},
      {TEXT(OK FRESH "Age:\r\n" END), 0, 0},
      {TEXT(OK FRESH "Age: 5\r\nDate: Sun, 06 Nov 1994 08:49:27 GMT\r\n" END), 0, 10000},
      {TEXT(OK FRESH "Age: 15\r\nDate: Sun, 06 Nov 1994 08:49:27 GMT\r\n" END), 0, 15000},
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    neap_http_times times = {.request_ms = 5000, .response_ms = 5000 + rows[i].delay_ms, .wall_s = NOW};
    neap_http_decision got = decide(TEXT(ASK END), rows[i].answer, &neap_http_rules_default, &times);
    if (got.store != S(YES) || got.age_ms != rows[i].age_ms || got.ttl_ms != 60000 - rows[i].age_ms)
      fail_msg("%s: %s, %llu ms", rows[i].answer.ptr, neap_http_store_name(got.store),
               (unsigned long long)got.age_ms);
  }
}

static void test_an_age_beyond_all_numbers_is_stale_not_young(void **state) {
  (void)state;
  text answer = TEXT(OK FRESH "Age: 99999999999999999999999\r\n" END);
  assert_int_equal(decide(TEXT(ASK END), answer, &neap_http_rules_default, &at_once).store, S(STALE));
}

/* --- lookup -------------------------------------------------------------------------------------------- */

static void test_which_requests_look_up(void **state) {
  (void)state;
  static const struct {
    text ask;
    neap_http_lookup lookup;
  } rows[] = {
      {TEXT(ASK END), NEAP_HTTP_LOOKUP_USABLE},
      {TEXT("HEAD / HTTP/1.1\r\nHost: a\r\n" END), NEAP_HTTP_LOOKUP_USABLE},
      {TEXT(ASK "Cache-Control: no-cache, no-store, max-age=0, only-if-cached\r\nPragma: no-cache\r\n" END),
       NEAP_HTTP_LOOKUP_USABLE},
      {TEXT(ASK "If-None-Match: \"a\"\r\nIf-Modified-Since: x\r\n" END), NEAP_HTTP_LOOKUP_USABLE},
      {TEXT(ASK "Authorization: x\r\n" END), NEAP_HTTP_LOOKUP_USABLE}, /* stored_match has the last word */
      {TEXT("POST / HTTP/1.1\r\nHost: a\r\n" END), NEAP_HTTP_LOOKUP_METHOD},
      {TEXT("get / HTTP/1.1\r\nHost: a\r\n" END), NEAP_HTTP_LOOKUP_METHOD},
      {TEXT(ASK "Content-Length: 1\r\n" END), NEAP_HTTP_LOOKUP_BODY},
      {TEXT("GET / HTTP/1.0\r\n" END), NEAP_HTTP_LOOKUP_NO_HOST},
      {TEXT(ASK "Range: bytes=0-1\r\n" END), NEAP_HTTP_LOOKUP_RANGE},
      {TEXT(ASK "If-Match: \"a\"\r\n" END), NEAP_HTTP_LOOKUP_CONDITION},
      {TEXT(ASK "If-Unmodified-Since: x\r\n" END), NEAP_HTTP_LOOKUP_CONDITION},
      {TEXT(ASK "If-Range: x\r\n" END), NEAP_HTTP_LOOKUP_CONDITION},
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    neap_http_request request;
    assert_true(parse_request(&request, rows[i].ask) > 0);
    assert_int_equal(neap_http_lookup_decide(&request), rows[i].lookup);
  }
}

static void test_unsafe_methods_invalidate_unless_they_failed(void **state) {
  (void)state;
  assert_true(neap_http_invalidates(NEAP_HTTP_METHOD_POST, 200));
  assert_true(neap_http_invalidates(NEAP_HTTP_METHOD_DELETE, 303));
  assert_true(neap_http_invalidates(NEAP_HTTP_METHOD_OTHER, 204));
  assert_false(neap_http_invalidates(NEAP_HTTP_METHOD_PUT, 404));
  assert_false(neap_http_invalidates(NEAP_HTTP_METHOD_PUT, 502));
  assert_false(neap_http_invalidates(NEAP_HTTP_METHOD_GET, 200));
  assert_false(neap_http_invalidates(NEAP_HTTP_METHOD_OPTIONS, 200));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_who_may_be_stored),
      cmocka_unit_test(test_a_cookie_is_stored_only_where_the_operator_says_so),
      cmocka_unit_test(test_what_is_shareable_says_so),
      cmocka_unit_test(test_lifetimes),
      cmocka_unit_test(test_heuristics_can_be_turned_off),
      cmocka_unit_test(test_the_operator_may_say_what_the_response_does_not),
      cmocka_unit_test(test_ages),
      cmocka_unit_test(test_an_age_beyond_all_numbers_is_stale_not_young),
      cmocka_unit_test(test_which_requests_look_up),
      cmocka_unit_test(test_unsafe_methods_invalidate_unless_they_failed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
