#include "base/timing.h"

#include "base/base.h"

static const uint32_t edges_us[] = {
#define EDGE(edge_us, text) edge_us,
    NEAP_TIMING_EDGES(EDGE)
#undef EDGE
};

/* From below: what a gateway does itself is in the first two cells. */
static inline unsigned cell_of(uint64_t took_us) {
  unsigned cell = 0;
  while (cell < NEAP_TIMING_EDGE_COUNT && took_us > edges_us[cell]) cell++;
  return cell;
}

static inline void add(_Atomic uint64_t *number, uint64_t more) {
  atomic_store_explicit(number, atomic_load_explicit(number, memory_order_relaxed) + more,
                        memory_order_relaxed);
}

void neap_timing_add(neap_timing *timing, uint64_t took_us) {
  add(&timing->cells[cell_of(took_us)], 1);
  add(&timing->sum_us, took_us);
}

void neap_timing_add_shared(neap_timing *timing, uint64_t took_us) {
  atomic_fetch_add_explicit(&timing->cells[cell_of(took_us)], 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&timing->sum_us, took_us, memory_order_relaxed);
}

void neap_timing_gather(neap_timing_sum *sum, const neap_timing *timing) {
  for (unsigned i = 0; i <= NEAP_TIMING_EDGE_COUNT; i++) {
    uint64_t count = atomic_load_explicit(&timing->cells[i], memory_order_relaxed);
    sum->cells[i] += count;
    sum->count += count;
  }
  sum->sum_us += atomic_load_explicit(&timing->sum_us, memory_order_relaxed);
}

double neap_timing_quantile_us(const neap_timing_sum *sum, double q) {
  double rank = q * (double)sum->count, below = 0;
  if (sum->count == 0) return 0;
  for (unsigned i = 0; i < NEAP_TIMING_EDGE_COUNT; i++) {
    double here = (double)sum->cells[i], low = i ? edges_us[i - 1] : 0;
    if (here > 0 && below + here >= rank) return low + (edges_us[i] - low) * (rank - below) / here;
    below += here;
  }
  return edges_us[NEAP_TIMING_EDGE_COUNT - 1];
}

const char *neap_timing_edge(unsigned index) {
  static const char *const texts[] = {
#define EDGE(edge_us, text) text,
      NEAP_TIMING_EDGES(EDGE)
#undef EDGE
  };
  return texts[index];
}
