/* What the files of the VM share: vm.c, vm_core.c, vm_fault.c. Internal to them. */
#ifndef NEAP_SCRIPT_VM_STATE_H
#define NEAP_SCRIPT_VM_STATE_H

#include "script/vm.h"

enum { NEAP_VM_MAGIC = 0x6e56616d, NEAP_VM_FILES_MAX = 256 };

struct neap_vm {
  uint32_t magic;
  lua_State *lua;
  neap_fuel fuel;
  neap_vm_leaves leaves;
  const neap_host *host;
  char *name, *folder;
  struct neap_config_files *record; /* or NULL */
  uint64_t generation, budget_ns, load_budget_ns;
  size_t limit, block_limit, used;
  int sandbox_load;               /* reference: the function load of lua/neap/sandbox.lua */
  char *files[NEAP_VM_FILES_MAX]; /* loaded, for `at` */
  unsigned file_count;

  /* of the call that runs */
  bool running, clocked, expired, starved, syntax;
  bool dead;
  bool holds_long; /* a long text or table was made, in this call or before */
  uint64_t call_budget_ns, deadline_ns, looked_ns;
  int32_t checks;
  size_t churn;
  char fault[640];
};

/* Where the policy last passed a check: "file:line: " into `out`, as snprintf. */
int neap_vm_place(const neap_vm *vm, char *out, size_t size);
/* Writes vm->fault: what `code` and the error at the top of the stack, which stays, amount to. */
void neap_vm_set_fault(neap_vm *vm, int code);
/* Opens the libraries and boots the runtime: a lua_CFunction whose argument is the VM. */
int neap_vm_boot(lua_State *lua);

#endif
