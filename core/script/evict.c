/* Evict policies in Lua behind the vtable: one VM each, questions and answers on the board. C owns what a
 * policy keeps (columns, ghosts, heaps, sketches), so that a reload can hand it over without copying. */
#include "script/evict.h"

#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/base.h"
#include "base/random.h"

enum {
  EVICT_MAGIC = 0x6e4c6576,
  COLUMNS_MAX = 24,
  OBJECTS_MAX = 8, /* of ghosts, heaps and sketches each */
  STATS_MAX = 16,
  FAULTS_PER_BATCH = 3 /* after which the rest of a batch is lost to the policy */
};

/* A column or, with `single`, one row; found again by name at a reload. */
typedef struct evict_column {
  neap_column column;
  char name[256];
  bool single;
} evict_column;

typedef struct evict_script {
  uint32_t magic;
  neap_policy_vt vt; /* with the policy's own name */
  char name[48];
  double version;
  neap_vm *vm;
  int observe, decide; /* references */
  neap_evict_leaves leaves;
  const neap_entry_facts *facts;
  neap_evict_board *board;
  neap_random random;
  evict_column columns[COLUMNS_MAX];
  neap_ghost *ghosts[OBJECTS_MAX];
  neap_heap *heaps[OBJECTS_MAX];
  neap_sketch *sketches[OBJECTS_MAX];
  int32_t widths[OBJECTS_MAX]; /* of the sketches */
  int column_count, ghost_count, heap_count, sketch_count;
  neap_policy_stat stats[STATS_MAX];
  size_t stat_count;
  char fault[640];
} evict_script;

/* --- leaves: what Lua calls. `self` comes from the runtime alone ---
 */
static void *add_column(evict_script *script, const char *name, size_t width, int32_t rows, bool single) {
  if (script->column_count == COLUMNS_MAX || width < 1 || width > 256) return NULL;
  evict_column *column = &script->columns[script->column_count];
  if (strlen(name) >= sizeof column->name || neap_column_init(&column->column, width, rows)) return NULL;
  strcpy(column->name, name);
  column->single = single;
  script->column_count++;
  return column->column.base;
}

static void *leaf_column(void *self, const char *name, int32_t width) {
  evict_script *script = self;
  return add_column(script, name, (size_t)width, script->board->slot_end, false);
}

static void *leaf_state(void *self, const char *name, int32_t size) {
  return add_column(self, name, (size_t)size, 1, true);
}

static neap_ghost *leaf_ghost(void *self, double limit) {
  evict_script *script = self;
  if (script->ghost_count == OBJECTS_MAX || !(limit >= 0)) return NULL;
  neap_ghost **ghost = &script->ghosts[script->ghost_count];
  if (neap_ghost_create(limit, ghost)) return NULL;
  script->ghost_count++;
  return *ghost;
}

static neap_heap *leaf_heap(void *self) {
  evict_script *script = self;
  if (script->heap_count == OBJECTS_MAX) return NULL;
  neap_heap **heap = &script->heaps[script->heap_count];
  if (neap_heap_create(script->board->slot_end, heap)) return NULL;
  script->heap_count++;
  return *heap;
}

static neap_sketch *leaf_sketch(void *self, int32_t width) {
  evict_script *script = self;
  if (script->sketch_count == OBJECTS_MAX) return NULL;
  neap_sketch **sketch = &script->sketches[script->sketch_count];
  if (neap_sketch_create(width, sketch)) return NULL;
  script->widths[script->sketch_count++] = width;
  return *sketch;
}

static int32_t leaf_random(void *self, int32_t bound) {
  evict_script *script = self;
  return bound > 0 ? (int32_t)neap_random_below(&script->random, (uint64_t)bound) : 0;
}

static void leaf_stat(void *self, const char *name, double value) {
  evict_script *script = self;
  size_t at = 0;
  while (at < script->stat_count &&
         strncmp(script->stats[at].name, name, sizeof script->stats[at].name - 1) != 0)
    at++;
  if (at == STATS_MAX) return;
  if (at == script->stat_count) {
    snprintf(script->stats[at].name, sizeof script->stats[at].name, "%s", name);
    script->stat_count++;
  }
  script->stats[at].value = value;
}

static bool is_slot(const evict_script *script, int32_t slot) {
  return slot >= NEAP_SLOT_FIRST && slot < script->board->slot_end;
}

#define LEAF_FACT(fact)                                                                                      \
  static double leaf_##fact(void *self, int32_t slot) {                                                      \
    const evict_script *script = self;                                                                       \
    return is_slot(script, slot) ? script->facts->fact(script->facts->cache, slot) : 0;                      \
  }
LEAF_FACT(size)
LEAF_FACT(cost)
LEAF_FACT(created_ms)
LEAF_FACT(expires_ms)
LEAF_FACT(last_access_ms)
LEAF_FACT(access_count)
LEAF_FACT(version)
LEAF_FACT(hash)
#undef LEAF_FACT

static int32_t leaf_key(void *self, int32_t slot, char *out, int32_t capacity) {
  const evict_script *script = self;
  if (!is_slot(script, slot)) return 0;
  return script->facts->key(script->facts->cache, slot, out, capacity);
}

static const neap_evict_leaves evict_leaves = {
    .column = leaf_column,
    .state = leaf_state,
    .ghost = leaf_ghost,
    .heap = leaf_heap,
    .sketch = leaf_sketch,
    .ghost_add = neap_ghost_add,
    .ghost_take = neap_ghost_take,
    .ghost_has = neap_ghost_has,
    .ghost_resize = neap_ghost_resize,
    .ghost_count = neap_ghost_count,
    .heap_put = neap_heap_put,
    .heap_remove = neap_heap_remove,
    .heap_min = neap_heap_min,
    .heap_key = neap_heap_key,
    .heap_has = neap_heap_has,
    .heap_count = neap_heap_count,
    .sketch_add = neap_sketch_add,
    .sketch_estimate = neap_sketch_estimate,
    .random = leaf_random,
    .stat = leaf_stat,
    .size = leaf_size,
    .cost = leaf_cost,
    .created_ms = leaf_created_ms,
    .expires_ms = leaf_expires_ms,
    .last_access_ms = leaf_last_access_ms,
    .access_count = leaf_access_count,
    .version = leaf_version,
    .hash = leaf_hash,
    .key = leaf_key,
};

/* --- the vtable --- */
static evict_script *script_of(void *self) {
  evict_script *script = self;
  neap_check_magic(script, EVICT_MAGIC);
  return script;
}

static void script_destroy(void *self) {
  evict_script *script = script_of(self);
  neap_vm_destroy(&script->vm);
  for (int i = 0; i < script->column_count; i++) neap_column_fini(&script->columns[i].column);
  for (int i = 0; i < script->ghost_count; i++) neap_ghost_destroy(&script->ghosts[i]);
  for (int i = 0; i < script->heap_count; i++) neap_heap_destroy(&script->heaps[i]);
  for (int i = 0; i < script->sketch_count; i++) neap_sketch_destroy(&script->sketches[i]);
  script->magic = 0;
  free(script);
}

/* An event that raises an error is passed over: the others are still told. The first fault is the one
 * remembered. */
static int observe_batch(evict_script *script, int n) {
  script->board->event_count = n;
  script->board->calls = 0;
  int first = neap_vm_call(script->vm, script->observe), code = first;
  if (NEAP_LIKELY(code == 0)) return 0;
  snprintf(script->fault, sizeof script->fault, "%s", neap_vm_fault(script->vm));
  for (int faults = 1; code == NEAP_EFAULT && script->board->calls < n && faults < FAULTS_PER_BATCH; faults++)
    code = neap_vm_call(script->vm, script->observe);
  return first;
}

static int script_observe(void *self, const neap_event *events, int n) {
  evict_script *script = script_of(self);
  neap_evict_board *board = script->board;
  if (events == board->events) return observe_batch(script, n);
  int code = 0;
  for (int done = 0; done < n && code == 0; done += NEAP_EVENTS_MAX) {
    int count = NEAP_MIN(n - done, NEAP_EVENTS_MAX);
    memcpy(board->events, events + done, (size_t)count * sizeof *events);
    code = observe_batch(script, count);
  }
  return code;
}

static int script_decide(void *self, neap_ask ask) {
  (void)ask;
  evict_script *script = script_of(self);
  int code = neap_vm_call(script->vm, script->decide);
  if (NEAP_UNLIKELY(code != 0))
    snprintf(script->fault, sizeof script->fault, "%s", neap_vm_fault(script->vm));
  return code;
}

static bool same_layout(const evict_script *a, const evict_script *b) {
  if (strcmp(a->name, b->name) != 0 || a->version != b->version || a->column_count != b->column_count ||
      a->ghost_count != b->ghost_count || a->heap_count != b->heap_count ||
      a->sketch_count != b->sketch_count)
    return false;
  for (int i = 0; i < a->column_count; i++)
    if (strcmp(a->columns[i].name, b->columns[i].name) != 0 ||
        a->columns[i].column.bytes != b->columns[i].column.bytes)
      return false;
  return memcmp(a->widths, b->widths, sizeof a->widths) == 0;
}

static int script_load(void *self, void *previous) {
  evict_script *script = script_of(self), *old = script_of(previous);
  if (!same_layout(script, old)) return NEAP_ESTATE;
  for (int i = 0; i < script->column_count; i++) {
    int code = neap_column_take(&script->columns[i].column, &old->columns[i].column);
    if (code) return code;
  }
  for (int i = 0; i < script->ghost_count; i++) neap_ghost_swap(script->ghosts[i], old->ghosts[i]);
  for (int i = 0; i < script->heap_count; i++) neap_heap_swap(script->heaps[i], old->heaps[i]);
  for (int i = 0; i < script->sketch_count; i++) neap_sketch_swap(script->sketches[i], old->sketches[i]);
  script->random = old->random;
  return 0;
}

static void script_report(void *self, neap_policy_report *out) {
  const evict_script *script = script_of(self);
  out->memory = sizeof *script + neap_vm_memory(script->vm);
  for (int i = 0; i < script->column_count; i++) {
    if (script->columns[i].single)
      out->memory += script->columns[i].column.bytes;
    else
      out->memory_per_slot += script->columns[i].column.width;
  }
  for (int i = 0; i < script->ghost_count; i++) out->memory += neap_ghost_memory(script->ghosts[i]);
  for (int i = 0; i < script->heap_count; i++) out->memory += neap_heap_memory(script->heaps[i]);
  for (int i = 0; i < script->sketch_count; i++) out->memory += neap_sketch_memory(script->sketches[i]);
  out->trace_aborts = neap_vm_trace_aborts(script->vm);
  out->fault = script->fault;
  out->stats = script->stats;
  out->stat_count = script->stat_count;
}

/* --- making one --- */
typedef struct create_call {
  evict_script *script;
  const neap_param *params;
  size_t param_count;
  int runtime, policy; /* references */
  bool problem;        /* of the parameters */
  neap_err *err;
} create_call;

static create_call *call_of(lua_State *lua) {
  return lua_touserdata(lua, 1);
}

static void push_params(lua_State *lua, const neap_param *params, size_t count) {
  lua_createtable(lua, 0, (int)count);
  for (size_t i = 0; i < count; i++) {
    if (params[i].text != NULL)
      lua_pushstring(lua, params[i].text);
    else
      lua_pushnumber(lua, params[i].number);
    lua_setfield(lua, -2, params[i].name);
  }
}

/* evict.attach(board, leaves, self, params) */
static int run_attach(lua_State *lua) {
  create_call *call = call_of(lua);
  lua_rawgeti(lua, LUA_REGISTRYINDEX, call->runtime);
  lua_getfield(lua, -1, "attach");
  lua_pushlightuserdata(lua, call->script->board);
  lua_pushlightuserdata(lua, &call->script->leaves);
  lua_pushlightuserdata(lua, call->script);
  push_params(lua, call->params, call->param_count);
  lua_call(lua, 4, 0);
  return 0;
}

/* observe, decide, name, version, problem = evict.finish(policy) */
static int run_finish(lua_State *lua) {
  create_call *call = call_of(lua);
  evict_script *script = call->script;
  lua_rawgeti(lua, LUA_REGISTRYINDEX, call->runtime);
  lua_getfield(lua, -1, "finish");
  lua_rawgeti(lua, LUA_REGISTRYINDEX, call->policy);
  lua_call(lua, 1, 5);
  if (lua_isstring(lua, -1)) {
    call->problem = true;
    neap_fail(call->err, NEAP_EINVAL, "%s", lua_tostring(lua, -1));
    return 0;
  }
  snprintf(script->name, sizeof script->name, "%s", lua_tostring(lua, -3));
  script->version = lua_tonumber(lua, -2);
  lua_pop(lua, 3);
  script->decide = luaL_ref(lua, LUA_REGISTRYINDEX);
  script->observe = luaL_ref(lua, LUA_REGISTRYINDEX);
  return 0;
}

/* Runs `fn` with `call` as its argument, protected. */
static int run(create_call *call, lua_CFunction fn) {
  neap_vm *vm = call->script->vm;
  lua_State *lua = neap_vm_state(vm);
  lua_pushcfunction(lua, fn);
  lua_pushlightuserdata(lua, call);
  return neap_vm_pcall(vm, 1, 0, 1000000, call->err);
}

static int load_policy(create_call *call, const neap_script_text *source) {
  neap_vm *vm = call->script->vm;
  int code = neap_vm_runtime(vm, "neap.evict", &call->runtime, call->err);
  if (code == 0) code = run(call, run_attach);
  if (code == 0) code = neap_vm_load(vm, source->name, source->text, source->size, &call->policy, call->err);
  if (code == 0) code = run(call, run_finish);
  return call->problem ? NEAP_EINVAL : code;
}

/* Callers of neap_policy_open know fewer codes. */
static int outward(int code, neap_err *err) {
  if (code == NEAP_EFAULT || code == NEAP_EFUEL || code == NEAP_EMEMCAP || code == NEAP_EANSWER) {
    code = NEAP_EPOLICY;
    if (err != NULL) err->code = code;
  }
  return code;
}

int neap_evict_create(const neap_script_text *source, const neap_policy_env *env, const neap_param *params,
                      size_t param_count, const neap_policy_vt **vt, void **self, neap_err *err) {
  evict_script *script = calloc(1, sizeof *script);
  if (script == NULL) return NEAP_ENOMEM;
  script->magic = EVICT_MAGIC;
  script->board = env->evict;
  script->facts = env->facts;
  script->leaves = evict_leaves;
  script->random.state = env->seed;
  const neap_vm_options options = {.host = env->host,
                                   .name = source->name,
                                   .folder = source->folder,
                                   .files = source->files,
                                   .generation = env->generation};
  create_call call = {.script = script, .params = params, .param_count = param_count, .err = err};
  env->evict->admit_max = 0;
  int code = neap_vm_create(&options, &script->vm, err);
  if (code == 0) code = load_policy(&call, source);
  if (code != 0) {
    script_destroy(script);
    return outward(code, err);
  }
  script->vt = (neap_policy_vt){.name = script->name,
                                .domain = NEAP_EVICT,
                                .destroy = script_destroy,
                                .observe = script_observe,
                                .decide = script_decide,
                                .load = script_load,
                                .report = script_report};
  *vt = &script->vt;
  *self = script;
  return 0;
}

neap_vm *neap_evict_vm(void *self) {
  return script_of(self)->vm;
}
