/* Prefetching on a worker. A prefetch is an exchange whose client takes everything and says nothing; what it
 * stores goes to the shelf. Clients who ask for it meanwhile wait for it rather than ask again. */
#include "flow/prefetch.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "flow/acts.h"
#include "store/store.h"

enum {
  LINKS_MAX = 16,     /* taken of one response */
  LOOKED_AT = 256,    /* links of one response that are looked at */
  ENCODING_MAX = 128, /* bytes of an Accept-Encoding */
  HOST_MAX = 255
};

static neap_view view_of(neap_http_slice slice) {
  return (neap_view){slice.ptr ? slice.ptr : "", (size_t)slice.size};
}

/* --- telling */

static neap_view encoding_of(const neap_http_request *request) {
  const neap_http_field *field = neap_http_field_find(&request->head, "accept-encoding", 15);
  if (field == NULL || field->value.size > ENCODING_MAX) return NEAP_BYTES("");
  return view_of(field->value);
}

static uint64_t stream_of(const neap_exchange *exchange) {
  neap_view address = exchange->client_vt->address(exchange->client);
  return address.size > 0 ? neap_hash_bytes(address.ptr, address.size) : 0;
}

/* What can be asked for again by anybody, with nothing but its target. */
static bool is_plain(const neap_http_request *request) {
  return request->method_id == NEAP_HTTP_METHOD_GET && !request->absolute && request->target.size > 0 &&
         request->target.ptr[0] == '/' && request->target.size <= NEAP_HTTP_REFERENCE_MAX &&
         request->authority.size > 0 && request->authority.size <= HOST_MAX &&
         neap_http_field_first(&request->head, NEAP_HTTP_ID_AUTHORIZATION) == NULL;
}

static neap_feed_record record_of(const neap_exchange *exchange, neap_feed_kind kind) {
  const neap_http_request *request = &exchange->request;
  return (neap_feed_record){.kind = kind,
                            .stream = stream_of(exchange),
                            .host = view_of(request->authority),
                            .target = view_of(request->target),
                            .encoding = encoding_of(request),
                            .key = exchange->key};
}

void neap_prefetch_missed(neap_exchange *exchange) {
  if (!is_plain(&exchange->request)) return;
  neap_feed_record record = record_of(exchange, NEAP_FEED_MISS);
  neap_feed_add(exchange->flow->feed, &record);
  exchange->has_missed = true;
}

void neap_prefetch_ended(neap_exchange *exchange) {
  const neap_http_request *request = &exchange->request;
  const neap_feed_record record = {
      .kind = NEAP_FEED_ENDED, .host = view_of(request->authority), .target = view_of(request->target)};
  neap_feed_add(exchange->flow->feed, &record);
}

/* --- links */

/* Takes those of one field line. True: there may be more. */
static bool take_links(neap_exchange *exchange, neap_http_slice value, int *looked_at, int *taken) {
  const neap_http_request *request = &exchange->request;
  char target[NEAP_HTTP_REFERENCE_MAX];
  const char *cursor = value.ptr;
  neap_http_link link;
  while (*taken < LINKS_MAX && (*looked_at)++ < LOOKED_AT && neap_http_link_next(value, &cursor, &link)) {
    if (link.rels == 0) continue;
    ssize_t size =
        neap_http_reference(request->authority, request->target, link.target, target, sizeof target);
    if (size < 0) continue;
    neap_feed_record record = record_of(exchange, NEAP_FEED_LINK);
    record.target = (neap_view){target, (size_t)size};
    record.key = NEAP_BYTES("");
    record.page = view_of(request->target);
    neap_feed_add(exchange->flow->feed, &record);
    ++*taken;
  }
  return *taken < LINKS_MAX && *looked_at < LOOKED_AT;
}

void neap_prefetch_links(neap_exchange *exchange, const neap_http_head *head) {
  int looked_at = 0, taken = 0;
  if (exchange->flow->feed == NULL || exchange->ahead || !is_plain(&exchange->request)) return;
  for (int32_t i = 0; i < head->field_count; i++) {
    const neap_http_field *field = &head->fields[i];
    if (field->name.size != 4 || !neap_http_same(field->name.ptr, 4, "link", 4)) continue;
    if (!take_links(exchange, field->value, &looked_at, &taken)) return;
  }
}

/* Those of a stored head, which is lines of text. */
static void stored_links(neap_exchange *exchange) {
  neap_view rest = exchange->stored.head;
  int looked_at = 0, taken = 0;
  while (rest.size > 0) {
    const char *end = memchr(rest.ptr, '\n', rest.size);
    size_t line = end ? (size_t)(end - rest.ptr) + 1 : rest.size;
    size_t text = line;
    while (text > 0 && (rest.ptr[text - 1] == '\n' || rest.ptr[text - 1] == '\r')) text--;
    if (text > 5 && neap_http_same(rest.ptr, 5, "link:", 5)) {
      const neap_http_slice value = {.ptr = rest.ptr + 5, .size = (int32_t)(text - 5)};
      if (!take_links(exchange, value, &looked_at, &taken)) return;
    }
    rest.ptr += line, rest.size -= line;
  }
}

/* What was prefetched is as good as asked for now: its own links are followed, those of prefetches are not.
 */
void neap_prefetch_used(neap_exchange *exchange) {
  if (!neap_store_take_unused(exchange->cache, exchange->entry)) return;
  neap_flow *flow = exchange->flow;
  if (flow->feed == NULL || !(exchange->route->prefetch & NEAP_FLOW_PREFETCH)) return;
  if (!is_plain(&exchange->request)) return;
  neap_feed_record record = record_of(exchange, NEAP_FEED_USED);
  neap_entry_info info;
  neap_entry_info_get(exchange->cache, exchange->entry, &info);
  record.size = info.charged;
  if (!exchange->has_joined) neap_feed_add(flow->feed, &record);
  if (exchange->route->prefetch & NEAP_FLOW_PREFETCH_LINKS) stored_links(exchange);
}

/* --- what ages */

/* Whose client's request decides by nothing but what a prefetch has, too. */
static bool is_like_a_prefetch(const neap_exchange *exchange) {
  return exchange->variant.ptr == exchange->key.ptr || exchange->varies_by_encoding;
}

void neap_prefetch_look_at_age(neap_exchange *exchange) {
  const neap_http_stored *stored = &exchange->stored;
  uint64_t now_ms = neap_loop_now_ms(exchange->flow->loop);
  uint64_t age_ms = stored->age_ms + (now_ms > stored->response_ms ? now_ms - stored->response_ms : 0);
  uint64_t left_ms = stored->lifetime_ms > age_ms ? stored->lifetime_ms - age_ms : 0;
  if (left_ms * 1024 > stored->lifetime_ms * exchange->route->refresh) return;
  if (neap_store_marked(exchange->entry) || !is_like_a_prefetch(exchange) || !is_plain(&exchange->request))
    return;
  neap_store_mark(exchange->entry);
  neap_feed_record record = record_of(exchange, NEAP_FEED_AGING);
  neap_feed_add(exchange->flow->feed, &record);
}

/* --- waiting for one */

bool neap_prefetch_join(neap_exchange *exchange) {
  if (!is_plain(&exchange->request)) return false;
  for (neap_exchange *ahead = exchange->flow->aheads; ahead; ahead = ahead->next_ahead) {
    if (ahead->key.size == 0 || ahead->key.size != exchange->key.size ||
        memcmp(ahead->key.ptr, exchange->key.ptr, ahead->key.size) != 0)
      continue;
    exchange->has_joined = true;
    exchange->joined = ahead;
    exchange->next_joiner = ahead->joiners;
    ahead->joiners = exchange;
    neap_backend_wait(exchange, NEAP_STEP_LOOKUP, exchange->flow->join_ms);
    return true;
  }
  return false;
}

void neap_prefetch_leave(neap_exchange *exchange) {
  if (NEAP_LIKELY(exchange->joined == NULL)) return;
  neap_exchange **at = &exchange->joined->joiners;
  while (*at != exchange) at = &(*at)->next_joiner;
  *at = exchange->next_joiner;
  exchange->joined = NULL;
  neap_timer_clear(&exchange->timer);
}

static void wake_joiners(neap_exchange *ahead) {
  while (ahead->joiners) {
    neap_exchange *one = ahead->joiners;
    neap_prefetch_leave(one);
    neap_exchange_resume(one, NEAP_STEP_LOOKUP);
  }
}

/* --- the client of a prefetch */

static bool swallow(void *client, const struct iovec *pieces, int count, bool last) {
  (void)client, (void)pieces, (void)count, (void)last;
  return true;
}

static void nothing(void *client) {
  (void)client;
}

static void no_body(void *client, bool wanted) {
  (void)client, (void)wanted;
}

static neap_view no_address(void *client) {
  (void)client;
  return NEAP_BYTES("");
}

static void tell_end(neap_flow *flow, neap_prefetch_order *order, const neap_exchange *ahead) {
  neap_feed_record record = {.kind = NEAP_FEED_FAILED, .order = order};
  if (ahead && ahead->kept_bytes > 0) {
    record.kind = NEAP_FEED_LANDED;
    record.size = ahead->kept_bytes;
    record.key = ahead->key;
    if (ahead->variant.ptr != ahead->key.ptr) record.stored = ahead->variant;
  } else if (ahead && (ahead->fwd == NEAP_HTTP_FWD_HIT || ahead->source == FROM_TIER)) {
    record.kind = NEAP_FEED_HELD;
    record.key = ahead->key;
  }
  neap_feed_add(flow->feed, &record);
}

static void unlink_ahead(neap_exchange *ahead) {
  neap_exchange **at = &ahead->flow->aheads;
  while (*at != ahead) at = &(*at)->next_ahead;
  *at = ahead->next_ahead;
}

/* The order may be gone when this returns. */
static void done(void *client) {
  neap_exchange *ahead = client;
  unlink_ahead(ahead);
  tell_end(ahead->flow, ahead->ahead, ahead);
  wake_joiners(ahead);
}

static const neap_client_vt prefetch_vt = {.name = "prefetch",
                                           .send = swallow,
                                           .abort = nothing,
                                           .want_body = no_body,
                                           .done = done,
                                           .address = no_address};

/* --- prefetches */

static bool is_one_line(neap_view text) {
  for (size_t i = 0; i < text.size; i++)
    if ((unsigned char)text.ptr[i] < ' ' || text.ptr[i] == 0x7f) return false;
  return true;
}

neap_prefetch_order *neap_prefetch_order_create(neap_view host, neap_view target, neap_view encoding) {
  if (!is_one_line(host) || !is_one_line(target) || !is_one_line(encoding)) return NULL;
  if (host.size == 0 || target.size == 0 || target.ptr[0] != '/' || memchr(target.ptr, ' ', target.size))
    return NULL;
  size_t room = host.size + target.size + encoding.size + 128;
  neap_prefetch_order *order = calloc(1, sizeof *order + room);
  if (order == NULL) return NULL;
  bool encoded = encoding.size > 0;
  int size =
      snprintf(order->head, room, "GET %.*s HTTP/1.1\r\nHost: %.*s\r\n%s%.*s%sSec-Purpose: prefetch\r\n\r\n",
               (int)target.size, target.ptr, (int)host.size, host.ptr, encoded ? "Accept-Encoding: " : "",
               (int)encoding.size, encoding.ptr, encoded ? "\r\n" : "");
  order->head_size = (size_t)size;
  return order;
}

void neap_flow_prefetch(neap_flow *flow, neap_prefetch_order *order) {
  neap_exchange *ahead = neap_exchange_take(flow, &neap_http_limits_default, &prefetch_vt, NULL);
  bool parsed = ahead && neap_http_request_parse(&ahead->request, order->head, order->head_size) ==
                             (ssize_t)order->head_size;
  if (!parsed) {
    if (ahead) neap_exchange_give(ahead);
    tell_end(flow, order, NULL);
    return;
  }
  ahead->client = ahead;
  ahead->ahead = order;
  ahead->mirror = true;
  ahead->next_ahead = flow->aheads;
  flow->aheads = ahead;
  neap_exchange_start(ahead);
}

neap_step neap_prefetch_end(neap_exchange *exchange) {
  neap_backend_release(exchange, false);
  exchange->end = NEAP_END_NOT_PREFETCHED;
  return NEAP_STEP_FINISH;
}

/* Fewer than half of its members may be picked. */
bool neap_prefetch_is_unwelcome(neap_exchange *exchange) {
  int32_t count, barred = 0, present = 0;
  uint64_t now_ms = neap_loop_now_ms(exchange->flow->loop);
  neap_pool_rows(exchange->pool, &count);
  for (int32_t i = 0; i < count; i++) {
    if (neap_pool_backend(exchange->pool, i) == NULL) continue;
    present++;
    barred += neap_pool_barred(exchange->pool, i, now_ms) != 0;
  }
  return 2 * barred > present;
}
