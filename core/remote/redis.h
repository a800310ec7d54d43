/* A client of Redis on one loop: a single server, a group watched by Sentinels, or a Cluster. Seen through
 * remote.h.
 *
 * Requests are pipelined over a few connections, which are made when the client is, kept, and made again
 * after a loss, with waits that double up to a limit. Those of one turn of the loop leave together. A request
 * that is not answered in time is told so, while its connection stays: the answer is taken out of the row
 * when it comes. A connection that has not answered its oldest request for `stall_ms` is closed and made
 * anew.
 *
 *   request   1 waits for a connection  2 queued in one  3 sent  4 answered
 *   told LATE in 1, 2 and 3, LOST in 3, DOWN in 1; `sent` is false where it cannot have been carried out
 *
 * Nothing is sent twice, but for what Redis itself has refused to carry out: an unknown script, a key that
 * has moved. What was lost after it was sent is the caller's to judge. Requests with the same `key` keep
 * their order as long as their connection lasts; others do not.
 *
 * Memory is bounded: requests by count and bytes, a reply by its bytes, whatever the server sends.
 *
 * Every function is for the thread of the loop. Nothing is told from within the call that asked for it.
 */
#ifndef NEAP_REMOTE_REDIS_H
#define NEAP_REMOTE_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop/loop.h"
#include "neap/neap.h"
#include "resp/resp.h"

typedef struct neap_redis neap_redis;
typedef struct neap_redis_request neap_redis_request; /* one under way */
typedef struct neap_redis_watch neap_redis_watch;

typedef enum neap_redis_layout {
  NEAP_REDIS_SINGLE,
  NEAP_REDIS_SENTINEL, /* the primary of a group, which Sentinels name */
  NEAP_REDIS_CLUSTER   /* the primary of the slot of each key */
} neap_redis_layout;

typedef struct neap_redis_tls {
  const char *ca_file; /* PEM; NULL: the authorities of the system */
  const char
      *server_name; /* that the certificate must hold, and that is asked for; NULL: host of the address */
  const char *certificate_file, *key_file; /* PEM, of this client; NULL: none */
} neap_redis_tls;

enum { NEAP_REDIS_CONNECTIONS_MAX = 16, NEAP_REDIS_ADDRESSES_MAX = 16 };

/* Texts are copied. Take neap_redis_options_init for defaults, which are named here. */
typedef struct neap_redis_options {
  neap_redis_layout layout; /* SINGLE */
  /* "10.0.0.1:6379", "[::1]:6379", "redis.internal:6379", "unix:/run/redis.sock", ended by NULL: the server
   * (one), the Sentinels, or some nodes of the Cluster. No default. Names are looked up at every connect. */
  const char *const *addresses;
  const char *group;                             /* the name that Sentinels know the primary by; NULL */
  const char *user, *password;                   /* NULL: no password; NULL user: "default" */
  const char *sentinel_user, *sentinel_password; /* the same, of the Sentinels */
  const char *client_name;                       /* as CLIENT LIST shows it; NULL: none */
  unsigned database;                             /* 0; Cluster has no other */
  bool version2;                                 /* speak RESP2 even where the server knows RESP3 */
  unsigned connections;                          /* 2, to each server */
  uint64_t connect_timeout_ms;                   /* 1000: for a connection, TLS and signing in together */
  uint64_t timeout_ms;                           /* 1000: of a request that says none */
  uint64_t stall_ms;                             /* 3000 */
  uint64_t backoff_min_ms, backoff_max_ms;       /* 50, 2000: between attempts, half of it random */
  size_t max_requests;                           /* 65536 waiting, queued or sent */
  size_t max_request_bytes;                      /* 64 MiB of those */
  size_t max_reply_bytes;                        /* 64 MiB of one reply */
  const neap_redis_tls *tls;                     /* NULL: none */
  const neap_host *host;                         /* for its log; borrowed; NULL: none */
  uint64_t seed;                                 /* 0: of the random part of waits */
} neap_redis_options;

void neap_redis_options_init(neap_redis_options *options);
/* Starts to connect. NEAP_EINVAL with a sentence in `err`, NEAP_ENOMEM. */
int neap_redis_create(neap_loop *loop, const neap_redis_options *options, neap_redis **out, neap_err *err);
/* Drops what is under way without telling, watches too. Not from within a callback of this client. */
void neap_redis_destroy(neap_redis **redis);

/* --- requests */

typedef enum neap_redis_end {
  NEAP_REDIS_DONE,  /* answered: `value` */
  NEAP_REDIS_ERROR, /* answered with an error: `value`, its first word is its code; nothing was done, but by a
                       script before it failed */
  NEAP_REDIS_LATE,  /* not answered in time */
  NEAP_REDIS_LOST,  /* the connection ended first */
  NEAP_REDIS_DOWN   /* no connection now; the next is being tried */
} neap_redis_end;

/* Borrowed during the call. */
typedef struct neap_redis_reply {
  neap_redis_end end;
  bool sent;             /* it has left, or some of it: it may have been carried out */
  const char *text;      /* the end in words */
  neap_resp_value value; /* of DONE and ERROR */
} neap_redis_reply;

/* A script that Redis keeps. The text is borrowed for as long as the script is used. */
typedef struct neap_redis_script {
  neap_view text;
  char sha1[41];
} neap_redis_script;
void neap_redis_script_init(neap_redis_script *script, const char *text);

/* Borrowed during neap_redis_start, but for the script. */
typedef struct neap_redis_command {
  const neap_view *args; /* any bytes; the name first: "GET", "key" */
  size_t count;          /* 1 and up */
  /* NULL: none. Else `args` are what follows the text in EVAL: the number of keys, keys, arguments. The
   * script is called by its hash, and sent where the server does not know it. */
  const neap_redis_script *script;
  neap_view key;       /* chooses slot and connection; {NULL, 0}: any */
  uint64_t timeout_ms; /* 0: that of the options */
  /* Told once, unless cancelled; it is over then. May start and cancel others. */
  void (*done)(void *user, const neap_redis_reply *reply);
  void *user;
} neap_redis_command;

/* Starts; `*out`, where wanted, is valid until `done` is told. NEAP_EBUSY: as many requests or bytes as the
 * options allow are under way. NEAP_EINVAL, NEAP_ENOMEM. hot: */
int neap_redis_start(neap_redis *redis, const neap_redis_command *command, neap_redis_request **out);
/* Ends it without telling. What has been sent may be carried out even so. Clears the pointer. */
void neap_redis_cancel(neap_redis_request **request);

/* --- what happens without being asked for */

/* Borrowed during neap_redis_watch_open. */
typedef struct neap_redis_watch_options {
  const neap_view *channels; /* to subscribe to */
  size_t channel_count;
  const neap_view *prefixes; /* of keys: whoever writes one, it is told as invalid (CLIENT TRACKING BCAST) */
  size_t prefix_count;
  void (*message)(void *user, neap_view channel, neap_view payload);
  /* Optional where there are no prefixes. {NULL, 0}: any may have changed, such as by FLUSHALL. */
  void (*invalid)(void *user, neap_view key);
  /* true: everything that happens from now on is told. false: not any more; whatever happens until the next
   * true is missed. Begins with false. */
  void (*listening)(void *user, bool yes);
  void *user;
} neap_redis_watch_options;

/* Listens on a connection of its own, which is made again after a loss and pinged when it is quiet. In a
 * Cluster: on one node, to which messages come from all; prefixes are not allowed there. NEAP_EINVAL,
 * NEAP_ENOMEM. */
int neap_redis_watch_open(neap_redis *redis, const neap_redis_watch_options *options, neap_redis_watch **out);
/* Nothing is told any more. Not from within the callback of a watch. Clears the pointer. */
void neap_redis_watch_close(neap_redis_watch **watch);

/* --- figures */

typedef struct neap_redis_info {
  unsigned ready, wanted;       /* connections for requests */
  unsigned servers;             /* 1; of a Cluster: primaries */
  size_t requests, bytes;       /* waiting, queued or sent */
  uint64_t started, answered;   /* requests */
  uint64_t errors;              /* of the answered: ERROR */
  uint64_t late, lost, refused; /* refused: DOWN, NEAP_EBUSY */
  uint64_t swallowed;           /* answers that came when nobody waited any more */
  uint64_t connects, failures;  /* connections that could be used, and attempts that failed or were lost */
  uint64_t redirects, reloads;  /* MOVED and ASK; scripts that had to be sent */
  uint64_t moves;               /* the primary that Sentinels name became another, or a slot map changed */
  uint64_t sent_bytes, received_bytes;
  char server[96]; /* last connected; "" */
  char fault[160]; /* why the last connection failed or ended; "" */
} neap_redis_info;
void neap_redis_info_get(const neap_redis *redis, neap_redis_info *out);

#endif
