#include "unit.h"

#include "base/base.h"
#include "base/random.h"
#include "policy/policy.h"

/* --- columns --- */
static void test_a_column_is_zeroed_and_stays_where_it_is_when_taken(void **state) {
  (void)state;
  neap_column old, new;
  assert_int_equal(neap_column_init(&old, 4, 100000), 0);
  assert_int_equal(neap_column_init(&new, 4, 100000), 0);
  int32_t *rows = new.base;
  assert_int_equal(((int32_t *)old.base)[99999], 0);
  for (int i = 0; i < 100000; i++) ((int32_t *)old.base)[i] = i;
  assert_int_equal(neap_column_take(&new, &old), 0);
  assert_ptr_equal(new.base, rows);
  assert_null(old.base);
  for (int i = 0; i < 100000; i++) assert_int_equal(rows[i], i);
  neap_column_fini(&old);
  neap_column_fini(&new);
}

static void test_columns_of_other_widths_are_not_taken(void **state) {
  (void)state;
  neap_column old, new;
  neap_column_init(&old, 4, 1000);
  neap_column_init(&new, 8, 1000);
  assert_int_equal(neap_column_take(&new, &old), NEAP_ESTATE);
  assert_non_null(old.base);
  neap_column_fini(&old);
  neap_column_fini(&new);
}

static void test_a_column_that_cannot_be_reserved_is_refused(void **state) {
  (void)state;
  neap_column column;
  assert_int_equal(neap_column_init(&column, (size_t)1 << 40, INT32_MAX), NEAP_ENOMEM);
}

/* --- ghosts: against a plain array --- */
typedef struct plain_ghost {
  double hash[4096], size[4096], limit;
  int count;
} plain_ghost;

static int plain_find(const plain_ghost *ghost, double hash) {
  for (int i = 0; i < ghost->count; i++)
    if (ghost->hash[i] == hash) return i;
  return -1;
}

static double plain_take(plain_ghost *ghost, double hash) {
  int at = plain_find(ghost, hash);
  if (at < 0) return -1;
  double size = ghost->size[at];
  memmove(ghost->hash + at, ghost->hash + at + 1, sizeof(double) * (size_t)(ghost->count - at - 1));
  memmove(ghost->size + at, ghost->size + at + 1, sizeof(double) * (size_t)(ghost->count - at - 1));
  ghost->count--;
  return size;
}

static void plain_fit(plain_ghost *ghost, double more) {
  for (;;) {
    double held = more;
    for (int i = 0; i < ghost->count; i++) held += ghost->size[i];
    if (held <= ghost->limit || ghost->count == 0) return;
    plain_take(ghost, ghost->hash[0]);
  }
}

static void plain_add(plain_ghost *ghost, double hash, double size) {
  if (size > ghost->limit) return;
  plain_take(ghost, hash);
  plain_fit(ghost, size);
  ghost->hash[ghost->count] = hash;
  ghost->size[ghost->count++] = size;
}

static void test_a_ghost_list_agrees_with_a_plain_one(void **state) {
  (void)state;
  neap_random random = {7};
  static plain_ghost plain;
  plain = (plain_ghost){.limit = 900};
  neap_ghost *ghost;
  assert_int_equal(neap_ghost_create(900, &ghost), 0);
  for (int i = 0; i < 60000; i++) {
    double hash = (double)(neap_random_below(&random, 700) << 40),
           size = (double)neap_random_below(&random, 9);
    switch (neap_random_below(&random, 8)) {
    case 0: assert_true(neap_ghost_take(ghost, hash) == plain_take(&plain, hash)); break;
    case 1: assert_int_equal(neap_ghost_has(ghost, hash), plain_find(&plain, hash) >= 0); break;
    case 2:
      if (i % 64) break;
      plain.limit = 100 + (double)neap_random_below(&random, 1200);
      plain_fit(&plain, 0);
      neap_ghost_resize(ghost, plain.limit);
      break;
    default: neap_ghost_add(ghost, hash, size); plain_add(&plain, hash, size);
    }
    assert_int_equal(neap_ghost_count(ghost), plain.count);
  }
  neap_ghost_destroy(&ghost);
  assert_null(ghost);
}

static void test_a_ghost_list_refuses_what_no_hash_can_be(void **state) {
  (void)state;
  neap_ghost *ghost;
  neap_ghost_create(10, &ghost);
  neap_ghost_add(ghost, -1, 1);
  neap_ghost_add(ghost, 0x1p53, 1);
  neap_ghost_add(ghost, 0.0 / 0.0, 1);
  neap_ghost_add(ghost, 5, -1);
  neap_ghost_add(ghost, 5, 0.0 / 0.0);
  neap_ghost_add(ghost, 5, 11);
  assert_int_equal(neap_ghost_count(ghost), 0);
  assert_true(neap_ghost_take(ghost, 5) == -1);
  neap_ghost_destroy(&ghost);
}

/* --- heaps: against a scan --- */
enum { HEAP_SLOTS = 200 };

static int least(const double *key, const double *order, const bool *in) {
  int best = 0;
  for (int s = 1; s < HEAP_SLOTS; s++)
    if (in[s] && (best == 0 || key[s] < key[best] || (key[s] == key[best] && order[s] < order[best])))
      best = s;
  return best;
}

static void test_a_heap_agrees_with_a_scan(void **state) {
  (void)state;
  neap_random random = {11};
  double key[HEAP_SLOTS] = {0}, order[HEAP_SLOTS] = {0};
  bool in[HEAP_SLOTS] = {0};
  neap_heap *heap;
  assert_int_equal(neap_heap_create(HEAP_SLOTS, &heap), 0);
  for (int i = 0; i < 50000; i++) {
    int slot = 1 + (int)neap_random_below(&random, HEAP_SLOTS - 1);
    if (neap_random_below(&random, 3) == 0) {
      neap_heap_remove(heap, slot);
      in[slot] = false;
    } else {
      key[slot] = (double)neap_random_below(&random, 20);
      order[slot] = i;
      in[slot] = true;
      neap_heap_put(heap, slot, key[slot], order[slot]);
    }
    assert_int_equal(neap_heap_has(heap, slot), in[slot]);
    assert_true(neap_heap_key(heap, slot) == (in[slot] ? key[slot] : 0));
    assert_int_equal(neap_heap_min(heap), least(key, order, in));
  }
  neap_heap_destroy(&heap);
}

static void test_a_heap_ignores_slots_and_keys_that_are_none(void **state) {
  (void)state;
  neap_heap *heap;
  neap_heap_create(100, &heap);
  neap_heap_put(heap, 0, 1, 1);
  neap_heap_put(heap, 100, 1, 1);
  neap_heap_put(heap, -5, 1, 1);
  neap_heap_put(heap, 7, 0.0 / 0.0, 1);
  neap_heap_remove(heap, 1 << 20);
  assert_int_equal(neap_heap_count(heap), 0);
  assert_int_equal(neap_heap_min(heap), 0);
  neap_heap_destroy(&heap);
}

/* --- sketches --- */
static void test_a_sketch_counts_to_fifteen_and_never_too_low(void **state) {
  (void)state;
  neap_sketch *sketch;
  assert_int_equal(neap_sketch_create(1000, &sketch), 0);
  for (int i = 0; i < 40; i++) {
    assert_true(neap_sketch_estimate(sketch, 12345) >= NEAP_MIN(i, 15));
    neap_sketch_add(sketch, 12345);
  }
  assert_int_equal(neap_sketch_estimate(sketch, 12345), 15);
  neap_sketch_destroy(&sketch);
}

static void test_a_sketch_tells_frequent_from_rare_and_forgets(void **state) {
  (void)state;
  neap_random random = {3};
  neap_sketch *sketch;
  neap_sketch_create(1024, &sketch);
  for (int i = 0; i < 9000; i++)
    neap_sketch_add(sketch, (double)(i % 9 ? neap_random_next(&random) >> 11 : 77));
  assert_int_equal(neap_sketch_estimate(sketch, 77), 15);
  for (int i = 0; i < 40000; i++) neap_sketch_add(sketch, (double)(neap_random_next(&random) >> 11));
  assert_true(neap_sketch_estimate(sketch, 77) < 12);
  neap_sketch_destroy(&sketch);
}

static void test_a_sketch_needs_a_width(void **state) {
  (void)state;
  neap_sketch *sketch = NULL;
  assert_int_equal(neap_sketch_create(0, &sketch), NEAP_EINVAL);
  assert_int_equal(neap_sketch_create(-1, &sketch), NEAP_EINVAL);
  assert_int_equal(neap_sketch_create(INT32_MAX, &sketch), NEAP_EINVAL);
  assert_null(sketch);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_column_is_zeroed_and_stays_where_it_is_when_taken),
      cmocka_unit_test(test_columns_of_other_widths_are_not_taken),
      cmocka_unit_test(test_a_column_that_cannot_be_reserved_is_refused),
      cmocka_unit_test(test_a_ghost_list_agrees_with_a_plain_one),
      cmocka_unit_test(test_a_ghost_list_refuses_what_no_hash_can_be),
      cmocka_unit_test(test_a_heap_agrees_with_a_scan),
      cmocka_unit_test(test_a_heap_ignores_slots_and_keys_that_are_none),
      cmocka_unit_test(test_a_sketch_counts_to_fifteen_and_never_too_low),
      cmocka_unit_test(test_a_sketch_tells_frequent_from_rare_and_forgets),
      cmocka_unit_test(test_a_sketch_needs_a_width),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
