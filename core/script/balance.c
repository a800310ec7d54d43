/* Balance policies in Lua behind the vtable: in a VM of their own (a file), or in that of a worker (a
 * function in neap.lua). A pick costs one call into Lua: question and answer are on the pick board, the
 * request under the views. */
#include "script/balance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/random.h"
#include "script/protect.h"
#include "script/views.h"

#define BALANCE_MAGIC 0x4e6c6261u /* "Nlba" */

typedef struct lua_balance {
  uint32_t magic;
  neap_policy_vt vt; /* with the name of this one */
  char name[64];
  neap_vm *vm;
  neap_vm *own_vm; /* NULL: a worker's */
  neap_view_board *views, own_views;
  neap_pick_board *board;
  neap_balance_leaves leaves;
  neap_random random;
  neap_pace *pace;   /* NULL until the policy asks how slow a backend is */
  int pick, observe; /* registry references; observe: LUA_NOREF where the policy wants no events */
} lua_balance;

/* --- the vtable --- */

static void destroy(void *self) {
  lua_balance *b = self;
  neap_check_magic(b, BALANCE_MAGIC);
  if (b->own_vm) {
    neap_vm_destroy(&b->own_vm);
  } else {
    luaL_unref(neap_vm_state(b->vm), LUA_REGISTRYINDEX, b->pick);
    luaL_unref(neap_vm_state(b->vm), LUA_REGISTRYINDEX, b->observe);
  }
  neap_pace_destroy(&b->pace);
  b->magic = 0;
  free(b);
}

static double leaf_random(void *self) {
  return neap_random_unit(&((lua_balance *)self)->random);
}

/* The first to ask makes it learn: outcomes come after picks, so that nothing is missed. */
static double leaf_slowness(void *self, int32_t place) {
  lua_balance *b = self;
  if (b->pace == NULL && neap_pace_create(&b->pace)) return 1;
  return neap_pace_of(b->pace, place, b->board->now_ms);
}

/* hot: what happened stands on the board, or is put there. */
static int observe(void *self, const neap_event *events, int n) {
  lua_balance *b = self;
  neap_check_magic(b, BALANCE_MAGIC);
  int code = b->pace ? neap_pace_observe(b->pace, b->board, events, n) : 0;
  if (b->observe == LUA_NOREF || code) return code;
  neap_pick_board *board = b->board;
  if (events != board->events) {
    n = NEAP_MIN(n, (int)NEAP_PICK_EVENTS_MAX);
    memcpy(board->events, events, (size_t)n * sizeof *events);
  }
  board->event_count = n;
  return neap_vm_call(b->vm, b->observe);
}

/* hot: */
static int decide(void *self, neap_ask ask) {
  lua_balance *b = self;
  neap_check_magic(b, BALANCE_MAGIC);
  if (ask != NEAP_ASK_PICK) return NEAP_EINVAL;
  b->board->answer = -1;
  neap_views_open(b->views, b->board->request);
  int status = neap_vm_call(b->vm, b->pick);
  neap_views_close(b->views);
  return NEAP_UNLIKELY(status == NEAP_EFAULT && b->views->refused) ? NEAP_EINVAL : status;
}

static void report(void *self, neap_policy_report *out) {
  const lua_balance *b = self;
  out->memory = sizeof *b + (b->own_vm ? neap_vm_memory(b->vm) : 0);
  out->trace_aborts = b->own_vm ? neap_vm_trace_aborts(b->vm) : 0;
  out->fault = neap_vm_fault(b->vm);
}

static lua_balance *make(const char *name, const neap_policy_env *env) {
  lua_balance *b = calloc(1, sizeof *b);
  if (b == NULL) return NULL;
  b->magic = BALANCE_MAGIC;
  b->board = env->pick;
  b->pick = b->observe = LUA_NOREF;
  b->random.state = env->seed;
  b->leaves = (neap_balance_leaves){.self = b, .random = leaf_random, .slowness = leaf_slowness};
  snprintf(b->name, sizeof b->name, "%s", name);
  b->vt = (neap_policy_vt){.name = b->name,
                           .domain = NEAP_BALANCE,
                           .destroy = destroy,
                           .observe = observe,
                           .decide = decide,
                           .report = report};
  return b;
}

/* --- binding the function to the boards --- */

typedef struct binding {
  lua_balance *balance;
  int module;   /* lua/neap/balance.lua */
  int function; /* what the file returned, or the inline function */
  const neap_param *params;
  size_t param_count;
} binding;

/* neap.balance.attach(params): what the file that is loaded next is given. */
static int attach(lua_State *L) {
  const binding *from = neap_script_user(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, from->module);
  lua_getfield(L, -1, "attach");
  lua_createtable(L, 0, (int)from->param_count);
  for (size_t i = 0; i < from->param_count; i++) {
    if (from->params[i].text)
      lua_pushstring(L, from->params[i].text);
    else
      lua_pushnumber(L, from->params[i].number);
    lua_setfield(L, -2, from->params[i].name);
  }
  lua_call(L, 1, 0);
  return 0;
}

/* neap.balance.bind(function or policy, views, board, leaves): what neap_vm_call is to call. */
static int bind(lua_State *L) {
  binding *from = neap_script_user(L);
  lua_balance *b = from->balance;
  lua_rawgeti(L, LUA_REGISTRYINDEX, from->module);
  lua_getfield(L, -1, "bind");
  lua_rawgeti(L, LUA_REGISTRYINDEX, from->function);
  lua_pushlightuserdata(L, b->views);
  lua_pushlightuserdata(L, b->board);
  lua_pushlightuserdata(L, &b->leaves);
  lua_call(L, 4, 2);
  b->observe = lua_isnil(L, -1) ? LUA_NOREF : luaL_ref(L, LUA_REGISTRYINDEX);
  lua_settop(L, b->observe == LUA_NOREF ? -2 : -1);
  b->pick = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

/* --- opening --- */

static int load_file(lua_balance *b, const char *name, const char *text, binding *from, neap_err *err) {
  int status = neap_vm_runtime(b->vm, "neap.balance", &from->module, err);
  if (status == 0) status = neap_script_protected(b->vm, attach, from, NEAP_SETUP_BUDGET_US, err);
  if (status == 0) status = neap_vm_load(b->vm, name, text, strlen(text), &from->function, err);
  if (status == 0) status = neap_script_protected(b->vm, bind, from, NEAP_SETUP_BUDGET_US, err);
  return status;
}

int neap_balance_open(const neap_host *host, const neap_script_text *source, const neap_policy_env *env,
                      const neap_param *params, size_t param_count, const neap_policy_vt **vt, void **self,
                      neap_err *err) {
  lua_balance *b = make(source->name, env);
  if (b == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  const neap_vm_options options = {.host = host,
                                   .name = source->name,
                                   .folder = source->folder,
                                   .files = source->files,
                                   .generation = env->generation};
  int status = neap_vm_create(&options, &b->own_vm, err);
  if (status) {
    free(b);
    return status;
  }
  b->vm = b->own_vm;
  b->views = &b->own_views;
  neap_views_init(b->views);
  binding from = {.balance = b, .params = params, .param_count = param_count};
  status = load_file(b, source->name, source->text, &from, err);
  if (status) {
    destroy(b);
    return status;
  }
  *vt = &b->vt;
  *self = b;
  return 0;
}

int neap_balance_inline(neap_vm *vm, neap_view_board *views, int pick, const neap_policy_env *env,
                        const neap_policy_vt **vt, void **self, neap_err *err) {
  lua_balance *b = make("inline", env);
  if (b == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  b->vm = vm;
  b->views = views;
  binding from = {.balance = b, .function = pick};
  int status = neap_vm_runtime(vm, "neap.balance", &from.module, err);
  if (status == 0) status = neap_script_protected(vm, bind, &from, NEAP_SETUP_BUDGET_US, err);
  if (status) {
    free(b);
    return status;
  }
  *vt = &b->vt;
  *self = b;
  return 0;
}
