/* Reading the sources of lua/neap/ is two thirds of what a VM costs, and a reload makes one for every worker.
 *
 * The first VM of the process that loads a module leaves its bytecode here. It is always the work of the
 * LuaJIT that reads it: what is built with one and runs with another never meets foreign bytecode. Policies
 * and configurations are never loaded this way. */
#include "script/chunks.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

typedef struct chunk {
  size_t size;
  char bytes[];
} chunk;

enum { CHUNKS_MAX = 256 };

/* By the file's index. The same for every engine of the process, since made of constants alone; written once.
 */
static _Atomic(chunk *) kept_chunks[CHUNKS_MAX];

/* A library that is unloaded leaves nothing behind. */
__attribute__((destructor)) static void free_chunks(void) {
  for (size_t i = 0; i < CHUNKS_MAX; i++) free(atomic_exchange(&kept_chunks[i], NULL));
}

static int append(lua_State *lua, const void *bytes, size_t size, void *user) {
  (void)lua;
  chunk **made = user;
  size_t old = *made ? (*made)->size : 0;
  chunk *grown = realloc(*made, sizeof **made + old + size);
  if (grown == NULL) return 1;
  memcpy(grown->bytes + old, bytes, size);
  grown->size = old + size;
  *made = grown;
  return 0;
}

/* Keeps the function at the top of the stack. Without memory the next one compiles again. */
static void keep(lua_State *lua, size_t index) {
  chunk *made = NULL, *none = NULL;
  if (lua_dump(lua, append, &made) != 0 || !atomic_compare_exchange_strong(&kept_chunks[index], &none, made))
    free(made);
}

void neap_chunk_push(lua_State *lua, const neap_embedded_file *file) {
  const char *name = lua_pushfstring(lua, "@%s", file->path);
  size_t index = (size_t)(file - neap_embedded_files);
  const chunk *known = index < CHUNKS_MAX ? atomic_load(&kept_chunks[index]) : NULL;
  int code = known ? luaL_loadbufferx(lua, known->bytes, known->size, name, "b")
                   : luaL_loadbufferx(lua, file->text, file->size, name, "t");
  if (code) lua_error(lua);
  if (known == NULL && index < CHUNKS_MAX) keep(lua, index);
  lua_remove(lua, -2);
}
