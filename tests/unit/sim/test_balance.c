/* The balance simulator against theory, its scenarios, and that a run repeats. */
#include "unit.h"

#include <math.h>

#include "server/server.h"
#include "sim/sim.h"

static neap_engine *engine;

static int make_engine(void **state) {
  (void)state;
  neap_err err;
  return neap_engine_create(&(neap_host){.seed = 1}, &engine, &err);
}

static int end_engine(void **state) {
  (void)state;
  neap_engine_destroy(&engine);
  return 0;
}

static neap_balance_result run_policy(const char *text, const char *policy, uint64_t seed, uint32_t seeds,
                                      bool reports) {
  neap_scenarios scenarios;
  neap_err err;
  if (neap_scenarios_parse("test", text, &scenarios, &err)) fail_msg("%s", err.text);
  const neap_balance_options o = {.registry = neap_engine_registry(engine),
                                  .host = neap_engine_host(engine),
                                  .policy = policy,
                                  .reports = reports,
                                  .seed = seed,
                                  .seeds = seeds};
  neap_balance_result result;
  if (neap_balance_run(&scenarios.items[0], &o, &result, &err)) fail_msg("%s: %s", policy, err.text);
  neap_scenarios_destroy(&scenarios);
  return result;
}

/* --- theory --- */

/* The mean time in an M/M/k queue, in mean services, by Erlang's C formula. */
static double erlang(int k, double load) {
  double offered = k * load, blocked = 1; /* Erlang's B, by its recursion */
  for (int i = 1; i <= k; i++) blocked = offered * blocked / (i + offered * blocked);
  double waits = blocked / (1 - load * (1 - blocked));
  return 1 + waits / (k * (1 - load));
}

static void test_one_station_is_an_m_m_k_queue(void **state) {
  (void)state;
  static const struct {
    int workers;
    double load;
  } cases[] = {{1, 0.5}, {1, 0.7}, {2, 0.8}, {4, 0.7}, {4, 0.9}, {16, 0.9}, {80, 0.9}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[256];
    snprintf(text, sizeof text,
             "[M]\nbackends = 1\nworkers = %d\nload = %g\nservice = exponential\ndelay_ms = 0.001\n"
             "requests = 400000\n",
             cases[i].workers, cases[i].load);
    double wanted = 10 * erlang(cases[i].workers, cases[i].load) + 0.002;
    double got = run_policy(text, "native:round_robin", 1, 2, false).mean_ms;
    if (fabs(got / wanted - 1) > 0.03)
      fail_msg("M/M/%d at %g: %g ms, theory says %g", cases[i].workers, cases[i].load, got, wanted);
  }
}

static void test_random_splits_are_m_m_k_queues(void **state) {
  (void)state;
  double wanted = 10 * erlang(4, 0.7) + 0.5;
  double got =
      run_policy("[M]\nload = 0.7\nservice = exponential\nrequests = 500000\n", "random", 1, 1, false)
          .mean_ms;
  assert_true(fabs(got / wanted - 1) < 0.03);
}

/* Processor sharing on one core: the mean is that of M/M/1, whatever the law. */
static void test_a_shared_core_forgets_the_law_of_service(void **state) {
  (void)state;
  static const char *const laws[] = {"exponential", "fixed", "bimodal 0.1 10"};
  for (size_t i = 0; i < sizeof laws / sizeof *laws; i++) {
    char text[256];
    snprintf(text, sizeof text,
             "[P]\nbackends = 1\nworkers = 1\nload = 0.6\nsharing = cores\nservice = %s\n"
             "requests = 400000\n",
             laws[i]);
    double wanted = 10 / (1 - 0.6) + 0.5, got = run_policy(text, "native:round_robin", 3, 2, false).mean_ms;
    if (fabs(got / wanted - 1) > 0.03) fail_msg("%s: %g ms, theory says %g", laws[i], got, wanted);
  }
}

/* --- runs --- */

static void test_the_same_seed_gives_the_same_bits(void **state) {
  (void)state;
  static const char text[] = "[X]\nbalancers = 3\nrequests = 20000\nantagonists = 0.4 200 800\nload = 0.8\n";
  neap_balance_result a = run_policy(text, "p2c", 7, 2, true), b = run_policy(text, "p2c", 7, 2, true);
  assert_memory_equal(&a, &b, sizeof a);
  neap_balance_result c = run_policy(text, "p2c", 8, 2, true);
  assert_true(a.mean_ms != c.mean_ms);
}

static void test_a_slow_backend_queues_what_blind_turns_send(void **state) {
  (void)state;
  static const char text[] = "[S]\nrequests = 50000\nslow = 1 0.2 0.4 0.7\n";
  neap_balance_result blind = run_policy(text, "native:round_robin", 1, 1, false);
  neap_balance_result seeing = run_policy(text, "least_connections", 1, 1, false);
  assert_true(blind.excess_p99_ms > 20 * (seeing.excess_p99_ms + 2));
  assert_true(blind.odd_share > 0.045 && blind.odd_share < 0.055);
  assert_true(seeing.odd_share < 0.045);
  assert_int_equal(blind.failed + seeing.failed, 0);
}

static void test_errors_are_counted_and_not_timed(void **state) {
  (void)state;
  neap_balance_result r =
      run_policy("[F]\nrequests = 50000\nerrors = 1 0.1 0.4 0.7\n", "native:round_robin", 1, 1, false);
  assert_true(r.failed > 50000 * 0.3 / 20 * 0.9 && r.failed < 50000 * 0.3 / 20 * 1.1);
}

static void test_backends_join_and_leave(void **state) {
  (void)state;
  neap_balance_result r = run_policy("[J]\nrequests = 40000\nload = 0.4\njoin = 10 0.5\nleave = 5 0.8\n",
                                     "native:round_robin", 1, 1, false);
  assert_int_equal(r.failed, 0);
  assert_int_equal(r.faults, 0);
  assert_true(r.spread > 1.3); /* those that were always there did more */
}

static void test_far_backends_cost_what_they_are_far(void **state) {
  (void)state;
  neap_balance_result r = run_policy("[Z]\nrequests = 20000\nload = 0.1\nservice = fixed\ndelay_ms = 1 21\n",
                                     "native:round_robin", 1, 1, false);
  assert_true(fabs(r.mean_ms - (10 + 2 + 20)) < 0.5);
  assert_true(fabs(r.excess_mean_ms - 20) < 0.5);
}

/* --- scenarios --- */

static void test_built_in_scenarios_are_read(void **state) {
  (void)state;
  neap_scenarios s;
  neap_err err;
  assert_int_equal(neap_scenarios_open("all", &s, &err), 0);
  assert_int_equal(s.count, 17);
  neap_scenarios_destroy(&s);
  assert_int_equal(neap_scenarios_open("H2,A1", &s, &err), 0);
  assert_int_equal(s.count, 2);
  assert_string_equal(s.items[0].name, "H2");
  assert_true(s.items[0].cores);
  assert_int_equal(s.items[0].balancers, 10);
  assert_true(s.items[0].speed.values[1] == 2);
  assert_string_equal(s.items[1].name, "A1");
  neap_scenarios_destroy(&s);
  assert_int_equal(neap_scenarios_open("A9", &s, &err), NEAP_ENOTFOUND);
  assert_int_equal(neap_scenarios_open("", &s, &err), NEAP_ENOTFOUND);
  assert_int_equal(neap_scenarios_open("./no/such/file", &s, &err), NEAP_EIO);
}

static void test_bad_scenarios_are_refused_with_their_line(void **state) {
  (void)state;
  static const char *const bad[][2] = {
      {"", "x:1: error: no scenario"},
      {"load = 1\n", "x:1: error: a scenario begins with [name]"},
      {"[]\n", "x:1: error: a scenario's name"},
      {"[a b]\n", "x:1: error: a scenario's name"},
      {"[a\n", "x:1: error: a scenario begins with [name]"},
      {"[a]\n\nlaod = 1\n", "x:3: error: unknown key 'laod', did you mean 'load'?"},
      {"[a]\nload\n", "x:2: error: neither [name] nor key = value"},
      {"[a]\nload = \n", "x:2: error: load takes at least 1 numbers"},
      {"[a]\nload = much\n", "x:2: error: load: not a number"},
      {"[a]\nload = 1e999\n", "x:2: error: load: not a number"},
      {"[a]\nload = nan\n", "x:2: error: load: not a number"},
      {"[a]\nload = 1 2 3\n", "x:2: error: load takes at most 2"},
      {"[a]\nbackends = 0\n", "x:2: error: backends: 0 is not in"},
      {"[a]\nworkers = 1.5\n", "x:2: error: workers: 1.5 is not a whole number"},
      {"[a]\nservice = slow\n", "x:2: error: service is fixed"},
      {"[a]\nservice = pareto 1\n", "x:2: error: service takes 2"},
      {"[a]\nservice = pareto 1 1\n", "x:2: error: service: the largest"},
      {"[a]\nservice = bimodal 1 2\n", "x:2: error: service: the share"},
      {"[a]\nsharing = none\n", "x:2: error: sharing is queue or cores"},
      {"[a]\nslow = 1 0 0 1\n", "x:2: error: slow takes COUNT"},
      {"[a]\nslow = 1 1 0.7 0.4\n", "x:2: error: slow takes COUNT"},
      {"[a]\nslow = 30 1 0.4 0.7\n", "x:1: error: scenario 'a' has only 20 backends"},
      {"[a]\njoin = 20 0.5\n[b]\n", "x:1: error: scenario 'a' has only 20 backends"},
      {"[a]\njoin = 2 5\n", "x:2: error: join takes COUNT AT"},
      {"[a]\nkeys = 0 1\n", "x:2: error: keys takes COUNT"},
      {"[a]\nrequests = 1\n", "x:2: error: requests: 1 is not in"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    neap_scenarios s = {0};
    neap_err err;
    assert_int_equal(neap_scenarios_parse("x", bad[i][0], &s, &err), NEAP_ESYNTAX);
    if (strncmp(err.text, bad[i][1], strlen(bad[i][1])) != 0) fail_msg("'%s', not '%s'", err.text, bad[i][1]);
    assert_null(s.items);
  }
}

static void test_unknown_policies_are_refused(void **state) {
  (void)state;
  neap_scenarios s;
  neap_err err;
  neap_balance_result r;
  assert_int_equal(neap_scenarios_open("A1", &s, &err), 0);
  const neap_balance_options o = {
      .registry = neap_engine_registry(engine), .host = neap_engine_host(engine), .policy = "native:best"};
  assert_int_equal(neap_balance_run(&s.items[0], &o, &r, &err), NEAP_ENOTFOUND);
  neap_scenarios_destroy(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_station_is_an_m_m_k_queue),
      cmocka_unit_test(test_random_splits_are_m_m_k_queues),
      cmocka_unit_test(test_a_shared_core_forgets_the_law_of_service),
      cmocka_unit_test(test_the_same_seed_gives_the_same_bits),
      cmocka_unit_test(test_a_slow_backend_queues_what_blind_turns_send),
      cmocka_unit_test(test_errors_are_counted_and_not_timed),
      cmocka_unit_test(test_backends_join_and_leave),
      cmocka_unit_test(test_far_backends_cost_what_they_are_far),
      cmocka_unit_test(test_built_in_scenarios_are_read),
      cmocka_unit_test(test_bad_scenarios_are_refused_with_their_line),
      cmocka_unit_test(test_unknown_policies_are_refused),
  };
  return cmocka_run_group_tests(tests, make_engine, end_engine);
}
