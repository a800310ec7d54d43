/* Walks over the index in steps, while keys come and go. */
#include "rig.h"

#include "store/store.h"

enum { STAY = 2000 };

typedef struct walk {
  unsigned seen[STAY];
  size_t others;
} walk;

static void on_entry(void *user, const neap_entry *entry) {
  walk *w = user;
  neap_view key = neap_entry_key(entry);
  char text[32];
  unsigned number;
  snprintf(text, sizeof text, "%.*s", (int)key.size, key.ptr);
  if (sscanf(text, "stay:%u", &number) == 1)
    w->seen[number]++;
  else
    w->others++;
}

static void put(rig *r, const char *kind, size_t number, const char *value) {
  char key[32];
  snprintf(key, sizeof key, "%s:%zu", kind, number);
  assert_int_equal(rig_put(r, key, value), 0);
}

static rig r;

static void open_rig(void) {
  rig_init(&r);
  neap_cache_options options = rig_options();
  options.max_memory = 64 << 20;
  options.max_entries = 0;
  options.evict = "native:lru";
  rig_open(&r, &options);
}

static void test_a_walk_sees_what_stays_although_the_table_grows(void **state) {
  (void)state;
  static walk w;
  open_rig();
  for (size_t i = 0; i < STAY; i++) put(&r, "stay", i, "1");
  size_t made = 0, steps = 0;
  uint64_t cursor = 0;
  do {
    cursor = neap_store_scan(r.cache, cursor, on_entry, &w);
    steps++;
    if (made < 40000)
      for (int i = 0; i < 50; i++) put(&r, "new", made++, "2");
    put(&r, "stay", steps % STAY, "3");
  } while (cursor != 0 && steps < 1000000);
  assert_int_equal(cursor, 0);
  for (size_t i = 0; i < STAY; i++) assert_true(w.seen[i] > 0);
  rig_fini(&r);
}

static void test_a_walk_over_nothing_ends(void **state) {
  (void)state;
  static walk w;
  open_rig();
  uint64_t cursor = 0, steps = 0;
  do cursor = neap_store_scan(r.cache, cursor, on_entry, &w);
  while (cursor != 0 && ++steps < 10000);
  assert_int_equal(cursor, 0);
  assert_int_equal(w.others, 0);
  rig_fini(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_walk_sees_what_stays_although_the_table_grows),
      cmocka_unit_test(test_a_walk_over_nothing_ends),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
