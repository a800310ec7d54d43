/* Records: stored heads for other nodes. */
#include "http/record.h"

#include "http/out.h"

enum { VERSION = 1, RESPONSE = 1, MARKER = 2, SHAREABLE = 1 };
#define MAGIC   "NeapH"
#define AGE_MAX ((uint64_t)NEAP_HTTP_DELTA_MAX * 1000)

static void put_u64(char *out, uint64_t number) {
  for (int i = 0; i < 8; i++, number >>= 8) out[i] = (char)(number & 0xff);
}

static uint64_t get_u64(const char *from) {
  uint64_t number = 0;
  for (int i = 7; i >= 0; i--) number = number << 8 | (unsigned char)from[i];
  return number;
}

/* --- writing */

ssize_t neap_http_record_write(char *buffer, size_t capacity, neap_view meta, uint64_t now_ms,
                               uint64_t wall_ms) {
  neap_http_stored stored;
  if (neap_http_stored_open(meta, &stored)) return NEAP_EINVAL;
  char fixed[NEAP_HTTP_RECORD_HEAD] = MAGIC;
  uint64_t resident_ms = now_ms > stored.response_ms ? now_ms - stored.response_ms : 0;
  fixed[5] = VERSION;
  fixed[6] = stored.marker ? MARKER : RESPONSE;
  fixed[7] = stored.shareable ? SHAREABLE : 0;
  put_u64(fixed + 8, wall_ms);
  put_u64(fixed + 16, stored.age_ms + resident_ms);
  put_u64(fixed + 24, stored.lifetime_ms);
  put_u64(fixed + 32, stored.nonce);
  neap_http_out out = neap_http_out_of(buffer, capacity);
  neap_http_put(&out, fixed, sizeof fixed);
  if (stored.marker) {
    NEAP_HTTP_PUT(&out, "HTTP/1.1 200 OK\r\nVary: ");
    neap_http_put_view(&out, stored.names);
    NEAP_HTTP_PUT(&out, "\r\n");
  } else {
    neap_http_put_view(&out, stored.head);
  }
  NEAP_HTTP_PUT(&out, "\r\n");
  return neap_http_out_size(&out);
}

/* --- reading */

/* A response that we would have stored. A body where there cannot be one would be taken for the next
 * response. */
static bool may_be_served(const neap_http_response *response, uint64_t body_bytes) {
  int status = response->status;
  if (status < 200 || status == 206 || status == 304) return false;
  return (status != 204 && status != 205) || body_bytes == 0;
}

/* Age now: by the wall clock of both nodes. One that is behind makes it no younger than it was. */
static uint64_t age_of(const char *fixed, uint64_t wall_ms) {
  uint64_t then_ms = get_u64(fixed + 8), age_ms = get_u64(fixed + 16);
  uint64_t since_ms = wall_ms > then_ms ? wall_ms - then_ms : 0;
  return NEAP_MIN(age_ms, AGE_MAX) + NEAP_MIN(since_ms, AGE_MAX);
}

static int read_response(const char *fixed, const neap_http_response *response, uint64_t now_ms,
                         uint64_t wall_ms, char *out, size_t capacity, neap_http_record *result) {
  neap_http_decision decision = {.shareable = (fixed[7] & SHAREABLE) != 0,
                                 .age_ms = age_of(fixed, wall_ms),
                                 .lifetime_ms = get_u64(fixed + 24)};
  if (decision.lifetime_ms > AGE_MAX) return NEAP_EINVAL;
  if (decision.age_ms >= decision.lifetime_ms) return NEAP_ENOTFOUND;
  neap_http_times times = {.response_ms = now_ms, .wall_s = (int64_t)(wall_ms / 1000)};
  ssize_t size = neap_http_stored_write(out, capacity, response, &decision, &times);
  if (size < 0) return (int)size;
  *result = (neap_http_record){{out, (size_t)size}, decision.lifetime_ms - decision.age_ms};
  return 0;
}

static int read_marker(const char *fixed, const neap_http_response *response, uint64_t body_bytes, char *out,
                       size_t capacity, neap_http_record *result) {
  neap_http_stored stored;
  uint64_t nonce = get_u64(fixed + 32);
  if (body_bytes > 0 || nonce == 0) return NEAP_EINVAL;
  ssize_t size = neap_http_marker_write(out, capacity, response, nonce);
  if (size < 0) return (int)size;
  neap_view meta = {out, (size_t)size};
  if (neap_http_stored_open(meta, &stored) || stored.names.size == 0) return NEAP_EINVAL;
  *result = (neap_http_record){meta, UINT64_MAX};
  return 0;
}

/* Those of a backend's head, and what is written into it: a Date, a space behind each colon. */
static neap_http_limits limits_of_record(void) {
  neap_http_limits limits = neap_http_limits_default;
  limits.field_count = NEAP_HTTP_RECORD_FIELDS;
  limits.line_bytes += NEAP_HTTP_RECORD_EXTRA;
  limits.field_bytes += NEAP_HTTP_RECORD_EXTRA;
  limits.head_bytes += NEAP_HTTP_RECORD_EXTRA;
  return limits;
}

int neap_http_record_read(neap_view record, uint64_t body_bytes, uint64_t now_ms, uint64_t wall_ms,
                          neap_http_field *fields, char *out, size_t capacity, neap_http_record *result) {
  const char *fixed = record.ptr;
  if (record.size <= NEAP_HTTP_RECORD_HEAD || memcmp(fixed, MAGIC, sizeof MAGIC - 1) != 0) return NEAP_EINVAL;
  if (fixed[5] != VERSION || (fixed[7] & ~SHAREABLE) != 0) return NEAP_EINVAL;
  const neap_http_limits limits = limits_of_record();
  neap_http_response response;
  neap_http_response_init(&response, fields, &limits, NEAP_HTTP_METHOD_GET);
  size_t size = record.size - NEAP_HTTP_RECORD_HEAD;
  ssize_t used = neap_http_response_parse(&response, fixed + NEAP_HTTP_RECORD_HEAD, size);
  if (used < 0 || (size_t)used != size || !may_be_served(&response, body_bytes)) return NEAP_EINVAL;
  if (fixed[6] == MARKER) return read_marker(fixed, &response, body_bytes, out, capacity, result);
  if (fixed[6] != RESPONSE) return NEAP_EINVAL;
  return read_response(fixed, &response, now_ms, wall_ms, out, capacity, result);
}
