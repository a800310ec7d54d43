/* Link fields and references: what is wanted next, and where it is. */
#include "unit.h"

#include <stdlib.h>

#include "http/http.h"

static neap_http_slice slice(const char *text) {
  return (neap_http_slice){.ptr = text, .size = (int32_t)strlen(text)};
}

/* The links of a field, as "target:rels " each. */
static const char *links_of(const char *text) {
  static char out[1024];
  neap_http_slice value = slice(text);
  const char *cursor = value.ptr;
  neap_http_link link;
  out[0] = '\0';
  while (neap_http_link_next(value, &cursor, &link))
    snprintf(out + strlen(out), sizeof out - strlen(out), "%.*s:%u ", link.target.size, link.target.ptr,
             link.rels);
  assert_ptr_equal(cursor, value.ptr + value.size);
  return out;
}

static void test_links_are_told_apart(void **state) {
  (void)state;
  assert_string_equal(links_of("</a.css>; rel=preload; as=style"), "/a.css:1 ");
  assert_string_equal(links_of("</a>;rel=prefetch , </b> ; rel = next"), "/a:2 /b:4 ");
  assert_string_equal(links_of(",, </a>; rel=\"next PRELOAD\",,"), "/a:5 ");
  assert_string_equal(links_of("</a>; rel=\"stylesheet\"; REL=preload"), "/a:0 "); /* the first counts */
  assert_string_equal(links_of("</a>; as=x; rel=Preload"), "/a:1 ");
  assert_string_equal(links_of("</a>"), "/a:0 ");
  assert_string_equal(links_of("<>; rel=next"), ":4 ");
}

static void test_commas_and_semicolons_in_strings_and_targets_divide_nothing(void **state) {
  (void)state;
  assert_string_equal(links_of("</a,b;c>; rel=preload"), "/a,b;c:1 ");
  assert_string_equal(links_of("</a>; title=\"x, <y>; rel=next \\\" ,\"; rel=preload, </b>; rel=next"),
                      "/a:1 /b:4 ");
  assert_string_equal(links_of("</a>; title=\"; rel=next"), "/a:0 "); /* never closed */
}

static void test_what_is_about_another_page_says_nothing_here(void **state) {
  (void)state;
  assert_string_equal(links_of("</a>; rel=preload; anchor=\"/other\""), "/a:0 ");
}

static void test_what_is_malformed_is_skipped(void **state) {
  (void)state;
  assert_string_equal(links_of("/a; rel=preload, </b>; rel=next"), "/b:4 ");
  assert_string_equal(links_of("<unclosed; rel=preload"), "");
  assert_string_equal(links_of("</a> rel=preload, </b>; rel=next"), "/a:0 /b:4 ");
  assert_string_equal(links_of("</a>;;; ; rel=next;"), "/a:4 ");
  assert_string_equal(links_of("</a>; =x; rel=; rel=next"), "/a:0 ");
  assert_string_equal(links_of(""), "");
  assert_string_equal(links_of("</a>; rel=\""), "/a:0 ");
}

static void test_ten_thousand_links_are_walked(void **state) {
  (void)state;
  size_t size = 0, count = 0;
  char *text = malloc(10000 * 32);
  for (int i = 0; i < 10000; i++) size += (size_t)sprintf(text + size, "</%d>; rel=preload, ", i);
  neap_http_slice value = {.ptr = text, .size = (int32_t)size};
  const char *cursor = text;
  for (neap_http_link link; neap_http_link_next(value, &cursor, &link); count++)
    assert_int_equal(link.rels, 1);
  assert_int_equal(count, 10000);
  free(text);
}

static void expect_reference(const char *target, const char *reference, const char *expected) {
  char out[NEAP_HTTP_REFERENCE_MAX];
  ssize_t size =
      neap_http_reference(slice("a.example:8080"), slice(target), slice(reference), out, sizeof out);
  if (expected == NULL) {
    if (size >= 0) fail_msg("%s became %.*s", reference, (int)size, out);
    return;
  }
  if (size < 0) fail_msg("%s is refused", reference);
  if ((size_t)size != strlen(expected) || memcmp(out, expected, (size_t)size))
    fail_msg("%s became %.*s, not %s", reference, (int)size, out, expected);
}

static void test_references_become_targets(void **state) {
  (void)state;
  expect_reference("/p/q?x=1", "/a", "/a");
  expect_reference("/p/q?x=1", "a", "/p/a");
  expect_reference("/p/q/?x=1", "a?b=/c", "/p/q/a?b=/c");
  expect_reference("/p/q?x=1", "?page=2", "/p/q?page=2");
  expect_reference("/p/q", "../a", "/a");
  expect_reference("/p/q", "./a/./b/../c#frag", "/p/a/c");
  expect_reference("/p/q", "/a?x=../y", "/a?x=../y");
  expect_reference("/p", "../../../a", "/a");
  expect_reference("/p/q?x=/y/", "a", "/p/a");
}

static void test_only_the_same_host_counts(void **state) {
  (void)state;
  expect_reference("/p", "http://a.example:8080/x", "/x");
  expect_reference("/p", "HTTPS://A.EXAMPLE:8080/x?y", "/x?y");
  expect_reference("/p", "//a.example:8080", "/");
  expect_reference("/p", "//a.example:8080?z", "/?z");
  expect_reference("/p", "//other.example/x", NULL);
  expect_reference("/p", "//a.example:8081/x", NULL);
  expect_reference("/p", "//user@a.example:8080/x", NULL);
  expect_reference("/p", "http:/x", NULL);
  expect_reference("/p", "///x", NULL);
  char out[64];
  assert_int_equal(neap_http_reference(slice("b"), slice("/p"), slice("https://b:443/x"), out, sizeof out),
                   2);
}

static void test_what_is_no_page_of_a_site_is_refused(void **state) {
  (void)state;
  expect_reference("/p", "javascript:alert(1)", NULL);
  expect_reference("/p", "JavaScript:/x", NULL);
  expect_reference("/p", "data:text/plain,x", NULL);
  expect_reference("/p", "ftp://a.example:8080/x", NULL);
  expect_reference("/p", "/a b", NULL);
  expect_reference("/p", "/a\r\nX: y", NULL);
  expect_reference("/p", "/\xc3\xa4", NULL);
  expect_reference("/p", "", NULL);
  expect_reference("/p", "#here", NULL);
  expect_reference("*", "a", NULL);
}

static void test_a_page_is_not_its_own_next(void **state) {
  (void)state;
  expect_reference("/p/q?x", "/p/q?x", NULL);
  expect_reference("/p/q?x", "q?x#frag", NULL);
  expect_reference("/p/q", "../p/q", NULL);
}

static void test_what_is_too_long_is_refused(void **state) {
  (void)state;
  char text[NEAP_HTTP_REFERENCE_MAX + 2], out[16];
  memset(text, 'a', sizeof text);
  text[0] = '/', text[sizeof text - 1] = '\0';
  expect_reference("/p", text, NULL);
  assert_int_equal(neap_http_reference(slice("b"), slice("/"), slice("/0123456789abcdef"), out, sizeof out),
                   NEAP_ESMALL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_links_are_told_apart),
      cmocka_unit_test(test_commas_and_semicolons_in_strings_and_targets_divide_nothing),
      cmocka_unit_test(test_what_is_about_another_page_says_nothing_here),
      cmocka_unit_test(test_what_is_malformed_is_skipped),
      cmocka_unit_test(test_ten_thousand_links_are_walked),
      cmocka_unit_test(test_references_become_targets),
      cmocka_unit_test(test_only_the_same_host_counts),
      cmocka_unit_test(test_what_is_no_page_of_a_site_is_refused),
      cmocka_unit_test(test_a_page_is_not_its_own_next),
      cmocka_unit_test(test_what_is_too_long_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
