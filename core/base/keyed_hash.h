/* A keyed hash of 64 bits for tables that strangers fill: without the key nobody can choose inputs that
 * collide. Each step folds a 64 by 64 bit product of input and secret (as wyhash, Go's memhash and Abseil
 * do); 16 bytes cost about 20 instructions, a sixth of SipHash-1-3: see docs/decisions/0010-keyed-hash.md. */
#ifndef NEAP_BASE_KEYED_HASH_H
#define NEAP_BASE_KEYED_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"

typedef struct neap_hash_key {
  uint64_t a, b, c; /* random */
} neap_hash_key;

static inline uint64_t neap_hash_read8(const char *at) {
  uint64_t word;
  memcpy(&word, at, 8); /* hashes are never stored or sent, so the byte order of the host will do */
  return word;
}

static inline uint64_t neap_hash_read4(const char *at) {
  uint32_t word;
  memcpy(&word, at, 4);
  return word;
}

/* `size` bytes, at most 16, as two words: their ends overlap where they must. */
static inline void neap_hash_ends(const char *at, size_t size, uint64_t *first, uint64_t *last) {
  if (size >= 8) {
    *first = neap_hash_read8(at), *last = neap_hash_read8(at + size - 8);
  } else if (size >= 4) {
    *first = neap_hash_read4(at), *last = neap_hash_read4(at + size - 4);
  } else {
    *first = size == 0 ? 0
                       : (uint64_t)(unsigned char)at[0] << 16 | (uint64_t)(unsigned char)at[size / 2] << 8 |
                             (unsigned char)at[size - 1];
    *last = 0;
  }
}

static inline uint64_t neap_keyed_hash(const neap_hash_key *key, const char *bytes, size_t size) {
  uint64_t state = key->a ^ size, first, last;
  if (NEAP_LIKELY(size - 8 <= 8)) { /* most keys of benchmarks and of counters: no loop, no more branches */
    first = neap_hash_read8(bytes), last = neap_hash_read8(bytes + size - 8);
    return neap_hash_mix(neap_hash_mix(first ^ key->b, last ^ state), key->c);
  }
  for (size_t rest = size; rest > 16; rest -= 16, bytes += 16, size -= 16)
    state = neap_hash_mix(neap_hash_read8(bytes) ^ key->b, neap_hash_read8(bytes + 8) ^ state);
  neap_hash_ends(bytes, size, &first, &last);
  return neap_hash_mix(neap_hash_mix(first ^ key->b, last ^ state), key->c);
}

static __attribute__((noinline)) int neap_hash_same_at_length(const char *a, const char *b, size_t size) {
  for (; size > 16; size -= 16, a += 16, b += 16)
    if ((neap_hash_read8(a) ^ neap_hash_read8(b)) | (neap_hash_read8(a + 8) ^ neap_hash_read8(b + 8)))
      return 0;
  uint64_t first[2], last[2];
  neap_hash_ends(a, size, &first[0], &last[0]);
  neap_hash_ends(b, size, &first[1], &last[1]);
  return ((first[0] ^ first[1]) | (last[0] ^ last[1])) == 0;
}

/* memcmp() == 0 in the steps of the hash. Of 8 to 16 bytes inlined, so that its caller calls nothing. */
NEAP_INLINE int neap_hash_same(const char *a, const char *b, size_t size) {
  if (NEAP_UNLIKELY(size - 8 > 8)) return neap_hash_same_at_length(a, b, size);
  uint64_t first = neap_hash_read8(a) ^ neap_hash_read8(b);
  return (first | (neap_hash_read8(a + size - 8) ^ neap_hash_read8(b + size - 8))) == 0;
}

#endif
