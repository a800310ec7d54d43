#include "unit.h"

#include "base/host.h"

static void test_name_is_without_port_and_final_dot(void **state) {
  (void)state;
  static const char *const rows[][2] = {
      {"", ""},           {"a", "a"},       {"a:80", "a"}, {"a.:80", "a"},
      {"a.", "a"},        {".", ""},        {":80", ""},   {"[::1]:80", "[::1]"},
      {"[::1]", "[::1]"}, {"[::1", "[::1"}, {"a..", "a."}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    assert_int_equal(neap_host_name_size(rows[i][0], strlen(rows[i][0])), strlen(rows[i][1]));
}

static void test_capitals_are_found_at_every_place_and_nothing_else_is(void **state) {
  (void)state;
  char host[64], lower[64];
  for (size_t size = 0; size < 40; size++)
    for (size_t at = 0; at < size; at++)
      for (int c = 0; c < 256; c++) {
        memset(host, 'a', sizeof host);
        memset(host + size, 'X', sizeof host - size); /* lies behind it */
        host[at] = (char)c;
        assert_int_equal(neap_host_is_lower(host, size), !(c >= 'A' && c <= 'Z'));
        neap_host_lower(host, size, lower);
        assert_true(neap_host_is_lower(lower, size));
        assert_int_equal((unsigned char)lower[at], c >= 'A' && c <= 'Z' ? c + 32 : c);
      }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_name_is_without_port_and_final_dot),
      cmocka_unit_test(test_capitals_are_found_at_every_place_and_nothing_else_is),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
