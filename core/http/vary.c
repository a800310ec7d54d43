/* Keys of the cache: the primary one, and those of the variants of a response with Vary. */
#include "http/vary.h"

#include "http/out.h"
#include "http/stored.h"

/* --- primary key ------------------------------------------------------------------------------------- */

static bool default_port(neap_view scheme, int32_t port) {
  return port == 0 || (port == 80 && neap_view_is(scheme, "http")) ||
         (port == 443 && neap_view_is(scheme, "https"));
}

ssize_t neap_http_key(char *buffer, size_t capacity, const neap_http_request *request, neap_view scheme) {
  neap_http_out out = neap_http_out_of(buffer, capacity);
  if (request->host.size == 0) return NEAP_EINVAL;
  neap_http_put_view(&out, scheme);
  NEAP_HTTP_PUT(&out, "://");
  char *host = out.at;
  neap_http_put_slice(&out, request->host);
  for (; host < out.at; host++) *host = neap_http_lower(*host);
  if (!default_port(scheme, request->port)) {
    NEAP_HTTP_PUT(&out, ":");
    neap_http_put_number(&out, (uint64_t)request->port);
  }
  neap_http_put_slice(&out, request->path);
  if (request->has_query) NEAP_HTTP_PUT(&out, "?");
  neap_http_put_slice(&out, request->query);
  return neap_http_out_size(&out);
}

/* --- names of selecting fields ------------------------------------------------------------------------- */

/* Fields that request_write rewrites or drops: the origin chose by something else than the client sent. */
#define REWRITTEN                                                                                            \
  (NEAP_HTTP_HOP_BY_HOP | NEAP_HTTP_BIT(VIA) | NEAP_HTTP_BIT(FORWARDED) | NEAP_HTTP_BIT(X_FORWARDED_FOR) |   \
   NEAP_HTTP_BIT(X_FORWARDED_HOST) | NEAP_HTTP_BIT(X_FORWARDED_PORT) | NEAP_HTTP_BIT(X_FORWARDED_PROTO) |    \
   NEAP_HTTP_BIT(EXPECT))

static int compare(neap_http_slice a, neap_http_slice b) {
  for (int32_t i = 0; i < a.size && i < b.size; i++) {
    int difference = (uint8_t)neap_http_lower(a.ptr[i]) - (uint8_t)neap_http_lower(b.ptr[i]);
    if (difference != 0) return difference;
  }
  return a.size - b.size;
}

/* Inserts in order, unless it is there. */
static int add_name(neap_http_vary *vary, neap_http_slice name) {
  int at = 0;
  while (at < vary->count && compare(vary->names[at], name) < 0) at++;
  if (at < vary->count && compare(vary->names[at], name) == 0) return 0;
  if (vary->count == NEAP_HTTP_VARY_MAX) return NEAP_EINVAL;
  memmove(&vary->names[at + 1], &vary->names[at], (size_t)(vary->count - at) * sizeof name);
  vary->names[at] = name;
  vary->count++;
  return 0;
}

int neap_http_vary_read(neap_http_vary *out, const neap_http_head *head) {
  out->count = 0;
  const neap_http_field *field = neap_http_field_first(head, NEAP_HTTP_ID_VARY);
  for (; field; field = neap_http_field_next(head, field)) {
    neap_http_slice name;
    for (const char *cursor = field->value.ptr; neap_http_list_next(field->value, &cursor, &name);) {
      if (!neap_http_token(name) || neap_http_slice_is(name, "*")) return NEAP_EINVAL;
      if (REWRITTEN >> neap_http_id_of(name.ptr, (size_t)name.size) & 1) return NEAP_EINVAL;
      if (add_name(out, name)) return NEAP_EINVAL;
    }
  }
  return 0;
}

/* --- variant key ------------------------------------------------------------------------------------- */

/* "name=value, value" or "name" alone where the request has no such field. No value holds a line feed. */
static void put_selecting(neap_http_out *out, const neap_http_head *head, neap_http_slice name) {
  const neap_http_field *end = head->fields + head->field_count;
  const char *separator = "=";
  neap_http_put_slice(out, name);
  for (const neap_http_field *field = head->fields; field < end; field++) {
    if (!neap_http_same(field->name.ptr, (size_t)field->name.size, name.ptr, (size_t)name.size)) continue;
    neap_http_put(out, separator, strlen(separator));
    neap_http_put_slice(out, field->value);
    separator = ", ";
  }
  NEAP_HTTP_PUT(out, "\n");
}

ssize_t neap_http_variant_key(char *buffer, size_t capacity, neap_view key, const neap_http_stored *marker,
                              const neap_http_request *request) {
  neap_http_out out = neap_http_out_of(buffer, capacity);
  neap_http_slice names = {marker->names.ptr, (int32_t)marker->names.size, 0}, name;
  neap_http_put_view(&out, key);
  NEAP_HTTP_PUT(&out, "\n");
  neap_http_put_number(&out, marker->nonce);
  NEAP_HTTP_PUT(&out, "\n");
  for (const char *cursor = names.ptr; neap_http_list_next(names, &cursor, &name);)
    put_selecting(&out, &request->head, name);
  return neap_http_out_size(&out);
}
