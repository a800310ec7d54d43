/* Prefetching: policies wish, this decides who is believed and how much may be fetched before it is asked
 * for. Part of the facade policy.h.
 *
 *   neap_prefetcher_create(&options, &host, &p);
 *   neap_prefetcher_open(p, registry, "stride", NULL, NULL, 0, &env, &err);
 *   for each request:  neap_prefetcher_request(p); and where it missed: neap_prefetcher_miss(p, &event);
 *                      where it was the first use of what was prefetched: neap_prefetcher_used(p, &event);
 *   now and then:      neap_prefetcher_turn(p);          which calls host.fetch
 *   as fetches end:    neap_prefetcher_landed(p, hash);  or _failed
 *
 * An *issuer* is who issues fetches: a policy, or code of the engine such as refresh-ahead, through the same
 * budget. Life of an issuer:
 *
 *   trial    some of its wishes are noted and not fetched: how many would have been used in time costs
 * nothing to know open     its wishes are fetched. Precision - used of those that are settled - is watched
 * over a window paused   it was below the limit: suppressed for so many requests, twice as many each time,
 * then trial
 *
 * Life of a wish that is fetched: in flight -> landed -> used, or wasted; late where it is asked for while it
 * is in flight. What is under way or waits for its use is bounded (`shelf`), and so is how long it waits
 * (`horizon`): a full shelf refuses, unless what lies there longest has waited much longer than others did.
 *
 * One thread at a time. Nothing here blocks or reads a clock: time is counted in requests. */
#ifndef NEAP_POLICY_PREFETCH_H
#define NEAP_POLICY_PREFETCH_H

#include "policy/policy.h"

typedef struct neap_prefetcher neap_prefetcher;

/* Something that can be fetched. */
typedef struct neap_prefetch_item {
  uint64_t hash; /* of its key, not 0: who it is */
  uint64_t size; /* in the cache's unit, as far as it is known; at least 1 */
  uint64_t id;   /* the host's own */
} neap_prefetch_item;

/* What the prefetcher needs of the cache and of whoever fetches. All are called on its thread, never from
 * within each other, and must not call the prefetcher, but for `fetch`, which may call landed and failed. */
typedef struct neap_prefetch_host {
  void *user;
  /* What a wish means. False: nothing that could be fetched. A wish may hold any number. */
  bool (*resolve)(void *user, const neap_wish *wish, neap_prefetch_item *out);
  bool (*holds)(void *user, const neap_prefetch_item *item); /* it is in the cache */
  int (*fetch)(void *user,
               const neap_prefetch_item *item); /* begins; 0, NEAP_EBUSY: too many; else it cannot */
  void (*drop)(void *user, const neap_prefetch_item *item); /* it was for nothing: out of the cache with it */
} neap_prefetch_host;

typedef struct neap_prefetch_options {
  double shelf;        /* most that items may hold which nobody has used yet, in the cache's unit */
  double share;        /* fetches issued per request, 0..1000 */
  uint32_t burst;      /* fetches that may be saved up */
  uint32_t saved;      /* of these, at the beginning */
  uint32_t in_flight;  /* most at once */
  double precision;    /* used of settled, 0..1: below it an issuer is paused */
  uint32_t trial;      /* wishes of a trial, and settled ones that a verdict needs */
  uint32_t window;     /* of settled wishes that precision is taken over */
  uint64_t pause;      /* requests, at first */
  uint64_t pause_most; /* requests */
  uint64_t horizon;    /* requests after which nobody will use it */
  uint64_t delay;      /* requests that pass during a fetch, until it is known better */
  double rate;         /* fetches per second, by the time that _turn is told; 0: any */
} neap_prefetch_options;

/* The defaults for a cache of that limit (bytes, or objects where it counts them). */
void neap_prefetch_options_init(neap_prefetch_options *options, double limit);

typedef enum neap_prefetch_state {
  NEAP_PREFETCH_TRIAL,
  NEAP_PREFETCH_OPEN,
  NEAP_PREFETCH_PAUSED
} neap_prefetch_state;

typedef struct neap_prefetch_counters {
  uint64_t issued;
  uint64_t used, late, wasted; /* how they ended; the rest is under way */
  uint64_t held;               /* or so: it was there already, which nobody knew */
  uint64_t suppressed;         /* wishes for what could have been fetched: paused, or over the budget */
  uint64_t refused;            /* of these: over the budget */
  uint64_t tried;              /* wishes of trials, not fetched */
  uint64_t pauses;
} neap_prefetch_counters;

/* `options` and `host` are copied. NEAP_EINVAL, NEAP_ENOMEM. */
int neap_prefetcher_create(const neap_prefetch_options *options, const neap_prefetch_host *host,
                           neap_prefetcher **out);
void neap_prefetcher_destroy(neap_prefetcher **prefetcher); /* and its policies */

enum { NEAP_ISSUERS_MAX = 8 };

/* Adds a policy as an issuer; its number, from 0, or an error of neap_policy_open, NEAP_EROOM. Of `env` host,
 * seed and generation are looked at. */
int neap_prefetcher_open(neap_prefetcher *prefetcher, neap_registry *registry, const char *spec,
                         const char *source, const neap_param *params, size_t param_count,
                         const neap_policy_env *env, neap_err *err);
/* Adds an issuer without a policy, such as refresh-ahead: it shares the budget and is not put on trial, since
 * it knows what it does. Its number or NEAP_EROOM. `name` is copied. */
int neap_prefetcher_add(neap_prefetcher *prefetcher, const char *name);
/* Whether it may fetch so much now. True takes from the budget until _settle says how it ended
 * (NEAP_PREFETCH_USED, LATE or WASTED). */
bool neap_prefetcher_allow(neap_prefetcher *prefetcher, int issuer, uint64_t size);
void neap_prefetcher_settle(neap_prefetcher *prefetcher, int issuer, uint64_t size, int32_t kind);

/* What such an issuer wants fetched, as if a policy had wished for it: host.fetch is called, and its standing
 * is that of a policy which begins as open. 0: it is under way, or noted where the issuer is on trial;
 * NEAP_EEXIST: it was before, or it is held; NEAP_EBUSY: over the budget; NEAP_EREFUSED: it is paused;
 * NEAP_EIO: the fetch could not begin. */
int neap_prefetcher_wish(neap_prefetcher *prefetcher, int issuer, const neap_prefetch_item *item);
/* The issuer is never paused and needs no requests to pay for it: such as an operator, who is held only to
 * what there is of time, room and connections. */
void neap_prefetcher_trust(neap_prefetcher *prefetcher, int issuer);

/* One request has come, hit or not. hot: */
void neap_prefetcher_request(neap_prefetcher *prefetcher);
/* So many have come. */
void neap_prefetcher_requests(neap_prefetcher *prefetcher, uint64_t count);
/* It missed. `event` is a WANT, `hash` the whole one. True: it is being prefetched, and late. */
bool neap_prefetcher_miss(neap_prefetcher *prefetcher, uint64_t hash, const neap_prefetch_event *event);
/* It was the first to use what had been prefetched. */
void neap_prefetcher_used(neap_prefetcher *prefetcher, uint64_t hash, const neap_prefetch_event *event);
/* An explicit hint, of kind HINT, for the policies that want hints. */
void neap_prefetcher_hint(neap_prefetcher *prefetcher, const neap_prefetch_event *event);
/* A fetch has ended. False: nobody waits for it any more, and it is not to be kept. */
bool neap_prefetcher_landed(neap_prefetcher *prefetcher, uint64_t hash);
void neap_prefetcher_failed(neap_prefetcher *prefetcher, uint64_t hash);
/* A fetch turned out to be none, since it is there already: nobody is blamed. */
void neap_prefetcher_held(neap_prefetcher *prefetcher, uint64_t hash);
/* How large it really is; before landed. */
void neap_prefetcher_weigh(neap_prefetcher *prefetcher, uint64_t hash, uint64_t size);

/* Other options from now on, valid ones; what is under way stays. NEAP_EINVAL. */
int neap_prefetcher_set_options(neap_prefetcher *prefetcher, const neap_prefetch_options *options);
/* Takes over from `old`, which is destroyed: what is under way, the figures and the standing of issuers of
 * the same name, what their policies learned. What other issuers had under way is dropped. */
void neap_prefetcher_adopt(neap_prefetcher *prefetcher, neap_prefetcher **old);
/* Has all dropped that nobody has used; what is in flight will be let go of as it lands. */
void neap_prefetcher_drop_all(neap_prefetcher *prefetcher);

/* Lets the policies hear what waits and carries out their wishes. Costs nothing where there was no miss,
 * first use or hint since the last turn: then only how wishes ended can wait, and that is in no hurry. */
void neap_prefetcher_turn(neap_prefetcher *prefetcher, double now_ms);

int neap_prefetcher_count(const neap_prefetcher *prefetcher); /* of issuers */
uint32_t neap_prefetcher_in_flight(const neap_prefetcher *prefetcher);
/* What is under way or waits for its use, in the cache's unit. */
double neap_prefetcher_waiting(const neap_prefetcher *prefetcher);
/* Of an issuer's policy; NULL: it has none. */
neap_policy *neap_prefetcher_policy(const neap_prefetcher *prefetcher, int issuer);
const char *neap_prefetcher_name(const neap_prefetcher *prefetcher, int issuer);
neap_prefetch_state neap_prefetcher_state(const neap_prefetcher *prefetcher, int issuer);
/* Of one issuer, or of all (-1). */
void neap_prefetcher_counters_get(const neap_prefetcher *prefetcher, int issuer, neap_prefetch_counters *out);
/* Of the policies: sums. */
void neap_prefetcher_policy_counters(const neap_prefetcher *prefetcher, neap_policy_counters *out);

#endif
