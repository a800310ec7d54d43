/* The action of a route in Lua: asks it, and copies what it decided into the exchange. The board was filled
 * through leaves that check; what is read here is in bounds. */
#include "flow/acts.h"

static neap_view text_of(const neap_act_board *board, int what) {
  const neap_act_text *text = &board->texts[what];
  return text->size < 0 ? (neap_view){NULL, 0} : (neap_view){board->text + text->at, (size_t)text->size};
}

/* A copy of a text that was given; false: out of memory. *out stays where none was. */
static bool take(neap_exchange *exchange, const neap_act_board *board, int what, neap_view *out) {
  neap_view text = text_of(board, what);
  if (text.ptr == NULL) return true;
  const char *copy = neap_acts_copy(exchange, text);
  if (copy == NULL) return false;
  *out = (neap_view){copy, text.size};
  return true;
}

static int take_edits(neap_exchange *exchange, const neap_act_board *board) {
  for (int32_t i = 0; i < board->edit_count; i++) {
    const neap_act_edit *edit = &board->edits[i];
    bool response = edit->change & NEAP_ACT_RESPONSE;
    const char *name = neap_acts_copy(exchange, neap_view_of(board->text + edit->name));
    const char *value = neap_acts_copy(exchange, neap_view_of(board->text + edit->value));
    int change = edit->change & ~NEAP_ACT_RESPONSE;
    if (name == NULL || value == NULL) return NEAP_ENOMEM;
    int code = neap_acts_edit(exchange, response ? &exchange->acts->response : &exchange->acts->request,
                              change == NEAP_ACT_SET   ? NEAP_ACTS_SET
                              : change == NEAP_ACT_ADD ? NEAP_ACTS_ADD
                                                       : NEAP_ACTS_REMOVE,
                              name, value);
    if (code) return code;
  }
  return 0;
}

/* The key is kept apart from those of HTTP and of a route's rule by its first byte. */
static bool take_key(neap_exchange *exchange, const neap_act_board *board) {
  neap_view key = text_of(board, NEAP_ACT_KEY);
  if (key.ptr == NULL) return true;
  char *copy = neap_arena_take(&exchange->arena, key.size + 1);
  if (copy == NULL) return false;
  copy[0] = '\r';
  memcpy(copy + 1, key.ptr, key.size);
  exchange->acts->key = (neap_view){copy, key.size + 1};
  return true;
}

static bool take_target(neap_exchange *exchange, const neap_act_board *board) {
  neap_http_request *request = &exchange->request;
  neap_view path = {NULL, 0}, query = {NULL, 0};
  if (!take(exchange, board, NEAP_ACT_PATH, &path) || !take(exchange, board, NEAP_ACT_QUERY, &query))
    return false;
  if (path.ptr) {
    request->path = (neap_http_slice){.ptr = path.ptr, .size = (int32_t)path.size};
    exchange->acts->rewritten = true;
  }
  if (query.ptr) {
    request->query = (neap_http_slice){.ptr = query.ptr, .size = (int32_t)query.size};
    request->has_query = query.size > 0;
    exchange->acts->rewritten = true;
  }
  return true;
}

static bool take_all(neap_exchange *exchange, const neap_act_board *board) {
  neap_acts *acts = exchange->acts;
  neap_view tag = {NULL, 0};
  if (!take_key(exchange, board) || !take_target(exchange, board) || take_edits(exchange, board))
    return false;
  if (!take(exchange, board, NEAP_ACT_TAG, &tag)) return false;
  if (tag.ptr) acts->tag = tag.ptr;
  acts->bypass |= board->bypass != 0;
  acts->has_ttl = board->ttl_ms >= 0;
  if (acts->has_ttl) acts->ttl_ms = (uint64_t)board->ttl_ms;
  acts->pooled = board->pool >= 0 && (size_t)board->pool < exchange->generation->pool_count;
  if (acts->pooled) exchange->pool_index = board->pool;
  return true;
}

static neap_step answer(neap_exchange *exchange, const neap_act_board *board) {
  neap_view body = {"", 0}, type = {NULL, 0}, location = {NULL, 0};
  if (!take(exchange, board, NEAP_ACT_BODY, &body) || !take(exchange, board, NEAP_ACT_TYPE, &type) ||
      !take(exchange, board, NEAP_ACT_LOCATION, &location))
    return neap_answer_error(exchange, 502, NEAP_END_NO_MEMORY);
  if (location.ptr &&
      neap_acts_edit(exchange, &exchange->acts->response, NEAP_ACTS_SET, "Location", location.ptr))
    return neap_answer_error(exchange, 502, NEAP_END_NO_MEMORY);
  return neap_answer_make(
      exchange, &(neap_flow_answer){.status = board->status, .body = body, .content_type = type.ptr});
}

neap_step neap_acts_script(neap_exchange *exchange) {
  const neap_generation *generation = exchange->generation;
  const neap_actions *actions = exchange->route->actions;
  const neap_act_board *board;
  int code = generation->act(generation->when_user, exchange->rule, &exchange->board, &board);
  if (code) {
    if (code == NEAP_EINVAL && actions->refuses)
      return neap_answer_error(exchange, 400, NEAP_END_VALUE_REFUSED);
    if (actions->strict && code != NEAP_EINVAL)
      return neap_answer_error(exchange, 503, NEAP_END_ACTION_FAILED);
    exchange->acts->bypass = actions->scripted_key; /* under whose key would it be stored? */
    return NEAP_STEP_ROUTE;
  }
  if (!take_all(exchange, board)) return neap_answer_error(exchange, 502, NEAP_END_NO_MEMORY);
  return board->status ? answer(exchange, board) : NEAP_STEP_ROUTE;
}
