/* The keys: what the RESP ports of all workers share. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/hash.h"
#include "front/resp_impl.h"

static int make_run_id(char out[41]) {
  unsigned char bytes[20];
  if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return NEAP_EIO;
  for (size_t i = 0; i < sizeof bytes; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
  return 0;
}

int neap_keyspace_create(neap_cache *cache, const neap_host *host, neap_keyspace **out) {
  neap_keyspace *keys = aligned_alloc(NEAP_CACHE_LINE, sizeof *keys);
  if (keys == NULL) return NEAP_ENOMEM;
  memset(keys, 0, sizeof *keys);
  keys->cache = cache;
  keys->host = host;
  keys->started_ms = host->now_ms(host->user);
  int code = make_run_id(keys->run_id);
  if (code == 0) code = neap_port_tracking_create(&keys->tracking);
  if (code) {
    free(keys);
    return code;
  }
  neap_port_command_index_init(&keys->commands);
  for (size_t i = 0; i < NEAP_PORT_LOCKS; i++) pthread_mutex_init(&keys->locks[i].mutex, NULL);
  *out = keys;
  return 0;
}

void neap_keyspace_destroy(neap_keyspace **keys_ptr) {
  neap_keyspace *keys = *keys_ptr;
  if (keys == NULL) return;
  *keys_ptr = NULL;
  neap_assert(atomic_load(&keys->client_count) == 0);
  for (size_t i = 0; i < NEAP_PORT_LOCKS; i++) pthread_mutex_destroy(&keys->locks[i].mutex);
  neap_port_tracking_destroy(&keys->tracking);
  free(keys);
}

void neap_keyspace_set_tiers(neap_keyspace *keys, const neap_keyspace_tiers *tiers) {
  keys->tiers = *tiers;
  neap_tiers_on_written(tiers->cascade, neap_port_changed_below, keys);
}

/* --- locks. Tiers have their own. */

static pthread_mutex_t *lock_of(neap_keyspace *keys, neap_view key) {
  return &keys->locks[neap_hash_bytes(key.ptr, key.size) % NEAP_PORT_LOCKS].mutex;
}

void neap_port_lock(neap_keyspace *keys, neap_view key) {
  if (keys->tiers.cascade) return;
  pthread_mutex_lock(lock_of(keys, key));
}

void neap_port_unlock(neap_keyspace *keys, neap_view key) {
  if (keys->tiers.cascade) return;
  pthread_mutex_unlock(lock_of(keys, key));
}

void neap_port_lock_all(neap_keyspace *keys) {
  for (size_t i = 0; i < NEAP_PORT_LOCKS; i++) pthread_mutex_lock(&keys->locks[i].mutex);
}

void neap_port_unlock_all(neap_keyspace *keys) {
  for (size_t i = NEAP_PORT_LOCKS; i-- > 0;) pthread_mutex_unlock(&keys->locks[i].mutex);
}

/* --- time. The cache counts from the start of the machine, clients from 1970: the loop read both at one
 * moment. */

static int64_t since_1970(const neap_port_call *call) {
  neap_loop *loop = call->front->loop;
  return (int64_t)(neap_loop_wall_ms(loop) - neap_loop_now_ms(loop));
}

int64_t neap_port_expires(const neap_port_call *call, const neap_port_value *value) {
  neap_entry_info info;
  if (value->entry == NULL)
    return value->ttl_ms == NEAP_TTL_NEVER ? NEAP_PORT_NEVER
                                           : neap_port_wall_ms(call) + (int64_t)value->ttl_ms;
  neap_entry_info_get(call->keys->cache, value->entry, &info);
  return info.expires_ms == NEAP_TTL_NEVER ? NEAP_PORT_NEVER : (int64_t)info.expires_ms + since_1970(call);
}

int64_t neap_port_wall_ms(const neap_port_call *call) {
  const neap_host *host = call->keys->host;
  return (int64_t)host->now_ms(host->user) + since_1970(call);
}

uint64_t neap_port_ttl(const neap_port_call *call, int64_t expires) {
  if (expires == NEAP_PORT_NEVER) return NEAP_TTL_NEVER;
  int64_t now = neap_port_wall_ms(call);
  return expires > now ? (uint64_t)(expires - now) : 0;
}

/* --- values */

uint64_t neap_port_value_size(const neap_port_value *value) {
  return value->entry ? neap_entry_size(value->entry) : neap_tier_value_size(&value->outside);
}

neap_view neap_port_value_piece(const neap_port_value *value, size_t index) {
  return value->entry ? neap_entry_piece(value->entry, index) : neap_tier_value_piece(&value->outside, index);
}

uint64_t neap_port_value_version(const neap_port_call *call, const neap_port_value *value) {
  neap_entry_info info;
  if (value->entry == NULL) return value->version;
  neap_entry_info_get(call->keys->cache, value->entry, &info);
  return info.version;
}

/* --- changes */

const neap_port_value *neap_port_open(neap_port_call *call, neap_view key, bool read) {
  neap_port_lock(call->keys, key);
  neap_port_borrow(call->front);
  return neap_port_look(call, key, read);
}

void neap_port_done(neap_port_call *call, neap_view key) {
  neap_port_unlock(call->keys, key);
}

int neap_port_store(neap_port_call *call, neap_view key, neap_view value, uint64_t ttl_ms) {
  if (NEAP_UNLIKELY(call->front->port)) return neap_port_write(call, key, &value, ttl_ms);
  int code = neap_cache_put(call->keys->cache, key, value, &(neap_put_options){.ttl_ms = ttl_ms});
  if (code == 0) neap_port_changed(call, key);
  if (code != NEAP_EREFUSED) return code;
  neap_port_remove(call, key);
  return 0;
}

bool neap_port_remove(neap_port_call *call, neap_view key) {
  if (NEAP_UNLIKELY(call->front->port)) return neap_port_write(call, key, NULL, 0) == 0;
  bool was = neap_cache_remove(call->keys->cache, key) == 0;
  if (was) neap_port_changed(call, key);
  return was;
}
