/* SHA-256 (FIPS 180-4), for comparing secrets by their digests. About 300 ns for what fits into one block. */
#ifndef NEAP_BASE_SHA256_H
#define NEAP_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { NEAP_SHA256_SIZE = 32 };

typedef struct neap_sha256 {
  uint32_t state[8];
  uint64_t size; /* bytes so far */
  uint8_t block[64];
} neap_sha256;

void neap_sha256_init(neap_sha256 *sha);
void neap_sha256_add(neap_sha256 *sha, const void *bytes, size_t size);
void neap_sha256_end(neap_sha256 *sha, uint8_t out[NEAP_SHA256_SIZE]);

/* Whether `size` bytes are the same, in a time that does not depend on where they differ. */
int neap_same_secret(const void *a, const void *b, size_t size);

#endif
