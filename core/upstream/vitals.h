/* What is known of one backend's health: written by probes, by the outcome of requests and by its own
 * reports, read by every worker that fills its rows. Kept with the backend, so that a reload changes nothing
 * of it. Clocks are parameters; nothing here takes a lock.
 *
 *   vitals.c   bars, state and share of a row; what an outcome changes
 *   health.c   probes: verdicts to state, when to probe next
 *   outlier.c  ejection: by errors in a row, by error rate against the pool, and never all at once
 *   breaker.c  the circuit breaker
 *   report.c   load reports, read
 *   shares.c   shares that follow reported utilisation
 */
#ifndef NEAP_UPSTREAM_VITALS_H
#define NEAP_UPSTREAM_VITALS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/care.h"
#include "base/random.h"
#include "policy/policy.h"
#include "upstream/upstream.h"

/* --- health.c: what probes by one set of rules say. Written by the control thread, read by any. */
typedef struct neap_health {
  _Atomic uint64_t key;        /* of the rules; 0: nobody looks */
  _Atomic int32_t state;       /* NEAP_BACKEND_UNKNOWN before the first verdict, UP, DOWN */
  _Atomic bool refused;        /* the last probe found nobody there */
  _Atomic uint64_t checked_ms; /* the last probe's end; 0: none yet */
  _Atomic bool good;           /* the last probe's verdict */
  uint32_t against;            /* verdicts in a row that speak against the state; control thread only */
} neap_health;

void neap_health_init(neap_health *health);
/* Takes the verdict of one probe; true when it changed the state. The first one decides alone. */
bool neap_health_take(neap_health *health, const neap_care_health *rules, bool good);
/* When to probe next, from the end of the last one: +-20 % so that checks do not march in step. */
uint64_t neap_health_pause_ms(const neap_health *health, const neap_care_health *rules, neap_random *random);
/* Takes over what another set of rules has found out; `from` may be NULL. */
void neap_health_begin(neap_health *health, uint64_t key, const neap_health *from);
/* Is that status among the expected ones? */
bool neap_health_expects(const neap_care_health *rules, int status);

/* --- breaker.c. Any thread.
 *
 *      closed --errors--> open --open_ms--> half-open --`trials` good ones--> closed
 *                           ^-------------- one bad one --'
 */
typedef struct neap_breaker {
  _Atomic uint64_t open_until_ms; /* 0: closed; past: half-open */
  _Atomic uint64_t window;        /* closed: [number of the window, requests, errors] */
  _Atomic uint32_t in_row;        /* closed: errors */
  _Atomic uint32_t begun, passed; /* half-open: trials */
  _Atomic uint64_t trials_ms;     /* half-open: when the first of them began */
  _Atomic uint64_t opened;        /* how often */
} neap_breaker;

/* NEAP_BREAKER_... */
int neap_breaker_state_at(const neap_breaker *breaker, uint64_t now_ms);
/* May a request go? hot: one load while it is closed. */
bool neap_breaker_admits(const neap_breaker *breaker, const neap_care_breaker *rules, uint64_t now_ms);
/* One goes. hot: */
void neap_breaker_begin(neap_breaker *breaker, const neap_care_breaker *rules, uint64_t now_ms);
/* One came to its end. hot: */
void neap_breaker_end(neap_breaker *breaker, const neap_care_breaker *rules, bool good, uint64_t now_ms);

/* --- all of it */
typedef struct neap_vitals {
  neap_health checks[NEAP_CHECKS_MAX]; /* one to a set of rules, in no order */
  _Atomic uint64_t up_since_ms;        /* 0: not yet seen */
  _Atomic uint64_t ejected_until_ms;   /* 0: never */
  _Atomic uint32_t errors_in_row, ejected_times;
  _Atomic bool ejected_in_row; /* the last time, by errors in a row: it gave nothing else */
  _Atomic uint64_t broken_ms;  /* the last broken exchange that counted in the row */
  neap_breaker breaker;
  _Atomic int32_t load, capacity; /* by its newest report; load -1: not said */
  _Atomic double utilization;     /* -1: not said */
  _Atomic uint64_t report_ms;     /* 0: no report yet */
  _Atomic double factor;          /* of its share, by dynamic weight; 0 stands for 1 */
  _Atomic uint64_t errors;        /* outcomes that counted against it */
  _Atomic uint64_t probes, probe_failures, transitions, ejections;
  struct { /* outlier.c and keeper.c, control thread only: recent ones, the older the less */
    uint64_t swept_ms, requests_seen, errors_seen, ejections_told, opened_told;
    double requests, errors;
  } recent;
} neap_vitals;

void neap_vitals_init(neap_vitals *vitals);
/* What the rules with that key say: `key` of neap_care_health. Where nobody looks by them (yet, or any more),
 * what others say. Any thread. hot: */
const neap_health *neap_vitals_check(const neap_vitals *vitals, uint64_t key);
void neap_vitals_get(const neap_vitals *vitals, uint64_t key, uint64_t now_ms, neap_vitals_info *out);

/* Fills bars, share and report of a row, and its state where there are probes. `down_until_ms`: it could not
 * be reached, and is left alone so long. hot: once a millisecond, backend and worker. */
void neap_vitals_row(neap_vitals *vitals, const neap_care *care, uint64_t down_until_ms, uint64_t now_ms,
                     neap_backend_row *row);
/* The report alone. */
void neap_vitals_show_report(const neap_vitals *vitals, uint64_t now_ms, neap_backend_row *row);
/* Then all rows of a pool together, their error rates filled in: panic, and which priorities take part now.
 * `random`: for the overflow from one to the next. hot: once a millisecond and worker. Returns whether health
 * is ignored. */
bool neap_vitals_pool(const neap_care *care, neap_backend_row *rows, int32_t count, neap_random *random);

/* Outcomes of requests. hot: a load and no store, as long as all is well and there is no breaker. */
void neap_vitals_good(neap_vitals *vitals, const neap_care *care, uint64_t now_ms);
/* It could not be reached: no reason to eject it, since it is left alone for its down time anyway. */
void neap_vitals_absent(neap_vitals *vitals, const neap_care *care, uint64_t now_ms);
/* True where the errors in a row suffice to eject it. */
bool neap_vitals_bad(neap_vitals *vitals, const neap_care *care, uint64_t now_ms);
/* The same for what broke off or was late: of many at once one counts in the row. */
bool neap_vitals_broken(neap_vitals *vitals, const neap_care *care, uint64_t now_ms);
void neap_vitals_report(neap_vitals *vitals, const neap_report *report, uint64_t now_ms);

/* --- outlier.c */
bool neap_vitals_is_ejected(const neap_vitals *vitals, uint64_t now_ms);
/* Ejects it, for errors in a row or for its rate. The caller counts those of the pool that are out, this one
 * included, and takes it back where neap_eject_allows says no: two threads that eject at once may both take
 * back, but never both keep. */
void neap_vitals_eject(neap_vitals *vitals, const neap_care_eject *rules, bool in_row, uint64_t now_ms);
void neap_vitals_take_back(neap_vitals *vitals);
bool neap_eject_allows(const neap_care_eject *rules, int32_t members, int32_t ejected);
/* Takes in what happened since the last sweep. Control thread, about once a second for every backend. */
void neap_outlier_observe(neap_vitals *vitals, uint64_t requests, uint64_t elapsed_ms, uint64_t now_ms);
/* Is its recent error rate out of line with that of the rest of its pool? */
bool neap_outlier_is(const neap_care_eject *rules, double requests, double errors, double rest_requests,
                     double rest_errors);

/* --- shares.c. Control thread, about once a second for every pool.
 * Moves the factor of each towards the pool's mean utilisation. `rows`: the vitals of the members, `weights`
 * theirs. */
void neap_shares_adjust(neap_vitals *const *members, const int32_t *weights, size_t count, uint64_t now_ms);

#endif
