#include "sim/balance_load.h"

#include <math.h>
#include <stdlib.h>

#include "base/base.h"

double neap_cycle_at(const neap_cycle *cycle, uint32_t i) {
  return cycle->values[i % cycle->count];
}

double neap_scenario_speed(const neap_scenario *scenario, uint32_t i) {
  double sum = 0;
  for (uint32_t k = 0; k < scenario->backends; k++) sum += neap_cycle_at(&scenario->speed, k);
  return neap_cycle_at(&scenario->speed, i) * scenario->backends / sum;
}

double neap_draw_exponential(neap_random *random, double mean) {
  return -mean * log1p(-neap_random_unit(random));
}

/* --- work --- */

/* The mean of the law where its unit is 1. */
static double mean_units(const neap_scenario *s) {
  double a = s->service_a, b = s->service_b;
  switch (s->service) {
  case NEAP_SERVICE_PARETO: {
    double tail = 1 - pow(b, -a);
    return a == 1 ? log(b) / tail : a / (a - 1) * (1 - pow(b, 1 - a)) / tail;
  }
  case NEAP_SERVICE_BIMODAL: return 1 - a + a * b;
  default: return 1;
  }
}

static double draw_units(const neap_scenario *s, neap_random *random) {
  double u = neap_random_unit(random);
  switch (s->service) {
  case NEAP_SERVICE_EXPONENTIAL: return -log1p(-u);
  case NEAP_SERVICE_PARETO: return pow(1 - u * (1 - pow(s->service_b, -s->service_a)), -1 / s->service_a);
  case NEAP_SERVICE_BIMODAL: return u < s->service_a ? s->service_b : 1;
  default: return 1;
  }
}

/* --- keys --- */

static uint32_t draw_key(neap_load *load) {
  double u = neap_random_unit(&load->keys);
  uint32_t low = 0, high = load->scenario->keys - 1;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (u < load->key_sums[middle])
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

static double *sum_keys(uint32_t count, double skew) {
  double *sums = malloc(count * sizeof *sums), total = 0;
  if (sums == NULL) return NULL;
  for (uint32_t k = 0; k < count; k++) sums[k] = total += pow(k + 1, -skew);
  for (uint32_t k = 0; k < count; k++) sums[k] /= total;
  return sums;
}

/* --- the facade --- */

int neap_load_init(neap_load *load, const neap_scenario *scenario, uint64_t requests, uint64_t seed) {
  neap_random seeds = {seed};
  *load = (neap_load){.scenario = scenario, .requests = requests};
  load->gaps.state = neap_random_next(&seeds);
  load->works.state = neap_random_next(&seeds);
  load->balancers.state = neap_random_next(&seeds);
  load->keys.state = neap_random_next(&seeds);
  for (uint32_t i = 0; i < scenario->backends; i++)
    load->capacity +=
        neap_cycle_at(&scenario->workers, i) * neap_scenario_speed(scenario, i) / scenario->service_ms;
  load->duration_ms = (double)requests / (load->capacity * (scenario->load[0] + scenario->load[1]) / 2);
  load->work_unit_ms = scenario->service_ms / mean_units(scenario);
  load->key_sums = sum_keys(scenario->keys, scenario->key_skew);
  return load->key_sums == NULL ? NEAP_ENOMEM : 0;
}

void neap_load_fini(neap_load *load) {
  free(load->key_sums);
}

neap_load_request neap_load_next(neap_load *load) {
  const neap_scenario *s = load->scenario;
  double passed = NEAP_MIN(load->now_ms / load->duration_ms, 1);
  double now_load = s->load[0] + (s->load[1] - s->load[0]) * passed;
  load->now_ms += neap_draw_exponential(&load->gaps, 1 / (load->capacity * now_load));
  return (neap_load_request){.at_ms = load->now_ms,
                             .work_ms = load->work_unit_ms * draw_units(s, &load->works),
                             .balancer = (uint32_t)neap_random_below(&load->balancers, s->balancers),
                             .key = draw_key(load)};
}
