/* A simulated backend: workers and the requests before them. Internal to sim/.
 *
 * All requests in service are worked on at the same rate, so one clock per station is enough: it runs as fast
 * as each of them is served, and a request is done when the clock has come to what it showed at the start,
 * plus the request's work. A change of speed or of their number changes the rate and nothing else.
 *
 *   queue   `workers` requests are in service, the others wait in order of arrival
 *   cores   all are in service; `workers` cores are shared among them evenly
 */
#ifndef NEAP_SIM_BALANCE_STATION_H
#define NEAP_SIM_BALANCE_STATION_H

#include <stdbool.h>
#include <stdint.h>

typedef struct neap_station_job {
  double due; /* of the station's clock */
  uint32_t request;
} neap_station_job;

typedef struct neap_station {
  uint32_t workers;
  bool cores;
  double speed;           /* work per ms and request in service, where there are workers enough */
  double factor;          /* of the moment */
  double clock, at_ms;    /* what it showed at that time */
  double busy_ms;         /* summed over workers */
  uint32_t present;       /* requests: in service, waiting, and on the way to an error */
  uint32_t stamp;         /* changes with each forecast: events of older ones are void */
  neap_station_job *jobs; /* in service: a heap, soonest first */
  uint32_t job_count, job_capacity;
  struct {
    uint32_t request;
    double work;
  } * line; /* waiting: a ring */
  uint32_t line_first, line_count, line_capacity;
} neap_station;

void neap_station_init(neap_station *station, uint32_t workers, bool cores, double speed);
void neap_station_fini(neap_station *station);

/* Time passes until `now_ms`, at the rate of before. To be called before anything else happens. */
void neap_station_advance(neap_station *station, double now_ms);
void neap_station_enter(neap_station *station, uint32_t request, double work);
/* The request that is done now leaves. */
uint32_t neap_station_leave(neap_station *station);
/* When the next one will be done, if nothing changes; INFINITY where none is in service. */
double neap_station_next_ms(const neap_station *station);

#endif
