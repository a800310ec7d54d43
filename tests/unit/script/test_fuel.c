#include "unit.h"

#include "base/base.h"
#include "script/fuel.h"

#define HEAD        "local __F,__X=... return function(...) "
#define TAIL        "\nend"
#define CHECK(line) " __F.n=__F.n-1 __F.at=" #line " if __F.n<0 then __X() end "

static void expect(const char *text, const char *body) {
  char *out;
  size_t size;
  neap_err err;
  if (neap_fuel_insert("p.lua", text, strlen(text), 0, &out, &size, &err)) fail_msg("%s", err.text);
  size_t head = strlen(HEAD), tail = strlen(TAIL);
  assert_int_equal(size, head + strlen(body) + tail);
  assert_memory_equal(out, HEAD, head);
  assert_memory_equal(out + head, body, strlen(body));
  assert_memory_equal(out + size - tail, TAIL, tail);
  free(out);
}

static void refuse_bytes(const char *text, size_t size, const char *message) {
  char *out = NULL;
  size_t out_size;
  neap_err err;
  assert_int_equal(neap_fuel_insert("p.lua", text, size, 0, &out, &out_size, &err), NEAP_ESYNTAX);
  assert_string_equal(err.text, message);
  assert_null(out);
}

static void refuse(const char *text, const char *message) {
  refuse_bytes(text, strlen(text), message);
}

static void test_loops_functions_and_labels_are_counted(void **state) {
  (void)state;
  expect("while x do y() end", "while x do" CHECK(1) " y() end");
  expect("for i = 1, 2 do end", "for i = 1, 2 do" CHECK(1) " end");
  expect("repeat f() until x", "repeat" CHECK(1) " f() until x");
  expect("function a.b:c(d, ...) end", "function a.b:c(d, ...)" CHECK(1) " end");
  expect("local f = function() return f(1) end", "local f = function()" CHECK(1) " return f(1) end");
  expect("::top:: f() goto top", "::top:: " CHECK(1) "f() goto top");
}

static void test_lines_keep_their_numbers(void **state) {
  (void)state;
  expect("local a\n\nwhile a\ndo\nend", "local a\n\nwhile a\ndo" CHECK(4) "\nend");
  expect("-- one\r\n--[[\n two\n]] repeat until x", "-- one\r\n--[[\n two\n]] repeat" CHECK(4) " until x");
  expect("local s = [==[\n]]\n]==] do end", "local s = [==[\n]]\n]==] do" CHECK(3) " end");
}

static void test_words_inside_strings_and_comments_are_left_alone(void **state) {
  (void)state;
  expect("a = 'do' b = \"x\\\"do\" -- do repeat", "a = 'do' b = \"x\\\"do\" -- do repeat");
  expect("a = [[do ]=] function()]] --[=[ do ]] do ]=]", "a = [[do ]=] function()]] --[=[ do ]] do ]=]");
  expect("t.done = redo x = undo", "t.done = redo x = undo");
  expect("a = 'one \\z\n   do'", "a = 'one \\z\n   do'");
}

static void test_a_label_that_ends_its_block_stays_last(void **state) {
  (void)state;
  expect("do goto c ::c:: end", "do" CHECK(1) " goto c ::c:: end");
  expect("repeat ::c:: until x", "repeat" CHECK(1) " ::c:: until x");
  expect("::a::", "::a::");
}

static void test_a_label_cannot_hide_behind_semicolons_or_labels(void **state) {
  (void)state;
  expect("::a:: ; goto a", "::a:: ; " CHECK(1) "goto a");
  expect("::a:: ::b:: goto a", "::a:: ::b:: " CHECK(1) "goto a");
  expect(":: --[[x]] a --[[y]] :: goto a", ":: --[[x]] a --[[y]] :: " CHECK(1) "goto a");
}

/* Each of these reads differently in a lexer that is not LuaJIT's, and would hide the loop behind it. */
static void test_what_other_lexers_would_miss_is_counted(void **state) {
  (void)state;
  expect("--\rwhile 1 do end", "--\rwhile 1 do" CHECK(2) " end");
  expect("x = 0xe+f(function() end)", "x = 0xe+f(function()" CHECK(1) " end)");
  expect("--[=do\nwhile 1 do end", "--[=do\nwhile 1 do" CHECK(2) " end");
  expect("a='\\\\'while 1 do end", "a='\\\\'while 1 do" CHECK(1) " end");
  expect("a='\\\n'while 1 do end", "a='\\\n'while 1 do" CHECK(2) " end");
  expect("a=1..'x'while 1 do end", "a=1..'x'while 1 do" CHECK(1) " end");
  expect("\xc3\xa4"
         "do=1 while 1 do end",
         "\xc3\xa4"
         "do=1 while 1 do" CHECK(1) " end");
  expect("a=[=[]]]=]while 1 do end", "a=[=[]]]=]while 1 do" CHECK(1) " end");
}

static void test_a_header_line_is_passed_over(void **state) {
  (void)state;
  expect("#!/usr/bin/luajit do\nreturn 1", "\nreturn 1");
  expect("\xef\xbb\xbfreturn 1", "return 1");
}

static void test_what_could_break_out_is_refused(void **state) {
  (void)state;
  refuse("\n__F = 1", "p.lua:2: the names __F and __X are reserved");
  refuse("local function __X() end", "p.lua:1: the names __F and __X are reserved");
  refuse("\033LJ\2", "p.lua:1: bytecode is not accepted");
  refuse_bytes("a = 1\0do", 8, "p.lua:1: a NUL byte is not accepted");
  refuse("x = 1\nend, (function(f) f.n = 1e9 end)(...), function()",
         "p.lua:2: 'end' or 'until' without a block");
}

static void test_what_does_not_end_is_refused_with_its_line(void **state) {
  (void)state;
  refuse("a = 1\nb = 'x", "p.lua:2: unfinished string");
  refuse("a = 1 --[[ b", "p.lua:1: unfinished long comment");
  refuse("a = [==[ ]]\n", "p.lua:2: unfinished long string");
  refuse("::a", "p.lua:1: a label is ::name::");
}

static void test_the_file_is_part_of_the_place(void **state) {
  (void)state;
  char *out;
  size_t size;
  assert_int_equal(neap_fuel_insert("p.lua", "do end", 6, 3, &out, &size, NULL), 0);
  out[size - 1] = 0;
  assert_non_null(strstr(out, "__F.at=3145729 "));
  free(out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_loops_functions_and_labels_are_counted),
      cmocka_unit_test(test_lines_keep_their_numbers),
      cmocka_unit_test(test_words_inside_strings_and_comments_are_left_alone),
      cmocka_unit_test(test_a_label_that_ends_its_block_stays_last),
      cmocka_unit_test(test_a_label_cannot_hide_behind_semicolons_or_labels),
      cmocka_unit_test(test_what_other_lexers_would_miss_is_counted),
      cmocka_unit_test(test_a_header_line_is_passed_over),
      cmocka_unit_test(test_what_could_break_out_is_refused),
      cmocka_unit_test(test_what_does_not_end_is_refused_with_its_line),
      cmocka_unit_test(test_the_file_is_part_of_the_place),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
