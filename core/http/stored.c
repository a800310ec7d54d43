/* Stored heads: written once, opened and finished on every hit. */
#include "http/stored.h"

#include "http/out.h"
#include "http/vary.h"

/* The fixed part. Offsets count from its end. */
typedef struct row {
  uint32_t magic;
  uint16_t status;
  uint8_t marker, shareable;
  uint32_t size;        /* of all that follows */
  uint32_t lines_begin; /* of the fields that a 304 repeats */
  uint32_t lines_end;
  uint32_t etag, etag_size;
  uint32_t modified, modified_size;
  uint32_t reserved;
  uint64_t response_ms, age_ms, lifetime_ms, nonce;
} row;

enum { ROW_MAGIC = 0x4e485254 };

/* A 304 repeats these (RFC 9110, 15.4.5); Last-Modified only where there is no ETag. */
#define REPEATED                                                                                             \
  (NEAP_HTTP_BIT(CONTENT_LOCATION) | NEAP_HTTP_BIT(DATE) | NEAP_HTTP_BIT(ETAG) | NEAP_HTTP_BIT(VARY) |       \
   NEAP_HTTP_BIT(CACHE_CONTROL) | NEAP_HTTP_BIT(EXPIRES))

/* Not stored (RFC 9111, 3.1), beside the hop-by-hop ones; Age is told anew on every hit. */
#define NOT_STORED                                                                                           \
  (NEAP_HTTP_BIT(AGE) | NEAP_HTTP_BIT(PROXY_AUTHENTICATE) | NEAP_HTTP_BIT(PROXY_AUTHENTICATION_INFO) |       \
   NEAP_HTTP_BIT(PROXY_AUTHORIZATION))

/* --- writing ----------------------------------------------------------------------------------------- */

static uint32_t offset(const neap_http_out *out) {
  return (uint32_t)((size_t)(out->at - out->begin) - sizeof(row));
}

/* The fields in `wanted`, in the order received; notes where the validators' values come to lie. */
static void put_fields(neap_http_out *out, row *fixed, const neap_http_head *head, const neap_http_hops *hops,
                       uint64_t wanted) {
  const neap_http_field *end = head->fields + head->field_count;
  for (const neap_http_field *field = head->fields; field < end; field++) {
    if (!(wanted >> field->name.id & 1) || !neap_http_hops_keeps(hops, field)) continue;
    uint32_t value = offset(out) + (uint32_t)field->name.size + 2;
    neap_http_put_field(out, field);
    if (field->name.id == NEAP_HTTP_ID_ETAG && fixed->etag == 0) {
      fixed->etag = value;
      fixed->etag_size = (uint32_t)field->value.size;
    } else if (field->name.id == NEAP_HTTP_ID_LAST_MODIFIED && fixed->modified == 0) {
      fixed->modified = value;
      fixed->modified_size = (uint32_t)field->value.size;
    }
  }
}

/* Puts the fixed part where room was left for it. */
static ssize_t finish(neap_http_out *out, row *fixed) {
  if (out->full || (size_t)(out->at - out->begin) > NEAP_HTTP_STORED_MAX) return NEAP_ESMALL;
  fixed->size = offset(out);
  memcpy(out->begin, fixed, sizeof *fixed);
  return neap_http_out_size(out);
}

ssize_t neap_http_stored_write(char *buffer, size_t capacity, const neap_http_response *response,
                               const neap_http_decision *decision, const neap_http_times *times) {
  const neap_http_head *head = &response->head;
  neap_http_out out = neap_http_out_of(buffer, capacity);
  row fixed = {.magic = ROW_MAGIC,
               .status = (uint16_t)response->status,
               .shareable = decision->shareable,
               .response_ms = times->response_ms,
               .age_ms = decision->age_ms,
               .lifetime_ms = decision->lifetime_ms};
  uint64_t repeated = REPEATED;
  neap_http_hops hops;
  if (!head->first[NEAP_HTTP_ID_ETAG]) repeated |= NEAP_HTTP_BIT(LAST_MODIFIED);
  neap_http_hops_read(&hops, head, NOT_STORED);
  neap_http_put(&out, (const char *)&fixed, sizeof fixed);
  neap_http_put_status(&out, response->status, response->phrase);
  fixed.lines_begin = offset(&out);
  put_fields(&out, &fixed, head, &hops, repeated);
  if (!neap_http_hops_keep_date(&hops, head)) neap_http_put_date(&out, times->wall_s);
  fixed.lines_end = offset(&out);
  put_fields(&out, &fixed, head, &hops, ~repeated);
  return finish(&out, &fixed);
}

ssize_t neap_http_marker_write(char *buffer, size_t capacity, const neap_http_response *response,
                               uint64_t nonce) {
  row fixed = {.magic = ROW_MAGIC, .marker = 1, .nonce = nonce};
  neap_http_out out = neap_http_out_of(buffer, capacity);
  neap_http_vary vary;
  if (neap_http_vary_read(&vary, &response->head)) return NEAP_EINVAL;
  neap_http_put(&out, (const char *)&fixed, sizeof fixed);
  for (int i = 0; i < vary.count; i++) {
    if (i > 0) NEAP_HTTP_PUT(&out, ",");
    char *name = out.at;
    neap_http_put_slice(&out, vary.names[i]);
    for (; name < out.at; name++) *name = neap_http_lower(*name);
  }
  return finish(&out, &fixed);
}

/* --- reading ----------------------------------------------------------------------------------------- */

int neap_http_stored_open(neap_view meta, neap_http_stored *out) {
  row fixed;
  if (meta.size < sizeof fixed) return NEAP_EINVAL;
  memcpy(&fixed, meta.ptr, sizeof fixed);
  if (fixed.magic != ROW_MAGIC || fixed.size != meta.size - sizeof fixed) return NEAP_EINVAL;
  const char *text = meta.ptr + sizeof fixed;
  *out = (neap_http_stored){
      .marker = fixed.marker != 0,
      .shareable = fixed.shareable != 0,
      .status = fixed.status,
      .response_ms = fixed.response_ms,
      .age_ms = fixed.age_ms,
      .lifetime_ms = fixed.lifetime_ms,
      .nonce = fixed.nonce,
      .lines_304 = {text + fixed.lines_begin, fixed.lines_end - fixed.lines_begin},
      .etag = {text + fixed.etag, fixed.etag_size},
      .last_modified = {text + fixed.modified, fixed.modified_size},
  };
  *(fixed.marker ? &out->names : &out->head) = (neap_view){text, fixed.size};
  return 0;
}

bool neap_http_marker_matches(const neap_http_stored *marker, const neap_http_stored *other) {
  return marker->marker && other->marker && marker->names.size == other->names.size &&
         memcmp(marker->names.ptr, other->names.ptr, marker->names.size) == 0;
}

uint64_t neap_http_stored_age_s(const neap_http_stored *stored, uint64_t now_ms) {
  uint64_t resident_ms = now_ms > stored->response_ms ? now_ms - stored->response_ms : 0;
  return (stored->age_ms + resident_ms) / 1000;
}

/* --- conditions (RFC 9110, 13) ------------------------------------------------------------------------- */

/* Is `etag` in the list, compared weakly? Entity tags know no escapes, so commas are found by their quotes.
 * What is malformed matches nothing. */
static bool list_has_etag(neap_http_slice list, neap_view etag) {
  const char *at = list.ptr, *end = list.ptr + list.size;
  if (neap_http_slice_is(list, "*")) return true;
  if (etag.size >= 2 && memcmp(etag.ptr, "W/", 2) == 0) etag = (neap_view){etag.ptr + 2, etag.size - 2};
  while (at < end) {
    if (neap_http_blank(*at) || *at == ',') {
      at++;
      continue;
    }
    if (end - at >= 2 && memcmp(at, "W/", 2) == 0) at += 2;
    const char *close = at < end && *at == '"' ? memchr(at + 1, '"', (size_t)(end - at - 1)) : NULL;
    if (!close) return false;
    if (etag.size == (size_t)(close + 1 - at) && memcmp(at, etag.ptr, etag.size) == 0) return true;
    at = close + 1;
  }
  return false;
}

static bool none_match(const neap_http_stored *stored, const neap_http_head *head,
                       const neap_http_field *field) {
  for (; field; field = neap_http_field_next(head, field))
    if (list_has_etag(field->value, stored->etag)) return false;
  return true;
}

static bool modified_since(const neap_http_stored *stored, neap_http_slice since, int64_t wall_s) {
  int64_t since_s, modified_s;
  neap_view modified = stored->last_modified;
  if (neap_http_date_read(since.ptr, (size_t)since.size, wall_s, &since_s)) return true;
  if (neap_http_date_read(modified.ptr, modified.size, wall_s, &modified_s)) return true;
  return modified_s > since_s;
}

neap_http_serve neap_http_stored_match(const neap_http_stored *stored, const neap_http_request *request,
                                       int64_t wall_s) {
  const neap_http_head *head = &request->head;
  if (head->first[NEAP_HTTP_ID_AUTHORIZATION] && !stored->shareable) return NEAP_HTTP_SERVE_FORWARD;
  if (stored->status != 200) return NEAP_HTTP_SERVE_FULL;
  const neap_http_field *tags = neap_http_field_first(head, NEAP_HTTP_ID_IF_NONE_MATCH);
  const neap_http_field *since = neap_http_field_first(head, NEAP_HTTP_ID_IF_MODIFIED_SINCE);
  bool modified = true;
  if (tags)
    modified = none_match(stored, head, tags); /* which makes the other one void */
  else if (since)
    modified = modified_since(stored, since->value, wall_s);
  return modified ? NEAP_HTTP_SERVE_FULL : NEAP_HTTP_SERVE_NOT_MODIFIED;
}

/* --- the tail ---------------------------------------------------------------------------------------- */

/* `tier`: NULL for memory; a word of at most 20 bytes. */
NEAP_INLINE size_t tail(char buffer[NEAP_HTTP_TAIL_MAX], const neap_http_stored *stored, const char *tier,
                        neap_http_serve serve, const neap_http_request *request, uint64_t body_bytes,
                        uint64_t now_ms, bool keep_alive) {
  neap_http_out out = neap_http_out_of(buffer, NEAP_HTTP_TAIL_MAX);
  if (serve == NEAP_HTTP_SERVE_FULL && stored->status != 204) neap_http_put_length(&out, body_bytes);
  NEAP_HTTP_PUT(&out, "Age: ");
  neap_http_put_number(&out, neap_http_stored_age_s(stored, now_ms));
  if (tier) {
    NEAP_HTTP_PUT(&out, "\r\nCache-Status: neap; hit; detail=");
    neap_http_put(&out, tier, strlen(tier));
    NEAP_HTTP_PUT(&out, "\r\n");
  } else {
    NEAP_HTTP_PUT(&out, "\r\nCache-Status: neap; hit\r\n");
  }
  neap_http_put_connection(&out, request->head.version_minor, keep_alive);
  NEAP_HTTP_PUT(&out, "\r\n");
  neap_assert(!out.full);
  return (size_t)(out.at - out.begin);
}

size_t neap_http_stored_tail(char buffer[NEAP_HTTP_TAIL_MAX], const neap_http_stored *stored,
                             neap_http_serve serve, const neap_http_request *request, uint64_t body_bytes,
                             uint64_t now_ms, bool keep_alive) {
  return tail(buffer, stored, NULL, serve, request, body_bytes, now_ms, keep_alive);
}

size_t neap_http_stored_tail_of(char buffer[NEAP_HTTP_TAIL_MAX], const neap_http_stored *stored,
                                const char *tier, neap_http_serve serve, const neap_http_request *request,
                                uint64_t body_bytes, uint64_t now_ms, bool keep_alive) {
  return tail(buffer, stored, tier, serve, request, body_bytes, now_ms, keep_alive);
}
