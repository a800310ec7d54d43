/* The facade of the cascade inside the engine: the public neap/tier.h plus what a tier below memory has to
 * be, and what a port stands on.
 *
 * A tier is a vtable. Each port opens its own instance, so that nothing in a tier is shared by threads but
 * its configuration. The cascade keeps time limits, breaker, counts and repetition; a tier only talks. */
#ifndef NEAP_TIER_TIER_H
#define NEAP_TIER_TIER_H

#include <stdbool.h>

#include "loop/loop.h"
#include "neap/tier.h"
#include "policy/policy.h"
#include "store/codec.h"

/* --- what a tier below memory is ----------------------------------------------------------------------- */

typedef enum neap_tier_verb {
  NEAP_TIER_GET,
  NEAP_TIER_SET,
  NEAP_TIER_DELETE,
  NEAP_TIER_CLEAR
} neap_tier_verb;

/* A value on its way, borrowed. */
typedef struct neap_tier_object {
  uint64_t version; /* 0: none is known */
  uint64_t ttl_ms;  /* left; NEAP_TTL_NEVER */
  uint32_t cost_us; /* what it took to make; 0: unknown */
  neap_view meta, body;
} neap_tier_object;

/* What a tier says. */
typedef struct neap_tier_answer {
  int code;       /* 0; NEAP_ENOTFOUND; NEAP_EVERSION: it has a newer one; anything else is a failure */
  bool unchanged; /* of a get: what it has is of the version the call knows; only `version` and `ttl_ms` hold
                   */
  uint64_t lease; /* of a miss: what a fill has to show; 0: none is needed, or another fills it */
  uint64_t lease_version;  /* of a miss with a lease: the version that the fill will have */
  neap_tier_object object; /* of a get: what was found. Its version also of a miss (nothing older is to be
                              believed any more) and of a write (which the tier gave it); 0: none */
} neap_tier_answer;

/* One call to a tier, owned by the cascade; key and object stay until it is done or cancelled. */
typedef struct neap_tier_call neap_tier_call;
struct neap_tier_call {
  neap_tier_verb verb;
  bool fill;         /* of a set: a value found below, which must not replace anything newer */
  bool replay;       /* a write made earlier, which must not replace anything made since */
  bool lease_wanted; /* of a get: a miss will be filled */
  uint64_t lease;    /* of a fill: as the miss has said */
  uint64_t made_us;  /* of a write: wall clock when it was made */
  bool compares;     /* of a write, to the tier that gives out versions: NEAP_EVERSION unless ... */
  uint64_t expected; /* ... what it has is of that version; 0: it has nothing */
  neap_view key;     /* empty: of a clear */
  neap_tier_object
      object; /* of a set: what to store. Its version also of a get (what is known) and a delete */
  void (*done)(neap_tier_call *call, const neap_tier_answer *answer);
  void *state; /* the tier's */
};

typedef struct neap_tier_vt {
  const char *name;
  bool gives_versions; /* it is asked first in writes, and what it answers is the version of the object */
  bool makes;          /* it does not store but make: early refreshes go straight to it, writes pass it by */
  /* An instance for a port. Optional: `config` is the instance. */
  int (*open)(void *config, neap_tiers_port *port, void **out);
  void (*close)(void **self); /* nothing is told any more. Optional, with open */
  /* Starts a call. 0: `done` is told once, never from inside; else it failed and nothing is told. */
  int (*start)(void *self, neap_tier_call *call);
  void (*cancel)(void *self, neap_tier_call *call); /* it is not told */
  void (*destroy)(void *config);                    /* with the cascade. Optional */
} neap_tier_vt;

/* Adds a tier below those that are there. Takes `config`, also on failure. Errors as neap_tiers_add_cdn. */
int neap_tiers_add(neap_tiers *tiers, const neap_tier_vt *vt, void *config, const neap_tier_options *options,
                   neap_err *err);

/* How values are written to the network: neap_tiers_add_cdn without compression and encryption is all NULL.
 * The options are copied, keyring and dictionaries referenced. */
typedef struct neap_tier_codec {
  const neap_codec_options *options; /* NULL: the defaults */
  neap_keyring *keyring;
  neap_dictionaries *dictionaries;
} neap_tier_codec;
int neap_tiers_add_cdn_coded(neap_tiers *tiers, const neap_tier_cdn_options *cdn,
                             const neap_tier_codec *codec, const neap_tier_options *options, neap_err *err);

int neap_tiers_add_redis_coded(neap_tiers *tiers, const neap_tier_redis_options *redis,
                               const neap_tier_codec *codec, const neap_tier_options *options, neap_err *err);

/* As neap_tiers_create, without an engine. `host` has every member set and is copied; `registry` is borrowed
 * until the cascade is destroyed. */
int neap_tiers_create_with(neap_registry *registry, const neap_host *host, const neap_tiers_options *options,
                           neap_tiers **out, neap_err *err);

/* --- what a port stands on ----------------------------------------------------------------------------- */

/* A loop, or what a test has instead. */
typedef struct neap_tier_ground {
  void *user;
  neap_loop *loop;                 /* NULL: tiers that need one cannot be opened */
  uint64_t (*now_ms)(void *user);  /* monotonic, the clock of the memory's host. This port's thread */
  uint64_t (*wall_ms)(void *user); /* since 1970. This port's thread */
  void (*wake_in)(void *user, uint64_t delay_ms); /* neap_tiers_port_run then; replaces what was wanted
                                                     before. UINT64_MAX: not */
  void (*poke)(void *user);                       /* neap_tiers_port_run soon, on its thread. Any thread */
} neap_tier_ground;

int neap_tiers_attach_to(neap_tiers *tiers, const neap_tier_ground *ground, neap_tiers_port **out,
                         neap_err *err);
/* Does what is due. This port's thread. */
void neap_tiers_port_run(neap_tiers_port *port);
/* What a port stands on. */
const neap_tier_ground *neap_tiers_port_ground(const neap_tiers_port *port);

/* As neap_tiers_attach, on a loop of ours. */
int neap_tiers_attach_loop(neap_tiers *tiers, neap_loop *loop, neap_tiers_port **out, neap_err *err);

/* --- for who has memory in his hand -------------------------------------------------------------------- */

/* What memory has of `key`, where that is an answer to an eventual reader. The caller is inside the cache,
 * and the entry is borrowed. Counts as an access. 0; NEAP_ENOTFOUND: neap_tiers_get knows more. Any thread.
 * hot: */
int neap_tiers_peek(neap_tiers *tiers, neap_view key, uint64_t now_ms, const neap_entry **entry);
/* As neap_tiers_get after that: memory does not count the same access again. */
int neap_tiers_get_peeked(neap_tiers_port *port, neap_view key, const neap_tier_get_options *options,
                          neap_tier_done *done, void *user, neap_tier_reply *reply, neap_tier_op **op);
/* The entry of memory that a value is; NULL: it is none. */
const neap_entry *neap_tier_value_entry(const neap_tier_value *value);

/* As neap_tiers_set or, where `value` is NULL, neap_tiers_delete, through all tiers, of a cascade with a tier
 * that gives out versions. Done only where that tier has version `expected` of the key, 0: has nothing; else
 * `done` is told NEAP_EVERSION with the version that there is, or was. Nothing is queued: NEAP_EUNAVAIL and
 * NEAP_EUNKNOWN say that it may have been done or not. NEAP_EBUSY: an earlier write of this node waits for
 * the tier and has to go first. Options: ttl_ms, tier_ttl_ms, deadline_ms, meta. */
int neap_tiers_exchange(neap_tiers_port *port, neap_view key, const neap_view *value, uint64_t expected,
                        const neap_tier_set_options *options, neap_tier_done *done, void *user,
                        neap_tier_op **op);

/* --- coherence ----------------------------------------------------------------------------------------- */

/* Someone wrote `key`: what memory has of it is suspect unless it is of `version` or newer, and no lookup
 * under way may bring back anything older. 0: the version is not known. Any thread. */
void neap_tiers_invalidate(neap_tiers *tiers, neap_view key, uint64_t version);
/* Has `deleted` told of every key that a node deletes, this one included, as far as a tier announces it: for
 * who keeps values of his own beside the cascade. Told on the thread of one of the ports. Before any port is
 * attached. */
void neap_tiers_on_deleted(neap_tiers *tiers, void (*deleted)(void *user, neap_view key), void *user);
/* Somebody has deleted `key`. Any thread. */
void neap_tiers_tell_deleted(neap_tiers *tiers, neap_view key);
/* Has `written` told of every key that a node sets or deletes, as above; an empty key: of any, since messages
 * may have been lost, or all was cleared. */
void neap_tiers_on_written(neap_tiers *tiers, void (*written)(void *user, neap_view key), void *user);
/* Somebody has written `key`. Any thread. */
void neap_tiers_tell_written(neap_tiers *tiers, neap_view key);
/* Leaves out rules of coherence, as bits 1 << rule, so that a test can show what each is for. Before any port
 * is attached. */
typedef enum neap_tier_rule {
  NEAP_TIER_FLOORS = 1,     /* R1: what is older than what was written or seen does not go into memory */
  NEAP_TIER_SUSPECT = 2,    /* R2: while a write is under way, memory's copy is not an answer */
  NEAP_TIER_CLOSED = 4,     /* R4: a get joins no lookup that was sent before the last write was answered */
  NEAP_TIER_LEAVING = 5,    /* R5: what memory has had, and lost, counts as seen */
  NEAP_TIER_TOMBSTONES = 6, /* a delete is remembered by the tier that gives out versions */
  NEAP_TIER_HEARTBEAT = 7   /* silence of the channel makes all of memory suspect */
} neap_tier_rule;
void neap_tiers_leave_out(neap_tiers *tiers, uint32_t rules);
/* Whether a tier is to keep a rule. */
bool neap_tiers_keeps(const neap_tiers *tiers, neap_tier_rule rule);

/* Messages of before `until_ms` minus the bound of staleness have all come; from then on, until it is told
 * otherwise, all that memory has and gets is suspect. 0: messages are missed now. The clock is that of ports.
 * One thread at a time. */
void neap_tiers_set_fresh(neap_tiers *tiers, uint64_t until_ms, uint64_t now_ms);
/* All that memory has now is suspect: messages may have been lost. Any thread. */
void neap_tiers_suspect_all(neap_tiers *tiers);

#endif
