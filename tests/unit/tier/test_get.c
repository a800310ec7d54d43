/* Lookups: the cascade downwards, promotion upwards, one lookup for all who ask, and what a dead tier costs.
 */
#include "rig.h"

static void test_memory_answers_at_once_and_nobody_is_asked(void **state) {
  (void)state;
  build("ss", NULL);
  told it;
  assert_int_equal(set_with(0, "k", "v", &(neap_tier_set_options){.tiers = NEAP_TIER_MEMORY}, &it), 0);
  assert_int_equal(get(0, "k", &it), 0);
  assert_string_equal(it.body, "v");
  assert_int_equal(it.tier, 0);
  assert_int_equal(it.ttl_ms, 5 * 60 * 1000);
  assert_int_equal(the.below[1].count, 0);
}

static void test_a_hit_below_goes_up_with_the_time_it_has_left(void **state) {
  (void)state;
  build("ss", NULL);
  told it;
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
  assert_int_equal(it.times, 0);
  answer_code(1, 0, NEAP_ENOTFOUND);
  answer_value(2, 0, "deep", 7, 40000);
  assert_int_equal(it.times, 1);
  assert_int_equal(it.code, 0);
  assert_int_equal(it.tier, 2);
  assert_string_equal(it.body, "deep");
  /* into the tier between */
  assert_int_equal(call_of(1, 1)->verb, NEAP_TIER_SET);
  assert_true(call_of(1, 1)->fill);
  assert_int_equal(call_of(1, 1)->object.ttl_ms, 40000);
  assert_int_equal(call_of(1, 1)->object.version, 7);
  assert_int_equal(call_of(1, 1)->object.meta.size, 1);
  answer_code(1, 1, 0);
  /* into memory */
  pass(39999);
  assert_int_equal(get(0, "k", &it), 0);
  assert_int_equal(it.ttl_ms, 1);
  assert_int_equal(it.version, 7);
  pass(1);
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING); /* past its time */
}

static void test_without_promotion_tiers_above_stay_as_they_are(void **state) {
  (void)state;
  build("ss", NULL);
  told it;
  assert_int_equal(get_with(0, "k", &(neap_tier_get_options){.no_promote = 1}, &it), NEAP_EPENDING);
  answer_code(1, 0, NEAP_ENOTFOUND);
  answer_value(2, 0, "deep", 7, 40000);
  assert_int_equal(it.code, 0);
  assert_int_equal(the.below[1].count, 1);
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
}

static void test_only_the_tiers_named_are_asked(void **state) {
  (void)state;
  build("ss", NULL);
  told it;
  assert_int_equal(get_with(0, "k", &(neap_tier_get_options){.tiers = 1 << 2 | NEAP_TIER_MEMORY}, &it),
                   NEAP_EPENDING);
  assert_int_equal(the.below[1].count, 0);
  answer_code(2, 0, NEAP_ENOTFOUND);
  assert_int_equal(it.code, NEAP_ENOTFOUND);
  assert_int_equal(get_with(0, "x", &(neap_tier_get_options){.tiers = NEAP_TIER_MEMORY}, &it),
                   NEAP_ENOTFOUND);
  assert_int_equal(get_with(0, "x", &(neap_tier_get_options){.tiers = 1 << 5}, &it), NEAP_EINVAL);
}

static void test_a_miss_and_a_failure_are_told_apart(void **state) {
  (void)state;
  build("ss", NULL);
  told it;
  get(0, "k", &it);
  answer_code(1, 0, NEAP_ENOTFOUND);
  answer_code(2, 0, NEAP_ENOTFOUND);
  assert_int_equal(it.code, NEAP_ENOTFOUND);
  get(0, "other", &it);
  answer_code(1, 1, NEAP_EIO);
  answer_code(2, 1, NEAP_ENOTFOUND);
  assert_int_equal(it.code, NEAP_EUNAVAIL);
  assert_int_equal(it.failed, 1 << 1);
}

static void test_a_failing_tier_is_passed_by_and_not_promoted_into(void **state) {
  (void)state;
  build("ss", NULL);
  told it;
  get(0, "k", &it);
  answer_code(1, 0, NEAP_EIO);
  answer_value(2, 0, "deep", 7, 40000);
  assert_int_equal(it.code, 0);
  assert_int_equal(it.failed, 1 << 1);
  assert_int_equal(the.below[1].count, 1);
}

static void test_a_miss_of_all_is_remembered_for_a_while(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  get(0, "k", &it);
  answer_code(1, 0, NEAP_ENOTFOUND);
  pass(4999);
  assert_int_equal(get(0, "k", &it), NEAP_ENOTFOUND);
  assert_int_equal(stats_of(0).negative_hits, 1);
  pass(1);
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
  answer_code(1, 1, NEAP_EIO); /* a failure is not remembered as a miss */
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
  answer_value(1, 2, "v", 1, 1000);
  assert_int_equal(get(0, "k", &it), 0);
}

static void test_remembered_misses_stay_in_their_budget(void **state) {
  (void)state;
  the.options.negative_memory = 64 << 10;
  build("s", NULL);
  neap_cache_stats before, after;
  neap_cache_stats_get(the.memory, &before);
  for (int i = 0; i < 5000; i++) {
    told it;
    char key[16];
    snprintf(key, sizeof key, "k%d", i);
    get(0, key, &it);
    answer_code(1, 0, NEAP_ENOTFOUND);
    the.below[1].count = 0;
  }
  neap_cache_stats_get(the.memory, &after);
  assert_int_equal(after.memory_entries, before.memory_entries);
}

/* --- one lookup for all */

static void test_all_who_ask_for_a_key_wait_for_one_lookup(void **state) {
  (void)state;
  build("ss", NULL);
  told a, b, c, other;
  get(0, "k", &a);
  get(0, "k", &b);
  get(1, "k", &c); /* another thread */
  get(0, "l", &other);
  assert_int_equal(the.below[1].count, 2);
  answer_code(1, 0, NEAP_ENOTFOUND);
  get(1, "k", &(told){0}); /* joins it in the second tier */
  assert_int_equal(the.below[2].count, 1);
  answer_value(2, 0, "v", 1, 1000);
  assert_int_equal(a.times, 1);
  assert_int_equal(b.times, 1);
  assert_int_equal(c.times, 0); /* is told on its own thread */
  settle_ports();
  assert_int_equal(c.times, 1);
  assert_string_equal(c.body, "v");
  assert_int_equal(a.shared + b.shared + c.shared, 2);
  assert_int_equal(other.times, 0);
}

static void test_each_waits_until_its_own_deadline(void **state) {
  (void)state;
  build("s", NULL);
  told a, b;
  get_with(0, "k", &(neap_tier_get_options){.deadline_ms = 100}, &a);
  get_with(1, "k", &(neap_tier_get_options){.deadline_ms = 300}, &b);
  pass(99);
  assert_int_equal(a.times, 0);
  pass(1);
  assert_int_equal(a.code, NEAP_ETIMEDOUT);
  assert_int_equal(b.times, 0);
  answer_value(1, 0, "v", 1, 1000);
  settle_ports();
  assert_int_equal(b.code, 0);
  assert_int_equal(a.times, 1);
}

static void test_a_lookup_goes_on_when_all_have_left(void **state) {
  (void)state;
  build("s", NULL);
  told a, b;
  get(0, "k", &a);
  get_with(1, "k", &(neap_tier_get_options){.deadline_ms = 10}, &b);
  neap_tier_cancel(&a.op);
  pass(10);
  assert_int_equal(b.code, NEAP_ETIMEDOUT);
  answer_value(1, 0, "v", 1, 1000);
  assert_int_equal(a.times, 0);
  assert_int_equal(get(0, "k", &a), 0);
}

/* Cancels the other from within its own answer. */
static void cancel_other(void *user, neap_tier_reply *reply) {
  told *other = user;
  assert_int_equal(reply->code, 0);
  neap_tier_cancel(&other->op);
}

static void test_who_is_told_may_cancel_others_of_the_same_lookup(void **state) {
  (void)state;
  build("s", NULL);
  told a;
  neap_tier_reply reply;
  get(0, "k", &a);
  assert_int_equal(neap_tiers_get(the.ports[0].port, neap_view_of("k"), NULL, cancel_other, &a, &reply, NULL),
                   NEAP_EPENDING);
  answer_value(1, 0, "v", 1, 1000); /* the last who came is told first */
  assert_int_equal(a.times, 0);
}

static void test_an_answer_on_its_way_to_another_thread_can_be_canceled(void **state) {
  (void)state;
  build("s", NULL);
  told a, b;
  get(0, "k", &a);
  get(1, "k", &b);
  answer_value(1, 0, "v", 1, 1000);
  neap_tier_cancel(&b.op);
  settle_ports();
  assert_int_equal(b.times, 0);
}

static void test_a_lookup_whose_port_goes_is_told_to_others(void **state) {
  (void)state;
  build("s", NULL);
  told a, b;
  get(0, "k", &a);
  get(1, "k", &b);
  neap_tiers_detach(&the.ports[0].port);
  settle_ports();
  assert_int_equal(a.times, 0);
  assert_int_equal(b.code, NEAP_ECANCELED);
  assert_int_equal(the.below[1].cancelled, 1);
}

static void test_lookups_are_bounded(void **state) {
  (void)state;
  the.options.lookups_max = 2;
  build("s", NULL);
  told a, b, c;
  get(0, "a", &a);
  get(0, "b", &b);
  assert_int_equal(get(0, "c", &c), NEAP_EBUSY);
  assert_int_equal(get(0, "a", &c), NEAP_EPENDING); /* joins */
  answer_code(1, 0, NEAP_ENOTFOUND);
  assert_int_equal(get(0, "c", &c), NEAP_EPENDING);
}

/* --- time limits */

static void test_a_tier_that_does_not_answer_is_passed_by_after_its_hard_timeout(void **state) {
  (void)state;
  build("ss", NULL);
  told it;
  get(0, "k", &it);
  pass(999);
  assert_int_equal(the.below[2].count, 0);
  pass(1);
  assert_int_equal(the.below[1].cancelled, 1);
  answer_value(2, 0, "v", 1, 1000);
  assert_int_equal(it.code, 0);
  assert_int_equal(stats_of(1).timeouts, 1);
  assert_int_equal(stats_of(1).errors, 1);
}

static void make_stale(const char *key) {
  told it;
  set_with(0, key, "old", &(neap_tier_set_options){.tiers = NEAP_TIER_MEMORY, .ttl_ms = 1000}, &it);
  pass(1000);
}

static void test_a_stale_copy_is_served_after_the_soft_timeout_and_the_lookup_goes_on(void **state) {
  (void)state;
  build("s", NULL);
  told a, b, late, none;
  make_stale("k");
  assert_int_equal(get(0, "k", &a), NEAP_EPENDING);
  assert_int_equal(get(1, "k", &b), NEAP_EPENDING);
  assert_int_equal(get_with(0, "k", &(neap_tier_get_options){.no_stale = 1}, &none), NEAP_EPENDING);
  pass(50);
  assert_int_equal(a.times, 1);
  assert_int_equal(a.stale, 1);
  assert_int_equal(a.ttl_ms, 0);
  assert_string_equal(a.body, "old");
  assert_int_equal(b.stale, 1);
  assert_int_equal(none.times, 0);
  assert_int_equal(get(0, "k", &late), NEAP_EPENDING); /* who comes after waits no second time */
  settle_ports();
  assert_int_equal(late.stale, 1);
  answer_value(1, 0, "new", UINT64_C(1) << 60, 1000);
  assert_string_equal(none.body, "new");
  assert_int_equal(get(0, "k", &a), 0);
  assert_string_equal(a.body, "new");
}

static void test_a_stale_copy_is_served_instead_of_an_error_and_not_asked_again_at_once(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  make_stale("k");
  get(0, "k", &it);
  answer_code(1, 0, NEAP_EIO);
  assert_int_equal(it.code, 0);
  assert_int_equal(it.stale, 1);
  assert_int_equal(it.failed, 1 << 1);
  assert_int_equal(get(0, "k", &it), 0); /* throttled */
  assert_int_equal(it.stale, 1);
  pass(29999);
  assert_int_equal(get(0, "k", &it), 0);
  pass(1);
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
  answer_value(1, 1, "new", UINT64_C(1) << 60, 1000);
  assert_string_equal(it.body, "new");
}

static void test_a_copy_is_kept_for_fail_safe_max_and_no_longer(void **state) {
  (void)state;
  the.options.fail_safe_max_ms = 5000;
  build("s", NULL);
  told it;
  make_stale("k");
  pass(4999);
  get(0, "k", &it);
  answer_code(1, 0, NEAP_EIO);
  assert_int_equal(it.stale, 1);
  pass(1);
  get(0, "k", &it);
  answer_code(1, 1, NEAP_EIO);
  assert_int_equal(it.code, NEAP_EUNAVAIL);
}

static void test_a_miss_of_all_shows_the_stale_copy_beside_it(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  make_stale("k");
  get(0, "k", &it);
  answer_code(1, 0, NEAP_ENOTFOUND);
  assert_int_equal(it.code, NEAP_ENOTFOUND);
  assert_int_equal(it.stale, 1);
  assert_string_equal(it.body, "old");
}

/* --- the breaker */

static void trip(int tier) {
  for (int i = 0; i < 20; i++) {
    told it;
    char key[16];
    snprintf(key, sizeof key, "trip%d", i);
    get(0, key, &it);
    answer_code(tier, the.below[tier].count - 1, NEAP_EIO);
  }
  assert_int_equal(stats_of(tier).breaker, NEAP_TIER_BREAKER_OPEN);
}

static void test_memory_hits_and_misses_do_not_wait_for_a_tier_whose_breaker_is_open(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  trip(1);
  int calls = the.below[1].count;
  set_with(0, "k", "v", &(neap_tier_set_options){.tiers = NEAP_TIER_MEMORY}, &it);
  assert_int_equal(get(0, "k", &it), 0);
  assert_int_equal(get(0, "other", &it), NEAP_EPENDING);
  assert_int_equal(it.times, 0); /* not from inside the call */
  settle_ports();
  assert_int_equal(it.code, NEAP_EUNAVAIL);
  assert_int_equal(the.below[1].count, calls);
  assert_int_equal(stats_of(1).skipped, 1);
}

static void test_the_breaker_lets_one_try_and_recovers(void **state) {
  (void)state;
  build("s", NULL);
  told a, b;
  trip(1);
  int calls = the.below[1].count;
  pass(2000);
  get(0, "a", &a);
  get(0, "b", &b);
  settle_ports();
  assert_int_equal(the.below[1].count, calls + 1);
  assert_int_equal(b.code, NEAP_EUNAVAIL);
  answer_code(1, calls, NEAP_EIO); /* open for twice as long */
  pass(3999);
  get(0, "b", &b);
  settle_ports();
  assert_int_equal(b.code, NEAP_EUNAVAIL);
  pass(1);
  get(0, "b", &b);
  answer_code(1, calls + 1, NEAP_ENOTFOUND);
  assert_int_equal(b.code, NEAP_ENOTFOUND);
  assert_int_equal(stats_of(1).breaker, NEAP_TIER_BREAKER_CLOSED);
  assert_int_equal(stats_of(1).breaker_opened, 2);
}

static void test_a_tier_that_cannot_start_counts_as_failed(void **state) {
  (void)state;
  build("ss", NULL);
  the.below[1].refuse = NEAP_EIO;
  told it;
  get(0, "k", &it);
  answer_value(2, 0, "v", 1, 1000);
  assert_int_equal(it.code, 0);
  assert_int_equal(stats_of(1).errors, 1);
}

/* --- early refresh and jitter */

static void test_one_caller_is_drawn_to_refresh_early(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  int drawn = 0, early = 0;
  set_with(0, "k", "v",
           &(neap_tier_set_options){.tiers = NEAP_TIER_MEMORY, .ttl_ms = 10000, .cost_us = 100000}, &it);
  for (int i = 0; i < 9000; i++) { /* 90 costs before the end: nobody */
    get(0, "k", &it);
    early += it.refresh;
    if (i % 9 == 0) pass(1);
  }
  for (int i = 0; i < 8990; i++) pass(1);
  for (int i = 0; i < 100; i++) { /* in the last cost's time many are drawn, but one at a time */
    get(0, "k", &it);
    drawn += it.refresh;
  }
  assert_int_equal(early, 0);
  assert_int_equal(drawn, 1);
}

static void test_a_tier_that_makes_is_asked_early_in_the_background(void **state) {
  (void)state;
  build("sm", NULL);
  told it;
  get(0, "k", &it);
  answer_code(1, 0, NEAP_ENOTFOUND);
  answer(2, 0, (neap_tier_answer){.object = {.ttl_ms = 1000, .cost_us = 900000, .body = {"made", 4}}});
  answer_code(1, 1, 0);
  pass(990);
  for (int i = 0; i < 100 && the.below[2].count == 1; i++) assert_int_equal(get(0, "k", &it), 0);
  assert_int_equal(the.below[2].count, 2);
  assert_int_equal(the.below[1].count, 2); /* the store above was not asked */
  assert_int_equal(get(0, "k", &it), 0);
  answer(2, 1, (neap_tier_answer){.object = {.ttl_ms = 1000, .body = {"anew", 4}}});
  assert_int_equal(get(0, "k", &it), 0);
  assert_string_equal(it.body, "anew");
  assert_int_equal(call_of(1, 2)->verb, NEAP_TIER_SET); /* but gets it */
}

static void test_times_to_live_are_shortened_by_up_to_the_jitter(void **state) {
  (void)state;
  the.options.jitter_percent = 20;
  build("s", NULL);
  uint64_t least = UINT64_MAX, most = 0;
  for (int i = 0; i < 200; i++) {
    told it;
    set_with(0, "k", "v", &(neap_tier_set_options){.tiers = NEAP_TIER_MEMORY, .ttl_ms = 1000}, &it);
    get(0, "k", &it);
    least = NEAP_MIN(least, it.ttl_ms);
    most = NEAP_MAX(most, it.ttl_ms);
  }
  assert_in_range(least, 800, 820);
  assert_in_range(most, 980, 1000);
}

static void test_hostile_keys_are_refused_or_are_keys(void **state) {
  (void)state;
  build("s", NULL);
  static char big[70000];
  memset(big, 'x', sizeof big);
  neap_tier_reply reply;
  told it;
  neap_tiers_port *port = the.ports[0].port;
  assert_int_equal(neap_tiers_get(port, (neap_view){"", 0}, NULL, on_told, &it, &reply, NULL), NEAP_EKEY);
  assert_int_equal(neap_tiers_get(port, (neap_view){big, 65536}, NULL, on_told, &it, &reply, NULL),
                   NEAP_EKEY);
  it = (told){0};
  assert_int_equal(neap_tiers_get(port, (neap_view){big, 65535}, NULL, on_told, &it, &reply, NULL),
                   NEAP_EPENDING);
  answer_value(1, 0, "v", 1, 1000);
  assert_int_equal(it.code, 0);
  const neap_view nul = {"a\0b\n/../", 8};
  it = (told){0};
  assert_int_equal(neap_tiers_get(port, nul, NULL, on_told, &it, &reply, NULL), NEAP_EPENDING);
  assert_int_equal(call_of(1, 1)->key.size, 8);
  assert_memory_equal(call_of(1, 1)->key.ptr, nul.ptr, 8);
  answer_code(1, 1, NEAP_ENOTFOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_memory_answers_at_once_and_nobody_is_asked),
      TEST(test_a_hit_below_goes_up_with_the_time_it_has_left),
      TEST(test_without_promotion_tiers_above_stay_as_they_are),
      TEST(test_only_the_tiers_named_are_asked),
      TEST(test_a_miss_and_a_failure_are_told_apart),
      TEST(test_a_failing_tier_is_passed_by_and_not_promoted_into),
      TEST(test_a_miss_of_all_is_remembered_for_a_while),
      TEST(test_remembered_misses_stay_in_their_budget),
      TEST(test_all_who_ask_for_a_key_wait_for_one_lookup),
      TEST(test_each_waits_until_its_own_deadline),
      TEST(test_a_lookup_goes_on_when_all_have_left),
      TEST(test_who_is_told_may_cancel_others_of_the_same_lookup),
      TEST(test_an_answer_on_its_way_to_another_thread_can_be_canceled),
      TEST(test_a_lookup_whose_port_goes_is_told_to_others),
      TEST(test_lookups_are_bounded),
      TEST(test_a_tier_that_does_not_answer_is_passed_by_after_its_hard_timeout),
      TEST(test_a_stale_copy_is_served_after_the_soft_timeout_and_the_lookup_goes_on),
      TEST(test_a_stale_copy_is_served_instead_of_an_error_and_not_asked_again_at_once),
      TEST(test_a_copy_is_kept_for_fail_safe_max_and_no_longer),
      TEST(test_a_miss_of_all_shows_the_stale_copy_beside_it),
      TEST(test_memory_hits_and_misses_do_not_wait_for_a_tier_whose_breaker_is_open),
      TEST(test_the_breaker_lets_one_try_and_recovers),
      TEST(test_a_tier_that_cannot_start_counts_as_failed),
      TEST(test_one_caller_is_drawn_to_refresh_early),
      TEST(test_a_tier_that_makes_is_asked_early_in_the_background),
      TEST(test_times_to_live_are_shortened_by_up_to_the_jitter),
      TEST(test_hostile_keys_are_refused_or_are_keys),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
