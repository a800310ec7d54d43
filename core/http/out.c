/* What all writers of heads share. */
#include "http/out.h"

#include "http/caching.h"

/* --- lines of our own -------------------------------------------------------------------------------- */

void neap_http_put_status(neap_http_out *out, int32_t status, neap_http_slice phrase) {
  NEAP_HTTP_PUT(out, "HTTP/1.1 ");
  neap_http_put_number(out, (uint64_t)status);
  NEAP_HTTP_PUT(out, " ");
  neap_http_put_slice(out, phrase);
  NEAP_HTTP_PUT(out, "\r\n");
}

void neap_http_put_date(neap_http_out *out, int64_t wall_s) {
  char date[NEAP_HTTP_DATE_SIZE];
  neap_http_date_write(date, wall_s);
  NEAP_HTTP_PUT(out, "Date: ");
  neap_http_put(out, date, sizeof date);
  NEAP_HTTP_PUT(out, "\r\n");
}

void neap_http_put_length(neap_http_out *out, uint64_t length) {
  NEAP_HTTP_PUT(out, "Content-Length: ");
  neap_http_put_number(out, length);
  NEAP_HTTP_PUT(out, "\r\n");
}

void neap_http_put_connection(neap_http_out *out, int32_t client_minor, bool keep_alive) {
  if (!keep_alive)
    NEAP_HTTP_PUT(out, "Connection: close\r\n");
  else if (client_minor == 0)
    NEAP_HTTP_PUT(out, "Connection: keep-alive\r\n");
}

/* --- which fields travel on -------------------------------------------------------------------------- */

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
  hops->from = head->base;
  hops->to = head->base + head->cursor;
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

bool neap_http_hops_keep_date(const neap_http_hops *hops, const neap_http_head *head) {
  const neap_http_field *date = neap_http_field_first(head, NEAP_HTTP_ID_DATE);
  return date && neap_http_hops_keeps(hops, date);
}
