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

static void copy(char *out, size_t room, const char *bytes, size_t size) {
  size = NEAP_MIN(size, room - 1);
  memcpy(out, bytes, size);
  out[size] = '\0';
}

static void copy_text(char *out, size_t room, const char *text) {
  copy(out, room, text ? text : "", text ? strnlen(text, room) : 0);
}

static void copy_slice(char *out, size_t room, neap_http_slice slice) {
  copy(out, room, slice.ptr ? slice.ptr : "", slice.size > 0 ? (size_t)slice.size : 0);
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
  out->method[0] = out->host[0] = out->target[0] = out->route[0] = out->pool[0] = out->backend[0] = '\0';
  if (exchange->refusal == NEAP_REASON_NONE) {
    copy_slice(out->method, sizeof out->method, request->method);
    copy_slice(out->host, sizeof out->host, request->host);
    copy_slice(out->target, sizeof out->target, request->target);
  }
  if (exchange->route) copy_text(out->route, sizeof out->route, exchange->route->name);
  if (exchange->pool) copy_text(out->pool, sizeof out->pool, neap_pool_options_of(exchange->pool)->name);
  if (exchange->tries > 0 && exchange->member >= 0)
    copy_text(out->backend, sizeof out->backend,
              neap_backend_address(neap_pool_backend(exchange->pool, exchange->member)));
}
_Static_assert(NEAP_REASON_COUNT <= UINT8_MAX, "a reason is a byte of a record");

/* --- recalling */

static json_t *text_of(const char *text) {
  json_t *string = json_string(text);
  return string ? string : json_string("?");
}

static json_t *reason_of(uint8_t code) {
  neap_reason reason = (neap_reason)code;
  return json_pack("{s:s, s:s}", "code", neap_reason_code(reason), "text", neap_reason_text(reason));
}

static json_t *json_of(const neap_recent *record, const char *id, uint64_t now_ms) {
  static const char *const names[] = {
#define STEP_NAME(NAME, name, text) #name,
      NEAP_STEPS(STEP_NAME)
#undef STEP_NAME
  };
  json_t *steps = json_array();
  for (size_t i = 0; i < sizeof record->steps && record->steps[i]; i++)
    json_array_append_new(steps, json_string(names[record->steps[i] - 1]));
  json_t *out = json_pack(
      "{s:s, s:I, s:I, s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:i, s:o, s:o}", "id", id, "ago_ms",
      (json_int_t)(now_ms - record->at_ms), "generation", (json_int_t)record->generation, "method",
      text_of(record->method), "host", text_of(record->host), "target", text_of(record->target), "status",
      (int)record->status, "route", text_of(record->route), "pool", text_of(record->pool), "backend",
      text_of(record->backend), "tries", (int)record->tries, "end", reason_of(record->end), "steps", steps);
  if (out == NULL) return NULL;
  json_object_set_new(out, "took_ms", json_real((double)record->took_us / 1e3));
  if (record->first_byte_us)
    json_object_set_new(out, "first_byte_ms", json_real((double)record->first_byte_us / 1e3));
  json_object_set_new(out, "cache", reason_of((uint8_t)(NEAP_REASON_FWD_NONE + record->cache)));
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
    if (record->id == hash || strcmp(text, id) == 0) return json_of(record, id, neap_loop_now_ms(flow->loop));
  }
  return NULL;
}
