/* A backend, as the files of upstream/ see it. */
#ifndef NEAP_UPSTREAM_BACKEND_H
#define NEAP_UPSTREAM_BACKEND_H

#include <stdatomic.h>

#include "upstream/upstream.h"
#include "upstream/vitals.h"

/* All numbers are written by any worker and read by any, relaxed: they are about the world, which moves
 * anyway. */
struct neap_backend {
  neap_backends *home;
  neap_backend *next; /* in its chain of the registry */
  uint64_t hash;      /* of its address */
  neap_address address;
  uint32_t id;      /* small and dense: index of per-worker tables; used again after the last give */
  uint64_t serial;  /* never used again: tells backends of one id apart */
  uint32_t holders; /* under the registry's lock, as the next */
  char id_text[NEAP_BACKEND_ID];
  _Atomic uint64_t down_until_ms; /* 0: not known to be down */
  _Atomic int32_t in_flight;
  _Atomic double ewma_us; /* 0 before the first answer */
  _Atomic uint64_t ewma_at_ms;
  _Atomic double error_rate;
  _Atomic uint64_t requests, failures;
  neap_timing response;
  _Atomic bool answered;                      /* since it was last down */
  struct neap_probe *probes[NEAP_CHECKS_MAX]; /* the keeper's, by check of its vitals; its thread only */
  neap_vitals vitals;                         /* what probes, outcomes and reports say */
  char text[];                                /* its address as configured: its identity */
};

int32_t neap_backend_state(const neap_backend *backend, uint64_t check, uint64_t now_ms);

#endif
