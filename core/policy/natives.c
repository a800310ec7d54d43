#include "policy/guard.h"

const neap_policy_vt *const neap_native_policies[] = {
    &neap_native_fifo,
    &neap_native_lfu,
    &neap_native_lru,
    &neap_native_s3fifo,
    &neap_native_sieve,
    &neap_native_adaptive,
    &neap_native_consistent_hash,
    &neap_native_estimated_wait,
    &neap_native_ip_hash,
    &neap_native_late_binding,
    &neap_native_least_connections,
    &neap_native_p2c,
    &neap_native_peak_ewma,
    &neap_native_random,
    &neap_native_round_robin,
    &neap_native_weighted_least_connections,
    &neap_native_weighted_round_robin,
    NULL,
};
