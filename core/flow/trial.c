/* What an exchange does for the trial of a candidate. */
#include "flow/acts.h"

#include <stdio.h>

#include "base/hash.h"

enum { ENTRY_EXTRA = 192 }; /* bytes that the cache adds to a small entry, about */

/* --- canary */

/* The same client gets the same answer for as long as the trial lasts. */
static bool is_tried(neap_exchange *exchange, const neap_trial *trial) {
  if (neap_flow_board(&exchange->request, &exchange->arena, &exchange->board)) return false;
  neap_exchange_show_client(exchange);
  double key = neap_route_key(trial->by, trial->by_name, &exchange->board);
  if (key == trial->unnamed) key = neap_route_key(NEAP_KEY_CLIENT, "", &exchange->board);
  return (double)(neap_hash_mix((uint64_t)key, trial->salt) >> 11) * 0x1p-53 < trial->share;
}

neap_generation *neap_trial_choose(neap_exchange *exchange, neap_generation *in_force) {
  const neap_trial *trial = exchange->flow->trial;
  if (trial->share == 0 || exchange->refusal || exchange->explained) return in_force;
  return is_tried(exchange, trial) ? trial->candidate : in_force;
}

static bool is_error(const neap_exchange *exchange) {
  switch (exchange->end) {
  case NEAP_END_OK: return exchange->status >= 500;
  case NEAP_END_REFUSED:
  case NEAP_END_RATE_LIMITED:
  case NEAP_END_UNAUTHORIZED:
  case NEAP_END_CLIENT_GONE: return false;
  default: return true;
  }
}

static void note_side(neap_exchange *exchange, neap_trial *trial, uint64_t now_ns) {
  bool tried = exchange->generation == trial->candidate;
  if (!tried && exchange->generation != trial->in_force) return; /* of an earlier one, and late */
  neap_trial_side *side = tried ? &trial->with : &trial->without;
  neap_count_add(&side->requests, 1);
  if (is_error(exchange)) neap_count_add(&side->errors, 1);
  neap_histogram_add(&side->took_us, (now_ns - exchange->start_ns) / 1000);
}

/* --- shadow of routes */

/* The candidate's route; -1: none, -2: a predicate failed. */
static int32_t find_route(neap_exchange *exchange, const neap_generation *candidate) {
  neap_route_walk walk;
  int32_t rule;
  neap_routes_find(candidate->routes, &exchange->board, &walk);
  while ((rule = neap_routes_next(&walk)) >= 0) {
    if (!candidate->rules[rule].conditional) break;
    neap_exchange_show_client(exchange);
    int taken = candidate->when(candidate->when_user, rule, &exchange->board);
    if (taken < 0) return -2;
    if (taken == 1) break;
  }
  return rule;
}

static const char *pool_name(const neap_generation *generation, int32_t pool) {
  return pool >= 0 ? neap_pool_options_of(generation->pools[pool])->name : "";
}

static const char *destination(const neap_generation *generation, const neap_flow_route *route, int32_t pool,
                               int status, char *text, size_t size) {
  if (pool >= 0) return pool_name(generation, pool);
  snprintf(text, size, "%d", status ? status : route->answer.status);
  return text;
}

/* Where the candidate would send it: its function's word goes before the route's; shares are not drawn. */
static bool send_by(neap_exchange *exchange, const neap_generation *candidate, int32_t rule, int32_t *pool,
                    int *status) {
  const neap_flow_route *route = &candidate->rules[rule];
  const neap_act_board *acts = NULL;
  *pool = route->action == NEAP_FLOW_POOL ? route->pool : -1;
  *status = 0;
  if (route->actions == NULL || !route->actions->scripted) return true;
  neap_exchange_show_client(exchange);
  if (candidate->act(candidate->when_user, rule, &exchange->board, &acts) < 0) return false;
  if (acts->pool >= 0) *pool = acts->pool;
  if (acts->status) *pool = -1, *status = acts->status;
  return true;
}

static int32_t taken_pool(const neap_exchange *exchange) {
  const neap_flow_route *route = exchange->route;
  if (exchange->acts && exchange->acts->pooled) return exchange->pool_index;
  if (route->actions && route->actions->scripted && exchange->source == FROM_HERE) return -1;
  return route->action == NEAP_FLOW_POOL ? route->pool : -1;
}

/* Limits and credentials ended it: where it would have gone, nobody asked. */
static bool went_nowhere(const neap_exchange *exchange) {
  return exchange->end != NEAP_END_OK && exchange->end != NEAP_END_NO_ROUTE;
}

static neap_view view_of(neap_slice slice) {
  return (neap_view){slice.ptr ? slice.ptr : "", (size_t)slice.size};
}

static void compare_routes(neap_exchange *exchange, neap_trial *trial) {
  const neap_generation *candidate = trial->candidate;
  char texts[2][16];
  int32_t rule = find_route(exchange, candidate), pool = -1;
  int status = 0;
  if (rule == -2 || (rule >= 0 && !send_by(exchange, candidate, rule, &pool, &status))) {
    neap_count_add(&trial->failed, 1);
    return;
  }
  const neap_request_board *board = &exchange->board;
  neap_trial_difference found = {
      view_of(board->method), view_of(board->host), view_of(board->path), "", "404", "", "404"};
  if (exchange->route) {
    found.route = exchange->route->name;
    found.to = destination(exchange->generation, exchange->route, taken_pool(exchange), exchange->status,
                           texts[0], sizeof texts[0]);
  }
  if (rule >= 0) {
    found.candidate_route = candidate->rules[rule].name;
    found.candidate_to =
        destination(candidate, &candidate->rules[rule], pool, status, texts[1], sizeof texts[1]);
  }
  bool agreed = strcmp(found.route, found.candidate_route) == 0 &&
                (went_nowhere(exchange) || strcmp(found.to, found.candidate_to) == 0);
  neap_count_add(&trial->routed, 1);
  if (agreed) {
    neap_count_add(&trial->agreed, 1);
  } else if (trial->examples > 0) {
    trial->examples--;
    trial->differs(trial, &found);
  }
}

/* The tables of the generation in force have been left; the candidate may have tables of its own. */
void neap_trial_route(neap_exchange *exchange) {
  neap_trial *trial = exchange->flow->trial;
  const neap_generation *candidate = trial->candidate;
  if (!trial->routes || exchange->explained) return;
  if (candidate->tables) neap_table_enter(candidate->readers, exchange->flow->worker);
  compare_routes(exchange, trial);
  if (candidate->tables) neap_table_leave(candidate->readers, exchange->flow->worker);
}

/* --- shadow of what evicts */

static void push_use(neap_trial_tape *tape, uint64_t key, uint64_t size, bool hit) {
  uint32_t head = atomic_load_explicit(&tape->head, memory_order_relaxed);
  if (head - atomic_load_explicit(&tape->tail, memory_order_acquire) == NEAP_TRIAL_USES) {
    neap_count_add(&tape->lost, 1);
    return;
  }
  tape->uses[head % NEAP_TRIAL_USES] =
      (neap_trial_use){.key = key, .size = (uint32_t)NEAP_MIN(size, (uint64_t)INT32_MAX), .hit = hit};
  atomic_store_explicit(&tape->head, head + 1, memory_order_release);
}

static void note_use(const neap_exchange *exchange, uint64_t body_bytes, bool hit) {
  neap_trial_tape *tape = exchange->flow->trial->tape;
  uint64_t key = neap_hash_bytes(exchange->variant.ptr, exchange->variant.size) | 1;
  if (key < tape->below) push_use(tape, key, body_bytes + exchange->variant.size + ENTRY_EXTRA, hit);
}

void neap_trial_hit(const neap_exchange *exchange) {
  if (exchange->flow->trial->tape && !exchange->explained)
    note_use(exchange, neap_entry_size(exchange->entry), true);
}

/* A lookup that led to a put, or to one that the policy refused: others are no policy's matter. */
static void note_miss(const neap_exchange *exchange) {
  bool put = exchange->stored_as == NEAP_REASON_STORE_YES || exchange->stored_as == NEAP_REASON_FILL_UNWANTED;
  if (put && exchange->cache && exchange->source == FROM_BACKEND)
    note_use(exchange, exchange->body_bytes, false);
}

void neap_trial_finish(neap_exchange *exchange, uint64_t now_ns) {
  neap_trial *trial = exchange->flow->trial;
  if (trial->share > 0)
    note_side(exchange, trial, now_ns);
  else if (trial->tape)
    note_miss(exchange);
}
