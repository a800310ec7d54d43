/* Finds headers, parameters of the query and cookies in a request board: for the route table, for keys of
 * pools and for the views that Lua gets. Nothing is decoded or copied: what is found is a part of the
 * request. */
#include "policy/policy.h"

#include <string.h>

static inline unsigned char lower(unsigned char c) {
  return (unsigned)c - 'A' < 26u ? c | 0x20 : c;
}

/* Header names are short and mostly of the case they are asked for: bytes are folded only where they differ.
 */
static bool same_name(const char *a, const char *b, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (a[i] != b[i] && lower((unsigned char)a[i]) != lower((unsigned char)b[i])) return false;
  return true;
}

static neap_slice slice(const char *begin, const char *end) {
  return (neap_slice){.ptr = begin, .size = (int32_t)(end - begin)};
}

int32_t neap_request_header(const neap_request_board *request, neap_view name, int32_t from) {
  for (int32_t i = from; i < request->header_count; i++) {
    const neap_slice *have = &request->headers[i].name;
    if ((size_t)have->size == name.size && same_name(have->ptr, name.ptr, name.size)) return i;
  }
  return -1;
}

/* Looks for `name` or `name=value` in [at, end), where pairs are separated by `separator` and optional
 * spaces. */
static bool find_pair(const char *at, const char *end, char separator, neap_view name, neap_slice *out) {
  while (at < end) {
    while (at < end && *at == ' ') at++;
    const char *stop = memchr(at, separator, (size_t)(end - at));
    if (stop == NULL) stop = end;
    size_t size = (size_t)(stop - at);
    bool begins = size >= name.size && memcmp(at, name.ptr, name.size) == 0;
    if (begins && (size == name.size || at[name.size] == '=')) {
      *out = slice(size == name.size ? stop : at + name.size + 1, stop);
      return true;
    }
    at = stop < end ? stop + 1 : end;
  }
  return false;
}

bool neap_request_query(const neap_request_board *request, neap_view name, neap_slice *out) {
  const neap_slice *query = &request->query;
  return query->size > 0 && find_pair(query->ptr, query->ptr + query->size, '&', name, out);
}

bool neap_request_cookie(const neap_request_board *request, neap_view name, neap_slice *out) {
  const neap_view header = {"cookie", 6};
  for (int32_t i = neap_request_header(request, header, 0); i >= 0;
       i = neap_request_header(request, header, i + 1)) {
    const neap_slice *value = &request->headers[i].value;
    if (value->size > 0 && find_pair(value->ptr, value->ptr + value->size, ';', name, out)) return true;
  }
  return false;
}
