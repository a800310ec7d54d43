/* The facade of what speaks to other machines than backends: Redis (redis.h), documents fetched over HTTP
 * beside the traffic, for probes, discovery and the like, and names looked up in DNS. The only folder that
 * knows libcurl and c-ares.
 *
 * A fetcher or a resolver belongs to one loop; every function is for its thread.
 */
#ifndef NEAP_REMOTE_REMOTE_H
#define NEAP_REMOTE_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop/loop.h"
#include "neap/neap.h"
#include "remote/redis.h"

typedef struct neap_fetcher neap_fetcher;
typedef struct neap_fetch neap_fetch; /* one under way */

int neap_fetcher_create(neap_loop *loop, neap_fetcher **out);
/* Drops what is under way without telling. Not from within `done` or `piece`. */
void neap_fetcher_destroy(neap_fetcher **fetcher);

typedef struct neap_fetch_field {
  neap_view name, value;
} neap_fetch_field;

enum { NEAP_FETCH_FIELDS_MAX = 64, NEAP_FETCH_HEAD_MAX = 16384 };

typedef enum neap_fetch_end {
  NEAP_FETCH_DONE,        /* head and body came to their end */
  NEAP_FETCH_CUT,         /* the body is longer than wanted: its beginning is here */
  NEAP_FETCH_UNREACHABLE, /* no connection: refused, no route, no such name, or not in time */
  NEAP_FETCH_LATE,        /* connected, but the time was over */
  NEAP_FETCH_BROKEN       /* connected, but this was no response */
} neap_fetch_end;

/* What came. Borrowed during the call. `status` is 0 where no head came. */
typedef struct neap_fetch_reply {
  neap_fetch_end end;
  const char *text; /* the end in words */
  int status;
  uint64_t took_us;
  neap_view body;
  const neap_fetch_field *fields; /* of the head; those beyond NEAP_FETCH_FIELDS_MAX are left out */
  size_t field_count;
} neap_fetch_reply;

/* What to fetch; borrowed during neap_fetch_start. */
typedef struct neap_fetch_request {
  const char *url;    /* http:// or https:// */
  const char *method; /* NULL: GET, or POST where there is a body */
  const char
      *connect_to; /* "127.0.0.1:9001": connects there, whatever the URL names; NULL: as the URL says */
  const char *const *fields; /* "Name: value", ended by NULL; NULL: none. A "Host:" replaces the URL's */
  neap_view body;            /* sent where it is not empty */
  uint64_t timeout_ms;       /* for all of it; 0: none */
  size_t body_max;           /* most bytes of a body that are kept */
  bool fresh;                /* over a connection of its own, closed after */
  bool http2;                /* where TLS agrees on it; else HTTP/1.1 */
  /* Told once, unless the fetch was cancelled; it is over then. May start and cancel others. */
  void (*done)(void *user, const neap_fetch_reply *reply);
  /* Told every part of a body as it arrives, which is then not kept; false ends the fetch as CUT. NULL: kept.
   * May not start or cancel. */
  bool (*piece)(void *user, neap_view bytes);
  void *user;
} neap_fetch_request;

/* Starts; `*out`, where wanted, is valid until `done` is told. NEAP_EINVAL, NEAP_ENOMEM. */
int neap_fetch_start(neap_fetcher *fetcher, const neap_fetch_request *request, neap_fetch **out);
/* Ends it without telling. Clears the pointer. */
void neap_fetch_cancel(neap_fetch **fetch);

/* --- names */
typedef struct neap_resolver neap_resolver;
typedef struct neap_lookup neap_lookup; /* one under way */

/* `servers`: "127.0.0.1:5353,10.0.0.1"; NULL: those of the system. NEAP_EINVAL where they cannot be read,
 * NEAP_ENOMEM. */
int neap_resolver_create(neap_loop *loop, const char *servers, neap_resolver **out);
/* Drops what is under way without telling. Not from within `done`. */
void neap_resolver_destroy(neap_resolver **resolver);

typedef enum neap_lookup_kind {
  NEAP_LOOKUP_ADDRESSES, /* A and AAAA, the system's file of hosts before them */
  NEAP_LOOKUP_SERVICES   /* SRV, and the addresses of its targets */
} neap_lookup_kind;

enum { NEAP_LOOKUP_MAX = 256 }; /* addresses of one answer; more are left out */

typedef struct neap_found {
  char address[NEAP_ADDRESS_TEXT]; /* "1.2.3.4:80", "[::1]:80" */
  uint16_t priority, weight;       /* of SRV; 0 for addresses. Smaller priorities go first */
} neap_found;

/* What was found, sorted by address, none twice. Borrowed during the call. */
typedef struct neap_lookup_reply {
  int code;         /* 0; NEAP_ENOTFOUND: there is no such name or record; NEAP_EIO: nobody could say */
  const char *text; /* the code in words */
  const neap_found *found;
  size_t count;
  uint32_t ttl_s; /* for how long it holds: the least of all records; 0 where none was said */
} neap_lookup_reply;

/* Looks `name` up, which is copied; `port` is that of addresses. `done` is told once, unless the lookup was
 * cancelled, never from within this call; it may start and cancel others. NEAP_ENOMEM. */
int neap_lookup_start(neap_resolver *resolver, neap_lookup_kind kind, const char *name, uint16_t port,
                      void (*done)(void *user, const neap_lookup_reply *reply), void *user,
                      neap_lookup **out);
/* Ends it without telling. Clears the pointer. */
void neap_lookup_cancel(neap_lookup **lookup);

#endif
