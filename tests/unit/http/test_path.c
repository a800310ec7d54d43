/* One spelling of paths, and which of them nobody should have to read. */
#include "helpers.h"

#include "base/random.h"

static neap_http_slice slice_of(const char *path) {
  return (neap_http_slice){path, (int32_t)strlen(path), 0};
}

static const char *normal(const char *path) {
  static char out[256];
  size_t size = neap_http_path_normal(slice_of(path), out);
  assert_true(size <= strlen(path));
  out[size] = 0;
  return out;
}

static const char *folded(const char *path) {
  static char out[256];
  out[neap_http_path_fold(slice_of(path), out)] = 0;
  return out;
}

static void test_normal_spelling(void **state) {
  (void)state;
  static const char *const rows[][2] = {
      {"/", "/"},
      {"/a/b.c", "/a/b.c"},
      {"/public/../admin", "/admin"},
      {"/../../x", "/x"},
      {"/a/./b/.", "/a/b/"},
      {"/a/b/..", "/a/"},
      {"/..", "/"},
      {"/.", "/"},
      {"/a/.../b..", "/a/.../b.."},
      {"/.well-known/x", "/.well-known/x"},
      {"/%61dmin", "/admin"},
      {"/a/%2e%2E/b", "/b"},
      {"/a/.%2e/b", "/b"},
      {"/%7euser-%5F", "/~user-_"},
      {"/a%2fb%c3%a9", "/a%2Fb%C3%A9"},
      {"/%zz%4", "/%zz%4"},
      {"/%2561", "/%2561"},
      {"/%%36%31dmin", "/%%361dmin"}, /* no "%61", which a backend would take for "a" */
      {"/x/%%32e%%32e/admin", "/x/%%32e%%32e/admin"},
      {"/%2%61/%z%61/%%7e", "/%2%61/%za/%~"},
      {"//a//b/", "//a//b/"},
      {"/a//../b", "/a/b"},
      {"//../b", "/b"},
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) assert_string_equal(normal(rows[i][0]), rows[i][1]);
}

static void test_folded_spelling(void **state) {
  (void)state;
  static const char *const rows[][2] = {{"//admin", "/admin"}, {"/a%2Fb", "/a/b"},
                                        {"/a\\b", "/a/b"},     {"/a%5c%2f//b/", "/a/b/"},
                                        {"/%2F", "/"},         {"/a%20b%2", "/a%20b%2"}};
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) assert_string_equal(folded(rows[i][0]), rows[i][1]);
}

static void test_dot_segments_that_not_everybody_sees_are_ambiguous(void **state) {
  (void)state;
  static const char *const bad[] = {"/a%2f..",  "/a%2F../b", "/a/..%2fb",  "/a/%2e%2e%5cb", "/a\\..\\b",
                                    "/a/..\\b", "/..;/b",    "/a/.;x=1/b", "/a/%2e%2e;/b",  "/a/..%3bx",
                                    "/a%2f./b", "/.\\",      "/a/b\\.",    "/a%5C%2E"};
  static const char *const good[] = {"/",         "/a/../b", "/a/./b",    "/a%2Fb",   "/a\\b",
                                     "/a;b/..",   "/...;",   "/a/..b%2F", "/a..%2Fb", "/a%2F.b/c..%2F",
                                     "/x/%2e%2e", "/..",     "/a;.."};
  for (size_t i = 0; i < NEAP_COUNT_OF(bad); i++)
    if (!neap_http_path_is_ambiguous(slice_of(bad[i]))) fail_msg("%s", bad[i]);
  for (size_t i = 0; i < NEAP_COUNT_OF(good); i++)
    if (neap_http_path_is_ambiguous(slice_of(good[i]))) fail_msg("%s", good[i]);
}

static bool odd_by_bytes(const char *path) {
  return strpbrk(path, "%\\") || strstr(path, "//") || strstr(path, "/.");
}

/* On random paths: only odd ones change, a normal one stays as it is, and no dot segment is left in it that
 * anybody sees. */
static void test_what_holds_for_any_path(void **state) {
  (void)state;
  static const char letters[] = "//..%%2eEfF5c\\;ab";
  neap_random random = {7};
  for (int round = 0; round < 200000; round++) {
    char path[40] = "/", once[256], lines[256];
    size_t size = 1 + neap_random_next(&random) % 30;
    for (size_t i = 1; i < size; i++) path[i] = letters[neap_random_next(&random) % (sizeof letters - 1)];
    path[size] = 0;
    assert_int_equal(neap_http_path_is_odd(slice_of(path)), odd_by_bytes(path));
    snprintf(once, sizeof once, "%s", normal(path));
    assert_int_equal(once[0], '/');
    assert_string_equal(normal(once), once);
    assert_null(strstr(once, "/../"));
    assert_null(strstr(once, "/./"));
    snprintf(lines, sizeof lines, "%s", folded(once));
    assert_string_equal(folded(lines), lines);
    assert_null(strstr(lines, "//"));
    if (!odd_by_bytes(path)) assert_true(strcmp(once, path) == 0 && strcmp(lines, path) == 0);
    if (neap_http_path_is_ambiguous(slice_of(path))) continue;
    assert_null(strstr(lines, "/../"));
    assert_null(strstr(lines, "/..;"));
  }
}

static void test_the_parser_marks_odd_paths_and_refuses_ambiguous_ones(void **state) {
  (void)state;
  neap_http_request request;
  assert_true(parse_request(&request, TEXT("GET /a/b?c=/../%2e HTTP/1.1\r\nHost: a\r\n\r\n")) > 0);
  assert_false(request.odd_path);
  assert_true(parse_request(&request, TEXT("GET http://b/a/../b HTTP/1.1\r\nHost: a\r\n\r\n")) > 0);
  assert_true(request.odd_path);
  assert_int_equal(parse_request(&request, TEXT("GET /a/..%2Fb HTTP/1.1\r\nHost: a\r\n\r\n")), NEAP_ESYNTAX);
  assert_int_equal(request.head.reason, NEAP_HTTP_REASON_PATH);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_normal_spelling),
      cmocka_unit_test(test_folded_spelling),
      cmocka_unit_test(test_dot_segments_that_not_everybody_sees_are_ambiguous),
      cmocka_unit_test(test_what_holds_for_any_path),
      cmocka_unit_test(test_the_parser_marks_odd_paths_and_refuses_ambiguous_ones),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
