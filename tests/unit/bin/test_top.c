#include "unit.h"

#include "base/base.h"
#include "bin/top.h"

static const char first[] =
    "{\"ok\":true,\"version\":\"0.1.0\",\"at_ms\":1000,\"uptime_ms\":90061000,\"generation\":3,\"workers\":4,"
    "\"stopping\":false,\"reload_refused\":false,\"requests\":1000,\"errors\":10,\"hits\":400,\"lookups\":"
    "800,"
    "\"in_flight\":7,\"clients\":31,\"took\":[500,0,0,500,0,0,0,0,0,0,0,0,0,0,0,0,0,0],\"backends\":["
    "{\"pool\":\"app\",\"backend\":\"10.0.0.1:80\",\"state\":\"up\",\"weight\":2,\"requests\":400,\"in_"
    "flight\":3,"
    "\"ewma_ms\":4.25,\"p99_ms\":9,\"error_rate\":0},"
    "{\"pool\":\"app\",\"backend\":\"10.0.0.2:80\",\"state\":\"up\",\"weight\":1,\"requests\":200,\"in_"
    "flight\":1,"
    "\"ewma_ms\":2,\"p99_ms\":5,\"error_rate\":0.125}],"
    "\"cache\":{\"policy\":\"sieve\",\"entries\":1200,\"bytes\":1048576,\"limit\":67108864,\"hits\":400,"
    "\"misses\":400,\"evictions\":50,\"fallback_share\":0},\"policies\":["
    "{\"kind\":\"balance\",\"name\":\"app\",\"policy\":\"p2c\",\"calls\":600,\"errors\":0,\"fuel\":0,"
    "\"memory\":0,"
    "\"answers\":0,\"fallbacks\":0,\"trips\":0},"
    "{\"kind\":\"evict\",\"name\":\"cache\",\"policy\":\"sieve\",\"calls\":10,\"errors\":0,\"fuel\":1,"
    "\"memory\":0,"
    "\"answers\":0,\"fallbacks\":1,\"trips\":0}]}";

/* The same a second later: 100 requests more, 90 of them hits, one error; a backend is down. */
static json_t *second(void) {
  json_t *now = json_loads(first, 0, NULL);
  json_object_set_new(now, "at_ms", json_integer(2000));
  json_object_set_new(now, "requests", json_integer(1100));
  json_object_set_new(now, "errors", json_integer(10));
  json_object_set_new(now, "hits", json_integer(490));
  json_object_set_new(now, "lookups", json_integer(900));
  json_array_set_new(json_object_get(now, "took"), 0, json_integer(590));
  json_array_set_new(json_object_get(now, "took"), 7, json_integer(10));
  json_t *backends = json_object_get(now, "backends");
  json_object_set_new(json_array_get(backends, 1), "requests", json_integer(210));
  json_object_set_new(json_array_get(backends, 1), "state", json_string("down"));
  json_object_set_new(json_object_get(now, "cache"), "evictions", json_integer(55));
  json_object_set_new(json_array_get(json_object_get(now, "policies"), 0), "calls", json_integer(610));
  return now;
}

static char *frame_of(const json_t *before, const json_t *now, const neap_top_view *view) {
  char *text = NULL;
  size_t size;
  json_t *figures = neap_top_figures(before, now);
  assert_non_null(figures);
  FILE *out = open_memstream(&text, &size);
  neap_top_frame(figures, view, out);
  fclose(out);
  json_decref(figures);
  return text;
}

static void test_a_frame_of_80_by_24(void **state) {
  (void)state;
  json_t *before = json_loads(first, 0, NULL), *now = second();
  assert_non_null(before);
  char *text = frame_of(before, now, &(neap_top_view){.rows = 24, .columns = 80});
  assert_string_equal(text,
                      "neap 0.1.0   generation 3   workers 4   up 1d 01:01:01\n"
                      "1 of 2 backends are not up\n"
                      "     100.0 req/s   0.00% 5xx  p50 0.06 ms  p99 23.50 ms  7 in flight  31 clients\n"
                      "cache  90.0% hits  1200 entries  1.0MB of 64.0MB  5.0 evicted/s by sieve\n"
                      "\n"
                      "POOL       BACKEND               STATE      WT    REQ/S    %  BUSY EWMA ms  ERR%\n"
                      "app        10.0.0.2:80           down        1     10.0 100%     1    2.00  12.5\n"
                      "app        10.0.0.1:80           up          2      0.0   0%     3    4.25   0.0\n"
                      "\n"
                      "POLICY   OF             WHICH                          CALLS/S  FAULTS FALLBACKS\n"
                      "balance  app            p2c                               10.0       0         0\n"
                      "evict    cache          sieve                              0.0       1         1\n"
                      "\n\n\n\n\n\n\n\n\n\n\n"
                      "q quit   s sort: rps");
  free(text);
  json_decref(before);
  json_decref(now);
}

/* Whatever the size: as many lines as there are rows, none wider than the terminal. */
static void test_frames_fit_any_terminal(void **state) {
  (void)state;
  json_t *now = second(), *backends = json_object_get(now, "backends");
  for (int i = 0; i < 300; i++) {
    char name[64];
    snprintf(name, sizeof name, "backend-%d.a-rather-long-name.example:%d", i, 1000 + i);
    json_array_append_new(backends, json_pack("{s:s, s:s, s:s, s:i}", "pool", "a-pool-of-many", "backend",
                                              name, "state", "up", "requests", i));
  }
  for (int rows = 1; rows < 60; rows += 3)
    for (int columns = 1; columns < 220; columns += 13) {
      char *text = frame_of(NULL, now, &(neap_top_view){.rows = rows, .columns = columns, .sort = rows % 5});
      int lines = 1, width = 0;
      for (const char *c = text; *c; c++) {
        lines += *c == '\n';
        width = *c == '\n' ? 0 : width + 1;
        assert_true(width <= columns);
      }
      assert_int_equal(lines, rows);
      free(text);
    }
  json_decref(now);
}

static void test_rows_are_sorted_by_the_chosen_column(void **state) {
  (void)state;
  json_t *before = json_loads(first, 0, NULL), *now = second();
  for (int sort = 0; sort < NEAP_TOP_SORT_COUNT; sort++) {
    char *text = frame_of(before, now, &(neap_top_view){.rows = 24, .columns = 80, .sort = sort});
    bool second_first = strstr(text, "10.0.0.2:80") < strstr(text, "10.0.0.1:80");
    assert_int_equal(second_first, sort == NEAP_TOP_SORT_RPS || sort == NEAP_TOP_SORT_ERRORS);
    free(text);
  }
  json_decref(before);
  json_decref(now);
}

/* Names come from configurations: none of their bytes may steer a terminal. */
static void test_names_cannot_send_escapes(void **state) {
  (void)state;
  json_t *now = second();
  json_object_set_new(json_array_get(json_object_get(now, "backends"), 0), "pool", json_string("\033[2Jx"));
  char *text = frame_of(NULL, now, &(neap_top_view){.rows = 24, .columns = 80});
  assert_null(strchr(text, '\033'));
  free(text);
  json_decref(now);
}

static void test_the_verdict_names_the_worst(void **state) {
  (void)state;
  static const struct {
    const char *key;
    const char *verdict;
  } rows[] = {{"stopping", "stopping"}, {"reload_refused", "the last reload was refused: see neap status"}};
  for (size_t i = 0; i < NEAP_COUNT_OF(rows); i++) {
    json_t *now = json_loads(first, 0, NULL);
    json_object_set_new(now, rows[i].key, json_true());
    json_t *figures = neap_top_figures(NULL, now);
    assert_string_equal(json_string_value(json_object_get(figures, "verdict")), rows[i].verdict);
    json_decref(figures);
    json_decref(now);
  }
  json_t *none = json_object();
  assert_null(neap_top_figures(NULL, none));
  json_decref(none);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_frame_of_80_by_24),
      cmocka_unit_test(test_frames_fit_any_terminal),
      cmocka_unit_test(test_rows_are_sorted_by_the_chosen_column),
      cmocka_unit_test(test_names_cannot_send_escapes),
      cmocka_unit_test(test_the_verdict_names_the_worst),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
