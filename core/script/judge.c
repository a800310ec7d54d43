/* Functions of a configuration that judge probes (`health = { check = ... }`), in a VM of their own: that of
 * the control thread. One that fails is not believed: the plain rules judge instead. TRIP_AFTER failures in a
 * row take it out until the next generation. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/base.h"
#include "base/note.h"
#include "script/config.h"
#include "script/protect.h"
#include "script/views.h"

#define JUDGE_MAGIC 0x4e6a6467u /* "Njdg" */
enum { TRIP_AFTER = 3 };

typedef struct judgement {
  int ref; /* LUA_NOREF: the pool has none, or it was taken out */
  unsigned streak;
  neap_policy_counters counters;
  neap_note newest; /* fault */
} judgement;

struct neap_judge {
  uint32_t magic;
  const neap_config *config;
  const neap_host *host;
  neap_vm *vm;
  neap_view_board views;
  neap_probe_board probe;
  judgement *of_pool;
};

typedef struct installation {
  neap_judge *judge;
  int module; /* lua/neap/reply.lua */
  int checks; /* functions by pool, from 1 */
} installation;

/* neap.reply.install(views, probe, checks): the functions to call, by pool. */
static int install(lua_State *L) {
  installation *from = neap_script_user(L);
  neap_judge *judge = from->judge;
  lua_rawgeti(L, LUA_REGISTRYINDEX, from->module);
  lua_getfield(L, -1, "install");
  lua_pushlightuserdata(L, &judge->views);
  lua_pushlightuserdata(L, &judge->probe);
  lua_rawgeti(L, LUA_REGISTRYINDEX, from->checks);
  lua_call(L, 3, 1);
  for (size_t i = 0; i < judge->config->pool_count; i++) {
    lua_rawgeti(L, -1, (int)i + 1);
    judge->of_pool[i].ref = lua_isnil(L, -1) ? LUA_NOREF : luaL_ref(L, LUA_REGISTRYINDEX);
    lua_settop(L, 2); /* the module and the list */
  }
  return 0;
}

static int start(neap_judge *judge, neap_err *err) {
  const neap_config_box *box = neap_config_box_of(judge->config);
  const neap_vm_options options = {.host = judge->host,
                                   .name = box->record->name,
                                   .folder = box->record->folder,
                                   .files = &box->record->files,
                                   .generation = judge->config->generation};
  installation from = {.judge = judge};
  neap_config_run run;
  int status = neap_vm_create(&options, &judge->vm, err);
  if (status == 0) status = neap_config_run_again(judge->config, judge->vm, &run, err);
  if (status) return status;
  from.checks = run.checks;
  status = neap_vm_runtime(judge->vm, "neap.reply", &from.module, err);
  return status ? status : neap_script_protected(judge->vm, install, &from, NEAP_SETUP_BUDGET_US, err);
}

int neap_judge_create(const neap_config *config, const neap_host *host, neap_judge **out, neap_err *err) {
  neap_judge *judge = calloc(1, sizeof *judge);
  if (judge == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  judge->magic = JUDGE_MAGIC;
  judge->config = config;
  judge->host = host;
  judge->of_pool = calloc(config->pool_count + 1, sizeof *judge->of_pool);
  neap_views_init(&judge->views);
  int status = judge->of_pool ? start(judge, err) : neap_fail(err, NEAP_ENOMEM, "out of memory");
  if (status)
    neap_judge_destroy(&judge);
  else
    *out = judge;
  return status;
}

void neap_judge_destroy(neap_judge **judge) {
  if (*judge == NULL) return;
  neap_check_magic(*judge, JUDGE_MAGIC);
  if ((*judge)->vm) neap_vm_destroy(&(*judge)->vm);
  (*judge)->magic = 0;
  free((*judge)->of_pool);
  free(*judge);
  *judge = NULL;
}

static void count(judgement *own, int status, bool trips) {
  uint64_t *faults = status == NEAP_EFUEL     ? &own->counters.faults_fuel
                     : status == NEAP_EMEMCAP ? &own->counters.faults_memory
                                              : &own->counters.faults_error;
  ++*faults;
  own->counters.trips += trips;
}

static int fail(neap_judge *judge, int32_t pool, int status) {
  judgement *own = &judge->of_pool[pool];
  bool trips = ++own->streak == TRIP_AFTER || status == NEAP_EMEMCAP;
  count(own, status, trips);
  neap_note_write(&own->newest, judge->host->now_ms(judge->host->user), neap_vm_fault(judge->vm));
  neap_host_log(judge->host, trips ? NEAP_LOG_ERROR : NEAP_LOG_WARN,
                "health %s pool=%s generation=%" PRIu64 " reason=%s at=%s", trips ? "tripped" : "fault",
                judge->config->pools[pool].name, judge->config->generation, neap_errname(status),
                neap_vm_fault(judge->vm));
  own->counters.fallbacks++;
  if (trips) own->ref = LUA_NOREF;
  return status;
}

int neap_judge_ask(neap_judge *judge, int32_t pool, const neap_probe_board *probe) {
  neap_check_magic(judge, JUDGE_MAGIC);
  judgement *own = &judge->of_pool[pool];
  if (own->ref == LUA_NOREF) {
    own->counters.fallbacks++;
    return NEAP_ESTATE;
  }
  own->counters.asks++;
  /* The views of a request serve: the body lies where a request has its path. */
  const neap_request_board reply = {
      .path = probe->body, .header_count = probe->header_count, .headers = probe->headers};
  judge->probe = *probe;
  judge->views.answer = 0;
  neap_views_open(&judge->views, &reply);
  int status = neap_vm_call(judge->vm, own->ref);
  neap_views_close(&judge->views);
  judge->probe = (neap_probe_board){0};
  if (status) return fail(judge, pool, status);
  own->streak = 0;
  return judge->views.answer;
}

const char *neap_judge_fault(const neap_judge *judge) {
  return neap_vm_fault(judge->vm);
}

void neap_judge_counters(const neap_judge *judge, int32_t pool, neap_policy_counters *out) {
  *out = judge->of_pool[pool].counters;
}

bool neap_judge_fault_peek(const neap_judge *judge, int32_t pool, uint64_t *at_ms, char out[NEAP_NOTE_TEXT]) {
  return neap_note_read(&judge->of_pool[pool].newest, at_ms, out);
}
