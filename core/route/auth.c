#include "route/auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>
#include <strings.h>

#include "base/base.h"
#include "base/plain.h"
#include "policy/policy.h"

/* What is compared where there is no such user, so that it takes as long. */
static const char nobody[] = "sha256:nobody:0000000000000000000000000000000000000000000000000000000000000000";

enum { SALT_MAX = 256 };

/* --- texts */

static int digit_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* Decodes base64 with or without padding; the size, or -1. */
static int decode(neap_slice from, char *out, int capacity) {
  uint32_t bits = 0;
  int count = 0, size = 0;
  while (from.size > 0 && from.ptr[from.size - 1] == '=') from.size--;
  for (int32_t i = 0; i < from.size; i++) {
    int digit = digit_of(from.ptr[i]);
    if (digit < 0) return -1;
    bits = bits << 6 | (uint32_t)digit;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    if (size == capacity) return -1;
    out[size++] = (char)(bits >> count);
  }
  return size;
}

static int hex_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* --- digests */

/* Is `secret` what "sha256:SALT:HEX" was made of? */
static bool is_secret(neap_slice stored, neap_slice secret) {
  enum { HEAD = 7, HEX = 2 * SHA256_DIGEST_LENGTH };
  uint8_t wanted[SHA256_DIGEST_LENGTH], have[SHA256_DIGEST_LENGTH], salted[SALT_MAX + NEAP_AUTH_SECRET_MAX];
  if (stored.size < HEAD + 1 + HEX || memcmp(stored.ptr, "sha256:", HEAD) != 0) return false;
  const char *hex = stored.ptr + stored.size - HEX;
  if (hex[-1] != ':') return false;
  for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
    int high = hex_of(hex[2 * i]), low = hex_of(hex[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    wanted[i] = (uint8_t)(high << 4 | low);
  }
  size_t salt = (size_t)(hex - 1 - (stored.ptr + HEAD)), size = (size_t)secret.size;
  if (salt > SALT_MAX || size > NEAP_AUTH_SECRET_MAX) return false;
  memcpy(salted, stored.ptr + HEAD, salt);
  memcpy(salted + salt, secret.ptr, size);
  SHA256(salted, salt + size, have);
  explicit_bzero(salted, salt + size);
  return CRYPTO_memcmp(wanted, have, sizeof have) == 0;
}

static neap_slice slice_of(const char *text) {
  return (neap_slice){.ptr = text, .size = (int32_t)strlen(text)};
}

/* --- basic */

static bool find_user(const neap_auth *auth, const neap_rows *rows, neap_slice user, neap_slice *stored) {
  if (rows) return neap_rows_get(rows, user, stored);
  for (size_t i = 0; i < auth->user_count; i++) {
    neap_slice name = slice_of(auth->users[i].name);
    if (name.size != user.size || memcmp(name.ptr, user.ptr, (size_t)user.size) != 0) continue;
    *stored = slice_of(auth->users[i].value);
    return true;
  }
  return false;
}

static bool check_basic(const neap_auth *auth, const neap_rows *rows, neap_slice text, char *user) {
  char plain[NEAP_AUTH_USER_MAX + NEAP_AUTH_SECRET_MAX];
  int size = decode(text, plain, sizeof plain);
  const char *colon = size > 0 ? memchr(plain, ':', (size_t)size) : NULL;
  int name = colon ? (int)(colon - plain) : 0;
  bool right = false;
  if (name > 0 && name < NEAP_AUTH_USER_MAX && neap_plain_text(plain, name)) {
    neap_slice stored, secret = {.ptr = colon + 1, .size = size - name - 1};
    bool known = find_user(auth, rows, (neap_slice){.ptr = plain, .size = name}, &stored);
    right = is_secret(known ? stored : slice_of(nobody), secret) && known;
    memcpy(user, plain, (size_t)name);
    user[name] = '\0';
  }
  explicit_bzero(plain, sizeof plain);
  return right;
}

/* --- bearer */

static void write_hex(const uint8_t digest[SHA256_DIGEST_LENGTH], char out[2 * SHA256_DIGEST_LENGTH]) {
  for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
    out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
    out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
  }
}

/* In a table, tokens are found by their digest, which nobody can choose. */
static bool find_token(const neap_rows *rows, neap_slice token, neap_slice *name) {
  uint8_t digest[SHA256_DIGEST_LENGTH];
  char hex[2 * SHA256_DIGEST_LENGTH];
  SHA256((const uint8_t *)token.ptr, (size_t)token.size, digest);
  write_hex(digest, hex);
  return neap_rows_get(rows, (neap_slice){.ptr = hex, .size = sizeof hex}, name);
}

static bool check_bearer(const neap_auth *auth, const neap_rows *rows, neap_slice token, char *user) {
  neap_slice name = {.ptr = NULL};
  if (token.size == 0 || token.size > NEAP_AUTH_SECRET_MAX) return false;
  if (rows && !find_token(rows, token, &name)) return false;
  for (size_t i = 0; rows == NULL && i < auth->user_count; i++) /* all of them, whichever it is */
    if (is_secret(slice_of(auth->users[i].value), token)) name = slice_of(auth->users[i].name);
  if (name.ptr == NULL || name.size >= NEAP_AUTH_USER_MAX) return false;
  memcpy(user, name.ptr, (size_t)name.size);
  user[name.size] = '\0';
  return true;
}

/* --- the header */

/* The credentials of a scheme: what follows its name and the spaces. */
static bool read_scheme(neap_slice value, const char *scheme, neap_slice *rest) {
  int32_t size = (int32_t)strlen(scheme);
  if (value.size <= size || strncasecmp(value.ptr, scheme, (size_t)size) != 0 || value.ptr[size] != ' ')
    return false;
  while (size < value.size && value.ptr[size] == ' ') size++;
  *rest = (neap_slice){.ptr = value.ptr + size, .size = value.size - size};
  return true;
}

bool neap_auth_check(const neap_auth *auth, const neap_rows *rows, const neap_request_board *request,
                     char user[NEAP_AUTH_USER_MAX], bool *given) {
  const neap_view name = {"authorization", 13};
  int32_t row = neap_request_header(request, name, 0);
  neap_slice rest;
  bool basic = auth->scheme == NEAP_AUTH_BASIC;
  *given = row >= 0 && read_scheme(request->headers[row].value, basic ? "basic" : "bearer", &rest);
  if (!*given || neap_request_header(request, name, row + 1) >= 0) return false; /* two: whose word counts? */
  return basic ? check_basic(auth, rows, rest, user) : check_bearer(auth, rows, rest, user);
}
