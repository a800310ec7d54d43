/* A configuration run in a VM that is looked into. */
#include "unit.h"

#include <lauxlib.h>
#include <lua.h>

#include "loop/loop.h"
#include "script/config.h"

static const char text[] = "local neap = require 'neap'\n"
                           "neap.listen { http = ':8080' }\n"
                           "neap.pool { name = 'app', backends = { 'a:1' } }\n"
                           "for i = 1, 300 do neap.route { path = '/' .. i, pool = 'app' } end\n";

static int call(lua_State *lua, const char *table, const char *name) {
  lua_getfield(lua, LUA_REGISTRYINDEX, "_LOADED");
  lua_getfield(lua, -1, table);
  lua_getfield(lua, -1, name);
  lua_call(lua, 0, 1);
  int value = lua_toboolean(lua, -1);
  lua_settop(lua, 0);
  return value;
}

static void test_functions_are_compiled_though_their_check_is_not(void **state) {
  (void)state;
  const neap_host wanted = {
      .now_ms = neap_clock_now_ms, .now_ns = neap_clock_now_ns, .thread_cpu_ns = neap_clock_thread_cpu_ns};
  neap_host host;
  neap_host_complete(&wanted, &host);
  const neap_vm_options options = {.host = &host, .name = "neap.lua"};
  const neap_config_source source = {.name = "neap.lua", .text = text, .size = sizeof text - 1};
  neap_config_files files = {0};
  neap_config_run run = {.source = &source, .files = &files};
  neap_vm *vm;
  neap_err err = {0};
  if (neap_vm_create(&options, &vm, &err)) fail_msg("%s", err.text);
  size_t before = neap_vm_memory(vm);
  if (neap_config_execute(vm, &run, &err)) fail_msg("%s", err.text);
  assert_false(run.fatal);
  assert_true(call(neap_vm_state(vm), "jit", "status"));
  assert_true(neap_vm_memory(vm) > before);
  free(run.json);
  free(run.report);
  neap_config_files_fini(&files);
  neap_vm_destroy(&vm);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_functions_are_compiled_though_their_check_is_not),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
