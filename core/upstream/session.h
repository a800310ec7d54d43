/* The sessions of a pool, as the files of upstream/ see them. */
#ifndef NEAP_UPSTREAM_SESSION_H
#define NEAP_UPSTREAM_SESSION_H

#include "upstream/backend.h"

/* One worker's part of a pool's sessions: signing state and the names that backends have in cookies. */
typedef struct neap_session neap_session;

/* `options` as in neap_pool_options, of kind COOKIE or TABLED, borrowed until destroy. */
int neap_session_create(const char *pool, const neap_session_options *options, neap_sessions *sessions,
                        neap_session **out, neap_err *err);
void neap_session_destroy(neap_session **session);

/* A pool's members, by place; NULL for an empty one. */
typedef neap_backend *(*neap_session_member)(const void *pool, int32_t place);

int32_t neap_session_read(neap_session *session, neap_view value, int64_t wall_s,
                          const neap_pool_member *members, int32_t count, bool *renew);
ssize_t neap_session_write(neap_session *session, const neap_backend *backend, int64_t wall_s, char *out,
                           size_t capacity);

/* --- the table (session_table.c). `who` and `backend` are hashes of 64 bits, never 0. Any thread. */
uint64_t neap_session_table_find(neap_sessions *sessions, uint64_t who, uint64_t now_ms, uint64_t timeout_ms);
void neap_session_table_keep(neap_sessions *sessions, uint64_t who, uint64_t backend, uint64_t now_ms);
const uint8_t *neap_sessions_secret(const neap_sessions *sessions);

#endif
