/* The facade of flow/: what one worker needs to serve exchanges, what an exchange decides with (a
 * generation), and the exchange itself as front/ sees it. exchange.h has the steps and the two sides of an
 * exchange.
 *
 * Worker only, but for what says otherwise.
 */
#ifndef NEAP_FLOW_FLOW_H
#define NEAP_FLOW_FLOW_H

#include <stdatomic.h>

#include "base/actions.h"
#include "base/arena.h"
#include "base/match.h"
#include "base/random.h"
#include "flow/exchange.h"
#include "flow/feed.h"
#include "flow/trial.h"
#include "http/http.h"
#include "loop/loop.h"
#include "neap/cache.h"
#include "observe/observe.h"
#include "policy/policy.h"
#include "route/route.h"
#include "tier/tier.h"
#include "upstream/upstream.h"

/* --- what an exchange decides with */

typedef enum neap_flow_action { NEAP_FLOW_POOL, NEAP_FLOW_ANSWER } neap_flow_action;

/* What a route has to do with prefetching: its requests are told of, and may be prefetched; so are the links
 * of its responses; what others have prefetched may be its responses, too. */
enum { NEAP_FLOW_PREFETCH = 1, NEAP_FLOW_PREFETCH_LINKS = 2, NEAP_FLOW_PREFETCH_SHARED = 4 };

/* Changes to a head: `remove` first, then `set`, which replaces all of that name, then `add`, which does not.
 */
typedef struct neap_flow_edits {
  const char *const *remove;
  size_t remove_count;
  const neap_match_field *set, *add;
  size_t set_count, add_count;
} neap_flow_edits;

/* A response that is made here. */
typedef struct neap_flow_answer {
  int status;
  neap_view body;
  const char *content_type, *location; /* NULL: none */
} neap_flow_answer;

/* A route, as the steps use it. Texts are borrowed from the configuration. */
typedef struct neap_flow_route {
  const char *name;
  bool conditional; /* ask `when` before it is taken */
  bool passes;      /* a request that wants too much of `when` goes to the next route, else it is refused */
  neap_flow_action action;
  int32_t pool; /* POOL */
  bool cache;
  uint16_t refresh; /* in this last part of their lifetime, in 1024ths, responses in use are fetched anew; 0:
                       none */
  uint8_t prefetch; /* bits NEAP_FLOW_PREFETCH..., 0: nothing is prefetched */
  uint8_t tiers;    /* below memory, where its responses lie, too: bits 1 << neap_flow_tier_kind */
  uint64_t cache_ttl_ms;   /* of responses that do not state their freshness; 0: those are not stored */
  neap_view cache_space;   /* first part of the cache key; empty: the pool's name */
  neap_flow_answer answer; /* ANSWER */
  neap_flow_edits request, response;
  const neap_actions *actions; /* NULL: none */
  neap_limiter *limiter;       /* of actions->limit; held by the generation */
  uint32_t series;             /* what it is counted under: observe/tally.h */
} neap_flow_route;

/* One worker's part of a generation: what may not be shared between threads, and how many exchanges use it.
 */
typedef struct neap_flow neap_flow;
typedef struct neap_generation {
  uint64_t number;
  const neap_routes *routes; /* shared by the workers, as the next */
  const neap_flow_route *rules;
  bool has_cache;
  neap_table *const *tables; /* data tables, by index; NULL: there are none */
  neap_table_readers *readers;
  neap_pool **pools; /* by neap_flow_route.pool */
  size_t pool_count;
  int (*when)(void *when_user, int32_t route, const neap_request_board *request); /* as neap_worker_when */
  int (*act)(void *when_user, int32_t route, const neap_request_board *request,
             const neap_act_board **out); /* as neap_worker_act */
  void *when_user;
  _Atomic uint64_t exchanges; /* that have it and have not finished; written by the worker, read by any */
  bool retired;               /* no exchange will take it any more */
  void (*drained)(struct neap_generation *generation); /* retired, and the last exchange has finished */
} neap_generation;

/* A generation on every worker. The pointer to the newest one is the switch of a reload. */
typedef struct neap_generation_set {
  uint64_t number;
  uint32_t worker_count;
  neap_generation *of_worker[];
} neap_generation_set;

/* Takes no more exchanges; tells `drained`, now or when the last has finished. */
void neap_generation_retire(neap_generation *generation);

/* --- the tiers below memory, as one worker sees them */

typedef enum neap_flow_tier_kind { NEAP_FLOW_REDIS, NEAP_FLOW_CDN, NEAP_FLOW_TIERS } neap_flow_tier_kind;

typedef struct neap_flow_tier {
  int number;          /* in the cascade; 0: it is not there */
  uint64_t ttl_ms;     /* most that lies there; 0: as long as it is fresh */
  uint64_t max_object; /* bytes of head and body */
} neap_flow_tier;

/* What lies in the memory tier of this cascade is nothing: that is the HTTP cache's part. */
typedef struct neap_flow_tiers {
  neap_tiers *cascade;
  neap_tiers_port *port; /* of this worker */
  uint64_t patience_ms;  /* an exchange waits for all of them together */
  neap_write_mode mode;
  neap_flow_tier tiers[NEAP_FLOW_TIERS];
} neap_flow_tiers;

/* --- prefetching */

/* A request without a client, for a response to be stored before somebody asks. Made and freed by whoever
 * wants it, who hears of its end by the worker's feed; until then it is the worker's. */
typedef struct neap_prefetch_order {
  neap_task task;
  neap_flow *flow;
  uint64_t hash;       /* of the target, for whoever made it */
  uint64_t most_bytes; /* of the body; a larger one is not stored */
  bool refresh;        /* what is in the cache is replaced */
  size_t head_size;
  char head[]; /* of the request, complete */
} neap_prefetch_order;

/* Sends it: through all steps, as a request of a client would go, but it is not counted as one, does not wait
 * for a backend, is not tried twice, and ends where its response is not stored. */
void neap_flow_prefetch(neap_flow *flow, neap_prefetch_order *order);
/* A GET of that, for free(). NULL: out of memory, or nothing that can be asked for. Any thread. */
neap_prefetch_order *neap_prefetch_order_create(neap_view host, neap_view target, neap_view encoding);

/* --- one worker's flow */

enum { NEAP_BLOCK = 65536 }; /* bytes of a block: what is read from a client or a backend lies in one */

typedef struct neap_load_probe neap_load_probe;
typedef struct neap_asking neap_asking;

/* What is remembered of an exchange: how it was decided and how it went. Texts are cut; names are those of
 * the generation, and told as long as it is in force. */
enum { NEAP_RECENT = 512 }; /* newest exchanges of a worker; a power of two */
typedef struct neap_recent {
  uint64_t id;
  uint64_t at_ms; /* when it was finished */
  uint32_t generation, took_us, first_byte_us;
  uint16_t status, tries;
  uint8_t cache, end, lookup, stored; /* neap_http_fwd; neap_reason */
  uint8_t steps[12];                  /* neap_step + 1, 0: none */
  int32_t rule, pool, member;         /* -1: none */
  uint8_t method_size, host_size, target_size;
  char method[8], host[32], target[85];
} neap_recent;

struct neap_flow {
  neap_loop *loop;
  uint32_t worker; /* index of generation_set.of_worker */
  _Atomic(neap_generation_set *) *current;
  neap_connections *connections;
  neap_queues *queues;          /* NULL: nobody waits for a backend */
  _Atomic(neap_cache *) *cache; /* points to NULL where there is none */
  const neap_flow_tiers *tiers; /* below that; NULL: none */
  neap_asking *askings;         /* exchanges that wait for them */
  neap_access_log *log;         /* NULL: none */
  neap_tally *tally;
  neap_trial *trial; /* of a candidate; NULL: none */
  neap_blocks blocks;
  neap_exchange *free_exchanges;
  neap_exchange *mirrors; /* copies of requests, under way */
  uint32_t mirror_count;
  uint64_t exchanges; /* taken and not finished */
  neap_load_probe *load_probes, *free_load_probes;
  uint32_t load_probe_count; /* under way */
  neap_random random;
  neap_recent *recent; /* a ring; NULL: nothing is remembered */
  uint64_t recent_count;
  neap_feed *feed;       /* of the prefetcher; NULL: nothing is prefetched */
  uint64_t join_ms;      /* so long a client waits for one; init makes it a second, where it is 0 */
  neap_exchange *aheads; /* prefetches, under way */
};

/* `flow` is zeroed memory; the pointers are borrowed until fini. */
void neap_flow_init(neap_flow *flow, neap_loop *loop, uint32_t worker,
                    _Atomic(neap_generation_set *) *current, neap_connections *connections,
                    _Atomic(neap_cache *) *cache, neap_tally *tally, uint64_t seed);
/* From now on asks those, NULL for none. Exchanges that wait for the ones before go on without them: their
 * port may be detached when this returns. */
void neap_flow_set_tiers(neap_flow *flow, const neap_flow_tiers *tiers);
/* Ends the load probes that are under way; to be called before the connections go. */
void neap_flow_stop_probes(neap_flow *flow);
/* Ends the copies of requests that are under way, and prefetches. */
void neap_flow_drop_mirrors(neap_flow *flow);
/* No exchange may be under way. */
void neap_flow_fini(neap_flow *flow);

/* --- explaining. Cold. */
struct json_t;
/* What would be done with the request whose head `bytes` are: runs the steps up to where a backend or the
 * client would be asked. It counts for rate limits and for the balance policy, as any request, but not in
 * metrics and logs. A JSON object; NULL when out of memory. */
struct json_t *neap_flow_explain(neap_flow *flow, const char *bytes, size_t size, neap_view client);
/* The newest exchange with that id, as text, or NULL. */
struct json_t *neap_flow_recall(const neap_flow *flow, const char *id);
/* The board of a parsed request, client aside. It points into the head, and where the request is not spelt as
 * requests are compared, into `arena`; so does the request's path then, which is the normal one from here on.
 * NEAP_ENOMEM. hot: */
int neap_flow_board(neap_http_request *request, neap_arena *arena, neap_request_board *board);

/* An exchange for the client `user`, not yet started: its request is to be parsed into
 * neap_exchange_request(), prepared by this. NULL when out of memory. hot: */
neap_exchange *neap_exchange_take(neap_flow *flow, const neap_http_limits *limits, const neap_client_vt *vt,
                                  void *user);
/* Gives back one that was never started. */
void neap_exchange_give(neap_exchange *exchange);
neap_http_request *neap_exchange_request(neap_exchange *exchange);
/* Whether the front wants to keep the connection after this exchange. Before start. */
void neap_exchange_keep_alive(neap_exchange *exchange, bool wanted);
/* In `done`: whether the response left the connection usable. */
bool neap_exchange_kept_alive(const neap_exchange *exchange);

#endif
