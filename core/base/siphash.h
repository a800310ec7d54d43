/* SipHash-1-3 (Aumasson and Bernstein, 2012): a keyed hash of 64 bits. Keys come from the network, so the
 * hash must not be predictable; one round per block and three at the end is what Rust and others use in
 * tables. */
#ifndef NEAP_BASE_SIPHASH_H
#define NEAP_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct neap_hash_key {
  uint64_t k0, k1;
} neap_hash_key;

typedef struct neap_sip {
  uint64_t v0, v1, v2, v3;
} neap_sip;

static inline uint64_t neap_sip_rotate(uint64_t x, int bits) {
  return x << bits | x >> (64 - bits);
}

static inline void neap_sip_round(neap_sip *s) {
  s->v0 += s->v1, s->v1 = neap_sip_rotate(s->v1, 13) ^ s->v0, s->v0 = neap_sip_rotate(s->v0, 32);
  s->v2 += s->v3, s->v3 = neap_sip_rotate(s->v3, 16) ^ s->v2;
  s->v0 += s->v3, s->v3 = neap_sip_rotate(s->v3, 21) ^ s->v0;
  s->v2 += s->v1, s->v1 = neap_sip_rotate(s->v1, 17) ^ s->v2, s->v2 = neap_sip_rotate(s->v2, 32);
}

static inline void neap_sip_block(neap_sip *s, uint64_t block) {
  s->v3 ^= block;
  neap_sip_round(s);
  s->v0 ^= block;
}

/* The last 0..7 bytes, little end first. */
static inline uint64_t neap_sip_tail(const unsigned char *bytes, size_t size) {
  uint64_t tail = 0;
  for (size_t i = 0; i < size; i++) tail |= (uint64_t)bytes[i] << (8 * i);
  return tail;
}

static inline uint64_t neap_siphash(neap_hash_key key, const void *data, size_t size) {
  neap_sip s = {key.k0 ^ 0x736f6d6570736575u, key.k1 ^ 0x646f72616e646f6du, key.k0 ^ 0x6c7967656e657261u,
                key.k1 ^ 0x7465646279746573u};
  const unsigned char *at = data, *end = at + (size & ~(size_t)7);
  for (; at != end; at += 8) {
    uint64_t block;
    memcpy(&block, at, 8); /* hashes are never stored or sent, so the byte order of the host will do */
    neap_sip_block(&s, block);
  }
  neap_sip_block(&s, neap_sip_tail(at, size & 7) | (uint64_t)size << 56);
  s.v2 ^= 0xff;
  neap_sip_round(&s), neap_sip_round(&s), neap_sip_round(&s);
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

#endif
