#include "unit.h"

#include "bin/replay_report.h"

static const neap_replay_row rows[] = {
    {.trace = "dir/a,b.csv",
     .policy = "lru",
     .size_label = "10%",
     .size = 1868,
     .result =
         {.requests = 3000000, .misses = 2000000, .bytes = 10, .missed_bytes = 9, .elapsed_ns = 600000000}},
    {.trace = "dir/a,b.csv",
     .policy = "sieve",
     .size_label = "10%",
     .size = 1868,
     .result =
         {.requests = 3000000, .misses = 1000000, .bytes = 10, .missed_bytes = 5, .elapsed_ns = 300000000}},
};

/* All that a format prints for `count` of the rows above. */
static const char *printed(const char *name, size_t count) {
  static char text[4096];
  const neap_replay_format *format = NULL;
  for (size_t i = 0; neap_replay_formats[i]; i++)
    if (strcmp(neap_replay_formats[i]->name, name) == 0) format = neap_replay_formats[i];
  assert_non_null(format);
  FILE *file = fmemopen(text, sizeof text, "w");
  static const neap_tape_facts facts = {
      .format = "csv", .requests = 3000000, .skipped = 7, .unique_keys = 18680, .unique_bytes = 99};
  if (format->begin) format->begin(file, rows[0].prefetch != NULL);
  if (format->trace) format->trace(file, rows[0].trace, &facts);
  format->rows(file, rows, count, 0);
  if (format->end) format->end(file);
  fclose(file);
  return text;
}

static void test_csv_has_the_promised_columns(void **state) {
  (void)state;
  assert_string_equal(printed("csv", 2),
                      "trace,policy,unit,size,requests,misses,miss_ratio,byte_miss_ratio,ns_per_request\n"
                      "\"dir/a,b.csv\",lru,objects,1868,3000000,2000000,0.666667,0.900000,200.0\n"
                      "\"dir/a,b.csv\",sieve,objects,1868,3000000,1000000,0.333333,0.500000,100.0\n");
}

static void test_text_names_the_winner(void **state) {
  (void)state;
  assert_string_equal(printed("text", 2),
                      "a,b.csv: 3,000,000 requests, 18,680 unique keys, 99 unique bytes (csv)\n"
                      "7 requests of size 0 left out\n"
                      "\n"
                      "1,868 objects (10%)\n"
                      "  policy  miss ratio    of bytes          misses  ns/request\n"
                      "  lru       0.666667    0.900000       2,000,000       200.0\n"
                      "* sieve     0.333333    0.500000       1,000,000       100.0\n"
                      "  fewest misses: sieve\n");
}

static void test_one_policy_alone_does_not_win(void **state) {
  (void)state;
  assert_null(strstr(printed("text", 1), "fewest"));
  assert_null(strstr(printed("text", 1), "*"));
}

static void test_json_is_an_array_of_rows(void **state) {
  (void)state;
  const char *text = printed("json", 2);
  assert_memory_equal(
      text, "[\n{\"trace\": \"dir/a,b.csv\", \"policy\": \"lru\", \"unit\": \"objects\", \"size\": 1868", 75);
  assert_non_null(strstr(text, "\"miss_ratio\": 0.666667"));
  assert_non_null(strstr(text, "},\n{\"trace\""));
  assert_string_equal(text + strlen(text) - 4, "}\n]\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_csv_has_the_promised_columns),
      cmocka_unit_test(test_text_names_the_winner),
      cmocka_unit_test(test_one_policy_alone_does_not_win),
      cmocka_unit_test(test_json_is_an_array_of_rows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
