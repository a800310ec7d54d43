/* The actions of a route, in this order: CORS, limit, credentials, the action in Lua; then what changes the
 * request on its way. Decisions that need no Lua are made here, in C, on the request as the client sent it: a
 * rewritten path is seen by the cache and the backend, not by what decides. */
#include "flow/acts.h"

#include <stdio.h>

enum { ANSWER_TEXT_MAX = 64, TARGET_MAX = 16384, NEVER_MS = 3600 * 1000 };

/* --- limit */

static neap_step refuse(neap_exchange *exchange, const neap_limit *limit, uint64_t wait_ms) {
  char *seconds = neap_arena_take(&exchange->arena, ANSWER_TEXT_MAX);
  if (seconds == NULL) return NEAP_STEP_FINISH;
  snprintf(seconds, ANSWER_TEXT_MAX, "%llu", (unsigned long long)(wait_ms + 999) / 1000);
  neap_acts_edit(exchange, &exchange->acts->response, NEAP_ACTS_SET, "Retry-After", seconds);
  exchange->end = NEAP_END_RATE_LIMITED;
  return neap_answer_make(exchange, &(neap_flow_answer){.status = limit->status,
                                                        .body = NEAP_BYTES("too many requests\n"),
                                                        .content_type = "text/plain; charset=utf-8"});
}

/* The rate of a key: that of the table, where it has one. */
static double rate_of(const neap_exchange *exchange, const neap_limit *limit, double *burst) {
  const neap_rows *rows = neap_acts_rows(exchange, limit->table);
  double rate = limit->rate;
  neap_slice text;
  *burst = limit->burst;
  if (rows == NULL || !neap_rows_get(rows, neap_part_find(&limit->by.list[0], &exchange->board), &text) ||
      !neap_limit_rate(text, &rate))
    return rate;
  *burst = rate;
  return rate;
}

static neap_step check_limit(neap_exchange *exchange, const neap_limit *limit) {
  double burst, rate = rate_of(exchange, limit, &burst);
  if (rate <= 0) return refuse(exchange, limit, NEVER_MS);
  uint64_t hash = neap_parts_hash(&limit->by, &exchange->board, 0);
  uint64_t wait_ms =
      neap_limiter_take(exchange->route->limiter, hash, rate, burst, neap_loop_now_ms(exchange->flow->loop));
  return wait_ms == 0 ? NEAP_STEP_ROUTE : refuse(exchange, limit, wait_ms);
}

/* --- split */

/* The pool that a row of the table names; a name that is none leaves the route's own. */
static int32_t draw_row(const neap_exchange *exchange, const neap_split *split, uint64_t hash) {
  const neap_generation *generation = exchange->generation;
  neap_slice name;
  if (!neap_rows_draw(neap_acts_rows(exchange, split->table), (double)(hash >> 11) * 0x1p-53, &name))
    return exchange->pool_index;
  for (size_t i = 0; i < generation->pool_count; i++)
    if (neap_view_is((neap_view){name.ptr, (size_t)name.size},
                     neap_pool_options_of(generation->pools[i])->name))
      return (int32_t)i;
  return exchange->pool_index;
}

static int32_t draw_share(neap_exchange *exchange, const neap_split *split) {
  uint64_t hash = split->by.count > 0 ? neap_parts_hash(&split->by, &exchange->board, split->salt)
                                      : neap_random_next(&exchange->flow->random);
  if (split->table != NEAP_NO_TABLE) return draw_row(exchange, split, hash);
  uint32_t total = split->shares[split->share_count - 1].upto;
  uint32_t drawn = (uint32_t)(((hash >> 32) * total) >> 32);
  size_t i = 0;
  while (drawn >= split->shares[i].upto) i++;
  return split->shares[i].pool;
}

/* --- rewrite */

static bool write_parts(neap_exchange *exchange, const neap_parts *parts, neap_parts_place place,
                        neap_http_slice *out) {
  size_t capacity = NEAP_MIN(neap_parts_bound(parts, &exchange->board), (size_t)TARGET_MAX) + 1;
  char *text = neap_arena_take(&exchange->arena, capacity);
  if (text == NULL) return false;
  text[0] = '/'; /* a path begins so, whatever it is made of */
  ssize_t size = place == NEAP_PARTS_LOCATION
                     ? neap_parts_write_location(parts, &exchange->board, text + 1, capacity - 1)
                     : neap_parts_write(parts, place, &exchange->board, text + 1, capacity - 1);
  neap_arena_trim(&exchange->arena, text, capacity, size < 0 ? 0 : (size_t)size + 1);
  if (size < 0) return false;
  *out = (neap_http_slice){.ptr = text + 1, .size = (int32_t)size};
  return true;
}

static bool rewrite(neap_exchange *exchange, const neap_rewrite *rule) {
  neap_http_request *request = &exchange->request;
  neap_http_slice path = request->path, query = {.ptr = ""};
  if (rule->path.count > 0) {
    if (!write_parts(exchange, &rule->path, NEAP_PARTS_PATH, &path)) return false;
    if (path.size == 0 || path.ptr[0] != '/') path.ptr--, path.size++;
  }
  if (rule->new_query && !write_parts(exchange, &rule->query, NEAP_PARTS_QUERY, &query)) return false;
  request->path = path;
  if (rule->new_query) request->query = query, request->has_query = query.size > 0;
  return true;
}

static neap_step redirect(neap_exchange *exchange, const neap_parts *location) {
  neap_http_slice text;
  if (!write_parts(exchange, location, NEAP_PARTS_LOCATION, &text))
    return neap_answer_error(exchange, 500, NEAP_END_TOO_LARGE);
  char *copy = neap_acts_copy(exchange, (neap_view){text.ptr, (size_t)text.size});
  if (copy == NULL || neap_acts_edit(exchange, &exchange->acts->response, NEAP_ACTS_SET, "Location", copy))
    return neap_answer_error(exchange, 500, NEAP_END_NO_MEMORY);
  return neap_answer_make(exchange, &exchange->route->answer);
}

/* A path that was made here has no dot segments, whoever put them in: the backend would carry them out. */
static bool leads_astray(const neap_exchange *exchange) {
  bool made = exchange->acts->rewritten || exchange->route->actions->rewrite.path.count > 0;
  return made && neap_http_path_is_odd(exchange->request.path) &&
         neap_http_path_has_dots(exchange->request.path);
}

/* --- all of them */

static bool prepare(neap_exchange *exchange) {
  neap_acts *acts = neap_arena_take(&exchange->arena, sizeof *acts);
  if (acts == NULL) return false;
  *acts = (neap_acts){.tag = exchange->route->actions->tag};
  exchange->acts = acts;
  neap_exchange_show_client(exchange);
  return true;
}

neap_step neap_acts_run(neap_exchange *exchange) {
  const neap_actions *actions = exchange->route->actions;
  neap_step next = NEAP_STEP_ROUTE;
  if (!prepare(exchange)) return neap_answer_error(exchange, 502, NEAP_END_NO_MEMORY);
  if (actions->cors.set) next = neap_acts_cors(exchange);
  if (next == NEAP_STEP_ROUTE && actions->limit.set) next = check_limit(exchange, &actions->limit);
  if (next == NEAP_STEP_ROUTE && actions->auth.scheme) next = neap_acts_auth(exchange);
  if (next == NEAP_STEP_ROUTE && actions->scripted) next = neap_acts_script(exchange);
  if (next != NEAP_STEP_ROUTE) return next;
  const neap_acts *acts = exchange->acts;
  if (actions->location.count > 0 && !acts->pooled) return redirect(exchange, &actions->location);
  bool split = actions->split.share_count > 0 || actions->split.table != NEAP_NO_TABLE;
  if (split && !acts->pooled) exchange->pool_index = draw_share(exchange, &actions->split);
  if (!acts->rewritten && !rewrite(exchange, &actions->rewrite))
    return neap_answer_error(exchange, 500, NEAP_END_TOO_LARGE);
  if (leads_astray(exchange)) return neap_answer_error(exchange, 400, NEAP_END_VALUE_REFUSED);
  if (actions->mirror.pool >= 0 && !exchange->explained) neap_acts_mirror(exchange, &actions->mirror);
  return NEAP_STEP_ROUTE;
}
