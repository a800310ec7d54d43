#include "unit.h"

#include "script/script.h"

static void test_a_process_with_luajit_alone_is_accepted(void **state) {
  (void)state;
  neap_err err = {0};
  if (neap_script_check_host(&err)) fail_msg("%s", err.text);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_process_with_luajit_alone_is_accepted)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
