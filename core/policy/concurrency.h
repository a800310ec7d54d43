/* How many requests backends work on at once, learned from the outcomes of our own. Private to policy/.
 *
 *   proven  of a backend. A request was sent as the n-th of ours in flight, and came back after k others of
 * ours: those of the n - k that are not yet back were worked on beside it. Only ever grows, and holds whoever
 *           else sends requests. Where all requests share the cores, there is no end to it. Only requests
 * whose number is unique among those in flight prove anything: an outcome tells that number and no more. flat
 * of the pool. Requests sent as number 1..flat to a backend take equally long: they do not wait for each
 * other. Measured by the mean of ln(response time / what the backend takes now) for each number. `delays`
 * says that more do take longer; without it nothing is known of an end.
 *
 * The lesser of both is how crowded a backend may be before it takes longer. */
#ifndef NEAP_POLICY_CONCURRENCY_H
#define NEAP_POLICY_CONCURRENCY_H

#include <stdbool.h>
#include <stdint.h>

enum {
  NEAP_CROWD_MAX = 128, /* numbers from here on are not looked at */
  NEAP_CROWD_CELLS = 24 /* 1, 2, ... 8, then four to each doubling */
};

/* Requests in flight that were sent as number n. */
typedef struct neap_sending {
  uint32_t back; /* outcomes until then */
  uint16_t count;
  uint16_t own; /* number among this instance's own */
  bool mixed;   /* there was more than one, so they cannot be told apart */
} neap_sending;

typedef struct neap_concurrency {
  int32_t proven;
  uint32_t back; /* outcomes so far */
  int32_t own;   /* in flight, of this instance */
  neap_sending sendings[NEAP_CROWD_MAX];
} neap_concurrency;

void neap_concurrency_init(neap_concurrency *c);
/* A request was sent as the `number`-th in flight. hot: */
void neap_concurrency_sent(neap_concurrency *c, int32_t number);
/* One that was has its outcome. hot: */
void neap_concurrency_back(neap_concurrency *c, int32_t number, bool failed);

typedef struct neap_crowding {
  int32_t flat;
  bool delays;
  uint32_t seen;
  struct {
    double mean; /* of what its samples differ from their backend's level, in ln */
    int32_t samples;
  } cells[NEAP_CROWD_CELLS];
} neap_crowding;

/* An answer to a request that was sent as number `number` took exp(`off`) times what the backend takes. hot:
 */
void neap_crowding_learn(neap_crowding *crowding, int32_t number, double off, double variance);

#endif
