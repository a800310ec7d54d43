/* The table of sessions, one of the process: sets of eight, of which the stalest makes room. Its size is
 * fixed, so nobody who invents clients can fill more than it; a lock per stripe is held for one set. */
#include "upstream/session.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/pages.h"

enum { WAYS = 8, STRIPES = 64, SETS = NEAP_SESSION_TABLE / WAYS };

typedef struct row {
  uint64_t who; /* 0: free */
  uint64_t backend;
  uint64_t used_ms;
} row;

struct neap_sessions {
  pthread_mutex_t locks[STRIPES];
  uint8_t secret[NEAP_SESSION_SECRET];
  row (*sets)[WAYS]; /* reserved: a set costs memory once it is used */
};

int neap_sessions_create(const uint8_t secret[NEAP_SESSION_SECRET], neap_sessions **out) {
  neap_sessions *sessions = calloc(1, sizeof *sessions);
  if (sessions == NULL) return NEAP_ENOMEM;
  sessions->sets = neap_pages_reserve(SETS * sizeof *sessions->sets);
  if (sessions->sets == NULL) {
    free(sessions);
    return NEAP_ENOMEM;
  }
  for (int i = 0; i < STRIPES; i++) pthread_mutex_init(&sessions->locks[i], NULL);
  memcpy(sessions->secret, secret, NEAP_SESSION_SECRET);
  *out = sessions;
  return 0;
}

void neap_sessions_destroy(neap_sessions **sessions_ptr) {
  neap_sessions *sessions = *sessions_ptr;
  if (sessions == NULL) return;
  *sessions_ptr = NULL;
  for (int i = 0; i < STRIPES; i++) pthread_mutex_destroy(&sessions->locks[i]);
  neap_pages_release(sessions->sets, SETS * sizeof *sessions->sets);
  free(sessions);
}

const uint8_t *neap_sessions_secret(const neap_sessions *sessions) {
  return sessions->secret;
}

static pthread_mutex_t *lock_of(neap_sessions *sessions, uint64_t who) {
  return &sessions->locks[who % SETS % STRIPES];
}

uint64_t neap_session_table_find(neap_sessions *sessions, uint64_t who, uint64_t now_ms,
                                 uint64_t timeout_ms) {
  row *set = sessions->sets[who % SETS];
  uint64_t backend = 0;
  pthread_mutex_lock(lock_of(sessions, who));
  for (int i = 0; i < WAYS; i++)
    if (set[i].who == who && set[i].used_ms + timeout_ms >= now_ms) backend = set[i].backend;
  pthread_mutex_unlock(lock_of(sessions, who));
  return backend;
}

void neap_session_table_keep(neap_sessions *sessions, uint64_t who, uint64_t backend, uint64_t now_ms) {
  row *set = sessions->sets[who % SETS];
  pthread_mutex_lock(lock_of(sessions, who));
  row *at = &set[0];
  for (int i = 0; i < WAYS && at->who != who; i++)
    if (set[i].who == who || set[i].used_ms < at->used_ms) at = &set[i];
  *at = (row){who, backend, now_ms};
  pthread_mutex_unlock(lock_of(sessions, who));
}
