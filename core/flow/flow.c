/* The one loop over the steps, and the life of exchanges. */
#include "flow/prefetch.h"
#include "flow/steps.h"
#include "flow/tiers.h"

#include <stdlib.h>

_Static_assert(sizeof(neap_http_field) == sizeof(neap_header_row), "a request board points at parsed fields");
_Static_assert(offsetof(neap_http_field, value) == offsetof(neap_header_row, value), "the same rows");
_Static_assert(offsetof(neap_http_slice, size) == offsetof(neap_slice, size), "the same slices");

enum { BLOCKS_KEPT = 64, JOIN_MS = 1000 };

static neap_step (*const steps[])(neap_exchange *exchange) = {
#define STEP_FUNCTION(NAME, name, text) [NEAP_STEP_##NAME] = neap_step_##name,
    NEAP_STEPS(STEP_FUNCTION)
#undef STEP_FUNCTION
};

/* --- the loop over the steps */

static void note(neap_exchange *exchange, neap_step step) {
  uint8_t count = exchange->trace_count;
  if (count > 0 && exchange->trace[count - 1] == step) return; /* went on after a wait */
  if (count < TRACE_MAX) exchange->trace[exchange->trace_count++] = (uint8_t)step;
}

/* A wait was ended while the step that began it was still on the stack. */
static neap_step after_wait(neap_exchange *exchange) {
  neap_step step = exchange->resumed;
  exchange->resumed = NEAP_STEP_WAIT;
  return exchange->client_gone ? NEAP_STEP_FINISH : step;
}

void neap_exchange_resume(neap_exchange *exchange, neap_step step) {
  neap_check_magic(exchange, EXCHANGE_MAGIC);
  if (exchange->running) {
    exchange->resumed = step;
    return;
  }
  exchange->running = true;
  while (step < NEAP_STEP_WAIT) {
    if (exchange->client_gone) step = NEAP_STEP_FINISH;
    note(exchange, step);
    step = steps[step](exchange);
    if (NEAP_UNLIKELY(exchange->explained) && step > NEAP_STEP_BALANCE && step != NEAP_STEP_FINISH &&
        step != NEAP_STEP_DONE)
      step = NEAP_STEP_FINISH; /* a backend or the client would be next */
    if (NEAP_UNLIKELY(exchange->explained) && step == NEAP_STEP_FINISH) neap_exchange_explain(exchange);
    if (step == NEAP_STEP_WAIT) step = after_wait(exchange);
  }
  exchange->running = false;
  if (step == NEAP_STEP_DONE) neap_exchange_give(exchange);
}

void neap_exchange_start(neap_exchange *exchange) {
  neap_exchange_resume(exchange, NEAP_STEP_RECV);
}

void neap_exchange_refuse(neap_exchange *exchange, neap_reason reason) {
  if (exchange->refusal) return;
  exchange->refusal = reason;
  if (exchange->trace_count == 0) {
    neap_exchange_resume(exchange, NEAP_STEP_RECV);
    return;
  }
  neap_tiers_leave(exchange);
  neap_prefetch_leave(exchange);
  /* While its body is read: whoever is answering is cut off, unless nothing has been sent yet. */
  neap_backend_release(exchange, false);
  neap_exchange_resume(exchange, exchange->begun ? NEAP_STEP_FINISH : NEAP_STEP_RECV);
}

void neap_exchange_client_gone(neap_exchange *exchange) {
  if (exchange->client_gone) return;
  exchange->client_gone = true;
  neap_tiers_leave(exchange);
  neap_prefetch_leave(exchange);
  if (exchange->end == NEAP_END_OK || exchange->status == 0) exchange->end = NEAP_END_CLIENT_GONE;
  neap_exchange_resume(exchange, NEAP_STEP_FINISH);
}

/* --- life */

static void on_timeout(neap_timer *timer);

static neap_exchange *make(neap_flow *flow) {
  neap_exchange *exchange = malloc(sizeof *exchange);
  if (exchange == NULL) return NULL;
  neap_arena_init(&exchange->arena, exchange->arena_first, ARENA_FIRST);
  neap_timer_init(&exchange->timer, on_timeout);
  neap_timer_init(&exchange->hedge_timer, neap_hedge_fire);
  exchange->flow = flow;
  return exchange;
}

neap_exchange *neap_exchange_take(neap_flow *flow, const neap_http_limits *limits, const neap_client_vt *vt,
                                  void *user) {
  neap_exchange *exchange = flow->free_exchanges;
  if (exchange)
    flow->free_exchanges = exchange->next_free;
  else if ((exchange = make(flow)) == NULL)
    return NULL;
  exchange->magic = EXCHANGE_MAGIC;
  exchange->client_vt = vt;
  exchange->client = user;
  memset(&exchange->running, 0, offsetof(neap_exchange, fields) - offsetof(neap_exchange, running));
  exchange->resumed = NEAP_STEP_WAIT;
  neap_http_request_init(&exchange->request, exchange->fields, limits);
  flow->exchanges++;
  return exchange;
}

void neap_exchange_give(neap_exchange *exchange) {
  neap_flow *flow = exchange->flow;
  neap_arena_reset(&exchange->arena);
  exchange->magic = 0;
  exchange->next_free = flow->free_exchanges;
  flow->free_exchanges = exchange;
  flow->exchanges--;
}

neap_http_request *neap_exchange_request(neap_exchange *exchange) {
  return &exchange->request;
}

void neap_exchange_keep_alive(neap_exchange *exchange, bool wanted) {
  exchange->client_wants_keep_alive = wanted;
}

bool neap_exchange_kept_alive(const neap_exchange *exchange) {
  return exchange->kept_alive;
}

void neap_exchange_show_client(neap_exchange *exchange) {
  if (exchange->board.client.ptr != NULL) return;
  neap_view address = exchange->client_vt->address(exchange->client);
  exchange->board.client = (neap_slice){.ptr = address.ptr, .size = (int32_t)address.size};
}

/* The backend has not done in time what it was to do, none was free in time, or the pause before a retry is
 * over. Left running while the client is the one waited for. */
static void on_timeout(neap_timer *timer) {
  neap_exchange *exchange = NEAP_CONTAINER_OF(timer, neap_exchange, timer);
  if (exchange->client_busy) return;
  if (exchange->joined) { /* a client waits for no prefetch longer than that */
    neap_prefetch_leave(exchange);
    neap_exchange_resume(exchange, NEAP_STEP_LOOKUP);
    return;
  }
  if (exchange->connection == NULL && exchange->awaiting != NEAP_STEP_BALANCE) return;
  exchange->event = EVENT_TIMEOUT;
  neap_exchange_resume(exchange, exchange->awaiting);
}

void neap_exchange_sent(neap_exchange *exchange) {
  exchange->client_busy = false;
  neap_exchange_resume(exchange, NEAP_STEP_DELIVER);
}

void neap_generation_retire(neap_generation *generation) {
  generation->retired = true;
  if (neap_generation_count(generation, 0) == 0) generation->drained(generation);
}

/* --- a worker's flow */

void neap_flow_init(neap_flow *flow, neap_loop *loop, uint32_t worker,
                    _Atomic(neap_generation_set *) *current, neap_connections *connections,
                    _Atomic(neap_cache *) *cache, neap_tally *tally, uint64_t seed) {
  flow->loop = loop;
  flow->worker = worker;
  flow->current = current;
  flow->connections = connections;
  flow->cache = cache;
  flow->tally = tally;
  flow->random.state = seed;
  if (flow->join_ms == 0) flow->join_ms = JOIN_MS;
  flow->recent = calloc(NEAP_RECENT, sizeof *flow->recent); /* without it nothing is remembered */
  neap_blocks_init(&flow->blocks, NEAP_BLOCK, BLOCKS_KEPT);
}

void neap_flow_fini(neap_flow *flow) {
  neap_assert(flow->exchanges == 0 && flow->askings == NULL);
  while (flow->free_exchanges) {
    neap_exchange *exchange = flow->free_exchanges;
    flow->free_exchanges = exchange->next_free;
    free(exchange);
  }
  free(flow->recent);
  neap_blocks_fini(&flow->blocks);
}
