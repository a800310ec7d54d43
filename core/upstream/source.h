/* Sources: where backends come from beside the configuration. Part of the facade upstream.h.
 *
 *   dns:name:port     every A and AAAA record           asked again when its time to live is over
 *   srv:name          the targets of SRV records, with ports, weights and priorities
 *   file:path         lines "host:port [weight=N] [priority=N | backup]"; read again when the file changes
 *   etcd:url/prefix   the values of all keys below the prefix, each such a line or JSON; watched
 *
 * A source tells its members when they are not those it told last, all of them, never a half: what cannot be
 * read changes nothing. One belongs to the control thread's loop.
 */
#ifndef NEAP_UPSTREAM_SOURCE_H
#define NEAP_UPSTREAM_SOURCE_H

#include "loop/loop.h"
#include "remote/remote.h"

enum {
  NEAP_BACKEND_SOURCE_MEMBERS_MAX = 16384,
  NEAP_BACKEND_SOURCE_BACKUP = 15,    /* the priority of backups */
  NEAP_BACKEND_SOURCE_ADDRESS = 272,  /* "host:port", NUL included */
  NEAP_BACKEND_SOURCE_LEAST_MS = 1000 /* between two questions, whatever the time to live says */
};

typedef struct neap_backend_source_member {
  char address[NEAP_BACKEND_SOURCE_ADDRESS]; /* in small letters */
  int32_t weight;                            /* 1..1000 */
  int32_t priority;                          /* 0 first */
} neap_backend_source_member;

/* A list that grows; sorted by address, none twice, when it is told. */
typedef struct neap_backend_source_list {
  neap_backend_source_member *members;
  size_t count, room;
} neap_backend_source_list;

/* What all kinds are made with. Texts are copied; the rest is borrowed until destroy. */
typedef struct neap_backend_source_options {
  const char *spec;    /* "dns:...", as above; a relative path of a file starts at `folder` */
  const char *folder;  /* NULL: where the process is */
  uint64_t refresh_ms; /* dns, srv: where no time to live is said; file: how often it is looked at */
  neap_loop *loop;
  neap_resolver *resolver; /* dns, srv */
  neap_fetcher *fetcher;   /* etcd */
  /* `members` is borrowed during the call. */
  void (*changed)(void *user, const neap_backend_source_member *members, size_t count);
  /* It cannot be read: once for each new reason. NULL: it can again. */
  void (*failed)(void *user, const char *reason);
  void *user;
} neap_backend_source_options;

typedef struct neap_backend_source neap_backend_source;
/* Starts to ask; nothing is told from within this call. NEAP_EINVAL with a sentence, NEAP_ENOMEM. */
int neap_backend_source_create(const neap_backend_source_options *options, neap_backend_source **out,
                               neap_err *err);
/* Tells nothing any more. May be called from `changed` and `failed`. */
void neap_backend_source_destroy(neap_backend_source **source);
/* Checks a spec without using it. Any thread. */
int neap_backend_source_check(const char *spec, neap_err *err);

#endif
