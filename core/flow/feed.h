/* What a worker tells the prefetcher: misses, first uses, links, and how prefetches ended. Batches of
 * records, written by one worker and taken by the control thread, so that no policy runs on a worker. */
#ifndef NEAP_FLOW_FEED_H
#define NEAP_FLOW_FEED_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "neap/neap.h"
#include "observe/observe.h"

typedef enum neap_feed_kind {
  NEAP_FEED_MISS,   /* a client asked, and it was not there */
  NEAP_FEED_ENDED,  /* that is over, however it went */
  NEAP_FEED_USED,   /* a client was the first to use what had been prefetched */
  NEAP_FEED_AGING,  /* a client used what will not be fresh for long; once for each entry */
  NEAP_FEED_LINK,   /* the response to `page` says that it will be wanted */
  NEAP_FEED_LANDED, /* the prefetch `order` is in the cache */
  NEAP_FEED_HELD,   /* it was there already */
  NEAP_FEED_FAILED  /* it came to nothing */
} neap_feed_kind;

struct neap_prefetch_order;

/* Texts may be empty. A view is borrowed: by add during the call, by each while it runs. */
typedef struct neap_feed_record {
  neap_feed_kind kind;
  uint64_t size;                     /* LANDED: bytes of the entry, as charged; USED: likewise */
  uint64_t stream;                   /* hash of the client's address; 0: none */
  struct neap_prefetch_order *order; /* LANDED, HELD, FAILED */
  neap_view host, target;            /* of the request, "/path?query" */
  neap_view encoding;                /* its Accept-Encoding */
  neap_view key;                     /* what it is looked up under */
  neap_view stored;                  /* LANDED: what it lies under, where that is another */
  neap_view page;                    /* LINK: the target whose response says so */
} neap_feed_record;

enum { NEAP_FEED_TEXTS = 6, NEAP_FEED_TEXT_MAX = 4096, NEAP_FEED_MAX = 1 << 17 /* bytes that wait */ };

typedef struct neap_feed {
  pthread_mutex_t lock;
  char *bytes, *taken;                  /* being filled; being gone through */
  size_t used, room, other;             /* of bytes; room of taken */
  void (*wake)(struct neap_feed *feed); /* there is something, after there was nothing. On the worker */
  void *user;                           /* of whoever made it */
  neap_count requests;                  /* on routes that prefetch; written by the worker alone */
  _Atomic uint64_t lost;                /* records for which there was no room */
} neap_feed;

void neap_feed_init(neap_feed *feed, void (*wake)(neap_feed *feed), void *user);
void neap_feed_fini(neap_feed *feed);
/* Worker only. A record with a text that is too long, or for which there is no room, is lost and counted; how
 * prefetches ended is told in any case, memory permitting. */
void neap_feed_add(neap_feed *feed, const neap_feed_record *record);
/* Control thread: calls `each` for all that wait, in order. Returns how many. */
size_t neap_feed_take(neap_feed *feed, void (*each)(void *user, const neap_feed_record *record), void *user);

#endif
