#include "unit.h"

#include "bin/replay_spec.h"

static neap_policy_specs policies_of(const char *list) {
  neap_policy_specs specs = {0};
  neap_err err;
  assert_int_equal(neap_policy_specs_add(&specs, NEAP_EVICT, list, &err), 0);
  return specs;
}

static void assert_policies_refused(const char *list, const char *text) {
  neap_policy_specs specs = {0};
  neap_err err;
  assert_int_equal(neap_policy_specs_add(&specs, NEAP_EVICT, list, &err), NEAP_EINVAL);
  assert_string_equal(err.text, text);
  neap_policy_specs_fini(&specs);
}

static void test_policies_are_split_at_commas_outside_parentheses(void **state) {
  (void)state;
  neap_policy_specs specs =
      policies_of("lru,native:sieve,Custom(mine),dir/mine.lua,s3fifo(small=0.25;name=a,b)");
  static const char *const names[] = {"lru", "native:sieve", "Custom(mine)", "dir/mine.lua", "s3fifo"};
  assert_int_equal(specs.count, 5);
  for (size_t i = 0; i < 5; i++) assert_string_equal(specs.items[i].name, names[i]);
  assert_string_equal(specs.items[4].label, "s3fifo(small=0.25;name=a,b)");
  assert_int_equal(specs.items[2].param_count, 0);
  neap_policy_specs_fini(&specs);
}

static void test_parameters_are_numbers_or_texts(void **state) {
  (void)state;
  neap_policy_specs specs = policies_of("x(a=0.25;b=deep;c=-3)");
  const neap_param *params = specs.items[0].params;
  assert_int_equal(specs.items[0].param_count, 3);
  assert_string_equal(params[0].name, "a");
  assert_true(params[0].number == 0.25 && params[0].text == NULL);
  assert_string_equal(params[1].text, "deep");
  assert_true(params[2].number == -3);
  neap_policy_specs_fini(&specs);
  specs = policies_of("Custom(mine)(a=1)");
  assert_string_equal(specs.items[0].name, "Custom(mine)");
  assert_int_equal(specs.items[0].param_count, 1);
  neap_policy_specs_fini(&specs);
}

static void test_wrong_policies_are_named(void **state) {
  (void)state;
  assert_policies_refused("", "--policy: there is nothing before or behind a comma");
  assert_policies_refused("lru,", "--policy: there is nothing before or behind a comma");
  assert_policies_refused("lru(", "--policy: parentheses do not match in 'lru('");
  assert_policies_refused("lru)", "--policy: parentheses do not match in 'lru)'");
  assert_policies_refused("lru(a=)", "--policy lru(a=): 'a=' is not param=value");
  assert_policies_refused("lru(a=1;)", "--policy lru(a=1;): '' is not param=value");
  assert_policies_refused("lru(a=1;=2)", "--policy lru(a=1;=2): '=2' is not param=value");
}

static void test_more_policies_or_parameters_than_fit_are_refused(void **state) {
  (void)state;
  char list[1024] = "x";
  for (int i = 0; i < NEAP_SPECS_MAX; i++) strcat(list, ",x");
  assert_policies_refused(list, "--policy: more than 64");
  strcpy(list, "x(p=0");
  for (int i = 0; i < NEAP_SPEC_PARAMS_MAX; i++) strcat(list, ";p=0");
  neap_policy_specs specs = {0};
  neap_err err;
  assert_int_equal(neap_policy_specs_add(&specs, NEAP_EVICT, strcat(list, ")"), &err), NEAP_EINVAL);
  assert_non_null(strstr(err.text, "more than 16 parameters"));
  neap_policy_specs_fini(&specs);
}

static uint64_t size_of(const char *text, bool bytes, uint64_t unique) {
  neap_size_specs specs = {0};
  neap_err err;
  uint64_t size;
  assert_int_equal(neap_size_specs_add(&specs, text, bytes, &err), 0);
  assert_int_equal(neap_size_spec_resolve(&specs.items[0], unique, &size, &err), 0);
  neap_size_specs_fini(&specs);
  return size;
}

static void test_sizes_are_numbers_bytes_or_truncated_percentages(void **state) {
  (void)state;
  assert_int_equal(size_of("1000", false, 5), 1000);
  assert_int_equal(size_of("2KB", true, 5), 2048);
  assert_int_equal(size_of("0.1%", false, 186880), 186);
  assert_int_equal(size_of("1%", false, 186880), 1868);
  assert_int_equal(size_of("10%", false, 186880), 18688);
  assert_int_equal(size_of("100%", true, 6864498688), 6864498688);
}

static void assert_sizes_refused(const char *list, bool bytes, const char *text) {
  neap_size_specs specs = {0};
  neap_err err;
  assert_int_equal(neap_size_specs_add(&specs, list, bytes, &err), NEAP_EINVAL);
  assert_string_equal(err.text, text);
  neap_size_specs_fini(&specs);
}

static void test_wrong_sizes_are_named(void **state) {
  (void)state;
  assert_sizes_refused("0", false, "--size: a cache of size 0 holds nothing");
  assert_sizes_refused("1,,2", false, "--size: there is nothing before or behind a comma");
  assert_sizes_refused("-1", false, "--size: '-1' is not a number or a percentage");
  assert_sizes_refused("big", true,
                       "--size: 'big' is not a number, a number with KB, MB or GB, or a percentage");
  assert_sizes_refused("1KB", false, "--size: '1KB' counts objects; units are for --unit bytes");
  assert_sizes_refused("1.5", false, "--size: '1.5' counts objects; units are for --unit bytes");
  assert_sizes_refused("0%", false, "--size: '0%' is not a percentage above 0% and up to 100%");
  assert_sizes_refused("101%", false, "--size: '101%' is not a percentage above 0% and up to 100%");
  assert_sizes_refused("1%%", false, "--size: '1%%' is not a percentage above 0% and up to 100%");
  assert_sizes_refused("nan%", false, "--size: 'nan%' is not a percentage above 0% and up to 100%");
}

static void test_a_percentage_of_too_little_is_an_error(void **state) {
  (void)state;
  neap_size_specs specs = {0};
  neap_err err;
  uint64_t size;
  assert_int_equal(neap_size_specs_add(&specs, "0.1%", false, &err), 0);
  assert_int_equal(neap_size_spec_resolve(&specs.items[0], 999, &size, &err), NEAP_EINVAL);
  assert_string_equal(err.text, "--size: 0.1% of 999 is less than 1");
  neap_size_specs_fini(&specs);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_policies_are_split_at_commas_outside_parentheses),
      cmocka_unit_test(test_parameters_are_numbers_or_texts),
      cmocka_unit_test(test_wrong_policies_are_named),
      cmocka_unit_test(test_more_policies_or_parameters_than_fit_are_refused),
      cmocka_unit_test(test_sizes_are_numbers_bytes_or_truncated_percentages),
      cmocka_unit_test(test_wrong_sizes_are_named),
      cmocka_unit_test(test_a_percentage_of_too_little_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
