/* neap check: one file, everything that is wrong with it. */
#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "base/base.h"
#include "script/balance.h"
#include "script/config.h"
#include "script/evict.h"
#include "script/prefetch.h"

typedef struct check {
  const neap_host *host;
  const char *name; /* of the file at hand */
  neap_check_tell tell;
  void *user;
  bool failed;
} check;

/* --- telling --- */
static void tell(check *c, const char *severity, const char *place, const char *text) {
  char line[1400];
  snprintf(line, sizeof line, "%s: %s: %s", place, severity, text);
  if (strcmp(severity, "error") == 0) c->failed = true;
  c->tell(c->user, line);
}

/* Bytes of "name:line" at the beginning of `text`; 0 where it does not begin so. */
static size_t place_size(const char *name, const char *text) {
  size_t size = strlen(name);
  if (strncmp(text, name, size) != 0 || text[size] != ':') return 0;
  size_t digits = strspn(text + size + 1, "0123456789");
  return digits > 0 && text[size + 1 + digits] == ':' ? size + 1 + digits : 0;
}

/* "name:line: text; name:line: text" or plain text, as errors of all kinds. */
static void tell_error(check *c, const char *text) {
  char one[1024], place[1024];
  while (*text != 0) {
    size_t at = place_size(c->name, text), size = strlen(text);
    const char *body = at > 0 ? text + at + 2 : text;
    for (const char *next = strstr(body, "; "); next != NULL; next = strstr(next + 2, "; "))
      if (place_size(c->name, next + 2) > 0) {
        size = (size_t)(next - text);
        break;
      }
    if (at > 0)
      snprintf(place, sizeof place, "%.*s", (int)at, text);
    else
      snprintf(place, sizeof place, "%s:1", c->name);
    snprintf(one, sizeof one, "%.*s", (int)(size - (size_t)(body - text)), body);
    tell(c, "error", place, one);
    text += size;
    text += strspn(text, "; ");
  }
}

/* --- trace aborts --- */

/* What LuaJIT calls the reason: from its own jit.vmdef, where that is installed. */
static void reason(int code, int detail, char *out, size_t size) {
  static const char script[] =
      "local v = require 'jit.vmdef' local code, detail = ... local text = v.traceerr[code] "
      "if text:find('bytecode') then detail = v.bcnames:sub(detail * 6 + 1, detail * 6 + 6) "
      "elseif text:find('FastFunc') then detail = v.ffnames[detail] end "
      "return (text:gsub('%%[ds]', tostring(detail)))";
  snprintf(out, size, "reason %d", code);
  lua_State *lua = luaL_newstate();
  if (lua == NULL) return;
  luaL_openlibs(lua);
  if (luaL_loadstring(lua, script) == 0) {
    lua_pushinteger(lua, code);
    lua_pushinteger(lua, detail);
    if (lua_pcall(lua, 2, 1, 0) == 0 && lua_isstring(lua, -1))
      snprintf(out, size, "%s", lua_tostring(lua, -1));
  }
  lua_close(lua);
}

/* Places in the policy's own file, or in C, where it was called with what the compiler cannot pass on; the
 * runtime's are not the author's to mend. */
static void tell_abort(void *user, const char *place, int count, int code, int detail) {
  enum { RETRIES = 4 }; /* that many are usual until the compiler finds where to begin */
  check *c = user;
  char why[200], text[300];
  if (count < RETRIES) return;
  size_t size = strlen(c->name);
  bool in_c = strcmp(place, "[C]") == 0;
  if (!in_c && (strncmp(place, c->name, size) != 0 || place[size] != ':')) return;
  reason(code, detail, why, sizeof why);
  snprintf(text, sizeof text, "the compiler gave up %d times %s: %s", count,
           in_c ? "in a C function" : "here", why);
  char first[1024];
  snprintf(first, sizeof first, "%s:1", c->name);
  tell(c, "warning", in_c ? first : place, text);
}

/* --- evict --- */
static int check_evict(check *c, const neap_script_text *source, const neap_param *params,
                       size_t param_count) {
  neap_err err = {0};
  neap_evict_cost cost;
  int code = neap_evict_dry_run(source, c->host, params, param_count, &err);
  if (code == 0) code = neap_evict_measure(source, c->host, params, param_count, tell_abort, c, &cost, &err);
  if (code != 0) {
    tell_error(c, err.text);
    return code;
  }
  char text[120];
  snprintf(text, sizeof text, "%.1f ns per hit, %.1f ns per entry put and evicted", cost.hit_ns, cost.put_ns);
  tell(c, "note", c->name, text);
  return 0;
}

/* --- prefetch --- */
static int check_prefetch(check *c, const neap_script_text *source, const neap_param *params,
                          size_t param_count) {
  neap_err err = {0};
  double event_ns = 0;
  int code = neap_prefetch_dry_run(source, c->host, params, param_count, tell_abort, c, &event_ns, &err);
  if (code != 0) {
    tell_error(c, err.text);
    return code;
  }
  char text[120];
  snprintf(text, sizeof text, "%.0f ns per event, wishes included", event_ns);
  tell(c, "note", c->name, text);
  return 0;
}

/* --- balance --- */
enum { BACKENDS_MAX = 9, PICKS = 20000 };

static void make_pool(neap_pick_board *board, neap_backend_row *rows, int round) {
  board->count = round % (BACKENDS_MAX + 1);
  for (int32_t i = 0; i < board->count; i++)
    rows[i] = (neap_backend_row){.barred = ((round >> 4) * (i + 1) % 7 < 4 ? 0 : NEAP_BAR_DOWN) |
                                           ((round >> 7) % (i + 2) == 1 ? NEAP_BAR_TRIED : 0),
                                 .weight = 1 + (round + i) % 100,
                                 .in_flight = (round * (i + 3)) % 50,
                                 .share = 1 + (round + i) % 100,
                                 .load = -1,
                                 .ewma_us = (round + i) % 3 ? 0 : 1e6 * i};
  neap_random random = {(uint64_t)round};
  neap_pick_draw(board, &random, 101);
  board->key = round * 1e9;
  board->may_wait = round % 2;
}

/* As many events as there are backends, of every kind but the first, which says least. */
static void make_events(neap_pick_board *board, int round) {
  board->event_count = board->count;
  for (int32_t i = 0; i < board->count; i++) {
    int32_t kind = NEAP_EVENT_DONE + (round + i) % NEAP_EVENT_LEFT;
    board->events[i] = (neap_event){
        .what = kind << NEAP_EVENT_SHIFT | i, .size = round % 9, .hash = round % 5 ? 1000.0 * i : 1e9};
    board->statuses[i] = kind == NEAP_EVENT_DONE ? 200 : round % 2 ? 503 : 0;
  }
}

static bool is_usable(const neap_pick_board *board, int32_t i) {
  return board->rows[i].barred == 0;
}

static const char *wrong_pick(const neap_pick_board *board) {
  bool some = false;
  for (int32_t i = 0; i < board->count; i++) some = some || is_usable(board, i);
  if (board->answer == NEAP_PICK_WAIT) return board->may_wait ? NULL : "waits where that is no answer";
  if (board->answer == -1) return some ? "picks none, though one may be picked" : NULL;
  if (board->answer < 0 || board->answer >= board->count) return "picks what is no backend";
  return is_usable(board, board->answer) ? NULL : "picks a backend that is down or was tried";
}

static void run_picks(check *c, neap_pick_board *board, neap_backend_row *rows, const neap_policy_vt *vt,
                      void *self) {
  uint64_t start = c->host->thread_cpu_ns(c->host->user);
  for (int round = 0; round < PICKS; round++) {
    make_pool(board, rows, round);
    make_events(board, round);
    neap_policy_report report = {0};
    const char *wrong = NULL;
    if (vt->observe(self, board->events, board->event_count) != 0 || vt->decide(self, NEAP_ASK_PICK) != 0) {
      vt->report(self, &report);
      wrong = report.fault;
    } else {
      wrong = wrong_pick(board);
    }
    if (wrong == NULL) continue;
    tell_error(c, wrong);
    return;
  }
  char text[120];
  snprintf(text, sizeof text, "%.0f ns per pick",
           (double)(c->host->thread_cpu_ns(c->host->user) - start) / PICKS);
  tell(c, "note", c->name, text);
}

static int check_balance(check *c, const neap_script_text *source, const neap_param *params,
                         size_t param_count) {
  neap_backend_row rows[BACKENDS_MAX];
  neap_request_board request = {0};
  neap_pick_board board = {.rows = rows, .request = &request};
  make_pool(&board, rows, 3);
  const neap_policy_env env = {.host = c->host, .seed = 1, .pick = &board};
  const neap_policy_vt *vt;
  void *self;
  neap_err err = {0};
  int code = neap_balance_open(c->host, source, &env, params, param_count, &vt, &self, &err);
  if (code != 0) {
    tell_error(c, err.text);
    return code;
  }
  run_picks(c, &board, rows, vt, self);
  vt->destroy(self);
  return 0;
}

/* --- configurations --- */
static void tell_report(check *c, char *report) {
  for (char *line = strtok(report, "\n"); line != NULL; line = strtok(NULL, "\n")) {
    if (strstr(line, ": error: ") != NULL) c->failed = true;
    c->tell(c->user, line);
  }
}

/* A file that the configuration names; shipped policies have been checked. */
static void
check_named(check *c, const char *spec, const char *text, const neap_param *params, size_t param_count,
            int (*act)(check *c, const neap_script_text *source, const neap_param *params, size_t count)) {
  if (text == NULL) return;
  const char *configuration = c->name;
  const neap_script_text source = {.name = spec, .text = text, .size = strlen(text), .folder = "."};
  c->name = spec;
  act(c, &source, params, param_count);
  c->name = configuration;
}

static void check_worker(check *c, const neap_config *config) {
  neap_worker_vm *vm;
  neap_err err = {0};
  if (neap_worker_vm_create(config, c->host, NULL, &vm, &err))
    tell_error(c, err.text);
  else
    neap_worker_vm_destroy(&vm);
}

/* Asks the checks of probes what they think of two answers, a good one and one with nothing in it. */
static void check_judges(check *c, const neap_config *config) {
  static const neap_header_row headers[] = {{{"Content-Type", 12, 0}, {"application/json", 16, 0}}};
  static const neap_probe_board answers[] = {{.status = 200,
                                              .header_count = 1,
                                              .took_ms = 1,
                                              .body = {"{\"status\":\"ok\"}", 15, 0},
                                              .headers = headers},
                                             {.status = 503, .took_ms = 1000, .body = {"", 0, 0}}};
  neap_judge *judge;
  neap_err err = {0};
  if (neap_judge_create(config, c->host, &judge, &err)) {
    tell_error(c, err.text);
    return;
  }
  for (size_t i = 0; i < config->pool_count; i++) {
    if (!config->pools[i].care.health.scripted) continue;
    bool fails = false;
    for (size_t j = 0; j < NEAP_COUNT_OF(answers) && !fails; j++)
      fails = neap_judge_ask(judge, (int32_t)i, &answers[j]) < 0;
    if (fails) tell_error(c, neap_judge_fault(judge));
  }
  neap_judge_destroy(&judge);
}

static int check_configuration(check *c, const neap_script_text *text) {
  extern char **environ;
  const neap_config_source source = {.name = text->name,
                                     .folder = text->folder,
                                     .text = text->text,
                                     .size = text->size,
                                     .environment = (const char *const *)environ};
  neap_config *config;
  char *report;
  int code = neap_config_load(c->host, &source, 1, &config, &report);
  if (report != NULL) tell_report(c, report);
  free(report);
  if (code != 0) {
    c->failed = true;
    return code;
  }
  check_named(c, config->cache.evict, config->cache_source, config->cache.params, config->cache.param_count,
              check_evict);
  for (size_t i = 0; i < config->prefetch.policy_count; i++) {
    const neap_config_prefetch_policy *policy = &config->prefetch.policies[i];
    check_named(c, policy->name, policy->source, policy->params, policy->param_count, check_prefetch);
  }
  for (size_t i = 0; i < config->pool_count; i++)
    check_named(c, config->pools[i].balance, config->pools[i].source, config->pools[i].params,
                config->pools[i].param_count, check_balance);
  check_worker(c, config);
  check_judges(c, config);
  neap_config_destroy(&config);
  return 0;
}

/* --- any file --- */
static bool requires(const char *text, const char *module) {
  char quoted[40];
  snprintf(quoted, sizeof quoted, "\"%s\"", module);
  if (strstr(text, quoted) != NULL) return true;
  snprintf(quoted, sizeof quoted, "'%s'", module);
  return strstr(text, quoted) != NULL;
}

static neap_file_kind kind_of(const char *text) {
  if (requires(text, "neap.policy") && strstr(text, ".prefetch") && !strstr(text, ".evict"))
    return NEAP_FILE_PREFETCH;
  if (requires(text, "neap.policy"))
    return strstr(text, ".balance") && !strstr(text, ".evict") ? NEAP_FILE_BALANCE : NEAP_FILE_EVICT;
  if (requires(text, "neap")) return NEAP_FILE_CONFIGURATION;
  if (strstr(text, "return function(options)") == NULL) return NEAP_FILE_BALANCE;
  return strstr(text, "function(reply)") ? NEAP_FILE_PROBES : NEAP_FILE_RULES;
}

int neap_script_kind(const char *path, neap_file_kind *out, neap_err *err) {
  neap_config_files files = {0};
  neap_err why = {0};
  const neap_config_file *file = neap_config_read_file(&files, path, &why);
  if (file) *out = kind_of(file->text);
  neap_config_files_fini(&files);
  return file ? 0 : neap_fail(err, NEAP_EIO, "cannot read %s: %s", path, why.text);
}

int neap_script_check(const neap_host *host, const char *path, neap_check_tell told, void *user) {
  check c = {.host = host, .name = path, .tell = told, .user = user};
  neap_config_files files = {0};
  neap_err err = {0};
  const neap_config_file *file = neap_config_read_file(&files, path, &err);
  if (file == NULL) {
    tell(&c, "error", path, err.text);
    neap_config_files_fini(&files);
    return NEAP_EIO;
  }
  char folder[1024] = ".";
  const char *slash = strrchr(path, '/');
  if (slash != NULL) snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
  const neap_script_text source = {
      .name = path, .text = file->text, .size = strlen(file->text), .folder = folder};
  switch (kind_of(file->text)) {
  case NEAP_FILE_EVICT: check_evict(&c, &source, NULL, 0); break;
  case NEAP_FILE_BALANCE: check_balance(&c, &source, NULL, 0); break;
  case NEAP_FILE_PREFETCH: check_prefetch(&c, &source, NULL, 0); break;
  case NEAP_FILE_CONFIGURATION: check_configuration(&c, &source); break;
  case NEAP_FILE_RULES:
  case NEAP_FILE_PROBES: break; /* asked in a configuration */
  }
  neap_config_files_fini(&files);
  return c.failed ? NEAP_EINVAL : 0;
}
