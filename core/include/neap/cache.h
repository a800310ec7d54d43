/* The cache: bytes under keys, within hard limits, evicted by a policy that can be replaced while it runs.
 *
 *   neap_cache_options options;
 *   neap_cache_options_init(&options);
 *   options.max_memory = 256 << 20;
 *   options.evict = "sieve";
 *   neap_cache *cache;
 *   neap_err err;
 *   if (neap_cache_create(engine, &options, &cache, &err)) { puts(err.text); ... }
 *   neap_cache_put(cache, NEAP_BYTES("key"), NEAP_BYTES("value"), NULL);
 *
 * Threads. Every function may be called from any thread, with or without an event loop, unless its comment
 * says otherwise. Readers take no lock and write nothing that other threads read on their hot path.
 *
 * Life of an entry (the phases that store/entry.h numbers):
 *   1 filling    reserved, being written by its one filler, invisible
 *   2 live       in the index, found by its key, known to the policy
 *   3 unlinked   replaced, removed, expired or evicted: found no more, still readable by whoever borrowed it
 *   4 retired    waits until every thread that might have borrowed it has left
 *   5 pinned     nobody borrows it, but references hold its bytes
 *   6 freed      its slot is reused once the policy has seen the REMOVE
 * get: 2. touch, remove: 2. borrowed reads: 2-4. references: 2-5. Bytes count against max_memory in 1-5.
 *
 * Expiry. An entry whose time has come is never returned, from that millisecond on; its memory is reclaimed
 * by puts, by neap_cache_tick(), or by whoever calls it on a timer.
 */
#ifndef NEAP_CACHE_H
#define NEAP_CACHE_H

#include "neap/neap.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct neap_cache neap_cache;
typedef struct neap_entry neap_entry; /* one stored object; immutable but for expiry and counters */
typedef struct neap_fill neap_fill;   /* an object being put in parts */

#define NEAP_KEY_MAX        65535u
#define NEAP_TTL_DEFAULT    0u         /* the cache's default_ttl_ms */
#define NEAP_TTL_NEVER      UINT64_MAX /* does not expire */
#define NEAP_LENGTH_UNKNOWN UINT64_MAX /* for neap_cache_put_begin */

/* A view of a string literal. */
#define NEAP_BYTES(literal) ((neap_view){(literal), sizeof(literal) - 1})

typedef struct neap_cache_options {
  const char *name;         /* for logs and metrics; copied; default "cache" */
  uint64_t max_entries;     /* most live and filling entries; 0: bounded by memory alone */
  uint64_t max_memory;      /* most bytes, everything included; default 64 MiB, least 64 KiB */
  uint64_t max_object_size; /* largest key + value; 0: 1/20 of max_memory, at most 1 GiB */
  uint64_t default_ttl_ms;  /* 0: entries do not expire unless a put says so */
  const char *evict; /* policy: a shipped name ("sieve", "LRU", ...), "Custom(name)", a Lua file's path,
                        or "native:sieve" for a C reference; default "sieve" */
  const neap_param *params; /* of the policy; may be NULL */
  size_t param_count;
  uint32_t victims; /* asked for at once; 0: 32, fewer in small caches; 1 and `synchronous`: exact order */
  int synchronous;  /* drain events before every put: exact and slow; for replay and tests */
} neap_cache_options;

/* Fills `options` with the defaults. */
NEAP_API void neap_cache_options_init(neap_cache_options *options);

/* Creates a cache. The strings of `options` are copied. Errors: NEAP_EINVAL, NEAP_ENOMEM, NEAP_EPOLICY,
 * NEAP_ESYNTAX; `err` says which line of which file where it is a policy's fault. */
NEAP_API int neap_cache_create(neap_engine *engine, const neap_cache_options *options, neap_cache **out,
                               neap_err *err);
/* Destroys the cache with all that it holds. No thread may be inside, no reference or fill outstanding. */
NEAP_API void neap_cache_destroy(neap_cache **cache);

/* --- reading
 * ------------------------------------------------------------------------------------------------ */

/* Between enter and leave the calling thread may hold borrowed entries. Nests. Cheap (two plain stores). A
 * thread that stays inside delays only the reuse of memory: past max_memory puts fail with NEAP_EROOM. */
NEAP_API void neap_cache_enter(neap_cache *cache);
NEAP_API void neap_cache_leave(neap_cache *cache);

/* Finds a live entry and counts the access. 0 or NEAP_ENOTFOUND, NEAP_EKEY.
 * _get: borrowed until the matching neap_cache_leave; only between enter and leave.
 * _get_ref: referenced until neap_entry_unref; valid outside enter/leave and on other threads.
 * _get_copy: copies up to `capacity` bytes of the value; *size is the whole size, NEAP_ESMALL when it is
 * larger. */
NEAP_API int neap_cache_get(neap_cache *cache, neap_view key, const neap_entry **out);
NEAP_API int neap_cache_get_ref(neap_cache *cache, neap_view key, neap_entry **out);
NEAP_API int neap_cache_get_copy(neap_cache *cache, neap_view key, void *buffer, size_t capacity,
                                 size_t *size);

/* neap_cache_get of many keys, faster than one by one: their waits for memory overlap. out[i] is borrowed
 * until the matching leave, or NULL where neap_cache_get would have failed. Returns how many were found. Only
 * between enter and leave; not among the times that stats show. */
NEAP_API size_t neap_cache_get_many(neap_cache *cache, const neap_view *keys, size_t count,
                                    const neap_entry **out);

/* Makes a reference out of a borrowed entry (inside enter/leave). Never fails. */
NEAP_API neap_entry *neap_entry_ref(neap_cache *cache, const neap_entry *entry);
NEAP_API void neap_entry_unref(neap_cache *cache, neap_entry *entry);

/* Parts of an entry, borrowed as long as the entry. */
NEAP_API neap_view neap_entry_key(const neap_entry *entry);
/* A small part stored beside the body, such as a serialised head. Empty where none was given. */
NEAP_API neap_view neap_entry_meta(const neap_entry *entry);
/* Bytes of the body in all. */
NEAP_API uint64_t neap_entry_size(const neap_entry *entry);
/* Piece `index` (from 0) of the body; an empty view past the last. Bodies put with a known length of up to 64
 * KiB are one piece. */
NEAP_API neap_view neap_entry_piece(const neap_entry *entry, size_t index);

/* What is known of an entry. Access count and last access lag behind by the events not yet drained. */
typedef struct neap_entry_info {
  uint64_t version;        /* given by the put, or counted up by the cache */
  uint64_t created_ms;     /* to 100 ms */
  uint64_t expires_ms;     /* NEAP_TTL_NEVER: never */
  uint64_t last_access_ms; /* to 100 ms */
  uint64_t access_count;
  uint64_t size;    /* key + meta + body */
  uint64_t charged; /* bytes counted against max_memory */
  double cost;      /* as given by the put, to 3 digits; 1 by default */
} neap_entry_info;
NEAP_API void neap_entry_info_get(neap_cache *cache, const neap_entry *entry, neap_entry_info *out);

/* --- writing
 * ------------------------------------------------------------------------------------------------ */

typedef struct neap_put_options {
  uint64_t ttl_ms; /* NEAP_TTL_DEFAULT, NEAP_TTL_NEVER, or milliseconds from now */
  uint64_t
      version;    /* 0: counted up by the cache. Otherwise a put older than what is stored is NEAP_EVERSION */
  double cost;    /* to fetch it again, any unit above 0; 0: 1 */
  neap_view meta; /* kept beside the body; at most 64 KiB */
} neap_put_options;

/* Stores key -> value, replacing what is there. `options` may be NULL. Copies.
 * Errors: NEAP_EKEY, NEAP_ETOOLARGE (nothing evicted), NEAP_EREFUSED, NEAP_EROOM, NEAP_EVERSION, NEAP_ENOMEM.
 */
NEAP_API int neap_cache_put(neap_cache *cache, neap_view key, neap_view value,
                            const neap_put_options *options);

/* Puts in parts: begin reserves the room, append copies, commit makes the entry visible, abort forgets it. A
 * fill belongs to one thread at a time. With a known `length` too large a body is refused at begin and commit
 * fails with NEAP_ELENGTH if the sum differs; with NEAP_LENGTH_UNKNOWN room is reserved chunk by chunk and
 * append may fail with NEAP_EROOM or NEAP_ETOOLARGE. After a failed append only abort is allowed. Commit and
 * abort end the fill in every case and clear the pointer. */
NEAP_API int neap_cache_put_begin(neap_cache *cache, neap_view key, uint64_t length,
                                  const neap_put_options *options, neap_fill **out);
NEAP_API int neap_fill_append(neap_fill *fill, neap_view bytes);
/* Commits; with `out` the new entry is also returned, referenced. */
NEAP_API int neap_fill_commit(neap_fill **fill, neap_entry **out);
NEAP_API void neap_fill_abort(neap_fill **fill);

/* Removes a key. 0 or NEAP_ENOTFOUND, NEAP_EKEY. */
NEAP_API int neap_cache_remove(neap_cache *cache, neap_view key);
/* Removes a key only while it still holds `entry`. 0 or NEAP_ENOTFOUND. Inside enter/leave or with a
 * reference. */
NEAP_API int neap_cache_remove_entry(neap_cache *cache, const neap_entry *entry);
/* Removes everything that was there when it was called. */
NEAP_API void neap_cache_clear(neap_cache *cache);
/* Gives a live key a new time to live. Counts as an access. 0 or NEAP_ENOTFOUND, NEAP_EKEY. */
NEAP_API int neap_cache_touch(neap_cache *cache, neap_view key, uint64_t ttl_ms);

/* Calls `visit` for every live entry, each at least once if it lives throughout the walk, none twice.
 * Borrowed during the call, which may put and remove. Stops when `visit` returns non-zero, and returns that.
 */
NEAP_API int neap_cache_iterate(neap_cache *cache, int (*visit)(void *user, const neap_entry *entry),
                                void *user);

/* --- keeping
 * ------------------------------------------------------------------------------------------------ */

/* Housekeeping for those that have a timer (every 100 ms is right): reclaims expired and retired memory,
 * drains events, tells the policy the time. Does a bounded amount of work; returns how many entries expired.
 */
NEAP_API uint64_t neap_cache_tick(neap_cache *cache);

/* Changes limits while running; 0 leaves one as it is. A lower limit holds when the call returns 0;
 * NEAP_EROOM when pinned entries keep it from holding yet (it holds as they are released; puts fail until
 * then). */
NEAP_API int neap_cache_set_limits(neap_cache *cache, uint64_t max_entries, uint64_t max_memory,
                                   uint64_t max_object_size);

/* Replaces the eviction policy: loads `evict` in a scratch VM, checks its parameters, runs it on sample
 * events, then switches. Contents stay; learned state goes over where name and columns agree, else live
 * entries are replayed as INSERTs, least recently used first. On error the old policy stays. Readers are not
 * paused. */
NEAP_API int neap_cache_set_evict(neap_cache *cache, const char *evict, const neap_param *params,
                                  size_t param_count, neap_err *err);
/* Goes back to the policy before the last set_evict, loaded again from the source it had. NEAP_ENOTFOUND if
 * none. */
NEAP_API int neap_cache_rollback_evict(neap_cache *cache, neap_err *err);

/* --- seeing
 * ------------------------------------------------------------------------------------------------- */

/* Times of one kind of call, sampled (one in 256 of each thread); percentiles in nanoseconds to 10 %. */
typedef struct neap_latency {
  uint64_t count; /* samples */
  uint64_t p50_ns, p90_ns, p99_ns, p999_ns, max_ns;
} neap_latency;

#define NEAP_CACHE_COUNTERS(X)                                                                               \
  X(hits, "lookups that found a live entry")                                                                 \
  X(misses, "lookups that found none")                                                                       \
  X(puts, "entries committed")                                                                               \
  X(updates, "of these, that replaced an entry")                                                             \
  X(removes, "entries removed by call")                                                                      \
  X(expirations, "entries reclaimed because their time had come")                                            \
  X(evictions_policy, "entries evicted as the policy said")                                                  \
  X(evictions_fallback, "entries evicted by the native fallback")                                            \
  X(rejected_size, "puts refused: larger than max_object_size")                                              \
  X(rejected_room, "puts refused: no room")                                                                  \
  X(rejected_policy, "puts refused by the policy")                                                           \
  X(rejected_version, "puts refused: a newer version is stored")                                             \
  X(aborted_fills, "fills that did not commit")                                                              \
  X(events_dropped, "HIT events lost to a full ring")                                                        \
  X(policy_faults, "answers of the policy that were errors, late or wrong")                                  \
  X(policy_trips, "times the guard took a policy out")

typedef struct neap_cache_stats {
#define NEAP_COUNTER(name, text) uint64_t name;
  NEAP_CACHE_COUNTERS(NEAP_COUNTER)
#undef NEAP_COUNTER
  uint64_t entries;        /* live */
  uint64_t memory;         /* bytes charged now, everything included; never above max_memory */
  uint64_t memory_entries; /* of these: live entries */
  uint64_t memory_filling; /* in-flight fills */
  uint64_t memory_retired; /* unlinked, not yet free, references included */
  uint64_t memory_tables;  /* index, slots, columns of the policy */
  uint64_t max_entries, max_memory, max_object_size;
  double hit_rate;       /* hits / lookups; 0 before the first */
  double fallback_share; /* evictions_fallback / evictions */
  neap_latency get, put;
  uint64_t generation; /* of the eviction policy, from 1 */
  char policy[64];     /* its name, or "fallback" after a trip */
} neap_cache_stats;

/* A snapshot, readable while the cache runs; sums over threads, not a consistent cut. */
NEAP_API void neap_cache_stats_get(neap_cache *cache, neap_cache_stats *out);

#ifdef __cplusplus
}
#endif
#endif
