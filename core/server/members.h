/* The members of pools: as configured, and as changed at run time. Internal to server/; control thread.
 *
 * A change concerns one address of one pool and is in force on every worker, without touching what is known
 * of the others. It outlives reloads: each new generation is made with it, whether or not the new file names
 * the backend, until it is undone. What is undone: adding what was removed and removing what was added (where
 * the file says the same), a weight of 0, the end of draining.
 *
 *   neap_gateway_backend_*   change, and say why not: NEAP_ENOTFOUND (no such pool or backend), NEAP_EEXIST,
 *                            NEAP_EINVAL, NEAP_ENOMEM
 */
#ifndef NEAP_SERVER_MEMBERS_H
#define NEAP_SERVER_MEMBERS_H

#include "server/server.h"
#include "upstream/upstream.h"

typedef struct neap_loaded neap_loaded;

/* All changes of a gateway. Made by the control thread, read by whoever prepares a generation. */
typedef struct neap_member_changes neap_member_changes;
int neap_member_changes_create(neap_backends *backends, neap_member_changes **out);
void neap_member_changes_destroy(neap_member_changes **changes);

/* Of one pool of a generation, which holds the backends. */
typedef struct neap_members {
  neap_pool_member *list;
  neap_pool_member **sorted; /* by backend */
  size_t count;
} neap_members;

/* One that a source has found. */
typedef struct neap_member_found {
  const char *address; /* in small letters */
  int32_t weight, priority;
} neap_member_found;

/* Takes the backends of every pool, changes included. Any thread. */
int neap_members_take(neap_loaded *loaded, neap_err *err);
/* Gives them back. Control thread. */
void neap_members_give(neap_loaded *loaded);
/* Puts into force what was changed since the backends of the generation in force were taken: at a commit, and
 * after changes that do not do so themselves. */
void neap_members_catch_up(neap_gateway *gateway);
/* At a commit, for metrics: who joined and left. `before`: NULL at the start. */
void neap_members_count(neap_gateway *gateway, const neap_loaded *before, const neap_loaded *now);

/* What a source has found, and finds no more: as if added and removed by hand, but for backends that the file
 * names, which stay as they are. In force once neap_members_catch_up is called. `announce` fails where the
 * address means nothing. */
int neap_members_announce(neap_gateway *gateway, const char *pool, const neap_member_found *found,
                          neap_err *err);
void neap_members_withdraw(neap_gateway *gateway, const char *pool, const char *address);

/* `address` is "host:port"; a name that neap_names_must_ask is to be asked for first, or else it is looked up
 * now, which may take a while. `weight`: 1..1000, 0: 1. */
int neap_gateway_backend_add(neap_gateway *gateway, const char *pool, const char *address, int32_t weight,
                             neap_err *err);
/* Requests that are with it are finished. */
int neap_gateway_backend_remove(neap_gateway *gateway, const char *pool, const char *address, neap_err *err);
/* `weight`: 1..1000, 0: as configured. */
int neap_gateway_backend_weight(neap_gateway *gateway, const char *pool, const char *address, int32_t weight,
                                neap_err *err);
/* It takes no new requests, or does so again. */
int neap_gateway_backend_drain(neap_gateway *gateway, const char *pool, const char *address, bool draining,
                               neap_err *err);

/* One backend of a pool, as status and API show it. Texts are borrowed until `tell` returns. */
typedef struct neap_gateway_backend {
  const char *pool, *address;
  const char *id; /* UUID: as configured, or made of the address */
  int32_t weight, limit;
  uint32_t idle; /* connections that workers keep open to it */
  bool draining;
  bool added, removed;    /* at run time; a removed one is told of as long as the file still names it */
  bool weight_changed;    /* at run time */
  neap_backend_info info; /* zero for a removed one */
} neap_gateway_backend;
/* All backends of the generation in force, by pool in order of declaration. */
void neap_gateway_backends_each(neap_gateway *gateway,
                                void (*tell)(void *user, const neap_gateway_backend *backend), void *user);

#endif
