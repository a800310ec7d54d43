/* Link fields: "<target>; rel=preload; as=style, <next>; rel="next prefetch"". */
#include "http/link.h"

#include <string.h>

#include "base/base.h"

/* --- walking */

static const char *skip_blanks(const char *at, const char *end) {
  while (at < end && (*at == ' ' || *at == '\t')) at++;
  return at;
}

/* Past a quoted string that begins at `at`; `end` where it is not closed. */
static const char *skip_quoted(const char *at, const char *end) {
  for (at++; at < end && *at != '"'; at++)
    if (*at == '\\' && at + 1 < end) at++;
  return at < end ? at + 1 : end;
}

/* To the next comma or semicolon that stands outside of strings. */
static const char *skip_rest(const char *at, const char *end, bool to_semicolon) {
  while (at < end && *at != ',' && !(to_semicolon && *at == ';'))
    at = *at == '"' ? skip_quoted(at, end) : at + 1;
  return at;
}

static bool is_token_byte(char c) {
  return c > ' ' && c < 0x7f && strchr("\"(),/:;<=>?@[\\]{}", c) == NULL;
}

static const char *skip_token(const char *at, const char *end) {
  while (at < end && is_token_byte(*at)) at++;
  return at;
}

static bool is(const char *at, const char *end, const char *word) {
  return neap_http_same(at, (size_t)(end - at), word, strlen(word));
}

static unsigned rel_of(const char *at, const char *end) {
  if (is(at, end, "preload")) return NEAP_HTTP_REL_PRELOAD;
  if (is(at, end, "prefetch")) return NEAP_HTTP_REL_PREFETCH;
  return is(at, end, "next") ? NEAP_HTTP_REL_NEXT : 0;
}

static unsigned rels_of(const char *at, const char *end) {
  unsigned rels = 0;
  while ((at = skip_blanks(at, end)) < end) {
    const char *word = at;
    while (at < end && *at != ' ' && *at != '\t') at++;
    rels |= rel_of(word, at);
  }
  return rels;
}

typedef struct link_params {
  bool has_rel, elsewhere;
  unsigned rels;
} link_params;

/* One parameter, from behind its semicolon; returns where it ends. The first rel counts. */
static const char *read_param(const char *at, const char *end, link_params *out) {
  const char *name = at = skip_blanks(at, end);
  const char *name_end = at = skip_token(at, end);
  at = skip_blanks(at, end);
  if (at == end || *at != '=') return skip_rest(at, end, true);
  const char *value = at = skip_blanks(at + 1, end), *value_end;
  if (at < end && *at == '"') {
    at = skip_quoted(at, end);
    value++;
    value_end = at > value && at[-1] == '"' ? at - 1 : at;
  } else {
    value_end = at = skip_token(at, end);
  }
  if (is(name, name_end, "rel") && !out->has_rel) {
    out->has_rel = true;
    out->rels = rels_of(value, value_end);
  }
  out->elsewhere |= is(name, name_end, "anchor");
  return skip_rest(at, end, true);
}

bool neap_http_link_next(neap_http_slice value, const char **cursor, neap_http_link *out) {
  const char *at = *cursor, *end = value.ptr + value.size;
  for (;;) {
    while (at < end && (*at == ' ' || *at == '\t' || *at == ',')) at++;
    if (at == end) break;
    const char *close = *at == '<' ? memchr(at, '>', (size_t)(end - at)) : NULL;
    if (close == NULL) {
      at = skip_rest(at, end, false);
      continue;
    }
    link_params params = {false, false, 0};
    out->target = (neap_http_slice){.ptr = at + 1, .size = (int32_t)(close - at - 1)};
    at = skip_blanks(close + 1, end);
    while (at < end && *at == ';') at = read_param(at + 1, end, &params);
    at = skip_rest(at, end, false);
    out->rels = params.elsewhere ? 0 : params.rels;
    *cursor = at;
    return true;
  }
  *cursor = end;
  return false;
}

/* --- references */

static bool is_scheme_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '-' ||
         c == '.';
}

/* The scheme in front, without its colon; size 0: none. */
static size_t scheme_size(neap_http_slice reference) {
  int32_t i = 0;
  while (i < reference.size && is_scheme_byte(reference.ptr[i])) i++;
  return i < reference.size && reference.ptr[i] == ':' ? (size_t)i : 0;
}

static neap_http_slice behind(neap_http_slice slice, size_t size) {
  return (neap_http_slice){.ptr = slice.ptr + size, .size = slice.size - (int32_t)size};
}

static neap_http_slice without_port(neap_http_slice authority, const char *port) {
  size_t size = strlen(port);
  if ((size_t)authority.size > size && memcmp(authority.ptr + authority.size - size, port, size) == 0)
    authority.size -= (int32_t)size;
  return authority;
}

static bool same_place(neap_http_slice a, neap_http_slice b) {
  a = without_port(without_port(a, ":80"), ":443");
  b = without_port(without_port(b, ":80"), ":443");
  return a.size > 0 && neap_http_same(a.ptr, (size_t)a.size, b.ptr, (size_t)b.size);
}

/* Takes scheme and authority off. False: it is somewhere else. `*rooted`: there was an authority. */
static bool strip_origin(neap_http_slice authority, neap_http_slice *reference, bool *rooted) {
  size_t scheme = scheme_size(*reference);
  if (scheme > 0) {
    const char *name = reference->ptr;
    if (!is(name, name + scheme, "http") && !is(name, name + scheme, "https")) return false;
    *reference = behind(*reference, scheme + 1);
    if (reference->size < 2 || memcmp(reference->ptr, "//", 2) != 0) return false;
  }
  *rooted = reference->size >= 2 && memcmp(reference->ptr, "//", 2) == 0;
  if (!*rooted) return true;
  *reference = behind(*reference, 2);
  int32_t size = 0;
  while (size < reference->size && reference->ptr[size] != '/' && reference->ptr[size] != '?') size++;
  if (!same_place(authority, (neap_http_slice){.ptr = reference->ptr, .size = size})) return false;
  *reference = behind(*reference, (size_t)size);
  if (reference->size == 0) *reference = (neap_http_slice){.ptr = "/", .size = 1};
  return true;
}

static bool is_plain(neap_http_slice text) {
  for (int32_t i = 0; i < text.size; i++)
    if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f || text.ptr[i] == '#') return false;
  return text.size > 0;
}

static int32_t path_size(neap_http_slice target) {
  const char *mark = memchr(target.ptr, '?', (size_t)target.size);
  return mark ? (int32_t)(mark - target.ptr) : target.size;
}

/* How much of the page's own target stands before a reference that is none from the root. */
static int32_t base_size(neap_http_slice target, neap_http_slice reference) {
  int32_t size = path_size(target);
  if (reference.ptr[0] == '?') return size;
  while (size > 0 && target.ptr[size - 1] != '/') size--;
  return size;
}

/* Dot segments are carried out; what stands behind the path follows. */
static size_t normalize(char *out, size_t size) {
  char path[NEAP_HTTP_REFERENCE_MAX];
  neap_http_slice whole = {.ptr = path, .size = (int32_t)size};
  memcpy(path, out, size);
  int32_t length = path_size(whole);
  whole.size = length;
  size_t normal = neap_http_path_normal(whole, out);
  memmove(out + normal, path + length, size - (size_t)length);
  return normal + size - (size_t)length;
}

ssize_t neap_http_reference(neap_http_slice authority, neap_http_slice target, neap_http_slice reference,
                            char *out, size_t capacity) {
  const char *fragment = memchr(reference.ptr, '#', (size_t)reference.size);
  if (fragment) reference.size = (int32_t)(fragment - reference.ptr);
  if (!is_plain(reference) || !is_plain(target) || target.ptr[0] != '/') return NEAP_EINVAL;
  bool rooted;
  if (!strip_origin(authority, &reference, &rooted)) return NEAP_EINVAL;
  int32_t base = reference.ptr[0] == '/' ? 0 : rooted ? 1 : base_size(target, reference);
  size_t size = (size_t)base + (size_t)reference.size;
  if (size > NEAP_MIN(capacity, (size_t)NEAP_HTTP_REFERENCE_MAX)) return NEAP_ESMALL;
  memcpy(out, target.ptr, (size_t)base);
  memcpy(out + base, reference.ptr, (size_t)reference.size);
  size = normalize(out, size);
  bool itself = size == (size_t)target.size && memcmp(out, target.ptr, size) == 0;
  return itself ? NEAP_EINVAL : (ssize_t)size;
}
