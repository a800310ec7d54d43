/* Eight threads on one small cache: gets of all kinds, puts, fills that are aborted, removes, touches, ticks,
 * readers that stall inside, handles that pin bodies, policies and limits replaced meanwhile, threads that
 * exit and come back. Every value tells the key it belongs to, so that no reader can be shown another's bytes
 * or freed ones unnoticed. */
#include <pthread.h>
#include <sched.h>

#include "base/random.h"
#include "rig.h"

enum { THREADS = 8, NAMES = 3000, LIVES = 6, TURNS = 2500, PINS = 4 };

typedef struct stress {
  rig rig;
  _Atomic unsigned turns; /* of all threads */
} stress;

typedef struct actor {
  stress *stress;
  unsigned number;
  neap_random random;
  neap_entry *pins[PINS];
  char value[70000];
} actor;

static uint64_t below(actor *a, uint64_t bound) {
  return neap_random_below(&a->random, bound);
}

static neap_view any_key(actor *a, char *buffer) {
  unsigned number = (unsigned)(below(a, NAMES) * below(a, NAMES) / NAMES);
  return (neap_view){buffer, (size_t)sprintf(buffer, "key-%u", number)};
}

/* A value repeats its key. */
static neap_view value_for(actor *a, neap_view key) {
  size_t size = below(a, 30) == 0 ? below(a, sizeof a->value) : below(a, 600);
  for (size_t i = 0; i < size; i++) a->value[i] = key.ptr[i % key.size];
  return (neap_view){a->value, size};
}

static void check_value(const neap_entry *entry) {
  neap_view key = neap_entry_key(entry), piece;
  size_t at = 0;
  for (size_t i = 0; (piece = neap_entry_piece(entry, i)).size > 0; i++)
    for (size_t j = 0; j < piece.size; j++, at++)
      if (piece.ptr[j] != key.ptr[at % key.size]) fail_msg("a value of another key");
  assert_int_equal(at, neap_entry_size(entry));
}

static void turn_get(actor *a) {
  neap_cache *cache = a->stress->rig.cache;
  char buffer[32];
  neap_view key = any_key(a, buffer);
  const neap_entry *entry;
  neap_cache_enter(cache);
  if (neap_cache_get(cache, key, &entry) == 0) {
    assert_int_equal(neap_entry_key(entry).size, key.size);
    if (below(a, 200) == 0) sched_yield(); /* stalls inside */
    check_value(entry);
  }
  neap_cache_leave(cache);
}

/* Keeps a reference for a while. */
static void turn_pin(actor *a) {
  neap_cache *cache = a->stress->rig.cache;
  char buffer[32];
  neap_entry **pin = &a->pins[below(a, PINS)];
  if (*pin != NULL) {
    check_value(*pin);
    neap_entry_unref(cache, *pin);
    *pin = NULL;
  }
  neap_cache_get_ref(cache, any_key(a, buffer), pin);
}

static void turn_put(actor *a) {
  char buffer[32];
  neap_view key = any_key(a, buffer);
  neap_put_options options = {.ttl_ms = below(a, 3) == 0 ? 1 + below(a, 400) : 0,
                              .version = below(a, 9) == 0 ? below(a, 50) : 0};
  int rc = neap_cache_put(a->stress->rig.cache, key, value_for(a, key), &options);
  assert_true(rc == 0 || rc == NEAP_EROOM || rc == NEAP_EVERSION || rc == NEAP_ETOOLARGE ||
              rc == NEAP_EREFUSED);
}

static void turn_fill(actor *a) {
  char buffer[32];
  neap_view key = any_key(a, buffer), value = value_for(a, key);
  neap_fill *fill;
  uint64_t length = below(a, 2) ? value.size : NEAP_LENGTH_UNKNOWN;
  if (neap_cache_put_begin(a->stress->rig.cache, key, length, NULL, &fill)) return;
  size_t half = value.size / 2;
  bool fine = neap_fill_append(fill, (neap_view){value.ptr, half}) == 0;
  fine = fine && neap_fill_append(fill, (neap_view){value.ptr + half, value.size - half}) == 0;
  neap_entry *entry = NULL;
  if (!fine || below(a, 3) == 0)
    neap_fill_abort(&fill);
  else if (neap_fill_commit(&fill, &entry) == 0)
    neap_entry_unref(a->stress->rig.cache, entry);
  assert_null(fill);
}

static int check_visit(void *user, const neap_entry *entry) {
  (void)user;
  check_value(entry);
  return 0;
}

static void turn_rare(actor *a) {
  static const char *const policies[] = {"native:lru", "native:sieve", "native:s3fifo"};
  neap_cache *cache = a->stress->rig.cache;
  neap_err err;
  switch (below(a, 6)) {
  case 0: neap_cache_clear(cache); break;
  case 1: neap_cache_iterate(cache, check_visit, NULL); break;
  case 2: neap_cache_set_limits(cache, 500 + below(a, 3000), (512u << 10) + below(a, 1u << 20), 0); break;
  case 3: neap_cache_rollback_evict(cache, &err); break;
  default: assert_int_equal(neap_cache_set_evict(cache, policies[below(a, 3)], NULL, 0, &err), 0);
  }
}

static void turn(actor *a) {
  neap_cache *cache = a->stress->rig.cache;
  char buffer[32];
  uint64_t dice = below(a, 100);
  if (dice < 45)
    turn_get(a);
  else if (dice < 70)
    turn_put(a);
  else if (dice < 78)
    turn_fill(a);
  else if (dice < 85)
    neap_cache_remove(cache, any_key(a, buffer));
  else if (dice < 90)
    neap_cache_touch(cache, any_key(a, buffer), 1 + below(a, 500));
  else if (dice < 97)
    turn_pin(a);
  else if (dice < 99)
    neap_cache_tick(cache);
  else
    atomic_fetch_add(&a->stress->rig.now_ms, 7);
  if (below(a, 800) == 0) turn_rare(a);
}

static void *act(void *arg) {
  actor *a = arg;
  for (unsigned i = 0; i < TURNS; i++) turn(a);
  for (unsigned i = 0; i < PINS; i++)
    if (a->pins[i] != NULL) neap_entry_unref(a->stress->rig.cache, a->pins[i]);
  memset(a->pins, 0, sizeof a->pins);
  atomic_fetch_add(&a->stress->turns, TURNS);
  return NULL;
}

/* Each life of the threads begins with new threads that take over the seats of those that exited. */
static void live(stress *s, actor **actors) {
  pthread_t threads[THREADS];
  for (unsigned i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, act, actors[i]), 0);
  for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  neap_cache_stats stats = rig_stats(&s->rig);
  assert_int_equal(stats.memory_filling, 0);
  neap_cache_set_limits(s->rig.cache, 0, 0, 0);
  stats = rig_stats(&s->rig);
  assert_true(stats.memory <= stats.max_memory);
  assert_true(stats.entries <= stats.max_entries);
}

static void test_store_survives_eight_threads(void **state) {
  (void)state;
  static stress s;
  actor *actors[THREADS];
  rig_init(&s.rig);
  neap_cache_options options = rig_options();
  options.max_memory = 1u << 20;
  options.max_entries = 2000;
  options.max_object_size = 80000;
  rig_open(&s.rig, &options);
  for (unsigned i = 0; i < THREADS; i++) {
    actors[i] = calloc(1, sizeof **actors);
    *actors[i] = (actor){.stress = &s, .number = i, .random = {i + 1}};
  }
  for (unsigned i = 0; i < LIVES; i++) live(&s, actors);
  for (unsigned i = 0; i < THREADS; i++) free(actors[i]);
  assert_int_equal(s.turns, THREADS * LIVES * TURNS);
  neap_cache_clear(s.rig.cache);
  neap_cache_stats stats = rig_stats(&s.rig);
  assert_int_equal(stats.entries, 0);
  assert_int_equal(stats.memory, stats.memory_tables);
  assert_true(stats.hits > 1000 && stats.puts > 1000 && stats.evictions_policy > 100 &&
              stats.aborted_fills > 100);
  rig_fini(&s.rig);
}

/* The bound holds at every instant: another thread watches it. */
typedef struct watch {
  stress *stress;
  _Atomic bool stop;
} watch;

static void *look(void *arg) {
  watch *w = arg;
  while (!w->stop) {
    neap_cache_stats stats = rig_stats(&w->stress->rig);
    if (stats.memory > stats.max_memory) fail_msg("memory above its bound");
    sched_yield();
  }
  return NULL;
}

static void *churn(void *arg) {
  actor *a = arg;
  for (unsigned i = 0; i < 4 * TURNS; i++) turn_put(a), turn_get(a);
  return NULL;
}

static void test_store_never_passes_its_bound_between_threads(void **state) {
  (void)state;
  static stress s;
  watch w = {.stress = &s};
  actor *actors[THREADS];
  pthread_t threads[THREADS], watcher;
  rig_init(&s.rig);
  neap_cache_options options = rig_options();
  options.max_memory = 256u << 10;
  options.max_object_size = 80000;
  options.evict = "native:sieve";
  rig_open(&s.rig, &options);
  pthread_create(&watcher, NULL, look, &w);
  for (unsigned i = 0; i < THREADS; i++) {
    actors[i] = calloc(1, sizeof **actors);
    *actors[i] = (actor){.stress = &s, .number = i, .random = {i + 100}};
    pthread_create(&threads[i], NULL, churn, actors[i]);
  }
  for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL), free(actors[i]);
  w.stop = true;
  pthread_join(watcher, NULL);
  rig_fini(&s.rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_store_survives_eight_threads),
      cmocka_unit_test(test_store_never_passes_its_bound_between_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
