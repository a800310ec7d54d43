/* Random numbers that a seed repeats: splitmix64 (Steele, Lea and Flood, 2014). Not for secrets. */
#ifndef NEAP_BASE_RANDOM_H
#define NEAP_BASE_RANDOM_H

#include <stdint.h>

typedef struct neap_random {
  uint64_t state; /* any value is a seed */
} neap_random;

static inline uint64_t neap_random_next(neap_random *random) {
  uint64_t z = (random->state += 0x9e3779b97f4a7c15u);
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* Uniform in 0..bound-1; 0 where `bound` is 0. The bias is below bound / 2^64. */
static inline uint64_t neap_random_below(neap_random *random, uint64_t bound) {
  return (uint64_t)((unsigned __int128)neap_random_next(random) * bound >> 64);
}

/* Uniform in [0, 1). */
static inline double neap_random_unit(neap_random *random) {
  return (double)(neap_random_next(random) >> 11) * 0x1p-53;
}

#endif
