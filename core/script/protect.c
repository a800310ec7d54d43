#include "script/protect.h"

#include "base/base.h"

typedef struct call {
  lua_CFunction function;
  void *user;
  int ref;
} call;

void neap_script_push(lua_State *L, lua_CFunction function, void *user) {
  lua_pushlightuserdata(L, user);
  lua_pushcclosure(L, function, 1);
}

/* Making the closure may already fail for lack of memory, so it needs a protection of its own. */
static int make_closure(lua_State *L) {
  call *c = lua_touserdata(L, 1);
  neap_script_push(L, c->function, c->user);
  c->ref = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

int neap_script_protected(neap_vm *vm, lua_CFunction function, void *user, uint64_t budget_us,
                          neap_err *err) {
  call c = {function, user, LUA_NOREF};
  lua_State *L = neap_vm_state(vm);
  if (lua_cpcall(L, make_closure, &c) != 0) {
    lua_pop(L, 1);
    return neap_fail(err, NEAP_EMEMCAP, "out of memory");
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, c.ref);
  int status = neap_vm_pcall(vm, 0, 0, budget_us, err);
  if (status != NEAP_EMEMCAP) luaL_unref(L, LUA_REGISTRYINDEX, c.ref);
  return status;
}
