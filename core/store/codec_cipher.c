/* Authenticated encryption by libsodium and OpenSSL.
 *
 * AES-256-GCM alone has nonces of 96 bits: too few to draw them at random by many nodes that share a key, and
 * a counter would have to outlive restarts and forks. XAES-256-GCM (C2SP) takes 192 random bits: half of them
 * derive a key of the record's own by a KDF of two AES blocks (SP 800-108 with CMAC), the other half is the
 * nonce under it. docs/decisions/0140-nonces-are-random.md
 */
#include "store/codec_impl.h"

#include <stdlib.h>

#include <openssl/evp.h>
#include <sodium.h>

enum { BLOCK = 16, HALF_NONCE = 12, GCM_NONCE = 12 };

_Static_assert((int)NEAP_ENVELOPE_TAG == (int)crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");
_Static_assert((int)NEAP_ENVELOPE_NONCE == (int)crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert((int)NEAP_KEY_BYTES == (int)crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");

struct neap_aead {
  EVP_CIPHER *ecb, *gcm;
  EVP_CIPHER_CTX *block; /* the master key's cipher */
  EVP_CIPHER_CTX *seal, *open;
  const neap_key *key;      /* what `block` is set up for */
  uint8_t subkey_k1[BLOCK]; /* K1 of its CMAC */
};

int neap_aead_create(neap_aead **out) {
  neap_aead *aead = sodium_init() < 0 ? NULL : calloc(1, sizeof *aead);
  if (aead == NULL) return NEAP_ENOMEM;
  aead->ecb = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
  aead->gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
  aead->block = EVP_CIPHER_CTX_new();
  aead->seal = EVP_CIPHER_CTX_new();
  aead->open = EVP_CIPHER_CTX_new();
  if (aead->ecb && aead->gcm && aead->block && aead->seal && aead->open &&
      EVP_EncryptInit_ex2(aead->seal, aead->gcm, NULL, NULL, NULL) == 1 &&
      EVP_DecryptInit_ex2(aead->open, aead->gcm, NULL, NULL, NULL) == 1) {
    *out = aead;
    return 0;
  }
  neap_aead_destroy(&aead);
  return NEAP_ENOMEM;
}

void neap_aead_destroy(neap_aead **aead) {
  neap_aead *a = *aead;
  *aead = NULL;
  if (a == NULL) return;
  EVP_CIPHER_CTX_free(a->block); /* wipes the key schedule, as the others do */
  EVP_CIPHER_CTX_free(a->seal);
  EVP_CIPHER_CTX_free(a->open);
  EVP_CIPHER_free(a->ecb);
  EVP_CIPHER_free(a->gcm);
  sodium_memzero(a, sizeof *a);
  free(a);
}

void neap_aead_forget(neap_aead *aead) {
  EVP_CIPHER_CTX_reset(aead->block);
  sodium_memzero(aead->subkey_k1, BLOCK);
  aead->key = NULL;
}

/* `blocks` blocks, in place or not, under the master key. */
static bool encrypt_blocks(neap_aead *aead, const uint8_t *in, int blocks, uint8_t *out) {
  int size;
  return EVP_EncryptUpdate(aead->block, out, &size, in, blocks * BLOCK) == 1 && size == blocks * BLOCK;
}

/* K1 of CMAC: AES(0) doubled in GF(2^128). */
static bool use_key(neap_aead *aead, const neap_key *key) {
  if (aead->key == key) return true;
  aead->key = NULL;
  uint8_t l[BLOCK] = {0};
  if (EVP_EncryptInit_ex2(aead->block, aead->ecb, key->bytes, NULL, NULL) != 1 ||
      EVP_CIPHER_CTX_set_padding(aead->block, 0) != 1 || !encrypt_blocks(aead, l, 1, l))
    return false;
  for (int i = 0; i < BLOCK; i++)
    aead->subkey_k1[i] = (uint8_t)(l[i] << 1 | (i + 1 < BLOCK ? l[i + 1] >> 7 : 0));
  aead->subkey_k1[BLOCK - 1] ^= (uint8_t)(0x87 & -(l[0] >> 7));
  sodium_memzero(l, sizeof l);
  aead->key = key;
  return true;
}

/* The record's own key: CMAC of 00 01 'X' 00 and the nonce's first half, then of 00 02 'X' 00 and the same.
 */
static bool derive(neap_aead *aead, const neap_key *key, const char *nonce, uint8_t *out) {
  if (!use_key(aead, key)) return false;
  uint8_t input[2 * BLOCK];
  for (int block = 0; block < 2; block++) {
    uint8_t *at = input + block * BLOCK;
    at[0] = 0, at[1] = (uint8_t)(block + 1), at[2] = 'X', at[3] = 0;
    memcpy(at + 4, nonce, HALF_NONCE);
    for (int i = 0; i < BLOCK; i++) at[i] ^= aead->subkey_k1[i];
  }
  return encrypt_blocks(aead, input, 2, out);
}

static bool xaes_seal(neap_aead *aead, const uint8_t *derived, const char *nonce, neap_view aad,
                      neap_view plain, char *out, char *tag) {
  EVP_CIPHER_CTX *gcm = aead->seal;
  uint8_t none[BLOCK];
  int size;
  return EVP_EncryptInit_ex2(gcm, NULL, derived, (const uint8_t *)nonce + HALF_NONCE, NULL) == 1 &&
         EVP_EncryptUpdate(gcm, NULL, &size, (const uint8_t *)aad.ptr, (int)aad.size) == 1 &&
         (plain.size == 0 ||
          EVP_EncryptUpdate(gcm, (uint8_t *)out, &size, (const uint8_t *)plain.ptr, (int)plain.size) == 1) &&
         EVP_EncryptFinal_ex(gcm, none, &size) == 1 &&
         EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_AEAD_GET_TAG, NEAP_ENVELOPE_TAG, tag) == 1;
}

static bool xaes_open(neap_aead *aead, const uint8_t *derived, const char *nonce, neap_view aad,
                      neap_view sealed, const char *tag, char *out) {
  EVP_CIPHER_CTX *gcm = aead->open;
  uint8_t none[BLOCK];
  char expected[NEAP_ENVELOPE_TAG];
  int size;
  memcpy(expected, tag, sizeof expected); /* since it takes no const */
  return EVP_DecryptInit_ex2(gcm, NULL, derived, (const uint8_t *)nonce + HALF_NONCE, NULL) == 1 &&
         EVP_DecryptUpdate(gcm, NULL, &size, (const uint8_t *)aad.ptr, (int)aad.size) == 1 &&
         (sealed.size == 0 || EVP_DecryptUpdate(gcm, (uint8_t *)out, &size, (const uint8_t *)sealed.ptr,
                                                (int)sealed.size) == 1) &&
         EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_AEAD_SET_TAG, NEAP_ENVELOPE_TAG, expected) == 1 &&
         EVP_DecryptFinal_ex(gcm, none, &size) == 1;
}

static int seal_xaes(neap_aead *aead, const neap_key *key, const char *nonce, neap_view aad, neap_view plain,
                     char *out, char *tag) {
  uint8_t derived[NEAP_KEY_BYTES];
  bool ok = derive(aead, key, nonce, derived) && xaes_seal(aead, derived, nonce, aad, plain, out, tag);
  sodium_memzero(derived, sizeof derived);
  return ok ? 0 : NEAP_EIO;
}

static bool open_xaes(neap_aead *aead, const neap_key *key, const char *nonce, neap_view aad,
                      neap_view sealed, const char *tag, char *out) {
  uint8_t derived[NEAP_KEY_BYTES];
  bool ok = derive(aead, key, nonce, derived) && xaes_open(aead, derived, nonce, aad, sealed, tag, out);
  sodium_memzero(derived, sizeof derived);
  return ok;
}

static int seal_xchacha(const neap_key *key, const char *nonce, neap_view aad, neap_view plain, char *out,
                        char *tag) {
  int rc = crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
      (uint8_t *)out, (uint8_t *)tag, NULL, (const uint8_t *)plain.ptr, plain.size, (const uint8_t *)aad.ptr,
      aad.size, NULL, (const uint8_t *)nonce, key->bytes);
  return rc == 0 ? 0 : NEAP_EIO;
}

static bool open_xchacha(const neap_key *key, const char *nonce, neap_view aad, neap_view sealed,
                         const char *tag, char *out) {
  return crypto_aead_xchacha20poly1305_ietf_decrypt_detached(
             (uint8_t *)out, NULL, (const uint8_t *)sealed.ptr, sealed.size, (const uint8_t *)tag,
             (const uint8_t *)aad.ptr, aad.size, (const uint8_t *)nonce, key->bytes) == 0;
}

int neap_aead_seal(neap_aead *aead, neap_cipher cipher, const neap_key *key, const char *nonce, neap_view aad,
                   neap_view plain, char *out, char *tag) {
  switch (cipher) {
  case NEAP_CIPHER_XCHACHA20_POLY1305: return seal_xchacha(key, nonce, aad, plain, out, tag);
  case NEAP_CIPHER_XAES_256_GCM: return seal_xaes(aead, key, nonce, aad, plain, out, tag);
  default: return NEAP_EINVAL;
  }
}

bool neap_aead_open(neap_aead *aead, neap_cipher cipher, const neap_key *key, const char *nonce,
                    neap_view aad, neap_view sealed, const char *tag, char *out) {
  bool ok = false;
  if (cipher == NEAP_CIPHER_XCHACHA20_POLY1305) ok = open_xchacha(key, nonce, aad, sealed, tag, out);
  if (cipher == NEAP_CIPHER_XAES_256_GCM) ok = open_xaes(aead, key, nonce, aad, sealed, tag, out);
  if (!ok && sealed.size > 0) sodium_memzero(out, sealed.size);
  return ok;
}
