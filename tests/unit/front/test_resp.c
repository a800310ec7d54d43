/* What the RESP port knows by heart: its commands, and how patterns match. The rest is seen from outside, in
 * tests/e2e/test_resp*.py. */
#include "unit.h"

#include <ctype.h>

#include "front/resp_impl.h"

static neap_port_command_index names;

static int set_up(void **state) {
  (void)state;
  neap_port_command_index_init(&names);
  return 0;
}

static const neap_port_command *find(const char *name) {
  return neap_port_command_find(&names, neap_view_of(name));
}

static void test_every_command_is_found_whatever_its_case(void **state) {
  (void)state;
  for (size_t i = 0; i < neap_port_command_count; i++) {
    char name[32];
    const neap_port_command *command = &neap_port_commands[i];
    assert_ptr_equal(find(command->name), command);
    snprintf(name, sizeof name, "%s", command->name);
    for (size_t j = 0; name[j]; j++) {
      name[j] = (char)toupper((unsigned char)name[j]);
      assert_ptr_equal(find(name), command);
    }
  }
}

static void test_what_is_no_command_is_not_found(void **state) {
  (void)state;
  static const char *const others[] = {"",       "g",           "ge",    "gett",        "get ",
                                       "g\x65u", "hset",        "multi", "neap.versio", "neap.versionn.",
                                       "SETS",   "\xff\xff\xff"};
  for (size_t i = 0; i < NEAP_COUNT_OF(others); i++) assert_null(find(others[i]));
  assert_null(neap_port_command_find(&names, (neap_view){"get\0", 4}));
}

static void test_the_table_is_in_order_and_says_where_keys_are(void **state) {
  (void)state;
  for (size_t i = 0; i < neap_port_command_count; i++) {
    const neap_port_command *command = &neap_port_commands[i];
    if (i > 0) assert_true(strcmp(neap_port_commands[i - 1].name, command->name) < 0);
    assert_non_null(command->run);
    assert_true(command->text[strlen(command->text) - 1] == '.');
    assert_true(command->arity != 0);
    bool keys = command->first > 0;
    assert_true(keys == (command->last != 0) && keys == (command->step != 0));
    assert_false((command->flags & NEAP_PORT_WRITE) && (command->flags & NEAP_PORT_READ));
    if (keys) assert_true(command->flags & (NEAP_PORT_WRITE | NEAP_PORT_READ));
  }
}

static void test_arity_is_exact_or_least(void **state) {
  (void)state;
  const neap_port_command *get = find("get"), *set = find("set");
  assert_false(neap_port_arity_fits(get, 1));
  assert_true(neap_port_arity_fits(get, 2));
  assert_false(neap_port_arity_fits(get, 3));
  assert_false(neap_port_arity_fits(set, 2));
  assert_true(neap_port_arity_fits(set, 3));
  assert_true(neap_port_arity_fits(set, 300));
}

static bool matches(const char *pattern, const char *text) {
  return neap_port_glob(neap_view_of(pattern), neap_view_of(text));
}

static void test_patterns(void **state) {
  (void)state;
  assert_true(matches("*", ""));
  assert_true(matches("*", "any"));
  assert_true(matches("", ""));
  assert_false(matches("", "a"));
  assert_true(matches("user:*:name", "user:17:name"));
  assert_false(matches("user:*:name", "user:17:names"));
  assert_true(matches("h?llo", "hallo"));
  assert_false(matches("h?llo", "hllo"));
  assert_true(matches("h[ae]llo", "hello"));
  assert_false(matches("h[^ae]llo", "hello"));
  assert_true(matches("h[z-a]llo", "hello"));
  assert_true(matches("\\*", "*"));
  assert_false(matches("\\*", "a"));
  assert_true(matches("[\\]]", "]"));
  assert_true(matches("a[", "a") == false);
  assert_true(matches("*a*b*c", "xxaxxbxxc"));
  assert_false(matches("*a*b*c", "xxaxxcxxb"));
  assert_true(neap_port_glob_word(NEAP_BYTES("MAX*"), "maxmemory"));
}

static void test_a_pattern_of_many_stars_ends(void **state) {
  (void)state;
  static char text[20000], pattern[2002];
  memset(text, 'a', sizeof text);
  for (size_t i = 0; i < 2000; i += 2) memcpy(pattern + i, "a*", 2);
  pattern[2000] = 'b';
  assert_false(neap_port_glob((neap_view){pattern, 2001}, (neap_view){text, sizeof text}));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_command_is_found_whatever_its_case),
      cmocka_unit_test(test_what_is_no_command_is_not_found),
      cmocka_unit_test(test_the_table_is_in_order_and_says_where_keys_are),
      cmocka_unit_test(test_arity_is_exact_or_least),
      cmocka_unit_test(test_patterns),
      cmocka_unit_test(test_a_pattern_of_many_stars_ends),
  };
  return cmocka_run_group_tests(tests, set_up, NULL);
}
