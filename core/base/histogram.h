/* A histogram of u64 values with a relative error below 7 %: 8 steps per power of two. One thread writes,
 * others may read and merge meanwhile. */
#ifndef NEAP_BASE_HISTOGRAM_H
#define NEAP_BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

enum {
  NEAP_HISTOGRAM_STEPS = 8,                            /* per power of two */
  NEAP_HISTOGRAM_CELLS = NEAP_HISTOGRAM_STEPS * 38 + 8 /* up to 2^40: 18 minutes in nanoseconds */
};

typedef struct neap_histogram {
  _Atomic uint64_t max;
  _Atomic uint32_t cells[NEAP_HISTOGRAM_CELLS];
} neap_histogram;

/* Adds one value. hot: one writer. */
void neap_histogram_add(neap_histogram *histogram, uint64_t value);
/* Adds what `from` holds to `into`. `into` belongs to the caller. */
void neap_histogram_merge(neap_histogram *into, const neap_histogram *from);
uint64_t neap_histogram_count(const neap_histogram *histogram);
/* How many values were above `value`, but for those in its own cell. */
uint64_t neap_histogram_count_above(const neap_histogram *histogram, uint64_t value);
/* The value that `ppm` millionths of all values do not exceed (upper edge of its cell, at most the maximum);
 * 0 when empty. */
uint64_t neap_histogram_quantile(const neap_histogram *histogram, uint32_t ppm);

#endif
