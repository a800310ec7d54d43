/* The rate limiters of a gateway: by name, so that buckets stay over reloads as long as a route uses them. */
#include <stdlib.h>

#include "server/gateway.h"

static neap_limiter_seat *make_seat(neap_gateway *gateway, const char *name) {
  const neap_host *host = gateway->host;
  neap_limiter_seat *seat = calloc(1, sizeof *seat);
  if (seat == NULL) return NULL;
  seat->name = strdup(name);
  uint64_t seed = host->seed ^ (uintptr_t)seat; /* another one for each */
  if (seat->name == NULL || neap_limiter_create(seed, &seat->limiter)) {
    free(seat->name);
    free(seat);
    return NULL;
  }
  seat->next = gateway->limiters;
  return gateway->limiters = seat;
}

int neap_limiters_take(neap_gateway *gateway, const char *name, neap_limiter **out, neap_err *err) {
  pthread_mutex_lock(&gateway->limiters_lock);
  neap_limiter_seat *seat = gateway->limiters;
  while (seat && strcmp(seat->name, name) != 0) seat = seat->next;
  if (seat == NULL) seat = make_seat(gateway, name);
  if (seat) seat->uses++;
  pthread_mutex_unlock(&gateway->limiters_lock);
  if (seat == NULL) return neap_fail(err, NEAP_ENOMEM, "out of memory");
  *out = seat->limiter;
  return 0;
}

void neap_limiters_give(neap_gateway *gateway, neap_limiter *limiter) {
  pthread_mutex_lock(&gateway->limiters_lock);
  neap_limiter_seat **at = &gateway->limiters, *seat;
  while ((*at)->limiter != limiter) at = &(*at)->next;
  seat = *at;
  bool last = --seat->uses == 0;
  if (last) *at = seat->next;
  pthread_mutex_unlock(&gateway->limiters_lock);
  if (!last) return;
  neap_limiter_destroy(&seat->limiter);
  free(seat->name);
  free(seat);
}
