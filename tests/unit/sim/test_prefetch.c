/* What prefetching brings, and that it harms nobody: on traces that are made here, with associations and runs
 * planted in them, and on the open ones that NEAP_TRACES names (by default those of up to 125,000 requests,
 * under a sanitizer one, with NEAP_TEST_MODE=full all). */
#include "maker.h"

#include "server/server.h"
#include "sim/sim.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { REQUESTS_MOST = 32000, REQUESTS_MADE = 40000 };
#else
enum { REQUESTS_MOST = 125000, REQUESTS_MADE = 100000 };
#endif
static const double loss_most = 0.1, gain_least = 2.0;

static neap_engine *engine;

static const neap_replay_policy shipped[] = {{.name = "stride"}, {.name = "association"}};

static neap_replay_result play(neap_tape *tape, const char *evict, uint64_t size,
                               const neap_replay_policy *prefetch, size_t count) {
  neap_replay_result result;
  neap_err err;
  neap_replay_options options = {.registry = neap_engine_registry(engine),
                                 .host = neap_engine_host(engine),
                                 .policy = evict,
                                 .size = size,
                                 .prefetch = prefetch,
                                 .prefetch_count = count,
                                 .prefetch_delay = 8};
  if (neap_replay_run(tape, &options, &result, &err)) fail_msg("%s", err.text);
  assert_int_equal(result.prefetch_policy.faults_error + result.prefetch_policy.faults_fuel, 0);
  assert_true(result.prefetch.used + result.prefetch.late + result.prefetch.wasted <= result.prefetch.issued);
  return result;
}

/* Points of the hit ratio. */
static double gain(const neap_replay_result *without, const neap_replay_result *with) {
  return 100.0 * ((double)without->misses - (double)with->misses) / (double)without->requests;
}

static neap_tape *tape_of(bytes *content) {
  char path[32];
  neap_tape *tape;
  neap_err err;
  write_file(path, content->at, content->size);
  if (neap_tape_open(path, &(neap_tape_options){.uniques = true}, &tape, &err)) fail_msg("%s", err.text);
  unlink(path);
  free(content->at);
  return tape;
}

static void add_request(bytes *content, int64_t at, uint64_t key) {
  add_csv(content, &(neap_trace_request){.time = at / 1000, .key = key, .size = 1}, 0);
}

static uint64_t key_of(uint64_t number) {
  uint64_t state = number;
  return next_random(&state) >> 1; /* no numbers to count by */
}

/* Chains of 40 keys that are asked for in order, a fifth of the requests between them popular keys. */
static neap_tape *planted(uint64_t seed) {
  enum { CHAINS = 100, LENGTH = 40, POPULAR = 2000 };
  bytes content = {0};
  for (int64_t at = 0; at < REQUESTS_MADE;) {
    uint64_t chain = next_random(&seed) % CHAINS;
    for (uint64_t i = 0; i < LENGTH; i++) {
      add_request(&content, at++, key_of(chain * LENGTH + i));
      if (next_random(&seed) % 4 == 0) {
        uint64_t a = next_random(&seed) % POPULAR, b = next_random(&seed) % POPULAR;
        add_request(&content, at++, key_of(1000000 + a * b / POPULAR));
      }
    }
  }
  return tape_of(&content);
}

/* Readers of blocks in order, four at a time. */
static neap_tape *sequential(uint64_t seed) {
  enum { READERS = 4 };
  bytes content = {0};
  uint64_t next[READERS] = {0}, left[READERS] = {0};
  for (int64_t at = 0; at < REQUESTS_MADE; at++) {
    uint64_t reader = next_random(&seed) % READERS;
    if (left[reader]-- == 0) next[reader] = next_random(&seed) >> 24, left[reader] = 200;
    add_request(&content, at, next[reader]);
    next[reader] += 8;
  }
  return tape_of(&content);
}

/* Keys of which none says anything of another. */
static neap_tape *unrelated(uint64_t seed) {
  bytes content = {0};
  for (int64_t at = 0; at < REQUESTS_MADE; at++) {
    uint64_t a = next_random(&seed) % 20000, b = next_random(&seed) % 20000;
    add_request(&content, at, key_of(a * b / 20000));
  }
  return tape_of(&content);
}

static void test_planted_associations_are_found(void **state) {
  (void)state;
  neap_tape *tape = planted(7);
  for (int i = 0; i < 2; i++) {
    const char *evict = i ? "native:lru" : "native:sieve";
    neap_replay_result without = play(tape, evict, 600, NULL, 0);
    neap_replay_result with = play(tape, evict, 600, shipped, 2);
    print_message("planted, %s: %+.2f points, %d issued, %d used, %d late, %d wasted\n", evict,
                  gain(&without, &with), (int)with.prefetch.issued, (int)with.prefetch.used,
                  (int)with.prefetch.late, (int)with.prefetch.wasted);
    assert_true(gain(&without, &with) >= gain_least);
    neap_replay_result alone = play(tape, evict, 600, &shipped[1], 1);
    assert_true(gain(&without, &alone) >= gain_least);
  }
  neap_tape_close(&tape);
}

static void test_runs_are_followed(void **state) {
  (void)state;
  neap_tape *tape = sequential(3);
  neap_replay_result without = play(tape, "native:sieve", 2000, NULL, 0);
  neap_replay_result with = play(tape, "native:sieve", 2000, &shipped[0], 1);
  print_message("sequential: %+.2f points\n", gain(&without, &with));
  assert_true(gain(&without, &with) >= 40); /* the budget is half of the requests */
  assert_true(with.prefetch.issued <= with.requests / 2 + 64);
  neap_tape_close(&tape);
}

static void test_where_nothing_is_to_be_found_nothing_is_lost(void **state) {
  (void)state;
  neap_tape *tape = unrelated(5);
  for (uint64_t size = 20; size <= 2000; size *= 10) {
    neap_replay_result without = play(tape, "native:sieve", size, NULL, 0);
    neap_replay_result with = play(tape, "native:sieve", size, shipped, 2);
    assert_true(gain(&without, &with) >= -loss_most);
    assert_true(with.prefetch.issued < with.requests / 100);
  }
  neap_tape_close(&tape);
}

static void test_runs_repeat_to_the_last_request(void **state) {
  (void)state;
  neap_tape *tape = planted(11);
  neap_replay_result one = play(tape, "sieve", 1000, shipped, 2);
  neap_replay_result two = play(tape, "sieve", 1000, shipped, 2);
  assert_int_equal(one.misses, two.misses);
  assert_memory_equal(&one.prefetch, &two.prefetch, sizeof one.prefetch);
  neap_tape_close(&tape);
}

static void test_several_threads_are_refused(void **state) {
  (void)state;
  neap_tape *tape = unrelated(5);
  neap_replay_result result;
  neap_err err;
  neap_replay_options options = {.registry = neap_engine_registry(engine),
                                 .host = neap_engine_host(engine),
                                 .policy = "native:lru",
                                 .size = 100,
                                 .threads = 2,
                                 .prefetch = shipped,
                                 .prefetch_count = 1};
  assert_int_equal(neap_replay_run(tape, &options, &result, &err), NEAP_EINVAL);
  neap_tape_close(&tape);
}

/* --- the open traces --- */

static bool wanted(uint64_t requests) {
  const char *mode = getenv("NEAP_TEST_MODE");
  return (mode && strcmp(mode, "full") == 0) || requests <= REQUESTS_MOST;
}

/* One trace; whether it gains somewhere what it should. */
static bool check_trace(const char *folder, const char *name, bool *failed) {
  static const char *const evicts[] = {"sieve", "lru"};
  char path[4096];
  neap_tape *tape;
  neap_err err;
  double best = -100;
  snprintf(path, sizeof path, "%s/%s.csv.zst", folder, name);
  if (neap_tape_open(path, &(neap_tape_options){.uniques = true}, &tape, &err)) fail_msg("%s", err.text);
  for (int i = 0; i < 4; i++) {
    uint64_t size = neap_tape_facts_get(tape)->unique_keys / (i / 2 ? 10 : 100);
    neap_replay_result without = play(tape, evicts[i % 2], size, NULL, 0);
    neap_replay_result with = play(tape, evicts[i % 2], size, shipped, 2);
    double points = gain(&without, &with);
    best = points > best ? points : best;
    if (points >= -loss_most) continue;
    print_error("%s, %s, %d objects: %+.3f points\n", name, evicts[i % 2], (int)size, points);
    *failed = true;
  }
  neap_tape_close(&tape);
  return best >= gain_least;
}

static void test_no_open_trace_loses_and_some_gain(void **state) {
  (void)state;
  const char *folder = getenv("NEAP_TRACES");
  if (folder == NULL || *folder == '\0') {
    print_message("skipped: NEAP_TRACES does not say where the open traces are\n");
    skip();
  }
  char path[4096], line[1024], name[64];
  unsigned long long requests;
  int played = 0, gained = 0;
  bool failed = false;
  snprintf(path, sizeof path, "%s/manifest.csv", folder);
  FILE *file = fopen(path, "r");
  if (file == NULL) fail_msg("%s: cannot open", path);
  while (fgets(line, sizeof line, file)) {
    if (sscanf(line, "%63[^,],%*[^,],%*[^,],%*[^,],%*[^,],%llu", name, &requests) != 2) continue;
    if (!wanted(requests)) continue;
    played++;
    gained += check_trace(folder, name, &failed);
  }
  fclose(file);
  print_message("%d traces, %d gain %.0f points or more\n", played, gained, gain_least);
  assert_int_not_equal(played, 0);
  assert_false(failed);
  if (played > 4) assert_true(gained >= 2);
}

static int set_up(void **state) {
  (void)state;
  return neap_engine_create(&(neap_host){.seed = 1}, &engine, NULL);
}

static int tear_down(void **state) {
  (void)state;
  neap_engine_destroy(&engine);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_planted_associations_are_found),
      cmocka_unit_test(test_runs_are_followed),
      cmocka_unit_test(test_where_nothing_is_to_be_found_nothing_is_lost),
      cmocka_unit_test(test_runs_repeat_to_the_last_request),
      cmocka_unit_test(test_several_threads_are_refused),
      cmocka_unit_test(test_no_open_trace_loses_and_some_gain),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
