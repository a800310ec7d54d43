/* route: the table names the candidates, most specific first; a predicate may decline. */
#include "base/host.h"
#include "flow/acts.h"

static neap_slice slice(neap_http_slice from) {
  return (neap_slice){.ptr = from.ptr, .size = from.size};
}

/* In lower case; most clients send it so. */
static int take_host(neap_http_slice from, neap_arena *arena, neap_slice *out) {
  *out = slice(from);
  if (NEAP_LIKELY(neap_host_is_lower(from.ptr, (size_t)from.size))) return 0;
  char *host = neap_arena_take(arena, (size_t)from.size);
  if (host == NULL) return NEAP_ENOMEM;
  neap_host_lower(from.ptr, (size_t)from.size, host);
  out->ptr = host;
  return 0;
}

/* What is matched is what is looked up, rewritten and sent on: the normal path. Only for comparing with
 * routes it is folded, so that no spelling of a slash leads around one. */
static int take_path(neap_http_request *request, neap_arena *arena, neap_slice *folded) {
  char *normal = neap_arena_take(arena, 2 * (size_t)request->path.size);
  if (normal == NULL) return NEAP_ENOMEM;
  char *fold = normal + request->path.size;
  size_t size = neap_http_path_normal(request->path, normal);
  request->path = (neap_http_slice){.ptr = normal, .size = (int32_t)size};
  size_t fold_size = neap_http_path_fold(request->path, fold);
  if (fold_size != size || memcmp(fold, normal, size) != 0)
    *folded = (neap_slice){.ptr = fold, .size = (int32_t)fold_size};
  return 0;
}

int neap_flow_board(neap_http_request *request, neap_arena *arena, neap_request_board *board) {
  board->folded = (neap_slice){.ptr = NULL};
  if (NEAP_UNLIKELY(request->odd_path) && take_path(request, arena, &board->folded)) return NEAP_ENOMEM;
  board->method = slice(request->method);
  board->target = slice(request->target);
  board->path = slice(request->path);
  board->query = slice(request->query);
  board->header_count = request->head.field_count;
  board->version_minor = request->head.version_minor;
  board->headers = (const neap_header_row *)(const void *)request->head.fields;
  return take_host(request->host, arena, &board->host);
}

/* 1: this is its route, 0: it is not, NEAP_EINVAL: it wants more of the predicate than there is. */
static int takes(neap_exchange *exchange, int32_t rule) {
  const neap_generation *generation = exchange->generation;
  if (!generation->rules[rule].conditional) return 1;
  neap_exchange_show_client(exchange);
  int answer = generation->when(generation->when_user, rule, &exchange->board);
  if (NEAP_UNLIKELY(answer == NEAP_EINVAL) && !generation->rules[rule].passes) return NEAP_EINVAL;
  return answer == 1;
}

static neap_step route(neap_exchange *exchange) {
  neap_generation *generation = exchange->generation;
  if (neap_flow_board(&exchange->request, &exchange->arena, &exchange->board))
    return neap_answer_error(exchange, 502, NEAP_END_NO_MEMORY);
  neap_route_walk walk;
  neap_routes_find(generation->routes, &exchange->board, &walk);
  int32_t rule;
  int taken = 0;
  do rule = neap_routes_next(&walk);
  while (rule >= 0 && (taken = takes(exchange, rule)) == 0);
  exchange->rule = taken < 0 ? -1 : rule;
  if (taken < 0) return neap_answer_error(exchange, 400, NEAP_END_VALUE_REFUSED);
  if (rule < 0) return neap_answer_error(exchange, 404, NEAP_END_NO_ROUTE);
  exchange->route = &generation->rules[rule];
  exchange->pool_index = exchange->route->pool;
  if (exchange->route->actions) {
    neap_step next = neap_acts_run(exchange);
    if (next != NEAP_STEP_ROUTE) return next;
  }
  bool pooled = exchange->acts && exchange->acts->pooled;
  if (exchange->route->action == NEAP_FLOW_ANSWER && !pooled)
    return neap_answer_make(exchange, &exchange->route->answer);
  exchange->pool = generation->pools[exchange->pool_index];
  return NEAP_STEP_LOOKUP;
}

neap_step neap_step_route(neap_exchange *exchange) {
  neap_exchange_read_tables(exchange, true);
  neap_step next = route(exchange);
  neap_exchange_read_tables(exchange, false);
  if (NEAP_UNLIKELY(exchange->flow->trial && !exchange->ahead)) neap_trial_route(exchange);
  return next;
}
