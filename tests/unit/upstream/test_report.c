#include "unit.h"

#include "base/base.h"
#include "upstream/report.h"

static neap_report read_it(const char *text) {
  neap_report report = {.load = 77, .capacity = 77, .utilization = 77};
  assert_true(neap_report_parse(neap_view_of(text), &report));
  return report;
}

static void assert_report(const char *text, int32_t load, int32_t capacity, double utilization) {
  neap_report report = read_it(text);
  assert_int_equal(report.load, load);
  assert_int_equal(report.capacity, capacity);
  assert_float_equal(report.utilization, utilization, 1e-9);
}

static void assert_nothing(const char *text) {
  neap_report report = {.load = 77};
  if (neap_report_parse(neap_view_of(text), &report)) fail_msg("something was read from: %s", text);
  assert_int_equal(report.load, 77); /* set on success only */
}

static void test_a_header_in_json_is_read(void **state) {
  (void)state;
  assert_report("JSON {\"cpu_utilization\": 0.3, \"mem_utilization\": 0.8, \"rps_fractional\": 10.0, "
                "\"named_metrics\": {\"in_flight\": 4, \"capacity\": 8}}",
                4, 8, 0.3);
}

static void test_a_header_in_text_is_read(void **state) {
  (void)state;
  assert_report(
      "TEXT cpu_utilization=0.3, mem_utilization=0.8, named_metrics.rif=2,named_metrics.capacity=16", 2, 16,
      0.3);
  assert_report("in_flight=5", 5, 0, -1);
}

static void test_a_health_body_is_read(void **state) {
  (void)state;
  assert_report("{\n  \"status\": \"ok\", \"checks\": [1, {\"rif\": [2]}, true, null, \"}\"],\n"
                "  \"rif\": 3, \"capacity\": 4, \"utilization\": 7.5e-1 }\n",
                3, 4, 0.75);
}

static void test_the_application_knows_best_how_used_it_is(void **state) {
  (void)state;
  assert_report("{\"cpu\":0.1,\"application_utilization\":0.9,\"cpu_utilization\":0.2}", -1, 0, 0.9);
  assert_report("{\"application_utilization\":0.9,\"cpu\":0.1}", -1, 0, 0.9);
}

static void test_names_deep_below_mean_nothing(void **state) {
  (void)state;
  assert_nothing("{\"a\":{\"b\":{\"rif\":3}}}");
}

static void test_what_is_no_report_is_none(void **state) {
  (void)state;
  static const char *const texts[] = {"",
                                      "JSON",
                                      "JSON ",
                                      "TEXT ",
                                      "{",
                                      "}",
                                      "{}",
                                      "[]",
                                      "{\"rif\"",
                                      "{\"rif\":",
                                      "{\"rif\":}",
                                      "{\"rif\":-3}",
                                      "rif",
                                      "rif=",
                                      "=3",
                                      "rif=-1",
                                      "rif=x",
                                      "{\"rif\":nan}",
                                      "{\"rif\":NaN}",
                                      "{\"rif\":inf}",
                                      "{\"rif\":-Infinity}",
                                      "{\"rif\":-1e308}",
                                      "rif=nan",
                                      "rif=inf",
                                      "TEXT capacity=-inf",
                                      "{\"rif\":\"3\"}",
                                      "OK",
                                      "{\"\\",
                                      "{\"a\\\":1}",
                                      "{\"rif\":.}",
                                      "{\"rif\":-}",
                                      "{\"rif\":1e}",
                                      "rif=e5"};
  for (size_t i = 0; i < NEAP_COUNT_OF(texts); i++) assert_nothing(texts[i]);
}

static void test_numbers_are_held_in_bounds(void **state) {
  (void)state;
  assert_report("{\"rif\":1e300,\"capacity\":99999999999999999999,\"cpu\":1e9}", 1000000000, 1000000000, 100);
  assert_report("{\"rif\":0,\"capacity\":1e-300}", 0, 0, -1);
}

static void test_a_number_too_large_for_any_is_the_largest(void **state) {
  (void)state;
  static char text[2000];
  memset(text, '9', sizeof text - 1); /* infinity, as a double */
  memcpy(text, "rif=", 4);
  assert_report(text, 1000000000, 0, -1);
  assert_report("{\"rif\":1e308,\"capacity\":1e999,\"cpu\":1e400}", 1000000000, 1000000000, 100);
}

/* Whatever it is made of, a long one takes as long as it is long. */
static void test_megabytes_are_read_once(void **state) {
  (void)state;
  enum { SIZE = 4 << 20 };
  char *text = malloc(SIZE);
  static const char *const parts[] = {"{\"rif\":1,", "rif=1,", "[",    "\"\\", "a=,",
                                      "1e9",         "....",   "====", ",,,,"};
  for (size_t i = 0; i < NEAP_COUNT_OF(parts); i++) {
    size_t size = strlen(parts[i]);
    for (size_t at = 0; at + size <= SIZE; at += size) memcpy(text + at, parts[i], size);
    neap_report out;
    if (!neap_report_parse((neap_view){text, SIZE / size * size}, &out)) continue;
    assert_in_range(out.load, 0, 1);
  }
  free(text);
}

static void test_what_came_before_a_fault_counts(void **state) {
  (void)state;
  assert_report("{\"rif\":3, garbage", 3, 0, -1);
}

static void test_depth_is_bounded(void **state) {
  (void)state;
  char text[100001];
  memset(text, '[', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  assert_nothing(text);
  memcpy(text, "{\"rif\":1,\"a\":", 13);
  assert_report(text, 1, 0, -1);
}

static void test_nothing_is_read_beyond_the_end(void **state) {
  (void)state;
  static const char text[] = "JSON {\"rif\": 12, \"named_metrics\": {\"capacity\": 8}, \"cpu\": 1.5e1}";
  for (size_t size = 0; size < sizeof text; size++) {
    char *exact = malloc(size + 1); /* the sanitizer sees a byte too far */
    memcpy(exact, text, size);
    neap_report report;
    neap_report_parse((neap_view){exact, size}, &report);
    free(exact);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_header_in_json_is_read),
      cmocka_unit_test(test_a_header_in_text_is_read),
      cmocka_unit_test(test_a_health_body_is_read),
      cmocka_unit_test(test_the_application_knows_best_how_used_it_is),
      cmocka_unit_test(test_names_deep_below_mean_nothing),
      cmocka_unit_test(test_what_is_no_report_is_none),
      cmocka_unit_test(test_numbers_are_held_in_bounds),
      cmocka_unit_test(test_a_number_too_large_for_any_is_the_largest),
      cmocka_unit_test(test_megabytes_are_read_once),
      cmocka_unit_test(test_what_came_before_a_fault_counts),
      cmocka_unit_test(test_depth_is_bounded),
      cmocka_unit_test(test_nothing_is_read_beyond_the_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
