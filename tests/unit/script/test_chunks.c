/* The runtime's modules are compiled once for all VMs of the process. */
#include "unit.h"

#include "base/base.h"
#include "loop/loop.h"
#include "script/embed.h"
#include "script/vm.h"

static size_t allocated;

static void *count_alloc(void *user, size_t size) {
  (void)user;
  allocated += size;
  return malloc(size);
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
                            .thread_cpu_ns = neap_clock_thread_cpu_ns};
  neap_host_complete(&wanted, &host);
  return 0;
}

/* Bytes allocated, whether freed since or not. */
static size_t bytes_of_a_vm(void) {
  const neap_vm_options options = {.host = &host, .name = "p.lua"};
  neap_vm *vm;
  neap_err err;
  int ref;
  size_t before = allocated;
  if (neap_vm_create(&options, &vm, &err)) fail_msg("%s", err.text);
  if (neap_vm_runtime(vm, "neap.config", &ref, &err)) fail_msg("%s", err.text);
  neap_vm_destroy(&vm);
  return allocated - before;
}

/* Has to be the first: it is about the first VM of the process. */
static void test_only_the_first_vm_reads_sources(void **state) {
  (void)state;
  size_t first = bytes_of_a_vm(), second = bytes_of_a_vm();
  assert_true(second < first * 3 / 4);
  assert_true(bytes_of_a_vm() < first * 3 / 4);
}

static void test_errors_are_placed_in_the_policy_still(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    const neap_vm_options options = {.host = &host, .name = "p.lua"};
    static const char text[] = "require('neap').listen(5)\nrequire 'neap.policy'.evict { name = 7 }";
    neap_vm *vm;
    neap_err err = {0};
    int ref;
    if (neap_vm_create(&options, &vm, &err)) fail_msg("%s", err.text);
    assert_int_equal(neap_vm_load(vm, "p.lua", text, sizeof text - 1, &ref, &err), NEAP_EFAULT);
    assert_memory_equal(err.text, "p.lua:2: ", 9);
    neap_vm_destroy(&vm);
  }
}

static void test_policies_are_never_bytecode(void **state) {
  (void)state;
  const neap_vm_options options = {.host = &host, .name = "p.lua"};
  neap_vm *vm;
  neap_err err = {0};
  int ref;
  if (neap_vm_create(&options, &vm, &err)) fail_msg("%s", err.text);
  assert_int_equal(neap_vm_load(vm, "p.lua", "\033LJ\002", 4, &ref, &err), NEAP_ESYNTAX);
  neap_vm_destroy(&vm);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_only_the_first_vm_reads_sources),
      cmocka_unit_test(test_errors_are_placed_in_the_policy_still),
      cmocka_unit_test(test_policies_are_never_bytecode),
  };
  return cmocka_run_group_tests(tests, set_up, NULL);
}
