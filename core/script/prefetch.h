/* Prefetch policies in Lua. Internal to script/. */
#ifndef NEAP_SCRIPT_PREFETCH_H
#define NEAP_SCRIPT_PREFETCH_H

#include "script/vm.h"

/* Makes an instance in a VM of its own. `*self` goes with `*vt`. NEAP_ESYNTAX, NEAP_EINVAL (parameters),
 * NEAP_EPOLICY, NEAP_ENOMEM. */
int neap_prefetch_create(const neap_script_text *source, const neap_policy_env *env, const neap_param *params,
                         size_t param_count, const neap_policy_vt **vt, void **self, neap_err *err);
neap_vm *neap_prefetch_vm(void *self);

/* Makes a scratch instance and leads it through what it may be told: odd numbers, sizes and hashes, all kinds
 * of events, full boards. NEAP_EPOLICY says what went wrong, others as neap_prefetch_create. `event_ns` (may
 * be NULL): CPU time per event, wishes included, after the compiler has warmed up. */
int neap_prefetch_dry_run(const neap_script_text *source, const neap_host *host, const neap_param *params,
                          size_t param_count,
                          void (*abort)(void *user, const char *place, int count, int code, int detail),
                          void *user, double *event_ns, neap_err *err);

#endif
