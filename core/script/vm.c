/* See vm.h. A call's life: `begin` fills the tank without reading a clock; code that uses it up calls
 * `refill`, which starts the budget's clock at its first and throws at its last; `finish` says what came of
 * it. */
#include "script/vm.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "base/base.h"
#include "base/nearest.h"
#include "script/chunks.h"
#include "script/config.h"
#include "script/embed.h"
#include "script/fuel.h"
#include "script/trace.h"

enum {
  VM_MAGIC = 0x6e56616d,
  FILES_MAX = 256,
  START_CHECKS = 1024,   /* before the first look at the clock: more than a usual batch takes */
  FIRST_CHECKS = 64,     /* after it, when nothing is known of their pace */
  MOST_CHECKS = 1024,    /* few: code that was fast may turn to something slow that cannot be counted */
  PACE_NS = 250000,      /* aimed at between two looks at the clock */
  CHURN_BYTES = 4 << 20, /* allocated or looked at between two looks */
  BLOCK_SHARE = 32       /* one block takes at most this part of the memory: work on it stays short */
};

struct neap_vm {
  uint32_t magic;
  lua_State *lua;
  neap_fuel fuel;
  neap_vm_leaves leaves;
  const neap_host *host;
  char *name, *folder;
  neap_config_files *record; /* or NULL */
  uint64_t generation, budget_ns, load_budget_ns;
  size_t limit, block_limit, used;
  int sandbox_load;       /* reference: the function load of lua/neap/sandbox.lua */
  char *files[FILES_MAX]; /* loaded, for `at` */
  unsigned file_count;

  /* of the call that runs */
  bool running, clocked, expired, starved, syntax;
  bool dead;
  uint64_t call_budget_ns, deadline_ns, looked_ns;
  int32_t checks;
  size_t churn;
  char fault[640];
};

/* --- time ---
 */

/* True: there is time left. */
static bool look_at_clock(neap_vm *vm) {
  uint64_t now = vm->host->thread_cpu_ns(vm->host->user);
  if (!vm->clocked) {
    vm->clocked = true;
    vm->deadline_ns = now + vm->call_budget_ns;
    vm->checks = FIRST_CHECKS;
  } else {
    uint64_t took = now - vm->looked_ns + 1;
    uint64_t next = (uint64_t)vm->checks * PACE_NS / took;
    vm->checks = (int32_t)NEAP_MAX(1, NEAP_MIN(next, NEAP_MIN(4 * (uint64_t)vm->checks, MOST_CHECKS)));
  }
  vm->looked_ns = now;
  vm->churn = 0;
  vm->expired = vm->expired || now >= vm->deadline_ns;
  return !vm->expired;
}

static int32_t refill(void *self) {
  neap_vm *vm = self;
  if (!vm->running) return 1;
  if (!look_at_clock(vm)) return 0;
  vm->fuel.n = vm->checks;
  return 1;
}

static int32_t charge(void *self, double bytes) {
  neap_vm *vm = self;
  if (!vm->running) return 1;
  vm->churn += bytes < CHURN_BYTES ? (size_t)bytes : CHURN_BYTES;
  return vm->churn < CHURN_BYTES || look_at_clock(vm);
}

/* --- memory --- */

/* Ends the call for want of memory. In the interpreter LuaJIT makes an error of NULL; on a trace Debian's
 * reads a stale stack pointer on that way and crashes, and the way of an error is sound. What is thrown needs
 * no memory. */
static void *refuse(neap_vm *vm) {
  vm->starved = true;
  if (neap_trace_running()) {
    lua_pushboolean(vm->lua, 0);
    lua_error(vm->lua);
  }
  return NULL;
}

/* False: the state will not get it. What is refused once ends the VM. */
static bool may_allocate(neap_vm *vm, size_t old_size, size_t size) {
  if (vm->used - old_size + size > vm->limit || size > vm->block_limit) return false;
  if (!vm->running) return true;
  vm->churn += size;
  return vm->churn < CHURN_BYTES || look_at_clock(vm);
}

static void *allocate(void *user, void *block, size_t old_size, size_t size) {
  neap_vm *vm = user;
  const neap_host *host = vm->host;
  if (block == NULL) old_size = 0;
  void *fresh = NULL;
  if (size > old_size && !may_allocate(vm, old_size, size)) return refuse(vm);
  if (size > 0) {
    fresh = host->alloc(host->user, size);
    if (fresh == NULL) return refuse(vm);
    if (block != NULL) memcpy(fresh, block, NEAP_MIN(old_size, size));
  }
  if (block != NULL) host->free(host->user, block, old_size);
  vm->used += size - old_size;
  return fresh;
}

/* --- one call --- */
static void begin(neap_vm *vm, uint64_t budget_ns) {
  vm->fuel.n = START_CHECKS;
  vm->fuel.at = 0;
  vm->call_budget_ns = budget_ns;
  vm->clocked = vm->expired = vm->syntax = false;
  vm->churn = 0;
  vm->running = true;
}

/* Where the policy last passed a check. */
static int place(const neap_vm *vm, char *out, size_t size) {
  unsigned file = (unsigned)vm->fuel.at >> NEAP_FUEL_LINE_BITS;
  unsigned line = (unsigned)vm->fuel.at & ((1u << NEAP_FUEL_LINE_BITS) - 1);
  if (line == 0 || file >= vm->file_count) return snprintf(out, size, "%s:1: ", vm->name);
  return snprintf(out, size, "%s:%u: ", vm->files[file], line);
}

/* LuaJIT shortens long names of chunks to "..." and their end: the whole name is put back. */
static const char *restore_name(const neap_vm *vm, const char *text, const char **rest) {
  *rest = text;
  if (strncmp(text, "...", 3) != 0) return "";
  for (unsigned i = 0; i < vm->file_count; i++) {
    size_t size = strlen(vm->files[i]), shown = LUA_IDSIZE - 4;
    if (size <= shown || strncmp(text + 3, vm->files[i] + size - shown, shown) != 0) continue;
    *rest = text + 3 + shown;
    return vm->files[i];
  }
  return "";
}

/* Does it begin with the name of a file that was loaded? Errors inside the runtime do not. */
static bool is_placed(const neap_vm *vm, const char *text) {
  for (unsigned i = 0; i < vm->file_count; i++) {
    size_t size = strlen(vm->files[i]);
    if (strncmp(text, vm->files[i], size) == 0 && text[size] == ':') return true;
  }
  return false;
}

/* One line of printable text, whatever the policy made of it. */
static void clean(char *text) {
  for (; *text != 0; text++)
    if ((unsigned char)*text < ' ' || *text == 127) *text = ' ';
}

/* What the runtime wraps around a policy's function is a chunk of that name. An error placed there is one of
 * a function that ended in a call of ours: its own line is gone, but not the line of its last check. NULL:
 * not so. */
static const char *skip_wrapper(const char *text) {
  size_t size = sizeof NEAP_VM_WRAPPER - 1;
  if (strncmp(text, NEAP_VM_WRAPPER, size) != 0) return NULL;
  text += size;
  return text + strspn(text, ":0123456789 ");
}

static void set_fault(neap_vm *vm, int code) {
  if (code == NEAP_EMEMCAP || (code == NEAP_EFUEL && vm->starved)) {
    int used = place(vm, vm->fault, sizeof vm->fault);
    snprintf(vm->fault + used, sizeof vm->fault - (size_t)used, "%s",
             code == NEAP_EFUEL ? "out of its time budget, allocating" : "out of its memory");
    return;
  }
  const char *text = lua_type(vm->lua, -1) == LUA_TSTRING ? lua_tostring(vm->lua, -1) : NULL, *rest;
  if (text != NULL && (rest = skip_wrapper(text)) != NULL) {
    int used = place(vm, vm->fault, sizeof vm->fault);
    snprintf(vm->fault + used, sizeof vm->fault - (size_t)used, "%s", rest);
  } else if (text == NULL) {
    int used = place(vm, vm->fault, sizeof vm->fault);
    snprintf(vm->fault + used, sizeof vm->fault - (size_t)used, "(error object is a %s)",
             luaL_typename(vm->lua, -1));
  } else {
    const char *name = restore_name(vm, text, &rest);
    int used = *name == 0 && !is_placed(vm, text) ? place(vm, vm->fault, sizeof vm->fault) : 0;
    snprintf(vm->fault + used, sizeof vm->fault - (size_t)used, "%s%s", name, rest);
  }
  clean(vm->fault);
}

/* What came of a call that lua_pcall answered with `status`. Takes the error off the stack. */
static int finish(neap_vm *vm, int status) {
  vm->running = false;
  if (NEAP_LIKELY(status == 0 && !vm->starved)) return 0;
  int code = vm->expired ? NEAP_EFUEL : vm->starved ? NEAP_EMEMCAP : vm->syntax ? NEAP_ESYNTAX : NEAP_EFAULT;
  vm->dead = vm->starved;
  set_fault(vm, code);
  if (status != 0) lua_pop(vm->lua, 1);
  return code;
}

static int finish_with(neap_vm *vm, int status, neap_err *err) {
  int code = finish(vm, status);
  return code == 0 ? 0 : neap_fail(err, code, "%s", vm->fault);
}

int neap_vm_call(neap_vm *vm, int ref) {
  if (NEAP_UNLIKELY(vm->dead)) return NEAP_EMEMCAP;
  begin(vm, vm->budget_ns);
  lua_rawgeti(vm->lua, LUA_REGISTRYINDEX, ref);
  return finish(vm, lua_pcall(vm->lua, 0, 0, 0));
}

int neap_vm_pcall(neap_vm *vm, int args, int results, uint64_t budget_us, neap_err *err) {
  neap_check_magic(vm, VM_MAGIC);
  if (vm->dead) return neap_fail(err, NEAP_EMEMCAP, "%s", vm->fault);
  begin(vm, budget_us == 0 ? vm->budget_ns : budget_us * 1000);
  return finish_with(vm, lua_pcall(vm->lua, args, results, 0), err);
}

/* --- what the runtime gets of C: neap.core --- */
static neap_vm *vm_of(lua_State *lua) {
  neap_vm *vm = lua_touserdata(lua, lua_upvalueindex(1));
  neap_check_magic(vm, VM_MAGIC);
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
  place(vm_of(lua), text, sizeof text);
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
  if (vm->file_count == FILES_MAX) return FILES_MAX;
  char *copy = strdup(name);
  if (copy == NULL) return FILES_MAX;
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

static int prepare(lua_State *lua) {
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

typedef struct load_call {
  neap_vm *vm;
  const char *name, *text;
  size_t size;
  int ref;
} load_call;

static int run_load(lua_State *lua) {
  load_call *call = lua_touserdata(lua, 1);
  lua_rawgeti(lua, LUA_REGISTRYINDEX, call->vm->sandbox_load);
  lua_pushstring(lua, call->name);
  lua_pushlstring(lua, call->text, call->size);
  lua_call(lua, 2, 1);
  call->ref = luaL_ref(lua, LUA_REGISTRYINDEX);
  return 0;
}

static int run_runtime(lua_State *lua) {
  load_call *call = lua_touserdata(lua, 1);
  lua_getglobal(lua, "require");
  lua_pushstring(lua, call->name);
  lua_call(lua, 1, 1);
  call->ref = luaL_ref(lua, LUA_REGISTRYINDEX);
  return 0;
}

int neap_vm_load(neap_vm *vm, const char *name, const char *text, size_t size, int *ref, neap_err *err) {
  neap_check_magic(vm, VM_MAGIC);
  if (vm->dead) return neap_fail(err, NEAP_EMEMCAP, "%s", vm->fault);
  load_call call = {.vm = vm, .name = name, .text = text, .size = size};
  begin(vm, vm->load_budget_ns);
  int code = finish_with(vm, lua_cpcall(vm->lua, run_load, &call), err);
  if (code == 0) *ref = call.ref;
  return code;
}

int neap_vm_runtime(neap_vm *vm, const char *module, int *ref, neap_err *err) {
  neap_check_magic(vm, VM_MAGIC);
  if (vm->dead) return neap_fail(err, NEAP_EMEMCAP, "%s", vm->fault);
  load_call call = {.vm = vm, .name = module};
  begin(vm, vm->load_budget_ns);
  vm->running = false; /* the runtime itself is not clocked */
  int code = finish_with(vm, lua_cpcall(vm->lua, run_runtime, &call), err);
  if (code == 0) *ref = call.ref;
  return code;
}

/* --- life --- */
static int panic(lua_State *lua) {
  neap_fatal(__FILE__, __LINE__,
             lua_type(lua, -1) == LUA_TSTRING ? lua_tostring(lua, -1) : "unprotected error");
}

static char *copy_text(const char *text, bool *failed) {
  if (text == NULL) return NULL;
  char *copy = strdup(text);
  if (copy == NULL) *failed = true;
  return copy;
}

static uint64_t or_default(uint64_t value, uint64_t otherwise) {
  return value != 0 ? value : otherwise;
}

int neap_vm_create(const neap_vm_options *options, neap_vm **out, neap_err *err) {
  neap_vm *vm = calloc(1, sizeof *vm);
  if (vm == NULL) return neap_fail(err, NEAP_ENOMEM, "%s", neap_strerror(NEAP_ENOMEM));
  bool failed = false;
  vm->magic = VM_MAGIC;
  vm->host = options->host;
  vm->name = copy_text(options->name, &failed);
  vm->folder = copy_text(options->folder, &failed);
  vm->record = options->files;
  vm->generation = options->generation;
  vm->limit = or_default(options->memory_limit, (size_t)64 << 20);
  vm->block_limit = vm->limit / BLOCK_SHARE;
  vm->budget_ns = or_default(options->budget_us, 5000) * 1000;
  vm->load_budget_ns = or_default(options->load_budget_us, 100000) * 1000;
  vm->leaves = (neap_vm_leaves){.refill = refill, .charge = charge};
  if (!failed) vm->lua = lua_newstate(allocate, vm);
  if (vm->lua == NULL) {
    neap_vm_destroy(&vm);
    return neap_fail(err, NEAP_ENOMEM, "%s", neap_strerror(NEAP_ENOMEM));
  }
  lua_atpanic(vm->lua, panic);
  int code = finish_with(vm, lua_cpcall(vm->lua, prepare, vm), err);
  if (code)
    neap_vm_destroy(&vm);
  else
    *out = vm;
  return code;
}

void neap_vm_destroy(neap_vm **vm) {
  if (*vm == NULL) return;
  neap_check_magic(*vm, VM_MAGIC);
  if ((*vm)->lua != NULL) lua_close((*vm)->lua);
  for (unsigned i = 0; i < (*vm)->file_count; i++) free((*vm)->files[i]);
  free((*vm)->name);
  free((*vm)->folder);
  (*vm)->magic = 0;
  free(*vm);
  *vm = NULL;
}

const char *neap_vm_fault(const neap_vm *vm) {
  return vm->fault;
}

lua_State *neap_vm_state(neap_vm *vm) {
  return vm->lua;
}

size_t neap_vm_memory(const neap_vm *vm) {
  return sizeof *vm + vm->used;
}

uint64_t neap_vm_trace_aborts(const neap_vm *vm) {
  return (uint64_t)vm->fuel.trace_aborts;
}

typedef struct abort_walk {
  void (*tell)(void *user, const char *place, int count, int code, int detail);
  void *user;
} abort_walk;

static int field(lua_State *lua, const char *name) {
  lua_getfield(lua, -1, name);
  int value = (int)lua_tointeger(lua, -1);
  lua_pop(lua, 1);
  return value;
}

static int walk_aborts(lua_State *lua) {
  abort_walk *walk = lua_touserdata(lua, 1);
  lua_getfield(lua, LUA_REGISTRYINDEX, "_LOADED");
  lua_getfield(lua, -1, "neap.aborts");
  if (!lua_istable(lua, -1)) return 0;
  lua_getfield(lua, -1, "places");
  for (lua_pushnil(lua); lua_next(lua, -2) != 0; lua_pop(lua, 1))
    walk->tell(walk->user, lua_tostring(lua, -2), field(lua, "count"), field(lua, "code"),
               field(lua, "detail"));
  return 0;
}

void neap_vm_each_abort(neap_vm *vm,
                        void (*tell)(void *user, const char *place, int count, int code, int detail),
                        void *user) {
  if (vm->dead) return;
  abort_walk walk = {.tell = tell, .user = user};
  if (lua_cpcall(vm->lua, walk_aborts, &walk) != 0) lua_pop(vm->lua, 1);
}
