/* The cascade: one cache in tiers. Memory answers first and at once; what it has not is looked for in the
 * tiers below, such as Redis and a CDN, and goes into the tiers above it with the time to live it has left.
 *
 *   neap_tiers_options options;
 *   neap_tiers_options_init(&options);
 *   options.memory = cache;                                   // a neap_cache of yours
 *   neap_tiers_create(engine, &options, &tiers, &err);
 *   neap_tiers_add_cdn(tiers, &(neap_tier_cdn_options){.url = "http://cdn.example"}, NULL, &err);
 *   neap_tiers_attach(tiers, loop, &port, &err);              // once per thread that has a loop
 *
 *   neap_tier_reply reply;
 *   switch (neap_tiers_get(port, key, NULL, on_reply, user, &reply, &op)) {
 *   case 0: ... reply.value ...; neap_tier_reply_release(&reply); break; // memory had it
 *   case NEAP_EPENDING: break;                                // on_reply will be told
 *   default: ...                                              // NEAP_ENOTFOUND and the like
 *   }
 *
 * Tiers are numbered from the top: 0 is memory, then in the order in which they were added. Sets of them are
 * bits: 1 << number.
 *
 * Threads. `neap_tiers` is shared: create, add and destroy from one thread while no port is attached, the
 * rest from any. A `neap_tiers_port` belongs to the thread of its loop, and so do the operations started at
 * it and the functions told by them, which are never told from inside the call that asked.
 *
 * Misses and failures are told apart: NEAP_ENOTFOUND says that every tier asked has answered and has not got
 * it; NEAP_EUNAVAIL that some tier could not be asked, so that nobody knows; NEAP_ETIMEDOUT that the caller's
 * own deadline came first. A copy past its time that is kept for such cases is in the reply, marked `stale`.
 */
#ifndef NEAP_TIER_H
#define NEAP_TIER_H

#include "neap/cache.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct neap_tiers neap_tiers;           /* the cascade */
typedef struct neap_tiers_port neap_tiers_port; /* one thread's door to it */
typedef struct neap_tier_op neap_tier_op;       /* a get, set, delete or clear under way */

enum {
  NEAP_TIERS_MAX = 8,  /* memory included */
  NEAP_TIERS_ALL = 0,  /* in options: every tier */
  NEAP_TIER_MEMORY = 1 /* the bit of tier 0 */
};

/* What a reader is promised about writes through other nodes; docs/tiers.md. */
typedef enum neap_consistency {
  NEAP_CONSISTENCY_DEFAULT,  /* in options of calls: that of the cascade */
  NEAP_CONSISTENCY_LOCAL,    /* nothing beyond the time to live */
  NEAP_CONSISTENCY_EVENTUAL, /* what was seen once is not unseen on this node, own writes included */
  NEAP_CONSISTENCY_STRONG    /* every read is checked with the tier that gives out versions */
} neap_consistency;

/* How a write reaches the tiers below memory. */
typedef enum neap_write_mode {
  NEAP_WRITE_DEFAULT, /* in options of calls: that of the cascade */
  NEAP_WRITE_THROUGH, /* told when every tier has it */
  NEAP_WRITE_BEHIND,  /* told when memory has it; the rest follows, the last write of a key wins */
  NEAP_WRITE_AROUND   /* memory forgets the key, the tiers below get the value */
} neap_write_mode;

/* --- the cascade --------------------------------------------------------------------------------------- */

/* Settings of all tiers together. Times are milliseconds. */
typedef struct neap_tiers_options {
  neap_cache *memory;           /* tier 0; borrowed until destroy. Write to it through the cascade only */
  neap_consistency consistency; /* default EVENTUAL with a tier that gives out versions, else LOCAL */
  neap_write_mode write_mode;   /* default THROUGH */
  uint64_t default_ttl_ms;      /* of a set that says none; default 5 minutes; NEAP_TTL_NEVER */
  uint32_t jitter_percent;      /* every time to live is shortened by up to so much; 0..50, default 10 */
  double xfetch_beta;           /* early refresh: 0 off, 1 the usual (default), more is earlier; at most 10 */
  uint64_t negative_ttl_ms;     /* how long a miss of all tiers is remembered; default 5 s; 0: not */
  uint64_t negative_memory;     /* bytes for that; default 1 MiB, least 64 KiB */
  uint64_t fail_safe_max_ms;    /* a copy is kept so long past its time, to be served stale when tiers fail;
                                   default 24 h; 0: off */
  uint64_t fail_safe_throttle_ms; /* after a failure the stale copy is served so long before tiers are asked
                                     again; default 30 s */
  uint64_t tombstone_ms;          /* how long a delete is remembered against late copies; default 30 s */
  uint32_t lookups_max;           /* lookups under way in tiers at once; more are NEAP_EBUSY; default 65536 */
  uint64_t seed;                  /* of jitter and early refresh; 0: that of the engine's host */
} neap_tiers_options;
void NEAP_API neap_tiers_options_init(neap_tiers_options *options);

/* Creates a cascade of memory alone; `options` is copied. Errors: NEAP_EINVAL, NEAP_ENOMEM, NEAP_EPOLICY. */
NEAP_API int neap_tiers_create(neap_engine *engine, const neap_tiers_options *options, neap_tiers **out,
                               neap_err *err);
/* All ports must be gone. Writes that still wait for a tier are lost: see neap_tiers_flush. */
NEAP_API void neap_tiers_destroy(neap_tiers **tiers);

/* Settings of one tier below memory. 0 takes the default of a member, where it has one. */
typedef struct neap_tier_options {
  const char *name;         /* for logs and metrics; copied; default what the tier is, such as "cdn" */
  uint64_t default_ttl_ms;  /* here, of a set that says none; default that of the cascade */
  uint64_t soft_timeout_ms; /* a caller that could have a stale copy waits so long; default 50; the lookup
                               goes on */
  uint64_t hard_timeout_ms; /* after it the tier counts as failed for this call; default 1000 */
  uint32_t breaker_window_ms, breaker_min; /* over so long (default 10 s), from so many calls (default 20), */
  uint32_t breaker_error_percent;          /* so many failures (default 50) open the breaker: */
  uint32_t breaker_open_ms, breaker_open_max_ms; /* no call for so long (default 2 s), doubled up to (30 s) */
  uint32_t recovery_max; /* failed writes that are kept to be repeated; default 10000. One more, and the tier
                            is cleared when it is back, since nobody knows what it should have forgotten */
  uint64_t recovery_bytes;    /* the same for their bytes; default 64 MiB */
  uint64_t recovery_delay_ms; /* until a failed write is tried again; default 2 s */
  uint64_t
      behind_delay_ms; /* until a write behind is sent: writes of one key meanwhile are one; default 20 */
} neap_tier_options;

/* How values are written to the network. */
typedef struct neap_tier_cdn_options {
  const char *url;          /* base: "https://cdn.example/edge"; keys lie below base/cache/ */
  const char *bearer;       /* sent as "Authorization: Bearer ..."; NULL: none. Copied */
  const char *header;       /* one more field, "Name: value"; NULL: none. Copied */
  const char *purge_method; /* of delete: NULL is DELETE; "PURGE" */
  const char *surrogate;    /* name of a field that carries the encoded key with every PUT, such as
                               "Surrogate-Key"; NULL: none */
  int clear_slash;          /* clear is DELETE base/cache/ instead of base/cache */
  size_t max_object;        /* larger bodies are misses, and are not put; default 64 MiB */
  const char *ns;           /* namespace: a value is not believed in another one; default "" */
} neap_tier_cdn_options;
/* Adds a CDN or anything else that understands GET, PUT and DELETE. `options` may be NULL. Errors:
 * NEAP_EINVAL, NEAP_EROOM (too many tiers), NEAP_ENOMEM. */
NEAP_API int neap_tiers_add_cdn(neap_tiers *tiers, const neap_tier_cdn_options *cdn,
                                const neap_tier_options *options, neap_err *err);

/* A Redis or Valkey; docs/tiers.md says what it promises. Take neap_tier_redis_options_init for defaults,
 * which are named here. Texts are copied. Times are milliseconds. */
typedef enum neap_tier_redis_layout {
  NEAP_TIER_REDIS_SINGLE,
  NEAP_TIER_REDIS_SENTINEL, /* the primary of `group`, which Sentinels name */
  NEAP_TIER_REDIS_CLUSTER
} neap_tier_redis_layout;
typedef struct neap_tier_redis_options {
  neap_tier_redis_layout layout; /* SINGLE */
  const char *const *addresses;  /* "10.0.0.1:6379", "unix:/run/redis.sock", ended by NULL: the
                                    server, the Sentinels or nodes of the Cluster; at most 16 */
  const char *group;             /* of Sentinels */
  const char *user, *password;   /* NULL: none */
  const char *sentinel_user, *sentinel_password; /* the same, of the Sentinels */
  unsigned database;                             /* 0 */
  unsigned connections;                          /* of each port to each server; 2 */
  int tls;                                       /* speak TLS; the next four are NULL or its files and name */
  const char *tls_ca_file, *tls_server_name, *tls_certificate_file, *tls_key_file;
  uint64_t connect_timeout_ms, stall_ms;   /* 1000; 3000 without an answer close a connection */
  uint64_t backoff_min_ms, backoff_max_ms; /* 50, 2000: between attempts to connect */
  const char *prefix;                      /* of keys and the channel; "neap:" */
  const char *ns;                          /* namespace: a value is not believed in another one; "" */
  uint64_t lease_ms;                       /* 5 s: for a node to fill a miss */
  uint64_t tombstone_ms;                   /* 30 s, at least lease_ms: a delete is remembered */
  uint64_t heartbeat_ms;                   /* 1 s */
  uint64_t max_staleness_ms; /* 3 s, more than heartbeat_ms: without a heartbeat that came back for so long,
                                all of memory is suspect */
  size_t max_object;         /* 64 MiB */
} neap_tier_redis_options;
NEAP_API void neap_tier_redis_options_init(neap_tier_redis_options *options);
/* Adds it. At most one tier gives out versions, as Redis does. Errors as neap_tiers_add_cdn. */
NEAP_API int neap_tiers_add_redis(neap_tiers *tiers, const neap_tier_redis_options *redis,
                                  const neap_tier_options *options, neap_err *err);

/* --- ports --------------------------------------------------------------------------------------------- */

struct uv_loop_s; /* uv_loop_t of libuv */

/* Opens a port on a loop of libuv that the host runs; from its thread. The loop does not end by itself while
 * the port is attached. Errors: NEAP_ENOMEM, NEAP_EIO, and what a tier says that cannot be opened. */
NEAP_API int neap_tiers_attach(neap_tiers *tiers, struct uv_loop_s *loop, neap_tiers_port **out,
                               neap_err *err);
/* Closes it: callers at other ports that wait for what is under way here are told NEAP_ECANCELED, callers
 * here nothing; writes under way wait for another port. Not from inside a function that the port has called.
 * The loop has to run on until it has nothing more to do: memory is given back then. Clears the pointer. */
NEAP_API void neap_tiers_detach(neap_tiers_port **port);

/* --- calls --------------------------------------------------------------------------------------------- */

/* A value: bytes with a small part beside them. Immutable; valid until the reply is released. */
typedef struct neap_tier_value {
  const void *home, *bytes; /* the library's */
} neap_tier_value;
NEAP_API neap_view neap_tier_value_meta(const neap_tier_value *value);
NEAP_API uint64_t neap_tier_value_size(const neap_tier_value *value);
/* Piece `index` (from 0) of the body; an empty view past the last. */
NEAP_API neap_view neap_tier_value_piece(const neap_tier_value *value, size_t index);

typedef struct neap_tier_reply {
  int code;              /* 0 or why not */
  int tier;              /* of a get: the tier that had it, or 0 for a miss that memory knows of; else -1 */
  int stale;             /* `value` is past its time, or may be older than what others wrote */
  int shared;            /* of a get: answered by a lookup that another caller had started */
  int refresh;           /* of a get: this caller was drawn to make the value anew before its time comes */
  uint64_t version;      /* of the value, of the write, or of a miss: of the delete that is known; 0: none */
  uint64_t ttl_ms;       /* left, of a get; 0 where stale */
  uint32_t failed;       /* tiers that could not be asked, or have not got the write */
  uint32_t queued;       /* of these: tiers for which the write waits to be repeated, or sent behind */
  neap_tier_value value; /* home is NULL where there is none */
} neap_tier_reply;
/* Gives back what a reply holds. What a function is told is released after it returns, unless it was taken by
 * copying the reply and clearing `value.home` in the original. */
NEAP_API void neap_tier_reply_release(neap_tier_reply *reply);

/* Told once per operation that was not canceled. May start and cancel others, not detach. */
typedef void neap_tier_done(void *user, neap_tier_reply *reply);

typedef struct neap_tier_get_options {
  uint32_t tiers;               /* NEAP_TIERS_ALL or bits */
  neap_consistency consistency; /* weaker than the cascade's is allowed, stronger where the tiers can */
  uint64_t deadline_ms;         /* from now; 0: as long as the tiers' timeouts let it take */
  int no_promote;               /* tiers above the one that had it are left as they are */
  int no_stale;                 /* no stale copy instead of an error */
} neap_tier_get_options;

/* Looks `key` up, which is copied. `options` may be NULL.
 * 0: memory had it, `reply` is filled and to be released, `done` is not told.
 * NEAP_EPENDING: `done` will be told; `*op`, where wanted, is valid until then.
 * NEAP_ENOTFOUND: it is known that nobody has it. Also NEAP_EKEY, NEAP_EINVAL, NEAP_EBUSY, NEAP_ENOMEM.
 * One lookup at a time is under way for a key, over all ports; those who ask meanwhile wait for it, each
 * until its own deadline. It goes on when all of them have left. */
NEAP_API int neap_tiers_get(neap_tiers_port *port, neap_view key, const neap_tier_get_options *options,
                            neap_tier_done *done, void *user, neap_tier_reply *reply, neap_tier_op **op);

typedef struct neap_tier_set_options {
  uint32_t tiers;
  neap_write_mode mode;
  neap_consistency consistency; /* STRONG: a tier that fails is an error, nothing is queued */
  uint64_t ttl_ms;              /* NEAP_TTL_DEFAULT, NEAP_TTL_NEVER or milliseconds */
  const uint64_t *tier_ttl_ms;  /* by tier, NEAP_TIERS_MAX of them, 0 takes ttl_ms; NULL: ttl_ms for all */
  uint64_t deadline_ms;         /* from now; 0: as long as the tiers' timeouts let it take */
  uint32_t cost_us;             /* what it took to make: how early it is refreshed; 0: unknown */
  neap_view meta;               /* kept beside the value; at most 60 KiB */
} neap_tier_set_options;

/* Stores in all tiers, or those in options.tiers. Key and value are copied. A tier that fails is told in
 * `failed` and, but for STRONG, gets it later: code is 0 as long as every tier has it or will.
 * 0: done; `reply`, which may be NULL, is filled and `done` not told: of memory alone, and of BEHIND.
 * NEAP_EPENDING: `done` will be told 0, NEAP_EUNAVAIL (some tier has not got it and will not) or
 * NEAP_EUNKNOWN (the deadline came first: it may be stored or not).
 * Also NEAP_EKEY, NEAP_EINVAL, NEAP_ENOMEM. What memory does not take, as it is too large, goes below alone.
 */
NEAP_API int neap_tiers_set(neap_tiers_port *port, neap_view key, neap_view value,
                            const neap_tier_set_options *options, neap_tier_done *done, void *user,
                            neap_tier_reply *reply, neap_tier_op **op);
/* Forgets a key in all tiers; whether it was there is not said. meta, ttl and cost are not looked at. A mode
 * of AROUND is THROUGH. Otherwise as neap_tiers_set. */
NEAP_API int neap_tiers_delete(neap_tiers_port *port, neap_view key, const neap_tier_set_options *options,
                               neap_tier_done *done, void *user, neap_tier_reply *reply, neap_tier_op **op);
/* Forgets everything in all tiers; what waits to be written is dropped. Memory is empty when it returns. */
NEAP_API int neap_tiers_clear(neap_tiers_port *port, const neap_tier_set_options *options,
                              neap_tier_done *done, void *user, neap_tier_reply *reply, neap_tier_op **op);

/* Stops telling: a lookup goes on for others, a write that is with a tier cannot be called back. Clears the
 * pointer, which may be NULL. */
NEAP_API void neap_tier_cancel(neap_tier_op **op);

/* Sends what waits to be written, as tiers accept it, for at most `limit_ms`. `done` is told 0, or
 * NEAP_ETIMEDOUT with the tiers that have not got all in `queued`. NEAP_EPENDING, NEAP_ENOMEM. */
NEAP_API int neap_tiers_flush(neap_tiers_port *port, uint64_t limit_ms, neap_tier_done *done, void *user);

/* --- seeing -------------------------------------------------------------------------------------------- */

typedef enum neap_tier_breaker_state {
  NEAP_TIER_BREAKER_CLOSED,
  NEAP_TIER_BREAKER_OPEN,
  NEAP_TIER_BREAKER_HALF_OPEN
} neap_tier_breaker_state;

/* Counted per tier; NAME, sentence. */
#define NEAP_TIER_COUNTERS(X)                                                                                \
  X(hits, "lookups that this tier answered")                                                                 \
  X(misses, "lookups that it had no answer for")                                                             \
  X(stale_hits, "of the hits, those past their time")                                                        \
  X(negative_hits, "lookups answered with a remembered miss")                                                \
  X(sets, "values stored")                                                                                   \
  X(deletes, "keys deleted")                                                                                 \
  X(clears, "times it was cleared")                                                                          \
  X(promotions, "of the sets, values that came from a tier below")                                           \
  X(errors, "calls that failed")                                                                             \
  X(timeouts, "of the errors, calls that took too long")                                                     \
  X(skipped, "calls not made because the breaker was open")                                                  \
  X(rejected, "values not stored: older than what is known, or refused")                                     \
  X(queued, "writes put aside: to be repeated, or behind")                                                   \
  X(coalesced, "of these, replaced by a later write of the same key")                                        \
  X(replayed, "of these, done later")                                                                        \
  X(dropped, "of these, given up: out of date, or the queue was full")                                       \
  X(bytes_read, "bytes of values read")                                                                      \
  X(bytes_written, "bytes of values written")

typedef struct neap_tier_stats {
  char name[32];
#define NEAP_TIER_COUNTER(name, text) uint64_t name;
  NEAP_TIER_COUNTERS(NEAP_TIER_COUNTER)
#undef NEAP_TIER_COUNTER
  uint64_t waiting; /* writes that wait now */
  neap_tier_breaker_state breaker;
  uint64_t breaker_opened; /* times */
  double hit_rate;         /* hits / (hits + misses); 0 before the first */
  neap_latency latency;    /* of all calls to it; memory's is in neap_cache_stats */
} neap_tier_stats;

typedef struct neap_tiers_stats {
  int tier_count;
  uint64_t lookups, hits, not_found, unavailable; /* of callers */
  uint64_t shared;                                /* lookups that waited for another caller's */
  uint64_t refreshes;                             /* early ones */
  uint64_t stale_served;                          /* of the hits */
  double hit_rate;                                /* hits / lookups */
  neap_tier_stats tiers[NEAP_TIERS_MAX];
} neap_tiers_stats;
/* A snapshot; sums over threads, not a consistent cut. Any thread. */
NEAP_API void neap_tiers_stats_get(neap_tiers *tiers, neap_tiers_stats *out);

#ifdef __cplusplus
}
#endif
#endif
