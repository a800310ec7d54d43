/* Exact mode gives libCacheSim's miss ratios to six digits, and the batched mode nearly the same.
 * The references lie in the folder that NEAP_TRACES names; without it, skipped. By default the traces of up
 * to 200,000 requests, under a sanitizer up to 80,000; all with NEAP_TEST_MODE=full. */
#include "unit.h"

#include <math.h>

#include "server/server.h"
#include "sim/sim.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { REQUESTS_MOST = 80000 };
#else
enum { REQUESTS_MOST = 200000 };
#endif
static const double batched_points_most = 0.5;

/* A row of reference-miss-ratios.csv. */
typedef struct reference {
  char trace[64], mode[8], algorithm[32];
  uint64_t size, requests;
  double miss_ratio;
} reference;

typedef struct outcome {
  int rows, wrong;
} outcome;

/* What the tests share. */
typedef struct bench {
  neap_engine *engine;
  const char *folder;
  neap_tape *tape; /* of `trace` */
  char trace[64];
} bench;

static bool parse_row(const char *line, reference *row) {
  unsigned long long size, requests;
  if (sscanf(line, "%63[^,],%7[^,],%31[^,],%*[^,],%llu,%llu,%lf", row->trace, row->mode, row->algorithm,
             &size, &requests, &row->miss_ratio) != 6)
    return false;
  row->size = size;
  row->requests = requests;
  return true;
}

static bool wanted(const reference *row) {
  static const char *const policies[] = {"fifo", "lru", "lfu", "sieve", "s3fifo"};
  const char *mode = getenv("NEAP_TEST_MODE");
  bool full = mode && strcmp(mode, "full") == 0;
  if (strcmp(row->mode, "obj") != 0 || (!full && row->requests > REQUESTS_MOST)) return false;
  for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
    if (strcmp(row->algorithm, policies[i]) == 0) return true;
  return false;
}

/* Rows of one trace stand together: it is read once. */
static neap_tape *tape_of(bench *b, const char *trace) {
  char path[4096];
  neap_err err;
  if (strcmp(b->trace, trace) == 0) return b->tape;
  neap_tape_close(&b->tape);
  snprintf(path, sizeof path, "%s/%s.csv.zst", b->folder, trace);
  if (neap_tape_open(path, NULL, &b->tape, &err)) fail_msg("%s", err.text);
  snprintf(b->trace, sizeof b->trace, "%s", trace);
  return b->tape;
}

static double miss_ratio(bench *b, const reference *row, const char *prefix, bool exact) {
  char policy[64];
  neap_replay_result result;
  neap_err err;
  snprintf(policy, sizeof policy, "%s%s", prefix, row->algorithm);
  neap_replay_options options = {.registry = neap_engine_registry(b->engine),
                                 .host = neap_engine_host(b->engine),
                                 .policy = policy,
                                 .size = row->size,
                                 .exact = exact};
  if (neap_replay_run(tape_of(b, row->trace), &options, &result, &err)) fail_msg("%s", err.text);
  assert_int_equal(result.requests, row->requests);
  assert_int_equal(result.policy.faults_answer + result.policy.faults_error + result.policy.faults_fuel, 0);
  return (double)result.misses / (double)result.requests;
}

static bool check_exact(bench *b, const reference *row, const char *prefix) {
  double got = miss_ratio(b, row, prefix, true);
  if (fabs(got - row->miss_ratio) < 0.5e-6 + 1e-12) return true;
  print_error("%s %s%s size %llu: %.6f instead of %.6f\n", row->trace, prefix, row->algorithm,
              (unsigned long long)row->size, got, row->miss_ratio);
  return false;
}

static bool check_batched(bench *b, const reference *row, const char *prefix) {
  double got = miss_ratio(b, row, prefix, false);
  if (fabs(got - row->miss_ratio) * 100 <= batched_points_most) return true;
  print_error("%s %s%s size %llu, batched: %.6f, more than %.1f points from %.6f\n", row->trace, prefix,
              row->algorithm, (unsigned long long)row->size, got, batched_points_most, row->miss_ratio);
  return false;
}

static bool check_twin(bench *b, const reference *row, const char *prefix) {
  double lua = miss_ratio(b, row, "", false), native = miss_ratio(b, row, prefix, false);
  if (lua == native) return true;
  print_error("%s %s size %llu, batched: %.9f, and its twin %.9f\n", row->trace, row->algorithm,
              (unsigned long long)row->size, lua, native);
  return false;
}

/* Calls `check` for every wanted row. Skips the test where there are no references. */
static outcome check_rows(bench *b, const char *prefix,
                          bool (*check)(bench *, const reference *, const char *)) {
  char path[4096], line[512];
  outcome o = {0};
  snprintf(path, sizeof path, "%s/reference-miss-ratios.csv", b->folder);
  FILE *file = fopen(path, "r");
  if (file == NULL) fail_msg("%s: cannot open", path);
  while (fgets(line, sizeof line, file)) {
    reference row;
    if (!parse_row(line, &row) || !wanted(&row)) continue;
    o.rows++;
    o.wrong += !check(b, &row, prefix);
  }
  fclose(file);
  print_message("%d rows, %d wrong\n", o.rows, o.wrong);
  return o;
}

static void skip_without_traces(const bench *b) {
  if (b->folder != NULL && *b->folder) return;
  print_message("skipped: NEAP_TRACES does not say where the open traces are\n");
  skip();
}

static void test_exact_mode_gives_the_reference_to_six_digits(void **state) {
  skip_without_traces(*state);
  outcome o = check_rows(*state, "", check_exact);
  assert_int_not_equal(o.rows, 0);
  assert_int_equal(o.wrong, 0);
}

static void test_native_twins_give_the_reference_too(void **state) {
  skip_without_traces(*state);
  outcome o = check_rows(*state, "native:", check_exact);
  assert_int_not_equal(o.rows, 0);
  assert_int_equal(o.wrong, 0);
}

static void test_batched_mode_is_within_half_a_point(void **state) {
  skip_without_traces(*state);
  outcome o = check_rows(*state, "", check_batched);
  assert_int_not_equal(o.rows, 0);
  assert_int_equal(o.wrong, 0);
}

static void test_twins_decide_alike_in_batches(void **state) {
  skip_without_traces(*state);
  outcome o = check_rows(*state, "native:", check_twin);
  assert_int_not_equal(o.rows, 0);
  assert_int_equal(o.wrong, 0);
}

static int set_up(void **state) {
  static bench b;
  b = (bench){.folder = getenv("NEAP_TRACES")};
  *state = &b;
  return neap_engine_create(&(neap_host){.seed = 1}, &b.engine, NULL);
}

static int tear_down(void **state) {
  bench *b = *state;
  neap_tape_close(&b->tape);
  neap_engine_destroy(&b->engine);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_exact_mode_gives_the_reference_to_six_digits),
      cmocka_unit_test(test_native_twins_give_the_reference_too),
      cmocka_unit_test(test_batched_mode_is_within_half_a_point),
      cmocka_unit_test(test_twins_decide_alike_in_batches),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
