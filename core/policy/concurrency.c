#include "policy/concurrency.h"

#include <math.h>

#include "base/base.h"

enum {
  REMEMBERED = 1024, /* samples of a cell's mean */
  LEAST = 64,        /* before it says anything */
  EVERY = 64         /* answers, the cells are compared */
};
static const double DELAY = 0.1; /* in ln: what counts as one */
static const double DOUBT = 3;   /* standard errors more, that chance may make */

/* --- a backend --- */

void neap_concurrency_init(neap_concurrency *c) {
  *c = (neap_concurrency){.proven = 1};
}

void neap_concurrency_sent(neap_concurrency *c, int32_t number) {
  if (number == 1) { /* nothing else is there: what has no outcome will have none */
    c->own = 0;
    for (int i = 0; i < NEAP_CROWD_MAX; i++) c->sendings[i].count = 0;
  }
  c->own++;
  if (number < 1 || number >= NEAP_CROWD_MAX) return;
  neap_sending *s = &c->sendings[number];
  s->mixed = s->count > 0;
  s->count++;
  s->back = c->back;
  s->own = (uint16_t)NEAP_MIN(c->own, UINT16_MAX);
}

void neap_concurrency_back(neap_concurrency *c, int32_t number, bool failed) {
  if (c->own > 0) c->own--;
  uint32_t before = c->back++;
  if (number < 1 || number >= NEAP_CROWD_MAX || c->sendings[number].count == 0) return;
  neap_sending *s = &c->sendings[number];
  s->count--;
  if (s->count == 0 && !s->mixed && !failed)
    c->proven = NEAP_MAX(c->proven, (int32_t)s->own - (int32_t)(before - s->back));
}

/* --- the pool: cells of numbers --- */

static int32_t cell_of(int32_t number) {
  if (number <= 8) return number - 1;
  int32_t doubling = 31 - __builtin_clz((uint32_t)number - 1); /* 9..16: 3 */
  return 8 + (doubling - 3) * 4 + ((number - 1 - (1 << doubling)) >> (doubling - 2));
}

/* The largest number of a cell. */
static int32_t top_of(int32_t cell) {
  if (cell < 8) return cell + 1;
  int32_t doubling = 3 + (cell - 8) / 4;
  return (1 << doubling) + (((cell - 8) % 4 + 1) << (doubling - 2));
}

/* The numbers are looked at upwards, as long as they take what those below take on average. Cells that have
 * little to say are passed over. */
static void compare(neap_crowding *c, double variance) {
  double sum = 0, samples = 0;
  int32_t flat = 1;
  c->delays = false;
  for (int32_t i = 0; i < NEAP_CROWD_CELLS && !c->delays; i++) {
    int32_t n = c->cells[i].samples;
    if (n < LEAST) continue;
    if (samples > 0 && c->cells[i].mean - sum / samples > DELAY + DOUBT * sqrt(variance / n)) {
      c->delays = true;
    } else {
      flat = top_of(i);
      sum += c->cells[i].mean * n;
      samples += n;
    }
  }
  c->flat = flat;
}

void neap_crowding_learn(neap_crowding *crowding, int32_t number, double off, double variance) {
  if (number < 1 || number >= NEAP_CROWD_MAX) return;
  int32_t cell = cell_of(number);
  if (crowding->cells[cell].samples < REMEMBERED) crowding->cells[cell].samples++;
  crowding->cells[cell].mean += (off - crowding->cells[cell].mean) / crowding->cells[cell].samples;
  if (++crowding->seen % EVERY == 0) compare(crowding, variance);
}
