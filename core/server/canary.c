/* A canary: compares those that were served by the candidate with those that were not, and ends it when they
 * fare worse, which must not be chance.
 *
 * Errors are worse when their share exceeds the other side's by more than the margin, and that by SURE_ERRORS
 * standard errors. The time is worse when more than one in a hundred takes longer than the other side's 99th
 * percentile with its margin, a millisecond at least, and that by SURE_SLOW standard errors: slow requests
 * come in bursts. */
#include <math.h>
#include <stdio.h>

#include "server/candidate.h"

enum { LOOK_MS = 250, LEAST_US = 1000 };
static const double SURE_ERRORS = 2, SURE_SLOW = 3;

typedef struct side {
  uint64_t requests, errors;
  neap_histogram took_us;
} side;

static void gather(const neap_candidate *candidate, bool tried, side *out) {
  *out = (side){0};
  for (uint32_t i = 0; i < candidate->part_count; i++) {
    const neap_trial *trial = &candidate->parts[i].trial;
    const neap_trial_side *from = tried ? &trial->with : &trial->without;
    out->requests += neap_count_get(&from->requests);
    out->errors += neap_count_get(&from->errors);
    neap_histogram_merge(&out->took_us, &from->took_us);
  }
}

static double share(uint64_t part, uint64_t whole) {
  return whole ? (double)part / (double)whole : 0;
}

/* Of a share that was found in so many. */
static double variance(double found, uint64_t in) {
  return found * (1 - found) / (double)NEAP_MAX(in, (uint64_t)1);
}

static double slow_after_us(const neap_candidate *candidate, const side *in_force) {
  double p99 = (double)neap_histogram_quantile(&in_force->took_us, 990000);
  return p99 + NEAP_MAX(p99 * candidate->terms.max_p99, (double)LEAST_US);
}

static bool has_more_errors(const neap_candidate *candidate, const side *in_force, const side *tried,
                            char *why, size_t size) {
  double a = share(in_force->errors, in_force->requests), b = share(tried->errors, tried->requests);
  double sigma = sqrt(variance(a, in_force->requests) + variance(b, tried->requests));
  if (b - a - SURE_ERRORS * sigma <= candidate->terms.max_errors) return false;
  snprintf(why, size, "errors: %.2f %% of %llu requests, %.2f %% of %llu without it; %.2f %% more may be",
           b * 100, (unsigned long long)tried->requests, a * 100, (unsigned long long)in_force->requests,
           candidate->terms.max_errors * 100);
  return true;
}

static bool is_slower(const neap_candidate *candidate, const side *in_force, const side *tried, char *why,
                      size_t size) {
  double limit_us = slow_after_us(candidate, in_force);
  double slow = share(neap_histogram_count_above(&tried->took_us, (uint64_t)limit_us), tried->requests);
  if (slow - SURE_SLOW * sqrt(variance(slow, tried->requests)) <= 0.01) return false;
  snprintf(why, size, "p99: %.1f ms, %.1f ms without it; %.2f %% of %llu requests took more than %.1f ms",
           (double)neap_histogram_quantile(&tried->took_us, 990000) / 1e3,
           (double)neap_histogram_quantile(&in_force->took_us, 990000) / 1e3, slow * 100,
           (unsigned long long)tried->requests, limit_us / 1e3);
  return true;
}

/* A policy of the candidate was taken out by its guard: it decides no more. */
static bool has_tripped(const neap_candidate *candidate, char *why, size_t size) {
  const neap_loaded *loaded = candidate->loaded;
  for (uint32_t i = 0; i < loaded->part_count; i++) {
    if (loaded->parts[i].vm == NULL || loaded->parts[i].loaded == NULL) continue;
    neap_worker_counters routes;
    neap_worker_counters_peek(loaded->parts[i].vm, &routes);
    uint64_t trips = routes.trips;
    for (size_t p = 0; p < loaded->parts[i].pool_count; p++) {
      neap_policy_counters one;
      neap_policy_counters_peek(neap_pool_policy(loaded->parts[i].generation.pools[p]), &one);
      trips += one.trips;
    }
    if (trips == 0) continue;
    snprintf(why, size, "a policy of it failed and was taken out; the log says where");
    return true;
  }
  return false;
}

static bool has_enough(const neap_candidate *candidate, const side *in_force, const side *tried) {
  uint64_t least = candidate->terms.min_requests;
  return in_force->requests >= least && tried->requests >= least;
}

static bool is_worse(const neap_candidate *candidate, const side *in_force, const side *tried, char *why,
                     size_t size) {
  if (has_tripped(candidate, why, size)) return true;
  if (!has_enough(candidate, in_force, tried)) return false;
  return has_more_errors(candidate, in_force, tried, why, size) ||
         is_slower(candidate, in_force, tried, why, size);
}

static uint64_t ran_ms(const neap_candidate *candidate) {
  const neap_host *host = candidate->gateway->host;
  return host->now_ms(host->user) - candidate->started_ms;
}

static void on_watch(neap_timer *timer) {
  neap_candidate *candidate = NEAP_CONTAINER_OF(timer, neap_candidate, watch);
  neap_gateway *gateway = candidate->gateway;
  side in_force, tried;
  char why[256];
  gather(candidate, false, &in_force);
  gather(candidate, true, &tried);
  if (is_worse(candidate, &in_force, &tried, why, sizeof why)) {
    neap_gateway_log(gateway, NEAP_LOG_WARN, "server canary_rolled_back file=%s reason=\"%s\"",
                     candidate->file, why);
    neap_candidate_end(gateway, "rolled back", why);
    return;
  }
  neap_timer_set(gateway->loop, timer, LOOK_MS);
  if (candidate->healthy || ran_ms(candidate) < candidate->terms.for_ms) return;
  if (!has_enough(candidate, &in_force, &tried)) return;
  candidate->healthy = true;
  neap_gateway_log(gateway, NEAP_LOG_INFO, "server canary_healthy file=%s requests=%llu", candidate->file,
                   (unsigned long long)tried.requests);
  if (candidate->terms.promote) neap_gateway_promote(gateway, NULL);
}

void neap_canary_begin(neap_candidate *candidate) {
  static const neap_request_board empty = {0};
  const neap_canary_terms *terms = &candidate->terms;
  for (uint32_t i = 0; i < candidate->part_count; i++) {
    neap_trial *trial = &candidate->parts[i].trial;
    trial->share = terms->share;
    trial->by = terms->by;
    trial->by_name = terms->by_name;
    trial->unnamed = neap_route_key(terms->by, terms->by_name, &empty);
    trial->salt = candidate->salt;
  }
  neap_timer_init(&candidate->watch, on_watch);
  neap_timer_set(candidate->gateway->loop, &candidate->watch, LOOK_MS);
}

/* --- seeing */

static json_t *side_json(const char *name, const side *one) {
  return json_pack("{s:s, s:I, s:I, s:f, s:f, s:f}", "side", name, "requests", (json_int_t)one->requests,
                   "errors", (json_int_t)one->errors, "error_share", share(one->errors, one->requests),
                   "p50_ms", (double)neap_histogram_quantile(&one->took_us, 500000) / 1e3, "p99_ms",
                   (double)neap_histogram_quantile(&one->took_us, 990000) / 1e3);
}

void neap_canary_json(const neap_candidate *candidate, json_t *out) {
  side in_force, tried;
  gather(candidate, false, &in_force);
  gather(candidate, true, &tried);
  const neap_canary_terms *terms = &candidate->terms;
  json_object_set_new(out, "terms",
                      json_pack("{s:f, s:f, s:f, s:f, s:I, s:b}", "share", terms->share, "max_errors",
                                terms->max_errors, "max_p99", terms->max_p99, "for_s",
                                (double)terms->for_ms / 1e3, "min_requests", (json_int_t)terms->min_requests,
                                "promote", terms->promote));
  json_object_set_new(out, "healthy", json_boolean(candidate->healthy));
  json_object_set_new(out, "sides",
                      json_pack("[o, o]", side_json("in force", &in_force), side_json("candidate", &tried)));
}
