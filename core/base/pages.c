#include "base/pages.h"

#include <sys/mman.h>

#include "base/base.h"

void *neap_pages_reserve(size_t bytes) {
  void *base = mmap(NULL, neap_pages_round(bytes), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return NULL;
  madvise(base, neap_pages_round(bytes), MADV_NOHUGEPAGE);
  return base;
}

void neap_pages_release(void *base, size_t bytes) {
  if (base != NULL) neap_assert(munmap(base, neap_pages_round(bytes)) == 0);
}
