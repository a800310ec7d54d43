/* Hop-by-hop fields: the fixed ones, and those that Connection names. */
#include "http/hops.h"

/* Framing, routing and trust are not for a Connection option to take away. */
#define PROTECTED                                                                                            \
  (NEAP_HTTP_BIT(HOST) | NEAP_HTTP_BIT(CONTENT_LENGTH) | NEAP_HTTP_BIT(VIA) | NEAP_HTTP_BIT(FORWARDED) |     \
   NEAP_HTTP_BIT(X_FORWARDED_FOR) | NEAP_HTTP_BIT(X_FORWARDED_HOST) | NEAP_HTTP_BIT(X_FORWARDED_PORT) |      \
   NEAP_HTTP_BIT(X_FORWARDED_PROTO))

static bool may_be_named(neap_http_slice option) {
  if (neap_http_slice_same(option, "close") || neap_http_slice_same(option, "keep-alive")) return false;
  return !(PROTECTED >> neap_http_id_of(option.ptr, (size_t)option.size) & 1);
}

void neap_http_hops_read(neap_http_hops *hops, const neap_http_head *head, uint64_t dropped) {
  hops->dropped = dropped | NEAP_HTTP_HOP_BY_HOP;
  hops->count = 0;
  const neap_http_field *field = neap_http_field_first(head, NEAP_HTTP_ID_CONNECTION);
  for (; field; field = neap_http_field_next(head, field)) {
    neap_http_slice option;
    for (const char *cursor = field->value.ptr; neap_http_list_next(field->value, &cursor, &option);)
      if (may_be_named(option) && hops->count < NEAP_HTTP_CONNECTION_OPTIONS_MAX)
        hops->named[hops->count++] = option;
  }
}

bool neap_http_hops_named(const neap_http_hops *hops, neap_http_slice name) {
  for (int i = 0; i < hops->count; i++)
    if (neap_http_same(hops->named[i].ptr, (size_t)hops->named[i].size, name.ptr, (size_t)name.size))
      return true;
  return false;
}
