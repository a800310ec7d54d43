/* What any evict policy must do, native or Lua: its answers are right without the guard's help. */
#include "unit.h"

#include "world.h"

static const char *const policies[] = {"native:fifo",   "native:lru", "native:lfu", "native:sieve",
                                       "native:s3fifo", "fifo",       "lifo",       "lru",
                                       "lfu",           "ttl",        "sieve",      "s3fifo"};
enum { ENTRIES = 500 };

static world w;

static void each(void (*act)(void)) {
  for (size_t i = 0; i < NEAP_COUNT_OF(policies); i++) {
    world_init(&w, ENTRIES);
    world_open(&w, policies[i], NULL);
    act();
    neap_policy_counters counters;
    neap_policy_counters_get(w.policy, &counters);
    if (*neap_policy_fault(w.policy) || w.samples || counters.fallbacks || *w.log)
      fail_msg("%s: %s%s (%d samples)", policies[i], neap_policy_fault(w.policy), w.log, w.samples);
    world_fini(&w);
  }
}

static double hash_of(int32_t slot) {
  return slot * 7919.0 + 1;
}

static void fill(void) {
  for (int32_t slot = NEAP_SLOT_FIRST; slot < w.slot_end; slot++)
    if (!w.entries[slot].live) world_insert(&w, slot, 1 + slot % 7, hash_of(slot));
}

static void drain(void) {
  for (int asks = 0; w.live > 0; asks++) {
    assert_true(asks < 64 * ENTRIES);
    world_ask(&w, 16, 0);
  }
  assert_int_equal(world_ask(&w, 16, 0), 0);
}

static void empty_asks(void) {
  assert_int_equal(world_ask(&w, 1, 1), 0);
  assert_int_equal(world_ask(&w, 128, 0), 0);
}
static void test_an_empty_cache_has_no_victims(void **state) {
  (void)state;
  each(empty_asks);
}

static void fill_and_drain(void) {
  fill();
  drain();
  fill();
  drain();
}
static void test_everything_can_be_evicted(void **state) {
  (void)state;
  each(fill_and_drain);
}

static void remove_all(void) {
  fill();
  for (int32_t slot = NEAP_SLOT_FIRST; slot < w.slot_end; slot++) {
    world_gone(&w, slot);
    world_tell(&w, NEAP_EVENT_REMOVE, slot, 0, 0);
  }
  assert_int_equal(world_ask(&w, 8, 5), 0);
  fill();
  drain();
}
static void test_what_was_removed_is_forgotten(void **state) {
  (void)state;
  each(remove_all);
}

static void unknown_slots(void) {
  for (int32_t slot = NEAP_SLOT_FIRST; slot < w.slot_end; slot++) {
    world_tell(&w, NEAP_EVENT_HIT, slot, 0, 0);
    world_tell(&w, NEAP_EVENT_UPDATE, slot, 9, 1);
    world_tell(&w, NEAP_EVENT_REMOVE, slot, 0, 0);
  }
  assert_int_equal(world_ask(&w, 8, 5), 0);
  fill();
  drain();
}
static void test_events_of_unknown_slots_change_nothing(void **state) {
  (void)state;
  each(unknown_slots);
}

static void given_back(void) {
  fill();
  for (int round = 0; round < 20; round++) {
    world_ask(&w, 32, 0);
    assert_in_range(w.board.victim_count, 1, 32); /* fewer than wanted is allowed */
    for (int i = 0; i < (w.board.victim_count + 1) / 2; i++) {
      int32_t slot = w.board.victims[i];
      world_insert(&w, slot, w.entries[slot].size, hash_of(slot));
    }
    fill();
  }
  drain();
}
static void test_victims_given_back_come_again(void **state) {
  (void)state;
  each(given_back);
}

static void pinned(void) {
  fill();
  for (int32_t slot = NEAP_SLOT_FIRST; slot < w.slot_end; slot++) w.entries[slot].pinned = slot % 2 == 0;
  for (int asks = 0; w.live > ENTRIES / 2 && asks < 10 * ENTRIES; asks++) {
    w.board.want = 16;
    w.board.steps = 4 * w.slot_end;
    neap_policy_decide(w.policy, NEAP_ASK_VICTIMS);
    for (int i = 0; i < w.board.victim_count; i++) world_gone(&w, w.board.victims[i]);
  }
  for (int32_t slot = NEAP_SLOT_FIRST; slot < w.slot_end; slot++) w.entries[slot].pinned = false;
  w.samples = 0; /* where all that was offered was pinned, sampling has helped: that is no fault */
  drain();
}
static void test_pinned_entries_are_given_back_and_come_later(void **state) {
  (void)state;
  for (size_t i = 0; i < NEAP_COUNT_OF(policies); i++) {
    world_init(&w, ENTRIES);
    world_open(&w, policies[i], NULL);
    pinned();
    assert_string_equal(neap_policy_fault(w.policy), "");
    world_fini(&w);
  }
}

static void told_twice(void) {
  fill();
  for (int32_t slot = NEAP_SLOT_FIRST; slot < w.slot_end; slot += 3)
    world_tell(&w, NEAP_EVENT_INSERT, slot, w.entries[slot].size, w.entries[slot].hash);
  drain();
}
static void test_an_insert_told_twice_is_one(void **state) {
  (void)state;
  each(told_twice);
}

static void random_life(void) {
  for (int i = 0; i < 40000; i++) {
    uint64_t draw = neap_random_next(&w.random);
    int32_t slot = NEAP_SLOT_FIRST + (int32_t)(draw % ENTRIES);
    if (i % 5000 == 0) w.board.limit = 100 + (double)(draw >> 32 & 0xfff);
    if (draw >> 48 == 0) world_tell(&w, NEAP_EVENT_TICK, 0, 0, 0);
    if (!w.entries[slot].live) {
      world_tell(&w, NEAP_EVENT_MISS, 0, 1, hash_of(slot));
      if (draw >> 62 == 0) world_ask(&w, 1 + (int32_t)(draw >> 40 & 31), 1);
      if (!w.entries[slot].live) world_insert(&w, slot, (double)(draw >> 50 & 1023), hash_of(slot));
      w.entries[slot].expires_ms = draw & 1 << 20 ? 0x1p53 : (double)(draw >> 44);
    } else if (draw >> 59 == 0) {
      world_gone(&w, slot);
      world_tell(&w, NEAP_EVENT_REMOVE, slot, 0, 0);
    } else if (draw >> 59 == 1) {
      w.board.used += 5 - w.entries[slot].size;
      w.entries[slot].size = 5;
      world_tell(&w, NEAP_EVENT_UPDATE, slot, 5, hash_of(slot));
    } else {
      world_tell(&w, NEAP_EVENT_HIT, slot, 0, 0);
    }
  }
  drain();
}
static void test_a_random_life_is_answered_rightly(void **state) {
  (void)state;
  each(random_life);
}

/* --- twins --- */
static uint64_t decisions(const char *spec) {
  uint64_t digest = 0;
  world_init(&w, ENTRIES);
  world_open(&w, spec, NULL);
  neap_random random = {99};
  for (int i = 0; i < 60000; i++) {
    uint64_t draw = neap_random_next(&random);
    int32_t slot = NEAP_SLOT_FIRST + (int32_t)((draw & 0xffff) * (draw >> 16 & 0xffff) * ENTRIES >> 32);
    if (w.entries[slot].live && draw >> 58 == 0) {
      world_gone(&w, slot);
      world_tell(&w, NEAP_EVENT_REMOVE, slot, 0, 0);
    } else if (w.entries[slot].live) {
      world_tell(&w, draw >> 58 == 1 ? NEAP_EVENT_UPDATE : NEAP_EVENT_HIT, slot, 1 + (double)(draw & 3),
                 hash_of(slot));
    } else {
      world_tell(&w, NEAP_EVENT_MISS, 0, 1, hash_of(slot));
      if (w.live > ENTRIES / 4) world_ask(&w, 1 + (int32_t)(draw >> 40 & 7), 1);
      for (int v = 0; v < w.board.victim_count; v++) digest = digest * 31 + (uint64_t)w.board.victims[v];
      w.board.victim_count = 0;
      world_insert(&w, slot, 1 + (double)(draw & 3), hash_of(slot));
    }
  }
  assert_string_equal(w.log, "");
  world_fini(&w);
  return digest;
}

static void test_native_and_lua_twins_decide_alike(void **state) {
  (void)state;
  static const char *const twins[] = {"fifo", "lru", "lfu", "sieve", "s3fifo"};
  for (size_t i = 0; i < NEAP_COUNT_OF(twins); i++) {
    char native[32];
    snprintf(native, sizeof native, "native:%s", twins[i]);
    uint64_t c = decisions(native), lua = decisions(twins[i]);
    if (c != lua || c == 0) fail_msg("%s: the twins differ", twins[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_an_empty_cache_has_no_victims),
      cmocka_unit_test(test_everything_can_be_evicted),
      cmocka_unit_test(test_what_was_removed_is_forgotten),
      cmocka_unit_test(test_events_of_unknown_slots_change_nothing),
      cmocka_unit_test(test_victims_given_back_come_again),
      cmocka_unit_test(test_pinned_entries_are_given_back_and_come_later),
      cmocka_unit_test(test_an_insert_told_twice_is_one),
      cmocka_unit_test(test_a_random_life_is_answered_rightly),
      cmocka_unit_test(test_native_and_lua_twins_decide_alike),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
