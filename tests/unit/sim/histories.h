/* Histories for the tests of verify: written by hand in one line each, and made by seed from a register that
 * is right. */
#ifndef NEAP_TESTS_SIM_HISTORIES_H
#define NEAP_TESTS_SIM_HISTORIES_H

#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "base/random.h"
#include "sim/verify.h"
#include "unit.h"

static inline neap_operation_value value_is(const char *text) {
  if (text == NULL) return (neap_operation_value){.known = false};
  if (strcmp(text, "-") == 0) return (neap_operation_value){.known = true};
  return (neap_operation_value){.known = true, .text = neap_view_of(text)};
}

static inline void add(neap_history *history, neap_operation operation) {
  neap_err err = {.text = ""};
  if (neap_history_add(history, &operation, neap_history_count(history) + 1, &err)) fail_msg("%s", err.text);
}

/* One operation: "CLIENT KEY get|set|delete|cas VALUE INVOKED RETURNED [RESULT [VERSION]]"; VALUE is "-" for
 * nothing, cas has "EXPECT>VALUE". */
static inline void add_line(neap_history *history, const char *line) {
  char client[16], key[16], kind[16], value[32], result[16] = "ok", *arrow;
  unsigned long long invoked, returned, version = 0;
  int got = sscanf(line, "%15s %15s %15s %31s %llu %llu %15s %llu", client, key, kind, value, &invoked,
                   &returned, result, &version);
  assert_true(got >= 6);
  neap_operation o = {.client = neap_view_of(client),
                      .key = neap_view_of(key),
                      .version = version,
                      .invoked = invoked,
                      .returned = returned};
  while (strcmp(neap_operation_kinds[o.kind], kind) != 0) o.kind++;
  while (strcmp(neap_operation_results[o.result], result) != 0) o.result++;
  if ((arrow = strchr(value, '>')) != NULL) {
    *arrow = 0;
    o.expect = value_is(value);
    o.value = value_is(arrow + 1);
  } else {
    o.value = value_is(value);
  }
  add(history, o);
}

static inline neap_history *history_of(const char *const *lines) {
  neap_history *history;
  assert_int_equal(neap_history_create(&history), 0);
  for (; *lines; lines++) add_line(history, *lines);
  return history;
}
#define HISTORY(...) history_of((const char *const[]){__VA_ARGS__, NULL})

static inline neap_verify_result verify(const neap_history *history, const neap_verify_options *options) {
  neap_verify_result result;
  neap_err err = {.text = ""};
  if (neap_verify_run(history, options, &result, &err)) fail_msg("%s", err.text);
  return result;
}

/* The verdict of one check, with the options of the default but for the bound of staleness. Takes the
 * history. */
static inline neap_verdict verdict_of(neap_history *history, neap_check check, uint64_t staleness_ns) {
  neap_verify_options options = neap_verify_options_default;
  options.checks = 1u << check;
  options.staleness_ns = staleness_ns;
  neap_verify_result result = verify(history, &options);
  neap_verdict verdict = result.checks[check].verdict;
  neap_verify_result_fini(&result);
  neap_history_destroy(&history);
  return verdict;
}

/* --- made by seed ------------------------------------------------------------------------------------------
 */

typedef struct maker {
  uint32_t operations, clients, keys;
  uint32_t unknown_percent; /* of writes whose outcome nobody was told */
  bool versions;
} maker;

typedef struct made_register {
  char value[24]; /* "-": nothing */
  uint64_t version;
} made_register;

/* Operations of each client follow one another; each takes effect at a moment between its two ends, and the
 * moments order the register's states: so the history is right, with everything that goes with being so. */
static inline void make_history(const maker *m, uint64_t seed, neap_operation *out, char (*texts)[3][24]) {
  neap_random random = {seed};
  made_register *registers = calloc(m->keys, sizeof *registers);
  uint64_t *free_at = calloc(m->clients, sizeof *free_at);
  assert_true(registers && free_at);
  for (uint32_t i = 0; i < m->keys; i++) strcpy(registers[i].value, "-");
  for (uint32_t i = 0; i < m->operations; i++) {
    uint64_t moment = 1000 + (uint64_t)i * 100; /* effects are in the order of i */
    uint32_t client = (uint32_t)neap_random_below(&random, m->clients);
    uint32_t key = (uint32_t)neap_random_below(&random, m->keys);
    made_register *now = &registers[key];
    neap_operation *o = &out[i];
    uint64_t before = neap_random_below(&random, 400), after = neap_random_below(&random, 400);
    *o = (neap_operation){.invoked = NEAP_MAX(free_at[client] + 1, moment - before),
                          .returned = moment + after};
    if (o->invoked > moment) { /* its client is busy: another one, that nobody has seen yet */
      client = m->clients + i;
      o->invoked = moment - before;
    } else {
      free_at[client] = o->returned;
    }
    snprintf(texts[i][0], 24, "c%u", client);
    snprintf(texts[i][1], 24, "k%u", key);
    o->client = neap_view_of(texts[i][0]);
    o->key = neap_view_of(texts[i][1]);
    uint64_t what = neap_random_below(&random, 100);
    snprintf(texts[i][2], 24, "v%u", i);
    if (what < 50) {
      o->kind = NEAP_OPERATION_GET;
      strcpy(texts[i][2], now->value);
      o->value = value_is(texts[i][2]);
      o->version = m->versions ? now->version : 0;
      continue;
    }
    o->kind = what < 75 ? NEAP_OPERATION_SET : what < 85 ? NEAP_OPERATION_DELETE : NEAP_OPERATION_CAS;
    bool applied = true;
    if (o->kind == NEAP_OPERATION_CAS) {
      bool right = neap_random_below(&random, 2);
      static const neap_view never = {"never", 5};
      o->expect = right ? (neap_operation_value){.known = true} : (neap_operation_value){true, never};
      if (right && strcmp(now->value, "-") != 0) { /* the text must live as long as the operation */
        uint32_t by = (uint32_t)strtoul(now->value + 1, NULL, 10);
        o->expect.text = neap_view_of(texts[by][2]);
      }
      applied = right;
      if (!right) o->result = NEAP_RESULT_REFUSED;
    }
    if (o->kind != NEAP_OPERATION_DELETE) o->value = value_is(texts[i][2]);
    if (applied) {
      strcpy(now->value, o->kind == NEAP_OPERATION_DELETE ? "-" : texts[i][2]);
      now->version = i + 1;
      o->version = m->versions ? now->version : 0;
    }
    if (neap_random_below(&random, 100) < m->unknown_percent) o->result = NEAP_RESULT_UNKNOWN;
  }
  free(registers), free(free_at);
}

static inline neap_history *history_from(const neap_operation *operations, uint32_t count) {
  neap_history *history;
  assert_int_equal(neap_history_create(&history), 0);
  for (uint32_t i = 0; i < count; i++) add(history, operations[i]);
  return history;
}

#endif
