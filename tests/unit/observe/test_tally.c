#include "unit.h"

#include "base/base.h"
#include "observe/observe.h"

static char *text_of(neap_tallies *tallies) {
  neap_exposition out;
  size_t size;
  neap_expose_begin(&out, false);
  neap_tallies_expose(tallies, &out);
  return neap_expose_end(&out, &size);
}

static void expect(const char *text, const char *line) {
  if (strstr(text, line) == NULL) fail_msg("%s is not in\n%s", line, text);
}

static void test_workers_are_summed_by_route_and_pool(void **state) {
  (void)state;
  neap_tallies *tallies;
  neap_tally *first, *second;
  assert_int_equal(neap_tallies_create(&tallies), 0);
  assert_int_equal(neap_tallies_worker(tallies, 0, &first), 0);
  uint32_t route = neap_tallies_route(tallies, "/api", "app"), pool = neap_tallies_pool(tallies, "app");
  assert_int_equal(neap_tallies_worker(tallies, 7, &second), 0); /* comes later, knows all series */
  assert_int_equal(neap_tallies_route(tallies, "/api", "app"), route);
  assert_int_not_equal(neap_tallies_route(tallies, "/api", "other pool"), route);
  neap_tally_record record = {.route = route,
                              .pool = pool,
                              .status = 200,
                              .cache = NEAP_TALLY_CACHE_HIT,
                              .source = NEAP_SOURCE_CACHE,
                              .end = NEAP_REASON_END_OK,
                              .took_us = 30,
                              .body_bytes = 1000};
  first->started = second->started = 2;
  neap_tally_add(first, &record);
  neap_tally_add(second, &record);
  record.status = 502;
  record.cache = NEAP_TALLY_CACHE_MISS;
  record.source = NEAP_SOURCE_BACKEND;
  record.end = NEAP_REASON_END_BACKEND_CLOSED;
  neap_tally_add(second, &record);
  char *text = text_of(tallies);
  expect(text, "neap_requests_total{route=\"/api\",pool=\"app\",code=\"2xx\",cache=\"hit\"} 2\n");
  expect(text, "neap_requests_total{route=\"/api\",pool=\"app\",code=\"5xx\",cache=\"miss\"} 1\n");
  expect(text, "neap_pool_requests_total{pool=\"app\",code=\"2xx\"} 2\n");
  expect(text, "neap_requests_in_flight 1\n");
  expect(text, "neap_reasons_total{group=\"end\",reason=\"backend_closed\"} 1\n");
  expect(text, "neap_request_duration_seconds_count{pool=\"app\",source=\"cache\"} 2\n");
  expect(text, "neap_response_body_bytes_total{pool=\"app\"} 3000\n");
  free(text);
  neap_tally_sum sum;
  neap_tallies_sum(tallies, &sum);
  assert_int_equal(sum.requests, 3);
  assert_int_equal(sum.errors, 1);
  assert_int_equal(sum.hits, 2);
  assert_int_equal(sum.lookups, 3);
  assert_int_equal(sum.in_flight, 1);
  assert_int_equal(sum.took.count, 3);
  neap_tallies_destroy(&tallies);
}

static void test_names_beyond_the_limit_are_counted_as_other(void **state) {
  (void)state;
  neap_tallies *tallies;
  neap_tally *tally;
  char name[16];
  assert_int_equal(neap_tallies_create(&tallies), 0);
  assert_int_equal(neap_tallies_worker(tallies, 0, &tally), 0);
  for (int i = 1; i < NEAP_SERIES_MAX; i++) {
    snprintf(name, sizeof name, "/%d", i);
    assert_int_equal(neap_tallies_route(tallies, name, "app"), i);
  }
  for (int i = 0; i < 2; i++) {
    uint32_t route = neap_tallies_route(tallies, i ? "/one" : "/more", "app");
    assert_int_equal(route, NEAP_SERIES_OTHER);
    neap_tally_add(tally, &(neap_tally_record){.route = route, .status = 999, .end = NEAP_REASON_END_OK});
  }
  assert_int_equal(neap_tallies_route(tallies, "/1", "app"), 1);
  char *text = text_of(tallies);
  expect(text, "neap_requests_total{route=\"other\",pool=\"other\",code=\"none\",cache=\"none\"} 2\n");
  free(text);
  neap_tallies_destroy(&tallies);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_workers_are_summed_by_route_and_pool),
      cmocka_unit_test(test_names_beyond_the_limit_are_counted_as_other),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
