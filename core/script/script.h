/* The facade of the only folder that knows LuaJIT: policies and configuration written in Lua.
 * script/vm.h has the virtual machine, script/evict.c the evict policies, script/config.c the configuration
 * and the functions in it. */
#ifndef NEAP_SCRIPT_SCRIPT_H
#define NEAP_SCRIPT_SCRIPT_H

#include "policy/policy.h"

/* Proves that the lua_* functions this library is bound to are LuaJIT's. 0 or NEAP_EHOSTLUA. */
int neap_script_check_host(neap_err *err);

/* Adds the loader of Lua policies: shipped names, "Custom(name)", files. `host` is complete and borrowed. */
void neap_script_register(neap_registry *registry, const neap_host *host);

#endif
