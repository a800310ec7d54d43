#include "policy/policy.h"

#include <sys/mman.h>

#include "base/base.h"
#include "base/pages.h"

int neap_column_init(neap_column *column, size_t width, int32_t slot_end) {
  size_t bytes = neap_pages_round(width * (size_t)slot_end);
  void *base = neap_pages_reserve(bytes);
  if (base == NULL) return NEAP_ENOMEM;
  *column = (neap_column){.base = base, .width = width, .bytes = bytes};
  return 0;
}

void neap_column_fini(neap_column *column) {
  if (column->base != NULL) neap_pages_release(column->base, column->bytes);
  *column = (neap_column){0};
}

/* The system moves the page tables, so that a million slots change hands without one being copied, and `to`
 * stays where compiled code already looks for it. */
int neap_column_take(neap_column *to, neap_column *from) {
  if (to->width != from->width || to->bytes != from->bytes) return NEAP_ESTATE;
  void *moved = mremap(from->base, from->bytes, to->bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to->base);
  if (moved == MAP_FAILED) return NEAP_ENOMEM;
  *from = (neap_column){0};
  return 0;
}
