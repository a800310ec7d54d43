/* A policy that takes over from another: learned state goes over where name, version and columns agree, else
 * the live entries are replayed. */
#include "unit.h"

#include <strings.h>

#include "world.h"

enum { ENTRIES = 400 };

static world w;

static void fill(void) {
  for (int32_t slot = NEAP_SLOT_FIRST; slot < w.slot_end; slot++)
    if (!w.entries[slot].live) world_insert(&w, slot, 1, slot * 7.0);
}

static void use(neap_policy *policy, int rounds) {
  neap_random random = {5};
  for (int i = 0; i < rounds; i++) {
    neap_event hit =
        world_event(NEAP_EVENT_HIT, NEAP_SLOT_FIRST + (int32_t)neap_random_below(&random, 100), 0, 0);
    neap_policy_observe(policy, &hit, 1);
  }
}

/* What `spec` would evict next, in order, after a life of `fill` and `use`; `handed` times handed over
 * before. */
static uint64_t order_after(const char *spec, const char *next, int handed) {
  world_init(&w, ENTRIES);
  world_open(&w, spec, NULL);
  fill();
  use(w.policy, 300);
  assert_true(world_ask(&w, 8, 1) > 0);
  fill();
  for (int i = 0; i < handed; i++) {
    neap_policy *old = w.policy;
    w.policy = NULL;
    world_open(&w, next, NULL);
    neap_policy_adopt(w.policy, old);
    neap_policy_close(&old);
  }
  uint64_t digest = 0;
  while (w.live > 0) {
    assert_true(world_ask(&w, 4, 0) > 0);
    for (int i = 0; i < w.board.victim_count; i++) digest = digest * 31 + (uint64_t)w.board.victims[i];
  }
  assert_int_equal(w.samples, 0);
  assert_string_equal(w.log, "");
  world_fini(&w);
  return digest;
}

static void test_the_same_policy_goes_on_as_if_nothing_had_happened(void **state) {
  (void)state;
  static const char *const policies[] = {"native:fifo",   "native:lru", "native:lfu", "native:sieve",
                                         "native:s3fifo", "fifo",       "lifo",       "lru",
                                         "lfu",           "ttl",        "sieve",      "s3fifo"};
  for (size_t i = 0; i < NEAP_COUNT_OF(policies); i++) {
    uint64_t alone = order_after(policies[i], policies[i], 0);
    if (order_after(policies[i], policies[i], 1) != alone ||
        order_after(policies[i], policies[i], 3) != alone)
      fail_msg("%s decides otherwise after a reload", policies[i]);
  }
}

static void test_another_policy_gets_the_live_entries(void **state) {
  (void)state;
  static const char *const policies[] = {"native:lru", "native:sieve", "lru", "lfu",
                                         "sieve",      "s3fifo",       "ttl"};
  for (size_t i = 0; i < NEAP_COUNT_OF(policies); i++)
    for (size_t j = 0; j < NEAP_COUNT_OF(policies); j++)
      if (i != j) assert_true(order_after(policies[i], policies[j], 1) != 0);
}

static void test_a_wrong_successor_leaves_the_old_one_as_it_was(void **state) {
  (void)state;
  world_init(&w, ENTRIES);
  world_open(&w, "sieve", NULL);
  fill();
  neap_policy *old = w.policy, *none = NULL;
  neap_err err;
  const neap_param wrong = {.name = "smal", .number = 0.2}, late = {.name = "small", .number = 5};
  assert_int_equal(neap_policy_open(w.registry, NEAP_EVICT, "s3fifo", NULL, &w.env, &wrong, 1, &none, &err),
                   NEAP_EINVAL);
  assert_string_equal(err.text, "s3fifo: unknown parameter 'smal', did you mean 'small'?");
  assert_int_equal(neap_policy_open(w.registry, NEAP_EVICT, "s3fifo", NULL, &w.env, &late, 1, &none, &err),
                   NEAP_EINVAL);
  assert_string_equal(err.text, "s3fifo: 'small' must be a number from 0.001 to 0.9 (share)");
  assert_int_equal(neap_policy_open(w.registry, NEAP_EVICT, "siev", NULL, &w.env, NULL, 0, &none, &err),
                   NEAP_ENOTFOUND);
  assert_string_equal(err.text, "there is no policy 'siev' to evict, did you mean 'sieve'?");
  assert_int_equal(
      neap_policy_open(w.registry, NEAP_EVICT, "native:sievf", NULL, &w.env, NULL, 0, &none, &err),
      NEAP_ENOTFOUND);
  assert_int_equal(neap_policy_open(w.registry, NEAP_EVICT, "", NULL, &w.env, NULL, 0, &none, &err),
                   NEAP_EINVAL);
  assert_int_equal(
      neap_policy_open(w.registry, NEAP_EVICT, "Custom(nowhere)", NULL, &w.env, NULL, 0, &none, &err),
      NEAP_ENOTFOUND);
  assert_null(none);
  w.policy = old;
  while (w.live > 0) assert_true(world_ask(&w, 16, 0) > 0);
  assert_int_equal(w.samples, 0);
  world_fini(&w);
}

static void test_the_names_of_the_guide_are_known(void **state) {
  (void)state;
  static const char *const names[] = {"LRU", "LFU", "TTL", "FIFO", "LIFO", "Sieve", "S3FIFO", "lru"};
  for (size_t i = 0; i < NEAP_COUNT_OF(names); i++) {
    world_init(&w, ENTRIES);
    world_open(&w, names[i], NULL);
    assert_int_equal(strcasecmp(neap_policy_name(w.policy), names[i]), 0);
    assert_non_null(neap_policy_source(w.policy));
    world_fini(&w);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_same_policy_goes_on_as_if_nothing_had_happened),
      cmocka_unit_test(test_another_policy_gets_the_live_entries),
      cmocka_unit_test(test_a_wrong_successor_leaves_the_old_one_as_it_was),
      cmocka_unit_test(test_the_names_of_the_guide_are_known),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
