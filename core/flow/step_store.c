/* store: decides whether the response may be stored, opens the fill, and writes the head for the client. */
#include "flow/acts.h"
#include "flow/prefetch.h"
#include "flow/tiers.h"
#include "store/store.h"

enum { META_EXTRA = 512, MARKER_MAX = 4096 };

/* A reply to POST and the like makes what is stored under its target out of date. */
static void invalidate(neap_exchange *exchange) {
  const neap_http_request *request = &exchange->request;
  neap_cache *cache = atomic_load_explicit(exchange->flow->cache, memory_order_acquire);
  if (cache == NULL || !exchange->route->cache || exchange->mirror) return;
  if (!neap_http_invalidates(request->method_id, exchange->response->status)) return;
  neap_view key;
  if (neap_exchange_key(exchange, &key)) return;
  neap_cache_remove(cache, key);
  if (exchange->flow->tiers) neap_tiers_forget(exchange, key);
}

/* The nonce of the marker that lies there now, when it names the same fields: what was invalidated since
 * lookup stays so. */
static uint64_t nonce_for(neap_exchange *exchange, const neap_http_stored *marker) {
  neap_http_stored found;
  const neap_entry *entry;
  uint64_t nonce = 0;
  neap_cache_enter(exchange->cache);
  if (neap_cache_get(exchange->cache, exchange->key, &entry) == 0 &&
      neap_http_stored_open(neap_entry_meta(entry), &found) == 0 && neap_http_marker_matches(&found, marker))
    nonce = found.nonce;
  neap_cache_leave(exchange->cache);
  return nonce ? nonce : neap_random_next(&exchange->flow->random);
}

/* Puts the marker that leads to variants. */
static int put_marker(neap_exchange *exchange, uint64_t ttl_ms) {
  neap_http_stored marker;
  char *meta = neap_arena_take(&exchange->arena, MARKER_MAX);
  char *key = neap_arena_take(&exchange->arena, NEAP_VARIANT_KEY_MAX);
  if (meta == NULL || key == NULL) return NEAP_ENOMEM;
  ssize_t size = neap_http_marker_write(meta, MARKER_MAX, exchange->response, 0);
  if (size < 0 || neap_http_stored_open((neap_view){meta, (size_t)size}, &marker)) return NEAP_ESMALL;
  marker.nonce = nonce_for(exchange, &marker);
  neap_http_marker_write(meta, MARKER_MAX, exchange->response, marker.nonce); /* the same but for the nonce */
  ssize_t key_size =
      neap_http_variant_key(key, NEAP_VARIANT_KEY_MAX, exchange->key, &marker, &exchange->request);
  if (key_size < 0) return NEAP_ESMALL;
  exchange->variant = (neap_view){key, (size_t)key_size};
  return neap_cache_put(exchange->cache, exchange->key, NEAP_BYTES(""),
                        &(neap_put_options){.ttl_ms = ttl_ms, .meta = {meta, (size_t)size}});
}

/* What is stored is as the backend sent it: the route's edits are made to every answer anew, so that a reload
 * changes them for what is stored too. */
static ssize_t write_meta(neap_exchange *exchange, const neap_http_head *plain,
                          const neap_http_decision *decision, char *meta, size_t capacity) {
  neap_http_head edited = exchange->response->head;
  exchange->response->head = *plain;
  ssize_t size = neap_http_stored_write(meta, capacity, exchange->response, decision, &exchange->times);
  exchange->response->head = edited;
  return size;
}

static int open_fill(neap_exchange *exchange, const neap_http_head *plain,
                     const neap_http_decision *decision) {
  const neap_http_head *head = &exchange->response->head;
  size_t capacity = head->cursor + META_EXTRA;
  char *meta = neap_arena_take(&exchange->arena, capacity);
  if (meta == NULL) return NEAP_ENOMEM;
  ssize_t size = write_meta(exchange, plain, decision, meta, capacity);
  if (size < 0) return NEAP_ESMALL;
  if (decision->vary) {
    int code = put_marker(exchange, decision->ttl_ms);
    if (code) return code;
  } else {
    exchange->variant = exchange->key;
  }
  uint64_t length = head->has_length ? head->content_length : NEAP_LENGTH_UNKNOWN;
  if (exchange->ahead && head->has_length && length > exchange->ahead->most_bytes) return NEAP_ETOOLARGE;
  neap_put_options options = {.ttl_ms = decision->ttl_ms, .meta = {meta, (size_t)size}};
  if (exchange->ahead)
    return neap_store_shelve_begin(exchange->cache, exchange->variant, length, &options, &exchange->fill);
  return neap_cache_put_begin(exchange->cache, exchange->variant, length, &options, &exchange->fill);
}

neap_reason neap_reason_not_stored(int code) {
  switch (code) {
  case NEAP_EROOM: return NEAP_REASON_FILL_ROOM;
  case NEAP_ETOOLARGE: return NEAP_REASON_FILL_TOO_LARGE;
  case NEAP_EREFUSED: return NEAP_REASON_FILL_UNWANTED;
  case NEAP_EVERSION: return NEAP_REASON_FILL_OLDER;
  case NEAP_ELENGTH: return NEAP_REASON_FILL_LENGTH;
  default: return NEAP_REASON_FILL_FAILED;
  }
}

/* `plain`: the head without the edits that the decision is made by. */
static void decide(neap_exchange *exchange, const neap_http_head *plain) {
  if (exchange->cache == NULL || neap_exchange_is_unasked(exchange)) return;
  /* Cookies are not stored, and lifetimes not guessed from Last-Modified. */
  const neap_acts *acts = exchange->acts;
  neap_http_rules rules = {.default_ms =
                               acts && acts->has_ttl ? acts->ttl_ms : exchange->route->cache_ttl_ms};
  neap_http_decision decision;
  neap_http_store_decide(&decision, &exchange->request, exchange->response, &rules, &exchange->times);
  exchange->stored_as = (neap_reason)(NEAP_REASON_STORE_YES + (int)decision.store);
  if (decision.store != NEAP_HTTP_STORE_YES) return;
  int code = open_fill(exchange, plain, &decision);
  if (code) exchange->stored_as = neap_reason_not_stored(code);
}

static neap_step write_head(neap_exchange *exchange) {
  const neap_http_response *response = exchange->response;
  neap_http_reply *reply = &exchange->reply;
  reply->wall_s = exchange->times.wall_s;
  reply->fwd = exchange->fwd;
  reply->stored = exchange->fill != NULL;
  reply->detail = reply->stored                        ? NEAP_REASON_NONE
                  : neap_exchange_is_unasked(exchange) ? exchange->unasked
                                                       : exchange->stored_as;
  neap_http_reply_plan(reply, &exchange->request, response, neap_answer_keep_alive(exchange));
  const neap_flow_edits *own = neap_acts_response(exchange);
  size_t capacity = response->head.cursor + NEAP_HTTP_HEAD_EXTRA +
                    neap_edits_bytes(&exchange->route->response) + (own ? neap_edits_bytes(own) : 0) +
                    exchange->added_bytes;
  char *head = neap_arena_take(&exchange->arena, capacity);
  ssize_t size =
      head ? neap_http_response_write(head, capacity, &exchange->request, response, reply) : NEAP_ENOMEM;
  if (size < 0) {
    neap_backend_release(exchange, false);
    return neap_answer_error(exchange, 502, NEAP_END_TOO_LARGE);
  }
  neap_arena_trim(&exchange->arena, head, capacity, (size_t)size);
  exchange->head = (neap_view){head, (size_t)size};
  exchange->status = response->status;
  exchange->kept_alive = reply->keep_alive;
  exchange->source = FROM_BACKEND;
  return NEAP_STEP_DELIVER;
}

static neap_step refuse(neap_exchange *exchange) {
  neap_backend_release(exchange, false);
  return neap_answer_error(exchange, 502, NEAP_END_TOO_LARGE);
}

/* A copy whose rows stay as they are when the head's are edited. NULL rows: out of memory. */
static neap_http_head copy_head(neap_exchange *exchange, const neap_http_head *head) {
  neap_http_head copy = *head;
  if (exchange->cache == NULL || !neap_edits_any(&exchange->route->response)) return copy;
  size_t bytes = (size_t)head->field_count * sizeof *head->fields;
  copy.fields = neap_arena_take(&exchange->arena, bytes + 1);
  if (copy.fields) memcpy(copy.fields, head->fields, bytes);
  return copy;
}

/* Whether it is stored is decided by what the route makes of it. */
neap_step neap_step_store(neap_exchange *exchange) {
  neap_http_head *head = &exchange->response->head;
  const neap_flow_edits *own = neap_acts_response(exchange);
  const neap_http_head plain = copy_head(exchange, head);
  if (plain.fields == NULL || neap_edits_apply(&exchange->route->response, head)) return refuse(exchange);
  invalidate(exchange);
  decide(exchange, &plain);
  if (exchange->ahead && exchange->fill == NULL) return neap_prefetch_end(exchange);
  if (exchange->fill && exchange->route->prefetch & NEAP_FLOW_PREFETCH_LINKS)
    neap_prefetch_links(exchange, head);
  if (own && neap_edits_apply(own, head)) return refuse(exchange);
  if (exchange->ahead == NULL)
    neap_session_tell(exchange); /* after what is stored was decided: the cookie is this client's alone */
  neap_http_body_init(&exchange->body, head);
  return write_head(exchange);
}
