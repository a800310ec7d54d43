/* Writes: through, behind, around; what a tier does not take waits; deletes and clears reach everything. */
#include "rig.h"

static void test_through_is_told_when_every_tier_has_it(void **state) {
  (void)state;
  build("ss", NULL);
  told it, see;
  const uint64_t ttls[NEAP_TIERS_MAX] = {0, 7000, 0};
  assert_int_equal(set_with(0, "k", "v", &(neap_tier_set_options){.ttl_ms = 3000, .tier_ttl_ms = ttls}, &it),
                   NEAP_EPENDING);
  assert_int_equal(call_of(1, 0)->object.ttl_ms, 7000);
  assert_int_equal(call_of(2, 0)->object.ttl_ms, 3000);
  assert_string_equal("k", "k");
  assert_int_equal(get(0, "k", &see), 0);
  assert_int_equal(see.ttl_ms, 3000);
  answer_code(2, 0, 0);
  assert_int_equal(it.times, 0);
  answer_code(1, 0, 0);
  assert_int_equal(it.times, 1);
  assert_int_equal(it.code, 0);
  assert_int_equal(it.failed, 0);
  assert_true(it.version > 0);
  assert_int_equal(it.version, see.version);
}

static void test_a_set_without_a_time_takes_the_default_of_each_tier(void **state) {
  (void)state;
  the.options.default_ttl_ms = 60000;
  build("s", &(neap_tier_options){.default_ttl_ms = 90000});
  told it;
  set(0, "k", "v", &it);
  assert_int_equal(call_of(1, 0)->object.ttl_ms, 90000);
  get(0, "k", &it);
  assert_int_equal(it.ttl_ms, 60000);
}

static void test_the_tier_that_gives_out_versions_is_written_first(void **state) {
  (void)state;
  build("sv", NULL);
  told it, see;
  set(0, "k", "v", &it);
  assert_int_equal(the.below[1].count, 0);
  answer(2, 0, (neap_tier_answer){.object.version = 99});
  assert_int_equal(call_of(1, 0)->object.version, 99);
  answer_code(1, 0, 0);
  assert_int_equal(it.version, 99);
  get(0, "k", &see);
  assert_int_equal(see.version, 99);
}

static void test_around_leaves_memory_without_it(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  set_with(0, "k", "old", &(neap_tier_set_options){.tiers = NEAP_TIER_MEMORY}, &it);
  set_with(0, "k", "v", &(neap_tier_set_options){.mode = NEAP_WRITE_AROUND}, &it);
  answer_code(1, 0, 0);
  assert_int_equal(it.code, 0);
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
  answer_value(1, 1, "v", UINT64_C(1) << 60, 1000);
  assert_string_equal(it.body, "v");
}

static void test_a_write_that_names_lower_tiers_only_leaves_nothing_old_above(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  set_with(0, "k", "old", &(neap_tier_set_options){.tiers = NEAP_TIER_MEMORY}, &it);
  set_with(0, "k", "v", &(neap_tier_set_options){.tiers = 1 << 1}, &it);
  answer_code(1, 0, 0);
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
}

/* --- behind */

static const neap_tier_set_options behind = {.mode = NEAP_WRITE_BEHIND};

static void test_behind_is_done_at_once_and_the_last_write_of_a_key_goes_out(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  assert_int_equal(set_with(0, "k", "one", &behind, &it), 0);
  assert_int_equal(it.queued, 1 << 1);
  assert_int_equal(set_with(0, "k", "two", &behind, &it), 0);
  assert_int_equal(set_with(0, "l", "other", &behind, &it), 0);
  assert_int_equal(the.below[1].count, 0);
  assert_int_equal(get(0, "k", &it), 0);
  assert_string_equal(it.body, "two");
  pass(20);
  assert_int_equal(the.below[1].count, 2);
  assert_memory_equal(call_of(1, 0)->object.body.ptr, "two", 3);
  assert_int_equal(stats_of(1).coalesced, 1);
  assert_int_equal(stats_of(1).waiting, 2);
  answer_code(1, 0, 0);
  answer_code(1, 1, 0);
  assert_int_equal(stats_of(1).waiting, 0);
  assert_int_equal(stats_of(1).replayed, 2);
}

static void test_what_waits_is_the_answer_of_its_tier(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  set_with(0, "k", "v", &behind, &it);
  neap_cache_clear(the.memory); /* as if evicted */
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
  settle_ports();
  assert_int_equal(it.code, 0);
  assert_string_equal(it.body, "v");
  assert_int_equal(the.below[1].count, 0);
}

static void test_a_write_during_the_sending_goes_out_after_it(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  set_with(0, "k", "one", &behind, &it);
  pass(20);
  set_with(0, "k", "two", &behind, &it);
  set(0, "k", "three", &it); /* through: waits its turn */
  assert_int_equal(it.times, 1);
  assert_int_equal(it.code, 0);
  assert_int_equal(it.queued, 1 << 1);
  assert_int_equal(the.below[1].count, 1);
  answer_code(1, 0, 0);
  pass(2000);
  assert_int_equal(the.below[1].count, 2);
  assert_memory_equal(call_of(1, 1)->object.body.ptr, "three", 5);
  answer_code(1, 1, 0);
  assert_int_equal(stats_of(1).waiting, 0);
}

static void test_a_full_queue_makes_behind_wait(void **state) {
  (void)state;
  build("s", &(neap_tier_options){.recovery_max = 2});
  told it;
  assert_int_equal(set_with(0, "a", "v", &behind, &it), 0);
  assert_int_equal(set_with(0, "b", "v", &behind, &it), 0);
  assert_int_equal(set_with(0, "c", "v", &behind, &it), NEAP_EPENDING);
  answer_code(1, 0, 0);
  assert_int_equal(it.code, 0);
  assert_int_equal(it.queued, 0);
}

static void test_a_flush_sends_now_and_tells_when_nothing_waits(void **state) {
  (void)state;
  build("s", &(neap_tier_options){.behind_delay_ms = 60000});
  told it, done = {0};
  for (int i = 0; i < 40; i++) {
    char key[16];
    snprintf(key, sizeof key, "k%d", i);
    set_with(0, key, "v", &behind, &it);
  }
  assert_int_equal(neap_tiers_flush(the.ports[0].port, 5000, on_told, &done), NEAP_EPENDING);
  pass(0);
  assert_int_equal(the.below[1].count, 32); /* so many at a time */
  for (int i = 0; i < 40; i++) {
    assert_int_equal(done.times, 0);
    answer_code(1, i, 0);
    pass(0);
  }
  assert_int_equal(done.times, 1);
  assert_int_equal(done.code, 0);
}

static void test_a_flush_ends_at_its_limit_and_says_who_has_not_got_all(void **state) {
  (void)state;
  build("ss", NULL);
  told it, done = {0};
  set_with(0, "k", "v", &(neap_tier_set_options){.mode = NEAP_WRITE_BEHIND, .tiers = 1 | 1 << 2}, &it);
  neap_tiers_flush(the.ports[0].port, 500, on_told, &done);
  pass(0);
  answer_code(2, 0, NEAP_EIO);
  pass(499);
  assert_int_equal(done.times, 0);
  assert_int_equal(the.below[2].count, 1); /* not again and again */
  pass(1);
  assert_int_equal(done.code, NEAP_ETIMEDOUT);
  assert_int_equal(done.queued, 1 << 2);
}

static void test_writes_that_wait_go_out_by_another_port_when_theirs_goes(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  set_with(0, "k", "v", &behind, &it);
  neap_tiers_detach(&the.ports[0].port);
  pass(20);
  assert_int_equal(the.below[1].count, 1);
  answer_code(1, 0, 0);
}

/* --- failures and recovery */

static void test_a_failed_write_is_repeated_until_it_is_done(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  set_with(0, "k", "v", &(neap_tier_set_options){.ttl_ms = 60000}, &it);
  answer_code(1, 0, NEAP_EIO);
  assert_int_equal(it.code, 0);
  assert_int_equal(it.failed, 1 << 1);
  assert_int_equal(it.queued, 1 << 1);
  assert_int_equal(get(0, "k", &it), 0); /* memory has it */
  pass(2000);
  assert_true(call_of(1, 1)->replay);
  assert_int_equal(call_of(1, 1)->object.ttl_ms, 58000); /* what is left */
  answer_code(1, 1, NEAP_EIO);
  pass(2000);
  answer_code(1, 2, 0);
  pass(10000);
  assert_int_equal(the.below[1].count, 3);
}

static void test_a_failed_write_is_given_up_when_its_time_is_over(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  set_with(0, "k", "v", &(neap_tier_set_options){.ttl_ms = 1500}, &it);
  answer_code(1, 0, NEAP_EIO);
  pass(10000);
  assert_int_equal(the.below[1].count, 1);
  assert_int_equal(stats_of(1).dropped, 1);
}

static void test_deletes_are_repeated_before_sets(void **state) {
  (void)state;
  build("s", NULL);
  told a, b;
  set(0, "k", "v", &a);
  delete_key(0, "d", &b);
  answer_code(1, 0, NEAP_EIO);
  answer_code(1, 1, NEAP_EIO);
  pass(2000);
  assert_int_equal(call_of(1, 2)->verb, NEAP_TIER_DELETE);
  assert_int_equal(call_of(1, 3)->verb, NEAP_TIER_SET);
}

static void test_a_newer_write_takes_the_place_of_the_failed_one(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  set(0, "k", "one", &it);
  answer_code(1, 0, NEAP_EIO);
  set(0, "k", "two", &it);
  answer_code(1, 1, 0);
  pass(10000);
  assert_int_equal(the.below[1].count, 2);
  assert_int_equal(stats_of(1).waiting, 0);
}

static void test_what_waits_stays_the_answer_until_a_newer_write_is_taken(void **state) {
  (void)state;
  build("v", NULL);
  told it, see;
  set(0, "k", "one", &it);
  answer_code(1, 0, NEAP_EIO);
  set(0, "k", "two", &it);
  assert_int_equal(get(0, "k", &see), NEAP_EPENDING);
  settle_ports();
  assert_string_equal(see.body, "one");
  pass(500);
  answer(1, 1, (neap_tier_answer){.object.version = UINT64_C(1) << 50});
  pass(10000);
  assert_int_equal(the.below[1].count, 2); /* the first is not sent any more */
  assert_int_equal(get(0, "k", &see), 0);
  assert_string_equal(see.body, "two");
}

static void test_what_waits_goes_out_when_the_newer_write_fails_for_good(void **state) {
  (void)state;
  build("v", NULL);
  told it;
  set(0, "k", "one", &it);
  answer_code(1, 0, NEAP_EIO);
  set_with(0, "k", "two", &(neap_tier_set_options){.consistency = NEAP_CONSISTENCY_STRONG}, &it);
  answer_code(1, 1, NEAP_EIO);
  assert_int_equal(it.code, NEAP_EUNAVAIL);
  pass(2000);
  assert_memory_equal(call_of(1, 2)->object.body.ptr, "one", 3);
}

static void test_a_tier_that_missed_too_much_is_cleared_when_it_is_back(void **state) {
  (void)state;
  build("s", &(neap_tier_options){.recovery_max = 1});
  told it;
  delete_key(0, "a", &it);
  answer_code(1, 0, NEAP_EIO);
  delete_key(0, "b", &it);
  answer_code(1, 1, NEAP_EIO);
  assert_int_equal(it.code, NEAP_EUNAVAIL);
  assert_int_equal(it.queued, 0);
  pass(2000);
  assert_int_equal(the.below[1].count, 3); /* nothing else before it */
  assert_int_equal(call_of(1, 2)->verb, NEAP_TIER_CLEAR);
  answer_code(1, 2, 0);
  pass(0);
  assert_int_equal(call_of(1, 3)->verb, NEAP_TIER_DELETE);
  answer_code(1, 3, 0);
  assert_int_equal(stats_of(1).waiting, 0);
}

static void test_writes_wait_while_the_breaker_is_open_and_the_next_try_recovers(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  for (int i = 0; i < 20; i++) {
    get(0, "x", &it);
    answer_code(1, i, NEAP_EIO);
  }
  assert_int_equal(set(0, "k", "v", &it), 0); /* nobody to wait for */
  assert_int_equal(it.queued, 1 << 1);
  pass(1999);
  assert_int_equal(the.below[1].count, 20);
  pass(200);
  assert_int_equal(the.below[1].count, 21);
  answer_code(1, 20, 0);
  assert_int_equal(stats_of(1).breaker, NEAP_TIER_BREAKER_CLOSED);
}

static void test_a_write_without_an_answer_is_repeated_and_the_caller_told_in_time(void **state) {
  (void)state;
  build("s", NULL);
  told a, b;
  set_with(0, "k", "v", &(neap_tier_set_options){.deadline_ms = 100}, &a);
  set(0, "l", "v", &b);
  pass(100);
  assert_int_equal(a.code, NEAP_EUNKNOWN);
  pass(900);
  assert_int_equal(b.code, 0);
  assert_int_equal(b.queued, 1 << 1);
  assert_int_equal(a.times, 1);
  assert_int_equal(stats_of(1).waiting, 2);
}

static void test_a_canceled_write_is_not_told_and_still_done(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  set(0, "k", "v", &it);
  neap_tier_cancel(&it.op);
  answer_code(1, 0, 0);
  assert_int_equal(it.times, 0);
  assert_int_equal(stats_of(1).sets, 1);
}

/* --- delete and clear */

static void test_a_delete_reaches_every_tier_and_late_copies_do_not_come_back(void **state) {
  (void)state;
  build("ss", NULL);
  told look, it;
  set_with(0, "k", "old", &(neap_tier_set_options){.tiers = NEAP_TIER_MEMORY, .ttl_ms = 100}, &it);
  uint64_t old = it.version;
  pass(100);
  get(0, "k", &look);
  delete_key(0, "k", &it);
  answer_code(1, 1, 0);
  answer_code(2, 0, 0);
  assert_int_equal(it.code, 0);
  answer_value(1, 0, "old", old, 60000); /* sent before the delete */
  assert_int_equal(look.code, 0);        /* whoever asked before may see it */
  assert_int_equal(get(0, "k", &it), NEAP_ENOTFOUND);
  pass(6000); /* the miss is forgotten, the delete is not */
  get(0, "k", &it);
  answer_code(1, 2, NEAP_ENOTFOUND);
  answer_value(2, 1, "old", old, 60000);
  assert_int_equal(get(0, "k", &look), NEAP_EPENDING); /* not in memory */
}

static void test_a_clear_empties_all_and_what_was_under_way_is_not_kept(void **state) {
  (void)state;
  build("ss", NULL);
  told look, it, wait;
  set_with(0, "k", "v", &(neap_tier_set_options){.tiers = NEAP_TIER_MEMORY}, &it);
  set_with(0, "w", "v", &behind, &wait);
  get(0, "other", &look);
  neap_tier_reply reply;
  it = (told){0};
  assert_int_equal(neap_tiers_clear(the.ports[0].port, NULL, on_told, &it, &reply, NULL), NEAP_EPENDING);
  assert_int_equal(call_of(1, 1)->verb, NEAP_TIER_CLEAR);
  answer_code(1, 1, 0);
  answer_code(2, 0, 0);
  assert_int_equal(it.code, 0);
  answer_value(1, 0, "before", 5, 60000);
  assert_int_equal(look.code, 0);
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING);
  assert_int_equal(get(0, "other", &it), NEAP_EPENDING);
  pass(1000);
  assert_int_equal(stats_of(1).waiting, 0);
}

static void test_a_clear_that_fails_is_repeated(void **state) {
  (void)state;
  build("s", NULL);
  told it = {0};
  neap_tiers_clear(the.ports[0].port, NULL, on_told, &it, NULL, NULL);
  answer_code(1, 0, NEAP_EIO);
  assert_int_equal(it.code, 0);
  assert_int_equal(it.queued, 1 << 1);
  pass(2000);
  assert_int_equal(call_of(1, 1)->verb, NEAP_TIER_CLEAR);
  answer_code(1, 1, 0);
  assert_int_equal(stats_of(1).waiting, 0);
}

static void test_what_memory_does_not_take_goes_below_alone(void **state) {
  (void)state;
  build("s", NULL);
  static char big[300 << 10]; /* more than a twentieth of memory */
  told it = {0};
  set_with(0, "k", "old", &(neap_tier_set_options){.tiers = NEAP_TIER_MEMORY}, &it);
  it = (told){0};
  assert_int_equal(neap_tiers_set(the.ports[0].port, neap_view_of("k"), (neap_view){big, sizeof big}, NULL,
                                  on_told, &it, NULL, NULL),
                   NEAP_EPENDING);
  answer_code(1, 0, 0);
  assert_int_equal(it.code, 0);
  assert_int_equal(stats_of(0).rejected, 1);
  assert_int_equal(get(0, "k", &it), NEAP_EPENDING); /* and not the old one */
}

static void test_wrong_arguments_are_refused(void **state) {
  (void)state;
  build("s", NULL);
  told it;
  static char big[61 << 10];
  assert_int_equal(set_with(0, "", "v", NULL, &it), NEAP_EKEY);
  assert_int_equal(set_with(0, "k", "v", &(neap_tier_set_options){.tiers = 1 << 7}, &it), NEAP_EINVAL);
  assert_int_equal(set_with(0, "k", "v", &(neap_tier_set_options){.mode = 9}, &it), NEAP_EINVAL);
  assert_int_equal(set_with(0, "k", "v", &(neap_tier_set_options){.meta = {big, sizeof big}}, &it),
                   NEAP_EINVAL);
  assert_int_equal(
      set_with(0, "k", "v", &(neap_tier_set_options){.consistency = NEAP_CONSISTENCY_STRONG}, &it),
      NEAP_EINVAL);
  assert_int_equal(the.below[1].count, 0);
}

static void test_options_out_of_range_are_said(void **state) {
  (void)state;
  neap_err err;
  neap_tiers *tiers = NULL;
  assert_int_equal(neap_tiers_create_with(the.registry, &the.host, &the.options, &tiers, &err), NEAP_EINVAL);
  assert_non_null(strstr(err.text, "memory"));
  the.options.memory = the.memory;
  the.options.jitter_percent = 51;
  assert_int_equal(neap_tiers_create_with(the.registry, &the.host, &the.options, &tiers, &err), NEAP_EINVAL);
  assert_non_null(strstr(err.text, "jitter_percent is 51"));
  the.options.jitter_percent = 0;
  build("v", NULL);
  assert_int_equal(neap_tiers_add(the.tiers, &the.below[2].vt, &the.below[2], NULL, &err), NEAP_ESTATE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_through_is_told_when_every_tier_has_it),
      TEST(test_a_set_without_a_time_takes_the_default_of_each_tier),
      TEST(test_the_tier_that_gives_out_versions_is_written_first),
      TEST(test_around_leaves_memory_without_it),
      TEST(test_a_write_that_names_lower_tiers_only_leaves_nothing_old_above),
      TEST(test_behind_is_done_at_once_and_the_last_write_of_a_key_goes_out),
      TEST(test_what_waits_is_the_answer_of_its_tier),
      TEST(test_a_write_during_the_sending_goes_out_after_it),
      TEST(test_a_full_queue_makes_behind_wait),
      TEST(test_a_flush_sends_now_and_tells_when_nothing_waits),
      TEST(test_a_flush_ends_at_its_limit_and_says_who_has_not_got_all),
      TEST(test_writes_that_wait_go_out_by_another_port_when_theirs_goes),
      TEST(test_a_failed_write_is_repeated_until_it_is_done),
      TEST(test_a_failed_write_is_given_up_when_its_time_is_over),
      TEST(test_deletes_are_repeated_before_sets),
      TEST(test_a_newer_write_takes_the_place_of_the_failed_one),
      TEST(test_what_waits_stays_the_answer_until_a_newer_write_is_taken),
      TEST(test_what_waits_goes_out_when_the_newer_write_fails_for_good),
      TEST(test_a_tier_that_missed_too_much_is_cleared_when_it_is_back),
      TEST(test_writes_wait_while_the_breaker_is_open_and_the_next_try_recovers),
      TEST(test_a_write_without_an_answer_is_repeated_and_the_caller_told_in_time),
      TEST(test_a_canceled_write_is_not_told_and_still_done),
      TEST(test_a_delete_reaches_every_tier_and_late_copies_do_not_come_back),
      TEST(test_a_clear_empties_all_and_what_was_under_way_is_not_kept),
      TEST(test_a_clear_that_fails_is_repeated),
      TEST(test_what_memory_does_not_take_goes_below_alone),
      TEST(test_wrong_arguments_are_refused),
      TEST(test_options_out_of_range_are_said),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
