/* One run of a configuration in a VM: load the file, then hand lua/neap/config.lua what it needs to check
 * what was declared, and take what it made of it. Everything that may raise an error of Lua (or run out of
 * its memory) happens below neap_vm_pcall or lua_cpcall. */
#include "script/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <luajit.h>

#include "base/base.h"
#include "base/hash.h"
#include "base/nearest.h"
#include "script/embed.h"
#include "script/protect.h"

typedef struct session {
  neap_config_run *run;
  int module; /* lua/neap/config.lua */
} session;

/* --- what the check may ask --- */

/* nearest(word, words): the word that was probably meant, or nil. */
static int nearest_word(lua_State *L) {
  neap_nearest nearest;
  neap_nearest_init(&nearest, luaL_checkstring(L, 1));
  luaL_checktype(L, 2, LUA_TTABLE);
  size_t count = lua_objlen(L, 2);
  for (size_t i = 1; i <= count; i++) {
    lua_rawgeti(L, 2, (int)i);
    neap_nearest_offer(&nearest, luaL_checkstring(L, -1)); /* lives in the table */
    lua_pop(L, 1);
  }
  if (nearest.name)
    lua_pushstring(L, nearest.name);
  else
    lua_pushnil(L);
  return 1;
}

/* find_policy(domain, name): the path of its file, or nil and why not. */
static int find_policy(lua_State *L) {
  neap_config_run *run = ((session *)neap_script_user(L))->run;
  neap_err err = {0};
  const neap_config_file *file = neap_config_find_file(run->files, run->source->folder,
                                                       luaL_checkstring(L, 1), luaL_checkstring(L, 2), &err);
  if (file) return lua_pushstring(L, file->path), 1;
  lua_pushnil(L);
  lua_pushstring(L, err.text);
  return 2;
}

/* rule_text(folder, name): the text of what is shipped in policies/<folder>/ and its path, or nil. */
static int rule_text(lua_State *L) {
  char path[128];
  int size =
      snprintf(path, sizeof path, "policies/%s/%s.lua", luaL_checkstring(L, 1), luaL_checkstring(L, 2));
  const neap_embedded_file *file = size < (int)sizeof path ? neap_embedded_find(path) : NULL;
  if (file == NULL) return lua_pushnil(L), 1;
  lua_pushlstring(L, file->text, file->size);
  lua_pushstring(L, file->path);
  return 2;
}

/* files(): path and hash of every policy file, so that they are part of what has to be alike. */
static int list_files(lua_State *L) {
  const neap_config_files *files = ((session *)neap_script_user(L))->run->files;
  lua_createtable(L, (int)files->count, 0);
  for (size_t i = 0, listed = 0; i < files->count; i++) {
    if (files->list[i].required) continue;
    char hash[17];
    const char *text = files->list[i].text;
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)neap_hash_bytes(text, strlen(text)));
    lua_createtable(L, 0, 2);
    lua_pushstring(L, files->list[i].path);
    lua_setfield(L, -2, "path");
    lua_pushstring(L, hash);
    lua_setfield(L, -2, "hash");
    lua_rawseti(L, -2, (int)++listed);
  }
  return 1;
}

/* --- what the check gets --- */

static void append(lua_State *L, const char *text, size_t size) {
  lua_pushlstring(L, text, size);
  lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
}

/* The names of the policies of a domain that come with the engine. */
static void push_shipped(lua_State *L, const char *domain, neap_domain number) {
  char folder[64], name[64];
  int size = snprintf(folder, sizeof folder, "policies/%s/", domain);
  lua_newtable(L);
  for (const neap_embedded_file *file = neap_embedded_files; file->path; file++) {
    const char *base = file->path + size, *ending = strrchr(file->path, '.');
    if (strncmp(file->path, folder, (size_t)size) == 0 && ending) append(L, base, (size_t)(ending - base));
  }
  for (const neap_policy_vt *const *native = neap_native_policies; *native; native++) {
    if ((*native)->domain != number) continue;
    int length = snprintf(name, sizeof name, "native:%s", (*native)->name);
    append(L, name, (size_t)length);
  }
}

static void push_environment(lua_State *L, const char *const *environment) {
  lua_newtable(L);
  for (; environment && *environment; environment++) {
    const char *equals = strchr(*environment, '=');
    if (equals == NULL) continue;
    lua_pushlstring(L, *environment, (size_t)(equals - *environment));
    lua_pushstring(L, equals + 1);
    lua_rawset(L, -3);
  }
}

/* { { pool = "app", policy = "p2c" }, ... } */
static void push_instead(lua_State *L, const neap_config_source *source) {
  lua_createtable(L, (int)source->instead_count, 0);
  for (size_t i = 0; i < source->instead_count; i++) {
    lua_createtable(L, 0, 2);
    lua_pushstring(L, source->instead[i].pool);
    lua_setfield(L, -2, "pool");
    lua_pushstring(L, source->instead[i].policy);
    lua_setfield(L, -2, "policy");
    lua_rawseti(L, -2, (int)i + 1);
  }
}

static void push_input(lua_State *L, session *s) {
  const neap_config_source *source = s->run->source;
  lua_newtable(L);
  lua_pushstring(L, source->name);
  lua_setfield(L, -2, "name");
  lua_pushlstring(L, source->text, source->size);
  lua_setfield(L, -2, "text");
  push_environment(L, source->environment);
  lua_setfield(L, -2, "environment");
  push_instead(L, source);
  lua_setfield(L, -2, "instead");
  lua_newtable(L);
  push_shipped(L, "evict", NEAP_EVICT);
  lua_setfield(L, -2, "evict");
  push_shipped(L, "balance", NEAP_BALANCE);
  lua_setfield(L, -2, "balance");
  push_shipped(L, "prefetch", NEAP_PREFETCH);
  lua_setfield(L, -2, "prefetch");
  lua_setfield(L, -2, "shipped");
  neap_script_push(L, nearest_word, s);
  lua_setfield(L, -2, "nearest");
  neap_script_push(L, find_policy, s);
  lua_setfield(L, -2, "find_policy");
  neap_script_push(L, list_files, s);
  lua_setfield(L, -2, "files");
}

/* --- the steps --- */

/* config.finish(input), and its results to the run. */
static int check_declared(lua_State *L) {
  session *s = neap_script_user(L);
  neap_config_run *run = s->run;
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->module);
  lua_getfield(L, -1, "finish");
  push_input(L, s);
  lua_call(L, 1, 7); /* json, report, fatal, when, pick, checks, act */
  run->act = luaL_ref(L, LUA_REGISTRYINDEX);
  run->checks = luaL_ref(L, LUA_REGISTRYINDEX);
  run->pick = luaL_ref(L, LUA_REGISTRYINDEX);
  run->when = luaL_ref(L, LUA_REGISTRYINDEX);
  run->fatal = lua_toboolean(L, -1);
  run->report = strdup(luaL_checkstring(L, -2));
  run->json = strdup(luaL_checkstring(L, -3));
  return 0;
}

/* What lua/neap/init.lua needs while the file runs. */
static int prepare(lua_State *L) {
  session *s = neap_script_user(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->module);
  neap_script_push(L, nearest_word, s);
  lua_setfield(L, -2, "nearest");
  neap_script_push(L, rule_text, s);
  lua_setfield(L, -2, "rule_text");
  push_shipped(L, "route", NEAP_ROUTE);
  lua_setfield(L, -2, "rules");
  push_shipped(L, "health", NEAP_DOMAIN_COUNT);
  lua_setfield(L, -2, "checks");
  return 0;
}

/* In a VM that is new nothing of the check runs often enough to pay for its compilation: with it, a small
 * configuration takes two and a half times as long, one of a thousand routes a tenth less. */
static int check_uncompiled(neap_vm *vm, session *s, neap_err *err) {
  luaJIT_setmode(neap_vm_state(vm), 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
  int status = neap_script_protected(vm, check_declared, s, NEAP_SETUP_BUDGET_US, err);
  luaJIT_setmode(neap_vm_state(vm), 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_ON);
  return status;
}

int neap_config_execute(neap_vm *vm, neap_config_run *run, neap_err *err) {
  const neap_config_source *source = run->source;
  session s = {.run = run};
  int ref, status = neap_vm_runtime(vm, "neap.config", &s.module, err);
  if (status == 0) status = neap_vm_runtime(vm, "neap", &ref, err);
  if (status == 0) status = neap_script_protected(vm, prepare, &s, NEAP_SETUP_BUDGET_US, err);
  if (status == 0) status = neap_vm_load(vm, source->name, source->text, source->size, &ref, err);
  if (status == 0) status = check_uncompiled(vm, &s, err);
  if (status) return status;
  return run->json && run->report ? 0 : neap_fail(err, NEAP_ENOMEM, "out of memory");
}

int neap_config_run_again(const neap_config *config, neap_vm *vm, neap_config_run *run, neap_err *err) {
  neap_config_box *box = neap_config_box_of(config);
  const neap_config_source source = neap_config_source_of(box->record);
  *run = (neap_config_run){.source = &source, .files = &box->record->files};
  int status = neap_config_execute(vm, run, err);
  if (status == 0 && (run->fatal || strcmp(run->json, box->json) != 0))
    status = neap_fail(err, NEAP_ESTATE, "%s: yields another configuration each time it runs", source.name);
  free(run->json);
  free(run->report);
  run->json = run->report = NULL;
  run->source = NULL;
  return status;
}
