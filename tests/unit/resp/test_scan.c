/* Replies: whole, in pieces, and what is refused. */
#include "unit.h"

#include "base/base.h"
#include "resp/resp.h"

static neap_resp_limits limits;
static neap_resp_scan scan;

static int set_up(void **state) {
  (void)state;
  limits = neap_resp_limits_default;
  return 0;
}

static ssize_t scan_bytes(const char *bytes, size_t size) {
  neap_resp_scan_init(&scan, &limits);
  return neap_resp_scan_more(&scan, bytes, size);
}
static ssize_t scan_text(const char *text) {
  return scan_bytes(text, strlen(text));
}

/* The one value in `text`. */
static neap_resp_value value_of(const char *text) {
  neap_resp_cursor cursor = {text, text + strlen(text)};
  neap_resp_value value;
  assert_int_equal(scan_text(text), strlen(text));
  assert_true(neap_resp_next(&cursor, &value));
  assert_ptr_equal(cursor.at, cursor.end);
  return value;
}

static void expect_text(neap_view view, const char *text) {
  if (!neap_view_is(view, text)) fail_msg("\"%.*s\" is not \"%s\"", (int)view.size, view.ptr, text);
}

static void test_every_type_is_read(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    neap_resp_type type;
    const char *text;
    int64_t integer;
    size_t count;
  } rows[] = {
      {"+OK\r\n", NEAP_RESP_STRING, "OK", 0, 0},
      {"+\r\n", NEAP_RESP_STRING, "", 0, 0},
      {"-ERR no\r\n", NEAP_RESP_ERROR, "ERR no", 0, 0},
      {":0\r\n", NEAP_RESP_INTEGER, "0", 0, 0},
      {":-7\r\n", NEAP_RESP_INTEGER, "-7", -7, 0},
      {":9223372036854775807\r\n", NEAP_RESP_INTEGER, "9223372036854775807", INT64_MAX, 0},
      {":-9223372036854775808\r\n", NEAP_RESP_INTEGER, "-9223372036854775808", INT64_MIN, 0},
      {"$3\r\nabc\r\n", NEAP_RESP_STRING, "abc", 0, 0},
      {"$0\r\n\r\n", NEAP_RESP_STRING, "", 0, 0},
      {"$4\r\n\r\n\r\n\r\n", NEAP_RESP_STRING, "\r\n\r\n", 0, 0},
      {"$-1\r\n", NEAP_RESP_NULL, "", 0, 0},
      {"*-1\r\n", NEAP_RESP_NULL, "", 0, 0},
      {"_\r\n", NEAP_RESP_NULL, "", 0, 0},
      {"#t\r\n", NEAP_RESP_BOOLEAN, "t", 1, 0},
      {"#f\r\n", NEAP_RESP_BOOLEAN, "f", 0, 0},
      {",1.5e-7\r\n", NEAP_RESP_DOUBLE, "1.5e-7", 0, 0},
      {",-inf\r\n", NEAP_RESP_DOUBLE, "-inf", 0, 0},
      {",nan\r\n", NEAP_RESP_DOUBLE, "nan", 0, 0},
      {"(-123456789012345678901234567890\r\n", NEAP_RESP_BIG, "-123456789012345678901234567890", 0, 0},
      {"!5\r\nERR a\r\n", NEAP_RESP_ERROR, "ERR a", 0, 0},
      {"=7\r\ntxt:abc\r\n", NEAP_RESP_STRING, "abc", 0, 0},
      {"*0\r\n", NEAP_RESP_ARRAY, "", 0, 0},
      {"*2\r\n+a\r\n*1\r\n:1\r\n", NEAP_RESP_ARRAY, "", 0, 2},
      {"~1\r\n+a\r\n", NEAP_RESP_SET, "", 0, 1},
      {"%1\r\n+a\r\n$1\r\nb\r\n", NEAP_RESP_MAP, "", 0, 2},
      {">2\r\n+a\r\n_\r\n", NEAP_RESP_PUSH, "", 0, 2},
      {"|1\r\n+a\r\n*1\r\n+b\r\n:5\r\n", NEAP_RESP_INTEGER, "5", 5, 0},
      {"|0\r\n+a\r\n", NEAP_RESP_STRING, "a", 0, 0}};
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    neap_resp_value value = value_of(rows[i].bytes);
    assert_int_equal(value.type, rows[i].type);
    if (value.type != NEAP_RESP_NULL) expect_text(value.text, rows[i].text);
    assert_true(value.integer == rows[i].integer);
    assert_int_equal(value.count, rows[i].count);
  }
}

static const char tree[] = "*4\r\n%2\r\n+a\r\n*2\r\n:1\r\n$2\r\nxy\r\n+b\r\n$-1\r\n"
                           "|1\r\n+ttl\r\n:9\r\n+c\r\n*0\r\n=4\r\ntxt:\r\n";

static void test_a_tree_is_walked_level_by_level(void **state) {
  (void)state;
  neap_resp_value top = value_of(tree), map, value, deep;
  assert_int_equal(top.count, 4);
  assert_true(neap_resp_next(&top.elements, &map));
  assert_int_equal(map.type, NEAP_RESP_MAP);
  assert_int_equal(map.count, 4);
  assert_true(neap_resp_next(&map.elements, &value));
  expect_text(value.text, "a");
  assert_true(neap_resp_next(&map.elements, &value));
  assert_true(neap_resp_next(&value.elements, &deep));
  assert_true(deep.integer == 1);
  assert_true(neap_resp_next(&value.elements, &deep));
  expect_text(deep.text, "xy");
  assert_false(neap_resp_next(&value.elements, &deep));
  assert_true(neap_resp_next(&map.elements, &value));
  assert_true(neap_resp_next(&map.elements, &value));
  assert_int_equal(value.type, NEAP_RESP_NULL);
  assert_false(neap_resp_next(&map.elements, &value));
  assert_true(neap_resp_next(&top.elements, &value)); /* its attribute is left out */
  expect_text(value.text, "c");
  assert_true(neap_resp_next(&top.elements, &value));
  assert_int_equal(value.count, 0);
  assert_true(neap_resp_next(&top.elements, &value));
  expect_text(value.text, "");
  assert_false(neap_resp_next(&top.elements, &value));
}

static void test_pieces_of_any_size_give_the_same(void **state) {
  (void)state;
  size_t size = sizeof tree - 1;
  for (size_t step = 1; step <= size; step++) {
    neap_resp_scan_init(&scan, &limits);
    ssize_t got = 0;
    for (size_t end = step; got == 0; end += step) {
      size_t there = NEAP_MIN(end, size);
      char *copy = malloc(there); /* it lies elsewhere each time */
      memcpy(copy, tree, there);
      got = neap_resp_scan_more(&scan, copy, there);
      free(copy);
      assert_true(got == 0 || there == size);
    }
    assert_int_equal(got, size);
  }
}

static void test_what_follows_a_value_is_left_alone(void **state) {
  (void)state;
  assert_int_equal(scan_text("$1\r\na\r\ngarbage"), 7);
  assert_int_equal(scan_text("+OK\r\n+OK\r\n"), 5);
}

static void expect_refused(const char *text, int code) {
  ssize_t got = scan_text(text);
  if (got != code) fail_msg("\"%s\": %zd, not %s", text, got, neap_errname(code));
  assert_non_null(scan.fault);
  neap_resp_scan_init(&scan, &limits); /* and byte by byte just so */
  for (size_t end = 1; end <= strlen(text); end++)
    if ((got = neap_resp_scan_more(&scan, text, end)) != 0) break;
  assert_int_equal(got, code);
}

static void test_what_is_not_the_protocol_is_refused(void **state) {
  (void)state;
  static const char *const rows[] = {"HTTP/1.1 200 OK\r\n",
                                     "\r\n",
                                     "x\r\n",
                                     "?1\r\n",
                                     ";4\r\n",
                                     ".\r\n",
                                     "+a\rb\r\n",
                                     "+a\nb\r\n",
                                     ":\r\n",
                                     ":1a\r\n",
                                     ":+1\r\n",
                                     ":01\r\n",
                                     ":-\r\n",
                                     ":-0\r\n",
                                     ": 1\r\n",
                                     ":9223372036854775808\r\n",
                                     ":-9223372036854775809\r\n",
                                     ":99999999999999999999\r\n",
                                     "$\r\n",
                                     "$-2\r\n",
                                     "$a\r\n",
                                     "$+1\r\n",
                                     "$?\r\n",
                                     "$01\r\n",
                                     "$1\r\nabc",
                                     "$1\r\na\n\r",
                                     "$3\r\nab\r\n\r",
                                     "*?\r\n",
                                     "*-2\r\n",
                                     "*\r\n",
                                     "%-1\r\n",
                                     "~-1\r\n",
                                     ">-1\r\n",
                                     "!-1\r\n",
                                     "=-1\r\n",
                                     "=3\r\ntxt\r\n",
                                     "_x\r\n",
                                     "#\r\n",
                                     "#x\r\n",
                                     "#tt\r\n",
                                     ",\r\n",
                                     ",1,5\r\n",
                                     ",0x1p3\r\n",
                                     ",infinity\r\n",
                                     ",-\r\n",
                                     ",1e\r\n",
                                     "(\r\n",
                                     "(12x\r\n",
                                     "*1\r\n>1\r\n+a\r\n",
                                     "*1\r\nxy\r\n"};
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) expect_refused(rows[i], NEAP_ESYNTAX);
  assert_int_equal(scan_bytes("\0\r\n", 3), NEAP_ESYNTAX);
}

static void test_limits_hold_when_a_length_is_claimed(void **state) {
  (void)state;
  expect_refused("$536870913\r\n", NEAP_ETOOLARGE);
  expect_refused("$9223372036854775807\r\n", NEAP_ETOOLARGE);
  expect_refused("*1048577\r\n", NEAP_ETOOLARGE);
  expect_refused("*9223372036854775807\r\n", NEAP_ETOOLARGE);
  expect_refused("%4611686018427387904\r\n", NEAP_ETOOLARGE);
  expect_refused("%524289\r\n", NEAP_ETOOLARGE);
  limits.element_count = 4;
  expect_refused("*3\r\n*2\r\n", NEAP_ETOOLARGE); /* all levels together */
  assert_int_equal(scan_text("*2\r\n*2\r\n"), 0);
  limits.bulk_bytes = 3;
  assert_int_equal(scan_text("$3\r\nabc\r\n"), 9);
  expect_refused("$4\r\n", NEAP_ETOOLARGE);
  limits.total_bytes = 20;
  expect_refused("*3\r\n$3\r\nabc\r\n$3\r\n", NEAP_ETOOLARGE);
  limits.line_bytes = 6;
  expect_refused("+1234567", NEAP_ETOOLARGE);
  expect_refused("$0000000", NEAP_ETOOLARGE);
}

static void test_depth_is_limited(void **state) {
  (void)state;
  char text[4 * 64 + 8] = "";
  for (int i = 0; i < 8; i++) strcat(text, "*1\r\n");
  strcat(text, ":1\r\n");
  assert_int_equal(scan_text(text), strlen(text));
  memmove(text + 4, text, strlen(text) + 1);
  memcpy(text, "*1\r\n", 4);
  expect_refused(text, NEAP_ETOOLARGE);
  limits.depth = NEAP_RESP_DEPTH_MAX;
  assert_int_equal(scan_text(text), strlen(text));
}

static void test_attributes_without_end_come_to_one(void **state) {
  (void)state;
  char *text = malloc(4 * 1000 + 1);
  for (int i = 0; i < 1000; i++) memcpy(text + 4 * i, "|0\r\n", 5);
  limits.total_bytes = 1000;
  assert_int_equal(scan_text(text), NEAP_ETOOLARGE);
  free(text);
}

static void test_a_long_string_says_how_much_it_wants(void **state) {
  (void)state;
  assert_int_equal(scan_text("*2\r\n$100\r\nabc"), 0);
  assert_int_equal(neap_resp_scan_wanted(&scan), 4 + 6 + 100 + 2);
}

static void test_errors_have_codes(void **state) {
  (void)state;
  neap_resp_value moved = value_of("-MOVED 1 a:1\r\n"), bare = value_of("-ERR\r\n"),
                  none = value_of("+ERR\r\n");
  assert_true(neap_resp_is_error(&moved, "MOVED"));
  assert_false(neap_resp_is_error(&moved, "MOVE"));
  assert_false(neap_resp_is_error(&moved, "MOVED 1 a:1 b"));
  assert_true(neap_resp_is_error(&bare, "ERR"));
  assert_false(neap_resp_is_error(&none, "ERR"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_every_type_is_read, set_up),
      cmocka_unit_test_setup(test_a_tree_is_walked_level_by_level, set_up),
      cmocka_unit_test_setup(test_pieces_of_any_size_give_the_same, set_up),
      cmocka_unit_test_setup(test_what_follows_a_value_is_left_alone, set_up),
      cmocka_unit_test_setup(test_what_is_not_the_protocol_is_refused, set_up),
      cmocka_unit_test_setup(test_limits_hold_when_a_length_is_claimed, set_up),
      cmocka_unit_test_setup(test_depth_is_limited, set_up),
      cmocka_unit_test_setup(test_attributes_without_end_come_to_one, set_up),
      cmocka_unit_test_setup(test_a_long_string_says_how_much_it_wants, set_up),
      cmocka_unit_test_setup(test_errors_have_codes, set_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
