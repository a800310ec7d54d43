/* The inside of the codec: the layers that codec.c puts together. Internal to store/.
 *
 *   codec_envelope.c  bytes <-> fields; pure, trusts no length                   docs/envelope.md
 *   codec_compress.c  zstd, lz4, dictionaries, the probe
 *   codec_cipher.c    AEADs with the nonce as parameter
 *   codec_keys.c      the keyring
 */
#ifndef NEAP_STORE_CODEC_IMPL_H
#define NEAP_STORE_CODEC_IMPL_H

#include <stdatomic.h>

#include "base/base.h"
#include "store/codec.h"

/* --- envelope ------------------------------------------------------------------------------------------ */

enum {
  NEAP_ENVELOPE_FIXED = 48,
  NEAP_ENVELOPE_NONCE = 24,
  NEAP_ENVELOPE_KEY = 4 + NEAP_ENVELOPE_NONCE, /* id and nonce, where there is a cipher */
  NEAP_ENVELOPE_FIELDS_MAX = 5 * 3 + NEAP_RECORD_TAGS_MAX * 16 + 8 + 8 + 4 + 4, /* that this version writes */
  NEAP_ENVELOPE_HEAD_MAX = NEAP_ENVELOPE_FIXED + NEAP_ENVELOPE_FIELDS_MAX + NEAP_ENVELOPE_KEY,
  NEAP_ENVELOPE_CHECKSUM = 8, /* without a cipher */
  NEAP_ENVELOPE_TAG = 16      /* with one */
};

/* Where the parts of one envelope lie. */
typedef struct neap_envelope {
  neap_compression compression;
  neap_cipher cipher;
  uint32_t dictionary; /* id; 0: none */
  uint32_t key_id;
  uint32_t meta_size, body_size; /* of the object */
  uint32_t stored_size;          /* of the payload */
  const char *nonce;             /* NEAP_ENVELOPE_NONCE bytes, where there is a cipher */
  size_t head_size;              /* what comes before the payload; all of it is authenticated */
  const char *payload, *seal;
} neap_envelope;

/* Bytes of the checksum or tag at the end. */
static inline size_t neap_envelope_seal_size(neap_cipher cipher) {
  return cipher == NEAP_CIPHER_NONE ? NEAP_ENVELOPE_CHECKSUM : NEAP_ENVELOPE_TAG;
}

/* Writes all before the payload to `out`, which has NEAP_ENVELOPE_HEAD_MAX bytes; returns its size. Of
 * `envelope` it reads compression, cipher, dictionary, key_id, nonce and the sizes. */
size_t neap_envelope_write(const neap_envelope *envelope, const neap_record *record, char *out);

/* Finds the parts of `bytes`, and fills the fields of `record` but ns, key, meta and body. Tags go to `tags`,
 * which has room for NEAP_RECORD_TAGS_MAX. Anything but exactly what neap_envelope_write writes, with one
 * payload and seal behind it, is a miss; so are objects above `max_object`. */
neap_opened neap_envelope_read(neap_view bytes, uint32_t max_object, neap_envelope *envelope,
                               neap_record *record, neap_record_tag *tags);

/* The checksum of docs/envelope.md, in two steps: of what is authenticated, then of the payload. */
uint64_t neap_envelope_sum(uint64_t sum, const char *bytes, size_t size);
uint64_t neap_envelope_sum_end(uint64_t sum);

/* Little-endian integers at any address. */
static inline void neap_envelope_put(char *at, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++) at[i] = (char)(value >> 8 * i);
}
static inline uint64_t neap_envelope_get(const char *at, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; i++) value |= (uint64_t)(unsigned char)at[i] << 8 * i;
  return value;
}

/* --- keys ---------------------------------------------------------------------------------------------- */

enum { NEAP_KEY_BYTES = 32 };

typedef struct neap_key {
  uint32_t id;
  uint8_t bytes[NEAP_KEY_BYTES];
} neap_key;

struct neap_keyring {
  _Atomic uint32_t refs;
  uint32_t count;
  neap_key *keys; /* in locked, guarded memory that is left out of core dumps; read-only once loaded */
};

/* NULL where there is none of this id. */
const neap_key *neap_keyring_find(const neap_keyring *keyring, uint32_t id);

/* --- ciphers ------------------------------------------------------------------------------------------- */

typedef struct neap_aead neap_aead; /* what the library of a cipher keeps; one thread's */

int neap_aead_create(neap_aead **out);
void neap_aead_destroy(neap_aead **aead);
/* Forgets what was derived from keys, before the keyring that they lie on goes. */
void neap_aead_forget(neap_aead *aead);

/* Encrypts `plain` into as many bytes of `out`, which may be the same, and NEAP_ENVELOPE_TAG bytes of `tag`.
 * A nonce must never serve twice with one key: 24 random bytes never do. Sizes are below 2^31. NEAP_EIO where
 * the library fails. */
int neap_aead_seal(neap_aead *aead, neap_cipher cipher, const neap_key *key, const char *nonce, neap_view aad,
                   neap_view plain, char *out, char *tag);
/* The reverse. False where the tag is not right: `out` is then wiped. */
bool neap_aead_open(neap_aead *aead, neap_cipher cipher, const neap_key *key, const char *nonce,
                    neap_view aad, neap_view sealed, const char *tag, char *out);

/* --- compression --------------------------------------------------------------------------------------- */

typedef struct neap_packer neap_packer; /* working memory of the compressors; one thread's */

int neap_packer_create(neap_packer **out);
void neap_packer_destroy(neap_packer **packer);

/* Compresses into at most `capacity` bytes of `out`. The size; 0 where that is too little room (or memory).
 * `dictionaries` may be NULL: zstd then works without. */
size_t neap_packer_pack(neap_packer *packer, neap_compression compression, int level,
                        const neap_dictionaries *dictionaries, neap_view plain, char *out, size_t capacity);
/* Decompresses to exactly `size` bytes of `out`; never writes more, whatever is in `packed`. */
neap_opened neap_packer_unpack(neap_packer *packer, neap_compression compression,
                               const neap_dictionaries *dictionaries, uint32_t dictionary, neap_view packed,
                               char *out, size_t size);
/* Whether bytes look as if they were compressed or encrypted already: by how they begin, or because a sample
 * of 4 KiB has all byte values alike. A guess that costs a fraction of trying. */
bool neap_packer_probe(neap_view bytes);

#endif
