/* One request and its response.
 *
 * An exchange runs through the steps below, one file each (flow/step_<name>.c). A step is a function of the
 * exchange that returns the next step, NEAP_STEP_WAIT (somebody will call neap_exchange_resume) or
 * NEAP_STEP_DONE. Steps never call each other; the one loop over them is in flow/flow.c; every path ends in
 * `finish`.
 *
 * An exchange knows its client only through neap_client_vt, and is told what the client does through
 * neap_exchange_* below, so that HTTP/1, HTTP/2 and TLS look alike to it. It lives on one worker's loop and
 * is touched by that thread only. It and its arena come from the worker's pool: a cache hit allocates
 * nothing.
 *
 * Generation: `recv` takes the worker's current generation, once; every decision of the exchange is made with
 * it; `finish` lets go of it. No exchange sees two generations.
 */
#ifndef NEAP_FLOW_EXCHANGE_H
#define NEAP_FLOW_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/reasons.h"
#include "neap/neap.h"

/* Step, and what it is for. */
#define NEAP_STEPS(X)                                                                                        \
  X(RECV, recv, "take the generation; refuse what must not go further")                                      \
  X(ROUTE, route, "find the route: table first, Lua predicate where it has one")                             \
  X(LOOKUP, lookup, "serve from the cache, or say why not")                                                  \
  X(TIERS, tiers, "ask the tiers below memory")                                                              \
  X(BALANCE, balance, "pick a backend that was not tried")                                                   \
  X(FETCH, fetch, "send the request, read the response head")                                                \
  X(STORE, store, "decide whether it may be stored; open the fill")                                          \
  X(DELIVER, deliver, "stream head and body to the client")                                                  \
  X(FINISH, finish, "account, log, give everything back")

#define NEAP_STEP_ENUM(NAME, name, text) NEAP_STEP_##NAME,
typedef enum neap_step {
  NEAP_STEPS(NEAP_STEP_ENUM) NEAP_STEP_WAIT,
  NEAP_STEP_DONE,
  NEAP_STEP_COUNT
} neap_step;
#undef NEAP_STEP_ENUM

typedef struct neap_exchange neap_exchange;

/* The client side of an exchange, seen from the exchange: a sink for the response and a tap on the request
 * body. Functions never fail upwards: a client that is gone says so by neap_exchange_client_gone, later, and
 * swallows what it is given until then. */
typedef struct neap_client_vt {
  const char *name; /* "http/1" */
  /* Sends head and pieces in one go where it can. Bytes stay valid until `sent` has been called through
   * neap_exchange_sent, or the call returned true: all of it is with the kernel. `last`: the response ends
   * here. */
  bool (*send)(void *client, const struct iovec *pieces, int count, bool last);
  /* Ends the response abnormally: the client must see that it is cut short. */
  void (*abort)(void *client);
  /* May more request body be read? Back-pressure from the backend. */
  void (*want_body)(void *client, bool wanted);
  /* The exchange is over; the connection may serve the next request, or close. The exchange may be read until
   * this returns. */
  void (*done)(void *client);
  /* The client's address without port, as text: lives as long as the connection. */
  neap_view (*address)(void *client);
} neap_client_vt;

/* Told by the client's side (front/). None of them frees the exchange while it is on the stack of a step. */
void neap_exchange_start(neap_exchange *exchange); /* request head is complete */
/* The request cannot be served: answered with the status of the reason (of the group REFUSED), then the
 * connection closes. Instead of start, or while the body is read. */
void neap_exchange_refuse(neap_exchange *exchange, neap_reason reason);
/* Request body, without chunk framing. Only while wanted. The bytes stay where they are until `want_body` is
 * called with true again, unless it is still wanted when this returns. */
void neap_exchange_body(neap_exchange *exchange, const char *bytes, size_t size, bool last);
void neap_exchange_sent(neap_exchange *exchange); /* what the last `send` kept is with the kernel */
void neap_exchange_client_gone(neap_exchange *exchange);

/* Runs the steps until one waits. Called by whoever ends a wait. */
void neap_exchange_resume(neap_exchange *exchange, neap_step step);

#endif
