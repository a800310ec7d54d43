/* Balance policies in Lua. Internal to script/. */
#ifndef NEAP_SCRIPT_BALANCE_H
#define NEAP_SCRIPT_BALANCE_H

#include "script/vm.h"

/* A policy file in a VM of its own; `params` is what it declared. `*self` goes with `*vt`, as registry and
 * guard want them. */
int neap_balance_open(const neap_host *host, const neap_script_text *source, const neap_policy_env *env,
                      const neap_param *params, size_t param_count, const neap_policy_vt **vt, void **self,
                      neap_err *err);

/* A function that lives in the VM of a worker, `pick` by its registry reference; `views` is that VM's board.
 */
int neap_balance_inline(neap_vm *vm, neap_view_board *views, int pick, const neap_policy_env *env,
                        const neap_policy_vt **vt, void **self, neap_err *err);

#endif
