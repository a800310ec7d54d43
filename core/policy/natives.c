#include "policy/guard.h"

const neap_policy_vt *const neap_native_policies[] = {
    &neap_native_fifo,
    &neap_native_lfu,
    &neap_native_lru,
    &neap_native_s3fifo,
    &neap_native_sieve,
    &neap_native_round_robin,
    NULL,
};
