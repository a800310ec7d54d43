/* The registry of backends, as the files of upstream/ see it. */
#ifndef NEAP_UPSTREAM_BACKENDS_H
#define NEAP_UPSTREAM_BACKENDS_H

#include <pthread.h>

#include "upstream/backend.h"

struct neap_backends {
  pthread_mutex_t lock;
  neap_backend **chains; /* by hash of the address; as many as `by_id` has places */
  neap_backend **by_id;  /* NULL: the id is free */
  uint32_t places;       /* of both: 0 or a power of two */
  uint32_t count, least; /* backends; no id below is free */
  uint64_t last_serial;
  /* Who is to be told when a request ends: the workers' queues (queue.c). */
  pthread_mutex_t queues_lock;
  neap_queues *queues;
  _Atomic int32_t waiting; /* requests in all of them */
};

#endif
