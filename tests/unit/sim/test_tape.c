#include "maker.h"

#include "sim/tape.h"

enum { COUNT = 10000, KEYS = 1000 };

/* A csv of COUNT requests to KEYS keys; the first 10 lines have size 0 besides. */
static void write_trace(char path[32]) {
  bytes b = {0};
  for (int i = 0; i < 10; i++) add_text(&b, "0,77,0\n");
  for (int i = 0; i < COUNT; i++) {
    neap_trace_request request = {i, (uint64_t)(i % KEYS), i < KEYS ? 3 : 5};
    add_csv(&b, &request, 0);
  }
  write_file(path, b.at, b.size);
  free(b.at);
}

/* Plays the tape once: every request is there, in order. The number of reels. */
static int play(neap_tape *tape) {
  int64_t at = 0, count;
  int reels = 0;
  const neap_trace_request *requests;
  neap_tape_rewind(tape);
  for (; (count = neap_tape_next(tape, &requests, NULL)) > 0; reels++)
    for (int64_t i = 0; i < count; i++, at++) assert_int_equal(requests[i].time, at);
  assert_int_equal(count, 0);
  assert_int_equal(at, COUNT);
  return reels;
}

static void test_small_traces_are_held_and_large_ones_read_again(void **state) {
  (void)state;
  static const struct {
    uint64_t reel;
    bool in_memory;
    int reels;
  } cases[] = {{0, true, 1}, {COUNT + 1, true, 1}, {COUNT - 1, false, 2}, {3000, false, 4}, {70, false, 143}};
  char path[32];
  write_trace(path);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    neap_tape_options options = {.reel = cases[i].reel, .uniques = true};
    neap_tape *tape;
    assert_int_equal(neap_tape_open(path, &options, &tape, NULL), 0);
    const neap_tape_facts *facts = neap_tape_facts_get(tape);
    assert_int_equal(facts->in_memory, cases[i].in_memory);
    assert_int_equal(facts->requests, COUNT);
    assert_int_equal(facts->skipped, 10);
    assert_int_equal(facts->unique_keys, KEYS);
    assert_int_equal(facts->unique_bytes, KEYS * 3);
    assert_int_equal(facts->bytes, KEYS * 3 + (COUNT - KEYS) * 5);
    for (int run = 0; run < 2; run++) assert_int_equal(play(tape), cases[i].reels);
    neap_tape_close(&tape);
    assert_null(tape);
  }
  unlink(path);
}

static void test_a_run_left_in_the_middle_starts_again(void **state) {
  (void)state;
  char path[32];
  write_trace(path);
  neap_tape *tape;
  const neap_trace_request *requests;
  assert_int_equal(neap_tape_open(path, &(neap_tape_options){.reel = 3000}, &tape, NULL), 0);
  assert_int_equal(neap_tape_next(tape, &requests, NULL), 3000);
  play(tape);
  neap_tape_close(&tape);
  unlink(path);
}

static void test_empty_and_broken_traces_fail_before_any_run(void **state) {
  (void)state;
  static const struct {
    const char *text, *error;
  } cases[] = {{"", ": error: the trace holds no requests"},
               {"time,key,size\n", ": error: the trace holds no requests"},
               {"0,1,0\n", ": error: the trace holds no requests but of size 0, which are left out"},
               {"0,1,1\n0,1,\n", ":2: error: size must be an integer from 0 to 4294967295, in '0,1,'"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char path[32], expected[256];
    write_file(path, cases[i].text, strlen(cases[i].text));
    neap_tape *tape;
    neap_err err;
    assert_true(neap_tape_open(path, NULL, &tape, &err) < 0);
    snprintf(expected, sizeof expected, "%s%s", path, cases[i].error);
    assert_string_equal(err.text, expected);
    unlink(path);
  }
}

static void test_a_trace_that_vanishes_between_runs_is_an_error(void **state) {
  (void)state;
  char path[32];
  write_trace(path);
  neap_tape *tape;
  const neap_trace_request *requests;
  neap_err err;
  assert_int_equal(neap_tape_open(path, &(neap_tape_options){.reel = 3000}, &tape, NULL), 0);
  unlink(path);
  assert_int_equal(neap_tape_next(tape, &requests, &err), NEAP_EIO);
  neap_tape_close(&tape);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_small_traces_are_held_and_large_ones_read_again),
      cmocka_unit_test(test_a_run_left_in_the_middle_starts_again),
      cmocka_unit_test(test_empty_and_broken_traces_fail_before_any_run),
      cmocka_unit_test(test_a_trace_that_vanishes_between_runs_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
