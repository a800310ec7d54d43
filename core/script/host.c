/* A process has one name space for C functions: where the host exports another Lua, the lua_* that this
 * library calls are the host's, while those that only LuaJIT has are LuaJIT's. */
#include "script/script.h"

#include <dlfcn.h>

#include <lauxlib.h>
#include <lua.h>
#include <luajit.h>
#include <lualib.h>

#include "base/base.h"

/* The file that `function` was loaded from; "" where the linker does not know. */
static const char *file_of(void (*function)(void), void **base) {
  Dl_info info = {0};
  if (dladdr((void *)(uintptr_t)function, &info) == 0) return "";
  *base = info.dli_fbase;
  return info.dli_fname != NULL ? info.dli_fname : "";
}

static int captured(neap_err *err) {
  typedef void (*any)(void);
  const any shared[] = {
      (any)lua_newstate, (any)lua_close,        (any)lua_pcall,   (any)lua_rawgeti,
      (any)lua_settop,   (any)luaL_loadbufferx, (any)luaL_ref,    (any)lua_pushlightuserdata,
      (any)lua_cpcall,   (any)luaL_newstate,    (any)luaopen_base};
  void *ours = NULL, *theirs = NULL;
  const char *luajit = file_of((any)luaJIT_setmode, &ours);
  for (size_t i = 0; i < NEAP_COUNT_OF(shared); i++) {
    const char *file = file_of(shared[i], &theirs);
    if (theirs != ours)
      return neap_fail(err, NEAP_EHOSTLUA, "%s: lua_* come from %s, LuaJIT is %s",
                       neap_strerror(NEAP_EHOSTLUA), file, luajit);
  }
  return 0;
}

int neap_script_check_host(neap_err *err) {
  int code = captured(err);
  if (code) return code;
  lua_State *lua = luaL_newstate();
  if (lua == NULL)
    return neap_fail(err, NEAP_EHOSTLUA, "%s: no state can be made", neap_strerror(NEAP_EHOSTLUA));
  lua_pushcfunction(lua, luaopen_jit);
  bool works = lua_pcall(lua, 0, 0, 0) == 0; /* what it returns differs between LuaJITs */
  if (works) lua_getglobal(lua, LUA_JITLIBNAME);
  works = works && lua_istable(lua, -1);
  if (works) lua_getfield(lua, -1, "version_num");
  works = works && lua_tointeger(lua, -1) >= 20100;
  lua_close(lua);
  return works
             ? 0
             : neap_fail(err, NEAP_EHOSTLUA, "%s: %s is needed", neap_strerror(NEAP_EHOSTLUA), "LuaJIT 2.1");
}
