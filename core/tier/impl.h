/* The cascade from inside: the structs that the files of this folder share.
 *
 * A lookup of one key is
 *   1 walking   in its key's list; asks tier after tier; others may join it
 *   2 closed    nobody joins any more: something has been written since it was sent
 *   3 settled   out of the list, its waiters told or handed to their ports, freed
 * Rules of coherence (docs/tiers.md) and where they are kept:
 *   R1 floors   neap_tier_key.floor: no version below it goes into memory            keys.c
 *   R2 suspect  from the send of a write to its answer, memory's copy is suspect      write.c
 *   R3 unknown  a write that failed or was late leaves it suspect                     write.c
 *   R4 closed   a get joins only lookups that were sent after the last write answered keys.c
 *   R5 leaving  what memory has had raises the floor                                  keys.c
 *
 * Locks: shard -> ring of waiters (port) -> queue (tier) -> counts (tier). None is held while a tier, a host
 * or a caller is called, but for the memory's own functions. */
#ifndef NEAP_TIER_IMPL_H
#define NEAP_TIER_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"
#include "base/histogram.h"
#include "base/keyed_hash.h"
#include "base/random.h"
#include "store/store.h"
#include "tier/breaker.h"
#include "tier/tier.h"
#include "tier/timers.h"

enum {
  NEAP_TIER_SHARDS = 64,
  NEAP_TIER_SHARD_BUCKETS = 256,
  NEAP_TIER_META_MAX = 60 << 10,
  NEAP_TIER_LINGER = 1024 /* keys of a shard that are kept for their throttle alone */
};

/* --- values (value.c) ---------------------------------------------------------------------------------- */

/* A value outside memory: counted, immutable. It may outlive the cascade. */
typedef struct neap_tier_blob {
  _Atomic uint32_t refs;
  uint32_t meta_size;
  uint64_t size;
  void *host_user; /* who gets the bytes back */
  void (*free)(void *user, void *ptr, size_t size);
  char bytes[]; /* meta, body */
} neap_tier_blob;

neap_tier_blob *neap_tier_blob_create(const neap_host *host, neap_view meta,
                                      neap_view body);    /* NULL: no memory */
neap_tier_blob *neap_tier_blob_ref(neap_tier_blob *blob); /* NULL stays NULL */
void neap_tier_blob_unref(neap_tier_blob *blob);
neap_view neap_tier_blob_meta(const neap_tier_blob *blob);
neap_view neap_tier_blob_body(const neap_tier_blob *blob);

neap_tier_value neap_tier_value_of_blob(neap_tier_blob *blob);                        /* references */
neap_tier_value neap_tier_value_of_entry(neap_cache *cache, const neap_entry *entry); /* references */
neap_tier_value neap_tier_value_ref(const neap_tier_value *value);
void neap_tier_value_drop(neap_tier_value *value);

/* --- memory (memory.c) --------------------------------------------------------------------------------- */

/* What the cascade keeps with an entry, before the caller's meta. */
typedef struct neap_tier_head {
  uint64_t soft_ms;  /* fresh until then; NEAP_TTL_NEVER */
  uint64_t suspects; /* neap_tiers.suspects when it was asked for or written */
  uint32_t cost_us;
  uint32_t unused;
} neap_tier_head;

neap_tier_head neap_tier_head_of(const neap_entry *entry);
/* Something to go into memory, made outside of the key's lock. */
typedef struct neap_tier_fill {
  neap_fill *fill; /* NULL: memory does not take it */
  uint64_t version;
  int code; /* why not */
} neap_tier_fill;
/* `suspects`: neap_tiers.suspects of before it was asked for or written. */
neap_tier_fill neap_tier_memory_begin(neap_tiers *tiers, neap_view key, const neap_tier_object *object,
                                      uint64_t suspects, uint64_t now_ms);

/* --- keys (keys.c) ------------------------------------------------------------------------------------- */

typedef struct neap_tier_lookup neap_tier_lookup;

/* A key that something is under way for. */
typedef struct neap_tier_key {
  struct neap_tier_key *next;            /* in its bucket */
  struct neap_tier_key *older, *younger; /* among those that linger */
  neap_tier_lookup *lookups;
  uint64_t hash;
  uint64_t floor;    /* R1: nothing older goes into memory */
  uint64_t retry_ms; /* after a failure: until then the stale copy is the answer */
  uint32_t users;
  uint32_t writes; /* with a tier now */
  bool lingers;
  uint16_t size;
  char bytes[];
} neap_tier_key;

typedef struct neap_tier_shard {
  _Alignas(NEAP_CACHE_LINE) pthread_mutex_t lock;
  neap_tier_key *buckets[NEAP_TIER_SHARD_BUCKETS];
  neap_tier_key *oldest, *youngest; /* that linger */
  uint32_t lingering;
} neap_tier_shard;

/* --- tiers --------------------------------------------------------------------------------------------- */

typedef struct neap_tier_later neap_tier_later; /* writes that wait: later.c */

#define NEAP_TIER_ATOMIC(name, text) _Atomic uint64_t name;
typedef struct neap_tier {
  const neap_tier_vt *vt; /* NULL: memory */
  void *config;
  char name[32];
  neap_tier_options options;
  neap_tier_later *later;
  pthread_mutex_t lock; /* of the breaker and the histogram */
  neap_tier_breaker breaker;
  neap_histogram latency_ns;
  NEAP_TIER_COUNTERS(NEAP_TIER_ATOMIC)
} neap_tier;

struct neap_tiers {
  uint32_t magic;
  neap_host host;
  neap_tiers_options options;
  neap_cache *memory, *negatives; /* negatives: NULL where none are kept */
  neap_hash_key hash_key;
  uint64_t seed;
  uint32_t left_out;                          /* rules: neap_tiers_leave_out */
  void (*deleted)(void *user, neap_view key); /* NULL: nobody wants to know */
  void *deleted_user;
  void (*written)(void *user, neap_view key); /* the same */
  void *written_user;
  int count, authority; /* of tiers; the one that gives out versions, 0: none */
  neap_tier tiers[NEAP_TIERS_MAX];
  neap_tier_shard *shards;
  _Atomic uint64_t clock;          /* the last version given out here */
  _Atomic uint64_t clears;         /* what was sent before a clear is not kept */
  _Atomic uint64_t fresh_until_ms; /* neap_tiers_set_fresh; UINT64_MAX: nobody tells of messages */
  _Atomic uint64_t suspects;       /* what memory got before is suspect */
  _Atomic uint32_t lookups_held;
  _Atomic uint64_t lookups, hits, not_found, unavailable, shared, refreshes, stale_served;
  pthread_mutex_t ports_lock;
  neap_tiers_port *ports;
};

enum { NEAP_TIERS_MAGIC = 0x6e547273, NEAP_TIERS_PORT_MAGIC = 0x6e547074 };

/* Messages of others may be missing: all that memory has is suspect. */
static inline bool neap_tier_is_blind(const neap_tiers *tiers, uint64_t now_ms) {
  return now_ms >= atomic_load(&tiers->fresh_until_ms);
}
static inline bool neap_tier_rules(const neap_tiers *tiers, neap_tier_rule rule) {
  return !(tiers->left_out & 1u << rule);
}

/* --- versions, counts (tiers.c) ------------------------------------------------------------------------ */

/* A version above all given out here, near the wall clock in microseconds. Any thread. */
uint64_t neap_tier_tick(neap_tiers *tiers, uint64_t wall_ms);
static inline void neap_tier_count(_Atomic uint64_t *counter, uint64_t by) {
  atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

/* --- tries (try.c) ------------------------------------------------------------------------------------- */

/* One call to one tier with its time limit, breaker and counts. Embedded; one thread's. */
typedef struct neap_tier_try {
  neap_tier_call call;
  neap_tiers_port *port;
  int tier;
  bool under_way;
  uint64_t started_ns;
  neap_due hard;
  void (*done)(struct neap_tier_try *try, const neap_tier_answer *answer);
} neap_tier_try;

/* 0: `done` is told once, never from inside. Else why the tier cannot be asked, counted. */
int neap_tier_try_start(neap_tier_try *try, neap_tiers_port *port, int tier);
void neap_tier_try_cancel(neap_tier_try *try);

/* --- operations ---------------------------------------------------------------------------------------- */

typedef struct neap_tier_write neap_tier_write;

struct neap_tier_op {
  uint32_t magic;
  neap_tiers_port *port;
  neap_tier_op *port_prev, *port_next; /* of the same port */
  neap_tier_done *done;
  void *user;
  neap_due deadline;
  neap_tier_reply reply;
  neap_tier_write *write;    /* of a write */
  uint64_t hash;             /* of a get, as the rest */
  neap_tier_lookup *lookup;  /* that it waits for; under the key's lock. NULL: it is in its port's inbox */
  neap_tier_op *prev, *next; /* in the lookup's list of waiters or the inbox */
  bool no_stale;
  bool refresh;
  neap_tier_value stale; /* what memory has that is past its time or suspect */
  uint64_t stale_version;
};

neap_tier_op *neap_tier_op_create(neap_tiers_port *port, neap_tier_done *done, void *user);
/* Tells and frees. */
void neap_tier_op_tell(neap_tier_op *op);
void neap_tier_op_free(neap_tier_op *op);

/* A lookup in the tiers below memory, walking at one port. What other ports may touch is under the key's
 * lock: prev, next, waiters, closed, killed, soft_passed. */
struct neap_tier_lookup {
  neap_tier_lookup *prev, *next;           /* of its key */
  neap_tier_lookup *port_prev, *port_next; /* of its port */
  neap_tiers_port *port;
  neap_tier_key *key;
  neap_tier_op *waiters;
  uint32_t mask, failed, missed;
  bool strong, no_promote, refresh;
  bool closed, killed, soft_passed;
  bool own_delete;   /* that waits to be sent is why a tier has nothing: not to be remembered as its answer */
  bool starting;     /* inside the call of who asked: nothing is told */
  int at;            /* the tier asked now */
  uint64_t clears;   /* neap_tiers.clears when it was sent */
  uint64_t suspects; /* neap_tiers.suspects then */
  uint64_t sent_version; /* a version of when it was sent */
  uint64_t deny;         /* what is older than that has been deleted */
  uint64_t known;        /* version that memory has; 0: none */
  uint64_t began_ms;
  uint64_t leases[NEAP_TIERS_MAX], lease_versions[NEAP_TIERS_MAX];
  neap_due soft;
  neap_tier_try try;
};

/* --- keys (keys.c) ------------------------------------------------------------------------------------- */

uint64_t neap_tier_hash(const neap_tiers *tiers, neap_view key);
neap_tier_shard *neap_tier_shard_of(neap_tiers *tiers, uint64_t hash);
static inline neap_view neap_tier_key_view(const neap_tier_key *key) {
  return (neap_view){key->bytes, key->size};
}
/* All of these under the lock of the key's shard. */
neap_tier_key *neap_tier_key_find(neap_tier_shard *shard, uint64_t hash, neap_view key);
/* Finds or makes it, and uses it. NULL: out of memory. */
neap_tier_key *neap_tier_key_use(neap_tiers *tiers, neap_tier_shard *shard, uint64_t hash, neap_view key);
void neap_tier_key_leave(neap_tier_shard *shard, neap_tier_key *key, uint64_t now_ms);
/* R1, R4: nothing below `version` goes into memory any more and nobody joins the lookups that are under way;
 * with 0 they put nothing into memory at all. */
void neap_tier_key_written(neap_tiers *tiers, neap_tier_key *key, uint64_t version);
/* R5: callers get to see `version`: nothing older goes into memory any more, nor is joined. */
void neap_tier_key_seen(neap_tiers *tiers, neap_tier_key *key, uint64_t version);
/* The same where memory has not taken it: what it has that is older is suspect, or forgotten as a miss. */
void neap_tier_seen(neap_tiers *tiers, neap_tier_key *key, uint64_t version);
/* Commits where the rules allow it; else drops. True: memory has it, `entry` is referenced where wanted. */
bool neap_tier_key_commit(neap_tiers *tiers, neap_tier_key *key, neap_tier_fill *fill, uint64_t clears,
                          neap_entry **entry);
/* Remembers that nobody has it: the answer until `answers_ms`, the floor for `floor_ms`. */
typedef struct neap_tier_negative {
  uint64_t version; /* nothing older is to be believed */
  uint64_t answers_ms;
  uint64_t suspects; /* neap_tiers.suspects of before it was asked for or deleted */
} neap_tier_negative;
void neap_tier_key_negative(neap_tiers *tiers, neap_tier_key *key, const neap_tier_negative *what,
                            uint64_t floor_ms, uint64_t now_ms);

/* What is remembered of a key that nobody has. False: nothing. */
bool neap_tier_negative_find(neap_tiers *tiers, neap_view key, neap_tier_negative *out);

/* --- waiting (wait.c) ---------------------------------------------------------------------------------- */

/* Under the key's lock. `lookup_create` gives NULL where there are too many or memory is short; the lookup
 * then uses the key. */
neap_tier_lookup *neap_tier_lookup_create(neap_tiers_port *port, neap_tier_key *key, uint32_t mask);
neap_tier_lookup *neap_tier_lookup_joinable(neap_tier_key *key, uint32_t mask, bool strong, bool no_promote);
void neap_tier_lookup_unlink(neap_tier_lookup *lookup);
void neap_tier_wait_for(neap_tier_op *op, neap_tier_lookup *lookup);
void neap_tier_stop_waiting(neap_tier_op *op);
/* Those that could have a stale copy get it now. `poke`: also those of the lookup's own port. */
void neap_tier_give_up_waiting(neap_tier_lookup *lookup, bool poke);
/* Makes the stale copy the answer. False: there is none, or it is not wanted. */
bool neap_tier_give_stale(neap_tier_op *op);
void neap_tier_deadline(neap_tier_op *op, uint64_t delay_ms);

/* --- lookups (get.c: who asks; lookup.c: the walk) ----------------------------------------------------- */

/* The consistency of the cascade where a call says none. */
neap_consistency neap_tier_consistency(const neap_tiers *tiers);

/* Goes on with the next tier. */
void neap_tier_lookup_walk(neap_tier_lookup *lookup);
/* Ends it with an error, as when its port goes. */
void neap_tier_lookup_abort(neap_tier_lookup *lookup);

/* --- writes (write.c) ---------------------------------------------------------------------------------- */

typedef struct neap_tier_part {
  neap_tier_try try;
  neap_tier_write *write;
  uint64_t ttl_ms;
  bool held; /* what waits for the key */
} neap_tier_part;

struct neap_tier_write {
  neap_tier_write *prev, *next; /* of its port */
  neap_tiers_port *port;
  neap_tier_key *key; /* NULL: a clear */
  neap_tier_verb verb;
  neap_tier_op *op; /* NULL: nobody wants to know */
  neap_tier_blob *blob;
  uint32_t cost_us;
  uint32_t mask, left; /* tiers to be written, and those under way */
  uint32_t failed, queued;
  bool strong, around, fill, starting;
  bool compares, lost; /* it compares; somebody else was first */
  uint64_t expected;
  bool settled; /* memory has been written */
  uint64_t version, made_us, clears, suspects, memory_ttl_ms;
  neap_tier_part parts[NEAP_TIERS_MAX];
};

/* What was found below goes into the tiers of `mask`, which have said that they have not got it. */
void neap_tier_promote(neap_tier_lookup *lookup, uint32_t mask, const neap_tier_object *object);
void neap_tier_write_abort(neap_tier_write *write);

/* --- writes that wait (later.c) ------------------------------------------------------------------------ */

typedef struct neap_tier_later_send neap_tier_later_send;

int neap_tier_later_create(const neap_host *host, neap_tier_later **out);
void neap_tier_later_destroy(neap_tier_later **later);
/* A write to be sent at `due_ms`, instead of the one that waits for the same key. */
typedef struct neap_tier_wait {
  neap_tier_verb verb;
  neap_view key;
  uint64_t hash;
  neap_tier_blob *blob; /* referenced */
  uint64_t version, made_us, expires_ms, due_ms;
  uint32_t cost_us;
} neap_tier_wait;
/* 0; NEAP_EROOM: it would be one too many; NEAP_ENOMEM. */
int neap_tier_later_put(neap_tiers_port *port, int tier, const neap_tier_wait *wait);
/* A write could not even wait: the tier is to be cleared before anything else is believed. */
void neap_tier_later_lost(neap_tiers_port *port, int tier);
/* What waits for a key: 0 nothing, 1 a delete, 2 a set: then `blob` is referenced. */
enum { NEAP_TIER_WAITS_NOT, NEAP_TIER_WAITS_DELETE, NEAP_TIER_WAITS_SET };
int neap_tier_later_find(neap_tier *tier, uint64_t hash, neap_view key, uint64_t now_ms,
                         neap_tier_object *object, neap_tier_blob **blob);
/* A newer write is about to go to the tier: what waits for the key is not sent meanwhile. False: it is being
 * sent now, so that the newer one has to wait for it. `held`: it has to be released. */
bool neap_tier_later_hold(neap_tier *tier, uint64_t hash, neap_view key, bool *held);
/* `done`: the newer write has been taken. */
void neap_tier_later_release(neap_tier *tier, uint64_t hash, neap_view key, bool done);
void neap_tier_later_drop_all(neap_tier *tier);
uint64_t neap_tier_later_count(const neap_tier *tier);
/* Sends what is due at this port. */
void neap_tier_later_pump(neap_tiers_port *port);
void neap_tier_later_abort(neap_tiers_port *port);

/* --- ports (port.c) ------------------------------------------------------------------------------------ */

/* --- flushes (flush.c) --- */
typedef struct neap_tier_flush {
  struct neap_tier_flush *next;
  neap_tiers_port *port;
  neap_tier_op *op;
  neap_due limit;
} neap_tier_flush;

struct neap_tiers_port {
  uint32_t magic;
  neap_tiers *tiers;
  neap_tiers_port *prev, *next;
  neap_tier_ground ground;
  void *selves[NEAP_TIERS_MAX];
  neap_timers timers;
  neap_random random;
  uint64_t alarm_ms; /* what the ground was asked for */
  bool running;      /* in neap_tiers_port_run: the alarm is set at its end */
  neap_tier_op *ops;
  neap_tier_lookup *lookups;
  neap_tier_write *writes;
  neap_tier_later_send *sends;
  uint32_t send_count;
  neap_tier_flush *flushes;
  neap_due pump;            /* looks for writes that wait */
  _Atomic bool pump_wanted; /* another port that goes leaves it its writes */
  pthread_mutex_t inbox_lock;
  neap_tier_op *inbox, *inbox_last; /* answered, to be told */
};

static inline uint64_t neap_tier_now(const neap_tiers_port *port) {
  return port->ground.now_ms(port->ground.user);
}
static inline uint64_t neap_tier_wall(const neap_tiers_port *port) {
  return port->ground.wall_ms(port->ground.user);
}
/* Nothing waits to be written any more. */
void neap_tier_flushed(neap_tiers_port *port);
void neap_tier_flush_abort(neap_tiers_port *port);
/* Ends a port: neap_tiers_detach without its ground. */
void neap_tiers_port_end(neap_tiers_port *port);
/* Hands an answered operation to its port, which is poked unless it is `own`. Any thread. */
void neap_tier_inbox_put(neap_tier_op *op, bool own);
/* Tells all that is in the inbox. */
void neap_tier_inbox_tell(neap_tiers_port *port);
/* Takes an operation out of the inbox. */
void neap_tier_inbox_take(neap_tier_op *op);
/* Sets a timer of the port. Where memory is short it fires at once. */
void neap_tier_due_in(neap_tiers_port *port, neap_due *due, uint64_t delay_ms);
void neap_tier_due_clear(neap_tiers_port *port, neap_due *due);

/* `left` shortened by the jitter. */
uint64_t neap_tier_jitter(neap_tiers_port *port, uint64_t ttl_ms);

#endif
