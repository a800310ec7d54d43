/* Successors: a table of two-way sets. Of the two rows that a key may take, it takes its own, else the one
 * that was seen less; that one's count is halved at each attempt, so that what was frequent long ago goes,
 * too. */
#include <stdlib.h>

#include "base/base.h"
#include "base/hash.h"
#include "policy/policy.h"

enum {
  SUCCESSORS = 4,
  ROWS_LEAST = 64,
  ROWS_MOST = 1 << 22,
  WINDOW_MOST = 4,
  STREAMS = 1024, /* a power of two: who asks, each with what it asked for last */
  SEEN_MOST = 64  /* then all counts of the row are halved */
};

typedef struct assoc_row {
  double hash; /* 0: free */
  double next[SUCCESSORS];
  uint8_t counts[SUCCESSORS]; /* in descending order, as `next` */
  uint32_t seen;
} assoc_row;

typedef struct assoc_stream {
  double id;
  double recent[WINDOW_MOST];
  uint32_t at;
} assoc_stream;

struct neap_assoc {
  assoc_row *rows;
  uint32_t mask;
  int32_t window;
  assoc_stream streams[STREAMS];
};

static bool is_hash(double hash) {
  return hash >= 1 && hash < 0x1p53;
}

static uint64_t spread(double hash) {
  return neap_hash_mix((uint64_t)hash ^ UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xbf58476d1ce4e5b9));
}

int neap_assoc_create(int32_t rows, int32_t window, neap_assoc **out) {
  if (rows < 1 || rows > ROWS_MOST || window < 1 || window > WINDOW_MOST) return NEAP_EINVAL;
  uint32_t rounded = ROWS_LEAST;
  while (rounded < (uint32_t)rows) rounded *= 2;
  neap_assoc *assoc = calloc(1, sizeof *assoc);
  if (assoc == NULL) return NEAP_ENOMEM;
  assoc->rows = calloc(rounded, sizeof *assoc->rows);
  assoc->mask = rounded - 1;
  assoc->window = window;
  if (assoc->rows == NULL) {
    free(assoc);
    return NEAP_ENOMEM;
  }
  *out = assoc;
  return 0;
}

void neap_assoc_destroy(neap_assoc **assoc) {
  if (*assoc == NULL) return;
  free((*assoc)->rows);
  free(*assoc);
  *assoc = NULL;
}

/* --- rows --- */

static assoc_row *find(const neap_assoc *assoc, double hash) {
  if (!is_hash(hash)) return NULL;
  uint32_t at = (uint32_t)spread(hash) & assoc->mask;
  if (assoc->rows[at].hash == hash) return &assoc->rows[at];
  return assoc->rows[at ^ 1].hash == hash ? &assoc->rows[at ^ 1] : NULL;
}

static void halve(assoc_row *row) {
  row->seen /= 2;
  for (int i = 0; i < SUCCESSORS; i++) row->counts[i] /= 2;
}

/* The row of `hash`, made where there is room or its place is worth little. NULL: not yet. */
static assoc_row *claim(neap_assoc *assoc, double hash) {
  assoc_row *row = find(assoc, hash);
  if (row != NULL) return row;
  uint32_t at = (uint32_t)spread(hash) & assoc->mask;
  row = &assoc->rows[at];
  if (assoc->rows[at ^ 1].seen < row->seen) row = &assoc->rows[at ^ 1];
  if (row->seen > 1) {
    halve(row);
    return NULL;
  }
  *row = (assoc_row){.hash = hash};
  return row;
}

/* One more for `next`, which moves up among the others; a stranger wears down the last. */
static void count(assoc_row *row, double next) {
  int at = 0;
  while (at < SUCCESSORS - 1 && row->next[at] != next && row->counts[at] > 0) at++;
  if (row->next[at] != next) {
    if (row->counts[at] > 0 && --row->counts[at] > 0) return;
    row->next[at] = next;
    row->counts[at] = 0;
  }
  row->counts[at]++;
  for (; at > 0 && row->counts[at] > row->counts[at - 1]; at--) {
    double other = row->next[at - 1];
    uint8_t many = row->counts[at - 1];
    row->next[at - 1] = row->next[at], row->counts[at - 1] = row->counts[at];
    row->next[at] = other, row->counts[at] = many;
  }
}

void neap_assoc_learn(neap_assoc *assoc, double hash, double stream) {
  if (!is_hash(hash)) return;
  if (!(stream >= 0 && stream < 0x1p53)) stream = 0;
  assoc_stream *from = &assoc->streams[stream > 0 ? spread(stream) % STREAMS : 0];
  if (from->id != stream) *from = (assoc_stream){.id = stream};
  for (int32_t i = 1; i <= assoc->window; i++) {
    double before = from->recent[(from->at - (uint32_t)i) % WINDOW_MOST];
    assoc_row *row = before != hash ? find(assoc, before) : NULL;
    if (row != NULL) count(row, hash);
  }
  from->recent[from->at++ % WINDOW_MOST] = hash;
  assoc_row *row = claim(assoc, hash);
  if (row != NULL && ++row->seen >= SEEN_MOST) halve(row);
}

/* --- asking --- */

static const assoc_row *ranked(const neap_assoc *assoc, double hash, int32_t rank) {
  const assoc_row *row = rank >= 0 && rank < SUCCESSORS ? find(assoc, hash) : NULL;
  return row != NULL && row->counts[rank] > 0 ? row : NULL;
}

double neap_assoc_next(const neap_assoc *assoc, double hash, int32_t rank) {
  const assoc_row *row = ranked(assoc, hash, rank);
  return row != NULL ? row->next[rank] : 0;
}

double neap_assoc_share(const neap_assoc *assoc, double hash, int32_t rank) {
  const assoc_row *row = ranked(assoc, hash, rank);
  if (row == NULL) return 0;
  return row->counts[rank] < row->seen ? (double)row->counts[rank] / row->seen : 1;
}

int32_t neap_assoc_count(const neap_assoc *assoc, double hash, int32_t rank) {
  const assoc_row *row = ranked(assoc, hash, rank);
  return row != NULL ? row->counts[rank] : 0;
}

void neap_assoc_swap(neap_assoc *a, neap_assoc *b) {
  neap_assoc other = *a;
  *a = *b;
  *b = other;
}

size_t neap_assoc_memory(const neap_assoc *assoc) {
  return sizeof *assoc + (assoc->mask + (size_t)1) * sizeof *assoc->rows;
}
