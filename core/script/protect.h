/* C code that uses the Lua API where it may raise errors or run out of memory. Internal to script/. */
#ifndef NEAP_SCRIPT_PROTECT_H
#define NEAP_SCRIPT_PROTECT_H

#include <lauxlib.h>
#include <lua.h>

#include "script/vm.h"

enum {
  NEAP_SETUP_BUDGET_US = 1000000
}; /* for our own work at load time, which grows with the configuration */

/* Runs `function` in the VM, protected and under `budget_us`; neap_script_user gives it `user`. Errors as
 * neap_vm_pcall. */
int neap_script_protected(neap_vm *vm, lua_CFunction function, void *user, uint64_t budget_us, neap_err *err);
static inline void *neap_script_user(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(1));
}

/* Pushes a function that has `user` too. */
void neap_script_push(lua_State *L, lua_CFunction function, void *user);

#endif
