/* What the steps share: the exchange, and what more than one of them does. Internal to flow/. */
#ifndef NEAP_FLOW_STEPS_H
#define NEAP_FLOW_STEPS_H

#include "base/base.h"
#include "base/reasons.h"
#include "flow/flow.h"

/* How an exchange ended. */
#define NEAP_END_ENUM(GROUP, NAME, name, status, text) NEAP_END_##NAME,
typedef enum neap_end { NEAP_REASONS_END(NEAP_END_ENUM) NEAP_END_COUNT } neap_end;
#undef NEAP_END_ENUM

enum { NEAP_VARIANT_KEY_MAX = 8192 };
enum { TRACE_MAX = 24, ARENA_FIRST = 8192, EXCHANGE_MAGIC = 0x45786368 };

/* What ended a wait for the backend. */
typedef enum backend_event {
  EVENT_NONE,
  EVENT_CONNECTED,
  EVENT_UNREACHABLE,
  EVENT_READABLE,
  EVENT_FAILED, /* nothing can be sent to it any more; it may have answered before */
  EVENT_TIMEOUT
} backend_event;

/* Where the response comes from. */
typedef enum response_source {
  FROM_NOWHERE,
  FROM_CACHE,
  FROM_BACKEND,
  FROM_HERE,
  FROM_TIER /* below memory */
} response_source;

/* Life: 1 taken (front parses into `request`), 2 under way (start .. finish), 3 free. The parts below `tries`
 * are set by the step that their comment names, and zeroed at 1. */
struct neap_exchange {
  uint32_t magic;
  neap_flow *flow;
  neap_exchange *next_free;
  const neap_client_vt *client_vt;
  void *client;
  neap_arena arena;
  neap_timer timer;       /* of the backend: to connect, to answer; and before a retry */
  neap_timer hedge_timer; /* until a second copy is sent */
  neap_http_request request;

  /* zeroed from here to `fields` */
  bool running;      /* steps are on the stack */
  neap_step resumed; /* meanwhile somebody ended the wait: goes on here; WAIT: nobody did */
  bool client_gone, client_wants_keep_alive, kept_alive;
  bool mirror; /* a copy of another's request, in which the cache has no part, or a prefetch: not counted */
  neap_exchange *next_mirror;
  neap_prefetch_order *ahead; /* it is a prefetch: in the log alone, and for nobody; NULL: it is none */
  neap_exchange *next_ahead, *joiners; /* of prefetches; of those who wait for it, the first */
  neap_exchange *joined, *next_joiner; /* the prefetch that it waits for; NULL: none */
  bool has_joined;                     /* at most once */
  bool varies_by_encoding;             /* lookup: what was found does so, and by nothing else */
  bool has_missed;                     /* the prefetcher was told so */
  uint64_t kept_bytes;                 /* of a prefetch: what is stored is charged; 0: nothing is */
  uint8_t trace[TRACE_MAX], trace_count;
  neap_end end;
  neap_reason refusal; /* recv */
  uint64_t start_ns, wall_ms;
  uint64_t id;               /* recv: the client's X-Request-Id, hashed, or one of our own */
  neap_http_slice client_id; /* the former; size 0: there is none */
  bool explained;            /* ends where a backend would be asked: explain.c */
  int status;                /* sent, or about to be */
  bool begun;                /* something of a response was handed to the client */
  uint64_t body_bytes;       /* of these, body */

  neap_generation *generation; /* recv */
  neap_request_board board;    /* route */
  int32_t rule, pool_index;    /* route */
  const neap_flow_route *route;
  struct neap_acts *acts; /* what its actions made of this exchange (acts.h); NULL: it has none */

  neap_cache *cache; /* lookup: NULL when the cache has no part in this */
  neap_view key;     /* primary key, in the arena */
  neap_view variant; /* what the response is found under: the same, or a variant's key */
  neap_http_fwd fwd;
  neap_reason unasked;     /* lookup: why the cache was not asked; tiers: why they had no answer */
  const neap_entry *entry; /* lookup: borrowed ... */
  neap_entry *pinned;      /* ... or referenced, when the client is slow */
  bool entered;            /* inside neap_cache_enter */
  neap_http_stored stored;
  neap_http_serve serve;
  size_t piece;               /* of the entry, the next to be sent */
  struct neap_asking *asking; /* tiers: what is asked of them (tiers.h); NULL: nothing was */

  response_source source;
  int32_t member;    /* balance: of the pool */
  int32_t in_flight; /* fetch: requests on it when this one was sent, this one included */
  int32_t tried[NEAP_TRIES_MAX];
  int tried_count, tries;
  bool admitted; /* balance: this try is paid for and may be made */
  bool delayed;  /* the pause before this retry is over */
  double pick_key;
  bool holds_member;       /* of the pool, until neap_balance_let_go */
  neap_pool_waiter waiter; /* in the pool's queue */
  neap_pool *pool;
  int32_t session;                  /* the member that the client stays with; -1: none */
  double session_key;               /* of the table */
  bool session_cookie;              /* the client sent one */
  bool session_renew;               /* it is to be told again */
  bool session_waits;               /* its backend is full: another serves this one request */
  size_t hidden_bytes, added_bytes; /* that heads may have grown by */

  neap_connection *connection; /* fetch */
  backend_event event;
  neap_step awaiting;     /* goes on when the backend does something, or its time is over */
  neap_connection *hedge; /* of the second copy, while the first is waited for too */
  int32_t hedge_member, hedge_in_flight;
  bool hedge_connecting;
  uint64_t hedge_sent_ns;
  bool connecting, reused, counted; /* counted: begun on the pool's member */
  bool stale;                       /* the last try ended on a kept connection that its backend had closed */
  bool edited;                      /* the route's edits were made to the request */
  char *block;                      /* what the backend sent: [block_at, block_end) is not yet used */
  size_t block_at, block_end;
  uint64_t sent_ns, head_ns; /* when a try was begun, then sent; when it was answered */
  bool body_started, body_kept, body_done, body_broken; /* request body, on its way */
  char body_chunk[NEAP_HTTP_CHUNK_HEAD_MAX];
  neap_http_times times;
  neap_http_response *response; /* in the arena */

  neap_http_body body; /* store: of the response */
  neap_http_reply reply;
  neap_reason stored_as; /* or why not */
  neap_fill *fill;
  neap_view head; /* to be sent first; in the arena */
  char chunk[NEAP_HTTP_CHUNK_HEAD_MAX];
  bool client_busy, last_sent; /* deliver: the client keeps bytes; the end has been handed over */

  neap_http_field fields[NEAP_HTTP_FIELDS_MAX];
  char arena_first[ARENA_FIRST];
};

#define NEAP_STEP_DECLARE(NAME, name, text) neap_step neap_step_##name(neap_exchange *exchange);
NEAP_STEPS(NEAP_STEP_DECLARE)
#undef NEAP_STEP_DECLARE

/* flow.c */
/* How it ended, or why it was refused. */
static inline neap_reason neap_exchange_reason(const neap_exchange *exchange) {
  return exchange->refusal ? exchange->refusal : (neap_reason)(NEAP_REASON_END_OK + (int)exchange->end);
}
/* The tally of a pool; of its own. */
static inline neap_pool_tally *neap_exchange_tally_of(const neap_exchange *exchange, int32_t pool) {
  return exchange->flow->tally->pools[neap_pool_options_of(exchange->generation->pools[pool])->series];
}
static inline neap_pool_tally *neap_exchange_pool_tally(const neap_exchange *exchange) {
  uint32_t series = exchange->pool ? neap_pool_options_of(exchange->pool)->series : NEAP_SERIES_NO_POOL;
  return exchange->flow->tally->pools[series];
}
/* One exchange more or less uses it; how many now. Its worker alone writes the number. */
static inline uint64_t neap_generation_count(neap_generation *generation, int change) {
  uint64_t count =
      atomic_load_explicit(&generation->exchanges, memory_order_relaxed) + (uint64_t)(int64_t)change;
  atomic_store_explicit(&generation->exchanges, count, memory_order_relaxed);
  return count;
}
static inline int64_t neap_exchange_wall_s(neap_exchange *exchange) {
  return (int64_t)(neap_loop_wall_ms(exchange->flow->loop) / 1000);
}
/* Around what reads data tables: what is found there stays as it is. Nothing where there are none. */
static inline void neap_exchange_read_tables(const neap_exchange *exchange, bool reading) {
  const neap_generation *generation = exchange->generation;
  if (generation->tables == NULL) return;
  if (reading)
    neap_table_enter(generation->readers, exchange->flow->worker);
  else
    neap_table_leave(generation->readers, exchange->flow->worker);
}
/* The client's address is put on the board when somebody is going to read it. */
void neap_exchange_show_client(neap_exchange *exchange);

/* recent.c: the id as text: the client's own, or 16 hexadecimal digits in `out`. */
enum { NEAP_ID_SIZE = 16 };
neap_view neap_exchange_id(const neap_exchange *exchange, char out[NEAP_ID_SIZE]);
/* Takes the client's id where it is one, else makes one. hot: */
void neap_exchange_identify(neap_exchange *exchange);
/* Remembers how it went. hot: */
void neap_exchange_remember(const neap_exchange *exchange, uint64_t now_ns);

/* explain.c: tells what was decided. */
void neap_exchange_explain(neap_exchange *exchange);

/* trial.c: what there is to do where a candidate is tried: flow->trial is set. */
neap_generation *neap_trial_choose(neap_exchange *exchange, neap_generation *in_force);
void neap_trial_route(neap_exchange *exchange); /* routed, or answered */
void neap_trial_hit(const neap_exchange *exchange);
void neap_trial_finish(neap_exchange *exchange, uint64_t now_ns);

/* answer.c: makes a response here and returns DELIVER. */
neap_step neap_answer_error(neap_exchange *exchange, int status, neap_end end);
neap_step neap_answer_make(neap_exchange *exchange, const neap_flow_answer *answer);
/* Whether the connection can stay after a response made here. */
bool neap_answer_keep_alive(const neap_exchange *exchange);

/* edits.c: applies a route's edits to a parsed head. NEAP_ETOOLARGE when there are no rows left. */
int neap_edits_apply(const neap_flow_edits *edits, neap_http_head *head);
static inline bool neap_edits_any(const neap_flow_edits *edits) {
  return edits->remove_count + edits->set_count + edits->add_count > 0;
}
/* Most bytes that they add. */
size_t neap_edits_bytes(const neap_flow_edits *edits);
/* Adds one field behind the others; its texts are borrowed. NEAP_ETOOLARGE. */
int neap_edits_add(neap_http_head *head, const char *name, neap_view value);
/* Finds the known fields anew, after rows have moved. */
void neap_edits_index(neap_http_head *head);

/* hedge.c */
/* A request that may be sent twice was sent: a second copy will be, unless a response comes. hot: */
void neap_hedge_arm(neap_exchange *exchange);
void neap_hedge_fire(neap_timer *timer);
/* Forgets the second copy. */
void neap_hedge_drop(neap_exchange *exchange);
/* The first has failed: true where there is a copy, which is in its place now. */
bool neap_hedge_take_over(neap_exchange *exchange);

/* session.c */
/* The member that the client stays with, where it may serve this request; else -1. */
int32_t neap_session_pick(neap_exchange *exchange, uint64_t now_ms);
/* Remembers who answers, and adds the cookie to the response where the client has to be told. */
void neap_session_tell(neap_exchange *exchange);
/* Takes the cookie out of the request. NEAP_ENOMEM. */
int neap_session_hide(neap_exchange *exchange);

/* step_store.c: of what a fill says, 0 aside. */
neap_reason neap_reason_not_stored(int code);

/* The cache was not asked, for something in the request: what is answered is not stored. */
static inline bool neap_exchange_is_unasked(const neap_exchange *exchange) {
  return exchange->unasked >= NEAP_REASON_LOOKUP_USABLE && exchange->unasked <= NEAP_REASON_LOOKUP_KEY;
}

/* step_lookup.c: the primary key: the route's space, a NUL, the key of HTTP. In the arena. */
int neap_exchange_key(neap_exchange *exchange, neap_view *out);

/* step_balance.c: leaves the pool's queue; lets go of the member. Nothing where there is none. */
void neap_balance_leave(neap_exchange *exchange);
void neap_balance_let_go(neap_exchange *exchange);

/* load.c: how busy backends say they are. */
/* Reads the report in the head of a response, if there is one, into what is known of the member. hot: two
 * loads where there is none. */
bool neap_load_report_of(const neap_http_head *head, neap_report *out);
/* Sends the load probes that the policy asked for with its last pick. */
void neap_load_probes_begin(neap_exchange *exchange);

/* backend.c: the connection of an exchange. */
/* Tells `event` to the waiting step. */
extern const neap_connection_vt neap_backend_vt;
/* Sends the head of the request, then asks the client for the body. 0 or NEAP_E... */
int neap_backend_send(neap_exchange *exchange);
/* What has become of the try so far; `status` is of the answer, 0 where there is none. */
neap_pool_outcome neap_backend_outcome(const neap_exchange *exchange, int32_t status);
/* Sends the head alone, to a member. 0, NEAP_EBUSY: it is on its way; else NEAP_E... */
int neap_backend_send_head(neap_exchange *exchange, neap_connection *connection, int32_t member);
/* Lets go of the connection, and of a second copy: kept for the next request where that is safe. */
void neap_backend_release(neap_exchange *exchange, bool reusable);
/* (Re)starts the time that the backend has. */
void neap_backend_wait(neap_exchange *exchange, neap_step awaiting, uint64_t limit_ms);
/* The request has no body, or all of it has been sent. */
bool neap_body_is_over(const neap_exchange *exchange);

#endif
