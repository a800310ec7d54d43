/* Headers, parameters and cookies found in a request board. */
#include "unit.h"

#include "neap/cache.h"
#include "../route/request_board.h"
#include "policy/policy.h"

static const char *text_of(neap_slice slice) {
  static char text[64];
  snprintf(text, sizeof text, "%.*s", slice.size, slice.ptr);
  return text;
}

static const char *query(const char *target, const char *name) {
  board b;
  neap_slice value;
  board_set(&b, "GET", "h", target);
  if (!neap_request_query(&b.request, (neap_view){name, strlen(name)}, &value)) return NULL;
  return text_of(value);
}

static const char *cookie(const char *first, const char *second, const char *name) {
  board b;
  neap_slice value;
  board_set(&b, "GET", "h", "/");
  board_header(&b, "Cookie", first);
  board_header(&b, "cookie", second);
  if (!neap_request_cookie(&b.request, (neap_view){name, strlen(name)}, &value)) return NULL;
  return text_of(value);
}

static void test_query_finds_whole_names_only(void **state) {
  (void)state;
  assert_string_equal(query("/?a=1&b=2", "b"), "2");
  assert_string_equal(query("/?ab=1&b=2&b=3", "b"), "2");
  assert_string_equal(query("/?a=1&b", "b"), "");
  assert_string_equal(query("/?a=&b=2", "a"), "");
  assert_string_equal(query("/?a=1=2", "a"), "1=2");
  assert_string_equal(query("/?&&a=1", "a"), "1");
  assert_null(query("/?ba=1&A=2", "a"));
  assert_null(query("/?", "a"));
  assert_null(query("/", "a"));
}

static void test_cookie_is_found_in_any_cookie_header(void **state) {
  (void)state;
  assert_string_equal(cookie("a=1; b=2", "c=3", "b"), "2");
  assert_string_equal(cookie("a=1;b=2", "c=3", "c"), "3");
  assert_string_equal(cookie("", " ; c=3", "c"), "3");
  assert_null(cookie("a=1; bc=2", "", "c"));
}

static void test_header_names_ignore_case_and_repeat(void **state) {
  (void)state;
  board b;
  board_set(&b, "GET", "h", "/");
  board_header(&b, "X-Version", "1");
  board_header(&b, "x-version", "2");
  board_header(&b, "X-Versions", "3");
  assert_int_equal(neap_request_header(&b.request, NEAP_BYTES("x-VERSION"), 0), 0);
  assert_int_equal(neap_request_header(&b.request, NEAP_BYTES("x-version"), 1), 1);
  assert_int_equal(neap_request_header(&b.request, NEAP_BYTES("x-version"), 2), -1);
  assert_int_equal(neap_request_header(&b.request, NEAP_BYTES("x_version"), 0), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_query_finds_whole_names_only),
      cmocka_unit_test(test_cookie_is_found_in_any_cookie_header),
      cmocka_unit_test(test_header_names_ignore_case_and_repeat),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
