/* Functions that judge probes, and what becomes of those that fail. */
#include "unit.h"

#include "loop/loop.h"
#include "script/script.h"

static char logged[4096];
static neap_host host;
static neap_config *config;
static neap_judge *judge;

static void keep_line(void *user, neap_log_level level, const char *line) {
  (void)user, (void)level;
  size_t used = strlen(logged);
  snprintf(logged + used, sizeof logged - used, "%s\n", line);
}

static int set_up(void **state) {
  (void)state;
  neap_host_complete(&(neap_host){.log = keep_line,
                                  .now_ms = neap_clock_now_ms,
                                  .now_ns = neap_clock_now_ns,
                                  .thread_cpu_ns = neap_clock_thread_cpu_ns,
                                  .seed = 1},
                     &host);
  logged[0] = '\0';
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  neap_judge_destroy(&judge);
  neap_config_destroy(&config);
  return 0;
}

/* The second of two pools has this check, from line 3 on. */
static void start(const char *check) {
  char text[2048], *report;
  snprintf(text, sizeof text,
           "local kept local neap = require 'neap' neap.listen { http = ':8080' } neap.route { path = '/', "
           "pool = 'app' }\n"
           "neap.pool { name = 'app', backends = { 'a:1' } }\n"
           "neap.pool { name = 'two', backends = { 'b:1' }, health = { check = function(reply) %s end } }\n",
           check);
  const neap_config_source source = {.name = "neap.lua", .text = text, .size = strlen(text)};
  int status = neap_config_load(&host, &source, 3, &config, &report);
  if (status) print_message("%s\n", report ? report : "");
  free(report);
  assert_int_equal(status, 0);
  neap_err err;
  if (neap_judge_create(config, &host, &judge, &err)) fail_msg("%s", err.text);
}

static const neap_header_row headers[] = {{{"X-Load", 6, 0}, {"12", 2, 0}}};
static const neap_probe_board answer = {
    .status = 200, .header_count = 1, .took_ms = 1.5, .body = {"all well", 8, 0}, .headers = headers};

static void test_it_sees_the_answer_and_nothing_else(void **state) {
  (void)state;
  start(
      "return reply.status == 200 and reply.took_ms == 1.5 and reply.body:eq 'all well' and #reply.body == 8 "
      "and reply:header 'x-load':number() == 12 and reply:header 'x-none' == nil");
  assert_true(config->pools[1].care.health.scripted);
  assert_int_equal(neap_judge_ask(judge, 1, &answer), 1);
  assert_int_equal(neap_judge_ask(judge, 1, &(neap_probe_board){.status = 503}), 0);
  assert_int_equal(neap_judge_ask(judge, 0, &answer), NEAP_ESTATE); /* it has no check */
  assert_string_equal(logged, "");
}

static void test_what_is_kept_of_an_answer_sees_the_next_alone(void **state) {
  (void)state;
  start("kept = kept or reply.body return kept:eq 'all well'");
  assert_int_equal(neap_judge_ask(judge, 1, &answer), 1);
  assert_int_equal(neap_judge_ask(judge, 1, &(neap_probe_board){.status = 200}), 0);
}

static void test_three_faults_in_a_row_take_it_out(void **state) {
  (void)state;
  start("if reply.status == 200 then return true end return reply.nothing");
  neap_probe_board bad = {.status = 500};
  assert_int_equal(neap_judge_ask(judge, 1, &bad), NEAP_EFAULT);
  assert_int_equal(neap_judge_ask(judge, 1, &bad), NEAP_EFAULT);
  assert_int_equal(neap_judge_ask(judge, 1, &answer), 1);
  for (int i = 0; i < 3; i++) assert_int_equal(neap_judge_ask(judge, 1, &bad), NEAP_EFAULT);
  assert_int_equal(neap_judge_ask(judge, 1, &answer), NEAP_ESTATE);
  assert_non_null(strstr(logged, "health fault pool=two generation=3 reason=NEAP_EFAULT at=neap.lua:3"));
  assert_non_null(strstr(logged, "health tripped pool=two"));
}

static void test_calls_and_faults_are_counted_and_the_newest_is_kept(void **state) {
  (void)state;
  neap_policy_counters seen;
  uint64_t at_ms;
  char fault[NEAP_NOTE_TEXT];
  start("if reply.status == 200 then return true end if reply.status == 404 then while true do end end "
        "return reply.nothing");
  neap_judge_ask(judge, 1, &answer);
  assert_false(neap_judge_fault_peek(judge, 1, &at_ms, fault));
  neap_judge_ask(judge, 1, &(neap_probe_board){.status = 404});
  for (int i = 0; i < 3; i++) neap_judge_ask(judge, 1, &(neap_probe_board){.status = 500}); /* one too many */
  neap_judge_counters(judge, 1, &seen);
  assert_int_equal(seen.asks, 4);
  assert_int_equal(seen.faults_fuel, 1);
  assert_int_equal(seen.faults_error, 2);
  assert_int_equal(seen.faults_memory, 0);
  assert_int_equal(seen.trips, 1);
  assert_int_equal(seen.fallbacks, 4);
  assert_true(neap_judge_fault_peek(judge, 1, &at_ms, fault));
  assert_non_null(strstr(fault, "neap.lua:3: "));
  neap_judge_counters(judge, 0, &seen);
  assert_int_equal(seen.asks + seen.fallbacks, 0);
}

static void test_endless_and_greedy_ones_are_stopped(void **state) {
  (void)state;
  start("while true do end");
  assert_int_equal(neap_judge_ask(judge, 1, &answer), NEAP_EFUEL);
  neap_judge_destroy(&judge);
  neap_config_destroy(&config);
  start("local all = {} for i = 1, 1e9 do all[i] = { i } end");
  int status = neap_judge_ask(judge, 1, &answer);
  assert_true(status == NEAP_EMEMCAP || status == NEAP_EFUEL);
  assert_true(neap_judge_ask(judge, 1, &answer) < 0);
}

static void test_answers_that_are_none_are_faults(void **state) {
  (void)state;
  start("return 'well'");
  assert_int_equal(neap_judge_ask(judge, 1, &answer), NEAP_EFAULT);
  assert_non_null(strstr(logged, "check must give true or false, not a string"));
  neap_judge_destroy(&judge);
  neap_config_destroy(&config);
  start("reply.status = 200");
  assert_int_equal(neap_judge_ask(judge, 1, &answer), NEAP_EFAULT);
  neap_judge_destroy(&judge);
  neap_config_destroy(&config);
  start("");
  assert_int_equal(neap_judge_ask(judge, 1, &answer), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_it_sees_the_answer_and_nothing_else),
      TEST(test_what_is_kept_of_an_answer_sees_the_next_alone),
      TEST(test_three_faults_in_a_row_take_it_out),
      TEST(test_calls_and_faults_are_counted_and_the_newest_is_kept),
      TEST(test_endless_and_greedy_ones_are_stopped),
      TEST(test_answers_that_are_none_are_faults),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
