#include "route/limit.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"

#define LIMITER_MAGIC 0x4e6c696du /* "Nlim" */

enum { WAYS = 8, SETS = NEAP_LIMITER_BUCKETS / WAYS };
#define NS_PER_MS UINT64_C(1000000)

/* The places where a key may be: two cache lines. */
typedef struct bucket_set {
  _Atomic uint64_t keys[WAYS]; /* 0: empty */
  _Atomic uint64_t full_ns[WAYS];
} bucket_set;

struct neap_limiter {
  uint32_t magic;
  uint64_t seed;
  _Atomic uint64_t shared;
  bucket_set *sets;
};

int neap_limiter_create(uint64_t seed, neap_limiter **out) {
  neap_limiter *limiter = calloc(1, sizeof *limiter);
  if (limiter == NULL) return NEAP_ENOMEM;
  limiter->magic = LIMITER_MAGIC;
  limiter->seed = seed;
  limiter->sets = aligned_alloc(NEAP_CACHE_LINE, SETS * sizeof *limiter->sets);
  if (limiter->sets == NULL) {
    free(limiter);
    return NEAP_ENOMEM;
  }
  for (size_t i = 0; i < SETS; i++)
    for (int way = 0; way < WAYS; way++) {
      atomic_init(&limiter->sets[i].keys[way], 0);
      atomic_init(&limiter->sets[i].full_ns[way], 0);
    }
  *out = limiter;
  return 0;
}

void neap_limiter_destroy(neap_limiter **limiter) {
  if (*limiter == NULL) return;
  neap_check_magic(*limiter, LIMITER_MAGIC);
  (*limiter)->magic = 0;
  free((*limiter)->sets);
  free(*limiter);
  *limiter = NULL;
}

/* The bucket of `key`: its own, else the emptiest of debts, which is a fresh one where its time is past. Two
 * threads that come for the same place at once may charge each other: a token, once. */
static _Atomic uint64_t *find_bucket(neap_limiter *limiter, uint64_t key, uint64_t now_ns) {
  bucket_set *set = &limiter->sets[(key >> 32) % SETS];
  int least = 0;
  uint64_t least_ns = UINT64_MAX;
  for (int way = 0; way < WAYS; way++) {
    if (atomic_load_explicit(&set->keys[way], memory_order_relaxed) == key) return &set->full_ns[way];
    uint64_t full_ns = atomic_load_explicit(&set->full_ns[way], memory_order_relaxed);
    if (full_ns < least_ns) least = way, least_ns = full_ns;
  }
  atomic_store_explicit(&set->keys[least], key, memory_order_relaxed);
  if (least_ns > now_ns) atomic_fetch_add_explicit(&limiter->shared, 1, memory_order_relaxed);
  return &set->full_ns[least];
}

uint64_t neap_limiter_take(neap_limiter *limiter, uint64_t hash, double rate, double burst, uint64_t now_ms) {
  neap_check_magic(limiter, LIMITER_MAGIC);
  uint64_t key = neap_hash_mix(hash ^ limiter->seed, UINT64_C(0xa0761d6478bd642f) ^ limiter->seed) | 1;
  uint64_t now_ns = (now_ms + 1) * NS_PER_MS; /* 0 is the time of an empty place */
  double token_ns = 1e9 / rate;
  uint64_t step_ns = token_ns < 1 ? 1 : token_ns < 1e17 ? (uint64_t)token_ns : (uint64_t)1e17;
  double allowed = (NEAP_MAX(burst, 1.0) - 1) * (double)step_ns;
  uint64_t allowed_ns = allowed < 1e17 ? (uint64_t)allowed : (uint64_t)1e17;
  _Atomic uint64_t *bucket = find_bucket(limiter, key, now_ns);
  uint64_t full_ns = atomic_load_explicit(bucket, memory_order_relaxed);
  for (;;) {
    uint64_t from_ns = NEAP_MAX(full_ns, now_ns);
    if (from_ns - now_ns > allowed_ns) return (from_ns - now_ns - allowed_ns + NS_PER_MS - 1) / NS_PER_MS;
    if (atomic_compare_exchange_weak_explicit(bucket, &full_ns, from_ns + step_ns, memory_order_relaxed,
                                              memory_order_relaxed))
      return 0;
  }
}

bool neap_limit_rate(neap_slice text, double *rate) {
  static const struct {
    char unit;
    double seconds;
  } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
  char number[32], *stop;
  if (text.size <= 0 || text.size >= (int32_t)sizeof number) return false;
  memcpy(number, text.ptr, (size_t)text.size);
  number[text.size] = '\0';
  double value = strtod(number, &stop), seconds = *stop == '\0' ? 1 : 0;
  for (size_t i = 0; i < NEAP_COUNT_OF(units); i++)
    if (stop[0] == '/' && stop[1] == units[i].unit && stop[2] == '\0') seconds = units[i].seconds;
  if (stop == number || seconds == 0 || !(value >= 0 && value <= 1e9)) return false;
  *rate = value / seconds;
  return true;
}

uint64_t neap_limiter_shared(const neap_limiter *limiter) {
  return atomic_load_explicit(&limiter->shared, memory_order_relaxed);
}
