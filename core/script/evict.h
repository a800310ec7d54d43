/* Evict policies in Lua. Internal to script/. */
#ifndef NEAP_SCRIPT_EVICT_H
#define NEAP_SCRIPT_EVICT_H

#include "script/vm.h"

/* Makes an instance in a VM of its own. `*self` goes with `*vt`. NEAP_ESYNTAX, NEAP_EINVAL (parameters),
 * NEAP_EPOLICY, NEAP_ENOMEM. */
int neap_evict_create(const neap_script_text *source, const neap_policy_env *env, const neap_param *params,
                      size_t param_count, const neap_policy_vt **vt, void **self, neap_err *err);
neap_vm *neap_evict_vm(void *self);

/* Makes a scratch instance and leads it through what a cache may do: nothing to evict, odd sizes and times,
 * removals, updates, shrinking, victims given back. Every answer is checked; at the end all entries must have
 * been evicted. NEAP_EPOLICY says what went wrong, others as neap_evict_create. */
int neap_evict_dry_run(const neap_script_text *source, const neap_host *host, const neap_param *params,
                       size_t param_count, neap_err *err);

/* What a policy costs, measured on the same paper cache after the compiler has warmed up. */
typedef struct neap_evict_cost {
  double hit_ns, put_ns; /* CPU time per hit; per entry put, its victim included */
} neap_evict_cost;

/* Runs a policy hot. `abort` is told of every place where the compiler gave up, "file:line", and why. */
int neap_evict_measure(const neap_script_text *source, const neap_host *host, const neap_param *params,
                       size_t param_count,
                       void (*abort)(void *user, const char *place, int count, int code, int detail),
                       void *user, neap_evict_cost *out, neap_err *err);

#endif
