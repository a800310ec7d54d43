/* What a pool stands on in tests of upstream/: a clock that stands still, a registry, backends that are never
 * connected to. */
#ifndef NEAP_TESTS_UPSTREAM_RIG_H
#define NEAP_TESTS_UPSTREAM_RIG_H

#include "unit.h"

#include "base/base.h"
#include "upstream/upstream.h"

typedef struct rig {
  neap_host host;
  neap_registry *registry;
  neap_backends *backends;
} rig;

static inline uint64_t rig_clock(void *user) {
  (void)user;
  return 0;
}

/* Members on 127.0.0.1:9001 and the ports that follow, of weight 1. 0 or -1. */
static inline int rig_open(rig *r, neap_pool_member *members, int count) {
  neap_host_complete(
      &(neap_host){.now_ms = rig_clock, .now_ns = rig_clock, .thread_cpu_ns = rig_clock, .seed = 1},
      &r->host);
  if (neap_registry_create(&r->host, &r->registry) || neap_backends_create(&r->backends)) return -1;
  for (int i = 0; i < count; i++) {
    char address[32];
    neap_err err;
    snprintf(address, sizeof address, "127.0.0.1:%d", 9001 + i);
    members[i] = (neap_pool_member){.weight = 1};
    if (neap_backends_take(r->backends, address, &members[i].backend, &err)) return -1;
  }
  return 0;
}

static inline void rig_close(rig *r, neap_pool_member *members, int count) {
  for (int i = 0; i < count; i++) neap_backend_give(r->backends, members[i].backend);
  neap_backends_destroy(&r->backends);
  neap_registry_destroy(&r->registry);
}

#endif
