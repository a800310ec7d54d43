/* What differs from the configuration in who is a member of which pool, by pool and address. Private to
 * server/: members.c makes generations of it, member_edits.c changes it.
 *
 * A list in the order of the first change to each, with chains by hash, for sources may find thousands. */
#ifndef NEAP_SERVER_MEMBER_CHANGES_H
#define NEAP_SERVER_MEMBER_CHANGES_H

#include <pthread.h>

#include "script/script.h"
#include "server/members.h"

typedef struct neap_member_change neap_member_change;
struct neap_member_change {
  neap_member_change *next, *prev, *chain; /* of the list; of its chain */
  uint64_t hash;                           /* of pool and address */
  enum { NEAP_MEMBER_KEPT, NEAP_MEMBER_ADDED, NEAP_MEMBER_REMOVED } presence;
  int32_t weight;   /* 0: as configured */
  int32_t priority; /* of an added one */
  bool draining;
  neap_backend *backend; /* held while it is an added one: its name is not looked up again; or NULL */
  char *address;         /* behind the pool's name */
  char pool[];
};

/* Empty when it is zero. */
typedef struct neap_member_list {
  neap_member_change *first, *last;
  neap_member_change **chains;
  size_t places, count; /* chains: 0 or a power of two */
} neap_member_list;

struct neap_member_changes {
  neap_backends *backends;
  pthread_mutex_t lock; /* of the list; the control thread reads it without */
  neap_member_list list;
  uint64_t serial; /* grows with each change */
};

/* That nothing is changed. NULL: out of memory. The caller frees it, or puts it. */
neap_member_change *neap_member_change_make(const char *pool, const char *address);
neap_member_change *neap_member_change_copy(const neap_member_change *from);
void neap_member_change_free(neap_backends *backends, neap_member_change *change);

/* NULL: there is none. Borrowed until the list changes. */
neap_member_change *neap_member_list_find(const neap_member_list *list, const char *pool,
                                          const char *address);
void neap_member_list_fini(neap_backends *backends, neap_member_list *list);

/* The list as it is now, for one who may be on another thread. NEAP_ENOMEM: `out` is empty. */
int neap_member_changes_copy(neap_member_changes *changes, neap_member_list *out, uint64_t *serial);
/* Takes `change` in, in the place of what was there for the same backend; one that changes nothing takes it
 * out. Control thread. */
void neap_member_changes_put(neap_member_changes *changes, neap_member_change *change);

/* members.c, control thread: puts into force, on the generation in force and on a canary, what is changed. */
int neap_members_apply(neap_gateway *gateway, neap_err *err);
/* What the file says of an address; NULL: nothing. Any thread. */
const neap_config_backend *neap_members_configured(const neap_config_pool *pool, const char *address);

#endif
