/* How long something took, as Prometheus has it: counts between fixed edges and a sum. Exact at its edges,
 * 0.1 ms to 30 s, which is what alerts and quantiles over machines need; base/histogram.h is finer and
 * larger. Others may read meanwhile. */
#ifndef NEAP_BASE_TIMING_H
#define NEAP_BASE_TIMING_H

#include <stdatomic.h>
#include <stdint.h>

/* Upper edge in microseconds, and in seconds as text. */
#define NEAP_TIMING_EDGES(X)                                                                                 \
  X(100, "0.0001")                                                                                           \
  X(250, "0.00025")                                                                                          \
  X(500, "0.0005")                                                                                           \
  X(1000, "0.001")                                                                                           \
  X(2500, "0.0025")                                                                                          \
  X(5000, "0.005")                                                                                           \
  X(10000, "0.01")                                                                                           \
  X(25000, "0.025")                                                                                          \
  X(50000, "0.05")                                                                                           \
  X(100000, "0.1")                                                                                           \
  X(250000, "0.25")                                                                                          \
  X(500000, "0.5")                                                                                           \
  X(1000000, "1.0")                                                                                          \
  X(2500000, "2.5")                                                                                          \
  X(5000000, "5.0")                                                                                          \
  X(10000000, "10.0")                                                                                        \
  X(30000000, "30.0")
#define NEAP_TIMING_ONE(edge_us, text) +1
enum { NEAP_TIMING_EDGE_COUNT = 0 NEAP_TIMING_EDGES(NEAP_TIMING_ONE) };
#undef NEAP_TIMING_ONE

typedef struct neap_timing {
  _Atomic uint64_t cells[NEAP_TIMING_EDGE_COUNT + 1]; /* the last: beyond every edge */
  _Atomic uint64_t sum_us;
} neap_timing;

/* A sum of timings, to be looked at. */
typedef struct neap_timing_sum {
  uint64_t cells[NEAP_TIMING_EDGE_COUNT + 1];
  uint64_t sum_us, count;
} neap_timing_sum;

/* Adds one value. hot: add for one writer, add_shared for any number of threads. */
void neap_timing_add(neap_timing *timing, uint64_t took_us);
void neap_timing_add_shared(neap_timing *timing, uint64_t took_us);
/* Adds what `timing` holds. Any thread. */
void neap_timing_gather(neap_timing_sum *sum, const neap_timing *timing);
/* The value that the share `q` (0..1) of all do not exceed, interpolated within its cell; 0 where there are
 * none, and 30 s for what is beyond the last edge. */
double neap_timing_quantile_us(const neap_timing_sum *sum, double q);
/* The text of edge `index`: "0.001". */
const char *neap_timing_edge(unsigned index);

#endif
