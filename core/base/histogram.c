#include "base/histogram.h"

#include "base/base.h"

/* Values below 8 have a cell each; above, the cell is (power of two, next three bits). */
static unsigned cell_of(uint64_t value) {
  if (value < NEAP_HISTOGRAM_STEPS) return (unsigned)value;
  unsigned top = 63u - (unsigned)__builtin_clzll(value);
  unsigned cell = (top - 2) * NEAP_HISTOGRAM_STEPS + (unsigned)(value >> (top - 3) & 7);
  return NEAP_MIN(cell, NEAP_HISTOGRAM_CELLS - 1u);
}

/* The greatest value of a cell. */
static uint64_t edge_of(unsigned cell) {
  if (cell < NEAP_HISTOGRAM_STEPS) return cell;
  unsigned top = cell / NEAP_HISTOGRAM_STEPS + 2;
  return ((uint64_t)(NEAP_HISTOGRAM_STEPS + cell % NEAP_HISTOGRAM_STEPS + 1) << (top - 3)) - 1;
}

void neap_histogram_add(neap_histogram *histogram, uint64_t value) {
  _Atomic uint32_t *cell = &histogram->cells[cell_of(value)];
  atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + 1, memory_order_relaxed);
  if (value > atomic_load_explicit(&histogram->max, memory_order_relaxed))
    atomic_store_explicit(&histogram->max, value, memory_order_relaxed);
}

void neap_histogram_merge(neap_histogram *into, const neap_histogram *from) {
  for (unsigned i = 0; i < NEAP_HISTOGRAM_CELLS; i++)
    atomic_fetch_add_explicit(&into->cells[i], atomic_load_explicit(&from->cells[i], memory_order_relaxed),
                              memory_order_relaxed);
  uint64_t max = atomic_load_explicit(&from->max, memory_order_relaxed);
  if (max > atomic_load_explicit(&into->max, memory_order_relaxed))
    atomic_store_explicit(&into->max, max, memory_order_relaxed);
}

uint64_t neap_histogram_count(const neap_histogram *histogram) {
  uint64_t count = 0;
  for (unsigned i = 0; i < NEAP_HISTOGRAM_CELLS; i++)
    count += atomic_load_explicit(&histogram->cells[i], memory_order_relaxed);
  return count;
}

uint64_t neap_histogram_count_above(const neap_histogram *histogram, uint64_t value) {
  uint64_t count = 0;
  for (unsigned i = cell_of(value) + 1; i < NEAP_HISTOGRAM_CELLS; i++)
    count += atomic_load_explicit(&histogram->cells[i], memory_order_relaxed);
  return count;
}

uint64_t neap_histogram_quantile(const neap_histogram *histogram, uint32_t ppm) {
  uint64_t count = neap_histogram_count(histogram);
  uint64_t rank = (count * NEAP_MIN(ppm, 1000000u) + 999999) / 1000000, below = 0;
  uint64_t max = atomic_load_explicit(&histogram->max, memory_order_relaxed);
  if (count == 0) return 0;
  for (unsigned i = 0; i < NEAP_HISTOGRAM_CELLS; i++) {
    below += atomic_load_explicit(&histogram->cells[i], memory_order_relaxed);
    if (below >= rank && below > 0) return NEAP_MIN(edge_of(i), max);
  }
  return max;
}
