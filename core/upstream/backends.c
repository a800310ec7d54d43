/* All backends of the process. */
#include "upstream/backends.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"

int neap_backends_create(neap_backends **out) {
  neap_backends *backends = calloc(1, sizeof *backends);
  if (backends == NULL) return NEAP_ENOMEM;
  pthread_mutex_init(&backends->lock, NULL);
  pthread_mutex_init(&backends->queues_lock, NULL);
  *out = backends;
  return 0;
}

void neap_backends_destroy(neap_backends **backends) {
  if (*backends == NULL) return;
  neap_assert((*backends)->count == 0 && (*backends)->queues == NULL);
  free((*backends)->chains);
  free((*backends)->by_id);
  pthread_mutex_destroy(&(*backends)->lock);
  pthread_mutex_destroy(&(*backends)->queues_lock);
  free(*backends);
  *backends = NULL;
}

/* --- finding: by address in chains, by id in an array. Under the lock. */

static neap_backend *find(const neap_backends *backends, const char *address) {
  if (backends->places == 0) return NULL;
  uint64_t hash = neap_hash_bytes(address, strlen(address));
  neap_backend *backend = backends->chains[hash & (backends->places - 1)];
  while (backend && (backend->hash != hash || strcmp(backend->text, address) != 0)) backend = backend->next;
  return backend;
}

static void chain(neap_backends *backends, neap_backend *backend) {
  neap_backend **first = &backends->chains[backend->hash & (backends->places - 1)];
  backend->next = *first;
  *first = backend;
}

/* False: out of memory, nothing has changed. */
static bool grow(neap_backends *backends) {
  uint32_t places = backends->places ? 2 * backends->places : 16;
  neap_backend **chains = calloc(places, sizeof(neap_backend *)),
               **by_id = calloc(places, sizeof(neap_backend *));
  if (chains == NULL || by_id == NULL) {
    free(chains);
    free(by_id);
    return false;
  }
  if (backends->places) memcpy(by_id, backends->by_id, backends->places * sizeof(neap_backend *));
  free(backends->chains);
  free(backends->by_id);
  backends->chains = chains;
  backends->by_id = by_id;
  backends->places = places;
  for (uint32_t i = 0; i < places; i++)
    if (by_id[i]) chain(backends, by_id[i]);
  return true;
}

/* Gives it the smallest free id. */
static bool insert(neap_backends *backends, neap_backend *made) {
  if (backends->count == backends->places && !grow(backends)) return false;
  while (backends->by_id[backends->least]) backends->least++;
  made->id = backends->least++;
  backends->by_id[made->id] = made;
  backends->count++;
  made->serial = ++backends->last_serial;
  chain(backends, made);
  return true;
}

static void remove_backend(neap_backends *backends, neap_backend *backend) {
  neap_backend **at = &backends->chains[backend->hash & (backends->places - 1)];
  while (*at != backend) at = &(*at)->next;
  *at = backend->next;
  backends->by_id[backend->id] = NULL;
  backends->least = NEAP_MIN(backends->least, backend->id);
  backends->count--;
}

/* A UUID of the user's own kind (version 8 of RFC 9562): two hashes of the address. */
static void make_id(neap_backend *backend) {
  size_t size = strlen(backend->text);
  uint64_t high = neap_hash_bytes(backend->text, size), low = neap_hash_mix(high, size + 1);
  snprintf(backend->id_text, sizeof backend->id_text, "%08x-%04x-8%03x-%04x-%012llx", (unsigned)(high >> 32),
           (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xfff), (unsigned)(low >> 48 & 0x3fff) | 0x8000,
           (unsigned long long)(low & 0xffffffffffff));
}

static neap_backend *find_and_hold(neap_backends *backends, const char *address) {
  pthread_mutex_lock(&backends->lock);
  neap_backend *backend = find(backends, address);
  if (backend) backend->holders++;
  pthread_mutex_unlock(&backends->lock);
  return backend;
}

static neap_backend *make(neap_backends *backends, const char *address) {
  size_t size = strlen(address) + 1;
  neap_backend *made = calloc(1, sizeof *made + size);
  if (made == NULL) return NULL;
  memcpy(made->text, address, size);
  made->hash = neap_hash_bytes(address, size - 1);
  neap_vitals_init(&made->vitals);
  made->home = backends;
  made->holders = 1;
  make_id(made);
  return made;
}

/* Takes `made` in, unless another was quicker: then that one is held, and `made` freed. NULL: out of memory,
 * `made` is freed, too. */
static neap_backend *publish(neap_backends *backends, neap_backend *made) {
  pthread_mutex_lock(&backends->lock);
  neap_backend *backend = find(backends, made->text);
  if (backend)
    backend->holders++;
  else if (insert(backends, made))
    backend = made;
  if (backend != made) free(made);
  pthread_mutex_unlock(&backends->lock);
  return backend;
}

int neap_backends_take(neap_backends *backends, const char *address, neap_backend **out, neap_err *err) {
  neap_backend *backend = find_and_hold(backends, address);
  if (backend == NULL) {
    neap_backend *made = make(backends, address);
    if (made == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
    int code = neap_address_parse(address, &made->address, err); /* may block: outside the lock */
    if (code) {
      free(made);
      return code;
    }
    backend = publish(backends, made);
    if (backend == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  }
  *out = backend;
  return 0;
}

bool neap_backends_have(neap_backends *backends, const char *address) {
  pthread_mutex_lock(&backends->lock);
  bool have = find(backends, address) != NULL;
  pthread_mutex_unlock(&backends->lock);
  return have;
}

int neap_backends_put(neap_backends *backends, const char *text, const neap_address *address,
                      neap_backend **out) {
  neap_backend *made = make(backends, text);
  if (made == NULL) return NEAP_ENOMEM;
  made->address = *address;
  neap_backend *backend = publish(backends, made);
  if (backend == NULL) return NEAP_ENOMEM;
  *out = backend;
  return 0;
}

int neap_backends_name(neap_backends *backends, const char *name, neap_backend **out) {
  neap_backend *backend = find_and_hold(backends, name);
  if (backend == NULL) {
    neap_backend *made = make(backends, name);
    if (made == NULL) return NEAP_ENOMEM;
    backend = publish(backends, made);
    if (backend == NULL) return NEAP_ENOMEM;
  }
  *out = backend;
  return 0;
}

neap_backend *neap_backend_hold(neap_backend *backend) {
  pthread_mutex_lock(&backend->home->lock);
  backend->holders++;
  pthread_mutex_unlock(&backend->home->lock);
  return backend;
}

void neap_backend_give(neap_backends *backends, neap_backend *backend) {
  pthread_mutex_lock(&backends->lock);
  if (--backend->holders == 0) {
    remove_backend(backends, backend);
    free(backend);
  }
  pthread_mutex_unlock(&backends->lock);
}

void neap_backend_id_get(neap_backend *backend, char out[NEAP_BACKEND_ID]) {
  pthread_mutex_lock(&backend->home->lock);
  memcpy(out, backend->id_text, NEAP_BACKEND_ID);
  pthread_mutex_unlock(&backend->home->lock);
}

void neap_backend_set_id(neap_backend *backend, const char *id) {
  pthread_mutex_lock(&backend->home->lock);
  if (id[0])
    snprintf(backend->id_text, sizeof backend->id_text, "%s", id);
  else
    make_id(backend);
  pthread_mutex_unlock(&backend->home->lock);
}

const char *neap_backend_address(const neap_backend *backend) {
  return backend->text;
}

int32_t neap_backend_state(const neap_backend *backend, uint64_t check, uint64_t now_ms) {
  uint64_t down_until_ms = atomic_load_explicit(&backend->down_until_ms, memory_order_relaxed);
  int32_t probed =
      atomic_load_explicit(&neap_vitals_check(&backend->vitals, check)->state, memory_order_relaxed);
  if (down_until_ms > now_ms) return NEAP_BACKEND_DOWN;
  if (probed != NEAP_BACKEND_UNKNOWN) return probed;
  return atomic_load_explicit(&backend->answered, memory_order_relaxed) ? NEAP_BACKEND_UP
                                                                        : NEAP_BACKEND_UNKNOWN;
}

void neap_backend_info_get(const neap_backend *backend, uint64_t check, uint64_t now_ms,
                           neap_backend_info *out) {
  *out = (neap_backend_info){
      .state = neap_backend_state(backend, check, now_ms),
      .in_flight = atomic_load_explicit(&backend->in_flight, memory_order_relaxed),
      .ewma_us = atomic_load_explicit(&backend->ewma_us, memory_order_relaxed),
      .error_rate = atomic_load_explicit(&backend->error_rate, memory_order_relaxed),
      .requests = atomic_load_explicit(&backend->requests, memory_order_relaxed),
      .failures = atomic_load_explicit(&backend->failures, memory_order_relaxed),
  };
  neap_vitals_get(&backend->vitals, check, now_ms, &out->vitals);
  neap_timing_gather(&out->response, &backend->response);
}
