/* What is said of a call that failed: "file:line: text", whatever a policy made of it. */
#include <stdio.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/base.h"
#include "script/fuel.h"
#include "script/vm_state.h"

/* Where the policy last passed a check. */
int neap_vm_place(const neap_vm *vm, char *out, size_t size) {
  unsigned file = (unsigned)vm->fuel.at >> NEAP_FUEL_LINE_BITS;
  unsigned line = (unsigned)vm->fuel.at & ((1u << NEAP_FUEL_LINE_BITS) - 1);
  if (line == 0 || file >= vm->file_count) return snprintf(out, size, "%s:1: ", vm->name);
  return snprintf(out, size, "%s:%u: ", vm->files[file], line);
}

/* LuaJIT shortens long names of chunks to "..." and their end: the whole name is put back. */
static const char *restore_name(const neap_vm *vm, const char *text, const char **rest) {
  *rest = text;
  if (strncmp(text, "...", 3) != 0) return "";
  for (unsigned i = 0; i < vm->file_count; i++) {
    size_t size = strlen(vm->files[i]), shown = LUA_IDSIZE - 4;
    if (size <= shown || strncmp(text + 3, vm->files[i] + size - shown, shown) != 0) continue;
    *rest = text + 3 + shown;
    return vm->files[i];
  }
  return "";
}

/* Does it begin with the name of a file that was loaded? Errors inside the runtime do not. */
static bool is_placed(const neap_vm *vm, const char *text) {
  for (unsigned i = 0; i < vm->file_count; i++) {
    size_t size = strlen(vm->files[i]);
    if (strncmp(text, vm->files[i], size) == 0 && text[size] == ':') return true;
  }
  return false;
}

/* One line of printable text, whatever the policy made of it. */
static void clean(char *text) {
  for (; *text != 0; text++)
    if ((unsigned char)*text < ' ' || *text == 127) *text = ' ';
}

/* What the runtime wraps around a policy's function is a chunk of that name. An error placed there is one of
 * a function that ended in a call of ours: its own line is gone, but not the line of its last check. NULL:
 * not so. */
static const char *skip_wrapper(const char *text) {
  size_t size = sizeof NEAP_VM_WRAPPER - 1;
  if (strncmp(text, NEAP_VM_WRAPPER, size) != 0) return NULL;
  text += size;
  return text + strspn(text, ":0123456789 ");
}

void neap_vm_set_fault(neap_vm *vm, int code) {
  if (code == NEAP_EMEMCAP || (code == NEAP_EFUEL && vm->starved)) {
    int used = neap_vm_place(vm, vm->fault, sizeof vm->fault);
    snprintf(vm->fault + used, sizeof vm->fault - (size_t)used, "%s",
             code == NEAP_EFUEL ? "out of its time budget, allocating" : "out of its memory");
    return;
  }
  const char *text = lua_type(vm->lua, -1) == LUA_TSTRING ? lua_tostring(vm->lua, -1) : NULL, *rest;
  if (text != NULL && (rest = skip_wrapper(text)) != NULL) {
    int used = neap_vm_place(vm, vm->fault, sizeof vm->fault);
    snprintf(vm->fault + used, sizeof vm->fault - (size_t)used, "%s", rest);
  } else if (text == NULL) {
    int used = neap_vm_place(vm, vm->fault, sizeof vm->fault);
    snprintf(vm->fault + used, sizeof vm->fault - (size_t)used, "(error object is a %s)",
             luaL_typename(vm->lua, -1));
  } else {
    const char *name = restore_name(vm, text, &rest);
    int used = *name == 0 && !is_placed(vm, text) ? neap_vm_place(vm, vm->fault, sizeof vm->fault) : 0;
    snprintf(vm->fault + used, sizeof vm->fault - (size_t)used, "%s%s", name, rest);
  }
  clean(vm->fault);
}
