/* Rate limits: a bounded table of token buckets, shared by the workers of a process. No locks.
 *
 * A bucket is one word: the time at which it will be full again (the "theoretical arrival time" of GCRA). A
 * request moves it on by 1/rate; a time further ahead than the burst allows refuses. So a bucket that nobody
 * uses becomes the same as a fresh one by itself, and the table forgets nothing of worth when it takes the
 * place of one that is full.
 *
 * Memory is fixed. Where more keys are active than the table has room for, they share buckets: limits become
 * stricter then, never looser, whatever keys an attacker makes up. `shared` counts it. */
#ifndef NEAP_ROUTE_LIMIT_H
#define NEAP_ROUTE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/abi.h"

typedef struct neap_limiter neap_limiter;

enum { NEAP_LIMITER_BUCKETS = 1 << 16 }; /* 1 MiB */

/* `seed`: random, so that nobody can choose keys that meet. NEAP_ENOMEM. */
int neap_limiter_create(uint64_t seed, neap_limiter **out);
void neap_limiter_destroy(neap_limiter **limiter);

/* Takes a token of `hash` at engine time `now_ms`. `rate` in tokens a second, > 0; `burst` >= 1. 0, or the
 * milliseconds (> 0) after which there will be one. Any thread. hot. */
uint64_t neap_limiter_take(neap_limiter *limiter, uint64_t hash, double rate, double burst, uint64_t now_ms);

/* Reads a rate: "10/s", "600/m", "1000/h", "1000/d", or a number a second; 0 and "0/s" refuse. False: it is
 * none. */
bool neap_limit_rate(neap_slice text, double *rate);

/* Times that a key had to share the bucket of another. */
uint64_t neap_limiter_shared(const neap_limiter *limiter);

#endif
