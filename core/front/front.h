/* What clients speak. One front per worker and listener; http1.c is HTTP/1, resp_*.c what clients of Redis
 * speak.
 *
 * A connection that waits for its next request holds no buffer and no exchange: those are taken when bytes
 * arrive and given back when all that was read has been answered. Worker only.
 */
#ifndef NEAP_FRONT_FRONT_H
#define NEAP_FRONT_FRONT_H

#include "flow/flow.h"
#include "tier/tier.h"

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

/* --- RESP: clients of Redis. docs/resp.md says what they get. */

/* The keys that the RESP ports of all workers serve, and what else those share. Any thread. */
typedef struct neap_keyspace neap_keyspace;

/* `cache` is borrowed until destroy and written to through the keyspace only; so is `host`. NEAP_ENOMEM,
 * NEAP_EIO. */
int neap_keyspace_create(neap_cache *cache, const neap_host *host, neap_keyspace **out);
/* Every front must be gone. */
void neap_keyspace_destroy(neap_keyspace **keys);

/* Puts the keyspace over tiers whose memory is its cache. Before any front, and any port of theirs. */
typedef struct neap_keyspace_tiers {
  neap_tiers *cascade;          /* borrowed until the last front is gone */
  neap_consistency consistency; /* of clients that say nothing */
  neap_write_mode mode;
  uint64_t timeout_ms; /* a command waits so long for all tiers together */
  uint64_t max_object; /* bytes of a value */
  bool failures_shown; /* where no tier answers, a read is an error and not a miss */
} neap_keyspace_tiers;
void neap_keyspace_set_tiers(neap_keyspace *keys, const neap_keyspace_tiers *tiers);

enum { NEAP_RESP_PASSWORD = 257 }; /* NUL included */

typedef struct neap_resp_options {
  char password[NEAP_RESP_PASSWORD]; /* for AUTH; "": none is asked for */
  uint32_t max_clients;              /* over all workers and ports; one more is told so and closed */
  uint64_t idle_timeout_ms;          /* of a client that asks nothing; 0: it may stay */
  uint64_t stall_timeout_ms;         /* of a client that takes nothing of what waits for it */
  uint64_t buffer_bytes; /* of requests half arrived and replies not taken, of all clients of this front: who
                            asks for more is closed */
} neap_resp_options;

typedef struct neap_resp_front neap_resp_front;

/* As their namesakes above. `port` is borrowed: the loop's to the tiers of the keyspace; NULL where it has
 * none. */
int neap_resp_front_create(neap_loop *loop, neap_keyspace *keys, neap_tiers_port *port,
                           const neap_resp_options *options, neap_resp_front **out);
void neap_resp_front_destroy(neap_resp_front **front);
void neap_resp_front_set_options(neap_resp_front *front, const neap_resp_options *options);
void neap_resp_front_accept(void *front, neap_stream *stream);
/* Every client is closed when what it has asked is answered; `gently`, with the answer to its next request or
 * after a minute. */
void neap_resp_front_drain(neap_resp_front *front, bool gently);
void neap_resp_front_close(neap_resp_front *front);
size_t neap_resp_front_connection_count(const neap_resp_front *front);

#endif
