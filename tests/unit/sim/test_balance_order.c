/* The simulator puts the shipped policies in the order that published figures of the same scenarios have, and
 * the default policy keeps its promise. Quick: a fifth of the requests and one seed; NEAP_TEST_FULL: 5 seeds.
 */
#include "unit.h"

#include <math.h>

#include "server/server.h"
#include "sim/sim.h"

enum { POLICIES = 12, SCENARIOS = 17 };

static const struct {
  const char *name;
  bool reports; /* are read */
  bool blind;   /* to weights */
} policies[POLICIES] = {
    {.name = "native:random", .blind = true},
    {.name = "native:round_robin", .blind = true},
    {.name = "native:weighted_round_robin"},
    {.name = "native:ip_hash"},         /* without a bound */
    {.name = "native:consistent_hash"}, /* with bounded load */
    {.name = "native:p2c"},
    {.name = "native:least_connections"},
    {.name = "native:weighted_least_connections"},
    {.name = "native:peak_ewma"},
    {.name = "native:estimated_wait"},
    {.name = "native:late_binding", .reports = true},
    {.name = "native:adaptive", .reports = true},
};

/* Excess p99 in ms; 0 is 0.01; NAN: not published. */
static const struct {
  const char *name;
  double excess[POLICIES];
} reference[SCENARIOS] = {
#define N NAN
    {"A1", {126.6, 135.2, N, 25730, 5.27, 5.69, 0.01, N, 29.4, 0.30, 0.01, 1.81}},
    {"A2", {597.7, 611.7, N, N, 30.5, 23.5, 15.5, N, 65.4, 10.9, 10.5, 11.8}},
    {"B1", {3408, 3459, 122.7, 30663, 22.7, 24.2, 18.4, 13.1, 39.9, 12.0, 11.7, 12.0}},
    {"B2", {12310, 12199, 618.0, N, 62.6, 48.9, 23.7, 22.8, 75.8, 22.6, 29.2, 22.4}},
    {"C1", {7220, 7011, 7274, N, 7.85, 8.49, 0.01, 0.01, 34.1, 0.88, 0.01, 1.91}},
    {"C2", {7570, 7010, 7042, N, 22.8, 33.4, 20.9, 20.9, 45.9, 19.1, N, 7.79}},
    {"D1", {3625, 3539, 3985, N, 82.3, 44.6, 27.3, 27.3, 91.6, 24.1, 14.8, 22.9}},
    {"D2", {4290, 2497, 2491, N, 90.2, 157.3, 60.5, 60.5, 192.6, 50.1, N, 28.6}},
    {"E0", {203.7, 136.3, 101.5, N, 18.1, 24.2, 15.9, 15.9, 39.3, 16.8, N, 7.19}},
    {"E1", {818.9, 672.0, 574.7, 25865, 45.6, 55.9, 31.6, 31.6, 79.9, 35.5, N, 17.6}},
    {"E2", {12556, 12723, 501.4, N, 84.8, 125.1, 46.4, 55.9, 122.3, 42.0, N, 26.8}},
    {"E3", {559.8, 473.8, N, N, N, 67.8, 48.9, N, N, N, N, 11.2}},
    {"F", {127.6, 137.7, 137.7, N, 4.96, 5.38, 0.01, 0.01, 28.4, 0.28, 0.01, 0.31}},
    {"G1", {126.0, 58.8, N, N, 21.0, 16.9, 8.76, N, 18.4, 10.3, 8.29, 10.7}},
    {"G2", {613.3, 548.3, N, N, 42.9, 28.6, 19.4, N, 28.4, 18.1, 23.5, 18.5}},
    {"H1", {175.1, 128.0, 128.0, N, 32.7, 21.5, 7.38, 7.38, 76.3, 6.36, 8.20, 6.65}},
    {"H2", {15963, 15708, 123.7, N, 83.5, 148.7, 59.9, 74.5, 108.1, 38.0, N, 31.5}},
#undef N
};

static neap_engine *engine;
static bool full;
static double excess[SCENARIOS][POLICIES];

static double run_policy(const neap_scenario *scenario, const char *policy, bool reports, uint32_t seeds,
                         neap_balance_result *result) {
  const neap_param no_bound = {.name = "bound", .number = 0};
  bool hash = strcmp(policy, "native:ip_hash") == 0;
  const neap_balance_options o = {.registry = neap_engine_registry(engine),
                                  .host = neap_engine_host(engine),
                                  .policy = policy,
                                  .params = hash ? &no_bound : NULL,
                                  .param_count = hash ? 1 : 0,
                                  .reports = reports,
                                  .requests = full ? 0 : 100000,
                                  .seed = 11,
                                  .seeds = seeds};
  neap_err err;
  if (neap_balance_run(scenario, &o, result, &err)) fail_msg("%s: %s", policy, err.text);
  assert_int_equal(result->faults, 0);
  return result->excess_p99_ms;
}

static int run_all(void **state) {
  (void)state;
  neap_err err;
  const char *mode = getenv("NEAP_TEST_MODE");
  full = mode != NULL && strcmp(mode, "full") == 0;
  if (neap_engine_create(&(neap_host){.seed = 1}, &engine, &err)) return -1;
  neap_scenarios s;
  if (neap_scenarios_open("all", &s, &err)) return -1;
  neap_balance_result result;
  for (int i = 0; i < SCENARIOS; i++) {
    assert_string_equal(s.items[i].name, reference[i].name);
    for (int k = 0; k < POLICIES; k++) {
      if (isnan(reference[i].excess[k])) continue;
      neap_scenario scenario = s.items[i];
      if (policies[k].blind) scenario.weight = (neap_cycle){1, {1}};
      double got = run_policy(&scenario, policies[k].name, policies[k].reports, full ? 5 : 2, &result);
      excess[i][k] = fmax(got, 0.01);
    }
  }
  neap_scenarios_destroy(&s);
  return 0;
}

static int end_all(void **state) {
  (void)state;
  neap_engine_destroy(&engine);
  return 0;
}

/* Kendall's tau over the pairs that the published figures keep more than 30 % apart; differences that nobody
 * feels, below half a millisecond, are none. */
static double tau(int scenario) {
  const double *wanted = reference[scenario].excess, *got = excess[scenario];
  int agree = 0, pairs = 0;
  for (int a = 0; a < POLICIES; a++)
    for (int b = 0; b < a; b++) {
      if (isnan(wanted[a]) || isnan(wanted[b])) continue;
      double more = fmax(wanted[a], wanted[b]), less = fmin(wanted[a], wanted[b]);
      if (more < 1.3 * less || more - less < 0.5) continue;
      pairs++;
      agree += (wanted[a] < wanted[b]) == (got[a] < got[b]) ? 1 : -1;
    }
  return pairs ? (double)agree / pairs : 1;
}

static void test_policies_come_in_the_published_order(void **state) {
  (void)state;
  bool good = true;
  for (int i = 0; i < SCENARIOS; i++) {
    if (tau(i) >= 0.8) continue;
    good = false;
    print_error("%s: tau %.2f\n", reference[i].name, tau(i));
    for (int k = 0; k < POLICIES; k++)
      if (!isnan(reference[i].excess[k]))
        print_error("  %-34s %10.2f, published %10.2f\n", policies[k].name, excess[i][k],
                    reference[i].excess[k]);
  }
  assert_true(good);
}

/* Regret of `adaptive` against the best native: geometric mean and worst, F aside. */
static void regret_of(const double *own, double *mean, double *worst) {
  double logs = 0;
  int count = 0;
  *worst = 0;
  for (int i = 0; i < SCENARIOS; i++) {
    if (strcmp(reference[i].name, "F") == 0) continue;
    double best = own[i];
    for (int k = 0; k < POLICIES; k++)
      if (!isnan(reference[i].excess[k])) best = fmin(best, excess[i][k]);
    double regret = (own[i] + 2) / (best + 2);
    logs += log(regret);
    count++;
    *worst = fmax(*worst, regret);
  }
  *mean = exp(logs / count);
}

static void test_adaptive_is_near_the_best_everywhere(void **state) {
  (void)state;
  double own[SCENARIOS], mean, worst;
  for (int i = 0; i < SCENARIOS; i++) own[i] = excess[i][POLICIES - 1];
  regret_of(own, &mean, &worst);
  print_message("with reports: regret %.2f, worst %.2f\n", mean, worst);
  assert_true(mean <= 1.10 && worst <= 1.6);
}

static void test_adaptive_without_reports_is_near_them(void **state) {
  (void)state;
  double own[SCENARIOS], mean, worst;
  neap_scenarios s;
  neap_err err;
  neap_balance_result result;
  assert_int_equal(neap_scenarios_open("all", &s, &err), 0);
  for (int i = 0; i < SCENARIOS; i++)
    own[i] = fmax(run_policy(&s.items[i], "native:adaptive", false, full ? 5 : 2, &result), 0.01);
  neap_scenarios_destroy(&s);
  regret_of(own, &mean, &worst);
  print_message("without reports: regret %.2f, worst %.2f\n", mean, worst);
  assert_true(mean <= 1.6 && worst <= 3.8);
}

static neap_balance_result run_text(const char *text, const char *policy, bool reports) {
  neap_scenarios s;
  neap_err err;
  neap_balance_result result;
  if (neap_scenarios_parse("test", text, &s, &err)) fail_msg("%s", err.text);
  run_policy(&s.items[0], policy, reports, 1, &result);
  neap_scenarios_destroy(&s);
  return result;
}

/* Who answers fast and wrong draws next to nothing, though nothing takes it out of the pool. */
static void test_a_black_hole_draws_nothing(void **state) {
  (void)state;
  for (int reports = 0; reports < 2; reports++) {
    neap_balance_result one = run_text("[F]\nerrors = 1 0.1 0.4 0.7\n", "native:adaptive", reports);
    assert_true((double)one.failed < 0.0005 * (double)one.requests);
    neap_balance_result ten =
        run_text("[F]\nerrors = 1 0.1 0.4 0.7\nbalancers = 10\n", "native:adaptive", reports);
    assert_true((double)ten.failed < 0.005 * (double)ten.requests);
  }
}

/* One default, whatever the backends work on at once, and whatever late binding is made to believe. */
static void test_a_wrong_concurrency_collapses_nothing(void **state) {
  (void)state;
  static const int workers[] = {1, 2, 4, 8, 16, 64};
  static const char *const laws[] = {"pareto 1.5 1000", "exponential", "fixed"};
  for (size_t law = 0; law < sizeof laws / sizeof *laws; law++)
    for (size_t i = 0; i < sizeof workers / sizeof *workers; i++) {
      char text[128];
      snprintf(text, sizeof text, "[c]\nworkers = %d\nload = 0.9\nservice = %s\n", workers[i], laws[law]);
      double least = run_text(text, "native:least_connections", false).excess_p99_ms;
      for (int reports = 0; reports < 2; reports++) {
        double adaptive = run_text(text, "native:adaptive", reports).excess_p99_ms;
        double late = run_text(text, "native:late_binding", reports).excess_p99_ms;
        if (adaptive > 1.5 * least + 15 || late > 1.5 * least + 15)
          fail_msg("workers %d, %s, reports %d: adaptive %g, late binding %g, least connections %g",
                   workers[i], laws[law], reports, adaptive, late, least);
      }
    }
}

/* Without reports it has to learn what backends work on at once: its guesses once held requests back from
 * backends that could do more, for seconds. These scenarios were looked at while that was mended, all but
 * `uneven`. */
static void test_without_reports_it_is_near_least_connections(void **state) {
  (void)state;
  static const char *const texts[] = {
      "[mixed]\nworkers = 1 2 4 8 16\nload = 0.85\n",
      "[uneven]\nbackends = 12\nworkers = 1 3 24\nload = 0.8\n",
      "[n1]\nbackends = 7\nworkers = 12\nload = 0.85\nservice = fixed\n",
      "[n2]\nbackends = 5\nworkers = 100\nload = 0.9\nservice = exponential\n",
      "[n4]\nbackends = 40\nworkers = 2\nload = 0.9\nservice = fixed\n",
      "[n5]\nbackends = 12\nworkers = 24\nload = 0.9\nservice = fixed\nbalancers = 3\n",
      "[n6]\nbackends = 9\nworkers = 48\nload = 0.92\n",
      "[n7]\nbackends = 15\nworkers = 10\nload = 0.85\nbalancers = 2\nservice = exponential\n",
      "[n8]\nbackends = 60\nworkers = 3\nload = 0.8\nservice = exponential\n",
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    double least = run_text(texts[i], "native:least_connections", false).excess_p99_ms;
    double adaptive = run_text(texts[i], "native:adaptive", false).excess_p99_ms;
    double regret = (adaptive + 2) / (least + 2);
    print_message("%.*s: %.2f, least connections %.2f\n", (int)strcspn(texts[i], "\n"), texts[i], adaptive,
                  least);
    if (regret > 1.5) fail_msg("%s: adaptive %g, least connections %g", texts[i], adaptive, least);
  }
}

/* Before backends of different sizes late binding once sent what it could not hold to the smallest, of which
 * it knew least: lines of seconds. */
static void test_late_binding_does_not_collapse_on_guesses(void **state) {
  (void)state;
  static const char *const texts[] = {
      "[m]\nworkers = 1 2 4 8 16\nload = 0.85\n",
      "[m95]\nworkers = 1 2 4 8 16\nload = 0.95\n",
      "[u95]\nbackends = 12\nworkers = 1 3 24\nload = 0.95\n",
      "[fixed]\nworkers = 1 2 4 8 16\nload = 0.95\nservice = fixed\n",
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    double least = run_text(texts[i], "native:least_connections", false).excess_p99_ms;
    double late = run_text(texts[i], "native:late_binding", false).excess_p99_ms;
    print_message("%.*s: %.2f, least connections %.2f\n", (int)strcspn(texts[i], "\n"), texts[i], late,
                  least);
    if ((late + 2) / (least + 2) > 1.5)
      fail_msg("%s: late binding %g, least connections %g", texts[i], late, least);
  }
}

/* In large pools it does not look at each backend for each pick. */
static void test_large_pools_are_balanced_as_well(void **state) {
  (void)state;
  static const char *const texts[] = {
      "[100]\nbackends = 100\nload = 0.8\n",
      "[ones]\nbackends = 100\nworkers = 1\nload = 0.8\n",
      "[100x10]\nbackends = 100\nload = 0.9\nbalancers = 10\n",
      "[500]\nbackends = 500\nload = 0.9\n",
      "[500x20]\nbackends = 500\nload = 0.8\nbalancers = 20\nspeed = 1 2\n",
      "[200d]\nbackends = 200\nload = 0.7\nantagonists = 0.4 2000 8000\n",
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    double least = run_text(texts[i], "native:least_connections", false).excess_p99_ms;
    for (int reports = 0; reports < 2; reports++) {
      double adaptive = run_text(texts[i], "native:adaptive", reports).excess_p99_ms;
      if ((adaptive + 2) / (least + 2) > 1.25)
        fail_msg("%s: reports %d: adaptive %g, least connections %g", texts[i], reports, adaptive, least);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_policies_come_in_the_published_order),
      cmocka_unit_test(test_adaptive_is_near_the_best_everywhere),
      cmocka_unit_test(test_adaptive_without_reports_is_near_them),
      cmocka_unit_test(test_a_black_hole_draws_nothing),
      cmocka_unit_test(test_a_wrong_concurrency_collapses_nothing),
      cmocka_unit_test(test_without_reports_it_is_near_least_connections),
      cmocka_unit_test(test_late_binding_does_not_collapse_on_guesses),
      cmocka_unit_test(test_large_pools_are_balanced_as_well),
  };
  return cmocka_run_group_tests(tests, run_all, end_all);
}
