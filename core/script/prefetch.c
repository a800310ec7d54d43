/* Prefetch policies in Lua behind the vtable: one VM each. An ask is a batch of events on the board and its
 * answer the wishes; C owns the tables, so that a reload can hand over what was learned. */
#include "script/prefetch.h"

#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/base.h"
#include "base/random.h"
#include "script/protect.h"

enum { PREFETCH_MAGIC = 0x6e4c7066, TABLES_MAX = 4, STATS_MAX = 16 };

typedef struct prefetch_script {
  uint32_t magic;
  neap_policy_vt vt; /* with the policy's own name */
  char name[48];
  double version;
  neap_vm *vm;
  int turn; /* reference */
  neap_prefetch_leaves leaves;
  neap_prefetch_board *board;
  neap_random random;
  neap_assoc *assocs[TABLES_MAX];
  neap_runs *runs[TABLES_MAX];
  int32_t sizes[2 * TABLES_MAX]; /* what they were made with */
  int assoc_count, runs_count;
  neap_policy_stat stats[STATS_MAX];
  size_t stat_count;
  char fault[640];
} prefetch_script;

/* --- leaves: what Lua calls. `self` comes from the runtime alone --- */

static neap_assoc *leaf_assoc(void *self, int32_t rows, int32_t window) {
  prefetch_script *script = self;
  if (script->assoc_count == TABLES_MAX) return NULL;
  neap_assoc **assoc = &script->assocs[script->assoc_count];
  if (neap_assoc_create(rows, window, assoc)) return NULL;
  script->sizes[script->assoc_count++] = rows;
  return *assoc;
}

static neap_runs *leaf_runs(void *self, int32_t count, double reach) {
  prefetch_script *script = self;
  if (script->runs_count == TABLES_MAX) return NULL;
  neap_runs **runs = &script->runs[script->runs_count];
  if (neap_runs_create(count, reach, runs)) return NULL;
  script->sizes[TABLES_MAX + script->runs_count++] = count;
  return *runs;
}

static int32_t leaf_random(void *self, int32_t bound) {
  prefetch_script *script = self;
  return bound > 0 ? (int32_t)neap_random_below(&script->random, (uint64_t)bound) : 0;
}

static void leaf_stat(void *self, const char *name, double value) {
  prefetch_script *script = self;
  size_t at = 0, most = sizeof script->stats[0].name - 1;
  while (at < script->stat_count && strncmp(script->stats[at].name, name, most) != 0) at++;
  if (at == STATS_MAX) return;
  if (at == script->stat_count) {
    snprintf(script->stats[at].name, sizeof script->stats[at].name, "%s", name);
    script->stat_count++;
  }
  script->stats[at].value = value;
}

static const neap_prefetch_leaves prefetch_leaves = {
    .assoc = leaf_assoc,
    .assoc_learn = neap_assoc_learn,
    .assoc_next = neap_assoc_next,
    .assoc_share = neap_assoc_share,
    .assoc_count = neap_assoc_count,
    .runs = leaf_runs,
    .runs_observe = neap_runs_observe,
    .runs_length = neap_runs_length,
    .runs_stride = neap_runs_stride,
    .runs_ahead = neap_runs_ahead,
    .runs_set_ahead = neap_runs_set_ahead,
    .random = leaf_random,
    .stat = leaf_stat,
};

/* --- the vtable --- */

static prefetch_script *script_of(void *self) {
  prefetch_script *script = self;
  neap_check_magic(script, PREFETCH_MAGIC);
  return script;
}

static void script_destroy(void *self) {
  prefetch_script *script = script_of(self);
  neap_vm_destroy(&script->vm);
  for (int i = 0; i < script->assoc_count; i++) neap_assoc_destroy(&script->assocs[i]);
  for (int i = 0; i < script->runs_count; i++) neap_runs_destroy(&script->runs[i]);
  script->magic = 0;
  free(script);
}

/* Prefetch policies hear everything with the ask. */
static int script_observe(void *self, const neap_event *events, int n) {
  (void)self, (void)events, (void)n;
  return 0;
}

static int script_decide(void *self, neap_ask ask) {
  prefetch_script *script = script_of(self);
  if (ask != NEAP_ASK_WISHES) return NEAP_EINVAL;
  int code = neap_vm_call(script->vm, script->turn);
  if (NEAP_UNLIKELY(code != 0))
    snprintf(script->fault, sizeof script->fault, "%s", neap_vm_fault(script->vm));
  return code;
}

static int script_load(void *self, void *previous) {
  prefetch_script *script = script_of(self), *old = script_of(previous);
  if (strcmp(script->name, old->name) != 0 || script->version != old->version ||
      script->assoc_count != old->assoc_count || script->runs_count != old->runs_count ||
      memcmp(script->sizes, old->sizes, sizeof script->sizes) != 0)
    return NEAP_ESTATE;
  for (int i = 0; i < script->assoc_count; i++) neap_assoc_swap(script->assocs[i], old->assocs[i]);
  for (int i = 0; i < script->runs_count; i++) neap_runs_swap(script->runs[i], old->runs[i]);
  script->random = old->random;
  return 0;
}

static void script_report(void *self, neap_policy_report *out) {
  const prefetch_script *script = script_of(self);
  out->memory = sizeof *script + neap_vm_memory(script->vm);
  for (int i = 0; i < script->assoc_count; i++) out->memory += neap_assoc_memory(script->assocs[i]);
  for (int i = 0; i < script->runs_count; i++) out->memory += neap_runs_memory(script->runs[i]);
  out->trace_aborts = neap_vm_trace_aborts(script->vm);
  out->fault = script->fault;
  out->stats = script->stats;
  out->stat_count = script->stat_count;
}

/* --- making one --- */

typedef struct create_call {
  prefetch_script *script;
  const neap_param *params;
  size_t param_count;
  int runtime, policy; /* references */
  bool problem;        /* of the parameters */
  neap_err *err;
} create_call;

/* prefetch.attach(board, leaves, self, params) */
static int run_attach(lua_State *L) {
  const create_call *call = neap_script_user(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, call->runtime);
  lua_getfield(L, -1, "attach");
  lua_pushlightuserdata(L, call->script->board);
  lua_pushlightuserdata(L, &call->script->leaves);
  lua_pushlightuserdata(L, call->script);
  lua_createtable(L, 0, (int)call->param_count);
  for (size_t i = 0; i < call->param_count; i++) {
    if (call->params[i].text != NULL)
      lua_pushstring(L, call->params[i].text);
    else
      lua_pushnumber(L, call->params[i].number);
    lua_setfield(L, -2, call->params[i].name);
  }
  lua_call(L, 4, 0);
  return 0;
}

/* turn, name, version, problem = prefetch.finish(policy) */
static int run_finish(lua_State *L) {
  create_call *call = neap_script_user(L);
  prefetch_script *script = call->script;
  lua_rawgeti(L, LUA_REGISTRYINDEX, call->runtime);
  lua_getfield(L, -1, "finish");
  lua_rawgeti(L, LUA_REGISTRYINDEX, call->policy);
  lua_call(L, 1, 4);
  if (lua_isstring(L, -1)) {
    call->problem = true;
    neap_fail(call->err, NEAP_EINVAL, "%s", lua_tostring(L, -1));
    return 0;
  }
  snprintf(script->name, sizeof script->name, "%s", lua_tostring(L, -3));
  script->version = lua_tonumber(L, -2);
  lua_pop(L, 3);
  script->turn = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static int load_policy(create_call *call, const neap_script_text *source) {
  neap_vm *vm = call->script->vm;
  int code = neap_vm_runtime(vm, "neap.prefetch", &call->runtime, call->err);
  if (code == 0) code = neap_script_protected(vm, run_attach, call, NEAP_SETUP_BUDGET_US, call->err);
  if (code == 0) code = neap_vm_load(vm, source->name, source->text, source->size, &call->policy, call->err);
  if (code == 0) code = neap_script_protected(vm, run_finish, call, NEAP_SETUP_BUDGET_US, call->err);
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

int neap_prefetch_create(const neap_script_text *source, const neap_policy_env *env, const neap_param *params,
                         size_t param_count, const neap_policy_vt **vt, void **self, neap_err *err) {
  prefetch_script *script = calloc(1, sizeof *script);
  if (script == NULL) return NEAP_ENOMEM;
  script->magic = PREFETCH_MAGIC;
  script->board = env->prefetch;
  script->leaves = prefetch_leaves;
  script->random.state = env->seed;
  const neap_vm_options options = {.host = env->host,
                                   .name = source->name,
                                   .folder = source->folder,
                                   .files = source->files,
                                   .generation = env->generation};
  create_call call = {.script = script, .params = params, .param_count = param_count, .err = err};
  int code = neap_vm_create(&options, &script->vm, err);
  if (code == 0) code = load_policy(&call, source);
  if (code != 0) {
    script_destroy(script);
    return outward(code, err);
  }
  script->vt = (neap_policy_vt){.name = script->name,
                                .domain = NEAP_PREFETCH,
                                .destroy = script_destroy,
                                .observe = script_observe,
                                .decide = script_decide,
                                .load = script_load,
                                .report = script_report};
  *vt = &script->vt;
  *self = script;
  return 0;
}

neap_vm *neap_prefetch_vm(void *self) {
  return script_of(self)->vm;
}

/* --- the dry run --- */

enum { ROUNDS = 400, WARM_ROUNDS = 200 };

/* What there is of everything: runs with either sign, loops of hashes, and the odd. */
static neap_prefetch_event odd_event(neap_random *random, int round, int i) {
  static const double odd[] = {0, -1, 0x1p53 - 1, -0x1p53 + 1, 1e9};
  static const int32_t sizes[] = {0, 1, 70000, INT32_MAX};
  uint64_t draw = neap_random_next(random);
  int step = round * NEAP_PREFETCH_EVENTS_MAX + i;
  neap_prefetch_event event = {.kind = draw % 16 < 11 ? NEAP_PREFETCH_WANT : (int32_t)(draw % 16 - 11),
                               .size = sizes[draw >> 8 & 3],
                               .hash = (double)(1 + step % 100) * 0x1p40,
                               .space = (double)(draw >> 16 & 3),
                               .number = step / 4 * (step % 4 - 1.5),
                               .stream = (double)(draw >> 20 & 7)};
  if ((draw >> 24 & 15) == 0) event.number = odd[draw >> 28 & 3];
  if ((draw >> 32 & 15) == 0) event.hash = (double)(draw >> 11);
  if (event.kind == NEAP_PREFETCH_HINT) event.like = draw >> 40 & 1 ? 0x1p40 : 0;
  return event;
}

static int lead(prefetch_script *script, const neap_host *host, double *event_ns, neap_err *err) {
  neap_random random = {1};
  uint64_t spent = 0;
  for (int round = 0; round < ROUNDS; round++) {
    neap_prefetch_board *board = script->board;
    board->event_count = round == 0 ? 0 : 1 + round % NEAP_PREFETCH_EVENTS_MAX;
    for (int32_t i = 0; i < board->event_count; i++) board->events[i] = odd_event(&random, round, i);
    board->now_ms = round;
    board->wish_count = board->calls = 0;
    board->room = round % 3 ? NEAP_PREFETCH_WISHES_MAX : round % 7;
    uint64_t start = host->thread_cpu_ns(host->user);
    if (script_decide(script, NEAP_ASK_WISHES) != 0)
      return neap_fail(err, NEAP_EPOLICY, "%s (dry run)", script->fault);
    if (round >= WARM_ROUNDS) spent += host->thread_cpu_ns(host->user) - start;
  }
  if (event_ns != NULL) *event_ns = (double)spent / ((ROUNDS - WARM_ROUNDS) * NEAP_PREFETCH_EVENTS_MAX / 2.0);
  return 0;
}

int neap_prefetch_dry_run(const neap_script_text *source, const neap_host *host, const neap_param *params,
                          size_t param_count,
                          void (*abort)(void *user, const char *place, int count, int code, int detail),
                          void *user, double *event_ns, neap_err *err) {
  neap_prefetch_board *board = calloc(1, sizeof *board);
  if (board == NULL) return neap_fail(err, NEAP_ENOMEM, "%s", neap_strerror(NEAP_ENOMEM));
  const neap_policy_env env = {.host = host, .seed = 1, .prefetch = board};
  const neap_policy_vt *vt;
  void *self;
  int code = neap_prefetch_create(source, &env, params, param_count, &vt, &self, err);
  if (code == 0) {
    code = lead(self, host, event_ns, err);
    if (code == 0 && abort != NULL) neap_vm_each_abort(neap_prefetch_vm(self), abort, user);
    script_destroy(self);
  }
  free(board);
  return code;
}
