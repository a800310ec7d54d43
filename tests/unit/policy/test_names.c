#include "unit.h"

#include "policy/policy.h"

static void assert_means(neap_domain domain, const char *name, const char *wanted) {
  char spec[64];
  assert_true(neap_policy_resolve(domain, name, spec, sizeof spec));
  assert_string_equal(spec, wanted);
}

static void test_balancing_is_native_and_its_twin_is_named(void **state) {
  (void)state;
  assert_means(NEAP_BALANCE, "p2c", "native:p2c");
  assert_means(NEAP_BALANCE, "native:p2c", "native:p2c");
  assert_means(NEAP_BALANCE, "lua:p2c", "p2c");
  assert_means(NEAP_BALANCE, "two_homes", "two_homes");
}

static void test_eviction_is_in_lua_and_the_reference_is_named(void **state) {
  (void)state;
  assert_means(NEAP_EVICT, "sieve", "sieve");
  assert_means(NEAP_EVICT, "lua:sieve", "sieve");
  assert_means(NEAP_EVICT, "native:sieve", "native:sieve");
  assert_means(NEAP_EVICT, "native:S3-FIFO", "native:s3fifo");
  assert_means(NEAP_EVICT, "LRU", "LRU"); /* the loader's to find */
}

static void test_names_of_the_guide_and_of_others_are_known(void **state) {
  (void)state;
  static const char *const rows[][2] = {{"RoundRobin", "native:round_robin"},
                                        {"round-robin", "native:round_robin"},
                                        {"WeightedRoundRobin", "native:weighted_round_robin"},
                                        {"LeastConnections", "native:least_connections"},
                                        {"IPHash", "native:ip_hash"},
                                        {"leastconn", "native:least_connections"},
                                        {"WRR", "native:weighted_round_robin"},
                                        {"PowerOfTwoChoices", "native:p2c"},
                                        {"lua:power_of_two_choices", "p2c"},
                                        {"maglev", "native:consistent_hash"},
                                        {"rendezvous", "native:consistent_hash"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_means(NEAP_BALANCE, rows[i][0], rows[i][1]);
}

static void test_what_is_no_name_stays_for_others_to_judge(void **state) {
  (void)state;
  static const char *const words[] = {"", "dir/mine.lua", "Custom(mine)", "nonsense"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) assert_means(NEAP_BALANCE, words[i], words[i]);
  assert_means(NEAP_BALANCE, "native:nonsense", "native:nonsense");
  char spec[4];
  assert_false(neap_policy_resolve(NEAP_BALANCE, "p2c", spec, sizeof spec));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_balancing_is_native_and_its_twin_is_named),
      cmocka_unit_test(test_eviction_is_in_lua_and_the_reference_is_named),
      cmocka_unit_test(test_names_of_the_guide_and_of_others_are_known),
      cmocka_unit_test(test_what_is_no_name_stays_for_others_to_judge),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
