/* Sessions in the life of an exchange: `balance` asks which backend its client stays with, `store` says so to
 * the client. The cookie is between the client and the gateway: backends do not see it, and it is not stored.
 */
#include "flow/steps.h"

static const neap_session_options *options_of(const neap_exchange *exchange) {
  return &neap_pool_options_of(exchange->pool)->session;
}

/* --- whose client it is */

static int32_t recall_cookie(neap_exchange *exchange) {
  neap_slice value;
  if (!neap_request_cookie(&exchange->board, neap_view_of(options_of(exchange)->cookie), &value)) return -1;
  exchange->session_cookie = true;
  return neap_pool_session_read(exchange->pool, (neap_view){value.ptr, (size_t)value.size},
                                neap_exchange_wall_s(exchange), &exchange->session_renew);
}

static int32_t recall_tabled(neap_exchange *exchange, uint64_t now_ms) {
  const neap_session_options *options = options_of(exchange);
  if (options->by == NEAP_KEY_CLIENT) neap_exchange_show_client(exchange);
  exchange->session_key = neap_route_key(options->by, options->by_name, &exchange->board);
  return neap_pool_session_find(exchange->pool, exchange->session_key, now_ms);
}

static bool was_tried(const neap_exchange *exchange, int32_t member) {
  for (int i = 0; i < exchange->tried_count; i++)
    if (exchange->tried[i] == member) return true;
  return false;
}

int32_t neap_session_pick(neap_exchange *exchange, uint64_t now_ms) {
  neap_session_kind kind = options_of(exchange)->kind;
  if (NEAP_LIKELY(kind == NEAP_SESSION_OFF)) return -1;
  if (exchange->tries == 0)
    exchange->session =
        kind == NEAP_SESSION_COOKIE ? recall_cookie(exchange) : recall_tabled(exchange, now_ms);
  int32_t member = exchange->session;
  if (member < 0 || was_tried(exchange, member)) return -1;
  int32_t barred = neap_pool_barred(exchange->pool, member, now_ms) & ~NEAP_BAR_DRAINING;
  exchange->session_waits = barred == NEAP_BAR_FULL; /* this request goes elsewhere, the session stays */
  return barred ? -1 : member;
}

/* --- telling */

static void tell_cookie(neap_exchange *exchange) {
  char *value = neap_arena_take(&exchange->arena, NEAP_SESSION_COOKIE_MAX);
  if (value == NULL) return;
  ssize_t size = neap_pool_session_write(exchange->pool, exchange->member, neap_exchange_wall_s(exchange),
                                         value, NEAP_SESSION_COOKIE_MAX);
  if (size < 0) return; /* without the cookie it is still an answer */
  neap_arena_trim(&exchange->arena, value, NEAP_SESSION_COOKIE_MAX, (size_t)size + 1);
  if (neap_edits_add(&exchange->response->head, "Set-Cookie", (neap_view){value, (size_t)size}) == 0)
    exchange->added_bytes += (size_t)size + sizeof "Set-Cookie: \r\n";
}

void neap_session_tell(neap_exchange *exchange) {
  neap_session_kind kind = options_of(exchange)->kind;
  if (NEAP_LIKELY(kind == NEAP_SESSION_OFF) || exchange->session_waits) return;
  bool kept = exchange->member == exchange->session;
  neap_pool_tally *tally = neap_exchange_pool_tally(exchange);
  if (kept)
    neap_count_add(&tally->sessions_kept, 1);
  else if (exchange->session >= 0)
    neap_count_add(&tally->sessions_moved, 1);
  if (kind == NEAP_SESSION_TABLED)
    neap_pool_session_keep(exchange->pool, exchange->session_key, exchange->member,
                           neap_loop_now_ms(exchange->flow->loop));
  else if (!kept || exchange->session_renew)
    tell_cookie(exchange);
}

/* --- hiding the cookie from the backend */

static neap_view next_pair(neap_view *rest) {
  while (rest->size > 0 && (*rest->ptr == ';' || *rest->ptr == ' ' || *rest->ptr == '\t'))
    rest->ptr++, rest->size--;
  const char *end = memchr(rest->ptr, ';', rest->size);
  neap_view pair = {rest->ptr, end ? (size_t)(end - rest->ptr) : rest->size};
  rest->ptr += pair.size, rest->size -= pair.size;
  return pair;
}

/* Copies all pairs but those of that name; how many bytes that is. */
static size_t copy_others(char *out, neap_view value, const char *name) {
  size_t name_size = strlen(name);
  char *at = out;
  for (;;) {
    neap_view pair = next_pair(&value);
    if (pair.size == 0) return (size_t)(at - out);
    if (pair.size > name_size && memcmp(pair.ptr, name, name_size) == 0 && pair.ptr[name_size] == '=')
      continue;
    if (at != out) *at++ = ';', *at++ = ' ';
    memcpy(at, pair.ptr, pair.size);
    at += pair.size;
  }
}

int neap_session_hide(neap_exchange *exchange) {
  if (NEAP_LIKELY(!exchange->session_cookie)) return 0;
  neap_http_head *head = &exchange->request.head;
  const char *name = options_of(exchange)->cookie;
  int32_t kept = 0;
  for (int32_t i = 0; i < head->field_count; i++) {
    neap_http_field field = head->fields[i];
    if (field.name.id == NEAP_HTTP_ID_COOKIE) {
      /* separators may be added: "a;b" becomes "a; b" */
      char *value = neap_arena_take(&exchange->arena, 2 * (size_t)field.value.size + 1);
      if (value == NULL) return NEAP_ENOMEM;
      size_t size = copy_others(value, (neap_view){field.value.ptr, (size_t)field.value.size}, name);
      if (size == 0) continue;
      field.value = (neap_http_slice){.ptr = value, .size = (int32_t)size};
      exchange->hidden_bytes += size;
    }
    head->fields[kept++] = field;
  }
  head->field_count = kept;
  neap_edits_index(head);
  exchange->board.header_count = kept;
  return 0;
}
