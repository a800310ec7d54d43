/* Balancing, the decide layer: which backend gets the next request. Nothing here opens a connection, reads a
 * clock of its own or waits: the host sends the requests and tells what became of them.
 *
 *   neap_balancer_options options;
 *   neap_balancer_options_init(&options);
 *   options.policy = "p2c";
 *   neap_balancer_backend backends[] = {{.address = "10.0.0.1:80", .weight = 2}, {.address = "10.0.0.2:80"}};
 *   neap_balancer *balancer;
 *   if (neap_balancer_create(engine, &options, backends, 2, &balancer, &err)) { puts(err.text); ... }
 *
 *   neap_pick pick;
 *   if (neap_balancer_pick(balancer, NULL, &pick) == 0) {
 *     ... send the request to pick.address ...
 *     neap_balancer_done(balancer, &pick, &(neap_pick_outcome){.status = 200, .took_us = 1500});
 *   }
 *
 * Threads. A balancer is used by one thread at a time. A program with several threads makes one for each,
 * with `peer` set to the first: peers know the same of their backends (requests in flight, response times,
 * who could not be reached, limits), and each has a policy of its own, so that no lock is taken for a pick.
 *
 * Life of a pick: neap_balancer_pick -> (the request is under way; it counts as in flight) ->
 * neap_balancer_done, exactly once, on the same balancer. A backend that is removed meanwhile stays until
 * then.
 */
#ifndef NEAP_BALANCE_H
#define NEAP_BALANCE_H

#include "neap/neap.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct neap_balancer neap_balancer;

typedef struct neap_balancer_backend {
  const char *address;   /* what tells it apart, and what hashing goes by: any text of 1 to 300 bytes */
  int32_t weight;        /* 1..1000; 0: 1 */
  int32_t max_in_flight; /* over all peers; 0: no limit */
} neap_balancer_backend;

typedef struct neap_balancer_options {
  const char *name;   /* for logs; default "balancer" */
  const char *policy; /* a shipped name ("p2c", "WeightedLeastConnections", ...), "lua:p2c" for a twin in Lua,
                         "Custom(name)" or a Lua file's path; default "p2c" */
  const neap_param *params; /* of the policy; may be NULL */
  size_t param_count;
  uint64_t down_time_ms;  /* one that could not be reached is left alone so long; default 5000 */
  uint32_t eject_errors;  /* failures in a row for which one is left alone, half of all at most; default 5, 0:
                             none */
  uint64_t eject_time_ms; /* for so long, twice as long each time up to 20 times; default 30000 */
  uint64_t slow_start_ms; /* the share of one that comes (back) grows for so long; default 0 */
  neap_balancer *peer;    /* knows of the backends already; NULL: none. Borrowed during create */
} neap_balancer_options;

/* Fills in the defaults. */
NEAP_API void neap_balancer_options_init(neap_balancer_options *options);

/* Makes a balancer. `options` and `backends` are copied; the engine must outlive it. Errors: NEAP_EINVAL,
 * NEAP_EEXIST (an address that is there twice), NEAP_ENOTFOUND, NEAP_ESYNTAX, NEAP_EPOLICY (of the policy),
 * NEAP_ENOMEM; `err` has a sentence. */
NEAP_API int neap_balancer_create(neap_engine *engine, const neap_balancer_options *options,
                                  const neap_balancer_backend *backends, size_t count, neap_balancer **out,
                                  neap_err *err);
/* No pick may be under way. */
NEAP_API void neap_balancer_destroy(neap_balancer **balancer);

/* Who is in it changes at any time, without touching what is known of the others. Of this balancer alone:
 * peers are told one by one. */
/* NEAP_EEXIST, NEAP_EINVAL, NEAP_ENOMEM. */
NEAP_API int neap_balancer_add(neap_balancer *balancer, const neap_balancer_backend *backend);
/* NEAP_ENOTFOUND. */
NEAP_API int neap_balancer_remove(neap_balancer *balancer, const char *address);
/* `weight`: 1..1000. NEAP_ENOTFOUND, NEAP_EINVAL. */
NEAP_API int neap_balancer_set_weight(neap_balancer *balancer, const char *address, int32_t weight);
/* With 1 it gets no new requests, with 0 it does again. NEAP_ENOTFOUND. */
NEAP_API int neap_balancer_drain(neap_balancer *balancer, const char *address, int draining);

typedef struct neap_balancer_field {
  neap_view name, value;
} neap_balancer_field;

/* What a policy may look at. Every member may be left zero. Borrowed during the call. */
typedef struct neap_balancer_request {
  neap_view key; /* what hashing policies go by: a user, a path, ...; not given: the client */
  neap_view method, path, query, host, client;
  const neap_balancer_field *fields; /* a policy sees the first 64 */
  size_t field_count;
  const int32_t *tried; /* `backend` of the picks that this request has behind it: another is wanted */
  size_t tried_count;   /* at most 8 */
} neap_balancer_request;

typedef struct neap_pick {
  int32_t backend;     /* its place, the same as long as it is in the balancer */
  int32_t in_flight;   /* its requests, this one included */
  const char *address; /* borrowed until neap_balancer_done */
} neap_pick;

/* Decides, and counts the request as in flight. `request` may be NULL. 0; NEAP_ENOTFOUND: there is nobody
 * (left); NEAP_EBUSY: all that may be picked have as many as they may have, try again when one is done. hot:
 * no allocation, no lock. */
NEAP_API int neap_balancer_pick(neap_balancer *balancer, const neap_balancer_request *request,
                                neap_pick *out);

typedef struct neap_pick_outcome {
  int32_t status;      /* of the answer, as in HTTP: 500 and above counts as a failure; 0: there was none */
  int32_t unreachable; /* 1: no connection could be made: it is left alone for the down time */
  uint64_t took_us;    /* until it answered or failed */
} neap_pick_outcome;

/* What became of it. NULL: nothing that says anything of the backend, such as a client that went away. hot:
 */
NEAP_API void neap_balancer_done(neap_balancer *balancer, neap_pick *pick, const neap_pick_outcome *outcome);

/* What is known of one backend. */
typedef struct neap_balancer_info {
  char id[40];   /* UUID, made of its address */
  int32_t state; /* 0 up, 1 down, 3 not known yet */
  int32_t weight, in_flight;
  double response_us; /* moving average that follows slow answers at once; 0: none yet */
  double error_rate;  /* of its last some thirty requests, 0..1 */
  uint64_t requests, failures;
} neap_balancer_info;
/* NEAP_ENOTFOUND. */
NEAP_API int neap_balancer_info_get(neap_balancer *balancer, const char *address, neap_balancer_info *out);

#ifdef __cplusplus
}
#endif
#endif
