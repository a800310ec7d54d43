#include "unit.h"

#include "base/base.h"
#include "loop/loop.h"
#include "script/vm.h"

static neap_host host;

static neap_vm *make(size_t memory, const char *folder) {
  neap_host_complete(NULL, &host);
  host.now_ms = neap_clock_now_ms;
  host.now_ns = neap_clock_now_ns;
  host.thread_cpu_ns = neap_clock_thread_cpu_ns;
  neap_vm_options options = {
      .host = &host, .name = "p.lua", .folder = folder, .memory_limit = memory, .load_budget_us = 20000};
  neap_vm *vm;
  neap_err err;
  if (neap_vm_create(&options, &vm, &err)) fail_msg("%s", err.text);
  return vm;
}

static int load(neap_vm *vm, const char *text, int *ref, neap_err *err) {
  return neap_vm_load(vm, "p.lua", text, strlen(text), ref, err);
}

static void fails(const char *text, int code, const char *message) {
  neap_vm *vm = make(0, NULL);
  neap_err err = {0};
  int ref, got = load(vm, text, &ref, &err);
  if (got != code || strcmp(err.text, message) != 0) {
    fail_msg("%s\n  gave %s: %s\n  and not %s: %s", text, neap_errname(got), err.text, neap_errname(code),
             message);
  }
  neap_vm_destroy(&vm);
}

static void runs(const char *text) {
  neap_vm *vm = make(0, NULL);
  neap_err err;
  int ref;
  if (load(vm, text, &ref, &err)) fail_msg("%s\n  %s", text, err.text);
  neap_vm_destroy(&vm);
}

static void test_a_function_is_loaded_and_called(void **state) {
  (void)state;
  neap_vm *vm = make(0, NULL);
  int ref;
  neap_err err;
  assert_int_equal(
      load(vm, "local n = 0 return function() n = n + 1 if n == 3 then error('three') end end", &ref, &err),
      0);
  assert_string_equal(neap_vm_fault(vm), "");
  assert_int_equal(neap_vm_call(vm, ref), 0);
  assert_int_equal(neap_vm_call(vm, ref), 0);
  assert_int_equal(neap_vm_call(vm, ref), NEAP_EFAULT);
  assert_string_equal(neap_vm_fault(vm), "p.lua:1: three");
  assert_int_equal(neap_vm_call(vm, ref), 0);
  assert_true(neap_vm_memory(vm) > 10000);
  neap_vm_destroy(&vm);
  assert_null(vm);
}

static void test_errors_say_file_and_line(void **state) {
  (void)state;
  fails("local x\nx = = 1", NEAP_ESYNTAX, "p.lua:2: unexpected symbol near '='");
  fails("\n\nif x then", NEAP_ESYNTAX, "p.lua:3: 'end' expected near '<eof>'");
  fails("local t = {} for i = 1, 2 do local x = t.y.z end", NEAP_EFAULT,
        "p.lua:1: attempt to index field 'y' (a nil value)");
  fails("\nerror('bad')", NEAP_EFAULT, "p.lua:2: bad");
  fails("\nerror({})", NEAP_EFAULT, "p.lua:2: (error object is a table)");
  fails("error('a\\nb\\27c')", NEAP_EFAULT, "p.lua:1: a b c");
  fails("\n\nlocal function f() return 1 + f() end f()", NEAP_EFAULT, "p.lua:3: stack overflow");
}

static void test_a_long_name_is_shown_whole(void **state) {
  (void)state;
  neap_vm *vm = make(0, NULL);
  char name[200];
  memset(name, 'd', sizeof name);
  memcpy(name + sizeof name - 7, "/p.lua", 7);
  neap_err err;
  int ref;
  assert_int_equal(neap_vm_load(vm, name, "\nerror('x')", 11, &ref, &err), NEAP_EFAULT);
  assert_memory_equal(err.text, name, strlen(name));
  assert_string_equal(err.text + strlen(name), ":2: x");
  neap_vm_destroy(&vm);
}

static void test_what_policies_must_not_have_is_not_there(void **state) {
  (void)state;
  const char *const names[] = {
      "io",         "os",      "debug",    "ffi",   "jit",    "package",   "load",
      "loadstring", "dofile",  "loadfile", "pcall", "xpcall", "coroutine", "collectgarbage",
      "newproxy",   "getfenv", "setfenv",  "print", "module", "_G"};
  for (size_t i = 0; i < NEAP_COUNT_OF(names); i++) {
    char text[80];
    snprintf(text, sizeof text, "local x = %s", names[i]);
    neap_vm *vm = make(0, NULL);
    neap_err err;
    int ref;
    assert_int_equal(load(vm, text, &ref, &err), NEAP_EFAULT);
    assert_non_null(strstr(err.text, "p.lua:1: "));
    assert_non_null(strstr(err.text, "is not there for policies"));
    neap_vm_destroy(&vm);
  }
  fails("x = 1", NEAP_EFAULT, "p.lua:1: 'x' would be global: write local");
  fails("local y = x", NEAP_EFAULT, "p.lua:1: no variable 'x' is defined");
}

static void test_the_ways_out_of_the_sandbox_are_shut(void **state) {
  (void)state;
  runs("assert(getmetatable('') == nil)");
  runs("assert(('x').gsub == nil and ('x').match == nil and ('x').gmatch == nil and ('x').dump == nil)");
  runs("assert(string.gsub == nil and string.match == nil and string.dump == nil)");
  runs("assert(('a.c'):find('.') == 2)");
  runs("assert(... == nil)");
  fails("local f = require 'neap.abi'", NEAP_EFAULT, "p.lua:1: require: 'neap.abi' is not for policies");
  fails("require 'ffi'", NEAP_EFAULT,
        "p.lua:1: require: there is no module 'ffi' (only neap.* is served here)");
  fails("require '../x'", NEAP_EFAULT, "p.lua:1: require: '../x' is not the name of a module");
  fails("require 'a..b'", NEAP_EFAULT, "p.lua:1: require: 'a..b' is not the name of a module");
  fails("local f = 1 + 5LL .. {}", NEAP_EFAULT, "p.lua:1: attempt to concatenate 'int64_t' and 'table'");
}

static void test_numbers_and_texts_work_as_usual(void **state) {
  (void)state;
  runs(
      "local t = {} for i = 1, 9 do table.insert(t, 1, i) end assert(t[1] == 9 and table.remove(t, 1) == 9)");
  runs("local t = {3, 1, 2} table.sort(t) assert(table.concat(t, ',') == '1,2,3')");
  runs("local t = {3, 1, 2} table.sort(t, function(a, b) return a > b end) assert(t[1] == 3)");
  runs("assert(string.format('%d %s %5.2f', 1, 'x', 2) == '1 x  2.00' and ('ab'):upper() == 'AB')");
  runs("assert(('x'):rep(3) == 'xxx' and ('abc'):sub(2, -1) == 'bc' and #('x'):rep(1000) == 1000)");
  runs("assert(bit.band(255, 16) == 16 and math.floor(2.5) == 2 and tostring(12) == '12' and tonumber('7') "
       "== 7)");
}

static void test_a_module_is_found_beside_the_file_and_loaded_once(void **state) {
  (void)state;
  char folder[] = "/tmp/neap-vm-XXXXXX", path[64];
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/helper.lua", folder);
  FILE *file = fopen(path, "w");
  fputs("return { x = 41 }\n", file);
  fclose(file);
  neap_vm *vm = make(0, folder);
  int ref;
  neap_err err;
  if (load(vm, "local h = require 'helper' h.x = h.x + 1 assert(require 'helper'.x == 42)", &ref, &err))
    fail_msg("%s", err.text);
  file = fopen(path, "w");
  fputs("\nreturn nil + 1\n", file);
  fclose(file);
  neap_vm_destroy(&vm);
  vm = make(0, folder);
  char wanted[160];
  snprintf(wanted, sizeof wanted, "%s:2: attempt to perform arithmetic on a nil value", path);
  assert_int_equal(load(vm, "require 'helper'", &ref, &err), NEAP_EFAULT);
  assert_string_equal(err.text, wanted);
  assert_int_equal(load(vm, "require 'nothing'", &ref, &err), NEAP_EFAULT);
  assert_non_null(strstr(err.text, "there is no module 'nothing'"));
  neap_vm_destroy(&vm);
  remove(path);
  remove(folder);
}

static void test_the_public_modules_are_there(void **state) {
  (void)state;
  runs("assert(require 'neap.version' == '" NEAP_VERSION_STRING "')");
}

static void test_a_vm_without_memory_is_refused_and_not_half_made(void **state) {
  (void)state;
  neap_host_complete(NULL, &host);
  host.thread_cpu_ns = neap_clock_thread_cpu_ns;
  for (size_t limit = 1024; limit < 600000; limit += 7919) {
    neap_vm_options options = {.host = &host, .name = "p.lua", .memory_limit = limit};
    neap_vm *vm = NULL;
    neap_err err;
    int code = neap_vm_create(&options, &vm, &err);
    assert_true(code == 0 || code == NEAP_ENOMEM || code == NEAP_EMEMCAP);
    if (code == 0) neap_vm_destroy(&vm);
    assert_null(vm);
  }
}

static void test_a_vm_that_wanted_too_much_memory_never_runs_again(void **state) {
  (void)state;
  neap_vm *vm = make(0, NULL);
  int bomb, good;
  neap_err err;
  assert_int_equal(load(vm, "return function() local t = {} for i = 1, 1e7 do t[i] = i end end", &bomb, &err),
                   0);
  assert_int_equal(load(vm, "return function() end", &good, &err), 0);
  assert_int_equal(neap_vm_call(vm, good), 0);
  assert_int_equal(neap_vm_call(vm, bomb), NEAP_EMEMCAP);
  assert_string_equal(neap_vm_fault(vm), "p.lua:1: out of its memory");
  size_t memory = neap_vm_memory(vm);
  for (int i = 0; i < 200; i++) {
    assert_int_equal(neap_vm_call(vm, bomb), NEAP_EMEMCAP);
    assert_int_equal(neap_vm_call(vm, good), NEAP_EMEMCAP);
    assert_int_equal(load(vm, "return function() end", &good, &err), NEAP_EMEMCAP);
  }
  assert_int_equal(neap_vm_memory(vm), memory);
  neap_vm_destroy(&vm);
}

static uint64_t looks;

static uint64_t counted_cpu_ns(void *user) {
  (void)user;
  return ++looks;
}

/* How often a call that checks a hundred times looks at the clock. */
static uint64_t looks_of(const char *text) {
  neap_vm *vm = make(0, NULL);
  int ref;
  neap_err err;
  assert_int_equal(load(vm, text, &ref, &err), 0);
  host.thread_cpu_ns = counted_cpu_ns;
  looks = 0;
  assert_int_equal(neap_vm_call(vm, ref), 0);
  neap_vm_destroy(&vm);
  return looks;
}

static void test_where_there_are_long_texts_the_clock_is_looked_at_early(void **state) {
  (void)state;
  assert_int_equal(looks_of("local s = 'x' return function() for i = 1, 100 do end return s end"), 0);
  assert_true(looks_of("local s = ('x'):rep(40000) return function() for i = 1, 100 do end return s end") >
              0);
  assert_true(looks_of("return function() local s = ('x'):rep(40000) for i = 1, 100 do end end") > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_function_is_loaded_and_called),
      cmocka_unit_test(test_errors_say_file_and_line),
      cmocka_unit_test(test_a_long_name_is_shown_whole),
      cmocka_unit_test(test_what_policies_must_not_have_is_not_there),
      cmocka_unit_test(test_the_ways_out_of_the_sandbox_are_shut),
      cmocka_unit_test(test_numbers_and_texts_work_as_usual),
      cmocka_unit_test(test_a_module_is_found_beside_the_file_and_loaded_once),
      cmocka_unit_test(test_the_public_modules_are_there),
      cmocka_unit_test(test_a_vm_without_memory_is_refused_and_not_half_made),
      cmocka_unit_test(test_a_vm_that_wanted_too_much_memory_never_runs_again),
      cmocka_unit_test(test_where_there_are_long_texts_the_clock_is_looked_at_early),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
