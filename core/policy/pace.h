/* What a pool's backends are like, learned from the outcomes of our requests: how slow each is, and how many
 * requests it works on at once (concurrency.h). Private to policy/.
 *
 * How slow each backend is, by how long its answers take, compared with the rest of the pool. Private to
 * policy/.
 *
 * Response times of real services have heavy tails: their mean, and their peak even more, tell of the largest
 * request rather than of the backend. So a backend's level is the moving average of the *logarithm* of its
 * response times, each divided by how crowded the backend was; it is compared with the *median* of the pool;
 * and differences that chance alone makes count as none. A level that gets no news fades: a backend that was
 * slow is tried again. All times are relative to what an answer of this pool takes, so there is no knob. */
#ifndef NEAP_POLICY_PACE_H
#define NEAP_POLICY_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "policy/concurrency.h"

typedef struct neap_pace_row {
  double level;    /* of ln(us) */
  double slowness; /* 1: as the rest; 2: takes twice as long */
  double seen_ms;  /* when it was learned */
  double newest;   /* the newest sample, beside the median */
  int32_t samples; /* at most what the average remembers; 0: not known */
} neap_pace_row;

typedef struct neap_pace neap_pace;
struct neap_pace {
  neap_pace_row *rows;
  neap_concurrency *crowds; /* one to a place */
  neap_crowding crowding;
  int32_t
      most_proven; /* of all: one that works on fewer may look slow, but none looks fast by being crowded */
  double *scratch;
  int32_t count, room, news; /* places; for how many there is memory; samples since the median was taken */
  double median;             /* of the levels; 0: none yet */
  double typical_ms; /* what a request takes when nothing is in its way; a guess before the first answers */
  double variance;   /* of a sample about its backend's level */
  double fade_ms;    /* a difference halves in that time without news */
};

void neap_pace_init(neap_pace *pace);
void neap_pace_fini(neap_pace *pace);
/* Makes room for `count` places. NEAP_ENOMEM. Allocates only where the pool has grown. */
int neap_pace_fit(neap_pace *pace, int32_t count);
void neap_pace_forget(neap_pace *pace, int32_t place);
/* A request was sent to `place` as the `number`-th of ours in flight. hot: */
void neap_pace_sent(neap_pace *pace, int32_t place, int32_t number);
/* The answer to one that was has taken so long, while there were `others` of others; `capacity` is what the
 * backend says it works on at once, 0 where it is not known. hot: a logarithm and an exponential; now and
 * then, after as many answers as there are places, the median. */
void neap_pace_done(neap_pace *pace, int32_t place, int32_t number, double others, int32_t capacity,
                    double took_us, double now_ms);
void neap_pace_failed(neap_pace *pace, int32_t place, int32_t number);
/* What a backend of this pool works on at once, as far as is known. */
static inline int32_t neap_pace_usual(const neap_pace *pace) {
  return NEAP_MIN(pace->most_proven, pace->crowding.flat);
}
/* What is believed of a reported capacity: four times what the backend, or any other, was seen to work on at
 * once, and 16. Who says a million draws no more by it, and one that can do much shows it in a few steps. */
static inline int32_t neap_pace_believed(const neap_pace *pace, int32_t place, int32_t reported) {
  int32_t seen = NEAP_MAX(pace->crowds[place].proven, neap_pace_usual(pace));
  return NEAP_MIN(reported, 4 * NEAP_MAX(seen, 4));
}
/* How many a backend works on at once before it takes longer. Where it does not say so itself, it is taken to
 * be like the largest that is known, for what it was not yet given cannot have been seen; one that is slow
 * only as far as that does not explain it: it may work on fewer, and what it has proven is sure. */
static inline int32_t neap_pace_capacity(const neap_pace *pace, int32_t place, int32_t reported) {
  if (reported > 0) return neap_pace_believed(pace, place, reported);
  int32_t own = NEAP_MIN(pace->crowds[place].proven, pace->crowding.flat);
  int32_t usual = neap_pace_usual(pace);
  double slow = pace->rows[place].slowness;
  return NEAP_MAX(own, slow > 1 ? (int32_t)(usual / (slow * slow)) : usual);
}
/* The most that a backend may be given so that all of it works: from there on requests wait for each other.
 * False: there is no such number, or it is not known. */
static inline bool neap_pace_is_bounded(const neap_pace *pace, int32_t place, int32_t reported,
                                        int32_t *most) {
  int32_t proven = pace->crowds[place].proven;
  *most = NEAP_MAX(neap_pace_believed(pace, place, reported), proven);
  return reported > 0 ? proven <= reported : pace->crowding.delays && proven >= pace->crowding.flat;
}
double neap_pace_faded(const neap_pace *pace, const neap_pace_row *row, double age_ms);

/* hot: no function is called where the backend is as the rest, or news of it are fresh. */
static inline double neap_pace_slowness(const neap_pace *pace, int32_t place, double now_ms) {
  const neap_pace_row *row = &pace->rows[place];
  double age_ms = now_ms - row->seen_ms;
  if (row->slowness == 1 || age_ms < pace->fade_ms / 8) return row->slowness;
  return neap_pace_faded(pace, row, age_ms);
}

/* How long a request takes at a backend so slow and so crowded, in services: what is there may be served
 * beside it, but among equals, fewer are better. hot: */
static inline double neap_pace_wait(double slowness, double crowd) {
  return slowness * (NEAP_MAX(1, crowd) + 0.01 * crowd);
}

#endif
