/* lookup: finds the response in the cache, or says why not. A found entry is borrowed until `deliver` has
 * sent it or made a reference of it: the cache is entered here and left there, in the same turn of the loop.
 */
#include "flow/acts.h"
#include "flow/prefetch.h"
#include "store/store.h"

enum { KEY_EXTRA = 128 };

static neap_step pass_by(neap_exchange *exchange, neap_http_fwd fwd, neap_reason why) {
  exchange->fwd = fwd;
  exchange->unasked = why;
  return NEAP_STEP_BALANCE;
}

/* Responses are shared by the routes of one space: by default, those to one pool. */
static neap_view space_of(const neap_exchange *exchange) {
  neap_view space = exchange->route->cache_space;
  return space.size > 0 ? space : neap_view_of(neap_pool_options_of(exchange->pool)->name);
}

/* The route's rule, or what its actions made for this request alone; size 0: as HTTP has it. */
static int own_key(neap_exchange *exchange, neap_view *own) {
  const neap_actions *actions = exchange->route->actions;
  *own = (neap_view){NULL, 0};
  if (actions == NULL) return 0;
  *own = exchange->acts->key;
  return own->size > 0 || actions->key.parts.count == 0 ? 0 : neap_acts_key(exchange, &actions->key, own);
}

int neap_exchange_key(neap_exchange *exchange, neap_view *out) {
  neap_view space = space_of(exchange), own;
  const neap_http_request *request = &exchange->request;
  int code = own_key(exchange, &own);
  if (code) return code;
  size_t capacity = space.size + 1 + own.size + (size_t)request->authority.size + (size_t)request->path.size +
                    (size_t)request->query.size + KEY_EXTRA;
  char *key = neap_arena_take(&exchange->arena, capacity);
  if (key == NULL) return NEAP_ENOMEM;
  char *rest = key + space.size + 1;
  memcpy(key, space.ptr, space.size);
  key[space.size] = '\0';
  ssize_t size = (ssize_t)own.size;
  if (own.size > 0)
    memcpy(rest, own.ptr, own.size);
  else
    size = neap_http_key(rest, capacity - space.size - 1, request, NEAP_BYTES("http"));
  if (size < 0) return (int)size;
  *out = (neap_view){key, space.size + 1 + (size_t)size};
  return 0;
}

/* The request as the backend would get it: by that it chooses among variants. NULL: no room for it. */
static const neap_http_request *as_sent(neap_exchange *exchange, neap_http_request *copy) {
  const neap_flow_edits *route = &exchange->route->request, *own = neap_acts_request(exchange);
  if (!neap_edits_any(route) && own == NULL) return &exchange->request;
  *copy = exchange->request;
  neap_http_head *head = &copy->head;
  head->fields = neap_arena_take(&exchange->arena, head->limits->field_count * sizeof *head->fields);
  if (head->fields == NULL) return NULL;
  memcpy(head->fields, exchange->request.head.fields, (size_t)head->field_count * sizeof *head->fields);
  if (neap_edits_apply(route, head) || (own && neap_edits_apply(own, head))) return NULL;
  return copy;
}

/* Who only wants to know what would be found is no access. */
static int get(const neap_exchange *exchange, neap_view key, const neap_entry **out) {
  if (NEAP_UNLIKELY(exchange->explained || exchange->ahead))
    return neap_store_find(exchange->cache, key, out);
  return neap_cache_get(exchange->cache, key, out);
}

static bool is_same(neap_view a, neap_view b) {
  return a.size == b.size && memcmp(a.ptr, b.ptr, a.size) == 0;
}

/* Under the primary key lies a marker: the response, if there is one, lies under the key of the variant. */
static neap_http_fwd find_variant(neap_exchange *exchange) {
  neap_http_request copy;
  const neap_http_request *sent = as_sent(exchange, &copy);
  char *key = neap_arena_take(&exchange->arena, NEAP_VARIANT_KEY_MAX);
  if (sent == NULL || key == NULL) return NEAP_HTTP_FWD_MISS;
  exchange->varies_by_encoding = is_same(exchange->stored.names, NEAP_BYTES("accept-encoding"));
  ssize_t size = neap_http_variant_key(key, NEAP_VARIANT_KEY_MAX, exchange->key, &exchange->stored, sent);
  neap_arena_trim(&exchange->arena, key, NEAP_VARIANT_KEY_MAX, size < 0 ? 0 : (size_t)size);
  if (size < 0) return NEAP_HTTP_FWD_VARY_MISS;
  exchange->variant = (neap_view){key, (size_t)size};
  if (get(exchange, exchange->variant, &exchange->entry)) return NEAP_HTTP_FWD_VARY_MISS;
  if (neap_http_stored_open(neap_entry_meta(exchange->entry), &exchange->stored) || exchange->stored.marker)
    return NEAP_HTTP_FWD_MISS;
  return NEAP_HTTP_FWD_HIT;
}

NEAP_INLINE neap_http_fwd find(neap_exchange *exchange) {
  if (get(exchange, exchange->key, &exchange->entry)) return NEAP_HTTP_FWD_URI_MISS;
  if (neap_http_stored_open(neap_entry_meta(exchange->entry), &exchange->stored)) return NEAP_HTTP_FWD_MISS;
  return exchange->stored.marker ? find_variant(exchange) : NEAP_HTTP_FWD_HIT;
}

/* Where the route prefetches: who asks is told of, and may find that it is on its way. */
static NEAP_SELDOM neap_step tell_miss(neap_exchange *exchange, neap_step next) {
  if (exchange->has_joined) return next;
  neap_prefetch_missed(exchange);
  return neap_prefetch_join(exchange) ? NEAP_STEP_WAIT : next;
}

/* hot: in both of its callers, so that where nothing is prefetched that costs two comparisons. */
NEAP_INLINE neap_step look_up(neap_exchange *exchange) {
  neap_flow *flow = exchange->flow;
  exchange->cache = atomic_load_explicit(flow->cache, memory_order_acquire);
  bool bypass = exchange->acts && exchange->acts->bypass;
  if (!exchange->route->cache || exchange->cache == NULL || bypass) {
    exchange->cache = NULL;
    return pass_by(exchange, NEAP_HTTP_FWD_BYPASS, NEAP_REASON_NONE);
  }
  neap_http_lookup may = neap_http_lookup_decide(&exchange->request);
  if (may != NEAP_HTTP_LOOKUP_USABLE)
    return pass_by(exchange, neap_http_lookup_fwd(may), (neap_reason)(NEAP_REASON_LOOKUP_USABLE + (int)may));
  if (neap_exchange_key(exchange, &exchange->key)) {
    exchange->cache = NULL;
    return pass_by(exchange, NEAP_HTTP_FWD_REQUEST, NEAP_REASON_LOOKUP_KEY);
  }
  exchange->variant = exchange->key;
  neap_cache_enter(exchange->cache);
  exchange->entered = true;
  neap_http_fwd found = find(exchange);
  if (NEAP_UNLIKELY(exchange->ahead != NULL) && exchange->ahead->refresh && found == NEAP_HTTP_FWD_HIT)
    found = NEAP_HTTP_FWD_REQUEST; /* it is there, and not wanted */
  if (found == NEAP_HTTP_FWD_HIT) {
    exchange->serve =
        neap_http_stored_match(&exchange->stored, &exchange->request, neap_exchange_wall_s(exchange));
    if (exchange->serve != NEAP_HTTP_SERVE_FORWARD) {
      exchange->fwd = NEAP_HTTP_FWD_HIT;
      exchange->source = FROM_CACHE;
      if (NEAP_UNLIKELY(flow->trial && !exchange->ahead)) neap_trial_hit(exchange);
      if (NEAP_UNLIKELY(exchange->route->prefetch) && neap_store_is_unused(exchange->entry) &&
          !exchange->explained && !exchange->ahead)
        neap_prefetch_used(exchange);
      return NEAP_STEP_DELIVER;
    }
    found = NEAP_HTTP_FWD_REQUEST;
  }
  exchange->entry = NULL;
  exchange->entered = false;
  neap_cache_leave(exchange->cache);
  bool missed = found == NEAP_HTTP_FWD_URI_MISS || found == NEAP_HTTP_FWD_VARY_MISS;
  neap_step next = pass_by(exchange, found, NEAP_REASON_NONE);
  if (missed && flow->tiers && exchange->route->tiers) next = NEAP_STEP_TIERS;
  if (NEAP_LIKELY(!missed || !(exchange->route->prefetch & NEAP_FLOW_PREFETCH))) return next;
  return flow->feed && !exchange->ahead && !exchange->explained ? tell_miss(exchange, next) : next;
}

/* Where something is prefetched. A prefetch goes on where it finds nothing and may store what it gets. */
static NEAP_SELDOM neap_step look_up_told(neap_exchange *exchange) {
  neap_feed *feed = exchange->flow->feed;
  bool prefetches = exchange->route->prefetch & NEAP_FLOW_PREFETCH;
  if (prefetches && feed && !exchange->ahead && !exchange->explained && !exchange->has_joined)
    neap_count_add(&feed->requests, 1);
  neap_step next = look_up(exchange);
  if (NEAP_LIKELY(!exchange->ahead)) {
    bool aging = exchange->route->refresh && next == NEAP_STEP_DELIVER && feed && !exchange->explained;
    if (aging) neap_prefetch_look_at_age(exchange);
    return next;
  }
  bool wanted = prefetches && exchange->cache && !neap_exchange_is_unasked(exchange);
  return wanted && next != NEAP_STEP_DELIVER ? next : neap_prefetch_end(exchange);
}

/* hot: */
neap_step neap_step_lookup(neap_exchange *exchange) {
  if (NEAP_LIKELY(!exchange->route->prefetch && !exchange->ahead)) return look_up(exchange);
  return look_up_told(exchange);
}
