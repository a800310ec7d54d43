/* The runtime's modules, compiled once and loaded as bytecode afterwards. Internal to script/. */
#ifndef NEAP_SCRIPT_CHUNKS_H
#define NEAP_SCRIPT_CHUNKS_H

#include "script/embed.h"

typedef struct lua_State lua_State;

/* Leaves the main function of an embedded file on the stack. May raise an error of Lua. Any thread. */
void neap_chunk_push(lua_State *lua, const neap_embedded_file *file);

#endif
