/* The requests of a simulation: when they come, to which balancer, how much work they are, which key they
 * have. They depend on scenario and seed alone, so every policy meets the same ones. Internal to sim/. */
#ifndef NEAP_SIM_BALANCE_LOAD_H
#define NEAP_SIM_BALANCE_LOAD_H

#include "base/random.h"
#include "sim/sim.h"

typedef struct neap_load {
  const neap_scenario *scenario;
  uint64_t requests;
  double capacity;     /* requests per ms of all backends together */
  double duration_ms;  /* expected */
  double now_ms;       /* of the newest request */
  double work_unit_ms; /* scales the law to its mean */
  double *key_sums;    /* key k is drawn where the draw is below key_sums[k] */
  neap_random gaps, works, balancers, keys;
} neap_load;

typedef struct neap_load_request {
  double at_ms, work_ms;
  uint32_t balancer, key;
} neap_load_request;

int neap_load_init(neap_load *load, const neap_scenario *scenario, uint64_t requests, uint64_t seed);
void neap_load_fini(neap_load *load);
neap_load_request neap_load_next(neap_load *load);

/* Exponentially distributed. */
double neap_draw_exponential(neap_random *random, double mean);
double neap_cycle_at(const neap_cycle *cycle, uint32_t i);
/* Of backend `i`, scaled: their mean is 1. */
double neap_scenario_speed(const neap_scenario *scenario, uint32_t i);

#endif
