/* The facade of the only folder that knows libcurl: documents fetched over HTTP beside the traffic, for
 * probes, discovery and the like. Nothing here is on a request's way.
 *
 * A fetcher belongs to one loop; every function is for its thread.
 */
#ifndef NEAP_REMOTE_REMOTE_H
#define NEAP_REMOTE_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop/loop.h"
#include "neap/neap.h"

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
  NEAP_FETCH_UNREACHABLE, /* no connection: refused, no route, no such name */
  NEAP_FETCH_LATE,        /* the time was over */
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

#endif
