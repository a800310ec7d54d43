#include "unit.h"

#include "base/random.h"
#include "base/wheel.h"

enum { IDS = 2000 };

typedef struct clockwork {
  neap_wheel wheel;
  neap_wheel_link links[IDS];
  uint64_t due[IDS];     /* 0: not filed */
  uint64_t told_at[IDS]; /* 0: not yet */
} clockwork;

static uint64_t due_of(void *user, uint32_t id) {
  return ((clockwork *)user)->due[id];
}

static void told(void *user, uint32_t id) {
  clockwork *c = user;
  assert_int_equal(c->told_at[id], 0);
  c->told_at[id] = c->wheel.now;
}

static uint32_t advance(clockwork *c, uint64_t now, uint32_t budget) {
  const neap_wheel_calls calls = {c, due_of, told};
  return neap_wheel_advance(&c->wheel, now, budget, &calls);
}

static clockwork *fresh(uint64_t now) {
  static clockwork c;
  memset(&c, 0, sizeof c);
  neap_wheel_init(&c.wheel, c.links, now);
  return &c;
}

static void file(clockwork *c, uint32_t id, uint64_t due) {
  c->due[id] = due;
  neap_wheel_file(&c->wheel, id, due);
}

static void test_wheel_tells_each_thing_at_its_tick(void **state) {
  (void)state;
  const uint64_t ahead[] = {0,   1,    2,    62,   63,     64,     65,     127,
                            128, 4095, 4096, 4097, 262143, 262144, 300000, 16777216};
  for (uint64_t start = 0; start < 200; start += 13) {
    clockwork *c = fresh(start);
    for (uint32_t i = 0; i < sizeof ahead / sizeof ahead[0]; i++) file(c, i + 1, start + ahead[i]);
    for (uint64_t now = start; c->wheel.filed > 0; now += now < start + 400 ? 1 : 997)
      advance(c, now, UINT32_MAX);
    for (uint32_t i = 0; i < sizeof ahead / sizeof ahead[0]; i++)
      assert_int_equal(c->told_at[i + 1], ahead[i] == 0 && start == 0 ? 0 : start + ahead[i]);
  }
}

static void test_wheel_random_filing_and_unfiling(void **state) {
  (void)state;
  clockwork *c = fresh(1000);
  neap_random random = {11};
  uint64_t now = 1000;
  for (int round = 0; round < 3000; round++) {
    uint32_t id = 1 + (uint32_t)neap_random_below(&random, IDS - 1);
    bool filed = c->due[id] != 0 && c->told_at[id] == 0;
    if (filed && neap_random_below(&random, 3) == 0) {
      neap_wheel_unfile(&c->wheel, id);
      c->due[id] = 0;
    } else if (!filed) {
      c->told_at[id] = 0;
      file(c, id, now + 1 + neap_random_below(&random, 1u << neap_random_below(&random, 20)));
    }
    now += neap_random_below(&random, 1u << neap_random_below(&random, 12));
    advance(c, now, UINT32_MAX);
    for (uint32_t i = 1; i < IDS; i++) {
      if (c->due[i] == 0) continue;
      if (c->due[i] <= now)
        assert_int_equal(c->told_at[i], c->due[i]);
      else
        assert_int_equal(c->told_at[i], 0);
    }
  }
}

static void test_wheel_stops_at_its_budget_and_goes_on(void **state) {
  (void)state;
  clockwork *c = fresh(1);
  for (uint32_t i = 1; i <= 100; i++) file(c, i, 5);
  assert_int_equal(advance(c, 50, 30), 30);
  assert_int_equal(advance(c, 50, 30), 30);
  assert_int_equal(advance(c, 50, 100), 40);
  assert_int_equal(c->wheel.filed, 0);
  assert_int_equal(c->wheel.now, 50);
}

static void test_wheel_files_again_what_is_due_later(void **state) {
  (void)state;
  clockwork *c = fresh(1);
  file(c, 1, 10);
  c->due[1] = 500; /* touched meanwhile */
  assert_int_equal(advance(c, 499, 9), 0);
  assert_int_equal(advance(c, 500, 9), 1);
}

static void test_wheel_passes_years_at_once(void **state) {
  (void)state;
  clockwork *c = fresh(0);
  file(c, 1, 1ull << 40); /* beyond the last ring */
  file(c, 2, 7);
  assert_int_equal(advance(c, (1ull << 40) - 1, 9), 1);
  assert_int_equal(c->told_at[2], 7);
  assert_int_equal(advance(c, 1ull << 40, 9), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_wheel_tells_each_thing_at_its_tick),
      cmocka_unit_test(test_wheel_random_filing_and_unfiling),
      cmocka_unit_test(test_wheel_stops_at_its_budget_and_goes_on),
      cmocka_unit_test(test_wheel_files_again_what_is_due_later),
      cmocka_unit_test(test_wheel_passes_years_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
