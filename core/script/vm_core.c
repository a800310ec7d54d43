/* What the trusted runtime gets of C: libraries, its modules, and the table neap.core. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "base/base.h"
#include "base/nearest.h"
#include "script/chunks.h"
#include "script/config.h"
#include "script/embed.h"
#include "script/fuel.h"
#include "script/vm_state.h"

/* --- what the runtime gets of C: neap.core --- */
static neap_vm *vm_of(lua_State *lua) {
  neap_vm *vm = lua_touserdata(lua, lua_upvalueindex(1));
  neap_check_magic(vm, NEAP_VM_MAGIC);
  return vm;
}

static int core_late(lua_State *lua) {
  neap_vm *vm = vm_of(lua);
  lua_pushfstring(lua, "out of its time budget (%f ms)", (double)vm->call_budget_ns / 1e6);
  return 1;
}

/* "file:line: " of the last check, for errors that the runtime raises on behalf of a policy. */
static int core_place(lua_State *lua) {
  char text[300];
  neap_vm_place(vm_of(lua), text, sizeof text);
  lua_pushstring(lua, text);
  return 1;
}

/* (word, words) -> the nearest of them, or nil */
static int core_nearest(lua_State *lua) {
  neap_nearest nearest;
  neap_nearest_init(&nearest, luaL_checkstring(lua, 1));
  luaL_checktype(lua, 2, LUA_TTABLE);
  for (size_t i = 1; i <= lua_objlen(lua, 2); i++) {
    lua_rawgeti(lua, 2, (int)i); /* stays in the table, and so does its text */
    if (lua_type(lua, -1) == LUA_TSTRING) neap_nearest_offer(&nearest, lua_tostring(lua, -1));
    lua_pop(lua, 1);
  }
  lua_pushstring(lua, nearest.name);
  return 1;
}

static unsigned remember_file(neap_vm *vm, const char *name) {
  if (vm->file_count == NEAP_VM_FILES_MAX) return NEAP_VM_FILES_MAX;
  char *copy = strdup(name);
  if (copy == NULL) return NEAP_VM_FILES_MAX;
  vm->files[vm->file_count] = copy;
  return vm->file_count++;
}

/* (name, text) -> chunk. What the author sees of a syntax error is about the text as it was written. */
static int core_compile(lua_State *lua) {
  neap_vm *vm = vm_of(lua);
  size_t size, rewritten_size;
  const char *name = luaL_checkstring(lua, 1), *text = luaL_checklstring(lua, 2, &size);
  const char *chunk = lua_pushfstring(lua, "@%s", name);
  char *rewritten;
  neap_err err;
  int code = neap_fuel_insert(name, text, size, remember_file(vm, name), &rewritten, &rewritten_size, &err);
  if (code == 0) {
    code = luaL_loadbufferx(lua, rewritten, rewritten_size, chunk, "t");
    free(rewritten);
    if (code == 0) return 1;
    if (luaL_loadbufferx(lua, text, size, chunk, "t") == 0) lua_pop(lua, 1);
  } else {
    lua_pushstring(lua, err.text);
  }
  vm->syntax = true;
  return lua_error(lua);
}

static int core_read(lua_State *lua) {
  neap_vm *vm = vm_of(lua);
  const char *path = luaL_checkstring(lua, 1);
  lua_settop(lua, 1);
  if (vm->folder == NULL) {
    lua_pushnil(lua);
    lua_pushliteral(lua, "only neap.* is served here");
    return 2;
  }
  const char *where = lua_pushfstring(lua, "%s/%s", vm->folder, path);
  luaL_Buffer buffer;
  const char *recorded = vm->record ? neap_config_require(vm->record, where) : NULL;
  if (recorded) {
    lua_pushstring(lua, recorded);
    lua_insert(lua, -2);
    return 2;
  }
  FILE *file = vm->record ? NULL : fopen(where, "rb");
  if (file == NULL) {
    lua_pushnil(lua);
    lua_insert(lua, -2);
    return 2;
  }
  luaL_buffinit(lua, &buffer);
  size_t got;
  while ((got = fread(luaL_prepbuffer(&buffer), 1, LUAL_BUFFERSIZE, file)) > 0) luaL_addsize(&buffer, got);
  fclose(file);
  luaL_pushresult(&buffer);
  lua_insert(lua, -2);
  return 2;
}

static void add_function(lua_State *lua, neap_vm *vm, const char *name, lua_CFunction fn) {
  lua_pushlightuserdata(lua, vm);
  lua_pushcclosure(lua, fn, 1);
  lua_setfield(lua, -2, name);
}

static void add_size(lua_State *lua, const char *name, size_t size) {
  lua_pushinteger(lua, (lua_Integer)size);
  lua_setfield(lua, -2, name);
}

static void add_sizes(lua_State *lua) {
  lua_newtable(lua);
#define ADD_SIZE(type) add_size(lua, #type, sizeof(type))
  ADD_SIZE(neap_link);
  ADD_SIZE(neap_event);
  ADD_SIZE(neap_evict_board);
  ADD_SIZE(neap_evict_leaves);
  ADD_SIZE(neap_prefetch_event);
  ADD_SIZE(neap_wish);
  ADD_SIZE(neap_prefetch_board);
  ADD_SIZE(neap_prefetch_leaves);
  ADD_SIZE(neap_fuel);
  ADD_SIZE(neap_vm_leaves);
  ADD_SIZE(neap_slice);
  ADD_SIZE(neap_header_row);
  ADD_SIZE(neap_request_board);
  ADD_SIZE(neap_backend_row);
  ADD_SIZE(neap_pick_board);
  ADD_SIZE(neap_balance_leaves);
  ADD_SIZE(neap_view_board);
  ADD_SIZE(neap_act_board);
#undef ADD_SIZE
  lua_setfield(lua, -2, "sizes");
}

static void add_pointer(lua_State *lua, const char *name, void *pointer) {
  lua_pushlightuserdata(lua, pointer);
  lua_setfield(lua, -2, name);
}

/* Trace events are safe where LuaJIT is not Debian's first one: luajit2 knows table.clone, upstream counts
 * its versions by commit. */
static bool counts_aborts(lua_State *lua) {
  lua_getfield(lua, LUA_REGISTRYINDEX, "_PRELOAD");
  lua_getfield(lua, -1, "table.clone");
  bool luajit2 = !lua_isnil(lua, -1);
  lua_pop(lua, 2);
  lua_getglobal(lua, "jit");
  lua_getfield(lua, -1, "version_num");
  bool newer = lua_tointeger(lua, -1) > 20100;
  lua_pop(lua, 2);
  return luajit2 || newer;
}

/* Leaves the table neap.core on the stack. */
static void push_core(lua_State *lua, neap_vm *vm) {
  lua_newtable(lua);
  add_function(lua, vm, "late", core_late);
  add_function(lua, vm, "compile", core_compile);
  add_function(lua, vm, "read", core_read);
  add_function(lua, vm, "place", core_place);
  add_function(lua, vm, "nearest", core_nearest);
  add_pointer(lua, "fuel", &vm->fuel);
  add_pointer(lua, "leaves", &vm->leaves);
  add_pointer(lua, "vm", vm);
  add_sizes(lua);
  const neap_embedded_file *header = neap_embedded_find("core/policy/abi.h");
  lua_pushlstring(lua, header->text, header->size);
  lua_setfield(lua, -2, "header");
  lua_pushboolean(lua, counts_aborts(lua));
  lua_setfield(lua, -2, "count_aborts");
}

/* --- trusted modules --- */
static const neap_embedded_file *module_file(const char *name) {
  char path[128];
  if (strcmp(name, "neap") == 0) name = "neap.init";
  if (strlen(name) > 64) return NULL;
  int used = snprintf(path, sizeof path, "lua/%s.lua", name);
  for (int i = 0; i < used - 4; i++)
    if (path[i] == '.') path[i] = '/';
  return neap_embedded_find(path);
}

/* require(name) of trusted code: what is loaded, what LuaJIT preloads, what is embedded. */
static int trusted_require(lua_State *lua) {
  const char *name = luaL_checkstring(lua, 1);
  lua_settop(lua, 1);
  lua_getfield(lua, LUA_REGISTRYINDEX, "_LOADED");
  lua_getfield(lua, 2, name);
  if (!lua_isnil(lua, -1)) return 1;
  lua_getfield(lua, LUA_REGISTRYINDEX, "_PRELOAD");
  lua_getfield(lua, -1, name);
  if (lua_isnil(lua, -1)) {
    const neap_embedded_file *file = module_file(name);
    if (file == NULL) return luaL_error(lua, "no runtime module '%s'", name);
    neap_chunk_push(lua, file);
  }
  lua_pushvalue(lua, 1);
  lua_call(lua, 1, 1);
  if (lua_isnil(lua, -1)) {
    lua_pop(lua, 1);
    lua_pushboolean(lua, 1);
  }
  lua_pushvalue(lua, -1);
  lua_setfield(lua, 2, name);
  return 1;
}

/* Most libraries enter themselves in _LOADED; what they return is not always they themselves. */
static void open_library(lua_State *lua, const char *name, lua_CFunction open) {
  lua_pushcfunction(lua, open);
  lua_pushstring(lua, name);
  lua_call(lua, 1, 1);
  luaL_findtable(lua, LUA_REGISTRYINDEX, "_LOADED", 16);
  lua_getfield(lua, -1, name);
  if (lua_isnil(lua, -1)) {
    lua_pushvalue(lua, -3);
    lua_setfield(lua, -3, name);
  }
  lua_settop(lua, 1);
}

int neap_vm_boot(lua_State *lua) {
  neap_vm *vm = lua_touserdata(lua, 1);
  open_library(lua, "", luaopen_base);
  open_library(lua, LUA_TABLIBNAME, luaopen_table);
  open_library(lua, LUA_STRLIBNAME, luaopen_string);
  open_library(lua, LUA_MATHLIBNAME, luaopen_math);
  open_library(lua, LUA_DBLIBNAME, luaopen_debug);
  open_library(lua, LUA_BITLIBNAME, luaopen_bit);
  open_library(lua, LUA_JITLIBNAME, luaopen_jit);
  open_library(lua, LUA_FFILIBNAME, luaopen_ffi);
  lua_pushcfunction(lua, trusted_require);
  lua_setglobal(lua, "require");
  lua_getfield(lua, LUA_REGISTRYINDEX, "_LOADED");
  push_core(lua, vm);
  lua_setfield(lua, -2, "neap.core");
  lua_getglobal(lua, "require");
  lua_pushliteral(lua, "neap.boot");
  lua_call(lua, 1, 1);
  lua_getfield(lua, -1, "load");
  vm->sandbox_load = luaL_ref(lua, LUA_REGISTRYINDEX);
  return 0;
}
