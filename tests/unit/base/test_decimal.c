#include "unit.h"

#include <math.h>

#include "base/decimal.h"

static void assert_reads(const char *text, double value, const char *rest) {
  double got = -1;
  const char *end = neap_decimal_read(text, &got);
  assert_non_null(end);
  assert_string_equal(end, rest);
  assert_true(fabs(got - value) <= 1e-15 * value);
}

static void test_numbers_are_read_and_what_follows_is_told(void **state) {
  (void)state;
  assert_reads("0", 0, "");
  assert_reads("007", 7, "");
  assert_reads("12.5%", 12.5, "%");
  assert_reads(".5", 0.5, "");
  assert_reads("0.1", 0.1, "");
  assert_reads("0.05", 0.05, "");
  assert_reads("9007199254740991", 9007199254740991, "");
  assert_reads("0.3333333333333333333333333333333333333333", 1.0 / 3, "");
  assert_reads("60s", 60, "s");
}

static void test_what_strtod_understands_and_people_do_not_mean_is_left(void **state) {
  (void)state;
  assert_reads("0x10", 0, "x10");
  assert_reads("1e3", 1, "e3");
  assert_reads("1.", 1, ".");
  assert_reads("1.2.3", 1.2, ".3");
}

static void test_what_is_no_number_is_none(void **state) {
  (void)state;
  double got = 7;
  const char *const words[] = {"", " 1", "+1", "-1", "nan", "inf", "infinity", ".", ".e", "%", "x"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) assert_null(neap_decimal_read(words[i], &got));
  assert_true(got == 7); /* set on success only */
}

static void test_endless_digits_are_too_large_and_no_harm(void **state) {
  (void)state;
  char digits[4096];
  double got = 0;
  memset(digits, '9', sizeof digits);
  digits[sizeof digits - 1] = '\0';
  assert_non_null(neap_decimal_read(digits, &got));
  assert_true(isinf(got));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_numbers_are_read_and_what_follows_is_told),
      cmocka_unit_test(test_what_strtod_understands_and_people_do_not_mean_is_left),
      cmocka_unit_test(test_what_is_no_number_is_none),
      cmocka_unit_test(test_endless_digits_are_too_large_and_no_harm),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
