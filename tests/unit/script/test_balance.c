/* Balance policies in Lua files: all that are shipped keep the rules on random pools, the twin of the native
 * round robin decides as it does, and files that are no policies are refused with a reason. */
#include "unit.h"

#include "../route/request_board.h"
#include "loop/loop.h"
#include "script/embed.h"
#include "script/script.h"

static neap_host host;
static neap_registry *registry;

static void drop_line(void *user, neap_log_level level, const char *line) {
  (void)user, (void)level, (void)line;
}

static int set_up(void **state) {
  (void)state;
  const neap_host wanted = {.log = drop_line,
                            .now_ms = neap_clock_now_ms,
                            .now_ns = neap_clock_now_ns,
                            .thread_cpu_ns = neap_clock_thread_cpu_ns,
                            .seed = 1};
  neap_host_complete(&wanted, &host);
  assert_int_equal(neap_registry_create(&host, &registry), 0);
  neap_script_register(registry, &host);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  neap_registry_destroy(&registry);
  return 0;
}

/* --- a random pool --- */

enum { BACKENDS_MAX = 12 };

typedef struct pool {
  neap_backend_row rows[BACKENDS_MAX];
  neap_pick_board board;
  board request;
} pool;

static uint32_t draw(uint64_t *seed, uint32_t below) {
  *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(*seed >> 33) % below;
}

static void start(pool *p, int32_t count) {
  memset(p, 0, sizeof *p);
  p->board.count = count;
  p->board.rows = p->rows;
  board_set(&p->request, "GET", "h", "/");
  p->board.request = &p->request.request;
  for (int32_t i = 0; i < count; i++)
    p->rows[i] = (neap_backend_row){.weight = 1, .share = 1, .load = -1, .id = 1000.0 + i};
}

static void shuffle(pool *p, uint64_t *seed) {
  int32_t count = p->board.count;
  for (int32_t i = 0; i < count; i++) {
    neap_backend_row *row = &p->rows[i];
    row->barred = draw(seed, 4) ? 0 : NEAP_BAR_DOWN;
    if (draw(seed, 8) == 0) row->barred |= NEAP_BAR_TRIED;
    row->weight = 1 + (int32_t)draw(seed, 5);
    row->share = row->weight * (1 + draw(seed, 4)) / 4.0;
    row->in_flight = (int32_t)draw(seed, 20);
    row->ewma_us = draw(seed, 100000);
    row->error_rate = draw(seed, 100) / 100.0;
  }
  p->board.random1 = count ? (int32_t)draw(seed, (uint32_t)count) : 0;
  p->board.random2 = count ? (p->board.random1 + 1) % count : 0;
  p->board.key = draw(seed, 1000000);
}

static neap_policy *open_policy(pool *p, const char *spec, const char *source) {
  const neap_policy_env env = {.host = &host, .generation = 1, .pick = &p->board};
  neap_policy *policy = NULL;
  neap_err err;
  int status = neap_policy_open(registry, NEAP_BALANCE, spec, source, &env, NULL, 0, &policy, &err);
  if (status) print_message("%s: %s\n", spec, err.text);
  assert_int_equal(status, 0);
  return policy;
}

/* --- shipped policies --- */

static void check_shipped(const char *name) {
  uint64_t seed = 11;
  for (int32_t count = 0; count <= BACKENDS_MAX; count += count < 4 ? 1 : 4) {
    pool p;
    start(&p, count);
    neap_policy *policy = open_policy(&p, name, NULL);
    for (int i = 0; i < 2000; i++) {
      shuffle(&p, &seed);
      neap_policy_decide(policy, NEAP_ASK_PICK);
    }
    neap_policy_counters counters;
    neap_policy_counters_get(policy, &counters);
    if (counters.fallbacks > 0)
      print_message("%s, %d backends: %s\n", name, count, neap_policy_fault(policy));
    assert_int_equal(counters.fallbacks, 0);
    assert_int_equal(counters.trips, 0);
    assert_true(counters.trace_aborts < 30); /* some while compiling; a hot one would abort and abort */
    neap_policy_close(&policy);
  }
}

static void test_shipped_policies_never_need_the_guard(void **state) {
  (void)state;
  int shipped = 0;
  for (const neap_embedded_file *file = neap_embedded_files; file->path; file++) {
    char name[64];
    if (sscanf(file->path, "policies/balance/%63[^.].lua", name) != 1) continue;
    check_shipped(name);
    shipped++;
  }
  assert_true(shipped >= 6);
}

/* --- twins: the same decisions over a long run, in which decisions have consequences --- */

/* What a run keeps for itself: requests in flight on each backend, with the pick at which each ends. */
typedef struct run {
  pool lua, native;
  neap_policy *a, *b;
  uint64_t seed;
  neap_random random;
} run;

static void tell_both(run *r, int32_t kind, int32_t place, double took_us, int32_t status) {
  int32_t in_flight = r->lua.rows[place].in_flight;
  neap_policy_tell(r->a, kind, place, in_flight, took_us, status);
  neap_policy_tell(r->b, kind, place, in_flight, took_us, status);
}

/* Now and then the world changes: backends go down, are drained, come back, get other weights, leave and
 * join. */
static void change(run *r) {
  pool *p = &r->lua;
  int32_t place = (int32_t)draw(&r->seed, (uint32_t)p->board.count);
  neap_backend_row *row = &p->rows[place];
  switch (draw(&r->seed, 5)) {
  case 0: row->barred = row->barred ? 0 : NEAP_BAR_DOWN; break;
  case 1: row->barred = row->barred ? 0 : NEAP_BAR_DRAINING; break;
  case 2: row->share = row->weight = 1 + (int32_t)draw(&r->seed, 5); break;
  case 3:
    if (row->barred == NEAP_BAR_GONE) {
      *row = (neap_backend_row){.weight = 2, .share = 2, .load = -1, .id = 5000 + draw(&r->seed, 1000)};
      memcpy(r->native.rows, p->rows, sizeof p->rows);
      tell_both(r, NEAP_EVENT_JOINED, place, 0, 0);
    } else {
      tell_both(r, NEAP_EVENT_LEFT, place, 0, 0);
      row->barred = NEAP_BAR_GONE;
    }
    break;
  default: row->load = (int32_t)draw(&r->seed, 20) - 1, row->capacity = (int32_t)draw(&r->seed, 4); break;
  }
}

static void ask_both(run *r, int step) {
  pool *p = &r->lua;
  p->board.key = draw(&r->seed, 1u << 30);
  p->board.now_ms = step / 4.0;
  neap_pick_draw(&p->board, &r->random, 5);
  r->native.board.key = p->board.key;
  r->native.board.now_ms = p->board.now_ms;
  r->native.board.random1 = p->board.random1;
  r->native.board.random2 = p->board.random2;
  memcpy(r->native.rows, p->rows, sizeof p->rows);
  neap_policy_decide(r->a, NEAP_ASK_PICK);
  neap_policy_decide(r->b, NEAP_ASK_PICK);
  if (p->board.answer != r->native.board.answer)
    fail_msg("pick %d: Lua %d, native %d", step, p->board.answer, r->native.board.answer);
}

static void finish_one(run *r) {
  int32_t place = (int32_t)draw(&r->seed, (uint32_t)r->lua.board.count);
  neap_backend_row *row = &r->lua.rows[place];
  if (row->in_flight == 0) return;
  double took_us = 500.0 * (1 + place) * row->in_flight + draw(&r->seed, 1000);
  bool failed = draw(&r->seed, 20) == 0;
  row->ewma_us += (took_us - row->ewma_us) / 8;
  tell_both(r, failed ? NEAP_EVENT_FAILED : NEAP_EVENT_DONE, place, took_us, failed ? 503 : 200);
  row->in_flight--;
}

static void check_twins(const char *lua, const char *native, int32_t count, uint64_t seed) {
  run r = {.seed = seed, .random = {seed}};
  start(&r.lua, count);
  start(&r.native, count);
  r.a = open_policy(&r.lua, lua, NULL);
  r.b = open_policy(&r.native, native, NULL);
  for (int step = 0; step < 20000; step++) {
    if (step % 40 == 0) change(&r);
    ask_both(&r, step);
    int32_t answer = r.lua.board.answer;
    if (answer >= 0) {
      r.lua.rows[answer].in_flight++;
      tell_both(&r, NEAP_EVENT_SENT, answer, 0, 0);
    }
    while (draw(&r.seed, 3)) finish_one(&r);
  }
  neap_policy_counters counters;
  neap_policy_counters_get(r.a, &counters);
  assert_int_equal(counters.fallbacks, 0);
  neap_policy_close(&r.a);
  neap_policy_close(&r.b);
}

static void test_twins_decide_alike(void **state) {
  (void)state;
  static const char *const twins[] = {"random",
                                      "p2c",
                                      "least_connections",
                                      "weighted_least_connections",
                                      "weighted_round_robin",
                                      "consistent_hash",
                                      "estimated_wait"};
  for (size_t i = 0; i < sizeof twins / sizeof twins[0]; i++) {
    char native[64];
    snprintf(native, sizeof native, "native:%s", twins[i]);
    print_message("%s\n", native);
    check_twins(twins[i], native, 7, 5 + i);
    check_twins(twins[i], native, 2, 50 + i);
  }
}

static void test_p2c_sends_less_to_the_busy(void **state) {
  (void)state;
  uint64_t seed = 3;
  int32_t picked[4] = {0};
  pool p;
  start(&p, 4);
  neap_policy *policy = open_policy(&p, "P2C", NULL);
  p.rows[2].in_flight = 1000;
  for (int i = 0; i < 6000; i++) {
    p.board.random1 = (int32_t)draw(&seed, 4);
    p.board.random2 = (p.board.random1 + 1 + (int32_t)draw(&seed, 3)) % 4;
    neap_policy_decide(policy, NEAP_ASK_PICK);
    picked[p.board.answer]++;
  }
  assert_int_equal(picked[2], 0);
  for (int i = 0; i < 4; i++)
    if (i != 2) assert_in_range(picked[i], 1400, 2600);
  neap_policy_close(&policy);
}

static void test_consistent_hash_keeps_to_who_a_backend_is(void **state) {
  (void)state;
  pool p;
  start(&p, 3);
  neap_policy *policy = open_policy(&p, "consistent_hash", NULL);
  int moved = 0;
  for (int i = 0; i < 1000; i++) {
    p.board.key = i * 7919.0;
    neap_policy_decide(policy, NEAP_ASK_PICK);
    double before = p.rows[p.board.answer].id;
    neap_backend_row first = p.rows[0];
    memmove(p.rows, p.rows + 1, 2 * sizeof *p.rows); /* 1000 leaves, the others change places */
    p.board.count = 2;
    neap_policy_decide(policy, NEAP_ASK_PICK);
    if (before != first.id)
      assert_true(p.rows[p.board.answer].id == before);
    else
      moved++;
    memmove(p.rows + 1, p.rows, 2 * sizeof *p.rows);
    p.rows[0] = first;
    p.board.count = 3;
  }
  assert_in_range(moved, 280, 390);
  neap_policy_close(&policy);
}

/* --- files --- */

static void test_text_of_the_caller_is_used_as_it_is(void **state) {
  (void)state;
  pool p;
  start(&p, 3);
  neap_policy *policy = open_policy(&p, "dir/mine.lua", "return function() return 3 end");
  neap_policy_decide(policy, NEAP_ASK_PICK);
  assert_int_equal(p.board.answer, 2);
  assert_string_equal(neap_policy_source(policy), "return function() return 3 end");
  neap_policy_close(&policy);
}

static int open_with(pool *p, const char *source, const neap_param *param, neap_policy **out, neap_err *err) {
  const neap_policy_env env = {.host = &host, .generation = 1, .pick = &p->board};
  *err = (neap_err){0};
  return neap_policy_open(registry, NEAP_BALANCE, "m.lua", source, &env, param, param != NULL, out, err);
}

static void test_parameters_are_checked_and_reach_the_policy(void **state) {
  (void)state;
  static const char source[] = "local policy = require 'neap.policy'\n"
                               "local M = policy.balance { name = 'm', params = {\n"
                               "  which = { type = 'integer', default = 1, min = 1, max = 3 } } }\n"
                               "function M.pick() return M.param.which end\n"
                               "return M";
  const neap_param two = {"which", 2, NULL}, nine = {"which", 9, NULL}, typo = {"whcih", 2, NULL};
  pool p;
  start(&p, 3);
  neap_policy *policy;
  neap_err err;
  assert_int_equal(open_with(&p, source, NULL, &policy, &err), 0);
  neap_policy_decide(policy, NEAP_ASK_PICK);
  assert_int_equal(p.board.answer, 0);
  neap_policy_close(&policy);
  assert_int_equal(open_with(&p, source, &two, &policy, &err), 0);
  neap_policy_decide(policy, NEAP_ASK_PICK);
  assert_int_equal(p.board.answer, 1);
  neap_policy_close(&policy);
  assert_true(open_with(&p, source, &nine, &policy, &err) < 0);
  assert_string_equal(err.text, "m.lua:2: m: 'which' must be a whole number from 1 to 3");
  assert_true(open_with(&p, source, &typo, &policy, &err) < 0);
  assert_string_equal(err.text, "m.lua:2: m: unknown parameter 'whcih', did you mean 'which'?");
  assert_true(open_with(&p, "return function() return 1 end", &two, &policy, &err) < 0);
}

static void test_files_that_are_no_policies_are_refused(void **state) {
  (void)state;
  static const char *const wrong[] = {
      "return 5",          "return {}", "return { pick = 3 }", "local x = = 1", "error 'no'",
      "while true do end", "",          "return require 'ffi'"};
  pool p;
  start(&p, 1);
  const neap_policy_env env = {.host = &host, .generation = 1, .pick = &p.board};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    neap_policy *policy = NULL;
    neap_err err = {0};
    assert_true(neap_policy_open(registry, NEAP_BALANCE, "bad.lua", wrong[i], &env, NULL, 0, &policy, &err) <
                0);
    assert_null(policy);
    assert_true(err.text[0] != 0);
  }
  neap_policy *policy = NULL;
  neap_err err = {0};
  assert_int_equal(neap_policy_open(registry, NEAP_BALANCE, "nothere", NULL, &env, NULL, 0, &policy, &err),
                   NEAP_ENOTFOUND);
  assert_int_equal(
      neap_policy_open(registry, NEAP_BALANCE, "nothere.lua", NULL, &env, NULL, 0, &policy, &err),
      NEAP_ENOTFOUND);
  assert_non_null(strstr(err.text, "nothere.lua"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shipped_policies_never_need_the_guard),
      cmocka_unit_test(test_twins_decide_alike),
      cmocka_unit_test(test_p2c_sends_less_to_the_busy),
      cmocka_unit_test(test_consistent_hash_keeps_to_who_a_backend_is),
      cmocka_unit_test(test_text_of_the_caller_is_used_as_it_is),
      cmocka_unit_test(test_parameters_are_checked_and_reach_the_policy),
      cmocka_unit_test(test_files_that_are_no_policies_are_refused),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
