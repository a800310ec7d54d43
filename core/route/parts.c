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

/* How a value is written so that it stays within the place that the template has for it. */
typedef enum spelling { AS_IT_IS, KEEP_PERCENT, ENCODE } spelling;

/* Text was checked when the configuration was; parts of the target keep the "%" that they have. */
static spelling spelling_of(neap_part_kind kind, neap_parts_place place) {
  bool in_query = place == NEAP_PARTS_QUERY;
  switch (kind) {
  case NEAP_PART_TEXT: return AS_IT_IS;
  case NEAP_PART_QUERY: return in_query ? AS_IT_IS : KEEP_PERCENT;
  case NEAP_PART_TARGET: return place == NEAP_PARTS_LOCATION ? AS_IT_IS : KEEP_PERCENT;
  case NEAP_PART_PATH:
  case NEAP_PART_REST:
  case NEAP_PART_BELOW:
  case NEAP_PART_HOST:
  case NEAP_PART_CLIENT: return in_query ? KEEP_PERCENT : AS_IT_IS;
  case NEAP_PART_PARAMETER: return KEEP_PERCENT;
  default: return ENCODE;
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

static ssize_t put_value(neap_slice value, spelling how, char *out, size_t capacity) {
  if (how != AS_IT_IS) return put_encoded(value, how == KEEP_PERCENT, out, capacity);
  if ((size_t)value.size > capacity) return NEAP_ESMALL;
  if (value.size > 0) memcpy(out, value.ptr, (size_t)value.size);
  return value.size;
}

ssize_t neap_parts_write(const neap_parts *parts, neap_parts_place place, const neap_request_board *request,
                         char *out, size_t capacity) {
  size_t used = 0;
  for (size_t i = 0; i < parts->count; i++) {
    neap_slice value = neap_part_find(&parts->list[i], request);
    ssize_t size = put_value(value, spelling_of(parts->list[i].kind, place), out + used, capacity - used);
    if (size < 0) return size;
    used += (size_t)size;
  }
  return (ssize_t)used;
}

/* --- as a location */

static bool is_slash(char c) {
  return c == '/' || c == '\\';
}

/* Does a client take what follows for more of the host? "https://a.example" and nothing behind it. */
static bool ends_in_host(const char *text, size_t size) {
  const char *host = memmem(text, size, "://", 3);
  if (host == NULL) return false;
  for (const char *c = host + 3; c < text + size; c++)
    if (is_slash(*c) || *c == '?' || *c == '#') return false;
  return true;
}

static bool is_of_target(neap_part_kind kind) {
  return kind == NEAP_PART_REST || kind == NEAP_PART_PATH || kind == NEAP_PART_TARGET ||
         kind == NEAP_PART_QUERY;
}

/* One "/" at its front, where the template is a path: with two, or with "\\", a client would go to another
 * host. */
static size_t stay_here(const neap_parts *parts, char *out, size_t used) {
  bool is_text = parts->list[0].kind == NEAP_PART_TEXT;
  const char *text = is_text ? parts->list[0].text : "";
  if (is_text && (text[0] != '/' || is_slash(text[1]))) return used;
  size_t slashes = 0;
  while (slashes < used && is_slash(out[slashes])) slashes++;
  memmove(out + 1, out + slashes, used - slashes);
  out[0] = '/';
  return used - slashes + 1;
}

ssize_t neap_parts_write_location(const neap_parts *parts, const neap_request_board *request, char *out,
                                  size_t capacity) {
  size_t used = 0;
  if (parts->count == 0 || capacity == 0) return NEAP_ESMALL;
  capacity--; /* for a "/" at the front */
  for (size_t i = 0; i < parts->count; i++) {
    const neap_parts one = {&parts->list[i], 1};
    bool in_query = memchr(out, '?', used) != NULL;
    ssize_t size = neap_parts_write(&one, in_query ? NEAP_PARTS_QUERY : NEAP_PARTS_LOCATION, request,
                                    out + used, capacity - used);
    if (size < 0) return size;
    if (size > 0 && !is_slash(out[used]) && is_of_target(one.list->kind) && ends_in_host(out, used)) {
      if (used + (size_t)size == capacity) return NEAP_ESMALL;
      memmove(out + used + 1, out + used, (size_t)size);
      out[used++] = '/';
    }
    used += (size_t)size;
  }
  used = stay_here(parts, out, used);
  return (ssize_t)(used > 1 && out[used - 1] == '?' ? used - 1 : used);
}

size_t neap_parts_bound(const neap_parts *parts, const neap_request_board *request) {
  size_t bound = 0;
  for (size_t i = 0; i < parts->count; i++)
    bound += 3 * (size_t)neap_part_find(&parts->list[i], request).size + 1;
  return bound + 1;
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
