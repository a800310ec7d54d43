/* VMs that are made before they are needed. */
#include "unit.h"

#include <stdatomic.h>

#include "../route/request_board.h"
#include "loop/loop.h"
#include "script/script.h"
#include "script/vm.h"

/* Of the thread that asks: what the spares' own thread allocates is beside the point. */
static _Thread_local size_t allocated;
static _Atomic bool out_of_memory;

static void *count_alloc(void *user, size_t size) {
  (void)user;
  allocated += size;
  return atomic_load(&out_of_memory) ? NULL : malloc(size);
}

static void plain_free(void *user, void *block, size_t size) {
  (void)user, (void)size;
  free(block);
}

static neap_host host;

static int set_up(void **state) {
  (void)state;
  const neap_host wanted = {.alloc = count_alloc,
                            .free = plain_free,
                            .now_ms = neap_clock_now_ms,
                            .now_ns = neap_clock_now_ns,
                            .thread_cpu_ns = neap_clock_thread_cpu_ns,
                            .seed = 1};
  neap_host_complete(&wanted, &host);
  atomic_store(&out_of_memory, false);
  return 0;
}

static neap_spares *make(size_t count) {
  neap_spares *spares;
  assert_int_equal(neap_spares_create(&host, &spares), 0);
  neap_spares_want(spares, count);
  neap_spares_await(spares);
  return spares;
}

static neap_config *load(const char *text) {
  const neap_config_source source = {.name = "neap.lua", .text = text, .size = strlen(text)};
  neap_config *config;
  char *report;
  if (neap_config_load(&host, &source, 1, &config, &report)) fail_msg("%s", report);
  free(report);
  return config;
}

#define CONFIG                                                                                               \
  "local neap = require 'neap' neap.listen { http = ':8080' }\n"                                             \
  "neap.pool { name = 'app', backends = { 'a:1' }, balance = function() return 1 end }\n"                    \
  "local asked = 0\n"                                                                                        \
  "neap.route { path = '/', pool = 'app', when = function() asked = asked + 1 return asked % 2 == 1 end }\n"

static neap_worker_vm *worker(const neap_config *config, neap_spares *spares) {
  neap_worker_vm *made;
  neap_err err;
  if (neap_worker_vm_create(config, &host, spares, &made, &err)) fail_msg("%s", err.text);
  return made;
}

static void test_a_worker_takes_a_spare_one_and_is_like_any_other(void **state) {
  (void)state;
  neap_spares *spares = make(2);
  neap_config *config = load(CONFIG);
  assert_int_equal(neap_spares_count(spares), 2);
  neap_worker_vm *of_spare[2] = {worker(config, spares), worker(config, spares)};
  assert_int_equal(neap_spares_count(spares), 0);
  neap_worker_vm *other = worker(config, spares); /* there is none left */
  board b;
  board_set(&b, "GET", "a.test", "/");
  for (int i = 0; i < 10; i++) {
    int wanted = i % 2 == 0;
    assert_int_equal(neap_worker_when(of_spare[0], 0, &b.request), wanted);
    assert_int_equal(neap_worker_when(other, 0, &b.request), wanted);
  }
  assert_int_equal(neap_worker_when(of_spare[1], 0, &b.request), 1); /* each has variables of its own */
  neap_worker_vm_destroy(&of_spare[0]);
  neap_worker_vm_destroy(&of_spare[1]);
  neap_worker_vm_destroy(&other);
  neap_config_destroy(&config);
  neap_spares_destroy(&spares);
}

static size_t bytes_of_a_worker(const neap_config *config, neap_spares *spares) {
  size_t before = allocated;
  neap_worker_vm *made = worker(config, spares);
  neap_worker_vm_destroy(&made);
  return allocated - before;
}

static void test_who_takes_one_has_less_to_do(void **state) {
  (void)state;
  neap_spares *spares = make(1);
  neap_config *config = load(CONFIG);
  bytes_of_a_worker(config, NULL); /* every module is bytecode */
  size_t without = bytes_of_a_worker(config, NULL), with = bytes_of_a_worker(config, spares);
  if (with > without / 2) fail_msg("%zu bytes with a spare one, %zu without", with, without);
  neap_config_destroy(&config);
  neap_spares_destroy(&spares);
}

static void test_limits_and_names_are_those_of_who_takes_it(void **state) {
  (void)state;
  neap_spares *spares = make(1);
  const neap_vm_options options = {
      .host = &host, .name = "mine.lua", .memory_limit = 2 << 20, .budget_us = 1000};
  static const char bomb[] = "local t = {}\nfor i = 1, 1e9 do t[i] = { i } end";
  neap_vm *vm;
  neap_err err = {0};
  int ref;
  assert_int_equal(neap_vm_create_from(spares, &options, &vm, &err), 0);
  assert_int_equal(neap_spares_count(spares), 0);
  assert_int_equal(neap_vm_load(vm, "mine.lua", bomb, sizeof bomb - 1, &ref, &err), NEAP_EMEMCAP);
  assert_true(neap_vm_memory(vm) < 3 << 20);
  neap_vm_destroy(&vm);
  neap_spares_destroy(&spares);
}

static void test_as_many_are_kept_as_are_wanted(void **state) {
  (void)state;
  neap_spares *spares = make(4);
  assert_int_equal(neap_spares_count(spares), 4);
  neap_spares_want(spares, 1);
  assert_int_equal(neap_spares_count(spares), 1);
  neap_spares_want(spares, 1000);
  neap_spares_await(spares);
  assert_int_equal(neap_spares_count(spares), NEAP_SPARES_MAX);
  neap_spares_want(spares, 0);
  assert_int_equal(neap_spares_count(spares), 0);
  neap_spares_destroy(&spares);
}

static void test_without_memory_there_are_none_and_nobody_waits(void **state) {
  (void)state;
  neap_spares *spares;
  assert_int_equal(neap_spares_create(&host, &spares), 0);
  atomic_store(&out_of_memory, true);
  neap_spares_want(spares, 3);
  neap_spares_await(spares);
  assert_int_equal(neap_spares_count(spares), 0);
  atomic_store(&out_of_memory, false);
  neap_spares_want(spares, 1);
  neap_spares_await(spares);
  assert_int_equal(neap_spares_count(spares), 1);
  neap_spares_destroy(&spares);
}

/* Whoever stops does not wait for all of them. */
static void test_it_ends_while_it_makes_some(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) {
    neap_spares *spares;
    assert_int_equal(neap_spares_create(&host, &spares), 0);
    neap_spares_want(spares, NEAP_SPARES_MAX);
    neap_spares_destroy(&spares);
    assert_null(spares);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_a_worker_takes_a_spare_one_and_is_like_any_other, set_up),
      cmocka_unit_test_setup(test_who_takes_one_has_less_to_do, set_up),
      cmocka_unit_test_setup(test_limits_and_names_are_those_of_who_takes_it, set_up),
      cmocka_unit_test_setup(test_as_many_are_kept_as_are_wanted, set_up),
      cmocka_unit_test_setup(test_without_memory_there_are_none_and_nobody_waits, set_up),
      cmocka_unit_test_setup(test_it_ends_while_it_makes_some, set_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
