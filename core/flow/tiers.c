/* What goes to the tiers below memory, and the end of what was asked of them. */
#include "flow/tiers.h"

#include <stdlib.h>

#include "store/store.h"

uint32_t neap_tiers_of_route(const neap_exchange *exchange, uint64_t bytes) {
  const neap_flow_tiers *tiers = exchange->flow->tiers;
  uint32_t bits = 0;
  for (int i = 0; i < NEAP_FLOW_TIERS; i++)
    if (exchange->route->tiers >> i & 1 && tiers->tiers[i].number && bytes <= tiers->tiers[i].max_object)
      bits |= 1u << tiers->tiers[i].number;
  return bits;
}

/* --- the end of an asking */

static void stop_waiting(neap_flow *flow, neap_asking *asking) {
  if (!asking->waiting) return;
  asking->waiting = false;
  if (asking->prev)
    asking->prev->next = asking->next;
  else
    flow->askings = asking->next;
  if (asking->next) asking->next->prev = asking->prev;
  neap_tier_cancel(&asking->op);
}

void neap_tiers_leave(neap_exchange *exchange) {
  if (exchange->asking == NULL) return;
  stop_waiting(exchange->flow, exchange->asking);
  neap_tier_reply_release(&exchange->asking->reply);
}

void neap_flow_set_tiers(neap_flow *flow, const neap_flow_tiers *tiers) {
  flow->tiers = tiers;
  while (flow->askings) {
    neap_asking *asking = flow->askings;
    stop_waiting(flow, asking);
    asking->answered = true;
    asking->reply = (neap_tier_reply){.code = NEAP_ECANCELED, .tier = -1};
    neap_exchange_resume(asking->exchange, NEAP_STEP_TIERS);
  }
}

/* --- what is stored */

typedef struct parcel {
  neap_view key, head, body;
  uint64_t ttl_ms;
} parcel;

/* Nobody waits for it: what a tier does not take now it gets later, or not at all. */
static void send_off(neap_exchange *exchange, const parcel *what) {
  const neap_flow_tiers *tiers = exchange->flow->tiers;
  uint64_t by_tier[NEAP_TIERS_MAX] = {0};
  neap_tier_set_options options = {.tiers = neap_tiers_of_route(exchange, what->head.size + what->body.size),
                                   .mode = tiers->mode,
                                   .ttl_ms = what->ttl_ms,
                                   .tier_ttl_ms = by_tier,
                                   .meta = what->head};
  if (options.tiers == 0) return;
  for (int i = 0; i < NEAP_FLOW_TIERS; i++)
    if (tiers->tiers[i].ttl_ms)
      by_tier[tiers->tiers[i].number] = NEAP_MIN(tiers->tiers[i].ttl_ms, what->ttl_ms);
  options.tiers |= NEAP_TIER_MEMORY;
  neap_tiers_set(tiers->port, what->key, what->body, &options, NULL, NULL, NULL, NULL);
}

/* In the arena; empty where it does not fit. */
static neap_view record_of(neap_exchange *exchange, neap_view meta) {
  neap_loop *loop = exchange->flow->loop;
  size_t capacity = meta.size + NEAP_HTTP_RECORD_EXTRA;
  char *out = neap_arena_take(&exchange->arena, capacity);
  if (out == NULL) return (neap_view){"", 0};
  ssize_t size = neap_http_record_write(out, capacity, meta, neap_loop_now_ms(loop), neap_loop_wall_ms(loop));
  return (neap_view){out, size < 0 ? 0 : (size_t)size};
}

/* The body in one piece; `*made` is to be freed. NULL: out of memory. */
static const char *whole_body(const neap_entry *entry, char **made) {
  neap_view piece = neap_entry_piece(entry, 0);
  *made = NULL;
  if (piece.size == neap_entry_size(entry)) return piece.ptr;
  char *at = *made = malloc(neap_entry_size(entry));
  if (at == NULL) return NULL;
  for (size_t i = 0; (piece = neap_entry_piece(entry, i)).size > 0; i++) {
    memcpy(at, piece.ptr, piece.size);
    at += piece.size;
  }
  return *made;
}

static uint64_t ttl_of(const neap_exchange *exchange, const neap_http_stored *stored) {
  uint64_t now_ms = neap_loop_now_ms(exchange->flow->loop);
  uint64_t age_ms = stored->age_ms + (now_ms > stored->response_ms ? now_ms - stored->response_ms : 0);
  return stored->lifetime_ms > age_ms ? stored->lifetime_ms - age_ms : 0;
}

/* The marker that memory has now. False: there is none any more, what it led to is out of date. */
static bool send_marker(neap_exchange *exchange, uint64_t ttl_ms) {
  const neap_entry *entry;
  parcel marker = {.key = exchange->key, .body = NEAP_BYTES(""), .ttl_ms = ttl_ms};
  neap_cache_enter(exchange->cache);
  if (neap_store_find(exchange->cache, exchange->key, &entry) == 0)
    marker.head = record_of(exchange, neap_entry_meta(entry));
  neap_cache_leave(exchange->cache);
  if (marker.head.size > 0) send_off(exchange, &marker);
  return marker.head.size > 0;
}

void neap_tiers_share(neap_exchange *exchange, const neap_entry *entry) {
  neap_http_stored stored;
  neap_view meta = neap_entry_meta(entry);
  uint64_t size = neap_entry_size(entry);
  if (neap_http_stored_open(meta, &stored) || neap_tiers_of_route(exchange, meta.size + size) == 0) return;
  parcel response = {
      .key = exchange->variant, .head = record_of(exchange, meta), .ttl_ms = ttl_of(exchange, &stored)};
  bool varies = exchange->variant.ptr != exchange->key.ptr;
  if (response.head.size == 0 || response.ttl_ms == 0) return;
  if (varies && !send_marker(exchange, response.ttl_ms)) return;
  char *made;
  response.body = (neap_view){whole_body(entry, &made), size};
  if (response.body.ptr) send_off(exchange, &response);
  free(made);
}

void neap_tiers_forget(neap_exchange *exchange, neap_view key) {
  uint32_t bits = neap_tiers_of_route(exchange, 0);
  if (bits == 0) return;
  const neap_tier_set_options options = {.tiers = bits | NEAP_TIER_MEMORY, .mode = NEAP_WRITE_THROUGH};
  neap_tiers_delete(exchange->flow->tiers->port, key, &options, NULL, NULL, NULL, NULL);
}
