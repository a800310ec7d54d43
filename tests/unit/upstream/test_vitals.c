#include "unit.h"

#include "base/base.h"
#include "upstream/vitals.h"

enum { MEMBERS = 8 };

static neap_vitals vitals[MEMBERS];
static neap_backend_row rows[MEMBERS];
static neap_care care;
static neap_random random_numbers;

static int set_up(void **state) {
  (void)state;
  memset(vitals, 0, sizeof vitals);
  for (int i = 0; i < MEMBERS; i++) {
    neap_vitals_init(&vitals[i]);
    rows[i] = (neap_backend_row){.weight = 1, .share = 1, .load = -1};
  }
  care = (neap_care){.health = {.kind = NEAP_PROBE_HTTP,
                                .interval_ms = 10000,
                                .fast_interval_ms = 1000,
                                .rise = 2,
                                .fall = 3},
                     .eject = {.enabled = true,
                               .errors = 5,
                               .rate = 0.2,
                               .min_requests = 50,
                               .time_ms = 30000,
                               .max_time_ms = 300000,
                               .max_share = 0.5},
                     .breaker = {.errors = 5, .open_ms = 1000, .trials = 3, .window_ms = 10000},
                     .panic = 0.5};
  random_numbers.state = 1;
  return 0;
}

static void say(int i, bool good) {
  neap_health_take(&vitals[i].checks[0], &care.health, good);
}

static bool read_all(int count, uint64_t now_ms) {
  for (int i = 0; i < count; i++) neap_vitals_row(&vitals[i], &care, 0, now_ms, &rows[i]);
  return neap_vitals_pool(&care, rows, count, &random_numbers);
}

/* --- probes */

static void test_the_first_verdict_decides_alone(void **state) {
  (void)state;
  assert_true(neap_health_take(&vitals[0].checks[0], &care.health, true));
  assert_int_equal(vitals[0].checks[0].state, NEAP_BACKEND_UP);
  assert_true(neap_health_take(&vitals[1].checks[0], &care.health, false));
  assert_int_equal(vitals[1].checks[0].state, NEAP_BACKEND_DOWN);
}

static void test_rise_and_fall_want_verdicts_in_a_row(void **state) {
  (void)state;
  neap_health *health = &vitals[0].checks[0];
  static const struct {
    bool good, changes;
  } story[] = {{true, true},  {false, false}, {false, false}, {true, false}, {false, false}, {false, false},
               {false, true}, {true, false},  {false, false}, {true, false}, {true, true},   {true, false}};
  for (size_t i = 0; i < NEAP_COUNT_OF(story); i++)
    assert_int_equal(neap_health_take(health, &care.health, story[i].good), story[i].changes);
  assert_int_equal(health->state, NEAP_BACKEND_UP);
}

static void assert_pause(uint64_t least, uint64_t most) {
  uint64_t low = UINT64_MAX, high = 0;
  for (int i = 0; i < 1000; i++) {
    uint64_t pause = neap_health_pause_ms(&vitals[0].checks[0], &care.health, &random_numbers);
    low = NEAP_MIN(low, pause);
    high = NEAP_MAX(high, pause);
  }
  assert_in_range(low, least, least + least / 20);
  assert_in_range(high, most - most / 20, most);
}

static void test_probes_are_faster_in_transition_and_when_down_and_never_in_step(void **state) {
  (void)state;
  say(0, true);
  assert_pause(8000, 12000);
  say(0, false);
  assert_pause(800, 1200);
  say(0, true);
  assert_pause(8000, 12000);
  for (int i = 0; i < 3; i++) say(0, false);
  assert_pause(800, 1200);
}

static void test_expected_statuses_are_ranges(void **state) {
  (void)state;
  neap_care_health rules = {.status_from = {200, 404}, .status_to = {299, 404}, .status_count = 2};
  assert_true(neap_health_expects(&rules, 200));
  assert_true(neap_health_expects(&rules, 299));
  assert_true(neap_health_expects(&rules, 404));
  assert_false(neap_health_expects(&rules, 300));
  assert_false(neap_health_expects(&rules, 0));
}

static void test_what_was_not_yet_probed_serves_only_where_nobody_is_known_to_be_well(void **state) {
  (void)state;
  read_all(4, 1);
  for (int i = 0; i < 4; i++) assert_int_equal(rows[i].barred, 0); /* a start: all of them serve */
  say(0, true);
  say(1, true);
  say(2, true);
  read_all(4, 2);
  assert_int_equal(rows[0].barred, 0);
  assert_int_equal(rows[3].barred, NEAP_BAR_SICK);
  assert_int_equal(rows[3].state, NEAP_BACKEND_UNKNOWN);
}

/* --- panic */

static void test_in_panic_soft_evidence_is_ignored_and_hard_is_not(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) say(i, true);
  say(0, false), say(0, false), say(0, false);
  assert_false(read_all(4, 1));
  assert_int_equal(rows[0].barred, NEAP_BAR_SICK);
  for (int i = 1; i < 3; i++) say(i, false), say(i, false), say(i, false);
  vitals[2].checks[0].refused = true;
  assert_true(read_all(4, 2));
  assert_int_equal(rows[0].barred, 0);
  assert_int_equal(rows[1].barred, 0);
  assert_int_equal(rows[2].barred, NEAP_BAR_DOWN); /* there is nobody: no use in asking */
  assert_int_equal(rows[3].barred, 0);
  assert_int_equal(rows[0].state, NEAP_BACKEND_DOWN); /* what is known is not forgotten */
  care.panic = 0;
  assert_false(read_all(4, 3));
  assert_int_equal(rows[0].barred, NEAP_BAR_SICK);
}

static void test_in_panic_who_gave_errors_in_a_row_is_left_alone_while_somebody_answers(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) say(i, true);
  vitals[0].checks[0].refused = true;
  for (int i = 0; i < 3; i++) say(0, false);
  neap_vitals_eject(&vitals[1], &care.eject, true, 1);
  assert_true(read_all(3, 2));
  assert_int_equal(rows[0].barred, NEAP_BAR_DOWN);
  assert_int_equal(rows[1].barred, NEAP_BAR_EJECTED);
  assert_int_equal(rows[2].barred, 0);
  for (int i = 0; i < 3; i++) say(2, false); /* an opinion: it answers all the same */
  assert_true(read_all(3, 3));
  assert_int_equal(rows[1].barred, NEAP_BAR_EJECTED);
  assert_int_equal(rows[2].barred, 0);
  rows[2].error_rate = 0.9; /* nobody answers: all are tried */
  assert_true(read_all(3, 4));
  assert_int_equal(rows[1].barred, 0);
  assert_int_equal(rows[2].barred, 0);
  rows[2].error_rate = 0;
  vitals[2].checks[0].refused = true; /* nobody else is there */
  assert_true(read_all(3, 5));
  assert_int_equal(rows[1].barred, 0);
  assert_int_equal(rows[2].barred, NEAP_BAR_DOWN);
}

static void test_in_panic_who_was_ejected_for_its_rate_serves(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) say(i, true);
  vitals[0].checks[0].refused = true;
  for (int i = 0; i < 3; i++) say(0, false);
  neap_vitals_eject(&vitals[1], &care.eject, false, 1);
  assert_true(read_all(3, 2));
  assert_int_equal(rows[1].barred, 0); /* most of its answers are good */
  neap_vitals_eject(&vitals[1], &care.eject, true, 1);
  assert_true(read_all(3, 2));
  assert_int_equal(rows[1].barred, NEAP_BAR_EJECTED);
}

static void test_half_of_a_pool_is_no_panic(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) say(i, i < 2);
  assert_false(read_all(4, 1));
  assert_int_equal(rows[3].barred, NEAP_BAR_SICK);
}

static void test_a_breaker_holds_in_panic(void **state) {
  (void)state;
  care.health.kind = NEAP_PROBE_NONE;
  care.breaker.enabled = true;
  for (int i = 0; i < 2; i++)
    for (int n = 0; n < 5; n++) neap_vitals_bad(&vitals[i], &care, 1);
  read_all(2, 2);
  assert_int_equal(rows[0].barred, NEAP_BAR_OPEN);
  assert_int_equal(rows[1].barred, NEAP_BAR_OPEN);
}

/* --- priorities */

static int used(int i, int count, int times) {
  int n = 0;
  for (int t = 0; t < times; t++) {
    read_all(count, (uint64_t)t + 1);
    n += rows[i].barred == 0;
  }
  return n;
}

static void test_spare_backends_rest_while_the_first_are_well(void **state) {
  (void)state;
  rows[2].priority = rows[3].priority = 1;
  for (int i = 0; i < 4; i++) say(i, true);
  assert_int_equal(used(0, 4, 100), 100);
  assert_int_equal(used(2, 4, 100), 0);
  assert_int_equal(rows[2].barred, NEAP_BAR_SPARE);
}

static void test_a_backup_takes_over_and_gives_back(void **state) {
  (void)state;
  rows[1].priority = NEAP_PRIORITIES - 1;
  say(0, true), say(1, true);
  for (int i = 0; i < 3; i++) say(0, false);
  assert_int_equal(used(1, 2, 100), 100);
  assert_int_equal(used(0, 2, 100), 0); /* no panic: what stands behind suffices */
  say(0, true), say(0, true);
  assert_int_equal(used(1, 2, 100), 0);
  assert_int_equal(used(0, 2, 100), 100);
}

static void test_what_the_first_cannot_carry_flows_over(void **state) {
  (void)state;
  for (int i = 0; i < 6; i++) rows[i].priority = i < 4 ? 0 : 1, say(i, i >= 2);
  int spare = used(4, 6, 10000); /* 2 of 4 well: 50 % * 1.4 = 70 % stay */
  assert_in_range(spare, 2800, 3200);
  assert_int_equal(used(0, 6, 1000), 0);
}

static void test_one_of_four_away_needs_no_overflow(void **state) {
  (void)state;
  for (int i = 0; i < 5; i++) rows[i].priority = i < 4 ? 0 : 1, say(i, i > 0);
  assert_int_equal(used(4, 5, 1000), 0);
}

static void test_where_nobody_of_any_priority_is_well_the_first_is_tried(void **state) {
  (void)state;
  care.panic = 0;
  for (int i = 0; i < 4; i++) rows[i].priority = i < 2 ? 3 : 7, say(i, false);
  read_all(4, 1);
  assert_int_equal(rows[0].barred, NEAP_BAR_SICK);
  assert_int_equal(rows[2].barred, NEAP_BAR_SICK | NEAP_BAR_SPARE);
}

/* --- ejection */

static bool err(int i, int times, uint64_t now_ms) {
  bool asks = false;
  for (int n = 0; n < times; n++) asks |= neap_vitals_bad(&vitals[i], &care, now_ms);
  return asks;
}

static void test_errors_in_a_row_ask_for_ejection_and_good_ones_between_do_not(void **state) {
  (void)state;
  assert_false(err(0, 4, 1));
  neap_vitals_good(&vitals[0], &care, 1);
  assert_false(err(0, 4, 1));
  assert_true(err(0, 1, 1));
  care.eject.enabled = false;
  assert_false(err(1, 100, 1));
}

static void test_connections_that_break_together_count_once(void **state) {
  (void)state;
  for (uint64_t t = 0; t < 4; t++)
    for (int n = 0; n < 100; n++) assert_false(neap_vitals_broken(&vitals[0], &care, 1000 + t * 20));
  assert_false(neap_vitals_broken(&vitals[0], &care, 1079));
  assert_true(neap_vitals_broken(&vitals[0], &care, 1080));
  assert_int_equal(vitals[0].errors, 402); /* all of them count elsewhere */
}

static void test_each_time_it_is_out_twice_as_long_and_on_probation_after(void **state) {
  (void)state;
  uint64_t now_ms = 1000;
  care.health.kind = NEAP_PROBE_NONE;
  static const uint64_t times_ms[] = {30000, 60000, 120000, 240000, 300000, 300000};
  for (size_t i = 0; i < NEAP_COUNT_OF(times_ms); i++) {
    assert_true(err(0, i == 0 ? 5 : 1, now_ms)); /* one error is enough when it has just come back */
    neap_vitals_eject(&vitals[0], &care.eject, true, now_ms);
    assert_false(err(0, 5, now_ms)); /* those that were under way */
    now_ms += times_ms[i] - 1;
    assert_true(neap_vitals_is_ejected(&vitals[0], now_ms));
    read_all(1, now_ms);
    assert_true(rows[0].state != NEAP_BACKEND_DOWN);
    now_ms += 1;
    assert_false(neap_vitals_is_ejected(&vitals[0], now_ms));
  }
  assert_int_equal(vitals[0].ejections, NEAP_COUNT_OF(times_ms));
}

static void test_a_long_time_without_ejection_is_to_its_credit(void **state) {
  (void)state;
  for (uint64_t i = 0; i < 3; i++) neap_vitals_eject(&vitals[0], &care.eject, true, 1000 + i * 300000);
  uint64_t later_ms = 100000000;
  neap_vitals_eject(&vitals[0], &care.eject, true, later_ms);
  assert_int_equal(vitals[0].ejected_until_ms, later_ms + 30000);
}

static void test_never_more_than_its_share_and_never_all(void **state) {
  (void)state;
  assert_false(neap_eject_allows(&care.eject, 1, 1));
  assert_true(neap_eject_allows(&care.eject, 2, 1));
  assert_false(neap_eject_allows(&care.eject, 2, 2));
  assert_true(neap_eject_allows(&care.eject, 10, 5));
  assert_false(neap_eject_allows(&care.eject, 10, 6));
  care.eject.max_share = 0.1;
  assert_true(neap_eject_allows(&care.eject, 3, 1)); /* one at least */
  assert_false(neap_eject_allows(&care.eject, 3, 2));
  care.eject.max_share = 1;
  assert_false(neap_eject_allows(&care.eject, 3, 3));
}

static void test_an_ejection_that_is_taken_back_leaves_no_trace(void **state) {
  (void)state;
  neap_vitals_eject(&vitals[0], &care.eject, true, 1000);
  neap_vitals_take_back(&vitals[0]);
  assert_false(neap_vitals_is_ejected(&vitals[0], 1000));
  assert_int_equal(vitals[0].ejections, 0);
  assert_false(err(0, 4, 1000));
  neap_vitals_eject(&vitals[0], &care.eject, true, 1000);
  assert_int_equal(vitals[0].ejected_until_ms, 31000);
}

static void test_an_error_rate_counts_against_the_rest_of_the_pool(void **state) {
  (void)state;
  const neap_care_eject *rules = &care.eject;
  assert_true(neap_outlier_is(rules, 100, 40, 400, 4));
  assert_false(neap_outlier_is(rules, 100, 40, 400, 160)); /* all do: it is not the backend */
  assert_false(neap_outlier_is(rules, 100, 15, 400, 0));   /* within the margin */
  assert_false(neap_outlier_is(rules, 49, 49, 400, 0));    /* too few */
  assert_false(neap_outlier_is(rules, 100, 40, 0, 0));     /* nobody to compare with */
  assert_false(neap_outlier_is(rules, 60, 60, 1, 0.5));    /* nor much */
}

static void test_what_is_old_counts_less(void **state) {
  (void)state;
  vitals[0].errors = 100;
  neap_outlier_observe(&vitals[0], 200, 1000, 1);
  assert_float_equal(vitals[0].recent.requests, 200, 1e-9);
  assert_float_equal(vitals[0].recent.errors, 100, 1e-9);
  neap_outlier_observe(&vitals[0], 210, 5000, 5001);
  assert_float_equal(vitals[0].recent.requests, 110, 1e-9);
  assert_float_equal(vitals[0].recent.errors, 50, 1e-9);
}

/* --- the breaker */

static int breaker_at(uint64_t now_ms) {
  return neap_breaker_state_at(&vitals[0].breaker, now_ms);
}

static void test_a_breaker_opens_tries_and_closes(void **state) {
  (void)state;
  neap_breaker *breaker = &vitals[0].breaker;
  const neap_care_breaker *rules = &care.breaker;
  for (int i = 0; i < 4; i++) neap_breaker_end(breaker, rules, false, 100);
  neap_breaker_end(breaker, rules, true, 100);
  for (int i = 0; i < 4; i++) neap_breaker_end(breaker, rules, false, 100);
  assert_int_equal(breaker_at(100), NEAP_BREAKER_CLOSED);
  neap_breaker_end(breaker, rules, false, 100);
  assert_int_equal(breaker_at(1099), NEAP_BREAKER_OPEN);
  assert_false(neap_breaker_admits(breaker, rules, 1099));
  neap_breaker_end(breaker, rules, true, 1000); /* begun before: says nothing */
  assert_int_equal(breaker_at(1100), NEAP_BREAKER_HALF);
  for (int i = 0; i < 3; i++) {
    assert_true(neap_breaker_admits(breaker, rules, 1100));
    neap_breaker_begin(breaker, rules, 1100);
  }
  assert_false(neap_breaker_admits(breaker, rules, 1100)); /* no more than `trials` */
  neap_breaker_end(breaker, rules, true, 1101);
  neap_breaker_end(breaker, rules, true, 1101);
  assert_int_equal(breaker_at(1101), NEAP_BREAKER_HALF);
  neap_breaker_end(breaker, rules, true, 1101);
  assert_int_equal(breaker_at(1101), NEAP_BREAKER_CLOSED);
  assert_int_equal(breaker->opened, 1);
}

static void test_one_bad_trial_opens_it_again(void **state) {
  (void)state;
  neap_breaker *breaker = &vitals[0].breaker;
  const neap_care_breaker *rules = &care.breaker;
  for (int i = 0; i < 5; i++) neap_breaker_end(breaker, rules, false, 100);
  neap_breaker_begin(breaker, rules, 1100);
  neap_breaker_end(breaker, rules, true, 1100);
  neap_breaker_begin(breaker, rules, 1100);
  neap_breaker_end(breaker, rules, false, 1200);
  assert_int_equal(breaker_at(2199), NEAP_BREAKER_OPEN);
  for (int i = 0; i < 3; i++)
    assert_true(neap_breaker_admits(breaker, rules, 2200)), neap_breaker_begin(breaker, rules, 2200);
  assert_false(neap_breaker_admits(breaker, rules, 2200)); /* the trials of last time are not added */
  for (int i = 0; i < 3; i++) neap_breaker_end(breaker, rules, true, 2200);
  assert_int_equal(breaker_at(2200), NEAP_BREAKER_CLOSED);
}

static void test_trials_that_nobody_ended_are_tried_anew(void **state) {
  (void)state;
  neap_breaker *breaker = &vitals[0].breaker;
  const neap_care_breaker *rules = &care.breaker;
  for (int i = 0; i < 5; i++) neap_breaker_end(breaker, rules, false, 100);
  for (int i = 0; i < 3; i++) neap_breaker_begin(breaker, rules, 1100);
  assert_false(neap_breaker_admits(breaker, rules, 2099));
  assert_true(neap_breaker_admits(breaker, rules, 2100));
}

static void test_a_breaker_opens_by_rate_within_a_window(void **state) {
  (void)state;
  neap_breaker *breaker = &vitals[0].breaker;
  care.breaker =
      (neap_care_breaker){.rate = 0.5, .min_requests = 20, .window_ms = 10000, .open_ms = 1000, .trials = 1};
  for (int i = 0; i < 19; i++) neap_breaker_end(breaker, &care.breaker, i % 2, 10000);
  assert_int_equal(breaker_at(10000), NEAP_BREAKER_CLOSED);
  for (int i = 0; i < 19; i++) neap_breaker_end(breaker, &care.breaker, i % 2, 20000); /* a new window */
  assert_int_equal(breaker_at(20000), NEAP_BREAKER_CLOSED);
  neap_breaker_end(breaker, &care.breaker, true, 20000);
  neap_breaker_end(breaker, &care.breaker, false, 20000);
  assert_int_equal(breaker_at(20000), NEAP_BREAKER_OPEN);
}

/* --- slow start */

static void test_a_share_grows_from_a_tenth(void **state) {
  (void)state;
  care.health.kind = NEAP_PROBE_NONE;
  care.slow_start_ms = 10000;
  rows[0].weight = 4;
  read_all(1, 100000);
  assert_float_equal(rows[0].share, 0.4, 1e-9);
  read_all(1, 105000);
  assert_float_equal(rows[0].share, 2, 1e-9);
  read_all(1, 110000);
  assert_float_equal(rows[0].share, 4, 1e-9);
  neap_vitals_eject(&vitals[0], &care.eject, true, 110000);
  read_all(1, 140000); /* back after 30 s: grows again */
  assert_float_equal(rows[0].share, 0.4, 1e-9);
  read_all(1, 150000);
  assert_float_equal(rows[0].share, 4, 1e-9);
}

/* --- reports and dynamic weights */

static void test_a_report_shows_in_the_row_until_it_is_old(void **state) {
  (void)state;
  read_all(1, 1000);
  assert_int_equal(rows[0].load, -1);
  neap_vitals_report(&vitals[0], &(neap_report){.load = 3, .capacity = 4, .utilization = -1}, 1000);
  read_all(1, 1000);
  assert_int_equal(rows[0].load, 3);
  assert_int_equal(rows[0].capacity, 4);
  assert_float_equal(rows[0].load_ms, 1000, 0);
  assert_float_equal(vitals[0].utilization, 0.75, 1e-9);
  neap_vitals_report(&vitals[0], &(neap_report){.load = 2, .utilization = 0.1}, 2000);
  read_all(1, 6999);
  assert_int_equal(rows[0].load, 2);
  assert_int_equal(rows[0].capacity, 4); /* said once is enough */
  read_all(1, 7000);
  assert_int_equal(rows[0].load, -1);
}

/* A pool whose load goes by share: utilisation = its part of the load / its size, as reported `lag` seconds
 * ago, with noise. Runs for `seconds`; returns the largest utilisation / mean in the last fifth, and in
 * *swing the largest ratio of one factor in it. */
static double simulate(const double *sizes, int count, int lag, double noise, int seconds, double *swing) {
  neap_vitals *members[MEMBERS];
  int32_t weights[MEMBERS];
  double past[MEMBERS][64] = {{0}}, low[MEMBERS], high[MEMBERS], worst = 0, sizes_sum = 0;
  for (int i = 0; i < count; i++) {
    members[i] = &vitals[i], weights[i] = 1, low[i] = 1e9, high[i] = 0;
    sizes_sum += sizes[i];
  }
  for (int t = 0; t < seconds; t++) {
    double shares = 0, mean = 0;
    for (int i = 0; i < count; i++) shares += vitals[i].factor > 0 ? vitals[i].factor : 1;
    for (int i = 0; i < count; i++) {
      double factor = vitals[i].factor > 0 ? vitals[i].factor : 1;
      double truth = 0.6 * sizes_sum * factor / shares / sizes[i];
      mean += truth / count;
      past[i][t % 64] = truth * (1 + noise * (2 * neap_random_unit(&random_numbers) - 1));
      double said = past[i][(t < lag ? 0 : t - lag) % 64];
      neap_vitals_report(&vitals[i], &(neap_report){.load = -1, .utilization = said}, (uint64_t)t * 1000 + 1);
      if (t >= seconds * 4 / 5) low[i] = NEAP_MIN(low[i], factor), high[i] = NEAP_MAX(high[i], factor);
    }
    for (int i = 0; i < count && t >= seconds * 4 / 5; i++) {
      double factor = vitals[i].factor > 0 ? vitals[i].factor : 1;
      worst = NEAP_MAX(worst, 0.6 * sizes_sum * factor / shares / sizes[i] / mean);
    }
    neap_shares_adjust(members, weights, (size_t)count, (uint64_t)t * 1000 + 1);
  }
  *swing = 1;
  for (int i = 0; i < count; i++) *swing = NEAP_MAX(*swing, high[i] / low[i]);
  return worst;
}

static void test_shares_settle_where_all_are_equally_used(void **state) {
  (void)state;
  double swing, sizes[] = {1, 2, 4, 1};
  assert_true(simulate(sizes, 4, 0, 0, 120, &swing) < 1.1);
  assert_true(swing < 1.01);
}

static void test_late_and_noisy_reports_do_not_make_them_swing(void **state) {
  (void)state;
  double swing, sizes[] = {1, 2, 4, 1};
  assert_true(simulate(sizes, 4, 3, 0.1, 300, &swing) < 1.3);
  assert_true(swing < 1.5);
}

static void test_equal_backends_keep_equal_shares(void **state) {
  (void)state;
  double swing, sizes[] = {1, 1, 1, 1};
  assert_true(simulate(sizes, 4, 1, 0.04, 300, &swing) < 1.1);
}

static void test_who_stops_reporting_goes_back_to_its_weight(void **state) {
  (void)state;
  double swing, sizes[] = {1, 4};
  simulate(sizes, 2, 0, 0, 60, &swing);
  assert_true(vitals[1].factor > 1.3);
  neap_vitals *members[] = {&vitals[0], &vitals[1]};
  int32_t weights[] = {1, 1};
  for (uint64_t t = 0; t < 60; t++) neap_shares_adjust(members, weights, 2, 1000000 + t * 1000);
  assert_float_equal(vitals[0].factor, 1, 0.01);
  assert_float_equal(vitals[1].factor, 1, 0.01);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_the_first_verdict_decides_alone),
      TEST(test_rise_and_fall_want_verdicts_in_a_row),
      TEST(test_probes_are_faster_in_transition_and_when_down_and_never_in_step),
      TEST(test_expected_statuses_are_ranges),
      TEST(test_what_was_not_yet_probed_serves_only_where_nobody_is_known_to_be_well),
      TEST(test_in_panic_soft_evidence_is_ignored_and_hard_is_not),
      TEST(test_in_panic_who_gave_errors_in_a_row_is_left_alone_while_somebody_answers),
      TEST(test_in_panic_who_was_ejected_for_its_rate_serves),
      TEST(test_half_of_a_pool_is_no_panic),
      TEST(test_a_breaker_holds_in_panic),
      TEST(test_spare_backends_rest_while_the_first_are_well),
      TEST(test_a_backup_takes_over_and_gives_back),
      TEST(test_what_the_first_cannot_carry_flows_over),
      TEST(test_one_of_four_away_needs_no_overflow),
      TEST(test_where_nobody_of_any_priority_is_well_the_first_is_tried),
      TEST(test_errors_in_a_row_ask_for_ejection_and_good_ones_between_do_not),
      TEST(test_connections_that_break_together_count_once),
      TEST(test_each_time_it_is_out_twice_as_long_and_on_probation_after),
      TEST(test_a_long_time_without_ejection_is_to_its_credit),
      TEST(test_never_more_than_its_share_and_never_all),
      TEST(test_an_ejection_that_is_taken_back_leaves_no_trace),
      TEST(test_an_error_rate_counts_against_the_rest_of_the_pool),
      TEST(test_what_is_old_counts_less),
      TEST(test_a_breaker_opens_tries_and_closes),
      TEST(test_one_bad_trial_opens_it_again),
      TEST(test_trials_that_nobody_ended_are_tried_anew),
      TEST(test_a_breaker_opens_by_rate_within_a_window),
      TEST(test_a_share_grows_from_a_tenth),
      TEST(test_a_report_shows_in_the_row_until_it_is_old),
      TEST(test_shares_settle_where_all_are_equally_used),
      TEST(test_late_and_noisy_reports_do_not_make_them_swing),
      TEST(test_equal_backends_keep_equal_shares),
      TEST(test_who_stops_reporting_goes_back_to_its_weight),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
