#include "unit.h"

#include "base/reasons.h"

#include "base/base.h"

static void test_codes_are_unique_within_their_group(void **state) {
  (void)state;
  for (int i = 1; i < NEAP_REASON_COUNT; i++)
    for (int j = i + 1; j < NEAP_REASON_COUNT; j++)
      if (strcmp(neap_reason_group((neap_reason)i), neap_reason_group((neap_reason)j)) == 0)
        assert_string_not_equal(neap_reason_code((neap_reason)i), neap_reason_code((neap_reason)j));
}

/* The log's `reason` is one of both groups: whoever reads it must be able to tell which. */
static void test_ends_and_refusals_do_not_share_a_code(void **state) {
  (void)state;
  for (int end = NEAP_REASON_END_OK; end < NEAP_REASON_REFUSED_NONE; end++)
    for (int refused = NEAP_REASON_REFUSED_NONE; refused < NEAP_REASON_FWD_NONE; refused++)
      assert_string_not_equal(neap_reason_code((neap_reason)end), neap_reason_code((neap_reason)refused));
}

static void test_every_reason_has_a_sentence_and_the_status_of_its_group(void **state) {
  (void)state;
  for (int i = 1; i < NEAP_REASON_COUNT; i++) {
    neap_reason reason = (neap_reason)i;
    assert_true(*neap_reason_code(reason) && *neap_reason_text(reason) && *neap_reason_group(reason));
    assert_true(neap_reason_status(reason) == 0 ||
                (neap_reason_status(reason) >= 400 && neap_reason_status(reason) < 600));
  }
  assert_string_equal(neap_reason_code(NEAP_REASON_NONE), "");
  assert_int_equal(neap_reason_status(NEAP_REASON_END_NO_ROUTE), 404);
  assert_string_equal(neap_reason_group(NEAP_REASON_BAR_EJECTED), "bar");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_codes_are_unique_within_their_group),
      cmocka_unit_test(test_ends_and_refusals_do_not_share_a_code),
      cmocka_unit_test(test_every_reason_has_a_sentence_and_the_status_of_its_group),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
