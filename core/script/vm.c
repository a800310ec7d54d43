/* See vm.h. A call's life: `begin` fills the tank without reading a clock; code that uses it up calls
 * `refill`, which starts the budget's clock at its first and throws at its last; `finish` says what came of
 * it. */
#include "script/vm_state.h"

#include <inttypes.h>
#include <stdlib.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/base.h"
#include "script/fuel.h"
#include "script/trace.h"

enum {
  START_CHECKS = 1024,   /* before the first look at the clock: more than a usual batch takes */
  FIRST_CHECKS = 16,     /* after it, when nothing is known of their pace, and where there are long texts */
  MOST_CHECKS = 1024,    /* few: code that was fast may turn to something slow that cannot be counted */
  PACE_NS = 250000,      /* aimed at between two looks at the clock */
  LONG_BYTES = 32 << 10, /* of a text (or table): to take it as a number costs 10 us and more */
  CHURN_BYTES = 4 << 20, /* allocated or looked at between two looks */
  BLOCK_SHARE = 32       /* one block takes at most this part of the memory: work on it stays short */
};

/* --- time --- */

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
  if (size >= LONG_BYTES) {
    vm->holds_long = true;
    vm->fuel.n = NEAP_MIN(vm->fuel.n, FIRST_CHECKS);
  }
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
  vm->fuel.n = vm->holds_long ? FIRST_CHECKS : START_CHECKS;
  vm->fuel.at = 0;
  vm->call_budget_ns = budget_ns;
  vm->clocked = vm->expired = vm->syntax = false;
  vm->churn = 0;
  vm->running = true;
}

/* What came of a call that lua_pcall answered with `status`. Takes the error off the stack. */
static int finish(neap_vm *vm, int status) {
  vm->running = false;
  if (NEAP_LIKELY(status == 0 && !vm->starved)) return 0;
  int code = vm->expired ? NEAP_EFUEL : vm->starved ? NEAP_EMEMCAP : vm->syntax ? NEAP_ESYNTAX : NEAP_EFAULT;
  vm->dead = vm->starved;
  neap_vm_set_fault(vm, code);
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
  neap_check_magic(vm, NEAP_VM_MAGIC);
  if (vm->dead) return neap_fail(err, NEAP_EMEMCAP, "%s", vm->fault);
  begin(vm, budget_us == 0 ? vm->budget_ns : budget_us * 1000);
  return finish_with(vm, lua_pcall(vm->lua, args, results, 0), err);
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
  neap_check_magic(vm, NEAP_VM_MAGIC);
  if (vm->dead) return neap_fail(err, NEAP_EMEMCAP, "%s", vm->fault);
  load_call call = {.vm = vm, .name = name, .text = text, .size = size};
  begin(vm, vm->load_budget_ns);
  int code = finish_with(vm, lua_cpcall(vm->lua, run_load, &call), err);
  if (code == 0) *ref = call.ref;
  return code;
}

int neap_vm_runtime(neap_vm *vm, const char *module, int *ref, neap_err *err) {
  neap_check_magic(vm, NEAP_VM_MAGIC);
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

/* All but the host. False: out of memory. */
static bool take_options(neap_vm *vm, const neap_vm_options *options) {
  bool failed = false;
  free(vm->name);
  free(vm->folder);
  vm->name = copy_text(options->name, &failed);
  vm->folder = copy_text(options->folder, &failed);
  vm->record = options->files;
  vm->generation = options->generation;
  vm->limit = or_default(options->memory_limit, (size_t)64 << 20);
  vm->block_limit = vm->limit / BLOCK_SHARE;
  vm->budget_ns = or_default(options->budget_us, 5000) * 1000;
  vm->load_budget_ns = or_default(options->load_budget_us, 100000) * 1000;
  return !failed;
}

int neap_vm_create(const neap_vm_options *options, neap_vm **out, neap_err *err) {
  neap_vm *vm = calloc(1, sizeof *vm);
  if (vm == NULL) return neap_fail(err, NEAP_ENOMEM, "%s", neap_strerror(NEAP_ENOMEM));
  vm->magic = NEAP_VM_MAGIC;
  vm->host = options->host;
  vm->leaves = (neap_vm_leaves){.refill = refill, .charge = charge};
  if (take_options(vm, options)) vm->lua = lua_newstate(allocate, vm);
  if (vm->lua == NULL) {
    neap_vm_destroy(&vm);
    return neap_fail(err, NEAP_ENOMEM, "%s", neap_strerror(NEAP_ENOMEM));
  }
  lua_atpanic(vm->lua, panic);
  int code = finish_with(vm, lua_cpcall(vm->lua, neap_vm_boot, vm), err);
  if (code)
    neap_vm_destroy(&vm);
  else
    *out = vm;
  return code;
}

int neap_vm_adopt(neap_vm *vm, const neap_vm_options *options, neap_err *err) {
  neap_check_magic(vm, NEAP_VM_MAGIC);
  neap_assert(vm->host == options->host && vm->file_count == 0);
  return take_options(vm, options) ? 0 : neap_fail(err, NEAP_ENOMEM, "%s", neap_strerror(NEAP_ENOMEM));
}

void neap_vm_destroy(neap_vm **vm) {
  if (*vm == NULL) return;
  neap_check_magic(*vm, NEAP_VM_MAGIC);
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
