/* One worker's VM: the configuration run once more, for the functions in it. Predicates and actions of routes
 * are asked here, inline balance policies come out of its registry.
 *
 * A predicate that fails counts as "no": the request falls to the next route. Of an action that fails nothing
 * holds. TRIP_AFTER failures in a row take a function out until the next generation; one that used up the
 * VM's memory takes out all of them. A value that `res` refuses, or too much of them, is no failure of the
 * function: clients choose values, and must not be able to take it out for everybody. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/utf8.h"
#include "script/act.h"
#include "script/balance.h"
#include "script/config.h"
#include "script/protect.h"
#include "script/views.h"

#define WORKER_MAGIC 0x4e77766du /* "Nwvm" */
enum { TRIP_AFTER = 3, LOG_EVERY_MS = 1000, SHOWN_EVERY = 64 };

/* A predicate or an action. */
typedef struct function {
  int ref; /* LUA_NOREF: the route has none */
  unsigned streak;
  bool tripped;
} function;

/* When a line was written last, and how many were not since. */
typedef struct log_pace {
  uint64_t logged_ms, unlogged;
} log_pace;

struct neap_worker_vm {
  uint32_t magic;
  bool dead; /* out of memory: nothing runs in it any more */
  neap_vm *vm;
  neap_view_board views;
  const neap_config *config;
  const neap_host *host;
  neap_registry *registry;
  function *when, *act; /* by route */
  neap_act_board *decided;
  int picks; /* registry reference: inline functions by pool, from 1 */
  neap_worker_counters counters;
  uint64_t load_aborts;      /* trace aborts of the check that ran in this VM: not of predicates */
  log_pace faults, refusals; /* apart, so that clients cannot hide faults */
  char fault[NEAP_NOTE_TEXT];
  neap_note newest; /* fault, for others */
};

/* --- making --- */

typedef struct installation {
  neap_worker_vm *worker;
  int module;    /* lua/neap/request.lua */
  int when, act; /* functions by route, from 1 */
} installation;

/* References to the functions in the table at the top of the stack, which is popped. */
static void take_functions(lua_State *L, function *functions, size_t count) {
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, -1, (int)i + 1);
    if (lua_isnil(L, -1)) {
      functions[i].ref = LUA_NOREF;
      lua_pop(L, 1);
    } else {
      functions[i].ref = luaL_ref(L, LUA_REGISTRYINDEX);
    }
  }
  lua_pop(L, 1);
}

/* neap.request.install(views, board, when, act): the functions to call, by route. */
static int install(lua_State *L) {
  installation *from = neap_script_user(L);
  neap_worker_vm *worker = from->worker;
  lua_rawgeti(L, LUA_REGISTRYINDEX, from->module);
  lua_getfield(L, -1, "install");
  lua_pushlightuserdata(L, &worker->views);
  lua_pushlightuserdata(L, worker->decided);
  lua_rawgeti(L, LUA_REGISTRYINDEX, from->when);
  lua_rawgeti(L, LUA_REGISTRYINDEX, from->act);
  lua_call(L, 4, 2);
  take_functions(L, worker->act, worker->config->route_count);
  take_functions(L, worker->when, worker->config->route_count);
  return 0;
}

/* Runs the file again, for its functions. */
static int run_again(neap_worker_vm *worker, installation *from, neap_err *err) {
  neap_config_run run;
  int status = neap_config_run_again(worker->config, worker->vm, &run, err);
  if (status) return status;
  from->when = run.when;
  from->act = run.act;
  worker->picks = run.pick;
  return 0;
}

static int open_inline(void *user, neap_domain domain, const char *spec, const char *source,
                       const neap_policy_env *env, const neap_param *params, size_t param_count,
                       const neap_policy_vt **vt, void **self, char **text_out, neap_err *err);

static int make_registry(neap_worker_vm *worker, neap_err *err) {
  int status = neap_registry_create(worker->host, &worker->registry);
  if (status) return neap_fail(err, status, "out of memory");
  const neap_loader loader = {.name = "inline", .user = worker, .open = open_inline};
  neap_registry_add(worker->registry, &loader);
  neap_script_register_record(worker->registry, &neap_config_box_of(worker->config)->record->files);
  return 0;
}

static int start(neap_worker_vm *worker, neap_spares *spares, neap_err *err) {
  neap_config_record *record = neap_config_box_of(worker->config)->record;
  const neap_vm_options options = {.host = worker->host,
                                   .name = record->name,
                                   .folder = record->folder,
                                   .files = &record->files,
                                   .generation = worker->config->generation};
  installation from = {.worker = worker};
  int status = neap_vm_create_from(spares, &options, &worker->vm, err);
  if (status == 0) status = run_again(worker, &from, err);
  if (status == 0) status = neap_vm_runtime(worker->vm, "neap.request", &from.module, err);
  if (status == 0) status = neap_script_protected(worker->vm, install, &from, NEAP_SETUP_BUDGET_US, err);
  if (status == 0) status = make_registry(worker, err);
  if (status == 0) worker->load_aborts = neap_vm_trace_aborts(worker->vm);
  return status;
}

int neap_worker_vm_create(const neap_config *config, const neap_host *host, neap_spares *spares,
                          neap_worker_vm **out, neap_err *err) {
  neap_worker_vm *worker = calloc(1, sizeof *worker);
  if (worker == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  worker->magic = WORKER_MAGIC;
  worker->config = config;
  worker->host = host;
  worker->when = calloc(config->route_count + 1, sizeof *worker->when);
  worker->act = calloc(config->route_count + 1, sizeof *worker->act);
  worker->decided = malloc(sizeof *worker->decided);
  int status = neap_fail(err, NEAP_ENOMEM, "out of memory");
  if (worker->when && worker->act && worker->decided) {
    neap_views_init(&worker->views);
    neap_act_init(worker->decided);
    status = start(worker, spares, err);
  }
  if (status)
    neap_worker_vm_destroy(&worker);
  else
    *out = worker;
  return status;
}

void neap_worker_vm_destroy(neap_worker_vm **vm) {
  neap_worker_vm *worker = *vm;
  if (worker == NULL) return;
  neap_check_magic(worker, WORKER_MAGIC);
  neap_registry_destroy(&worker->registry);
  if (worker->vm) neap_vm_destroy(&worker->vm);
  worker->magic = 0;
  free(worker->when);
  free(worker->act);
  free(worker->decided);
  free(worker);
  *vm = NULL;
}

/* --- inline balance policies --- */

typedef struct lookup {
  const neap_worker_vm *worker;
  size_t pool;
  int function;
} lookup;

static int look_up(lua_State *L) {
  lookup *l = neap_script_user(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, l->worker->picks);
  lua_rawgeti(L, -1, (int)l->pool + 1);
  l->function = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static int open_inline(void *user, neap_domain domain, const char *spec, const char *source,
                       const neap_policy_env *env, const neap_param *params, size_t param_count,
                       const neap_policy_vt **vt, void **self, char **text_out, neap_err *err) {
  (void)source, (void)params, (void)param_count;
  neap_worker_vm *worker = user;
  const neap_config *config = worker->config;
  *text_out = NULL;
  if (domain != NEAP_BALANCE || strncmp(spec, "inline:", 7) != 0) return NEAP_ENOTFOUND;
  lookup l = {.worker = worker};
  while (l.pool < config->pool_count && strcmp(config->pools[l.pool].balance, spec) != 0) l.pool++;
  if (l.pool == config->pool_count) return neap_fail(err, NEAP_ENOTFOUND, "no pool has the policy %s", spec);
  int status = neap_script_protected(worker->vm, look_up, &l, NEAP_SETUP_BUDGET_US, err);
  if (status) return status;
  return neap_balance_inline(worker->vm, &worker->views, l.function, env, vt, self, err);
}

void neap_worker_read_tables(neap_worker_vm *vm, const neap_table_reader *reader) {
  vm->views.tables = reader;
}

neap_registry *neap_worker_registry(neap_worker_vm *vm) {
  return vm->registry;
}

/* --- asking --- */

static void log_fault(neap_worker_vm *worker, int32_t route, neap_log_level level, const char *what,
                      int status, uint64_t unlogged) {
  char line[768];
  snprintf(line, sizeof line,
           "route %s name=\"%s\" generation=%" PRIu64 " reason=%s unlogged=%" PRIu64 " at=%s", what,
           worker->config->routes[route].name, worker->config->generation, neap_errname(status), unlogged,
           worker->fault);
  neap_text_tame(line, 0);
  worker->host->log(worker->host->user, level, line);
}

/* Read by others meanwhile: neap_worker_counters_peek. */
static void bump(uint64_t *count) {
  __atomic_store_n(count, *count + 1, __ATOMIC_RELAXED);
}

/* Remembers and logs, but not more than a line a second. */
static void tell(neap_worker_vm *worker, int32_t route, const char *what, int status, log_pace *pace) {
  uint64_t now = worker->host->now_ms(worker->host->user);
  snprintf(worker->fault, sizeof worker->fault, "%s", neap_vm_fault(worker->vm));
  if (pace->logged_ms != 0 && now < pace->logged_ms + LOG_EVERY_MS) {
    pace->unlogged++;
    return;
  }
  log_fault(worker, route, NEAP_LOG_WARN, what, status, pace->unlogged);
  *pace = (log_pace){.logged_ms = now ? now : 1};
}

static int fail(neap_worker_vm *worker, int32_t route, function *asked, int status) {
  bump(&worker->counters.faults);
  tell(worker, route, "fault", status, &worker->faults);
  neap_note_write(&worker->newest, worker->host->now_ms(worker->host->user), worker->fault);
  worker->dead = worker->dead || status == NEAP_EMEMCAP;
  if (++asked->streak == TRIP_AFTER || worker->dead) {
    asked->tripped = true;
    bump(&worker->counters.trips);
    log_fault(worker, route, NEAP_LOG_ERROR, "tripped", status, worker->faults.unlogged);
  }
  return status;
}

/* The streak stays as it is: neither a fault nor a success. */
static int refuse(neap_worker_vm *worker, int32_t route) {
  bump(&worker->counters.refused);
  tell(worker, route, "value_refused", NEAP_EINVAL, &worker->refusals);
  return NEAP_EINVAL;
}

/* What only the VM knows, for others to look at. */
static void show(neap_worker_vm *vm) {
  neap_worker_counters now;
  neap_worker_counters_get(vm, &now);
  __atomic_store_n(&vm->counters.trace_aborts, now.trace_aborts, __ATOMIC_RELAXED);
  __atomic_store_n(&vm->counters.memory, now.memory, __ATOMIC_RELAXED);
}

/* hot: */
static int ask(neap_worker_vm *vm, int32_t route, function *asked, const neap_request_board *request) {
  if (asked->tripped || vm->dead) return NEAP_ESTATE;
  if (vm->counters.asks % SHOWN_EVERY == 0) show(vm);
  bump(&vm->counters.asks);
  neap_views_open(&vm->views, request);
  int status = neap_vm_call(vm->vm, asked->ref);
  neap_views_close(&vm->views);
  if (NEAP_UNLIKELY(status == NEAP_EFAULT && (vm->decided->refused || vm->views.refused)))
    return refuse(vm, route);
  if (NEAP_UNLIKELY(status != 0)) return fail(vm, route, asked, status);
  asked->streak = 0;
  return 0;
}

/* hot: */
int neap_worker_when(neap_worker_vm *vm, int32_t route, const neap_request_board *request) {
  neap_check_magic(vm, WORKER_MAGIC);
  function *when = &vm->when[route];
  if (when->ref == LUA_NOREF) return 1;
  vm->views.answer = 0;
  vm->decided->refused = 0; /* of an action before */
  int status = ask(vm, route, when, request);
  return status ? status : vm->views.answer;
}

/* hot: */
int neap_worker_act(neap_worker_vm *vm, int32_t route, const neap_request_board *request,
                    const neap_act_board **out) {
  neap_check_magic(vm, WORKER_MAGIC);
  neap_act_clear(vm->decided);
  *out = vm->decided;
  function *act = &vm->act[route];
  return act->ref == LUA_NOREF ? 0 : ask(vm, route, act, request);
}

void neap_worker_counters_get(const neap_worker_vm *vm, neap_worker_counters *out) {
  *out = vm->counters;
  out->trace_aborts = neap_vm_trace_aborts(vm->vm) - vm->load_aborts;
  out->memory = neap_vm_memory(vm->vm);
}

void neap_worker_counters_peek(const neap_worker_vm *vm, neap_worker_counters *out) {
  *out = (neap_worker_counters){.asks = __atomic_load_n(&vm->counters.asks, __ATOMIC_RELAXED),
                                .faults = __atomic_load_n(&vm->counters.faults, __ATOMIC_RELAXED),
                                .trips = __atomic_load_n(&vm->counters.trips, __ATOMIC_RELAXED),
                                .refused = __atomic_load_n(&vm->counters.refused, __ATOMIC_RELAXED),
                                .trace_aborts = __atomic_load_n(&vm->counters.trace_aborts, __ATOMIC_RELAXED),
                                .memory = __atomic_load_n(&vm->counters.memory, __ATOMIC_RELAXED)};
}

const char *neap_worker_fault(const neap_worker_vm *vm) {
  return vm->fault;
}

bool neap_worker_fault_peek(const neap_worker_vm *vm, uint64_t *at_ms, char out[NEAP_NOTE_TEXT]) {
  return neap_note_read(&vm->newest, at_ms, out);
}
