/* Signed session cookies. The value, 48 bytes:
 *
 *   v1 . key . backend . issued . mac
 *        4     8         8        22        characters of base64url; `issued` is hexadecimal, seconds since
 * 1970
 *
 * `mac` is half of HMAC-SHA256(secret, "session" pool backend issued); `key` says which secret, so that
 * secrets can be rotated; `backend` is itself keyed, so that a cookie tells nobody an address. A value is
 * believed as a whole or not at all. */
#include "upstream/session.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

#define SESSION_MAGIC 0x4e736573u /* "Nses" */

enum {
  KEY_SIZE = 4,
  BACKEND_SIZE = 8,
  ISSUED_SIZE = 8,
  MAC_SIZE = 22,
  KEY_AT = 3,
  BACKEND_AT = KEY_AT + KEY_SIZE + 1,
  ISSUED_AT = BACKEND_AT + BACKEND_SIZE + 1,
  MAC_AT = ISSUED_AT + ISSUED_SIZE + 1,
  VALUE_SIZE = MAC_AT + MAC_SIZE,
  SKEW_S = 300 /* that the clocks of two gateways may differ */
};

typedef struct signer {
  EVP_MAC_CTX *mac;
  char key[KEY_SIZE];
} signer;

/* What a backend is called in cookies, by each secret. */
typedef struct place {
  uint64_t serial; /* of the backend that it was made for; 0: none */
  char names[NEAP_SESSION_SECRETS_MAX][BACKEND_SIZE];
} place;

struct neap_session {
  uint32_t magic;
  neap_session_options options;
  const char *pool;
  signer signers[NEAP_SESSION_SECRETS_MAX];
  size_t signer_count;
  place *places;
  int32_t place_count;
};

/* --- signing */

static void put_base64(char *out, size_t size, const unsigned char *bytes) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  uint32_t word = 0;
  int bits = 0;
  for (size_t i = 0; i < size; i++) {
    if (bits < 6) word = word << 8 | *bytes++, bits += 8;
    out[i] = letters[word >> (bits -= 6) & 63];
  }
}

/* hot: signs three texts, each with its end marked; `out` gets `size` characters. */
static bool sign(const signer *by, const char *what, const char *pool, neap_view text, char *out,
                 size_t size) {
  unsigned char mac[EVP_MAX_MD_SIZE];
  size_t mac_size;
  if (EVP_MAC_init(by->mac, NULL, 0, NULL) != 1 ||
      EVP_MAC_update(by->mac, (const unsigned char *)what, strlen(what) + 1) != 1 ||
      EVP_MAC_update(by->mac, (const unsigned char *)pool, strlen(pool) + 1) != 1 ||
      EVP_MAC_update(by->mac, (const unsigned char *)text.ptr, text.size) != 1 ||
      EVP_MAC_final(by->mac, mac, &mac_size, sizeof mac) != 1)
    return false;
  put_base64(out, size, mac);
  return true;
}

static int open_signer(signer *out, EVP_MAC *algorithm, const void *secret, size_t size) {
  OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", (char[]){"SHA256"}, 0),
                         OSSL_PARAM_construct_end()};
  out->mac = EVP_MAC_CTX_new(algorithm);
  if (out->mac == NULL || EVP_MAC_init(out->mac, secret, size, params) != 1) return NEAP_ENOMEM;
  return sign(out, "key", "", neap_view_of(""), out->key, KEY_SIZE) ? 0 : NEAP_ENOMEM;
}

static int open_signers(neap_session *session, neap_sessions *sessions) {
  const neap_session_options *options = &session->options;
  EVP_MAC *algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);
  if (algorithm == NULL) return NEAP_ENOMEM;
  int code = 0;
  session->signer_count = options->secret_count ? options->secret_count : 1;
  for (size_t i = 0; i < session->signer_count && code == 0; i++) {
    const char *secret = options->secret_count ? options->secrets[i] : NULL;
    code = open_signer(&session->signers[i], algorithm,
                       secret ? (const void *)secret : neap_sessions_secret(sessions),
                       secret ? strlen(secret) : NEAP_SESSION_SECRET);
  }
  EVP_MAC_free(algorithm);
  return code;
}

/* --- backends' names */

static bool name_place(neap_session *session, place *at, const neap_backend *backend) {
  for (size_t i = 0; i < session->signer_count; i++)
    if (!sign(&session->signers[i], "backend", session->pool, neap_view_of(backend->text), at->names[i],
              BACKEND_SIZE))
      return false;
  at->serial = backend->serial;
  return true;
}

/* The member that `signer` calls so; -1: none. Allocates only when the pool has grown. */
static int32_t find_member(neap_session *session, size_t by, const char *name,
                           const neap_pool_member *members, int32_t count) {
  if (count > session->place_count) {
    place *grown = realloc(session->places, (size_t)count * sizeof *grown);
    if (grown == NULL) return -1;
    memset(grown + session->place_count, 0, (size_t)(count - session->place_count) * sizeof *grown);
    session->places = grown;
    session->place_count = count;
  }
  for (int32_t i = 0; i < count; i++) {
    if (members[i].backend == NULL) continue;
    place *at = &session->places[i];
    if (at->serial != members[i].backend->serial && !name_place(session, at, members[i].backend)) return -1;
    if (memcmp(at->names[by], name, BACKEND_SIZE) == 0) return i;
  }
  return -1;
}

/* --- reading and writing */

/* What is signed: backend and issued, as they stand in the value. */
static neap_view signed_part(const char *value) {
  return (neap_view){value + BACKEND_AT, MAC_AT - 1 - BACKEND_AT};
}

/* Seconds since 1970, or -1. */
static int64_t read_issued(const char *digits) {
  int64_t issued = 0;
  for (int i = 0; i < ISSUED_SIZE; i++) {
    char c = digits[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return -1;
    issued = issued << 4 | digit;
  }
  return issued;
}

/* The signer whose value this is, or -1. */
static int find_signer(const neap_session *session, const char *value) {
  for (size_t i = 0; i < session->signer_count; i++) {
    char mac[MAC_SIZE];
    if (memcmp(value + KEY_AT, session->signers[i].key, KEY_SIZE) != 0) continue;
    if (sign(&session->signers[i], "session", session->pool, signed_part(value), mac, MAC_SIZE) &&
        CRYPTO_memcmp(mac, value + MAC_AT, MAC_SIZE) == 0)
      return (int)i;
  }
  return -1;
}

/* What is not signed has one spelling. */
static bool has_shape(neap_view value) {
  return value.size == VALUE_SIZE && memcmp(value.ptr, "v1.", KEY_AT) == 0 &&
         value.ptr[BACKEND_AT - 1] == '.' && value.ptr[MAC_AT - 1] == '.';
}

int32_t neap_session_read(neap_session *session, neap_view value, int64_t wall_s,
                          const neap_pool_member *members, int32_t count, bool *renew) {
  neap_check_magic(session, SESSION_MAGIC);
  if (!has_shape(value)) return -1;
  int by = find_signer(session, value.ptr);
  if (by < 0) return -1;
  int64_t age_ms = (wall_s - read_issued(value.ptr + ISSUED_AT)) * 1000;
  if (age_ms < -SKEW_S * 1000 || age_ms > (int64_t)session->options.timeout_ms) return -1;
  int32_t member = find_member(session, (size_t)by, value.ptr + BACKEND_AT, members, count);
  if (member >= 0) *renew = by > 0 || age_ms > (int64_t)session->options.timeout_ms / 10;
  return member;
}

ssize_t neap_session_write(neap_session *session, const neap_backend *backend, int64_t wall_s, char *out,
                           size_t capacity) {
  neap_check_magic(session, SESSION_MAGIC);
  const signer *by = &session->signers[0];
  char value[VALUE_SIZE + 1], name[BACKEND_SIZE], mac[MAC_SIZE];
  if (!sign(by, "backend", session->pool, neap_view_of(backend->text), name, BACKEND_SIZE))
    return NEAP_ENOMEM;
  snprintf(value, sizeof value, "v1.%.*s.%.*s.%08llx.", KEY_SIZE, by->key, BACKEND_SIZE, name,
           (unsigned long long)wall_s & 0xffffffff);
  if (!sign(by, "session", session->pool, signed_part(value), mac, MAC_SIZE)) return NEAP_ENOMEM;
  int size = snprintf(out, capacity, "%s=%.*s%.*s; Path=/; Max-Age=%llu; HttpOnly; SameSite=Lax%s",
                      session->options.cookie, MAC_AT, value, MAC_SIZE, mac,
                      (unsigned long long)(session->options.timeout_ms / 1000),
                      session->options.secure ? "; Secure" : "");
  return size > 0 && (size_t)size < capacity ? size : NEAP_ESMALL;
}

/* --- life */

int neap_session_create(const char *pool, const neap_session_options *options, neap_sessions *sessions,
                        neap_session **out, neap_err *err) {
  neap_session *session = calloc(1, sizeof *session);
  if (session == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  session->magic = SESSION_MAGIC;
  session->options = *options;
  session->pool = pool;
  if (options->kind == NEAP_SESSION_COOKIE && open_signers(session, sessions)) {
    neap_session_destroy(&session);
    return neap_fail(err, NEAP_ENOMEM, "pool %s: cannot sign sessions", pool);
  }
  *out = session;
  return 0;
}

void neap_session_destroy(neap_session **session_ptr) {
  neap_session *session = *session_ptr;
  if (session == NULL) return;
  *session_ptr = NULL;
  for (size_t i = 0; i < session->signer_count; i++) EVP_MAC_CTX_free(session->signers[i].mac);
  free(session->places);
  session->magic = 0;
  free(session);
}
