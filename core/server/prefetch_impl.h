/* What the files of prefetching share. Internal to them:
 *
 *   prefetch.c        what workers tell, and which generation of policies hears it
 *   prefetch_fetch.c  what a wish means, whether it is there, how it is fetched, and how that ends
 *   prefetch_show.c   figures, and what operators ask
 */
#ifndef NEAP_SERVER_PREFETCH_IMPL_H
#define NEAP_SERVER_PREFETCH_IMPL_H

#include "server/gateway.h"
#include "server/prefetch.h"

/* A client's own request is under way for so long at most, should its end not be told. */
enum { NEAP_CLIENT_MS = 30000 };

/* A prefetch that some worker has. */
typedef struct neap_flight {
  struct neap_flight *next;
  neap_prefetch_order *order;
  uint32_t place;
  uint32_t epoch;               /* of the prefetcher that allowed it */
  uint64_t began_ms, refreshes; /* bytes that it was allowed as a refresh; 0: it is none */
} neap_flight;

/* The feed of a worker; stays when the worker ends. */
typedef struct neap_feed_seat {
  neap_feed feed;
  neap_task drain;
  neap_prefetching *home;
  uint32_t place;
} neap_feed_seat;

struct neap_prefetching {
  neap_gateway *gateway;
  neap_prefetcher *prefetcher; /* NULL: nothing is prefetched */
  neap_targets *targets;
  uint64_t policies_hash;
  bool policies_of_files, hints;
  int links, refresh, asked; /* issuers; links -1: none */
  neap_flight *flights;
  uint32_t flight_count, flights_max;
  uint32_t epoch;                                    /* how many prefetchers have ended without a successor */
  _Atomic(neap_feed_seat *) seats[NEAP_WORKERS_MAX]; /* by place; made where workers are, read here */
  uint64_t requests; /* of all feeds, as far as the prefetcher knows of them */
  uint32_t place;    /* of the worker that told the newest record */
  double shelf;      /* bytes */
  neap_hash_key key;
};

static inline uint64_t neap_prefetching_now(const neap_prefetching *p) {
  return p->gateway->host->now_ms(p->gateway->host->user);
}

static inline double neap_short_hash(uint64_t hash) {
  return (double)(hash >> 11);
}

/* prefetch_fetch.c */
/* Unknown sizes count as what a small response takes, until they are known. */
neap_prefetch_item neap_prefetching_item(const neap_target *target);
neap_prefetch_host neap_prefetching_host(neap_prefetching *prefetching);
/* Orders a prefetch from a worker. `refreshes`: bytes that it was allowed as a refresh, 0: it is none.
 * NEAP_EBUSY: too many are under way; NEAP_ESTATE, NEAP_EINVAL. */
int neap_prefetching_send(neap_prefetching *prefetching, const neap_prefetch_item *item, uint64_t refreshes);
/* The prefetch `record->order` has ended. Nothing where it is not known. */
void neap_prefetching_end(neap_prefetching *prefetching, const neap_feed_record *record);
/* A target gives way: what lies on the shelf for it goes, too. */
void neap_prefetching_forget(void *prefetching, neap_target *target);

#endif
