#include "unit.h"

#include "base/base.h"

static void test_every_error_has_its_name_and_sentence(void **state) {
  (void)state;
  assert_string_equal(neap_errname(NEAP_EROOM), "NEAP_EROOM");
  assert_string_equal(neap_strerror(NEAP_ENOTFOUND), "not found");
  assert_string_equal(neap_strerror(-9999), "unknown error");
  assert_string_equal(neap_errname(7), "NEAP_E?");
}

static void test_fail_fills_the_error_and_returns_its_code(void **state) {
  (void)state;
  neap_err err;
  assert_int_equal(neap_fail(&err, NEAP_EINVAL, "size is %d", 0), NEAP_EINVAL);
  assert_int_equal(err.code, NEAP_EINVAL);
  assert_string_equal(err.text, "size is 0");
  assert_int_equal(neap_fail(NULL, NEAP_EIO, "nobody listens"), NEAP_EIO);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_error_has_its_name_and_sentence),
      cmocka_unit_test(test_fail_fills_the_error_and_returns_its_code),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
