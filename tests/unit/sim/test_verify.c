/* The checkers, checked: known good and known bad histories, by hand, by seed, and against a checker that
 * simply tries all orders. */
#include "histories.h"

static void assert_linear(neap_history *history, neap_verdict verdict) {
  assert_int_equal(verdict_of(history, NEAP_CHECK_LINEARIZABLE, 0), verdict);
}

static void test_linear_histories_by_hand(void **state) {
  (void)state;
  assert_linear(HISTORY("a k get - 1 2"), NEAP_VERDICT_HOLDS);
  assert_linear(HISTORY("a k set x 1 2", "b k get x 3 4", "a k delete - 5 6", "b k get - 7 8"),
                NEAP_VERDICT_HOLDS);
  /* overlapping: the read may come before or after */
  assert_linear(HISTORY("a k set x 1 10", "b k get - 2 3", "b k get x 4 5"), NEAP_VERDICT_HOLDS);
  assert_linear(HISTORY("a k set x 1 10", "b k get x 2 3"), NEAP_VERDICT_HOLDS);
  /* what ends where another begins overlaps */
  assert_linear(HISTORY("a k set x 1 5", "b k get - 5 6"), NEAP_VERDICT_HOLDS);
  /* keys have nothing to do with each other */
  assert_linear(HISTORY("a k set x 1 2", "a l set y 3 4", "b l get y 5 6", "b k get x 5 6"),
                NEAP_VERDICT_HOLDS);
  assert_linear(HISTORY("a k cas ->x 1 2", "b k cas x>y 3 4", "b k cas x>z 5 6 refused", "a k get y 7 8"),
                NEAP_VERDICT_HOLDS);
  /* two sets at once, and readers that agree on their order */
  assert_linear(
      HISTORY("a k set x 1 10", "b k set y 1 10", "c k get x 2 3", "c k get y 4 5", "d k get y 6 7"),
      NEAP_VERDICT_HOLDS);
}

static void test_linear_faults_by_hand(void **state) {
  (void)state;
  assert_linear(HISTORY("a k get x 1 2"), NEAP_VERDICT_VIOLATED);                  /* never written */
  assert_linear(HISTORY("a k set x 1 2", "b k get - 3 4"), NEAP_VERDICT_VIOLATED); /* not seen */
  assert_linear(HISTORY("a k get x 1 2", "a k set x 3 4"), NEAP_VERDICT_VIOLATED); /* seen too early */
  assert_linear(HISTORY("a k set x 1 2", "a k set y 3 4", "b k get x 5 6"),
                NEAP_VERDICT_VIOLATED); /* stale */
  assert_linear(HISTORY("a k set x 1 2", "a k delete - 3 4", "b k get x 5 6"), NEAP_VERDICT_VIOLATED);
  /* seen, and then unseen, while the write is under way */
  assert_linear(HISTORY("a k set x 1 10", "b k get x 2 3", "c k get - 4 5"), NEAP_VERDICT_VIOLATED);
  /* readers that do not agree */
  assert_linear(HISTORY("a k set x 1 10", "b k set y 1 10", "c k get x 2 3", "c k get y 4 5", "d k get y 2 3",
                        "d k get x 4 5"),
                NEAP_VERDICT_VIOLATED);
  /* two that both won */
  assert_linear(HISTORY("a k set x 1 2", "b k cas x>y 3 9", "c k cas x>z 3 9"), NEAP_VERDICT_VIOLATED);
  /* refused for no reason */
  assert_linear(HISTORY("a k set x 1 2", "b k cas x>y 3 4 refused"), NEAP_VERDICT_VIOLATED);
}

static void test_linear_unknown_results_may_happen_later_or_never(void **state) {
  (void)state;
  assert_linear(HISTORY("a k set x 1 2 unknown", "b k get - 3 4", "b k get x 50 60"), NEAP_VERDICT_HOLDS);
  assert_linear(HISTORY("a k set x 1 2 unknown", "b k get - 3 4"), NEAP_VERDICT_HOLDS);
  assert_linear(HISTORY("a k set x 1 2 unknown", "b k get x 3 4", "b k get - 5 6"),
                NEAP_VERDICT_VIOLATED);                                                    /* once */
  assert_linear(HISTORY("a k set x 5 6 unknown", "b k get x 3 4"), NEAP_VERDICT_VIOLATED); /* not before */
  assert_linear(HISTORY("a k set x 1 2 fail", "b k get x 3 4"), NEAP_VERDICT_VIOLATED);    /* never */
  assert_linear(HISTORY("a k cas q>x 1 2 unknown", "b k get x 3 4"), NEAP_VERDICT_VIOLATED);
  assert_linear(HISTORY("a k set x 1 2", "a k set y 3 4 unknown", "b k cas x>z 5 6 refused"),
                NEAP_VERDICT_HOLDS);
}

static void test_linear_versions_count_too(void **state) {
  (void)state;
  assert_linear(HISTORY("a k set x 1 2 ok 5", "b k get x 3 4 ok 5"), NEAP_VERDICT_HOLDS);
  assert_linear(HISTORY("a k set x 1 2 ok 5", "b k get x 3 4 ok 6"), NEAP_VERDICT_VIOLATED);
  assert_linear(HISTORY("a k set x 1 2 ok 5", "b k set x 3 4 ok 5"), NEAP_VERDICT_VIOLATED); /* they grow */
  assert_linear(HISTORY("a k set x 1 2 ok 5", "b k set x 3 4 ok 4"), NEAP_VERDICT_VIOLATED);
  /* the same text twice: the version tells which */
  assert_linear(HISTORY("a k set x 1 2 ok 5", "b k set x 3 4 ok 6", "c k get x 5 6 ok 5"),
                NEAP_VERDICT_VIOLATED);
  /* a version that is not known is the one that is seen first */
  assert_linear(HISTORY("a k set x 1 2 unknown", "b k get x 3 4 ok 6", "b k get x 5 6 ok 7"),
                NEAP_VERDICT_VIOLATED);
}

static void test_linear_eventual_reads_are_left_out(void **state) {
  (void)state;
  neap_history *history = HISTORY("a k set x 1 2");
  add(history, (neap_operation){.eventual = true,
                                .client = neap_view_of("b"),
                                .key = neap_view_of("k"),
                                .value = value_is("-"),
                                .invoked = 3,
                                .returned = 4});
  assert_linear(history, NEAP_VERDICT_HOLDS);
}

static void test_linear_any_start_takes_what_it_finds_once(void **state) {
  (void)state;
  neap_verify_options options = neap_verify_options_default;
  options.any_start = true;
  static const struct {
    const char *second;
    neap_verdict verdict;
  } cases[] = {{"a k get x 3 4", NEAP_VERDICT_HOLDS}, {"a k get y 3 4", NEAP_VERDICT_VIOLATED}};
  for (size_t i = 0; i < NEAP_COUNT_OF(cases); i++) {
    neap_history *history = HISTORY("a k get x 1 2", cases[i].second);
    neap_verify_result result = verify(history, &options);
    assert_int_equal(result.checks[NEAP_CHECK_LINEARIZABLE].verdict, cases[i].verdict);
    neap_verify_result_fini(&result);
    neap_history_destroy(&history);
  }
}

/* --- by trying all orders
 * ----------------------------------------------------------------------------------- */

enum { FEW = 6 };

/* Whether some order of the operations not in `done` explains them, from `value` on. Written to be plainly
 * right: no cleverness, one value. */
static bool has_order(const neap_operation *o, int count, unsigned done, const char *value) {
  bool all = true;
  for (int i = 0; i < count; i++)
    if (!(done & 1u << i) && o[i].result != NEAP_RESULT_UNKNOWN && o[i].result != NEAP_RESULT_FAIL)
      all = false;
  if (all) return true;
  for (int i = 0; i < count; i++) {
    if (done & 1u << i || o[i].result == NEAP_RESULT_FAIL) continue;
    bool first = true; /* nobody who is not done has returned before it was invoked */
    for (int j = 0; j < count; j++)
      if (!(done & 1u << j) && o[j].result != NEAP_RESULT_UNKNOWN && o[j].result != NEAP_RESULT_FAIL &&
          o[j].returned < o[i].invoked)
        first = false;
    if (!first) continue;
    const char *text = o[i].value.text.ptr ? o[i].value.text.ptr : "-", *next = value;
    const char *expect = o[i].expect.text.ptr ? o[i].expect.text.ptr : "-";
    bool fits = true;
    if (o[i].kind == NEAP_OPERATION_GET)
      fits = o[i].result == NEAP_RESULT_UNKNOWN || strcmp(text, value) == 0;
    if (o[i].kind == NEAP_OPERATION_SET) next = text;
    if (o[i].kind == NEAP_OPERATION_DELETE) next = "-";
    if (o[i].kind == NEAP_OPERATION_CAS) {
      fits = (strcmp(expect, value) == 0) == (o[i].result != NEAP_RESULT_REFUSED);
      if (o[i].result != NEAP_RESULT_REFUSED) next = text;
    }
    if (fits && has_order(o, count, done | 1u << i, next)) return true;
  }
  return false;
}

static neap_operation any_operation(neap_random *random) {
  static const char *const clients[] = {"a", "b", "c"}, *const values[] = {"x", "y"};
  neap_operation o = {.client = neap_view_of(clients[neap_random_below(random, 3)]),
                      .key = neap_view_of("k"),
                      .kind = (neap_operation_kind)neap_random_below(random, 4),
                      .invoked = neap_random_below(random, 20)};
  o.returned = o.invoked + neap_random_below(random, 12);
  const char *value = values[neap_random_below(random, 2)];
  uint64_t result = neap_random_below(random, 10);
  o.result = result < 7 ? NEAP_RESULT_OK : result < 9 ? NEAP_RESULT_UNKNOWN : NEAP_RESULT_FAIL;
  o.value = value_is(value);
  if (o.kind == NEAP_OPERATION_GET && neap_random_below(random, 3) == 0) o.value = value_is("-");
  if (o.kind == NEAP_OPERATION_DELETE) o.value = value_is("-");
  if (o.kind == NEAP_OPERATION_CAS) {
    uint64_t expect = neap_random_below(random, 3);
    o.expect = value_is(expect < 2 ? values[expect] : "-");
    if (neap_random_below(random, 3) == 0) o.result = NEAP_RESULT_REFUSED;
  }
  return o;
}

static void test_linear_agrees_with_trying_all_orders(void **state) {
  (void)state;
  neap_random random = {7};
  uint32_t good = 0, bad = 0;
  for (int round = 0; round < 60000; round++) {
    neap_operation operations[FEW];
    int count = 2 + (int)neap_random_below(&random, FEW - 1);
    for (int i = 0; i < count; i++) operations[i] = any_operation(&random);
    bool right = has_order(operations, count, 0, "-");
    neap_verdict verdict = verdict_of(history_from(operations, (uint32_t)count), NEAP_CHECK_LINEARIZABLE, 0);
    if ((verdict == NEAP_VERDICT_HOLDS) != right)
      fail_msg("round %d: %s", round, neap_verdict_names[verdict]);
    right ? good++ : bad++;
  }
  assert_true(good > 10000 && bad > 10000); /* both kinds were tried */
}

/* What a finding names has no order by itself, and leaving out any read, or a write that nobody in it saw,
 * makes it one. */
static void test_linear_findings_are_faults_by_themselves_and_smallest(void **state) {
  (void)state;
  neap_random random = {8};
  neap_verify_options options = neap_verify_options_default;
  options.checks = 1u << NEAP_CHECK_LINEARIZABLE;
  int found = 0;
  for (int round = 0; round < 20000; round++) {
    neap_operation operations[FEW], named[FEW];
    for (int i = 0; i < FEW; i++) operations[i] = any_operation(&random);
    neap_history *history = history_from(operations, FEW);
    neap_verify_result result = verify(history, &options);
    const neap_check_result *check = &result.checks[NEAP_CHECK_LINEARIZABLE];
    for (uint32_t f = 0; f < check->finding_count; f++, found++) {
      const neap_finding *finding = &check->findings[f];
      assert_true(finding->minimal && finding->count >= 1);
      for (uint32_t i = 0; i < finding->count; i++) named[i] = operations[finding->operations[i]];
      assert_false(has_order(named, (int)finding->count, 0, "-"));
      for (uint32_t i = 0; i < finding->count; i++) {
        if (i) assert_true(named[i - 1].invoked <= named[i].invoked);
        if (named[i].kind != NEAP_OPERATION_GET && named[i].result != NEAP_RESULT_REFUSED) continue;
        neap_operation fewer[FEW];
        memcpy(fewer, named, sizeof named);
        fewer[i].result = NEAP_RESULT_FAIL; /* as if it were not there */
        bool cut = false; /* what had not returned when the fault showed is named as it went on later */
        for (uint32_t j = 0; j < finding->count; j++)
          for (uint32_t k = 0; k < finding->count; k++) cut |= named[j].returned > named[k].returned;
        if (!cut) assert_true(has_order(fewer, (int)finding->count, 0, "-"));
      }
    }
    neap_verify_result_fini(&result);
    neap_history_destroy(&history);
  }
  assert_true(found > 3000);
}

/* What explains an answer stays with it: a stale read is shown with the write that it saw and the one that it
 * should have seen, and with nothing else. */
static void test_linear_findings_keep_what_explains_them(void **state) {
  (void)state;
  neap_history *history = HISTORY("z k set q 1 2", "z k get q 3 4", "a k set x 5 6", "z k get x 7 8",
                                  "a k set y 9 10", "z l set x 9 10", "b k get x 11 12", "z k set q 13 14",
                                  "z k delete - 15 16", "z k get - 17 18");
  neap_verify_result result = verify(history, &neap_verify_options_default);
  const neap_check_result *check = &result.checks[NEAP_CHECK_LINEARIZABLE];
  assert_int_equal(check->finding_count, 1);
  assert_int_equal(check->findings[0].count, 3);
  static const uint32_t expected[] = {2, 4, 6};
  assert_memory_equal(check->findings[0].operations, expected, sizeof expected);
  neap_verify_result_fini(&result);
  neap_history_destroy(&history);
}

/* --- by seed
 * ------------------------------------------------------------------------------------------------- */

enum { MANY = 3000 };

static neap_operation operations[MANY];
static char texts[MANY][3][24];

static void test_good_histories_of_every_seed_hold(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 40; seed++) {
    maker m = {.operations = MANY,
               .clients = 2 + (uint32_t)seed % 14,
               .keys = 1 + (uint32_t)seed % 5 * 4,
               .unknown_percent = seed % 3 ? 0 : 5,
               .versions = seed % 2};
    make_history(&m, seed, operations, texts);
    neap_history *history = history_from(operations, MANY);
    neap_verify_options options = neap_verify_options_default;
    options.checks = (1u << NEAP_CHECK_COUNT) - 1;
    options.staleness_ns = 400; /* reads take effect at most so long after they were invoked */
    neap_verify_result result = verify(history, &options);
    for (int check = 0; check < NEAP_CHECK_COUNT; check++) {
      bool versions = check == NEAP_CHECK_LINEARIZABLE || m.versions;
      if (result.checks[check].verdict != NEAP_VERDICT_HOLDS && versions)
        fail_msg("seed %u: %s: %s", (unsigned)seed, neap_check_options[check],
                 neap_verdict_names[result.checks[check].verdict]);
      if (!versions && check != NEAP_CHECK_LINEARIZABLE) assert_int_equal(result.checks[check].checked, 0);
    }
    assert_int_equal(result.checks[NEAP_CHECK_LINEARIZABLE].unchecked, 0);
    neap_verify_result_fini(&result);
    neap_history_destroy(&history);
  }
}

/* Finds a read that somebody's write, over and done, makes stale when it is given the value before. */
static bool make_stale(const maker *m, uint64_t seed) {
  neap_random random = {seed};
  uint32_t start = (uint32_t)neap_random_below(&random, m->operations);
  for (uint32_t n = 0; n < m->operations; n++) {
    uint32_t i = (start + n) % m->operations;
    neap_operation *read = &operations[i];
    if (read->kind != NEAP_OPERATION_GET) continue;
    int newer = -1;
    for (uint32_t j = i; j-- > 0;) { /* effects are in the order of indexes */
      const neap_operation *w = &operations[j];
      bool set = w->kind == NEAP_OPERATION_SET && w->result == NEAP_RESULT_OK;
      if (!set || strcmp(texts[j][1], texts[i][1]) != 0) continue;
      if (newer < 0 && w->returned < read->invoked)
        newer = (int)j;
      else if (newer >= 0 && w->returned < operations[newer].invoked) {
        read->value = w->value;
        read->version = w->version;
        return true;
      }
    }
  }
  return false;
}

static void test_stale_reads_are_found_in_every_seed(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 60; seed++) {
    maker m = {
        .operations = MANY, .clients = 6, .keys = 10, .unknown_percent = seed % 4, .versions = seed % 2};
    make_history(&m, seed, operations, texts);
    assert_true(make_stale(&m, seed));
    neap_history *history = history_from(operations, MANY);
    neap_verify_options options = neap_verify_options_default;
    options.checks = 1u << NEAP_CHECK_LINEARIZABLE | 1u << NEAP_CHECK_STALENESS;
    options.staleness_ns = 0;
    neap_verify_result result = verify(history, &options);
    const neap_check_result *linear = &result.checks[NEAP_CHECK_LINEARIZABLE];
    assert_int_equal(linear->verdict, NEAP_VERDICT_VIOLATED);
    assert_int_equal(linear->violations, 1); /* the other keys are in order */
    assert_int_equal(linear->checked, 10);
    assert_true(linear->findings[0].minimal);
    assert_in_range(linear->findings[0].count, 3, 12); /* of 300 */
    if (m.versions) assert_int_equal(result.checks[NEAP_CHECK_STALENESS].verdict, NEAP_VERDICT_VIOLATED);
    neap_verify_result_fini(&result);
    neap_history_destroy(&history);
  }
}

static void test_other_mutations_are_found(void **state) {
  (void)state;
  int tried[3] = {0};
  for (uint64_t seed = 0; seed < 60; seed++) {
    maker m = {.operations = MANY, .clients = 6, .keys = 10, .versions = false};
    make_history(&m, seed, operations, texts);
    neap_random random = {seed};
    int kind = (int)(seed % 3);
    for (uint32_t n = 0, i = (uint32_t)neap_random_below(&random, MANY); n < MANY; n++, i = (i + 1) % MANY) {
      neap_operation *o = &operations[i];
      if (kind == 0 && o->kind == NEAP_OPERATION_GET) {
        o->value = value_is("phantom");
      } else if (kind == 1 && o->kind == NEAP_OPERATION_CAS && o->result == NEAP_RESULT_REFUSED) {
        o->result = NEAP_RESULT_OK; /* won with an expectation that was never true */
      } else if (kind == 2 && o->kind == NEAP_OPERATION_GET && o->value.text.ptr) {
        o->value = value_is("-"); /* lost: nothing there, though this key is never deleted */
        for (uint32_t j = 0; j < MANY; j++)
          if (operations[j].kind == NEAP_OPERATION_DELETE || operations[j].kind == NEAP_OPERATION_CAS)
            operations[j] = (neap_operation){.kind = NEAP_OPERATION_GET,
                                             .client = operations[j].client,
                                             .key = neap_view_of("other"),
                                             .value = value_is("-"),
                                             .invoked = operations[j].invoked,
                                             .returned = operations[j].returned};
      } else {
        continue;
      }
      tried[kind]++;
      break;
    }
    neap_history *history = history_from(operations, MANY);
    assert_linear(history, NEAP_VERDICT_VIOLATED);
  }
  for (int i = 0; i < 3; i++) assert_int_equal(tried[i], 20);
}

/* Writes of unknown result, all seen at once, and a read that none explains: every subset would have to be
 * tried. It says that it does not know, and soon. */
static void test_linear_gives_up_at_its_limits(void **state) {
  (void)state;
  for (int limit = 0; limit < 2; limit++) {
    neap_history *history;
    assert_int_equal(neap_history_create(&history), 0);
    for (int i = 0; i < 40; i++) {
      char line[64];
      snprintf(line, sizeof line, "c%d k set v%d 1 100", i, i);
      add_line(history, line);
      snprintf(line, sizeof line, "d%d k cas v%d>w%d 1 100", i, i, i);
      add_line(history, line);
    }
    add_line(history, "e k cas nobody>z 1 100");
    neap_verify_options options = neap_verify_options_default;
    options.checks = 1u << NEAP_CHECK_LINEARIZABLE;
    if (limit == 0) options.steps = 100000;
    if (limit == 1) options.memory = 1 << 16;
    neap_verify_result result = verify(history, &options);
    assert_int_equal(result.checks[NEAP_CHECK_LINEARIZABLE].verdict, NEAP_VERDICT_UNKNOWN);
    assert_int_equal(result.checks[NEAP_CHECK_LINEARIZABLE].unchecked, 1);
    neap_verify_result_fini(&result);
    neap_history_destroy(&history);
  }
}

/* --- sessions
 * -------------------------------------------------------------------------------------------------- */

static void test_sessions_by_hand(void **state) {
  (void)state;
  const neap_verdict holds = NEAP_VERDICT_HOLDS, violated = NEAP_VERDICT_VIOLATED;
  neap_check check = NEAP_CHECK_MONOTONIC_READS;
  assert_int_equal(verdict_of(HISTORY("a k get x 1 2 ok 5", "a k get x 3 4 ok 5"), check, 0), holds);
  assert_int_equal(verdict_of(HISTORY("a k get x 1 2 ok 5", "a k get w 3 4 ok 4"), check, 0), violated);
  assert_int_equal(verdict_of(HISTORY("a k get x 1 2 ok 5", "b k get w 3 4 ok 4"), check, 0),
                   holds); /* another's */
  assert_int_equal(verdict_of(HISTORY("a k get x 1 2 ok 5", "a l get w 3 4 ok 4"), check, 0), holds);
  assert_int_equal(verdict_of(HISTORY("a k get x 1 3 ok 5", "a k get w 3 4 ok 4"), check, 0),
                   holds); /* overlap */
  /* versions that only the writes tell */
  assert_int_equal(
      verdict_of(HISTORY("b k set w 1 2 ok 4", "b k set x 3 4 ok 5", "a k get x 5 6", "a k get w 7 8"), check,
                 0),
      violated);
  /* the first read's return lies behind many others */
  assert_int_equal(verdict_of(HISTORY("a k get x 1 2 ok 9", "a k get x 3 9 ok 9", "a k get x 4 5 ok 9",
                                      "a k get y 6 7 ok 8"),
                              check, 0),
                   violated);

  check = NEAP_CHECK_READ_YOUR_WRITES;
  assert_int_equal(verdict_of(HISTORY("a k set x 1 2 ok 5", "a k get x 3 4 ok 5"), check, 0), holds);
  assert_int_equal(verdict_of(HISTORY("a k set x 1 2 ok 5", "a k get x 3 4 ok 6"), check, 0), holds);
  assert_int_equal(verdict_of(HISTORY("a k set x 1 2 ok 5", "a k get w 3 4 ok 4"), check, 0), violated);
  assert_int_equal(verdict_of(HISTORY("a k delete - 1 2 ok 5", "a k get w 3 4 ok 4"), check, 0), violated);
  assert_int_equal(verdict_of(HISTORY("a k set x 1 2 unknown 5", "a k get w 3 4 ok 4"), check, 0), holds);

  check = NEAP_CHECK_MONOTONIC_WRITES;
  assert_int_equal(verdict_of(HISTORY("a k set x 1 2 ok 5", "a k set y 3 4 ok 6"), check, 0), holds);
  assert_int_equal(verdict_of(HISTORY("a k set x 1 2 ok 5", "a k set y 3 4 ok 5"), check, 0), violated);
  assert_int_equal(verdict_of(HISTORY("a k set x 1 2 ok 5", "a k cas x>y 3 4 ok 4"), check, 0), violated);

  check = NEAP_CHECK_STALENESS;
  assert_int_equal(verdict_of(HISTORY("b k set x 1 10 ok 5", "a k get w 60 70 ok 4"), check, 50), holds);
  assert_int_equal(verdict_of(HISTORY("b k set x 1 10 ok 5", "a k get w 61 70 ok 4"), check, 50), violated);
  assert_int_equal(
      verdict_of(HISTORY("b k set x 1 10 ok 5", "b k set y 1 90 ok 6", "a k get x 99 100 ok 5"), check, 50),
      holds);
  /* the newest is fresh, but one before it was not seen either */
  assert_int_equal(
      verdict_of(HISTORY("b k set x 1 10 ok 5", "b k set y 90 95 ok 6", "a k get w 96 97 ok 4"), check, 50),
      violated);
  assert_int_equal(verdict_of(HISTORY("b k set x 1 10 ok 5", "a l get w 96 97 ok 4"), check, 50), holds);
}

static void test_staleness_is_measured(void **state) {
  (void)state;
  neap_history *history = HISTORY("b k set x 1 10 ok 5", "b k set y 11 20 ok 6", "a k get w 60 61 ok 4",
                                  "a k get x 100 101 ok 5", "a k get y 102 103 ok 6");
  neap_verify_options options = neap_verify_options_default;
  options.checks = 1u << NEAP_CHECK_STALENESS;
  options.staleness_ns = 60;
  neap_verify_result result = verify(history, &options);
  const neap_check_result *check = &result.checks[NEAP_CHECK_STALENESS];
  assert_int_equal(check->worst_ns, 80); /* x, 80 after y was acknowledged */
  assert_int_equal(check->violations, 1);
  assert_int_equal(check->findings[0].excess_ns, 80);
  assert_int_equal(check->findings[0].operations[0], 1);
  assert_int_equal(check->findings[0].operations[1], 3);
  neap_verify_result_fini(&result);
  neap_history_destroy(&history);
}

static void test_sessions_without_versions_are_unknown(void **state) {
  (void)state;
  assert_int_equal(verdict_of(HISTORY("a k get x 1 2", "a k get y 3 4"), NEAP_CHECK_MONOTONIC_READS, 0),
                   NEAP_VERDICT_UNKNOWN);
  /* one text, two versions: it tells neither */
  assert_int_equal(verdict_of(HISTORY("b k set x 1 2 ok 4", "b k set x 3 4 ok 5", "a k get x 5 6"),
                              NEAP_CHECK_MONOTONIC_READS, 0),
                   NEAP_VERDICT_UNKNOWN);
}

/* --- adding and reading
 * ------------------------------------------------------------------------------------------ */

static void test_history_refuses_what_does_not_fit_together(void **state) {
  (void)state;
  neap_history *history;
  neap_err err;
  assert_int_equal(neap_history_create(&history), 0);
  const neap_operation good = {.kind = NEAP_OPERATION_SET,
                               .client = neap_view_of("a"),
                               .key = neap_view_of("k"),
                               .value = value_is("x"),
                               .invoked = 5,
                               .returned = 6};
  assert_int_equal(neap_history_add(history, &good, 1, &err), 0);
  neap_operation wrong[6] = {good, good, good, good, good, good};
  wrong[0].returned = 4;
  wrong[1].result = NEAP_RESULT_REFUSED;
  wrong[2].kind = NEAP_OPERATION_CAS; /* expects nothing at all */
  wrong[3].expect = value_is("y");
  wrong[4].value = value_is("-");
  wrong[5].kind = NEAP_OPERATION_GET, wrong[5].value = value_is(NULL);
  for (size_t i = 0; i < NEAP_COUNT_OF(wrong); i++)
    assert_int_equal(neap_history_add(history, &wrong[i], 1, &err), NEAP_EINVAL);
  assert_int_equal(neap_history_count(history), 1);
  neap_history_destroy(&history);
}

static int read_text(const char *text, uint32_t *count, neap_err *err) {
  char path[] = "/tmp/neap-history-XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  FILE *file = fdopen(fd, "w");
  fputs(text, file);
  fclose(file);
  neap_history *history;
  assert_int_equal(neap_history_create(&history), 0);
  int rc = neap_history_read(history, path, err);
  *count = neap_history_count(history);
  if (rc == 0 && *count == 2) {
    neap_operation o;
    assert_int_equal(neap_history_get(history, 1, &o), 3);
    assert_true(neap_view_is(o.client, "7") && neap_view_is(o.key, "k\n") && neap_view_is(o.value.text, "9"));
    assert_true(o.kind == NEAP_OPERATION_CAS && o.expect.known && o.expect.text.ptr == NULL);
    assert_int_equal(o.version, 12);
    assert_int_equal(neap_history_keys(history), 1);
    assert_int_equal(neap_history_clients(history), 2);
  }
  neap_history_destroy(&history);
  remove(path);
  return rc;
}

#define GOOD                                                                                                 \
  "{\"client\":\"a\",\"op\":\"get\",\"key\":\"k\\n\",\"value\":null,\"invoke\":1,\"return\":2,\"result\":"   \
  "\"ok\"}\n"

static void test_history_is_read_from_json_lines(void **state) {
  (void)state;
  uint32_t count;
  neap_err err = {.text = ""};
  int rc = read_text(
      GOOD "\n{\"client\":7,\"op\":\"cas\",\"key\":\"k\\n\",\"expect\":null,\"value\":9,\"invoke\":3,"
           "\"result\":\"unknown\",\"version\":12,\"note\":{\"any\":1}}",
      &count, &err);
  if (rc) fail_msg("%s", err.text);
  assert_int_equal(count, 2);
}

static void test_history_errors_name_the_line(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"{", "}' expected"}, /* jansson's words */
      {"[1]", "not an object"},
      {"{\"client\":\"a\",\"clinet\":1}", "unknown field 'clinet'"},
      {"{\"client\":\"a\"}", "'op' is get"},
      {"{\"op\":\"get\"}", "'result' is ok"},
      {"{\"op\":\"get\",\"result\":\"ok\",\"client\":[]}", "'client' is a text"},
      {"{\"op\":\"get\",\"result\":\"ok\",\"client\":1}", "'key' is a text"},
      {"{\"op\":\"get\",\"result\":\"ok\",\"client\":1,\"key\":1,\"value\":1.5}", "values are"},
      {"{\"op\":\"get\",\"result\":\"ok\",\"client\":1,\"key\":1,\"version\":-1}", "versions are"},
      {"{\"op\":\"get\",\"result\":\"ok\",\"client\":1,\"key\":1}", "'invoke' is"},
      {"{\"op\":\"get\",\"result\":\"ok\",\"client\":1,\"key\":1,\"invoke\":1}", "'return' is"},
      {"{\"op\":\"get\",\"result\":\"ok\",\"client\":1,\"key\":1,\"invoke\":1,\"return\":2}",
       "a get has a 'value'"},
      {"{\"op\":\"get\",\"op\":\"get\"}", "duplicate"},
      {"{\"op\":\"get\",\"result\":\"ok\",\"mode\":\"weak\"}", "'mode' is"},
  };
  for (size_t i = 0; i < NEAP_COUNT_OF(cases); i++) {
    char text[512];
    uint32_t count;
    neap_err err = {.text = ""};
    snprintf(text, sizeof text, GOOD "%s\n", cases[i][0]);
    assert_true(read_text(text, &count, &err) < 0);
    if (!strstr(err.text, ":2: error: ") || !strstr(err.text, cases[i][1])) fail_msg("%s", err.text);
  }
  char *longest = malloc(NEAP_HISTORY_LINE_MAX + 2);
  memset(longest, ' ', NEAP_HISTORY_LINE_MAX + 1);
  longest[NEAP_HISTORY_LINE_MAX + 1] = 0;
  uint32_t count;
  neap_err err;
  assert_int_equal(read_text(longest, &count, &err), NEAP_ESYNTAX);
  free(longest);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_linear_histories_by_hand),
      cmocka_unit_test(test_linear_faults_by_hand),
      cmocka_unit_test(test_linear_unknown_results_may_happen_later_or_never),
      cmocka_unit_test(test_linear_versions_count_too),
      cmocka_unit_test(test_linear_eventual_reads_are_left_out),
      cmocka_unit_test(test_linear_any_start_takes_what_it_finds_once),
      cmocka_unit_test(test_linear_agrees_with_trying_all_orders),
      cmocka_unit_test(test_linear_findings_are_faults_by_themselves_and_smallest),
      cmocka_unit_test(test_linear_findings_keep_what_explains_them),
      cmocka_unit_test(test_good_histories_of_every_seed_hold),
      cmocka_unit_test(test_stale_reads_are_found_in_every_seed),
      cmocka_unit_test(test_other_mutations_are_found),
      cmocka_unit_test(test_linear_gives_up_at_its_limits),
      cmocka_unit_test(test_sessions_by_hand),
      cmocka_unit_test(test_staleness_is_measured),
      cmocka_unit_test(test_sessions_without_versions_are_unknown),
      cmocka_unit_test(test_history_refuses_what_does_not_fit_together),
      cmocka_unit_test(test_history_is_read_from_json_lines),
      cmocka_unit_test(test_history_errors_name_the_line),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
