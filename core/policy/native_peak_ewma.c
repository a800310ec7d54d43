/* Peak EWMA, after Finagle: the cost of a backend is its response time as remembered, a slower answer at once
 * and in full, faster ones worn down over ten seconds, times the requests in flight and this one. Of two
 * drawn the cheaper is picked. One that has not answered yet and has a request is left alone. Known for what
 * it does badly: where requests differ in size it remembers the largest one, not the slowest backend
 * (docs/balancing.md). */
#include <math.h>
#include <stdlib.h>

#include "policy/guard.h"
#include "policy/native_balance.h"

#define PEAK_EWMA_MAGIC 0x4e70656bu /* "Npek" */

typedef struct cost {
  double us, at_ms; /* us: 0 where it is not known */
} cost;

typedef struct peak_ewma {
  uint32_t magic;
  neap_pick_board *board;
  double decay_ms;
  int32_t count;
  cost *costs;
} peak_ewma;

static int create(const neap_policy_env *env, const neap_param *params, size_t param_count, void **self,
                  neap_err *err) {
  double decay_s = 10;
  const neap_native_param known[] = {{"decay", 0.001, 3600, &decay_s}, {.name = NULL}};
  int code = neap_native_params("peak_ewma", known, params, param_count, err);
  if (code) return code;
  peak_ewma *p = calloc(1, sizeof *p);
  if (p == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  p->magic = PEAK_EWMA_MAGIC;
  p->board = env->pick;
  p->decay_ms = decay_s * 1e3;
  *self = p;
  return 0;
}

static void destroy(void *self) {
  peak_ewma *p = self;
  neap_check_magic(p, PEAK_EWMA_MAGIC);
  p->magic = 0;
  free(p->costs);
  free(p);
}

/* Only when the pool has grown. */
static bool fit(peak_ewma *p) {
  int32_t count = p->board->count;
  if (count <= p->count) return true;
  cost *costs = realloc(p->costs, (size_t)count * sizeof *costs);
  if (costs == NULL) return false;
  for (int32_t i = p->count; i < count; i++) costs[i] = (cost){0};
  p->costs = costs;
  p->count = count;
  return true;
}

static void learn(cost *c, double took_us, double now_ms, double decay_ms) {
  double kept = exp(-(now_ms - c->at_ms) / decay_ms);
  c->us = took_us > c->us ? took_us : took_us + (c->us - took_us) * kept;
  c->at_ms = now_ms;
}

/* hot: */
static int observe(void *self, const neap_event *events, int n) {
  peak_ewma *p = self;
  neap_check_magic(p, PEAK_EWMA_MAGIC);
  if (!fit(p)) return NEAP_ENOMEM;
  for (int i = 0; i < n; i++) {
    int32_t kind = events[i].what >> NEAP_EVENT_SHIFT, place = events[i].what & NEAP_SLOT_MASK;
    if (place >= p->count) continue;
    if (kind == NEAP_EVENT_DONE || kind == NEAP_EVENT_FAILED)
      learn(&p->costs[place], events[i].hash, p->board->now_ms, p->decay_ms);
    else if (kind == NEAP_EVENT_JOINED)
      p->costs[place] = (cost){0};
  }
  return 0;
}

static double cost_of(const peak_ewma *p, int32_t place) {
  const double unknown_us = 1e9;
  const neap_backend_row *row = &p->board->rows[place];
  const cost *c = &p->costs[place];
  double us = c->us * exp(-(p->board->now_ms - c->at_ms) / p->decay_ms);
  if (c->us == 0) us = row->in_flight > 0 ? unknown_us : 0;
  return us * (row->in_flight + 1) / row->share;
}

/* hot: */
static int decide(void *self, neap_ask ask) {
  peak_ewma *p = self;
  neap_check_magic(p, PEAK_EWMA_MAGIC);
  if (ask != NEAP_ASK_PICK) return NEAP_EINVAL;
  if (!fit(p)) return NEAP_ENOMEM;
  neap_pick_board *board = p->board;
  board->answer = NEAP_PICK_NONE;
  if (board->count == 0) return 0;
  int32_t a = neap_pick_from(board, board->random1), b = board->random2;
  if (a >= 0 && b != a && neap_pick_usable(board, b) && cost_of(p, b) < cost_of(p, a)) a = b;
  board->answer = a;
  return 0;
}

const neap_policy_vt neap_native_peak_ewma = {
    .name = "peak_ewma",
    .domain = NEAP_BALANCE,
    .create = create,
    .destroy = destroy,
    .observe = observe,
    .decide = decide,
};
