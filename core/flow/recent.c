/* Ids of requests, and the ring of what was decided about the newest of them. */
#include <jansson.h>

#include "base/hash.h"
#include "flow/steps.h"

enum { ID_MOST = 64 };

/* --- ids */

static bool is_id(neap_http_slice text) {
  if (text.size < 1 || text.size > ID_MOST) return false;
  for (int32_t i = 0; i < text.size; i++) {
    char c = text.ptr[i];
    bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!word && (c == 0 || strchr("-_.:/+=@", c) == NULL)) return false;
  }
  return true;
}

/* hot: */
void neap_exchange_identify(neap_exchange *exchange) {
  const neap_http_head *head = &exchange->request.head;
  uint8_t index = head->first[NEAP_HTTP_ID_X_REQUEST_ID];
  if (NEAP_LIKELY(index == 0) || exchange->refusal || !is_id(head->fields[index - 1].value)) {
    exchange->id = neap_random_next(&exchange->flow->random);
    return;
  }
  exchange->client_id = head->fields[index - 1].value;
  exchange->id = neap_hash_bytes(exchange->client_id.ptr, (size_t)exchange->client_id.size);
}

static void write_id(uint64_t id, char out[NEAP_ID_SIZE]) {
  for (int i = NEAP_ID_SIZE - 1; i >= 0; i--, id >>= 4) out[i] = "0123456789abcdef"[id & 15];
}

neap_view neap_exchange_id(const neap_exchange *exchange, char out[NEAP_ID_SIZE]) {
  if (exchange->client_id.size) return (neap_view){exchange->client_id.ptr, (size_t)exchange->client_id.size};
  write_id(exchange->id, out);
  return (neap_view){out, NEAP_ID_SIZE};
}

/* --- the ring */

static inline uint8_t copy(char *out, size_t room, neap_http_slice from) {
  size_t size = NEAP_MIN((size_t)from.size, room);
  memcpy(out, from.ptr, size);
  return (uint8_t)size;
}

/* hot: */
void neap_exchange_remember(const neap_exchange *exchange, uint64_t now_ns) {
  neap_flow *flow = exchange->flow;
  if (NEAP_UNLIKELY(flow->recent == NULL)) return;
  neap_recent *out = &flow->recent[flow->recent_count++ & (NEAP_RECENT - 1)];
  const neap_http_request *request = &exchange->request;
  out->id = exchange->id;
  out->at_ms = neap_loop_now_ms(flow->loop);
  out->generation = (uint32_t)exchange->generation->number;
  out->took_us = (uint32_t)NEAP_MIN((now_ns - exchange->start_ns) / 1000, (uint64_t)UINT32_MAX);
  out->first_byte_us =
      exchange->head_ns > exchange->sent_ns ? (uint32_t)((exchange->head_ns - exchange->sent_ns) / 1000) : 0;
  out->status = (uint16_t)exchange->status;
  out->tries = (uint16_t)exchange->tries;
  out->cache = (uint8_t)exchange->fwd;
  out->end = (uint8_t)neap_exchange_reason(exchange);
  out->lookup = (uint8_t)exchange->unasked;
  out->stored = (uint8_t)exchange->stored_as;
  memset(out->steps, 0, sizeof out->steps);
  for (size_t i = 0; i < NEAP_MIN(exchange->trace_count, sizeof out->steps); i++)
    out->steps[i] = (uint8_t)(exchange->trace[i] + 1);
  out->rule = exchange->route ? exchange->rule : -1;
  out->pool = exchange->pool ? exchange->pool_index : -1;
  out->member = exchange->tries > 0 ? exchange->member : -1;
  bool refused = exchange->refusal != NEAP_REASON_NONE; /* its views may be of nothing */
  out->method_size = refused ? 0 : copy(out->method, sizeof out->method, request->method);
  out->host_size = refused ? 0 : copy(out->host, sizeof out->host, request->host);
  out->target_size = refused ? 0 : copy(out->target, sizeof out->target, request->target);
}
_Static_assert(sizeof(neap_recent) == 192, "three cache lines");
_Static_assert(NEAP_REASON_COUNT <= UINT8_MAX, "a reason is a byte of a record");

/* --- recalling */

static json_t *text_of(const char *bytes, size_t size) {
  json_t *string = json_stringn(bytes, size);
  return string ? string : json_string("?");
}

static void put_text(json_t *out, const char *key, const char *text) {
  json_object_set_new(out, key, text_of(text, strlen(text)));
}

/* Names, where they still mean the same. */
static void put_names(json_t *out, const neap_recent *record, const neap_generation *generation) {
  if (generation->number != record->generation) return;
  if (record->rule >= 0) put_text(out, "route", generation->rules[record->rule].name);
  if (record->pool < 0) return;
  const neap_pool *pool = generation->pools[record->pool];
  const neap_backend *backend = record->member >= 0 ? neap_pool_backend(pool, record->member) : NULL;
  put_text(out, "pool", neap_pool_options_of(pool)->name);
  if (backend) put_text(out, "backend", neap_backend_address(backend));
}

static json_t *reason_of(uint8_t code) {
  neap_reason reason = (neap_reason)code;
  return json_pack("{s:s, s:s}", "code", neap_reason_code(reason), "text", neap_reason_text(reason));
}

static json_t *json_of(const neap_flow *flow, const neap_recent *record, const char *id) {
  static const char *const names[] = {
#define STEP_NAME(NAME, name, text) #name,
      NEAP_STEPS(STEP_NAME)
#undef STEP_NAME
  };
  json_t *steps = json_array();
  for (size_t i = 0; i < sizeof record->steps && record->steps[i]; i++)
    json_array_append_new(steps, json_string(names[record->steps[i] - 1]));
  json_t *out =
      json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:i, s:i, s:o, s:o}", "id", id, "ago_ms",
                (json_int_t)(neap_loop_now_ms(flow->loop) - record->at_ms), "generation",
                (json_int_t)record->generation, "method", text_of(record->method, record->method_size),
                "host", text_of(record->host, record->host_size), "target",
                text_of(record->target, record->target_size), "status", (int)record->status, "tries",
                (int)record->tries, "end", reason_of(record->end), "steps", steps);
  if (out == NULL) return NULL;
  put_names(out, record, atomic_load(flow->current)->of_worker[flow->worker]);
  json_object_set_new(out, "took_ms", json_real((double)record->took_us / 1e3));
  if (record->first_byte_us)
    json_object_set_new(out, "first_byte_ms", json_real((double)record->first_byte_us / 1e3));
  json_object_set_new(out, "cache", reason_of((uint8_t)(NEAP_REASON_FWD_NONE + record->cache)));
  bool redis = record->cache == NEAP_HTTP_FWD_HIT_REDIS, cdn = record->cache == NEAP_HTTP_FWD_HIT_CDN;
  if (redis || cdn || record->cache == NEAP_HTTP_FWD_HIT)
    json_object_set_new(out, "tier", json_string(redis ? "redis" : cdn ? "cdn" : "memory"));
  if (record->lookup) json_object_set_new(out, "lookup", reason_of(record->lookup));
  if (record->stored) json_object_set_new(out, "stored", reason_of(record->stored));
  return out;
}

json_t *neap_flow_recall(const neap_flow *flow, const char *id) {
  uint64_t hash = neap_hash_bytes(id, strlen(id));
  char text[NEAP_ID_SIZE + 1] = "";
  uint64_t known = NEAP_MIN(flow->recent_count, (uint64_t)NEAP_RECENT);
  for (uint64_t i = 1; flow->recent && i <= known; i++) {
    const neap_recent *record = &flow->recent[(flow->recent_count - i) & (NEAP_RECENT - 1)];
    write_id(record->id, text);
    if (record->id == hash || strcmp(text, id) == 0) return json_of(flow, record, id);
  }
  return NULL;
}
