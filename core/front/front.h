/* What clients speak. One front per worker and listener; http1.c is HTTP/1.
 *
 * A connection that waits for its next request holds no buffer and no exchange: those are taken when bytes
 * arrive and given back when all that was read has been answered. Worker only.
 */
#ifndef NEAP_FRONT_FRONT_H
#define NEAP_FRONT_FRONT_H

#include "flow/flow.h"

typedef struct neap_front neap_front;

typedef struct neap_front_options {
  uint64_t header_timeout_ms; /* from the first byte of a head, or from the accept, to the end of the head */
  uint64_t idle_timeout_ms;   /* between requests */
  uint32_t max_header_bytes;  /* of a whole head; at most 48 KiB */
} neap_front_options;

int neap_front_create(neap_flow *flow, const neap_front_options *options, neap_front **out);
/* Every connection must be gone. */
void neap_front_destroy(neap_front **front);
/* For connections accepted from now on and heads read from now on. */
void neap_front_set_options(neap_front *front, const neap_front_options *options);

/* Takes a new connection. Signature of neap_listener_open's `accepted`; `front` is a neap_front. */
void neap_front_accept(void *front, neap_stream *stream);

/* Closes every connection with its response; such as wait for a request at once, or, `gently`, with the
 * response to their next one or when their time is up: a request that is on its way is not lost. */
void neap_front_drain(neap_front *front, bool gently);
/* Closes everything now. */
void neap_front_close(neap_front *front);
size_t neap_front_connection_count(const neap_front *front);

#endif
