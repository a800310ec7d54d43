/* Balance policies before simulated backends: a discrete-event simulation.
 *
 *   request arrives -> its balancer asks its policy -> [held] -> delay -> station -> delay -> answer
 *
 * Each balancer has a policy instance of its own, with its own board, and knows of the backends what a
 * gateway would: its own requests in flight, how its own requests fared, and, where the scenario is run with
 * reports, what the backends tell with each answer or when they are probed.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/hash.h"
#include "base/random.h"
#include "sim/balance_agenda.h"
#include "sim/balance_load.h"
#include "sim/balance_station.h"
#include "sim/sim.h"

enum {
  ARRIVES,  /* the next request, at its balancer */
  REACHES,  /* request `subject`, its backend */
  DONE,     /* the first job of station `subject`, if its stamp is still `detail` */
  ERRS,     /* request `subject` is answered with an error */
  ANSWERED, /* request `subject` is back at its balancer */
  PROBES,   /* a probe reaches its backend */
  PROBED,   /* and is back, with the load `detail` */
  TURNS,    /* an episode begins or ends */
  DISTURBED /* an antagonist comes to station `subject`, or leaves */
};

enum { WARM_UP_PARTS = 10 }; /* the first tenth does not count */

typedef struct request {
  double arrived_ms, sent_ms, work_ms;
  double response_ms; /* NAN: an error */
  uint32_t key;
  uint16_t balancer, backend;
  int32_t in_flight, load; /* at its sending; reported with its answer */
  uint32_t next;           /* held behind it */
  bool failed;
} request;

typedef struct balancer {
  neap_policy *policy;
  neap_pick_board board;
  neap_backend_row *rows;
  neap_random random;
  double top_share;
  uint32_t held_first, held_last; /* NONE: nobody */
} balancer;

typedef struct simulation {
  const neap_scenario *scenario;
  const neap_balance_options *options;
  neap_host host;
  double now_ms;
  neap_agenda agenda;
  neap_load load;
  neap_load_request coming; /* the next request */
  request *requests;
  uint32_t arrived, answered;
  neap_station *stations;
  bool erring;
  balancer *balancers;
  neap_random noise;
  uint64_t probes;
} simulation;

static const uint32_t NONE = UINT32_MAX;

static uint64_t simulated_ms(void *user) {
  const simulation *s = user;
  return (uint64_t)s->now_ms;
}

static double delay_ms(const simulation *s, uint32_t backend) {
  return neap_cycle_at(&s->scenario->delay_ms, backend);
}

static int32_t capacity_of(const simulation *s, uint32_t backend) {
  return (int32_t)s->stations[backend].workers;
}

/* --- what a policy is told --- */

static void tell(const simulation *s, balancer *b, int32_t kind, uint32_t backend, const request *r) {
  int32_t status = kind == NEAP_EVENT_DONE ? 200 : kind == NEAP_EVENT_FAILED ? 502 : 0;
  b->board.now_ms = s->now_ms;
  neap_policy_tell(b->policy, kind, (int32_t)backend, r ? r->in_flight : 0,
                   status ? round((s->now_ms - r->sent_ms) * 1e3) : 0, status);
}

static void report(const simulation *s, balancer *b, uint32_t backend, int32_t load) {
  if (!s->options->reports) return;
  b->rows[backend].load = load;
  b->rows[backend].capacity = capacity_of(s, backend);
  b->rows[backend].load_ms = s->now_ms;
  tell(s, b, NEAP_EVENT_REPORT, backend, NULL);
}

/* --- picking --- */

static void send_probes(simulation *s, balancer *b) {
  int32_t count = NEAP_MIN(b->board.probe_count, NEAP_PICK_PROBES_MAX);
  if (!s->options->reports) return;
  for (int32_t i = 0; i < count; i++) {
    int32_t backend = b->board.probes[i];
    if (backend < 0 || backend >= b->board.count || b->rows[backend].barred) continue;
    uint32_t subject = (uint32_t)(b - s->balancers) * s->scenario->backends + (uint32_t)backend;
    neap_agenda_add(&s->agenda, s->now_ms + delay_ms(s, (uint32_t)backend), PROBES, subject, 0);
    s->probes++;
  }
}

/* The policy's answer for this request: a backend, or NEAP_PICK_... */
static int32_t ask(simulation *s, balancer *b, const request *r) {
  neap_pick_board *board = &b->board;
  char client[32];
  int size =
      snprintf(client, sizeof client, "10.%u.%u.%u", r->key >> 16 & 255, r->key >> 8 & 255, r->key & 255);
  const neap_request_board about = {.client = {.ptr = client, .size = size}};
  neap_pick_draw(board, &b->random, b->top_share);
  board->now_ms = s->now_ms;
  board->key = (double)(neap_hash_bytes(client, (size_t)size) >> 11);
  board->request = &about;
  neap_policy_decide(b->policy, NEAP_ASK_PICK);
  board->request = NULL;
  send_probes(s, b);
  return board->answer;
}

static void dispatch(simulation *s, uint32_t index, uint32_t backend) {
  request *r = &s->requests[index];
  balancer *b = &s->balancers[r->balancer];
  r->backend = (uint16_t)backend;
  r->sent_ms = s->now_ms;
  r->in_flight = ++b->rows[backend].in_flight;
  tell(s, b, NEAP_EVENT_SENT, backend, r);
  neap_agenda_add(&s->agenda, s->now_ms + delay_ms(s, backend), REACHES, index, 0);
}

/* Nobody to pick: an error at once. */
static void refuse(simulation *s, request *r) {
  r->failed = true;
  r->response_ms = NAN;
  s->answered++;
}

/* False: the policy holds it. */
static bool place(simulation *s, balancer *b, uint32_t index) {
  int32_t answer = ask(s, b, &s->requests[index]);
  if (answer == NEAP_PICK_WAIT) return false;
  if (answer < 0)
    refuse(s, &s->requests[index]);
  else
    dispatch(s, index, (uint32_t)answer);
  return true;
}

static void hold(simulation *s, balancer *b, uint32_t index) {
  s->requests[index].next = NONE;
  if (b->held_first == NONE)
    b->held_first = index;
  else
    s->requests[b->held_last].next = index;
  b->held_last = index;
  b->board.waiting++;
}

static void place_held(simulation *s, balancer *b) {
  while (b->held_first != NONE && place(s, b, b->held_first)) {
    b->held_first = s->requests[b->held_first].next;
    b->board.waiting--;
  }
}

/* --- what happens --- */

static void forecast(simulation *s, uint32_t backend) {
  neap_station *station = &s->stations[backend];
  station->stamp++;
  if (station->job_count > 0)
    neap_agenda_add(&s->agenda, neap_station_next_ms(station), DONE, backend, station->stamp);
}

static void arrives(simulation *s) {
  uint32_t index = s->arrived++;
  request *r = &s->requests[index];
  r->arrived_ms = s->now_ms;
  r->work_ms = s->coming.work_ms;
  r->balancer = (uint16_t)s->coming.balancer;
  r->key = s->coming.key;
  balancer *b = &s->balancers[r->balancer];
  if (b->held_first != NONE || !place(s, b, index)) hold(s, b, index);
  if (s->arrived == s->load.requests) return;
  s->coming = neap_load_next(&s->load);
  neap_agenda_add(&s->agenda, s->coming.at_ms, ARRIVES, 0, 0);
}

static void reaches(simulation *s, uint32_t index) {
  request *r = &s->requests[index];
  neap_station *station = &s->stations[r->backend];
  station->present++;
  if (s->erring && r->backend < s->scenario->errors.count) {
    neap_agenda_add(&s->agenda, s->now_ms + s->scenario->errors.value, ERRS, index, 0);
    return;
  }
  neap_station_advance(station, s->now_ms);
  neap_station_enter(station, index, r->work_ms);
  forecast(s, r->backend);
}

static void leaves(simulation *s, uint32_t index) {
  request *r = &s->requests[index];
  r->load = (int32_t)--s->stations[r->backend].present;
  neap_agenda_add(&s->agenda, s->now_ms + delay_ms(s, r->backend), ANSWERED, index, 0);
}

static void done(simulation *s, uint32_t backend, uint32_t stamp) {
  neap_station *station = &s->stations[backend];
  if (station->stamp != stamp) return;
  neap_station_advance(station, s->now_ms);
  leaves(s, neap_station_leave(station));
  forecast(s, backend);
}

static void errs(simulation *s, uint32_t index) {
  s->requests[index].failed = true;
  leaves(s, index);
}

static void answered(simulation *s, uint32_t index) {
  request *r = &s->requests[index];
  balancer *b = &s->balancers[r->balancer];
  s->answered++;
  r->response_ms = r->failed ? NAN : s->now_ms - r->arrived_ms;
  b->rows[r->backend].in_flight--;
  tell(s, b, r->failed ? NEAP_EVENT_FAILED : NEAP_EVENT_DONE, r->backend, r);
  report(s, b, r->backend, r->load);
  place_held(s, b);
}

static void probe(simulation *s, uint32_t subject) {
  uint32_t backend = subject % s->scenario->backends;
  neap_agenda_add(&s->agenda, s->now_ms + delay_ms(s, backend), PROBED, subject,
                  s->stations[backend].present);
}

static void probed(simulation *s, uint32_t subject, uint32_t load) {
  balancer *b = &s->balancers[subject / s->scenario->backends];
  report(s, b, subject % s->scenario->backends, (int32_t)load);
  place_held(s, b);
}

/* --- episodes --- */

static void change_speed(simulation *s, uint32_t backend, double factor) {
  neap_station_advance(&s->stations[backend], s->now_ms);
  s->stations[backend].factor = factor;
  forecast(s, backend);
}

static void change_members(simulation *s, uint32_t count, int32_t barred, int32_t kind) {
  for (uint32_t k = 0; k < s->scenario->balancers; k++) {
    for (uint32_t i = s->scenario->backends - count; i < s->scenario->backends; i++) {
      s->balancers[k].rows[i].barred = barred;
      tell(s, &s->balancers[k], kind, i, NULL);
    }
    place_held(s, &s->balancers[k]);
  }
}

static bool is_now(const neap_episode *episode, double part) {
  return episode->count > 0 && part >= episode->from && part < episode->until;
}

/* All that depends on the time, as the episodes say; asked for at each of their ends. */
static void turns(simulation *s, uint32_t what) {
  const neap_scenario *c = s->scenario;
  const double edge = 1e-9; /* of rounding */
  double part = s->now_ms / s->load.duration_ms + edge;
  switch (what) {
  case 0:
    for (uint32_t i = 0; i < c->slow.count; i++)
      change_speed(s, i, is_now(&c->slow, part) ? c->slow.value : 1);
    break;
  case 1: s->erring = is_now(&c->errors, part); break;
  case 2: change_members(s, c->joining, 0, NEAP_EVENT_JOINED); break;
  default: change_members(s, c->leaving, NEAP_BAR_GONE, NEAP_EVENT_LEFT); break;
  }
}

static void disturbed(simulation *s, uint32_t backend) {
  const neap_scenario *c = s->scenario;
  bool begins = s->stations[backend].factor == 1;
  if (s->arrived == s->load.requests && !begins) return;
  change_speed(s, backend, begins ? c->noise_factor : 1);
  double until_ms = s->now_ms + neap_draw_exponential(&s->noise, begins ? c->noise_ms : c->noise_every_ms);
  if (s->arrived < s->load.requests) neap_agenda_add(&s->agenda, until_ms, DISTURBED, backend, 0);
}

static void plan_episode(simulation *s, const neap_episode *episode, uint32_t what) {
  if (episode->count == 0) return;
  neap_agenda_add(&s->agenda, episode->from * s->load.duration_ms, TURNS, what, 0);
  neap_agenda_add(&s->agenda, episode->until * s->load.duration_ms, TURNS, what, 0);
}

static void plan(simulation *s) {
  const neap_scenario *c = s->scenario;
  plan_episode(s, &c->slow, 0);
  plan_episode(s, &c->errors, 1);
  if (c->joining) neap_agenda_add(&s->agenda, c->join_at * s->load.duration_ms, TURNS, 2, 0);
  if (c->leaving) neap_agenda_add(&s->agenda, c->leave_at * s->load.duration_ms, TURNS, 3, 0);
  for (uint32_t i = 0; c->noise_factor > 0 && i < c->backends; i++)
    neap_agenda_add(&s->agenda, neap_draw_exponential(&s->noise, c->noise_every_ms), DISTURBED, i, 0);
  s->coming = neap_load_next(&s->load);
  neap_agenda_add(&s->agenda, s->coming.at_ms, ARRIVES, 0, 0);
}

static void run(simulation *s) {
  plan(s);
  neap_happening next;
  while (s->answered < s->load.requests && neap_agenda_take(&s->agenda, &next)) {
    s->now_ms = next.at_ms;
    switch (next.kind) {
    case ARRIVES: arrives(s); break;
    case REACHES: reaches(s, next.subject); break;
    case DONE: done(s, next.subject, next.detail); break;
    case ERRS: errs(s, next.subject); break;
    case ANSWERED: answered(s, next.subject); break;
    case PROBES: probe(s, next.subject); break;
    case PROBED: probed(s, next.subject, next.detail); break;
    case TURNS: turns(s, next.subject); break;
    default: disturbed(s, next.subject); break;
    }
  }
}

/* --- figures --- */

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t count, double q) {
  return count == 0 ? 0 : sorted[NEAP_MIN((size_t)(q * (double)count), count - 1)];
}

static double mean(const double *values, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += values[i];
  return count == 0 ? 0 : sum / (double)count;
}

static double spread(const simulation *s) {
  double most = 0, sum = 0;
  for (uint32_t i = 0; i < s->scenario->backends; i++) {
    double busy = s->stations[i].busy_ms / s->stations[i].workers;
    most = NEAP_MAX(most, busy);
    sum += busy;
  }
  return sum > 0 ? most * s->scenario->backends / sum : 0;
}

static double shortest_trip_ms(const neap_scenario *c) {
  double least = INFINITY;
  for (uint32_t i = 0; i < c->backends; i++) least = NEAP_MIN(least, 2 * neap_cycle_at(&c->delay_ms, i));
  return least;
}

static uint64_t faults_of(const simulation *s) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < s->scenario->balancers; i++) {
    neap_policy_counters c;
    neap_policy_counters_get(s->balancers[i].policy, &c);
    sum += c.faults_error + c.faults_fuel + c.faults_memory + c.faults_answer;
  }
  return sum;
}

static int count_result(const simulation *s, neap_balance_result *out) {
  const neap_scenario *c = s->scenario;
  size_t count = s->load.requests, first = count / WARM_UP_PARTS, good = 0;
  uint32_t odd = NEAP_MAX(c->slow.count, c->errors.count);
  double *values = malloc(2 * count * sizeof *values);
  if (values == NULL) return NEAP_ENOMEM;
  double *excess = values + count, trip_ms = shortest_trip_ms(c);
  *out = (neap_balance_result){.requests = count - first, .faults = faults_of(s), .spread = spread(s)};
  for (size_t i = 0; i < count; i++) {
    const request *r = &s->requests[i];
    out->failed += r->failed;
    out->odd_share += r->backend < odd ? 1 / (double)count : 0;
    if (i < first || r->failed) continue;
    values[good] = r->response_ms;
    excess[good++] = r->response_ms - r->work_ms - trip_ms;
  }
  out->mean_ms = mean(values, good);
  out->excess_mean_ms = mean(excess, good);
  qsort(values, good, sizeof *values, compare);
  qsort(excess, good, sizeof *excess, compare);
  out->p50_ms = quantile(values, good, 0.5);
  out->p99_ms = quantile(values, good, 0.99);
  out->p999_ms = quantile(values, good, 0.999);
  out->excess_p99_ms = quantile(excess, good, 0.99);
  out->probes = (double)s->probes / (double)count;
  free(values);
  return 0;
}

/* --- a run --- */

static int open_balancer(simulation *s, balancer *b, uint64_t seed, neap_err *err) {
  const neap_balance_options *o = s->options;
  const neap_scenario *c = s->scenario;
  b->held_first = b->held_last = NONE;
  b->random.state = seed;
  b->rows = calloc(c->backends, sizeof *b->rows);
  if (b->rows == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  b->board = (neap_pick_board){.count = (int32_t)c->backends, .may_wait = 1, .rows = b->rows};
  for (uint32_t i = 0; i < c->backends; i++) {
    char address[32];
    int size = snprintf(address, sizeof address, "backend-%u:80", i);
    int32_t weight = (int32_t)round(neap_cycle_at(&c->weight, i));
    b->top_share = NEAP_MAX(b->top_share, weight);
    b->rows[i] = (neap_backend_row){.weight = weight,
                                    .share = weight,
                                    .load = -1,
                                    .barred = i >= c->backends - c->joining ? NEAP_BAR_GONE : 0,
                                    .id = (double)(neap_hash_bytes(address, (size_t)size) >> 11)};
  }
  const neap_policy_env env = {.host = &s->host, .seed = ~seed, .generation = 1, .pick = &b->board};
  return neap_policy_open(o->registry, NEAP_BALANCE, o->policy, NULL, &env, o->params, o->param_count,
                          &b->policy, err);
}

static int set_up(simulation *s, uint64_t seed, neap_err *err) {
  const neap_scenario *c = s->scenario;
  neap_random seeds = {seed};
  uint64_t requests = s->options->requests ? s->options->requests : c->requests;
  if (neap_load_init(&s->load, c, requests, neap_random_next(&seeds)))
    return neap_fail(err, NEAP_ENOMEM, "out of memory");
  s->noise.state = neap_random_next(&seeds);
  s->requests = calloc(requests, sizeof *s->requests);
  s->stations = calloc(c->backends, sizeof *s->stations);
  s->balancers = calloc(c->balancers, sizeof *s->balancers);
  if (s->requests == NULL || s->stations == NULL || s->balancers == NULL)
    return neap_fail(err, NEAP_ENOMEM, "out of memory");
  for (uint32_t i = 0; i < c->backends; i++)
    neap_station_init(&s->stations[i], (uint32_t)neap_cycle_at(&c->workers, i), c->cores,
                      neap_scenario_speed(c, i));
  int rc = 0;
  for (uint32_t i = 0; i < c->balancers && rc == 0; i++)
    rc = open_balancer(s, &s->balancers[i], neap_random_next(&seeds), err);
  return rc;
}

static void tear_down(simulation *s) {
  for (uint32_t i = 0; s->balancers && i < s->scenario->balancers; i++) {
    neap_policy_close(&s->balancers[i].policy);
    free(s->balancers[i].rows);
  }
  for (uint32_t i = 0; s->stations && i < s->scenario->backends; i++) neap_station_fini(&s->stations[i]);
  free(s->balancers);
  free(s->stations);
  free(s->requests);
  neap_load_fini(&s->load);
  neap_agenda_fini(&s->agenda);
}

static int run_seed(const neap_scenario *scenario, const neap_balance_options *options, uint64_t seed,
                    neap_balance_result *result, neap_err *err) {
  simulation s = {.scenario = scenario, .options = options, .host = *options->host};
  s.host.user = &s;
  s.host.now_ms = simulated_ms;
  int rc = set_up(&s, seed, err);
  if (rc == 0) {
    run(&s);
    rc = count_result(&s, result);
    if (rc) neap_fail(err, rc, "out of memory");
  }
  tear_down(&s);
  return rc;
}

int neap_balance_run(const neap_scenario *scenario, const neap_balance_options *options,
                     neap_balance_result *result, neap_err *err) {
  uint32_t seeds = NEAP_MAX(options->seeds, 1);
  neap_balance_result sum = {0};
  for (uint32_t i = 0; i < seeds; i++) {
    neap_balance_result one = {0};
    int rc = run_seed(scenario, options, options->seed + i, &one, err);
    if (rc) return rc;
    sum.requests += one.requests;
    sum.failed += one.failed;
    sum.faults += one.faults;
    sum.mean_ms += one.mean_ms / seeds;
    sum.p50_ms += one.p50_ms / seeds;
    sum.p99_ms += one.p99_ms / seeds;
    sum.p999_ms += one.p999_ms / seeds;
    sum.excess_mean_ms += one.excess_mean_ms / seeds;
    sum.excess_p99_ms += one.excess_p99_ms / seeds;
    sum.spread += one.spread / seeds;
    sum.odd_share += one.odd_share / seeds;
    sum.probes += one.probes / seeds;
  }
  *result = sum;
  return 0;
}
