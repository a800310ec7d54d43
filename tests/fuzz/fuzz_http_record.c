/* Records of other nodes: what is taken can be opened, is fresh, and reads the same once written again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* It has more lines, or is longer, than what a backend may send. */
static bool is_at_the_limit(neap_view head) {
  size_t lines = 0;
  for (size_t i = 0; i < head.size; i++) lines += head.ptr[i] == '\n';
  return lines > NEAP_HTTP_RECORD_FIELDS || head.size > neap_http_limits_default.head_bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  enum { WALL = 1000000 };
  static neap_http_field fields[NEAP_HTTP_FIELDS_MAX];
  neap_http_record first, second;
  neap_http_stored stored;
  size_t capacity = size + 2 * NEAP_HTTP_RECORD_EXTRA;
  char *meta = malloc(capacity), *wire = malloc(capacity), *again = malloc(capacity);
  neap_assert(meta && wire && again);
  if (neap_http_record_read((neap_view){(const char *)bytes, size}, 0, 5, WALL, fields, meta, capacity,
                            &first) == 0) {
    neap_assert(neap_http_stored_open(first.meta, &stored) == 0 && first.ttl_ms > 0);
    neap_assert(stored.marker || stored.lifetime_ms > stored.age_ms);
    ssize_t used = neap_http_record_write(wire, capacity, first.meta, 5, WALL);
    neap_assert(used > 0);
    int code =
        neap_http_record_read((neap_view){wire, (size_t)used}, 0, 5, WALL, fields, again, capacity, &second);
    neap_assert(code == 0 || is_at_the_limit(stored.head)); /* with the Date that it gets, it is past it */
    neap_assert(code || (first.ttl_ms == second.ttl_ms && first.meta.size == second.meta.size &&
                         memcmp(first.meta.ptr, second.meta.ptr, first.meta.size) == 0));
  }
  free(meta);
  free(wire);
  free(again);
  return 0;
}
