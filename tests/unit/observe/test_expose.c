#include "unit.h"

#include "base/base.h"
#include "observe/observe.h"

static void test_samples_are_written_as_prometheus_reads_them(void **state) {
  (void)state;
  neap_exposition out;
  size_t size;
  neap_expose_begin(&out, false);
  neap_expose(&out, NEAP_METRIC_WORKERS, 4, NULL);
  neap_expose(&out, NEAP_METRIC_RELOADS, 3, (const char *[]){"ok"});
  neap_expose(&out, NEAP_METRIC_RELOADS, 0.25, (const char *[]){"refused"});
  char *text = neap_expose_end(&out, &size);
  assert_int_equal(size, strlen(text));
  assert_string_equal(text, "# HELP neap_workers Threads that serve.\n"
                            "# TYPE neap_workers gauge\n"
                            "neap_workers 4\n"
                            "# HELP neap_config_reloads_total Reloads: ok, or refused.\n"
                            "# TYPE neap_config_reloads_total counter\n"
                            "neap_config_reloads_total{result=\"ok\"} 3\n"
                            "neap_config_reloads_total{result=\"refused\"} 0.25\n");
  free(text);
}

static void test_open_metrics_names_counters_without_their_suffix_and_ends(void **state) {
  (void)state;
  neap_exposition out;
  size_t size;
  neap_expose_begin(&out, true);
  neap_expose(&out, NEAP_METRIC_RELOADS, 3, (const char *[]){"ok"});
  char *text = neap_expose_end(&out, &size);
  assert_string_equal(text, "# HELP neap_config_reloads Reloads: ok, or refused.\n"
                            "# TYPE neap_config_reloads counter\n"
                            "neap_config_reloads_total{result=\"ok\"} 3\n"
                            "# EOF\n");
  free(text);
}

static void test_histograms_are_cumulative(void **state) {
  (void)state;
  neap_exposition out;
  neap_timing timing = {0};
  neap_timing_sum sum = {0};
  size_t size;
  neap_timing_add(&timing, 50);
  neap_timing_add(&timing, 1500);
  neap_timing_add(&timing, 60000000);
  neap_timing_gather(&sum, &timing);
  neap_expose_begin(&out, false);
  neap_expose_timing(&out, NEAP_METRIC_DURATION, &sum, (const char *[]){"app", "cache"});
  char *text = neap_expose_end(&out, &size);
  static const char *const lines[] = {
      "neap_request_duration_seconds_bucket{pool=\"app\",source=\"cache\",le=\"0.0001\"} 1\n",
      "neap_request_duration_seconds_bucket{pool=\"app\",source=\"cache\",le=\"0.001\"} 1\n",
      "neap_request_duration_seconds_bucket{pool=\"app\",source=\"cache\",le=\"0.0025\"} 2\n",
      "neap_request_duration_seconds_bucket{pool=\"app\",source=\"cache\",le=\"30.0\"} 2\n",
      "neap_request_duration_seconds_bucket{pool=\"app\",source=\"cache\",le=\"+Inf\"} 3\n",
      "neap_request_duration_seconds_sum{pool=\"app\",source=\"cache\"} 60.00155\n",
      "neap_request_duration_seconds_count{pool=\"app\",source=\"cache\"} 3\n"};
  for (size_t i = 0; i < NEAP_COUNT_OF(lines); i++)
    if (strstr(text, lines[i]) == NULL) fail_msg("%s is not in\n%s", lines[i], text);
  free(text);
}

static void test_labels_may_be_any_bytes(void **state) {
  (void)state;
  neap_exposition out;
  size_t size;
  neap_expose_begin(&out, false);
  neap_expose(&out, NEAP_METRIC_RELOADS, 1, (const char *[]){"a\"b\\c\nd\xff\xc3\xa9"});
  char *text = neap_expose_end(&out, &size);
  assert_non_null(strstr(text, "{result=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\xc3\xa9\"} 1\n"));
  free(text);
}

/* The page lists every metric with its type, labels and help, as the table has them. */
static void test_the_page_of_metrics_is_the_table(void **state) {
  (void)state;
  static char page[1 << 17];
  char row[1024];
  FILE *file = fopen("docs/metrics.md", "r");
  assert_non_null(file);
  page[fread(page, 1, sizeof page - 1, file)] = '\0';
  fclose(file);
  for (int i = 0; i < NEAP_METRIC_COUNT; i++) {
    const neap_metric_row *metric = &neap_metric_table[i];
    snprintf(row, sizeof row, "| `%s` | %s | %s | %s |\n", metric->name, metric->type, metric->labels,
             metric->help);
    if (strstr(page, row) == NULL) fail_msg("docs/metrics.md lacks: %s", row);
  }
  int rows = 0;
  for (const char *at = page; (at = strstr(at, "\n| `neap_")) != NULL; at++) rows++;
  for (const char *at = page; (at = strstr(at, "\n| `process_")) != NULL; at++) rows++;
  assert_int_equal(rows, NEAP_METRIC_COUNT);
  for (int i = 1; i < NEAP_REASON_COUNT; i++) {
    neap_reason reason = (neap_reason)i;
    snprintf(row, sizeof row, "| %s | `%s` | %s |\n", neap_reason_group(reason), neap_reason_code(reason),
             neap_reason_text(reason));
    if (strstr(page, row) == NULL) fail_msg("docs/metrics.md lacks: %s", row);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_samples_are_written_as_prometheus_reads_them),
      cmocka_unit_test(test_open_metrics_names_counters_without_their_suffix_and_ends),
      cmocka_unit_test(test_histograms_are_cumulative),
      cmocka_unit_test(test_labels_may_be_any_bytes),
      cmocka_unit_test(test_the_page_of_metrics_is_the_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
