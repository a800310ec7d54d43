#include "sim/balance_station.h"

#include <math.h>
#include <stdlib.h>

#include "base/base.h"

void neap_station_init(neap_station *station, uint32_t workers, bool cores, double speed) {
  *station = (neap_station){.workers = workers, .cores = cores, .speed = speed, .factor = 1};
}

void neap_station_fini(neap_station *station) {
  free(station->jobs);
  free(station->line);
}

/* Elements of `size` bytes for one more than `count`. */
static void *grown(void *items, uint32_t count, uint32_t *capacity, size_t size) {
  if (count < *capacity) return items;
  *capacity = NEAP_MAX(16, *capacity * 2);
  void *more = realloc(items, *capacity * size);
  if (more == NULL) neap_fatal(__FILE__, __LINE__, "out of memory");
  return more;
}

/* --- requests in service --- */

static void start(neap_station *s, uint32_t request, double work) {
  s->jobs = grown(s->jobs, s->job_count, &s->job_capacity, sizeof *s->jobs);
  double due = s->clock + work;
  uint32_t at = s->job_count++;
  for (; at > 0 && s->jobs[(at - 1) / 2].due > due; at = (at - 1) / 2) s->jobs[at] = s->jobs[(at - 1) / 2];
  s->jobs[at] = (neap_station_job){due, request};
}

static void drop_first(neap_station *s) {
  neap_station_job last = s->jobs[--s->job_count];
  uint32_t at = 0;
  for (uint32_t child; (child = 2 * at + 1) < s->job_count; at = child) {
    if (child + 1 < s->job_count && s->jobs[child + 1].due < s->jobs[child].due) child++;
    if (s->jobs[child].due >= last.due) break;
    s->jobs[at] = s->jobs[child];
  }
  s->jobs[at] = last;
}

/* How fast the clock runs. */
static double rate(const neap_station *s) {
  double each = s->cores && s->job_count > s->workers ? (double)s->workers / s->job_count : 1;
  return s->speed * s->factor * each;
}

/* --- those that wait --- */

static void push_line(neap_station *s, uint32_t request, double work) {
  if (s->line_count == s->line_capacity) {
    uint32_t before = s->line_capacity;
    s->line = grown(s->line, s->line_count, &s->line_capacity, sizeof *s->line);
    for (uint32_t i = 0; i < s->line_first; i++)
      s->line[before + i] = s->line[i]; /* it has doubled at least */
  }
  uint32_t at = (s->line_first + s->line_count++) % s->line_capacity;
  s->line[at].request = request;
  s->line[at].work = work;
}

/* --- the facade --- */

void neap_station_advance(neap_station *station, double now_ms) {
  double elapsed_ms = now_ms - station->at_ms;
  station->at_ms = now_ms;
  station->clock += elapsed_ms * rate(station);
  station->busy_ms += elapsed_ms * NEAP_MIN(station->job_count, station->workers);
}

void neap_station_enter(neap_station *station, uint32_t request, double work) {
  if (station->cores || station->job_count < station->workers)
    start(station, request, work);
  else
    push_line(station, request, work);
}

uint32_t neap_station_leave(neap_station *station) {
  uint32_t request = station->jobs[0].request;
  station->clock = NEAP_MAX(station->clock, station->jobs[0].due); /* what rounding has left */
  drop_first(station);
  if (station->line_count > 0) {
    uint32_t first = station->line_first;
    station->line_first = (first + 1) % station->line_capacity;
    station->line_count--;
    start(station, station->line[first].request, station->line[first].work);
  }
  return request;
}

double neap_station_next_ms(const neap_station *station) {
  if (station->job_count == 0) return INFINITY;
  double left = NEAP_MAX(station->jobs[0].due - station->clock, 0);
  return station->at_ms + left / rate(station);
}
