/* Explaining: an exchange without a client, run by the real steps up to where a backend or the client would
 * be asked. What is told is what the exchange holds then. */
#include <jansson.h>

#include "flow/acts.h"
#include "flow/tiers.h"

typedef struct explain_client {
  neap_view address;
  json_t *out;
} explain_client;

/* --- what was decided */

static json_t *text_of(const char *bytes, size_t size) {
  json_t *text = json_stringn(bytes, size);
  return text ? text : json_string("?");
}

static json_t *reason_of(neap_reason reason) {
  return json_pack("{s:s, s:s}", "code", neap_reason_code(reason), "text", neap_reason_text(reason));
}

static json_t *bars_of(int32_t barred) {
  json_t *list = json_array();
  for (int i = 0; i < NEAP_REASON_COUNT - NEAP_REASON_BAR_TRIED; i++)
    if (barred >> i & 1)
      json_array_append_new(list, json_string(neap_reason_code((neap_reason)(NEAP_REASON_BAR_TRIED + i))));
  return list;
}

/* What a request can expect to wait there, for its share: lower is better. Policies have their own mind. */
static double score_of(const neap_backend_row *row) {
  double share = row->share > 0 ? row->share : 1;
  return row->ewma_us / 1e3 * (row->in_flight + 1) / share;
}

static json_t *candidates_of(neap_exchange *exchange) {
  json_t *list = json_array();
  int32_t count;
  uint64_t now_ms = neap_loop_now_ms(exchange->flow->loop);
  const neap_backend_row *rows = neap_pool_rows(exchange->pool, &count);
  for (int32_t i = 0; i < count; i++) {
    neap_backend *backend = neap_pool_backend(exchange->pool, i);
    if (backend == NULL) continue; /* an empty place */
    const neap_backend_row *row = &rows[i];
    json_array_append_new(list, json_pack("{s:s, s:b, s:o, s:i, s:f, s:i, s:f, s:f, s:f}", "backend",
                                          neap_backend_address(backend), "picked", i == exchange->member,
                                          "barred", bars_of(neap_pool_barred(exchange->pool, i, now_ms)),
                                          "weight", (int)row->weight, "share", row->share, "in_flight",
                                          (int)row->in_flight, "ewma_ms", row->ewma_us / 1e3, "error_rate",
                                          row->error_rate, "score", score_of(row)));
  }
  return list;
}

/* Those that its requests ask, in order; explaining does not wait for them. */
static json_t *tiers_of(const neap_exchange *exchange) {
  static const char *const states[] = {[NEAP_TIER_BREAKER_CLOSED] = "closed",
                                       [NEAP_TIER_BREAKER_OPEN] = "open",
                                       [NEAP_TIER_BREAKER_HALF_OPEN] = "half-open"};
  json_t *list = json_array();
  neap_tiers_stats stats;
  uint32_t bits = neap_tiers_of_route(exchange, 0);
  neap_tiers_stats_get(exchange->flow->tiers->cascade, &stats);
  for (int i = 1; i < stats.tier_count; i++)
    if (bits >> i & 1)
      json_array_append_new(list, json_pack("{s:s, s:s}", "tier", stats.tiers[i].name, "breaker",
                                            states[stats.tiers[i].breaker]));
  return list;
}

static json_t *cache_of(const neap_exchange *exchange) {
  neap_reason result = (neap_reason)(NEAP_REASON_FWD_NONE + (int)exchange->fwd);
  json_t *out =
      json_pack("{s:s, s:s, s:s}", "result", neap_reason_code(result), "text", neap_reason_text(result),
                "tier", exchange->fwd == NEAP_HTTP_FWD_HIT ? "memory" : "none");
  if (exchange->unasked) json_object_set_new(out, "why", reason_of(exchange->unasked));
  bool missed = exchange->fwd == NEAP_HTTP_FWD_URI_MISS || exchange->fwd == NEAP_HTTP_FWD_VARY_MISS;
  if (missed && exchange->flow->tiers && exchange->route->tiers)
    json_object_set_new(out, "tiers", tiers_of(exchange));
  if (exchange->key.size) { /* the space, a NUL, the key itself */
    const char *nul = memchr(exchange->key.ptr, 0, exchange->key.size);
    size_t space = nul ? (size_t)(nul - exchange->key.ptr) : 0;
    json_object_set_new(out, "space", text_of(exchange->key.ptr, space));
    json_object_set_new(
        out, "key", text_of(nul ? nul + 1 : exchange->key.ptr, exchange->key.size - space - (nul != NULL)));
  }
  if (exchange->fwd == NEAP_HTTP_FWD_HIT && exchange->entry)
    json_object_set_new(out, "age_s",
                        json_integer((json_int_t)neap_http_stored_age_s(
                            &exchange->stored, neap_loop_now_ms(exchange->flow->loop))));
  return out;
}

static json_t *steps_of(const neap_exchange *exchange) {
  static const char *const names[] = {
#define STEP_NAME(NAME, name, text) #name,
      NEAP_STEPS(STEP_NAME)
#undef STEP_NAME
  };
  json_t *list = json_array();
  for (uint8_t i = 0; i < exchange->trace_count; i++)
    json_array_append_new(list, json_string(names[exchange->trace[i]]));
  return list;
}

void neap_exchange_explain(neap_exchange *exchange) {
  explain_client *client = exchange->client;
  if (client->out) return;
  json_t *out = json_pack("{s:I, s:o}", "generation", (json_int_t)exchange->generation->number, "steps",
                          steps_of(exchange));
  if (out == NULL) return;
  client->out = out;
  if (exchange->route) {
    json_object_set_new(out, "route", text_of(exchange->route->name, strlen(exchange->route->name)));
    json_object_set_new(out, "rule", json_integer(exchange->rule));
    if (exchange->acts && exchange->acts->tag)
      json_object_set_new(out, "tag", text_of(exchange->acts->tag, strlen(exchange->acts->tag)));
  }
  if (exchange->status) json_object_set_new(out, "status", json_integer(exchange->status));
  if (exchange->refusal || exchange->end != NEAP_END_OK)
    json_object_set_new(out, "end", reason_of(neap_exchange_reason(exchange)));
  if (exchange->pool == NULL) return;
  json_object_set_new(out, "pool", json_string(neap_pool_options_of(exchange->pool)->name));
  json_object_set_new(out, "cache", cache_of(exchange));
  if (exchange->fwd == NEAP_HTTP_FWD_HIT) return;
  json_object_set_new(out, "policy", json_string(neap_policy_name(neap_pool_policy(exchange->pool))));
  if (exchange->member >= 0 && exchange->tries > 0)
    json_object_set_new(
        out, "backend",
        json_string(neap_backend_address(neap_pool_backend(exchange->pool, exchange->member))));
  if (exchange->member == NEAP_PICK_WAIT) json_object_set_new(out, "waits", json_true());
  json_object_set_new(out, "candidates", candidates_of(exchange));
}

/* --- the client that there is not */

static bool vt_send(void *user, const struct iovec *pieces, int count, bool last) {
  (void)user, (void)pieces, (void)count, (void)last;
  return true;
}
static void vt_nothing(void *user) {
  (void)user;
}
static void vt_want_body(void *user, bool wanted) {
  (void)user, (void)wanted;
}
static neap_view vt_address(void *user) {
  return ((explain_client *)user)->address;
}
static const neap_client_vt explain_vt = {.name = "explain",
                                          .send = vt_send,
                                          .abort = vt_nothing,
                                          .want_body = vt_want_body,
                                          .done = vt_nothing,
                                          .address = vt_address};

json_t *neap_flow_explain(neap_flow *flow, const char *bytes, size_t size, neap_view address) {
  explain_client client = {.address = address};
  neap_exchange *exchange = neap_exchange_take(flow, &neap_http_limits_default, &explain_vt, &client);
  if (exchange == NULL) return NULL;
  exchange->explained = true;
  ssize_t got = neap_http_request_parse(&exchange->request, bytes, size);
  if (got > 0)
    neap_exchange_start(exchange);
  else if (got < 0)
    neap_exchange_refuse(exchange,
                         (neap_reason)(NEAP_REASON_REFUSED_NONE + (int)exchange->request.head.reason));
  else
    neap_exchange_give(exchange);
  return client.out;
}
