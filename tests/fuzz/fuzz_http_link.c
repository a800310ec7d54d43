/* Link fields and the references in them: whatever a backend sends, what comes out is a target that a request
 * may have. */
#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void resolve(neap_http_slice target, neap_http_slice reference) {
  static const neap_http_slice host = {.ptr = "a.example:8080", .size = 14};
  char out[NEAP_HTTP_REFERENCE_MAX];
  ssize_t size = neap_http_reference(host, target, reference, out, sizeof out);
  neap_assert(size <= (ssize_t)sizeof out && size != 0);
  for (ssize_t i = 0; i < size; i++) neap_assert(out[i] > ' ' && out[i] < 0x7f && out[i] != '#');
  if (size > 0) neap_assert(out[0] == '/');
}

/* "target\nvalue" */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  const char *text = (const char *)bytes, *end = memchr(text, '\n', size);
  if (end == NULL || size > 65536) return 0;
  neap_http_slice target = {.ptr = text, .size = (int32_t)(end - text)};
  neap_http_slice value = {.ptr = end + 1, .size = (int32_t)(size - (size_t)(end - text) - 1)};
  const char *cursor = value.ptr, *before;
  neap_http_link link;
  while (before = cursor, neap_http_link_next(value, &cursor, &link)) {
    neap_assert(cursor > before && cursor <= value.ptr + value.size);
    neap_assert(link.target.ptr > value.ptr && link.target.ptr + link.target.size < value.ptr + value.size);
    neap_assert((link.rels & ~7u) == 0);
    resolve(target, link.target);
  }
  neap_assert(cursor == value.ptr + value.size);
  return 0;
}
