#include "server/member_changes.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"

/* --- a change */

static uint64_t hash_of(const char *pool, const char *address) {
  return neap_hash_mix(neap_hash_bytes(pool, strlen(pool)) | 1, neap_hash_bytes(address, strlen(address)));
}

neap_member_change *neap_member_change_make(const char *pool, const char *address) {
  size_t pool_size = strlen(pool) + 1, address_size = strlen(address) + 1;
  neap_member_change *change = calloc(1, sizeof *change + pool_size + address_size);
  if (change == NULL) return NULL;
  memcpy(change->pool, pool, pool_size);
  change->address = change->pool + pool_size;
  memcpy(change->address, address, address_size);
  change->hash = hash_of(pool, address);
  return change;
}

neap_member_change *neap_member_change_copy(const neap_member_change *from) {
  neap_member_change *copy = neap_member_change_make(from->pool, from->address);
  if (copy == NULL) return NULL;
  copy->presence = from->presence;
  copy->weight = from->weight;
  copy->priority = from->priority;
  copy->draining = from->draining;
  if (from->backend) copy->backend = neap_backend_hold(from->backend);
  return copy;
}

void neap_member_change_free(neap_backends *backends, neap_member_change *change) {
  if (change && change->backend) neap_backend_give(backends, change->backend);
  free(change);
}

/* --- the list */

static neap_member_change **chain_of(const neap_member_list *list, uint64_t hash) {
  return &list->chains[hash & (list->places - 1)];
}

neap_member_change *neap_member_list_find(const neap_member_list *list, const char *pool,
                                          const char *address) {
  if (list->places == 0) return NULL;
  uint64_t hash = hash_of(pool, address);
  neap_member_change *change = *chain_of(list, hash);
  while (change &&
         (change->hash != hash || strcmp(change->pool, pool) != 0 || strcmp(change->address, address) != 0))
    change = change->chain;
  return change;
}

static void chain(neap_member_list *list, neap_member_change *change) {
  neap_member_change **at = chain_of(list, change->hash);
  change->chain = *at;
  *at = change;
}

/* More chains, where there is memory; fewer than changes are slow, not wrong. False: there are none at all.
 */
static bool grow(neap_member_list *list) {
  size_t places = list->places ? 2 * list->places : 16;
  neap_member_change **chains = calloc(places, sizeof(neap_member_change *));
  if (chains == NULL) return list->places > 0;
  free(list->chains);
  list->chains = chains;
  list->places = places;
  for (neap_member_change *change = list->first; change; change = change->next) chain(list, change);
  return true;
}

/* Behind `before`; NULL: first. */
static void link_change(neap_member_list *list, neap_member_change *change, neap_member_change *before) {
  change->prev = before;
  change->next = before ? before->next : list->first;
  *(before ? &before->next : &list->first) = change;
  *(change->next ? &change->next->prev : &list->last) = change;
  chain(list, change);
  list->count++;
}

static void unlink_change(neap_member_list *list, neap_member_change *change) {
  *(change->prev ? &change->prev->next : &list->first) = change->next;
  *(change->next ? &change->next->prev : &list->last) = change->prev;
  neap_member_change **at = chain_of(list, change->hash);
  while (*at != change) at = &(*at)->chain;
  *at = change->chain;
  list->count--;
}

void neap_member_list_fini(neap_backends *backends, neap_member_list *list) {
  while (list->first) {
    neap_member_change *next = list->first->next;
    neap_member_change_free(backends, list->first);
    list->first = next;
  }
  free(list->chains);
  *list = (neap_member_list){0};
}

/* --- all changes of a gateway */

int neap_member_changes_create(neap_backends *backends, neap_member_changes **out) {
  neap_member_changes *changes = calloc(1, sizeof *changes);
  if (changes == NULL) return NEAP_ENOMEM;
  if (!grow(&changes->list)) {
    free(changes);
    return NEAP_ENOMEM;
  }
  changes->backends = backends;
  pthread_mutex_init(&changes->lock, NULL);
  *out = changes;
  return 0;
}

void neap_member_changes_destroy(neap_member_changes **changes) {
  if (*changes == NULL) return;
  neap_member_list_fini((*changes)->backends, &(*changes)->list);
  pthread_mutex_destroy(&(*changes)->lock);
  free(*changes);
  *changes = NULL;
}

int neap_member_changes_copy(neap_member_changes *changes, neap_member_list *out, uint64_t *serial) {
  *out = (neap_member_list){0};
  bool fits = grow(out);
  pthread_mutex_lock(&changes->lock);
  *serial = changes->serial;
  for (const neap_member_change *from = changes->list.first; from && fits; from = from->next) {
    neap_member_change *copy = neap_member_change_copy(from);
    fits = copy != NULL;
    if (!fits) break;
    if (out->count == out->places) grow(out);
    link_change(out, copy, out->last);
  }
  pthread_mutex_unlock(&changes->lock);
  if (fits) return 0;
  neap_member_list_fini(changes->backends, out);
  return NEAP_ENOMEM;
}

void neap_member_changes_put(neap_member_changes *changes, neap_member_change *change) {
  neap_member_list *list = &changes->list;
  bool nothing = change->presence == NEAP_MEMBER_KEPT && change->weight == 0 && !change->draining;
  pthread_mutex_lock(&changes->lock);
  changes->serial++;
  neap_member_change *old = neap_member_list_find(list, change->pool, change->address);
  neap_member_change *before = old ? old->prev : list->last;
  if (old) unlink_change(list, old);
  if (!nothing) {
    if (list->count == list->places) grow(list);
    link_change(list, change, before);
  }
  pthread_mutex_unlock(&changes->lock);
  if (nothing) neap_member_change_free(changes->backends, change);
  neap_member_change_free(changes->backends, old);
}
