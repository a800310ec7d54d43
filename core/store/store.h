/* The cache's facade inside the engine: the public neap/cache.h plus what only the engine uses. */
#ifndef NEAP_STORE_STORE_H
#define NEAP_STORE_STORE_H

#include <stdbool.h>

#include "neap/cache.h"
#include "policy/policy.h"

typedef enum neap_store_mode {
  NEAP_STORE_VALUES, /* the live cache */
  NEAP_STORE_KEYS    /* replay: no values; max_memory counts the sizes that neap_store_replay is told, nothing
                        else */
} neap_store_mode;

/* As neap_cache_create, without an engine. `host` has every member set and is copied; `registry` is borrowed
 * until the cache is destroyed. */
int neap_store_create(neap_registry *registry, const neap_host *host, const neap_cache_options *options,
                      neap_store_mode mode, neap_cache **out, neap_err *err);

/* Hashes a key that neap_store_replay will soon be asked for, and starts to fetch the memory where it is
 * looked up: a trace knows what comes, and waiting for memory is most of the time. */
uint64_t neap_store_prefetch(neap_cache *cache, uint64_t key);

typedef enum neap_store_found {
  NEAP_STORE_MISS = 0,
  NEAP_STORE_HIT = 1,
  NEAP_STORE_FIRST_USE = 2 /* a hit on what was prefetched */
} neap_store_found;

/* One request of a replay, the way a live cache's get and put go: looks up `key`, whose hash
 * neap_store_prefetch has said, and on a miss puts it with `size`. hot: NEAP_STORE_KEYS only. */
neap_store_found neap_store_replay(neap_cache *cache, uint64_t key, uint64_t hash, uint32_t size);

/* The shelf: what was prefetched lies there until somebody asks for it. It takes room as everything does, but
 * the policy does not know it: at its first use it is told a miss and an insertion, as if it were fetched
 * then, so that its order is that of the requests. It is no victim while there are others; whoever put it
 * there drops it when it was for nothing. NEAP_STORE_KEYS only; a key that is there already is replaced and
 * not shelved. Errors as neap_cache_put. */
int neap_store_shelve(neap_cache *cache, uint64_t key, uint64_t hash, uint32_t size);
/* Removes what nobody has used. False where it is used, or gone. */
bool neap_store_drop_unused(neap_cache *cache, uint64_t key, uint64_t hash);
bool neap_store_holds(neap_cache *cache, uint64_t key, uint64_t hash);
/* The same of NEAP_STORE_VALUES. A fill whose entry goes to the shelf: errors as neap_cache_put_begin. */
int neap_store_shelve_begin(neap_cache *cache, neap_view key, uint64_t length,
                            const neap_put_options *options, neap_fill **out);
bool neap_store_drop_unused_key(neap_cache *cache, neap_view key);
/* Whether a borrowed entry is on the shelf. hot: */
bool neap_store_is_unused(const neap_entry *entry);
/* Takes it off the shelf, since it is used. True for the first user alone. Inside enter and leave. */
bool neap_store_take_unused(neap_cache *cache, const neap_entry *entry);

/* The first half of it: true on a hit; a miss is neither counted nor put, which is left to neap_store_replay.
 * hot. */
bool neap_store_replay_hit(neap_cache *cache, uint64_t key, uint64_t hash);

/* Finds a live entry as neap_cache_get does, but does not count the access. Inside enter and leave. */
int neap_store_find(neap_cache *cache, neap_view key, const neap_entry **out);
/* Visits the entries of one bucket of the index, from cursor 0 on; returns the cursor of the next, 0 after
 * the last. Over a whole walk every key that is there all the time is visited, some more than once. `visit`
 * must not call the cache. Any thread. */
uint64_t neap_store_scan(neap_cache *cache, uint64_t cursor,
                         void (*visit)(void *user, const neap_entry *entry), void *user);
/* A mark on a live entry, whose meaning is its owner's: set once, seen by every thread that looks after. Any
 * thread that borrows it. */
void neap_store_mark(const neap_entry *entry);
bool neap_store_marked(const neap_entry *entry);

/* As neap_cache_set_evict, with the policy out of another registry, which is borrowed during the call. */
int neap_store_set_evict(neap_cache *cache, neap_registry *registry, const char *evict,
                         const neap_param *params, size_t param_count, neap_err *err);
/* Counters of the eviction policy in use. */
void neap_store_policy_counters(neap_cache *cache, neap_policy_counters *out);
/* Its newest fault: see neap_policy_fault_peek. */
bool neap_store_policy_fault(neap_cache *cache, uint64_t *at_ms, char out[NEAP_NOTE_TEXT]);

#endif
