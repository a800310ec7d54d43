#include "policy/pace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
  REMEMBERED = 64,   /* samples that a level is made of */
  AFTER_SILENCE = 8, /* of them are left when there was no news for long */
  LEAST_SAMPLES = 4  /* before a level counts */
};
static const double CLIP = 2;           /* no sample moves a level as if it were farther off */
static const double SAME = 0.1;         /* what differs less from the median is as fast */
static const double BAND = 0.2;         /* differences below (in ln) are none */
static const double DOUBT = 4;          /* nor are those of so many standard errors */
static const double FADE_ANSWERS = 100; /* a difference halves in the time of so many answers, one by one */

void neap_pace_init(neap_pace *pace) {
  *pace = (neap_pace){.variance = 0.5, .fade_ms = 1000, .typical_ms = 10, .crowding = {.flat = 1}};
}

void neap_pace_fini(neap_pace *pace) {
  free(pace->rows);
  free(pace->crowds);
  free(pace->scratch);
}

static void forget(neap_pace *pace, int32_t place) {
  pace->rows[place] = (neap_pace_row){.slowness = 1};
  neap_concurrency_init(&pace->crowds[place]);
}

/* Twice as much as there was, or more: backends may join one by one, thousands of them. */
static int make_room(neap_pace *pace, int32_t count) {
  int32_t room = NEAP_MAX(count, pace->room > INT32_MAX / 2 ? count : 2 * pace->room);
  neap_pace_row *rows = realloc(pace->rows, (size_t)room * sizeof *rows);
  if (rows == NULL) return NEAP_ENOMEM;
  pace->rows = rows;
  double *scratch = realloc(pace->scratch, (size_t)room * sizeof *scratch);
  if (scratch == NULL) return NEAP_ENOMEM;
  pace->scratch = scratch;
  neap_concurrency *crowds = realloc(pace->crowds, (size_t)room * sizeof *crowds);
  if (crowds == NULL) return NEAP_ENOMEM;
  pace->crowds = crowds;
  pace->room = room;
  return 0;
}

int neap_pace_fit(neap_pace *pace, int32_t count) {
  if (count <= pace->count) return 0;
  if (count > pace->room && make_room(pace, count)) return NEAP_ENOMEM;
  for (; pace->count < count; pace->count++) forget(pace, pace->count);
  return 0;
}

void neap_pace_forget(neap_pace *pace, int32_t place) {
  if (place >= pace->count) return;
  bool largest = pace->crowds[place].proven >= pace->most_proven && pace->most_proven > 1;
  forget(pace, place);
  if (!largest && pace->most_proven > 0) return;
  pace->most_proven = 1;
  for (int32_t i = 0; i < pace->count; i++)
    pace->most_proven = NEAP_MAX(pace->most_proven, pace->crowds[i].proven);
}

/* --- the pool --- */

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Before the first median there is nothing to compare with: all are as the rest. */
static void judge(const neap_pace *pace, neap_pace_row *row) {
  double off = row->level - pace->median;
  double error = sqrt(pace->variance / (2.0 * NEAP_MIN(row->samples, REMEMBERED)));
  bool counts =
      pace->median != 0 && row->samples >= LEAST_SAMPLES && fabs(off) > NEAP_MAX(BAND, DOUBT * error);
  row->slowness = counts ? exp(off) : 1;
}

static void take_median(neap_pace *pace) {
  int32_t known = 0;
  for (int32_t i = 0; i < pace->count; i++)
    if (pace->rows[i].samples >= LEAST_SAMPLES) pace->scratch[known++] = pace->rows[i].level;
  pace->news = 0;
  if (known == 0) return;
  qsort(pace->scratch, (size_t)known, sizeof *pace->scratch, compare);
  pace->median = pace->scratch[(known - 1) / 2];
  pace->typical_ms = exp(pace->median) / 1e3;
  pace->fade_ms = NEAP_MIN(NEAP_MAX(FADE_ANSWERS * pace->typical_ms, 200), 20000);
  for (int32_t i = 0; i < pace->count; i++)
    if (pace->rows[i].samples > 0) judge(pace, &pace->rows[i]);
}

/* --- the facade --- */

void neap_pace_sent(neap_pace *pace, int32_t place, int32_t number) {
  neap_concurrency_sent(&pace->crowds[place], number);
}

void neap_pace_failed(neap_pace *pace, int32_t place, int32_t number) {
  neap_concurrency_back(&pace->crowds[place], number, true);
}

static void learn(neap_pace *pace, neap_pace_row *row, double sample, double now_ms) {
  if (now_ms - row->seen_ms > pace->fade_ms) row->samples = NEAP_MIN(row->samples, AFTER_SILENCE);
  row->seen_ms = now_ms;
  if (row->samples++ == 0) row->level = sample;
  double off = NEAP_MIN(NEAP_MAX(sample - row->level, -CLIP), CLIP);
  if (row->samples > LEAST_SAMPLES) pace->variance += (off * off - pace->variance) / 1024;
  row->samples = NEAP_MIN(row->samples, REMEMBERED);
  row->level += off / row->samples;
  double beside = NEAP_MIN(NEAP_MAX(sample - pace->median, -CLIP), CLIP);
  row->newest = pace->median == 0 || fabs(beside) < SAME ? 0 : beside;
  judge(pace, row);
  if (++pace->news >= NEAP_MAX(pace->count, 16)) take_median(pace);
}

void neap_pace_done(neap_pace *pace, int32_t place, int32_t number, double others, int32_t capacity,
                    double took_us, double now_ms) {
  neap_pace_row *row = &pace->rows[place];
  double sample = log(NEAP_MAX(took_us, 1));
  neap_concurrency_back(&pace->crowds[place], number, false);
  pace->most_proven = NEAP_MAX(pace->most_proven, pace->crowds[place].proven);
  if (capacity > 0) capacity = neap_pace_believed(pace, place, capacity);
  double crowd = (number + others) / (capacity > 0 ? capacity : pace->most_proven);
  if (row->samples >= LEAST_SAMPLES)
    neap_crowding_learn(&pace->crowding, number, sample - row->level, pace->variance);
  learn(pace, row, crowd > 1 ? sample - log(crowd) : sample, now_ms);
  if (crowd > 1) row->newest = 0; /* it waited for ours: that says nothing of others */
}

double neap_pace_faded(const neap_pace *pace, const neap_pace_row *row, double age_ms) {
  double off = log(row->slowness) * exp2(-age_ms / pace->fade_ms);
  return fabs(off) < BAND ? 1 : exp(off);
}
