#include "helpers.h"

#define NOW 1767323045 /* 2026-01-02 */

static void test_three_forms_are_read(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t unix_s;
  } rows[] = {
      {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
      {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
      {"Sun Nov  6 08:49:37 1994", 784111777},
      {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
      {"Thu Nov 24 00:00:00 2016", 1479945600},
      {"Tue, 29 Feb 2000 23:59:60 GMT", 951868800},
      {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
      {"Friday, 02-Jan-76 00:00:00 GMT", 3345148800},  /* 2076: 50 years ahead */
      {"Saturday, 02-Jan-77 00:00:00 GMT", 221011200}, /* 1977: 51 would be too far */
      {"Sun, 01 Mar 1800 00:00:00 GMT", -5359564800},
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    int64_t unix_s = 1;
    if (neap_http_date_read(rows[i].text, strlen(rows[i].text), NOW, &unix_s) || unix_s != rows[i].unix_s)
      fail_msg("%s: %lld", rows[i].text, (long long)unix_s);
  }
}

static void test_what_is_not_a_date_is_refused(void **state) {
  (void)state;
  static const char *const rows[] = {
      "",
      "0",
      "-1",
      "now",
      "Sun",
      "Sun,",
      "Sun ",
      "Sun, 06 Nov 1994 08:49:37",
      "Sun, 06 Nov 1994 08:49:37 UTC",
      "Sun, 06 Nov 1994 08:49:37 +0000",
      "Sun, 06 Nov 1994 08:49:37 gmt",
      "Sun, 06 Nov 1994 08:49:37 GMT ",
      "sun, 06 Nov 1994 08:49:37 GMT",
      "Sun, 06 nov 1994 08:49:37 GMT",
      "Xyz, 06 Nov 1994 08:49:37 GMT",
      "Sun, 6 Nov 1994 08:49:37 GMT",
      "Sun,  6 Nov 1994 08:49:37 GMT",
      "Sun, 31 Nov 1994 08:49:37 GMT",
      "Tue, 29 Feb 1900 08:49:37 GMT",
      "Sun, 00 Nov 1994 08:49:37 GMT",
      "Sun, 06 Nov 1994 24:00:00 GMT",
      "Sun, 06 Nov 1994 08:60:37 GMT",
      "Sun, 06 Nov 1994 08:49:61 GMT",
      "Sun, 06 Nov 94 08:49:37 GMT",
      "Sun, 06-Nov-1994 08:49:37 GMT",
      "Sunday, 06-Nov-1994 08:49:37 GMT",
      "Sunday, 06-Nov-94 08:49:37",
      "Someday, 06-Nov-94 08:49:37 GMT",
      "Sun Nov 6 08:49:37 1994",
      "Sun Nov  6 08:49:37 94",
      "Sun Nov  6 08:49:37 1994 GMT",
      "784111777",
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    int64_t unix_s;
    if (neap_http_date_read(rows[i], strlen(rows[i]), NOW, &unix_s) != NEAP_ESYNTAX) fail_msg("%s", rows[i]);
  }
}

static void test_every_day_is_read_as_written(void **state) {
  (void)state;
  for (int64_t unix_s = 0; unix_s < 253402300800; unix_s += 86400 * 11 + 3723) {
    char date[NEAP_HTTP_DATE_SIZE];
    int64_t again = -1;
    neap_http_date_write(date, unix_s);
    if (neap_http_date_read(date, sizeof date, NOW, &again) || again != unix_s)
      fail_msg("%lld: %.29s", (long long)unix_s, date);
  }
}

static void test_a_date_is_written_with_its_weekday(void **state) {
  (void)state;
  char date[NEAP_HTTP_DATE_SIZE];
  neap_http_date_write(date, 784111777);
  assert_memory_equal(date, "Sun, 06 Nov 1994 08:49:37 GMT", 29);
  neap_http_date_write(date, 0);
  assert_memory_equal(date, "Thu, 01 Jan 1970 00:00:00 GMT", 29);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_three_forms_are_read),
      cmocka_unit_test(test_what_is_not_a_date_is_refused),
      cmocka_unit_test(test_every_day_is_read_as_written),
      cmocka_unit_test(test_a_date_is_written_with_its_weekday),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
