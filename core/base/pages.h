/* Reserved address space: zeroed, at an address that never changes, and backed by memory only where it has
 * been touched. For tables that grow and that other threads read meanwhile. */
#ifndef NEAP_BASE_PAGES_H
#define NEAP_BASE_PAGES_H

#include <stddef.h>

enum { NEAP_PAGE = 4096 };

/* Bytes rounded up to whole pages. */
static inline size_t neap_pages_round(size_t bytes) {
  return (bytes + NEAP_PAGE - 1) & ~(size_t)(NEAP_PAGE - 1);
}

/* Reserves `bytes`. NULL where the system refuses. Huge pages are off: a page touched must cost a page. */
void *neap_pages_reserve(size_t bytes);
void neap_pages_release(void *base, size_t bytes);

#endif
