/* Finds, joins and hashes parts of a request. hot: everything here; no allocation. */
#include "route/parts.h"

#include <string.h>

#include "base/base.h"
#include "base/hash.h"
#include "http/http.h"
#include "policy/policy.h"

static neap_slice slice_of(const char *text) {
  return (neap_slice){.ptr = text, .size = (int32_t)strlen(text)};
}

/* Behind `prefix`, which the path begins with as routes compare it: whatever stands for its slashes. NULL: it
 * does not begin so. */
static const char *skip_prefix(const char *at, const char *end, const char *prefix) {
  for (const char *c = prefix; *c; c++) {
    if (at == end) return NULL;
    size_t slash = *c == '/' ? neap_http_path_slash(at, end) : 0;
    if (slash == 0 && *at++ != *c) return NULL;
    for (; slash > 0; slash = at < end ? neap_http_path_slash(at, end) : 0) at += slash;
  }
  return at;
}

/* What follows `prefix`; where that must end with a segment and does not, the whole path. */
static neap_slice find_rest(neap_slice path, const char *prefix, bool by_segment) {
  size_t size = strlen(prefix);
  const char *end = path.ptr + path.size, *at = skip_prefix(path.ptr, end, prefix);
  if (at == NULL) return path;
  bool ends = at == end || neap_http_path_slash(at, end) > 0 || (size > 0 && prefix[size - 1] == '/');
  if (by_segment && !ends) return path;
  return (neap_slice){.ptr = at, .size = (int32_t)(end - at)};
}

neap_slice neap_part_find(const neap_part *part, const neap_request_board *request) {
  neap_slice found = {.ptr = NULL};
  switch (part->kind) {
  case NEAP_PART_TEXT: return slice_of(part->text);
  case NEAP_PART_METHOD: return request->method;
  case NEAP_PART_TARGET: return request->target;
  case NEAP_PART_PATH: return request->path;
  case NEAP_PART_REST: return find_rest(request->path, part->text, false);
  case NEAP_PART_BELOW: return find_rest(request->path, part->text, true);
  case NEAP_PART_QUERY: return request->query;
  case NEAP_PART_HOST: return request->host;
  case NEAP_PART_CLIENT: return request->client;
  case NEAP_PART_PARAMETER: neap_request_query(request, neap_view_of(part->text), &found); return found;
  case NEAP_PART_HEADER: {
    int32_t row = neap_request_header(request, neap_view_of(part->text), 0);
    return row < 0 ? found : request->headers[row].value;
  }
  case NEAP_PART_COOKIE: neap_request_cookie(request, neap_view_of(part->text), &found); return found;
  case NEAP_PART_COUNT: break;
  }
  return found;
}

/* --- as a target */

/* Parts of the target are in its spelling already; text was checked when the configuration was. */
static bool is_spelt(neap_part_kind kind) {
  switch (kind) {
  case NEAP_PART_METHOD:
  case NEAP_PART_PARAMETER:
  case NEAP_PART_HEADER:
  case NEAP_PART_COOKIE: return false;
  default: return true;
  }
}

static bool stands_for_itself(unsigned char c) {
  return (c | 0x20u) - 'a' < 26u || (unsigned)c - '0' < 10u || c == '-' || c == '.' || c == '_' || c == '~';
}

/* `encoded`: it is in part already, so that a "%" stays what it is. */
static ssize_t put_encoded(neap_slice value, bool encoded, char *out, size_t capacity) {
  size_t used = 0;
  for (int32_t i = 0; i < value.size; i++) {
    unsigned char c = (unsigned char)value.ptr[i];
    size_t size = stands_for_itself(c) || (encoded && c == '%') ? 1 : 3;
    if (capacity - used < size) return NEAP_ESMALL;
    if (size == 3) {
      out[used++] = '%';
      out[used++] = "0123456789ABCDEF"[c >> 4];
      c = (unsigned char)"0123456789ABCDEF"[c & 15];
    }
    out[used++] = (char)c;
  }
  return (ssize_t)used;
}

ssize_t neap_parts_write(const neap_parts *parts, const neap_request_board *request, char *out,
                         size_t capacity) {
  size_t used = 0;
  for (size_t i = 0; i < parts->count; i++) {
    neap_slice value = neap_part_find(&parts->list[i], request);
    if (is_spelt(parts->list[i].kind)) {
      if ((size_t)value.size > capacity - used) return NEAP_ESMALL;
      if (value.size > 0) memcpy(out + used, value.ptr, (size_t)value.size);
      used += (size_t)value.size;
    } else {
      ssize_t size =
          put_encoded(value, parts->list[i].kind == NEAP_PART_PARAMETER, out + used, capacity - used);
      if (size < 0) return size;
      used += (size_t)size;
    }
  }
  return (ssize_t)used;
}

size_t neap_parts_bound(const neap_parts *parts, const neap_request_board *request) {
  size_t bound = 0;
  for (size_t i = 0; i < parts->count; i++)
    bound += 3 * (size_t)neap_part_find(&parts->list[i], request).size;
  return bound;
}

/* --- as a key */

uint64_t neap_parts_hash(const neap_parts *parts, const neap_request_board *request, uint64_t salt) {
  uint64_t hash = salt ^ UINT64_C(0x9e3779b97f4a7c15);
  for (size_t i = 0; i < parts->count; i++) {
    neap_slice value = neap_part_find(&parts->list[i], request);
    uint64_t part = value.ptr ? neap_hash_bytes(value.ptr, (size_t)value.size) : UINT64_C(0x632be59bd9b4e019);
    hash = neap_hash_mix(hash ^ part, UINT64_C(0xe7037ed1a0b428db) + i);
  }
  return hash;
}

/* --- parameters of a query */

static bool is_named(const neap_key_rule *rule, const char *name, size_t size) {
  for (size_t i = 0; i < rule->name_count; i++) {
    const char *wanted = rule->names[i];
    size_t length = strlen(wanted);
    bool any_rest = length > 0 && wanted[length - 1] == '*';
    if (any_rest ? size >= length - 1 && memcmp(name, wanted, length - 1) == 0
                 : size == length && memcmp(name, wanted, size) == 0)
      return true;
  }
  return false;
}

size_t neap_query_filter(const neap_key_rule *rule, neap_slice query, char *out) {
  size_t used = 0;
  const char *at = query.ptr, *end = at + query.size;
  if (rule->query == NEAP_QUERY_ALL) { /* as it is: "a&&b" is not "a&b" */
    if (query.size > 0) memcpy(out, query.ptr, (size_t)query.size);
    return (size_t)query.size;
  }
  while (at < end) {
    const char *stop = memchr(at, '&', (size_t)(end - at));
    if (stop == NULL) stop = end;
    const char *equals = memchr(at, '=', (size_t)(stop - at));
    bool named = is_named(rule, at, (size_t)((equals ? equals : stop) - at));
    if (named == (rule->query == NEAP_QUERY_KEEP)) {
      if (used > 0) out[used++] = '&';
      memcpy(out + used, at, (size_t)(stop - at));
      used += (size_t)(stop - at);
    }
    at = stop < end ? stop + 1 : end;
  }
  return used;
}
