/* The cache against a plain map: random operations with a clock set by hand, several seeds, policies and
 * limits. The cache may have lost what the map holds (it evicts), but what it shows must be what the map has,
 * it must not show what the map has not, and its limits hold after every operation. */
#include "base/random.h"
#include "rig.h"

enum { NAMES = 400, OPERATIONS = 30000 };

/* What the map knows of a key. */
typedef struct known {
  bool there;
  uint32_t size, seed, meta;
  uint64_t version, expires_ms;
} known;

typedef struct model {
  rig rig;
  known map[NAMES];
  neap_random random;
  neap_entry *pins[8];
  known pinned[8];
  char *bytes;
  bool waiting; /* limits were lowered under pinned entries: they hold once those are released */
} model;

enum { LARGEST = 300000 };

static uint64_t below(model *m, uint64_t bound) {
  return neap_random_below(&m->random, bound);
}

static neap_view name_of(unsigned number, char *buffer) {
  int size = sprintf(buffer, "%0*u", 1 + (int)(number % 37), number);
  return (neap_view){buffer, (size_t)size};
}

static bool alive(const model *m, unsigned number) {
  const known *k = &m->map[number];
  return k->there && (k->expires_ms == 0 || k->expires_ms > m->rig.now_ms);
}

static void expect_same(model *m, const neap_entry *entry, const known *k) {
  assert_int_equal(neap_entry_size(entry), k->size);
  assert_int_equal(neap_entry_meta(entry).size, k->meta);
  rig_bytes(m->bytes, k->size, k->seed);
  neap_view piece;
  size_t at = 0;
  for (size_t i = 0; (piece = neap_entry_piece(entry, i)).size > 0; at += piece.size, i++)
    assert_memory_equal(piece.ptr, m->bytes + at, piece.size);
  assert_int_equal(at, k->size);
}

static void do_get(model *m, unsigned number) {
  char buffer[64];
  neap_entry *entry;
  int rc = neap_cache_get_ref(m->rig.cache, name_of(number, buffer), &entry);
  if (rc == NEAP_ENOTFOUND) {
    m->map[number].there = false; /* evicted, or never there */
    return;
  }
  assert_int_equal(rc, 0);
  assert_true(alive(m, number));
  expect_same(m, entry, &m->map[number]);
  neap_entry_info info;
  neap_entry_info_get(m->rig.cache, entry, &info);
  assert_int_equal(info.expires_ms,
                   m->map[number].expires_ms == 0 ? NEAP_TTL_NEVER : m->map[number].expires_ms);
  if (m->map[number].version != 0) assert_int_equal(info.version, m->map[number].version);
  neap_entry_unref(m->rig.cache, entry);
}

static uint32_t any_size(model *m) {
  switch (below(m, 20)) {
  case 0: return 0;
  case 1: return (uint32_t)(65000 + below(m, 1000));
  case 2: return (uint32_t)below(m, LARGEST);
  default: return (uint32_t)below(m, 1500);
  }
}

static int put_in_parts(model *m, neap_view key, neap_view value, const neap_put_options *options) {
  neap_fill *fill;
  bool abort = below(m, 8) == 0;
  uint64_t length = below(m, 2) ? value.size : NEAP_LENGTH_UNKNOWN;
  int rc = neap_cache_put_begin(m->rig.cache, key, length, options, &fill);
  while (rc == 0 && value.size > 0) {
    size_t part = 1 + below(m, NEAP_MIN(value.size, 20000));
    rc = neap_fill_append(fill, (neap_view){value.ptr, part});
    value = (neap_view){value.ptr + part, value.size - part};
    if (rc) neap_fill_abort(&fill);
  }
  if (rc) return rc;
  if (!abort) return neap_fill_commit(&fill, NULL);
  neap_fill_abort(&fill);
  return NEAP_ECANCELED;
}

static void do_put(model *m, unsigned number) {
  char buffer[64];
  known k = {
      .there = true, .size = any_size(m), .seed = (uint32_t)below(m, 1000), .meta = below(m, 4) == 0 ? 9 : 0};
  uint64_t ttl = below(m, 3) == 0 ? 1 + below(m, 20000) : NEAP_TTL_NEVER;
  k.version = below(m, 5) == 0 ? 1 + below(m, 1000) : 0;
  k.expires_ms = ttl == NEAP_TTL_NEVER ? 0 : m->rig.now_ms + ttl;
  neap_put_options options = {.ttl_ms = ttl, .version = k.version, .meta = {"123456789", k.meta}};
  neap_view key = name_of(number, buffer), value = rig_bytes(m->bytes, k.size, k.seed);
  int rc = below(m, 3) == 0 ? put_in_parts(m, key, value, &options)
                            : neap_cache_put(m->rig.cache, key, value, &options);
  if (rc == 0)
    m->map[number] = k;
  else if (rc != NEAP_ETOOLARGE && rc != NEAP_EVERSION && rc != NEAP_EROOM && rc != NEAP_ECANCELED &&
           rc != NEAP_EREFUSED)
    fail_msg("put said %s", neap_errname(rc));
  if (rc == NEAP_EVERSION) assert_true(alive(m, number) && k.version != 0);
}

static void do_remove(model *m, unsigned number) {
  char buffer[64];
  int rc = neap_cache_remove(m->rig.cache, name_of(number, buffer));
  if (rc == 0) assert_true(alive(m, number));
  m->map[number].there = false;
}

static void do_touch(model *m, unsigned number) {
  char buffer[64];
  uint64_t ttl = 1 + below(m, 30000);
  int rc = neap_cache_touch(m->rig.cache, name_of(number, buffer), ttl);
  if (rc == 0) assert_true(alive(m, number));
  if (rc == 0)
    m->map[number].expires_ms = m->rig.now_ms + ttl;
  else
    m->map[number].there = false;
}

/* References are held across whatever happens, and must keep their bytes. */
static void do_pin(model *m, unsigned number) {
  unsigned at = (unsigned)below(m, NEAP_COUNT_OF(m->pins));
  char buffer[64];
  if (m->pins[at] != NULL) {
    expect_same(m, m->pins[at], &m->pinned[at]);
    neap_entry_unref(m->rig.cache, m->pins[at]);
    m->pins[at] = NULL;
  }
  if (neap_cache_get_ref(m->rig.cache, name_of(number, buffer), &m->pins[at]) == 0)
    m->pinned[at] = m->map[number];
}

static int count_live(void *user, const neap_entry *entry) {
  assert_in_range(neap_entry_key(entry).size, 1, 64);
  ++*(uint64_t *)user;
  return 0;
}

static void do_rare(model *m) {
  uint64_t seen = 0;
  neap_err err;
  static const char *const policies[] = {"native:lru", "native:sieve", "native:s3fifo", "native:lfu"};
  switch (below(m, 5)) {
  case 0:
    neap_cache_clear(m->rig.cache);
    for (unsigned i = 0; i < NAMES; i++) m->map[i].there = false;
    assert_int_equal(rig_stats(&m->rig).entries, 0);
    break;
  case 1:
    neap_cache_iterate(m->rig.cache, count_live, &seen);
    assert_true(seen <= rig_stats(&m->rig).entries);
    break;
  case 2:
    neap_cache_set_limits(m->rig.cache, 20 + below(m, 400), (256u << 10) + below(m, 4u << 20), 0);
    break;
  default: assert_int_equal(neap_cache_set_evict(m->rig.cache, policies[below(m, 4)], NULL, 0, &err), 0);
  }
}

static void one(model *m) {
  unsigned number = (unsigned)(below(m, NAMES) * below(m, NAMES) / NAMES);
  uint64_t dice = below(m, 100);
  if (dice < 40)
    do_get(m, number);
  else if (dice < 80)
    do_put(m, number);
  else if (dice < 86)
    do_remove(m, number);
  else if (dice < 92)
    do_touch(m, number);
  else if (dice < 96)
    do_pin(m, number);
  else
    m->rig.now_ms += below(m, 2000);
  if (dice == 99) neap_cache_tick(m->rig.cache);
  if (below(m, 500) == 0) do_rare(m);
}

static void check_limits(model *m) {
  neap_cache_stats stats = rig_stats(&m->rig);
  uint64_t parts = stats.memory_entries + stats.memory_filling + stats.memory_retired + stats.memory_tables;
  assert_int_equal(stats.memory, parts);
  assert_int_equal(stats.memory_filling, 0);
  if (stats.memory <= stats.max_memory) m->waiting = false;
  if (m->waiting) return;
  assert_true(stats.memory <= stats.max_memory);
  if (stats.max_entries != 0) assert_true(stats.entries <= stats.max_entries);
}

static void unpin_all(model *m) {
  for (size_t i = 0; i < NEAP_COUNT_OF(m->pins); i++)
    if (m->pins[i] != NULL) neap_entry_unref(m->rig.cache, m->pins[i]);
}

static void play(uint64_t seed, const neap_cache_options *options) {
  model *m = calloc(1, sizeof *m);
  m->bytes = malloc(LARGEST);
  m->random.state = seed;
  rig_init(&m->rig);
  rig_open(&m->rig, options);
  for (int i = 0; i < OPERATIONS; i++) {
    one(m);
    check_limits(m);
  }
  unpin_all(m);
  neap_cache_set_limits(m->rig.cache, 0, 0, 0);
  check_limits(m);
  rig_fini(&m->rig);
  free(m->bytes);
  free(m);
}

static void test_store_agrees_with_a_plain_map(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 3; seed++) {
    neap_cache_options options = rig_options();
    options.evict = "native:sieve";
    options.max_memory = 2u << 20;
    play(seed, &options);
  }
}

static void test_store_agrees_with_a_plain_map_when_entries_bind(void **state) {
  (void)state;
  neap_cache_options options = rig_options();
  options.evict = "native:s3fifo";
  options.max_memory = 64u << 20;
  options.max_entries = 50;
  play(77, &options);
}

static void test_store_agrees_with_a_plain_map_when_tiny(void **state) {
  (void)state;
  neap_cache_options options = rig_options();
  options.max_memory = 64u << 10;
  options.max_object_size = 60000;
  play(5, &options);
}

static void test_store_agrees_with_a_plain_map_when_synchronous(void **state) {
  (void)state;
  neap_cache_options options = rig_options();
  options.evict = "native:lfu";
  options.max_memory = 1u << 20;
  options.default_ttl_ms = 15000;
  options.synchronous = 1;
  options.victims = 1;
  play(6, &options);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_store_agrees_with_a_plain_map),
      cmocka_unit_test(test_store_agrees_with_a_plain_map_when_entries_bind),
      cmocka_unit_test(test_store_agrees_with_a_plain_map_when_tiny),
      cmocka_unit_test(test_store_agrees_with_a_plain_map_when_synchronous),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
