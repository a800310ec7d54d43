/* Session cookies: whatever a client sends, only what was signed is believed. The first byte chooses whether
 * the rest is taken as it is, or as changes to a good value. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "upstream/session.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { MEMBERS = 3, NOW_S = 1700000000 };

static neap_session *session;
static neap_pool_member members[MEMBERS];
static char good[NEAP_SESSION_COOKIE_MAX];
static size_t good_size;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  static neap_backends *backends;
  static neap_sessions *sessions;
  static const uint8_t secret[NEAP_SESSION_SECRET] = {1, 2, 3};
  static const neap_session_options options = {
      .kind = NEAP_SESSION_COOKIE, .cookie = "sid", .timeout_ms = 1000000};
  neap_err err;
  neap_assert(neap_backends_create(&backends) == 0 && neap_sessions_create(secret, &sessions) == 0);
  for (int i = 0; i < MEMBERS; i++) {
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%d", 9001 + i);
    neap_assert(neap_backends_take(backends, address, &members[i].backend, &err) == 0);
  }
  neap_assert(neap_session_create("app", &options, sessions, &session, &err) == 0);
  neap_assert(neap_session_write(session, members[1].backend, NOW_S, good, sizeof good) > 0);
  memmove(good, good + 4, strlen(good) - 3); /* behind "sid=" */
  good_size = strcspn(good, ";");
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  if (size == 0 || size > 4096) return 0;
  char value[4096];
  size_t value_size = size - 1;
  bool changes = bytes[0] & 1, changed = false, renew;
  memcpy(value, bytes + 1, size - 1);
  if (changes) {
    value_size = good_size;
    memcpy(value, good, good_size);
    for (size_t i = 1; i + 1 < size; i += 2) value[bytes[i] % good_size] ^= (char)bytes[i + 1];
    changed = memcmp(value, good, good_size) != 0;
  }
  /* exactly the bytes that there are, so that reading beyond them shows */
  char *exact = malloc(value_size + 1);
  if (exact == NULL) return 0;
  memcpy(exact, value, value_size);
  int32_t member =
      neap_session_read(session, (neap_view){exact, value_size}, NOW_S, members, MEMBERS, &renew);
  free(exact);
  neap_assert(member >= -1 && member < MEMBERS);
  if (changes) neap_assert(changed ? member == -1 : member == 1);
  return 0;
}
