/* One LuaJIT state that runs operators' code: sandboxed, fuelled, capped. Internal to script/.
 *
 * Two kinds of code live in it. The *runtime* (lua/neap/, trusted, embedded in the library) has ffi and
 * whatever it needs, at load time. *Policy code* (shipped policies, operators' files, neap.lua) is loaded
 * through neap_vm_load: rewritten by fuel.c, in the environment that lua/neap/sandbox.lua makes, and reached
 * only by neap_vm_call.
 *
 * A VM belongs to one thread at a time. It never calls back into the engine but through leaves that do not
 * re-enter it. After NEAP_EMEMCAP a VM is dead: every call returns NEAP_EMEMCAP, and only neap_vm_destroy is
 * useful.
 */
#ifndef NEAP_SCRIPT_VM_H
#define NEAP_SCRIPT_VM_H

#include "policy/policy.h"

/* Name of the chunks that the runtime makes around a policy's functions ("=" before it for loadstring). */
#define NEAP_VM_WRAPPER "(policy)"

typedef struct neap_vm neap_vm;
typedef struct lua_State lua_State;
struct neap_config_files;

typedef struct neap_vm_options {
  const neap_host *host; /* complete; borrowed */
  const char *name;      /* for logs: the policy's or the file's */
  const char *folder;    /* `require` serves files below it, and neap.*; NULL: neap.* alone */
  struct neap_config_files
      *files; /* what `require` reads is read through it; NULL: from the disk each time */
  uint64_t generation;
  size_t memory_limit;     /* bytes; 0: 64 MiB */
  uint64_t budget_us;      /* thread CPU time per call; 0: 5000 */
  uint64_t load_budget_us; /* for the file's own top level; 0: 100000 */
} neap_vm_options;

/* A policy's text and what belongs to it. All borrowed during the call. */
typedef struct neap_script_text {
  const char *name; /* for messages: the path */
  const char *text;
  size_t size;
  const char *folder;              /* of the file, for `require`; NULL: shipped */
  struct neap_config_files *files; /* as in neap_vm_options */
} neap_script_text;

int neap_vm_create(const neap_vm_options *options, neap_vm **out, neap_err *err);
void neap_vm_destroy(neap_vm **vm);
/* Makes a VM that has run nothing but the runtime the one that `options` describe, of the same host.
 * NEAP_ENOMEM: it is only to be destroyed. */
int neap_vm_adopt(neap_vm *vm, const neap_vm_options *options, neap_err *err);
struct neap_spares;
/* As neap_vm_create; one of `spares` (or NULL) where there is one. Any thread. */
int neap_vm_create_from(struct neap_spares *spares, const neap_vm_options *options, neap_vm **out,
                        neap_err *err);

/* Loads policy code and runs its top level under the load budget; *ref is what it returned (a registry
 * reference). Errors say "name:line: text": NEAP_ESYNTAX, NEAP_EFAULT, NEAP_EFUEL, NEAP_EMEMCAP. */
int neap_vm_load(neap_vm *vm, const char *name, const char *text, size_t size, int *ref, neap_err *err);

/* Runs a trusted runtime module ("neap.policy"), once; *ref is its result. */
int neap_vm_runtime(neap_vm *vm, const char *module, int *ref, neap_err *err);

/* Calls the function behind `ref` without arguments or results, under the budget. hot: 20 ns.
 * 0, NEAP_EFAULT, NEAP_EFUEL, NEAP_EMEMCAP; the text is at neap_vm_fault. */
int neap_vm_call(neap_vm *vm, int ref);
/* The newest fault, "file:line: text"; "" before the first. Valid until the next call. */
const char *neap_vm_fault(const neap_vm *vm);

/* For the other files of script/, which use lua.h: the state, under the same rules. */
lua_State *neap_vm_state(neap_vm *vm);
/* Runs `fn` protected and under `budget_us`, with the arguments and results that lua_pcall would take from
 * the stack. */
int neap_vm_pcall(neap_vm *vm, int args, int results, uint64_t budget_us, neap_err *err);

size_t neap_vm_memory(const neap_vm *vm);         /* bytes in use */
uint64_t neap_vm_trace_aborts(const neap_vm *vm); /* counted since create */
/* Tells of every place where the compiler gave up: "file:line", how often, and LuaJIT's code of the reason.
 */
void neap_vm_each_abort(neap_vm *vm,
                        void (*tell)(void *user, const char *place, int count, int code, int detail),
                        void *user);

#endif
