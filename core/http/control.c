/* Cache-Control of a response. In doubt the stricter meaning: a directive that restricts counts however it is
 * written, one that permits only when it is written right. */
#include "http/caching.h"
#include "http/text.h"

/* One directive, taken apart. */
typedef struct directive {
  neap_http_slice name, argument; /* the argument without its quotes */
  bool has_argument;
  bool malformed;
} directive;

static directive split(neap_http_slice member) {
  directive out = {0};
  const char *end = member.ptr + member.size;
  size_t size = neap_http_span(member.ptr, (size_t)member.size, NEAP_HTTP_BYTE_TOKEN);
  const char *at = member.ptr + size;
  out.name = (neap_http_slice){member.ptr, (int32_t)size, 0};
  if (at == end) return out;
  out.has_argument = true;
  out.malformed = *at != '=';
  if (out.malformed) return out;
  out.argument = (neap_http_slice){at + 1, (int32_t)(end - at - 1), 0};
  if (out.argument.size >= 2 && at[1] == '"' && end[-1] == '"') {
    out.argument.ptr++;
    out.argument.size -= 2;
  }
  return out;
}

/* delta-seconds, clamped; of two, the stricter. -1 stays where it is unusable. */
static void take_age(const directive *d, int64_t *age, bool *bad) {
  uint64_t seconds = 0;
  int failed = d->malformed || !d->has_argument ? NEAP_ESYNTAX
                                                : neap_http_number(d->argument.ptr, (size_t)d->argument.size,
                                                                   NEAP_HTTP_DELTA_MAX, &seconds);
  if (failed == NEAP_ETOOLARGE) {
    seconds = NEAP_HTTP_DELTA_MAX;
    failed = 0;
  }
  if (failed)
    *bad = true;
  else if (*age < 0 || (int64_t)seconds < *age)
    *age = (int64_t)seconds;
}

static void take_directive(neap_http_control *out, const directive *d, bool *bad_max, bool *bad_s) {
  bool plain = !d->malformed && !d->has_argument;
  if (neap_http_slice_same(d->name, "max-age"))
    take_age(d, &out->max_age, bad_max);
  else if (neap_http_slice_same(d->name, "s-maxage"))
    take_age(d, &out->s_maxage, bad_s);
  else if (neap_http_slice_same(d->name, "no-store"))
    out->no_store = true;
  else if (neap_http_slice_same(d->name, "no-cache"))
    out->no_cache = true;
  else if (neap_http_slice_same(d->name, "private"))
    out->is_private = true;
  else if (neap_http_slice_same(d->name, "public"))
    out->is_public = out->is_public || plain;
  else if (neap_http_slice_same(d->name, "must-revalidate"))
    out->must_revalidate = true;
  else if (neap_http_slice_same(d->name, "proxy-revalidate"))
    out->proxy_revalidate = true;
  else if (neap_http_slice_same(d->name, "must-understand"))
    out->must_understand = true;
  else if (neap_http_slice_same(d->name, "no-transform"))
    out->no_transform = true;
  else if (neap_http_slice_same(d->name, "immutable"))
    out->immutable = true;
}

/* A quote that is not closed may hide anything. */
static bool quote_is_open(neap_http_slice value) {
  bool quoted = false;
  for (int32_t i = 0; i < value.size; i++) {
    if (quoted && value.ptr[i] == '\\')
      i++;
    else if (value.ptr[i] == '"')
      quoted = !quoted;
  }
  return quoted;
}

void neap_http_control_read(const neap_http_head *head, neap_http_control *out) {
  bool bad_max = false, bad_s = false;
  *out = (neap_http_control){.max_age = -1, .s_maxage = -1};
  const neap_http_field *field = neap_http_field_first(head, NEAP_HTTP_ID_CACHE_CONTROL);
  for (; field; field = neap_http_field_next(head, field)) {
    neap_http_slice member;
    for (const char *cursor = field->value.ptr; neap_http_list_next(field->value, &cursor, &member);) {
      directive d = split(member);
      take_directive(out, &d, &bad_max, &bad_s);
    }
    if (quote_is_open(field->value)) out->is_private = true;
  }
  out->bad_age = bad_s || (bad_max && out->s_maxage < 0);
}
