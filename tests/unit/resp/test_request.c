/* Requests as servers read them. */
#include "unit.h"

#include "base/base.h"
#include "resp/resp.h"

static neap_resp_limits limits;
static neap_resp_request request;
static char buffer[65536];

static int set_up(void **state) {
  (void)state;
  limits = neap_resp_limits_default;
  neap_resp_request_init(&request, &limits);
  return 0;
}
static int tear_down(void **state) {
  (void)state;
  neap_resp_request_fini(&request);
  return 0;
}

static ssize_t read_bytes(const char *bytes, size_t size) {
  assert_true(size <= sizeof buffer);
  memcpy(buffer, bytes, size);
  neap_resp_request_reset(&request);
  return neap_resp_request_more(&request, buffer, size);
}
static ssize_t read_text(const char *text) {
  return read_bytes(text, strlen(text));
}

static void expect_arg(size_t i, const char *text) {
  neap_view arg = neap_resp_request_arg(&request, buffer, i);
  if (!neap_view_is(arg, text)) fail_msg("\"%.*s\" is not \"%s\"", (int)arg.size, arg.ptr, text);
}

static void test_an_array_of_strings_is_a_request(void **state) {
  (void)state;
  assert_int_equal(read_text("*3\r\n$3\r\nSET\r\n$2\r\n\r\n\r\n$0\r\n\r\nrest"), 4 + 9 + 8 + 6);
  assert_int_equal(request.count, 3);
  expect_arg(0, "SET");
  expect_arg(1, "\r\n");
  expect_arg(2, "");
}

static void test_many_arguments_arrive_in_pieces(void **state) {
  (void)state;
  char text[8192];
  size_t size = (size_t)sprintf(text, "*500\r\n");
  for (int i = 0; i < 500; i++) size += (size_t)sprintf(text + size, "$3\r\n%03d\r\n", i);
  ssize_t got = 0;
  for (size_t end = 1; end <= size; end++) {
    memcpy(buffer, text, end);
    got = neap_resp_request_more(&request, buffer, end);
    if (end < size) assert_int_equal(got, 0);
  }
  assert_int_equal(got, size);
  assert_int_equal(request.count, 500);
  expect_arg(0, "000");
  expect_arg(499, "499");
}

static void test_requests_of_nothing_are_skipped(void **state) {
  (void)state;
  assert_int_equal(read_text("*0\r\nrest"), 4);
  assert_int_equal(request.count, 0);
  assert_int_equal(read_text("*-1\r\n"), 5);
  assert_int_equal(read_text("\r\nrest"), 2);
  assert_int_equal(request.count, 0);
  assert_int_equal(read_text("\nrest"), 1);
  assert_int_equal(read_text("  \t\r\n"), 5);
  assert_int_equal(request.count, 0);
}

static void test_a_line_of_words_is_a_request(void **state) {
  (void)state;
  assert_int_equal(read_text("SET  key\tvalue \r\nrest"), 17);
  assert_int_equal(request.count, 3);
  expect_arg(1, "key");
  expect_arg(2, "value");
  assert_int_equal(read_text("ECHO \"a b\\x41\\n\\\"\\q\" 'it\\'s \\n' pre\"fix\" \"\"\n"), 46 - 2);
  assert_int_equal(request.count, 5);
  expect_arg(1, "a bA\n\"q");
  expect_arg(2, "it's \\n");
  expect_arg(3, "prefix");
  expect_arg(4, "");
  assert_int_equal(read_text("GET k"), 0);
}

static void expect_refused(const char *text, int code, const char *fault) {
  ssize_t got = read_text(text);
  if (got != code) fail_msg("\"%s\": %zd, not %s", text, got, neap_errname(code));
  assert_non_null(request.fault);
  if (strstr(request.fault, fault) == NULL) fail_msg("\"%s\": %s", text, request.fault);
  got = 0;
  neap_resp_request_reset(&request);
  memcpy(buffer, text, strlen(text)); /* words were unquoted in it */
  for (size_t end = 1; end <= strlen(text) && got == 0; end++)
    got = neap_resp_request_more(&request, buffer, end);
  assert_int_equal(got, code);
}

static void test_what_is_no_request_is_refused(void **state) {
  (void)state;
  expect_refused("*x\r\n", NEAP_ESYNTAX, "invalid multibulk length");
  expect_refused("*\r\n", NEAP_ESYNTAX, "invalid multibulk length");
  expect_refused("*01\r\n", NEAP_ESYNTAX, "invalid multibulk length");
  expect_refused("*1\r\n:1\r\n", NEAP_ESYNTAX, "expected '$', got ':'");
  expect_refused("*1\r\n*1\r\n", NEAP_ESYNTAX, "expected '$', got '*'");
  expect_refused("*1\r\n$-1\r\n", NEAP_ESYNTAX, "invalid bulk length");
  expect_refused("*1\r\n$a\r\n", NEAP_ESYNTAX, "invalid bulk length");
  expect_refused("*1\r\n$1\r\nab\r\n", NEAP_ESYNTAX, "wrong end");
  expect_refused("*1\r$1", NEAP_ESYNTAX, "wrong end");
  expect_refused("GET \"a\n", NEAP_ESYNTAX, "unbalanced quotes");
  expect_refused("GET \"a\"b\n", NEAP_ESYNTAX, "unbalanced quotes");
  expect_refused("GET 'a\\\n", NEAP_ESYNTAX, "unbalanced quotes");
}

static void test_limits_hold_when_a_length_is_claimed(void **state) {
  (void)state;
  expect_refused("*1048577\r\n", NEAP_ETOOLARGE, "invalid multibulk length");
  expect_refused("*1\r\n$536870913\r\n", NEAP_ETOOLARGE, "invalid bulk length");
  expect_refused("*9999999999999999999\r\n", NEAP_ESYNTAX, "invalid multibulk length");
  assert_int_equal(read_text("*1048576\r\n$536870000\r\n"), 0);
  assert_ptr_equal(request.args, request.few); /* nothing was taken for it */
  limits.total_bytes = 30;
  expect_refused("*2\r\n$10\r\n0123456789\r\n$10\r\n", NEAP_ETOOLARGE, "invalid bulk length");
  limits.line_bytes = 8;
  expect_refused("GET 123456", NEAP_ETOOLARGE, "too big inline request");
  expect_refused("*00000000", NEAP_ETOOLARGE, "too big mbulk");
  limits.element_count = 3;
  expect_refused("a b c d\n", NEAP_ETOOLARGE, "too many words");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_an_array_of_strings_is_a_request, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_many_arguments_arrive_in_pieces, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_requests_of_nothing_are_skipped, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_a_line_of_words_is_a_request, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_what_is_no_request_is_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_limits_hold_when_a_length_is_claimed, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
