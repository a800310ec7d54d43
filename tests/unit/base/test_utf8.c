#include "unit.h"

#include "base/utf8.h"

static void assert_tamed(const char *text, char kept, const char *wanted) {
  char copy[128];
  snprintf(copy, sizeof copy, "%s", text);
  neap_text_tame(copy, kept);
  assert_string_equal(copy, wanted);
}

static void test_words_of_any_language_stay(void **state) {
  (void)state;
  assert_tamed("", 0, "");
  assert_tamed("plain ~", 0, "plain ~");
  assert_tamed("Gezeiten \xc3\xa4 \xe6\xbd\xae \xf0\x9f\x8c\x8a", 0,
               "Gezeiten \xc3\xa4 \xe6\xbd\xae \xf0\x9f\x8c\x8a");
}

static void test_what_steers_a_terminal_does_not_stay(void **state) {
  (void)state;
  assert_tamed("a\033[2Jb\rc\nd\te\x7f", 0, "a?[2Jb?c?d?e?");
  assert_tamed("a\xc2\x9b"
               "2Jb\xc2\xa0",
               0, "a??2Jb\xc2\xa0"); /* CSI of C1; a space that is none */
  assert_tamed("a\xe2\x80\xa8"
               "b\xe2\x80\xae"
               "c\xe2\x81\xa6",
               0, "a???b???c???");
  assert_tamed("a\nb\033\n", '\n', "a\nb?\n");
}

static void test_what_is_no_utf8_does_not_stay(void **state) {
  (void)state;
  assert_tamed("\xff\xc3(\xe6\xbd", 0,
               "?"
               "?(?"
               "?");
  assert_tamed("\x9b", 0, "?");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_words_of_any_language_stay),
      cmocka_unit_test(test_what_steers_a_terminal_does_not_stay),
      cmocka_unit_test(test_what_is_no_utf8_does_not_stay),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
