/* What the files of the client of Redis share, and nobody else sees. Bottom up:
 *
 *   redis_request.c     one request: its bytes, its end
 *   redis_connection.c  one connection: made, signed in, lost, made again; knows not what it is for
 *   redis_wire.c        its bytes: requests out together, replies in, matched in order
 *   redis_server.c      the connections to one address, and who waits for them
 *   redis_watch.c       who listens
 *   redis_guide.c       who knows the servers: Sentinels, or a node of a Cluster
 *   redis.c             the client
 */
#ifndef NEAP_REMOTE_REDIS_IMPL_H
#define NEAP_REMOTE_REDIS_IMPL_H

#include "base/base.h"
#include "base/random.h"
#include "remote/remote.h"

/* --- lists: circular, the head is no element */
typedef struct redis_list {
  struct redis_list *prev, *next;
} redis_list;

static inline void redis_list_init(redis_list *head) {
  head->prev = head->next = head;
}
static inline bool redis_list_is_empty(const redis_list *head) {
  return head->next == head;
}
static inline void redis_list_append(redis_list *head, redis_list *link) {
  link->prev = head->prev;
  link->next = head;
  link->prev->next = link;
  head->prev = link;
}
/* Leaves the link a list of itself: removing it again does no harm. */
static inline void redis_list_remove(redis_list *link) {
  link->prev->next = link->next;
  link->next->prev = link->prev;
  redis_list_init(link);
}
/* Moves everything to the end of an empty list. */
static inline void redis_list_move(redis_list *to, redis_list *from) {
  redis_list_init(to);
  if (redis_list_is_empty(from)) return;
  *to = *from;
  to->next->prev = to->prev->next = to;
  redis_list_init(from);
}

/* --- requests */
typedef struct redis_connection redis_connection;
typedef struct redis_server redis_server;

enum {
  REDIS_NO_SLOT = 0xffff,
  REDIS_SLOTS = 16384,
  REDIS_SERVERS_MAX = 256,
  REDIS_ADDRESS = 300,
  REDIS_FAULT = 160
};

struct neap_redis_request {
  redis_list link; /* among those that wait for a server, in a connection, or of those to be refused */
  neap_redis *home;
  redis_connection *connection; /* NULL: none yet */
  neap_timer limit;
  void (*done)(void *user, const neap_redis_reply *reply); /* NULL: nobody waits any more */
  void *user;
  const neap_redis_script *script;
  char *bytes; /* `own_bytes`, or on the heap once the script is sent along */
  size_t size, args_at /* behind the name and the hash of a script */, arg_count;
  uint64_t sent_ms, sent_end; /* where it ends in what its connection has sent */
  uint16_t slot;
  uint8_t redirects;
  bool internal; /* of the client itself: not counted, ends with its connection */
  bool sent, asking, script_sent;
  char own_bytes[];
};

/* The slot of a key: of what is between the first "{" and the next "}", if anything, else of all of it. */
uint16_t neap_redis_slot(neap_view key);
int neap_redis_request_create(neap_redis *redis, const neap_redis_command *command, bool internal,
                              neap_redis_request **out);
/* Takes it out of its list. Tells nothing. */
void neap_redis_request_free(neap_redis_request *request);
/* Takes it out of its list, and the queue of its connection. */
void neap_redis_request_detach(neap_redis_request *request);
/* Tells who waits, if anybody, and frees it. */
void neap_redis_request_end(neap_redis_request *request, neap_redis_end end, const char *text);
/* What came for it: told, or sent elsewhere. Takes the request, which is in no list. */
void neap_redis_request_answered(neap_redis_request *request, const redis_connection *from,
                                 const neap_resp_value *value);
/* Finds it a connection, at once or later. Takes a request that is in no list; it may be told DOWN, soon. */
void neap_redis_route(neap_redis_request *request);
/* Finds its way a little later. */
void neap_redis_rest(neap_redis_request *request);
/* DOWN, soon. */
void neap_redis_refuse(neap_redis_request *request);

/* --- connections */
typedef enum redis_state {
  REDIS_CLOSED,     /* by its user */
  REDIS_PAUSING,    /* until the next attempt */
  REDIS_LOOKING_UP, /* its name */
  REDIS_CONNECTING,
  REDIS_SIGNING_IN,
  REDIS_READY
} redis_state;

/* What a connection is for. None of these may close it. */
typedef struct redis_use {
  const char *name;
  bool serves;     /* requests of the caller: counted as such */
  bool subscribes; /* takes messages: in RESP2 they look like answers */
  void (*ready)(redis_connection *connection);
  void (*lost)(redis_connection *connection); /* or could not be made; the next attempt is on its way */
  void (*pushed)(redis_connection *connection, const neap_resp_value *value); /* optional */
} redis_use;

struct redis_connection {
  neap_redis *home;
  const redis_use *use;
  void *user;
  const char *sign_in_user, *sign_in_password; /* borrowed */
  unsigned database;
  bool primary_only; /* whatever calls itself a replica is left again */
  redis_state state;
  char address[REDIS_ADDRESS]; /* may be changed while there is no attempt */
  char fault[REDIS_FAULT];     /* why the last attempt or connection ended */
  neap_stream *stream;         /* or */
  neap_tls *tls;
  neap_lookup *lookup;
  neap_timer timer; /* of the attempt, the pause, or the oldest request */
  neap_soon flush, begin;
  unsigned failures; /* attempts since something was answered */
  bool version3, answered;
  uint64_t ready_ms; /* since when */
  redis_list queue;
  size_t queued;
  neap_redis_request *unsent; /* the first in the queue that is not with the stream; NULL: none */
  uint64_t handed;            /* bytes given to the stream */
  char *buffer;
  size_t from, size, room; /* `from` to `size` are yet to be understood */
  neap_resp_scan scan;
};

void neap_redis_connection_init(redis_connection *connection, neap_redis *redis, const redis_use *use,
                                void *user);
/* Starts an attempt, from CLOSED. */
void neap_redis_connection_open(redis_connection *connection, const char *address);
/* No more attempts; what is queued is told LOST, or finds another way where it was not sent. */
void neap_redis_connection_close(redis_connection *connection);
/* The same without telling: everything in it is freed. */
void neap_redis_connection_fini(redis_connection *connection);
/* Ends the connection or the attempt; the next follows after a pause. */
void neap_redis_connection_fail(redis_connection *connection, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Queues a request of any kind that is in no list. */
void neap_redis_connection_queue(redis_connection *connection, neap_redis_request *request);
/* Queues a request of the client itself; `done` gets LOST where the connection ends first. False: out of
 * memory, and the connection has failed. */
bool neap_redis_connection_ask(redis_connection *connection, const neap_view *args, size_t count,
                               void (*done)(void *user, const neap_redis_reply *reply), void *user);
static inline bool redis_connection_is_ready(const redis_connection *connection) {
  return connection->state == REDIS_READY;
}
/* An attempt that nothing speaks against yet. */
static inline bool redis_connection_is_hopeful(const redis_connection *connection) {
  return connection->failures == 0 && connection->state != REDIS_READY && connection->state != REDIS_CLOSED;
}

/* The transport stands. */
void neap_redis_connection_connected(redis_connection *connection);

/* --- its bytes */
void neap_redis_wire_connect(redis_connection *connection, const neap_address *address);
void neap_redis_wire_close(redis_connection *connection);
static inline bool redis_wire_is_open(const redis_connection *connection) {
  return connection->stream != NULL || connection->tls != NULL;
}
void neap_redis_wire_flush(redis_connection *connection);
/* The value answers the oldest request, though it looks like a message. False: the connection is gone. */
bool neap_redis_wire_answer(redis_connection *connection, const neap_resp_value *value);

/* --- servers */
struct redis_server {
  redis_list link; /* of the client */
  neap_redis *home;
  char address[REDIS_ADDRESS];
  redis_list waiting;   /* for any connection */
  unsigned idle_rounds; /* maps of slots in a row in which it has none */
  unsigned count;
  redis_connection connections[];
};

int neap_redis_server_create(neap_redis *redis, const char *address, redis_server **out);
/* Everything in it is freed without telling. */
void neap_redis_server_destroy(redis_server *server);
void neap_redis_server_take(redis_server *server, neap_redis_request *request);
/* Leaves whatever calls itself a replica. */
void neap_redis_server_make_primary(redis_server *server);
/* To another address; what was sent is LOST. */
void neap_redis_server_move(redis_server *server, const char *address);
/* No more; what was sent is LOST, the rest finds its way to others. */
void neap_redis_server_retire(redis_server *server);

/* --- who knows the servers */
typedef struct redis_guide redis_guide;

int neap_redis_guide_create(neap_redis *redis);
void neap_redis_guide_destroy(neap_redis *redis);
/* Asks soon. */
void neap_redis_guide_hurry(neap_redis *redis);
/* Somebody may yet say where the servers are. */
bool neap_redis_guide_is_hopeful(const neap_redis *redis);
/* Reads "MOVED 3999 127.0.0.1:6381" or ASK, as answered over `from`. False where it cannot be followed. */
bool neap_redis_guide_moved(neap_redis *redis, const redis_connection *from, neap_view text,
                            redis_server **server, uint16_t *slot);

/* --- who listens */
/* Goes where the servers are now. */
void neap_redis_watches_aim(neap_redis *redis);
void neap_redis_watches_close(neap_redis *redis);

/* --- the client */
struct neap_redis {
  neap_loop *loop;
  neap_redis_options options; /* texts are its own */
  char *texts[16 + NEAP_REDIS_ADDRESSES_MAX];
  size_t text_count;
  const char *addresses[NEAP_REDIS_ADDRESSES_MAX + 1];
  size_t address_count;
  neap_resolver *resolver; /* NULL: no address has a name */
  neap_random random;
  neap_resp_limits limits;
  neap_tls_client *tls; /* NULL: none */
  const char *tls_name; /* NULL: the host of each address */
  redis_list servers;
  redis_server **slots; /* REDIS_SLOTS, of a Cluster; NULL: there is none */
  redis_guide *guide;   /* NULL: the server is known */
  redis_list refused;
  neap_soon refuse;
  redis_list resting;
  neap_timer rest;
  redis_list watches;
  neap_redis_info info;
};

/* NULL: none known. */
redis_server *neap_redis_first_server(const neap_redis *redis);
/* An address to ask the guide, the `at`-th, of those given and those found. */
const char *neap_redis_guide_address(const neap_redis *redis, unsigned at);
/* An address to listen at; NULL: none known. */
const char *neap_redis_watch_address(const neap_redis *redis, unsigned at);
/* Those that rest find their way now. */
void neap_redis_wake(neap_redis *redis);
void neap_redis_log(neap_redis *redis, neap_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- addresses */
/* NEAP_EINVAL unless it is "host:port", "[v6]:port" or "unix:/path". */
int neap_redis_address_check(const char *text, neap_err *err);
/* What stands before the port, without brackets; "" for a path. */
void neap_redis_address_host(const char *text, char host[256]);
/* Where no name has to be looked up: 0. NEAP_EBUSY: the host is a name. */
int neap_redis_address_read(const char *text, neap_address *out);

#endif
