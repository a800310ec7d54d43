/* A count-min sketch of 4-bit counters in four rows, incremented conservatively (only the least of a hash's
 * counters grow) and halved once as many additions as ten times its width have been counted, so that it
 * forgets. After G. Einziger, R. Friedman, B. Manes, "TinyLFU", ACM Transactions on Storage 13(4), 2017. */
#include "policy/policy.h"

#include <stdlib.h>

#include "base/base.h"

enum { ROWS = 4, PER_WORD = 16, MOST = 15, WIDTH_LEAST = 64, WIDTH_MOST = 1 << 28 };

struct neap_sketch {
  uint64_t *words; /* row after row, 16 counters each */
  uint32_t width;  /* counters of a row: a power of two */
  uint32_t added, halve_at;
};

static inline uint64_t mix(uint64_t x) {
  x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
  return x ^ x >> 29;
}

/* The counter of a hash in a row: which word, and how far to shift. */
static inline uint64_t *counter(const neap_sketch *sketch, uint64_t hash, unsigned row, unsigned *shift) {
  uint32_t at = (uint32_t)(mix(hash + row * 0x9e3779b97f4a7c15u) >> 16) & (sketch->width - 1);
  *shift = at % PER_WORD * 4;
  return &sketch->words[(size_t)row * (sketch->width / PER_WORD) + at / PER_WORD];
}

static void halve(neap_sketch *sketch) {
  size_t words = (size_t)ROWS * (sketch->width / PER_WORD);
  for (size_t i = 0; i < words; i++) sketch->words[i] = sketch->words[i] >> 1 & 0x7777777777777777u;
  sketch->added /= 2;
}

int neap_sketch_create(int32_t width, neap_sketch **out) {
  if (width < 1 || width > WIDTH_MOST) return NEAP_EINVAL;
  uint32_t rounded = WIDTH_LEAST;
  while (rounded < (uint32_t)width) rounded *= 2;
  neap_sketch *sketch = calloc(1, sizeof *sketch);
  if (sketch == NULL) return NEAP_ENOMEM;
  sketch->words = calloc((size_t)ROWS * (rounded / PER_WORD), sizeof *sketch->words);
  if (sketch->words == NULL) {
    free(sketch);
    return NEAP_ENOMEM;
  }
  sketch->width = rounded;
  sketch->halve_at = 10 * (uint32_t)width;
  *out = sketch;
  return 0;
}

void neap_sketch_destroy(neap_sketch **sketch) {
  if (*sketch == NULL) return;
  free((*sketch)->words);
  free(*sketch);
  *sketch = NULL;
}

int32_t neap_sketch_estimate(const neap_sketch *sketch, double hash) {
  if (!(hash >= 0 && hash < 0x1p53)) return 0;
  uint64_t least = MOST;
  for (unsigned row = 0; row < ROWS; row++) {
    unsigned shift;
    const uint64_t *word = counter(sketch, (uint64_t)hash, row, &shift);
    uint64_t value = *word >> shift & MOST;
    least = NEAP_MIN(least, value);
  }
  return (int32_t)least;
}

void neap_sketch_add(neap_sketch *sketch, double hash) {
  if (!(hash >= 0 && hash < 0x1p53)) return;
  uint64_t least = (uint64_t)neap_sketch_estimate(sketch, hash);
  if (least < MOST) {
    for (unsigned row = 0; row < ROWS; row++) {
      unsigned shift;
      uint64_t *word = counter(sketch, (uint64_t)hash, row, &shift);
      if ((*word >> shift & MOST) == least) *word += (uint64_t)1 << shift;
    }
  }
  if (++sketch->added >= sketch->halve_at) halve(sketch);
}

void neap_sketch_swap(neap_sketch *a, neap_sketch *b) {
  neap_sketch other = *a;
  *a = *b;
  *b = other;
}

size_t neap_sketch_memory(const neap_sketch *sketch) {
  return sizeof *sketch + (size_t)ROWS * (sketch->width / PER_WORD) * sizeof *sketch->words;
}
