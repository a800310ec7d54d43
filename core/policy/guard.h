/* What registry and guard share. Private to policy/. */
#ifndef NEAP_POLICY_GUARD_H
#define NEAP_POLICY_GUARD_H

#include "policy/policy.h"

/* The native policies (native_*.c); neap_native_policies lists them for the registry. */
extern const neap_policy_vt neap_native_fifo, neap_native_lfu, neap_native_lru, neap_native_s3fifo,
    neap_native_sieve;
extern const neap_policy_vt neap_native_adaptive, neap_native_estimated_wait, neap_native_late_binding,
    neap_native_peak_ewma;
extern const neap_policy_vt neap_native_consistent_hash, neap_native_ip_hash, neap_native_least_connections,
    neap_native_p2c, neap_native_random, neap_native_round_robin, neap_native_weighted_least_connections,
    neap_native_weighted_round_robin;

/* Puts the guard around an instance, which it owns from then on, as it does `source` (malloc'd or NULL).
 * NULL: out of memory; nothing was taken. */
neap_policy *neap_guard_wrap(const neap_policy_vt *vt, void *self, const neap_policy_env *env, char *source);

#endif
