#include "unit.h"

#include "policy/policy.h"

static void keep_line(void *user, neap_log_level level, const char *line) {
  assert_int_equal(level, NEAP_LOG_WARN);
  snprintf(user, 64, "%s", line);
}

static void test_words_of_others_end_no_line_of_the_log(void **state) {
  (void)state;
  char line[64] = "";
  const neap_host host = {.user = line, .log = keep_line};
  neap_host_log(&host, NEAP_LOG_WARN, "server odd error=\"%s\"", "x\nerror server forged\033[2J\xc2\x9b\xff");
  assert_string_equal(line, "server odd error=\"x?error server forged?[2J???\"");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_words_of_others_end_no_line_of_the_log),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
