#include "helpers.h"

#include <ctype.h>

static const struct {
  neap_http_id id;
  const char *name;
} names[] = {
#define NAME(NAME, name) {NEAP_HTTP_ID_##NAME, name},
    NEAP_HTTP_IDS(NAME)
#undef NAME
};

static void test_every_known_name_is_found_in_any_case(void **state) {
  (void)state;
  for (size_t i = 0; i < NEAP_COUNT_OF(names); i++) {
    char upper[64];
    size_t size = strlen(names[i].name);
    for (size_t j = 0; j < size; j++) upper[j] = (char)toupper(names[i].name[j]);
    assert_int_equal(neap_http_id_of(names[i].name, size), names[i].id);
    assert_int_equal(neap_http_id_of(upper, size), names[i].id);
    assert_int_equal(neap_http_id_of(upper, size - 1) == names[i].id, 0);
  }
}

static void test_underscores_make_a_lookalike(void **state) {
  (void)state;
  assert_int_equal(neap_http_id_of("Content_Length", 14), NEAP_HTTP_ID_LOOKALIKE);
  assert_int_equal(neap_http_id_of("X_Forwarded-For", 15), NEAP_HTTP_ID_LOOKALIKE);
  assert_int_equal(neap_http_id_of("x_custom", 8), NEAP_HTTP_ID_NONE);
  assert_int_equal(neap_http_id_of("x-custom", 8), NEAP_HTTP_ID_NONE);
  assert_int_equal(neap_http_id_of("", 0), NEAP_HTTP_ID_NONE);
}

static void test_every_reason_has_name_status_and_sentence(void **state) {
  (void)state;
  for (int reason = 1; reason < NEAP_HTTP_REASON_COUNT; reason++) {
    assert_in_range(neap_http_reason_status((neap_http_reason)reason), 400, 505);
    assert_true(*neap_http_status_text(neap_http_reason_status((neap_http_reason)reason)) != 0);
    assert_true(*neap_http_reason_name((neap_http_reason)reason) != 0);
    assert_true(*neap_http_reason_text((neap_http_reason)reason) != 0);
  }
  assert_string_equal(neap_http_reason_name(NEAP_HTTP_REASON_HOST_MISSING), "host_missing");
}

static void test_decisions_have_names(void **state) {
  (void)state;
  assert_string_equal(neap_http_lookup_name(NEAP_HTTP_LOOKUP_RANGE), "range");
  assert_string_equal(neap_http_lookup_text(NEAP_HTTP_LOOKUP_RANGE), "a part is asked for");
  assert_string_equal(neap_http_fwd_text(neap_http_lookup_fwd(NEAP_HTTP_LOOKUP_METHOD)), "method");
  assert_string_equal(neap_http_store_name(NEAP_HTTP_STORE_NO_STORE), "no_store");
  assert_string_equal(neap_http_store_text(NEAP_HTTP_STORE_NO_STORE), "no-store");
}

static void test_lists_are_walked_over_quotes_and_holes(void **state) {
  (void)state;
  static const char list[] = " , a , \"b,c\" ,d=\"\\\",\",, e";
  static const char *const members[] = {"a", "\"b,c\"", "d=\"\\\",\"", "e"};
  neap_http_slice value = {list, sizeof list - 1, 0}, member;
  const char *cursor = value.ptr;
  for (size_t i = 0; i < NEAP_COUNT_OF(members); i++) {
    assert_true(neap_http_list_next(value, &cursor, &member));
    assert_slice(member, members[i]);
  }
  assert_false(neap_http_list_next(value, &cursor, &member));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_known_name_is_found_in_any_case),
      cmocka_unit_test(test_underscores_make_a_lookalike),
      cmocka_unit_test(test_every_reason_has_name_status_and_sentence),
      cmocka_unit_test(test_decisions_have_names),
      cmocka_unit_test(test_lists_are_walked_over_quotes_and_holes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
