/* An unkeyed hash of bytes, the same in every process and version: for spreading keys over backends and for
 * comparing texts. Not for tables that strangers fill: those need a keyed one. */
#ifndef NEAP_BASE_HASH_H
#define NEAP_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* One step: folds the 128-bit product, so that every bit of both sides reaches every bit of the result. */
static inline uint64_t neap_hash_mix(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t neap_hash_bytes(const char *bytes, size_t size) {
  const uint64_t odd = UINT64_C(0xa0761d6478bd642f), step = UINT64_C(0xe7037ed1a0b428db);
  uint64_t hash = size ^ step, word;
  for (; size >= 8; bytes += 8, size -= 8) {
    memcpy(&word, bytes, 8);
    hash = neap_hash_mix(hash ^ word ^ odd, step + word);
  }
  word = 0;
  for (size_t i = 0; i < size; i++) word |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
  hash = neap_hash_mix(hash ^ word ^ odd, step + word);
  return neap_hash_mix(hash ^ odd, step);
}

/* Of two hashes of 53 bits: above 0 and below 1, the same everywhere. Half a step of 2^-52 keeps it off both
 * ends, so that its logarithm can be taken. */
static inline double neap_hash_unit(double a, double b) {
  const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15), step = UINT64_C(0xbf58476d1ce4e5b9);
  uint64_t hash = neap_hash_mix((uint64_t)a ^ odd, step);
  hash = neap_hash_mix(hash ^ (uint64_t)b, odd);
  hash = neap_hash_mix(hash, step);
  return ((double)(hash >> 12) + 0.5) * 0x1p-52;
}

#endif
