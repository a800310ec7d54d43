/* How a pool looks after its backends: what the configuration says of it, and upstream/ goes by. Times are
 * milliseconds, shares 0..1, texts never NULL. Zeroed memory is a pool that does nothing but leave alone, for
 * its down time, what cannot be reached. */
#ifndef NEAP_BASE_CARE_H
#define NEAP_BASE_CARE_H

#include <stdbool.h>
#include <stdint.h>

/* Priorities of backends: 0 first; the last is that of a backup. */
enum { NEAP_PRIORITIES = 16 };

/* Active checks. */
typedef enum neap_probe_kind { NEAP_PROBE_NONE, NEAP_PROBE_HTTP, NEAP_PROBE_TCP } neap_probe_kind;

enum { NEAP_PROBE_STATUSES_MAX = 8 };

typedef struct neap_care_health {
  neap_probe_kind kind;
  const char *path;     /* HTTP */
  const char *host;     /* of the Host field; "": the backend's address */
  const char *contains; /* what the body's beginning has to contain; "": anything */
  uint16_t status_from[NEAP_PROBE_STATUSES_MAX], status_to[NEAP_PROBE_STATUSES_MAX]; /* expected, inclusive */
  uint32_t status_count;
  bool scripted;             /* a function of the configuration gives the verdict */
  uint64_t interval_ms;      /* while its state stays */
  uint64_t fast_interval_ms; /* while it seems to change, and while it is down */
  uint64_t timeout_ms;
  uint32_t rise, fall; /* good and bad answers in a row that change its state */
  uint64_t key;        /* neap_care_health_key: pools with the same rules share the probes of a backend */
} neap_care_health;

/* Of all that makes one check another: the fields, and where it is scripted, whose it is. 0: no check. */
uint64_t neap_care_health_key(const neap_care_health *rules, const char *pool);

/* Leaving alone what gives errors. */
typedef struct neap_care_eject {
  bool enabled;
  uint32_t errors;               /* in a row; 0: not by this */
  double rate;                   /* error rate above the rest of the pool's; 0: not by this */
  uint32_t min_requests;         /* recent ones, before a rate means anything */
  uint64_t time_ms, max_time_ms; /* the first time; doubled each time, up to the second */
  double max_share;              /* of the pool, most at once; one stays in any case */
} neap_care_eject;

/* The circuit breaker. */
typedef struct neap_care_breaker {
  bool enabled;
  uint32_t errors;       /* in a row; 0: not by this */
  double rate;           /* of errors in a window; 0: not by this */
  uint32_t min_requests; /* of a window, before its rate means anything */
  uint64_t window_ms;
  uint64_t open_ms; /* before it tries again */
  uint32_t trials;  /* requests that it tries then, all of which have to succeed */
} neap_care_breaker;

typedef struct neap_care {
  neap_care_health health;
  neap_care_eject eject;
  neap_care_breaker breaker;
  uint64_t slow_start_ms; /* the share of what has come (back) grows for so long; 0: at once in full */
  double panic;           /* with less than this share of the pool well, what is said of health is ignored */
  bool dynamic_weight;    /* shares follow reported utilisation */
  bool load_probes;       /* ask backends for the load that a policy wants to know */
} neap_care;

#endif
